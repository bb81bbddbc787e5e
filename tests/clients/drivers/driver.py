"""Does what the lines on its input say with the blocking Python client, and prints what comes of it.

The lines and what is printed are described in ``../actor.rs``.
"""

import json
import os
import sys
import threading

from modtwin import Modtwin, Problem, ProtocolError, Unreachable

LOCK = threading.Lock()
AWAKE = threading.Event()
AWAKE.set()


def tell(**members):
    with LOCK:
        print(json.dumps(members), flush=True)


def failure(error):
    if isinstance(error, Problem):
        told = {"error": "problem", "kind": error.kind, "status": error.status}
        return {**told, "retry_after": error.retry_after}
    return {"error": "unreachable" if isinstance(error, Unreachable) else "protocol"}


def tell_event(event):
    members = {"event": event.type}
    if event.type in ("snapshot", "desired"):
        for name in ("generation", "version", "desired", "unchanged", "stale", "reset"):
            members[name] = getattr(event, name)
    if event.hub is not None:
        members.update(state=event.hub.state, reason=event.hub.reason)
    if event.type == "lost":
        members.update(failure(event.error), retry_in=event.retry_in)
    tell(**members)


def options(words):
    return [word.partition("=")[::2] for word in words]


def watch_arguments(words):
    given = options(words)
    paths = [value for name, value in given if name == "path"]
    return {"paths": paths, **{name: value for name, value in given if name != "path"}}


def message_arguments(words):
    given = options(words)
    properties = dict(value.split("=", 1) for name, value in given if name == "property")
    plain = [(name, value) for name, value in given if name not in ("property", "wait")]
    return {
        "properties": properties,
        "stored": ("wait", "stored") in map(tuple, given),
        **{name.replace("-", "_"): value for name, value in plain},
    }


def watch(client, module, words):
    try:
        for event in client.watch(module, **watch_arguments(words)):
            AWAKE.wait()
            tell_event(event)
        tell(event="ended")
    except (Problem, ProtocolError, Unreachable) as error:
        tell(event="failed", **failure(error))


def methods(client, module, names):
    try:
        for call in client.methods(module, names):
            tell(event="invoke", method=call.method, payload=call.payload)
            client.answer(call, {"echo": call.payload})
    except (Problem, ProtocolError, Unreachable) as error:
        tell(event="failed", **failure(error))


def do(client, words):
    command, module, rest = words[0], words[1], words[2:]
    if command == "report":
        report = client.report(module, json.loads(" ".join(rest)))
        return {"sequence": report.sequence}
    if command == "report-hub":
        report = client.report(module, json.loads(" ".join(rest[1:])), hub_timeout=float(rest[0]))
        return {"sequence": report.sequence, "version": report.version}
    if command == "ack":
        return client.ack(module, rest[0], status=int(rest[1]))
    if command == "get":
        return {"twin": client.get(module)}
    if command == "modules":
        return {"modules": client.modules()}
    cut = rest.index("--")
    payload = " ".join(rest[cut + 1 :])
    return {"delivered": client.send(module, payload, **message_arguments(rest[:cut]))}


def main():
    client = Modtwin(sys.argv[1], silence=float(sys.argv[2]))
    for line in sys.stdin:
        words = line.split()
        command, module, rest = words[0], words[1], words[2:]
        if command in ("watch", "methods"):
            work = watch if command == "watch" else methods
            threading.Thread(target=work, args=(client, module, rest), daemon=True).start()
        elif command == "pause":
            AWAKE.clear()
        elif command == "resume":
            AWAKE.set()
        else:
            try:
                tell(done=command, **(do(client, words) or {}))
            except (Problem, ProtocolError, Unreachable) as error:
                tell(done=command, **failure(error))
    os._exit(0)


if __name__ == "__main__":
    main()
