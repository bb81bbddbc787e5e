// Client of modtwin's local API: one connection a request, one a stream.
//
// Owns the requests and what their answers mean. How a stream is read and resumed is stream.js.

import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { ModtwinError, Problem, ProtocolError, Unreachable } from "./errors.js";
import { backoff, lines } from "./stream.js";

export { ModtwinError, Problem, ProtocolError, Unreachable };

const DEFAULT_SOCKET = "/run/modtwin/modtwin.sock";
/** How long an answer may take beyond the time that the request itself allows for, in ms. */
const GRACE = 10_000;
const MAX_ANSWER = 4 * 1024 * 1024;

/** A client of the daemon at one socket. Holds no connection. */
export class Modtwin {
  constructor(path, { timeout = 30, silence = 90 } = {}) {
    this.path = path ?? (process.env.MODTWIN_SOCKET || DEFAULT_SOCKET);
    this.timeout = timeout * 1000;
    this.silence = silence * 1000;
  }

  async modules() {
    return parse(await this.#ask("GET", "/v1/modules")).modules;
  }

  async get(module) {
    return parse(await this.#ask("GET", target(module)));
  }

  watch(module, { paths = [], since, handler, signal } = {}) {
    const query = paths.map((path) => ["path", path]);
    if (handler !== undefined) query.push(["handler", handler]);
    let revision = since;
    return this.#follow({
      signal,
      target: () => target(module, "/watch", revision ? [...query, ["since", revision]] : query),
      lost: (error, retryIn) => ({ type: "lost", module, error, retryIn }),
      event(members) {
        if (!["snapshot", "desired", "hub", "removed"].includes(members.type)) return undefined;
        const event = { ...members };
        if (typeof event.version === "number") {
          event.revision = `${event.generation}.${event.version}`;
          revision = event.revision;
        }
        return event;
      },
    });
  }

  async report(module, patch, { hubTimeout } = {}) {
    const query = hubTimeout === undefined ? [] : [["wait", "hub"], ["timeout", String(hubTimeout)]];
    const limit = hubTimeout === undefined ? this.timeout : hubTimeout * 1000 + GRACE;
    const headers = { "content-type": "application/merge-patch+json" };
    const body = JSON.stringify(patch);
    const answer = await this.#ask("PATCH", target(module, "/reported", query), headers, body, limit);
    const { sequence, version } = parse(answer);
    return { sequence, version };
  }

  async ack(module, revision, { status = 200, description, handler, paths } = {}) {
    const text = typeof revision === "string" ? revision : revision.revision;
    const [, generation, version] = /^(\d+)\.(\d+)$/.exec(text ?? "") ?? [];
    if (version === undefined) {
      throw new TypeError(`expected GENERATION.VERSION or an event that has them, found ${text}`);
    }
    const said = { generation: +generation, version: +version, status, description, handler, paths };
    await this.#ask("POST", target(module, "/acks"), JSON_TYPE, JSON.stringify(said));
  }

  async send(module, payload, options = {}) {
    const { contentType, contentEncoding, properties = {}, messageId, correlationId, stored } = options;
    const headers = {};
    if (contentType !== undefined) headers["content-type"] = contentType;
    if (contentEncoding !== undefined) headers["content-encoding"] = contentEncoding;
    if (messageId !== undefined) headers["modtwin-message-id"] = utf8(messageId);
    if (correlationId !== undefined) headers["modtwin-correlation-id"] = utf8(correlationId);
    const named = Object.entries(properties).map(([name, value]) => utf8(`${name}=${value}`));
    if (named.length > 0) headers["modtwin-property"] = named;
    const limit = this.timeout + GRACE;
    const path = target(module, "/messages", stored ? [["wait", "stored"]] : []);
    const answer = await this.#ask("POST", path, headers, payload, limit);
    return answer.status === 200;
  }

