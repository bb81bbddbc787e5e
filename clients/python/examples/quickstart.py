"""Prints what the hub wants of a module, and tells the hub that it has come."""

import json
import sys
from datetime import datetime, timezone

from modtwin import Modtwin

module = sys.argv[1]
client = Modtwin()


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


client.report(module, {"DateTimeLastAppLaunch": now()})
for event in client.watch(module):
    if event.hub is not None:
        print("hub", event.hub.state, event.hub.reason, flush=True)
    if event.desired is not None:
        desired = json.dumps(event.desired, separators=(",", ":"))
        print("desired", event.revision, desired, flush=True)
        client.report(module, {"DateTimeLastDesiredPropertyChangeReceived": now()})
