"""The blocking client: one connection a request, one a stream."""

from __future__ import annotations

import socket
import time
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, TypeVar, Union

from . import _protocol as protocol
from ._types import Call, Event, ModtwinError, ProtocolError, Report, Unreachable

T = TypeVar("T")


class Modtwin:
    """A client of the daemon at one socket. Holds no connection; threads may share it.

    :param path: the socket; ``$MODTWIN_SOCKET`` or ``/run/modtwin/modtwin.sock`` where left out.
    :param timeout: seconds that an answer may take.
    :param silence: seconds without a sign of life after which a stream's daemon counts as dead.

    Every method raises :class:`Unreachable`, :class:`Problem` or :class:`ProtocolError`, which are
    all :class:`ModtwinError`.
    """

    def __init__(
        self,
        path: Optional[str] = None,
        *,
        timeout: float = protocol.DEFAULT_TIMEOUT,
        silence: float = protocol.DEFAULT_SILENCE,
    ) -> None:
        self.path = path or protocol.default_socket()
        self.timeout = timeout
        self.silence = silence

    def modules(self) -> List[Dict[str, Any]]:
        """The modules that this process may use, as the contract describes them."""
        answer = self._ask("GET", "/v1/modules")
        return list(protocol.decode_object(protocol.accepted(answer)).get("modules", []))

    def get(self, module: str) -> Dict[str, Any]:
        """Both sections of a module's twin: the contract's *snapshot*."""
        answer = self._ask("GET", protocol.module_target(module))
        return protocol.decode_object(protocol.accepted(answer))

    def watch(
        self,
        module: str,
        *,
        paths: Iterable[str] = (),
        since: Optional[str] = None,
        handler: Optional[str] = None,
    ) -> Iterator[Event]:
        """Watches desired properties, across restarts of the daemon; ends after ``removed``.

        The first event is a ``snapshot``. After a reconnect comes a snapshot again, ``unchanged``
        and without ``desired`` where nothing was missed. One also comes in mid-stream, where a
        reload lets the process see something else.

        :param paths: JSON Pointers to the subtrees to watch; all that the process may see.
        :param since: the revision that is applied already, ``GENERATION.VERSION``.
        :param handler: the name under which to show in status.
        """
        return self._follow(protocol.WatchStream(module, paths, since, handler))

    def report(
        self, module: str, patch: Mapping[str, Any], *, hub_timeout: Optional[float] = None
    ) -> Report:
        """Hands in a merge patch (RFC 7396) for the reported properties.

        Returns once it survives power loss, or with ``hub_timeout`` (seconds) once the hub has
        accepted it; a :class:`Problem` of kind ``timeout`` then means that it is stored and still on
        its way.
        """
        target = protocol.report_target(module, hub_timeout)
        limit = self.timeout if hub_timeout is None else hub_timeout + protocol.GRACE
        body = protocol.to_json(dict(patch))
        return protocol.report_of(self._ask("PATCH", target, protocol.MERGE_PATCH, body, limit))

    def ack(
        self,
        module: str,
        revision: Union[str, Event],
        *,
        status: int = 200,
        description: Optional[str] = None,
        handler: Optional[str] = None,
        paths: Iterable[str] = (),
    ) -> None:
        """Says that this handler has applied (200–299) or refused (400–599) a version.

        :param revision: the event that brought it, or its ``GENERATION.VERSION``.
        """
        body = protocol.ack_body(
            revision,
            {
                "status": status,
                "description": description,
                "handler": handler,
                "paths": list(paths),
            },
        )
        target = protocol.module_target(module, "/acks")
        protocol.accepted(self._ask("POST", target, protocol.JSON, body))

    def send(
        self,
        module: str,
        payload: Union[bytes, str],
        *,
        content_type: Optional[str] = None,
        content_encoding: Optional[str] = None,
        properties: Optional[Mapping[str, str]] = None,
        message_id: Optional[str] = None,
        correlation_id: Optional[str] = None,
        stored: bool = False,
    ) -> bool:
        """Sends a device-to-cloud message; True once the hub has it, False where it is on disk.

        It may come twice: give it a ``message_id`` to be told by.

        :param properties: names and values of the sender's own.
        :param stored: be content with the disk, and don't wait for the hub.
        """
        headers = protocol.message_headers(
            content_type, content_encoding, properties, message_id, correlation_id
        )
        body = payload.encode() if isinstance(payload, str) else payload
        target = protocol.message_target(module, stored)
        answer = self._ask("POST", target, headers, body, self.timeout + protocol.GRACE)
        protocol.accepted(answer)
        return answer.status == 200

    def methods(self, module: str, names: Iterable[str]) -> Iterator[Call]:
        """The direct-method calls of those names, across restarts of the daemon.

        Each wants an :meth:`answer`. Ends where the module leaves the config.
        """
        return self._follow(protocol.MethodStream(module, names))

    def answer(self, call: Call, payload: Any = None, *, status: int = 200) -> None:
        """Answers a direct-method call."""
        body = protocol.to_json({"status": status, "payload": payload})
        protocol.accepted(self._ask("POST", protocol.answer_target(call), protocol.JSON, body))

    def _ask(
        self,
        method: str,
        target: str,
        headers: Iterable[protocol.Header] = (),
        body: bytes = b"",
        limit: Optional[float] = None,
    ) -> protocol.Answer:
        request = protocol.request(method, target, headers, body)
        deadline = time.monotonic() + (self.timeout if limit is None else limit)
        with self._connect(deadline) as connection:
            answer = protocol.Answer()
            self._send(connection, request, deadline)
            while not answer.is_complete:
                answer.feed(self._receive(connection, deadline))
                if len(answer.body) > protocol.MAX_ANSWER:
                    raise ProtocolError("the answer is larger than any of the contract")
            return answer

    def _follow(self, stream: protocol.Stream[T]) -> Iterator[T]:
        while not stream.is_over:
            try:
                yield from self._open(stream)
            except ModtwinError as error:
                loss, wait = stream.lost(error)
                if loss is not None:
                    yield loss
                time.sleep(wait)

    def _open(self, stream: protocol.Stream[T]) -> Iterator[T]:
        deadline = time.monotonic() + self.timeout
        with self._connect(deadline) as connection:
            answer = protocol.Answer()
            self._send(connection, protocol.request("GET", stream.target()), deadline)
            while answer.status is None or (answer.status >= 300 and not answer.is_complete):
                answer.feed(self._receive(connection, deadline))
            if answer.status >= 300:
                raise protocol.refusal(answer)
            stream.has_begun = True
            while True:
                line = answer.next_line()
                if line is not None:
                    event = stream.parse(line)
                    if event is not None:
                        yield event
                    if stream.is_over:
                        return
                elif answer.is_complete:
                    raise Unreachable("the daemon ended the stream")
                else:
                    answer.feed(self._receive(connection, time.monotonic() + self.silence))

    def _connect(self, deadline: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            connection.connect(self.path)
        except OSError as error:
            connection.close()
            raise protocol.unreachable(self.path, error) from error
        return connection

    def _send(self, connection: socket.socket, request: bytes, deadline: float) -> None:
        try:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass  # Refused before all of it was read: the answer says why.
        except OSError as error:
            raise protocol.unreachable(self.path, error) from error

    def _receive(self, connection: socket.socket, deadline: float) -> bytes:
        try:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            return connection.recv(65536)
        except OSError as error:
            raise protocol.unreachable(self.path, error) from error