  methods(module, names, { signal } = {}) {
    const query = [...names].map((name) => ["name", name]);
    return this.#follow({
      signal,
      target: () => target(module, "/methods", query),
      lost: () => undefined,
      event(members) {
        if (members.type !== "invoke") return undefined;
        const { id, method, payload, timeout_ms: limit } = members;
        return { module, id, method, payload, timeout: limit === undefined ? undefined : limit / 1000 };
      },
      // A method that is in use may be our own: the daemon has not seen the end of the last stream yet.
      mayBeOurs: (error) => error.kind === "in_use",
    });
  }

  async answer(call, payload = null, { status = 200 } = {}) {
    const path = target(call.module, `/methods/${encodeURIComponent(call.id)}`);
    await this.#ask("POST", path, JSON_TYPE, JSON.stringify({ status, payload }));
  }

  async *#follow(stream) {
    for (let failures = 0; ; ) {
      try {
        for await (const members of this.#open(stream)) {
          failures = 0;
          const event = stream.event(members);
          if (event !== undefined) yield event;
          if (members.type === "removed") return;
        }
        throw new Unreachable("the daemon ended the stream");
      } catch (error) {
        if (stream.signal?.aborted) return;
        if (!(error instanceof ModtwinError)) throw error;
        const isOurs = stream.hasBegun && stream.mayBeOurs?.(error);
        if (!error.isTemporary && !isOurs) throw error;
        const wait = Math.max(backoff(failures), (error.retryAfter ?? 0) * 1000);
        failures += 1;
        const lost = stream.lost(error, wait / 1000);
        if (lost !== undefined) yield lost;
        await sleep(wait, undefined, { signal: stream.signal }).catch(() => {});
      }
    }
  }

  /** The objects of one connection's stream. */
  async *#open(stream) {
    const request = this.#request("GET", stream.target(), {}, undefined, stream.signal);
    try {
      const response = await this.#head(request, this.timeout);
      if (response.statusCode >= 300) throw refusal(await this.#whole(response));
      stream.hasBegun = true;
      for await (const line of lines(response, this.silence)) yield decode(line);
    } catch (error) {
      throw this.#sorted(error);
    } finally {
      request.destroy();
    }
  }

  async #ask(method, path, headers = {}, body = undefined, limit = this.timeout) {
    const request = this.#request(method, path, headers, body);
    const timer = setTimeout(() => request.destroy(new Unreachable("no answer in time")), limit);
    try {
      const answer = await this.#whole(await this.#head(request, limit));
      if (answer.status >= 300) throw refusal(answer);
      return answer;
    } catch (error) {
      throw this.#sorted(error);
    } finally {
      clearTimeout(timer);
      request.destroy();
    }
  }

  #request(method, path, headers, body, signal) {
    const bytes = body === undefined ? undefined : Buffer.from(body);
    const all = { host: "localhost", ...headers };
    if (method !== "GET") all["content-length"] = bytes?.length ?? 0;
    const options = { socketPath: this.path, agent: false, method, path, headers: all, signal };
    const request = http.request(options);
    request.end(bytes);
    return request;
  }

  #head(request, limit) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => request.destroy(new Unreachable("no answer in time")), limit);
      request.on("response", (response) => {
        clearTimeout(timer);
        resolve(response);
      });
      request.on("error", (error) => {
        clearTimeout(timer);
        reject(error);
      });
    });
  }

  async #whole(response) {
    const chunks = [];
    let size = 0;
    for await (const chunk of response) {
      size += chunk.length;
      if (size > MAX_ANSWER) throw new ProtocolError("the answer is larger than any of the contract");
      chunks.push(chunk);
    }
    const retryAfter = /^\d+$/.test(response.headers["retry-after"] ?? "")
      ? Math.min(Number(response.headers["retry-after"]), 3600)
      : undefined;
    return { status: response.statusCode, retryAfter, body: Buffer.concat(chunks).toString() };
  }

  /** What went wrong, as one of this module's errors. */
  #sorted(error) {
    if (error instanceof ModtwinError || error.name === "AbortError") return error;
    if (String(error.code).startsWith("HPE_") && error.code !== "HPE_INVALID_EOF_STATE") {
      return new ProtocolError(`expected HTTP/1.1, found otherwise (${error.message})`);
    }
    return new Unreachable(`cannot talk to the daemon at ${this.path}: ${error.message}`, error);
  }
}

const JSON_TYPE = { "content-type": "application/json" };

function target(module, rest = "", query = []) {
  const pairs = query.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return `/v1/modules/${encodeURIComponent(module)}${rest}${pairs ? `?${pairs}` : ""}`;
}

/** Node writes header values as Latin-1: this makes them UTF-8 on the wire. */
function utf8(text) {
  return Buffer.from(text).toString("latin1");
}

function decode(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ProtocolError(`expected JSON, found otherwise (${error.message})`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new ProtocolError("expected a JSON object, found another value");
  }
  return value;
}

function parse(answer) {
  return decode(answer.body);
}

/** The error that an answer with a status of 300 and above means. */
function refusal({ status, retryAfter, body }) {
  try {
    const members = decode(body);
    if (typeof members.kind === "string") return new Problem(members, status, retryAfter);
  } catch {
    // Said below.
  }
  return new ProtocolError(`expected a problem with status ${status}, found ${body.slice(0, 120)}`);
}
