// Does what the lines on its input say with the Node client, and prints what comes of it.
// The lines and what is printed are described in ../actor.rs.

import { createInterface } from "node:readline";
import { Modtwin, Problem, ProtocolError, Unreachable } from "modtwin";

const [socket, silence] = process.argv.slice(2);
const client = new Modtwin(socket, { silence: Number(silence) });
let awake = Promise.resolve();
let wake = () => {};

const tell = (members) => process.stdout.write(`${JSON.stringify(members)}\n`);

function failure(error) {
  if (error instanceof Problem) {
    const { kind, status, retryAfter } = error;
    return { error: "problem", kind, status, retry_after: retryAfter ?? null };
  }
  if (error instanceof Unreachable) return { error: "unreachable" };
  if (error instanceof ProtocolError) return { error: "protocol" };
  throw error;
}

function options(words) {
  const given = {};
  for (const word of words) {
    const [name, value] = [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)];
    (given[name] ??= []).push(value);
  }
  return given;
}

function tellEvent(event) {
  const told = { event: event.type };
  if (["snapshot", "desired"].includes(event.type)) {
    const { generation, version, desired = null } = event;
    const { unchanged = false, stale = false, reset = false } = event;
    Object.assign(told, { generation, version, desired, unchanged, stale, reset });
  }
  if (event.hub) Object.assign(told, { state: event.hub.state, reason: event.hub.reason });
  if (event.type === "lost") Object.assign(told, failure(event.error), { retry_in: event.retryIn });
  tell(told);
}

async function watch(module, words) {
  const { path, since, handler } = options(words);
  try {
    const events = client.watch(module, { paths: path, since: since?.[0], handler: handler?.[0] });
    for await (const event of events) {
      await awake;
      tellEvent(event);
    }
    tell({ event: "ended" });
  } catch (error) {
    tell({ event: "failed", ...failure(error) });
  }
}

async function methods(module, names) {
  try {
    for await (const call of client.methods(module, names)) {
      tell({ event: "invoke", method: call.method, payload: call.payload });
      await client.answer(call, { echo: call.payload });
    }
  } catch (error) {
    tell({ event: "failed", ...failure(error) });
  }
}

async function act(command, module, rest) {
  switch (command) {
    case "report":
      return client.report(module, JSON.parse(rest.join(" ")));
    case "report-hub":
      return client.report(module, JSON.parse(rest.slice(1).join(" ")), { hubTimeout: +rest[0] });
    case "ack":
      return client.ack(module, rest[0], { status: +rest[1] });
    case "get":
      return { twin: await client.get(module) };
    case "modules":
      return { modules: await client.modules() };
    default: {
      const cut = rest.indexOf("--");
      const given = options(rest.slice(0, cut));
      const properties = (given.property ?? []).map((pair) => pair.split("="));
      const delivered = await client.send(module, rest.slice(cut + 1).join(" "), {
        contentType: given["content-type"]?.[0],
        contentEncoding: given["content-encoding"]?.[0],
        messageId: given["message-id"]?.[0],
        correlationId: given["correlation-id"]?.[0],
        stored: given.wait?.[0] === "stored",
        properties: Object.fromEntries(properties),
      });
      return { delivered };
    }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, module, ...rest] = line.split(" ");
  if (command === "watch") watch(module, rest);
  else if (command === "methods") methods(module, rest);
  else if (command === "pause") awake = new Promise((resolve) => (wake = resolve));
  else if (command === "resume") wake();
  else {
    try {
      tell({ done: command, ...(await act(command, module, rest)) });
    } catch (error) {
      tell({ done: command, ...failure(error) });
    }
  }
}
process.exit(0);
