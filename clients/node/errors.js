// What keeps a request from being done.

/** Whatever keeps a request from being done. */
export class ModtwinError extends Error {
  /** Whether the same request may do better a little later, without anybody's help. */
  isTemporary = false;
}

/** Nobody answers at the socket, the connection broke, or the daemon fell silent. */
export class Unreachable extends ModtwinError {
  name = "Unreachable";
  constructor(message, cause) {
    super(message, { cause });
    // Who may open the socket is decided by its owner, not by time.
    this.isTemporary = cause?.code !== "EACCES";
  }
}

/** Whoever answers at the socket does not speak this API. */
export class ProtocolError extends ModtwinError {
  name = "ProtocolError";
}

/** The daemon refused, or could not; the message says what to do about it. */
export class Problem extends ModtwinError {
  name = "Problem";
  constructor(members, status, retryAfter) {
    super(String(members.detail ?? members.title));
    this.kind = members.kind;
    this.status = status;
    this.retryAfter = retryAfter;
    this.members = members;
    this.isTemporary = status === 429 || status >= 500;
  }
}
