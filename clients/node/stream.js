// Reading a stream: its lines, within bounds, and how long to wait before it is opened anew.

import { ProtocolError, Unreachable } from "./errors.js";

const MAX_LINE = 1024 * 1024;
const FIRST_WAIT = 100;
const LONGEST_WAIT = 5_000;

/** The wait after that many failures in a row, in ms: half of it fixed, half of it by chance. */
export function backoff(failures) {
  const whole = Math.min(FIRST_WAIT * 2 ** Math.min(failures, 16), LONGEST_WAIT);
  return whole / 2 + (Math.random() * whole) / 2;
}

/** The lines of `response`. Reads only what is asked for, so that a slow reader is told less. */
export async function* lines(response, silence) {
  let pieces = [];
  let size = 0;
  const chunks = response[Symbol.asyncIterator]();
  for (;;) {
    const { done, value } = await within(chunks.next(), silence, response);
    if (done) {
      if (size > 0) throw new Unreachable("the stream ended within a line");
      return;
    }
    let rest = value;
    for (let end; (end = rest.indexOf(10)) >= 0; rest = rest.subarray(end + 1)) {
      const line = Buffer.concat([...pieces, rest.subarray(0, end)]).toString().trim();
      pieces = [];
      size = 0;
      if (line !== "") yield line;
    }
    if (rest.length > 0) pieces.push(rest);
    size += rest.length;
    if (size > MAX_LINE) {
      throw new ProtocolError(`expected lines of at most ${MAX_LINE} bytes, found a longer one`);
    }
  }
}

async function within(work, limit, response) {
  let timer;
  const silent = new Unreachable(`nothing heard from the daemon for ${limit / 1000} s`);
  try {
    return await Promise.race([
      work,
      new Promise((_, reject) => {
        timer = setTimeout(() => reject(silent), limit);
      }),
    ]);
  } catch (error) {
    response.destroy();
    work.catch(() => {});
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
