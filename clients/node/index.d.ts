/** Client of modtwin's local API. Times are in seconds. */

/** A JSON object. */
export type Document = { [key: string]: unknown };

/** Whatever keeps a request from being done. */
export class ModtwinError extends Error {
  /** Whether the same request may do better a little later, without anybody's help. */
  isTemporary: boolean;
}

/** Nobody answers at the socket, the connection broke, or the daemon fell silent. */
export class Unreachable extends ModtwinError {}

/** Whoever answers at the socket does not speak this API. */
export class ProtocolError extends ModtwinError {}

/** The daemon refused, or could not; the message says what to do about it. */
export class Problem extends ModtwinError {
  /** What sort of problem, such as `forbidden`: programs steer by it. */
  readonly kind: string;
  /** The HTTP status. */
  readonly status: number;
  /** After how many seconds to try again, where the daemon says so. */
  readonly retryAfter?: number;
  /** All that the daemon says: `field`, `pointer`, `rule`, `limit`, `hub_status`, … */
  readonly members: Document;
}

/** How a module stands with its hub. */
export interface Hub {
  state: "connected" | "connecting" | "disconnected" | "disabled" | (string & {});
  /** `ok`, `network`, `bad_credential`, … */
  reason: string;
  /** When state or reason last changed, RFC 3339. */
  since: string;
  next_attempt?: string;
  /** More about the reason, for people. */
  detail?: string;
}

/** The first event of a watch; comes again after each reconnect, and where rights change. */
export interface SnapshotEvent {
  type: "snapshot";
  module: string;
  generation: number;
  /** null before the first sync ever. */
  version: number | null;
  /** `GENERATION.VERSION`, to give as `since` to a later watch. */
  revision?: string;
  /** Missing where `unchanged`, null before the first sync ever. */
  desired?: Document | null;
  hub: Hub;
  /** Whether the hub can't be reached, so that `desired` may be out of date. */
  stale: boolean;
  /** Whether nothing has changed since the revision that the watch had. */
  unchanged?: boolean;
}

/** A change of the desired properties. */
export interface DesiredEvent {
  type: "desired";
  module: string;
  generation: number;
  version: number;
  revision: string;
  /** The merge patch from what was told before to `desired`. */
  patch: Document;
  /** The desired properties, whole, within the watched paths. */
  desired: Document;
  /** Whether the version line began anew. */
  reset?: boolean;
}

/** The module stands otherwise with its hub. */
export interface HubEvent {
  type: "hub";
  module: string;
  hub: Hub;
  desired?: undefined;
}

/** The module left the config; the last event. */
export interface RemovedEvent {
  type: "removed";
  module: string;
  hub?: undefined;
  desired?: undefined;
}

/** The daemon is away; the watch tries again by itself. */
export interface LostEvent {
  type: "lost";
  module: string;
  error: ModtwinError;
  retryIn: number;
  hub?: undefined;
  desired?: undefined;
}

/** What a watch tells. Apply `desired` wherever there is one. */
export type WatchEvent =
  | SnapshotEvent
  | (DesiredEvent & { hub?: undefined })
  | HubEvent
  | RemovedEvent
  | LostEvent;

/** A direct-method call that waits for its answer. */
export interface Call {
  module: string;
  id: string;
  method: string;
  payload: unknown;
  /** How long the hub waits for the answer. */
  timeout?: number;
}

export interface WatchOptions {
  /** JSON Pointers to the subtrees to watch; all that the process may see. */
  paths?: string[];
  /** The revision that is applied already. */
  since?: string;
  /** The name under which to show in status. */
  handler?: string;
  /** Ends the watch when it is aborted. */
  signal?: AbortSignal;
}

export interface AckOptions {
  /** 200–299 applied (200 where left out), 400–599 refused. */
  status?: number;
  description?: string;
  handler?: string;
  paths?: string[];
}

export interface MessageOptions {
  contentType?: string;
  contentEncoding?: string;
  properties?: Record<string, string>;
  messageId?: string;
  correlationId?: string;
  /** Be content with the disk, and don't wait for the hub. */
  stored?: boolean;
}

/** A client of the daemon at one socket. Holds no connection. Every method rejects with a `ModtwinError`. */
export class Modtwin {
  /**
   * @param path the socket; `$MODTWIN_SOCKET` or `/run/modtwin/modtwin.sock` where left out
   * @param options `timeout`: how long an answer may take (30); `silence`: after how long without a
   *   sign of life a stream's daemon counts as dead (90)
   */
  constructor(path?: string, options?: { timeout?: number; silence?: number });
  /** The modules that this process may use, as the contract describes them. */
  modules(): Promise<Document[]>;
  /** Both sections of a module's twin: the contract's *snapshot*. */
  get(module: string): Promise<Document>;
  /** Watches desired properties, across restarts of the daemon; ends after `removed`. */
  watch(module: string, options?: WatchOptions): AsyncGenerator<WatchEvent, void, undefined>;
  /**
   * Hands in a merge patch for the reported properties. Resolves once it survives power loss, or
   * with `hubTimeout` once the hub has accepted it, which then gives the version.
   */
  report(
    module: string,
    patch: object,
    options?: { hubTimeout?: number },
  ): Promise<{ sequence: number; version?: number }>;
  /** Says that this handler has applied or refused a version: that of an event, or `GENERATION.VERSION`. */
  ack(module: string, revision: string | { revision?: string }, options?: AckOptions): Promise<void>;
  /**
   * Sends a device-to-cloud message; true once the hub has it, false where it is on disk. It may
   * come twice: give it a `messageId` to be told by.
   */
  send(module: string, payload: string | Uint8Array, options?: MessageOptions): Promise<boolean>;
  /**
   * The direct-method calls of those names, across restarts of the daemon; each wants an `answer`.
   * Ends where the module leaves the config.
   */
  methods(
    module: string,
    names: Iterable<string>,
    options?: { signal?: AbortSignal },
  ): AsyncGenerator<Call, void, undefined>;
  /** Answers a direct-method call. */
  answer(call: Call, payload?: unknown, options?: { status?: number }): Promise<void>;
}
