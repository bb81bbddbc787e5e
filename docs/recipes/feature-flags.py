#!/usr/bin/env python3
"""Keeps a file of feature flags in a container in step with the desired properties below `features`.

Needs Python's standard library and the package `modtwin`, and the daemon's socket in the container.
"""

import json
import os
from pathlib import Path

from modtwin import Modtwin

MODULE = os.environ["MODTWIN_MODULE"]
FLAGS = Path(os.environ.get("FLAGS_FILE", "/run/flags.json"))

client = Modtwin()
for event in client.watch(MODULE, paths=["/features"]):
    if event.desired is None:
        continue
    flags = event.desired.get("features", {})
    wrong = [name for name, value in flags.items() if not isinstance(value, bool)]
    if wrong:
        client.ack(MODULE, event, status=400, description=f"not true or false: {', '.join(wrong)}")
        continue
    new = FLAGS.with_suffix(".new")
    new.write_text(json.dumps(flags, indent=2) + "\n")
    new.replace(FLAGS)
    client.ack(MODULE, event)
