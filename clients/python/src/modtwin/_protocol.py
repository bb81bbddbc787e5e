"""What goes over the socket, without touching it: requests as bytes, answers and streams from bytes.

Owns the bounds, the errors and how a stream is resumed. Leaves to ``_sync`` and ``_async`` how
bytes are moved and how one waits.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any, Dict, Generic, Iterable, List, Mapping, Optional, Tuple, TypeVar, Union
from urllib.parse import quote

from ._types import Call, Event, Hub, ModtwinError, Problem, ProtocolError, Report, Unreachable

DEFAULT_SOCKET = "/run/modtwin/modtwin.sock"
DEFAULT_TIMEOUT = 30.0
#: After this silence the daemon counts as dead: three of its heartbeats are missing.
DEFAULT_SILENCE = 90.0
#: How long an answer may take beyond the time that the request itself allows for.
GRACE = 10.0

MAX_HEAD = 16 * 1024
MAX_ANSWER = 4 * 1024 * 1024
MAX_LINE = 1024 * 1024

FIRST_WAIT = 0.1
LONGEST_WAIT = 5.0

T = TypeVar("T")

#: A header of a request.
Header = Tuple[str, str]

JSON: List[Header] = [("content-type", "application/json")]
MERGE_PATCH: List[Header] = [("content-type", "application/merge-patch+json")]


def default_socket() -> str:
    return os.environ.get("MODTWIN_SOCKET") or DEFAULT_SOCKET


def module_target(module: str, rest: str = "", query: Iterable[Tuple[str, str]] = ()) -> str:
    target = "/v1/modules/" + quote(module, safe="") + rest
    pairs = "&".join(name + "=" + quote(value, safe="") for name, value in query)
    return target + "?" + pairs if pairs else target


def to_json(value: Any) -> bytes:
    # NaN and infinity are not JSON.
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def request(method: str, target: str, headers: Iterable[Header] = (), body: bytes = b"") -> bytes:
    lines = [method + " " + target + " HTTP/1.1", "host: localhost", "connection: close"]
    for name, value in headers:
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
            raise ValueError(f"expected no control character in {name}, found {value!r}")
        lines.append(name + ": " + value)
    if body or method != "GET":
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def message_headers(
    content_type: Optional[str],
    content_encoding: Optional[str],
    properties: Optional[Mapping[str, str]],
    message_id: Optional[str],
    correlation_id: Optional[str],
) -> List[Header]:
    headers = [("modtwin-property", f"{k}={v}") for k, v in (properties or {}).items()]
    for name, value in (
        ("content-type", content_type),
        ("content-encoding", content_encoding),
        ("modtwin-message-id", message_id),
        ("modtwin-correlation-id", correlation_id),
    ):
        if value is not None:
            headers.append((name, value))
    return headers


class Answer:
    """An HTTP/1.1 answer, read from bytes as they come, within bounds."""

    def __init__(self) -> None:
        self.status: Optional[int] = None
        self.headers: Dict[str, str] = {}
        self.is_complete = False
        #: What of the body has come and was not taken.
        self.body = bytearray()
        self._input = bytearray()
        #: Bytes of the body, or of its chunk, that are still to come; None until the end.
        self._left: Optional[int] = None
        self._is_chunked = False

    def feed(self, data: bytes) -> None:
        """Takes bytes in; none mean that the connection has ended."""
        if not data:
            self._end()
            return
        self._input += data
        if self.status is None and not self._head():
            return
        if self._is_chunked:
            self._chunks()
        else:
            self._plain()

    def next_line(self) -> Optional[bytes]:
        """The next whole line of the body, without its line feed."""
        end = self.body.find(b"\n")
        if end < 0:
            if len(self.body) > MAX_LINE:
                raise ProtocolError(f"expected lines of at most {MAX_LINE} bytes, found a longer one")
            return None
        line = bytes(self.body[:end])
        del self.body[: end + 1]
        return line

    def _head(self) -> bool:
        end = self._input.find(b"\r\n\r\n")
        if end < 0:
            if len(self._input) > MAX_HEAD:
                raise ProtocolError("expected HTTP/1.1, found a head without end")
            return False
        first, *rest = bytes(self._input[:end]).decode("latin-1").split("\r\n")
        del self._input[: end + 4]
        words = first.split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise ProtocolError(f"expected HTTP/1.1, found {first[:80]!r}")
        for line in rest:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self.status = int(words[1])
        self._is_chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        length = self.headers.get("content-length", "")
        if self._is_chunked:
            self._left = 0
        elif length.isdigit():
            self._left = int(length)
        elif self.status == 204:
            self._left = 0
        return True

    def _plain(self) -> None:
        wanted = len(self._input) if self._left is None else self._left
        self.body += self._input[:wanted]
        taken = min(wanted, len(self._input))
        del self._input[:taken]
        if self._left is not None:
            self._left -= taken
            self.is_complete = self._left == 0

    def _chunks(self) -> None:
        while not self.is_complete:
            if self._left:
                self._plain_chunk()
                if self._left:
                    return
            end = self._input.find(b"\r\n")
            if end < 0:
                if len(self._input) > 1024:
                    raise ProtocolError("expected the size of a chunk, found no end of its line")
                return
            size = bytes(self._input[:end]).split(b";")[0].strip()
            del self._input[: end + 2]
            if not size:
                continue  # The line end after a chunk.
            try:
                self._left = int(size, 16)
            except ValueError:
                raise ProtocolError(f"expected the size of a chunk, found {size[:20]!r}") from None
            self.is_complete = self._left == 0

    def _plain_chunk(self) -> None:
        assert self._left is not None
        part = self._input[: self._left]
        del self._input[: len(part)]
        self.body += part
        self._left -= len(part)

    def _end(self) -> None:
        if self.status is not None and self._left is None:
            self.is_complete = True
        elif not self.is_complete:
            raise Unreachable("the connection ended before the answer did")


def decode_object(body: bytes) -> Dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise ProtocolError(f"expected JSON, found otherwise ({error})") from None
    if not isinstance(value, dict):
        raise ProtocolError("expected a JSON object, found another value")
    return value


def retry_after(answer: Answer) -> Optional[float]:
    """The seconds that the daemon asks for; an hour at most, whatever it says."""
    seconds = answer.headers.get("retry-after", "")
    if not (seconds.isascii() and seconds.isdigit()):
        return None
    return float(min(int(seconds[:9]), 3600))


def refusal(answer: Answer) -> ModtwinError:
    """The error that an answer with a status of 300 and above means."""
    try:
        members = decode_object(bytes(answer.body))
        kind, detail = str(members["kind"]), str(members.get("detail") or members.get("title"))
    except (KeyError, ProtocolError):
        excerpt = bytes(answer.body[:120])
        return ProtocolError(f"expected a problem with status {answer.status}, found {excerpt!r}")
    return Problem(detail, kind, answer.status or 0, retry_after(answer), members)


def accepted(answer: Answer) -> bytes:
    """The body of an answer that says success."""
    if answer.status is None or not 200 <= answer.status < 300:
        raise refusal(answer)
    return bytes(answer.body)


def report_of(answer: Answer) -> Report:
    members = decode_object(accepted(answer))
    return Report(int(members.get("sequence", 0)), members.get("version"))


def report_target(module: str, hub_timeout: Optional[float]) -> str:
    if hub_timeout is None:
        return module_target(module, "/reported")
    query = [("wait", "hub"), ("timeout", f"{hub_timeout:.3f}")]
    return module_target(module, "/reported", query)


def message_target(module: str, stored: bool) -> str:
    return module_target(module, "/messages", [("wait", "stored")] if stored else [])


def ack_body(revision: Union[str, Event], members: Mapping[str, Any]) -> bytes:
    text = revision.revision if isinstance(revision, Event) else revision
    generation, dot, version = (text or "").partition(".")
    if not (dot and generation.isdigit() and version.isdigit()):
        raise ValueError(f"expected GENERATION.VERSION or an event that has them, found {text!r}")
    said = {name: value for name, value in members.items() if value}
    return to_json({"generation": int(generation), "version": int(version), **said})


def answer_target(call: Call) -> str:
    return module_target(call.module, "/methods/" + quote(call.id, safe=""))


def hub_of(value: Any) -> Hub:
    if not isinstance(value, dict):
        raise ProtocolError("expected how the module stands with its hub, found otherwise")
    return Hub(
        state=str(value.get("state", "unknown")),
        reason=str(value.get("reason", "unknown")),
        since=str(value.get("since", "")),
        next_attempt=value.get("next_attempt"),
        detail=value.get("detail"),
    )


def unreachable(path: str, error: BaseException) -> Unreachable:
    is_final = isinstance(error, PermissionError)
    return Unreachable(f"cannot talk to the daemon at {path}: {error}", is_final)


class Stream(Generic[T]):
    """A stream that outlives its connections: what it asks for, and when it asks again."""

    def __init__(self, module: str, rest: str, query: List[Tuple[str, str]]) -> None:
        self.module = module
        self._rest = rest
        self._query = query
        self._failures = 0
        #: Whether the daemon granted it once.
        self.has_begun = False
        self.is_over = False

    def target(self) -> str:
        return module_target(self.module, self._rest, self._query)

    def lost(self, error: ModtwinError) -> Tuple[Optional[T], float]:
        """What to tell of a loss, and the seconds until the next attempt.

        Raises what another attempt would not mend.
        """
        if not self._may_pass(error):
            raise error
        whole = min(FIRST_WAIT * 2 ** min(self._failures, 16), LONGEST_WAIT)
        self._failures += 1
        wait = whole / 2 + random.uniform(0, whole / 2)
        if isinstance(error, Problem) and error.retry_after is not None:
            wait = max(wait, error.retry_after)
        return self._loss(error, wait), wait

    def parse(self, line: bytes) -> Optional[T]:
        """What a line says; None where it is a sign of life, or of a type that came later."""
        if not line.strip():
            return None
        members = decode_object(line)
        self._failures = 0
        try:
            return self._parse(members)
        except (KeyError, TypeError) as error:
            raise ProtocolError(f"expected an event, found one that lacks {error}") from None

    def _may_pass(self, error: ModtwinError) -> bool:
        """Whether another attempt may do better."""
        return error.is_temporary

    def _loss(self, error: ModtwinError, wait: float) -> Optional[T]:
        raise NotImplementedError

    def _parse(self, members: Dict[str, Any]) -> Optional[T]:
        raise NotImplementedError


class WatchStream(Stream[Event]):
    """The events of ``GET …/watch``."""

    def __init__(
        self, module: str, paths: Iterable[str], since: Optional[str], handler: Optional[str]
    ) -> None:
        query = [("path", path) for path in paths]
        if handler is not None:
            query.append(("handler", handler))
        super().__init__(module, "/watch", query)
        self._since = since

    def target(self) -> str:
        since = [("since", self._since)] if self._since else []
        return module_target(self.module, self._rest, self._query + since)

    def _loss(self, error: ModtwinError, wait: float) -> Event:
        return Event(type="lost", module=self.module, error=error, retry_in=wait)

    def _parse(self, members: Dict[str, Any]) -> Optional[Event]:
        kind = members["type"]
        if kind == "hub":
            return Event(type="hub", module=self.module, hub=hub_of(members["hub"]))
        if kind == "removed":
            self.is_over = True
            return Event(type="removed", module=self.module)
        if kind not in ("snapshot", "desired"):
            return None
        event = Event(
            type=kind,
            module=self.module,
            generation=members["generation"],
            version=members["version"],
            desired=members.get("desired"),
            patch=members.get("patch"),
            hub=hub_of(members["hub"]) if kind == "snapshot" else None,
            stale=bool(members.get("stale")),
            unchanged=bool(members.get("unchanged")),
            reset=bool(members.get("reset")),
        )
        self._since = event.revision
        return event


class MethodStream(Stream[Call]):
    """The calls of ``GET …/methods``."""

    def __init__(self, module: str, names: Iterable[str]) -> None:
        super().__init__(module, "/methods", [("name", name) for name in names])

    def _may_pass(self, error: ModtwinError) -> bool:
        # A method that is in use may be our own: the daemon has not seen the end of the last stream yet.
        is_in_use = isinstance(error, Problem) and error.kind == "in_use"
        return super()._may_pass(error) or (self.has_begun and is_in_use)

    def _loss(self, error: ModtwinError, wait: float) -> None:
        """Who answers calls has nothing to do meanwhile."""

    def _parse(self, members: Dict[str, Any]) -> Optional[Call]:
        self.is_over = members["type"] == "removed"
        if members["type"] != "invoke":
            return None
        limit = members.get("timeout_ms")
        return Call(
            module=self.module,
            id=str(members["id"]),
            method=str(members["method"]),
            payload=members.get("payload"),
            timeout=limit / 1000 if limit is not None else None,
        )
