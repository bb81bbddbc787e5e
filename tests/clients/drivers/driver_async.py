"""As driver.py, with the asyncio client."""

import asyncio
import json
import os
import sys

from driver import failure, message_arguments, tell, tell_event, watch_arguments
from modtwin import AsyncModtwin, Problem, ProtocolError, Unreachable


async def watch(client, awake, module, words):
    try:
        async for event in client.watch(module, **watch_arguments(words)):
            await awake.wait()
            tell_event(event)
        tell(event="ended")
    except (Problem, ProtocolError, Unreachable) as error:
        tell(event="failed", **failure(error))


async def methods(client, _awake, module, names):
    try:
        async for call in client.methods(module, names):
            tell(event="invoke", method=call.method, payload=call.payload)
            await client.answer(call, {"echo": call.payload})
    except (Problem, ProtocolError, Unreachable) as error:
        tell(event="failed", **failure(error))


async def do(client, words):
    command, module, rest = words[0], words[1], words[2:]
    if command == "report":
        report = await client.report(module, json.loads(" ".join(rest)))
        return {"sequence": report.sequence}
    if command == "report-hub":
        patch = json.loads(" ".join(rest[1:]))
        report = await client.report(module, patch, hub_timeout=float(rest[0]))
        return {"sequence": report.sequence, "version": report.version}
    if command == "ack":
        return await client.ack(module, rest[0], status=int(rest[1]))
    if command == "get":
        return {"twin": await client.get(module)}
    if command == "modules":
        return {"modules": await client.modules()}
    cut = rest.index("--")
    payload = " ".join(rest[cut + 1 :])
    return {"delivered": await client.send(module, payload, **message_arguments(rest[:cut]))}


async def main():
    client = AsyncModtwin(sys.argv[1], silence=float(sys.argv[2]))
    awake = asyncio.Event()
    awake.set()
    loop = asyncio.get_running_loop()
    tasks = []
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            os._exit(0)
        words = line.split()
        command, module, rest = words[0], words[1], words[2:]
        if command in ("watch", "methods"):
            work = watch if command == "watch" else methods
            tasks.append(asyncio.create_task(work(client, awake, module, rest)))
        elif command == "pause":
            awake.clear()
        elif command == "resume":
            awake.set()
        else:
            try:
                tell(done=command, **(await do(client, words) or {}))
            except (Problem, ProtocolError, Unreachable) as error:
                tell(done=command, **failure(error))


asyncio.run(main())
