"""The client for asyncio: the same as the blocking one, awaited."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any, AsyncGenerator, AsyncIterator, Awaitable, Dict, Iterable, List, Mapping
from typing import Optional, Tuple, TypeVar, Union

from . import _protocol as protocol
from ._types import Call, Event, ModtwinError, ProtocolError, Report, Unreachable

T = TypeVar("T")
Connection = Tuple[asyncio.StreamReader, asyncio.StreamWriter]


class AsyncModtwin:
    """A client of the daemon at one socket, for asyncio. Holds no connection.

    Parameters, methods and errors are those of :class:`modtwin.Modtwin`.
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

    async def modules(self) -> List[Dict[str, Any]]:
        """As :meth:`modtwin.Modtwin.modules`."""
        answer = await self._ask("GET", "/v1/modules")
        return list(protocol.decode_object(protocol.accepted(answer)).get("modules", []))

    async def get(self, module: str) -> Dict[str, Any]:
        """As :meth:`modtwin.Modtwin.get`."""
        answer = await self._ask("GET", protocol.module_target(module))
        return protocol.decode_object(protocol.accepted(answer))

    def watch(
        self,
        module: str,
        *,
        paths: Iterable[str] = (),
        since: Optional[str] = None,
        handler: Optional[str] = None,
    ) -> AsyncIterator[Event]:
        """As :meth:`modtwin.Modtwin.watch`."""
        return self._follow(protocol.WatchStream(module, paths, since, handler))

    async def report(
        self, module: str, patch: Mapping[str, Any], *, hub_timeout: Optional[float] = None
    ) -> Report:
        """As :meth:`modtwin.Modtwin.report`."""
        target = protocol.report_target(module, hub_timeout)
        limit = self.timeout if hub_timeout is None else hub_timeout + protocol.GRACE
        body = protocol.to_json(dict(patch))
        return protocol.report_of(await self._ask("PATCH", target, protocol.MERGE_PATCH, body, limit))

    async def ack(
        self,
        module: str,
        revision: Union[str, Event],
        *,
        status: int = 200,
        description: Optional[str] = None,
        handler: Optional[str] = None,
        paths: Iterable[str] = (),
    ) -> None:
        """As :meth:`modtwin.Modtwin.ack`."""
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
        protocol.accepted(await self._ask("POST", target, protocol.JSON, body))

    async def send(
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
        """As :meth:`modtwin.Modtwin.send`."""
        headers = protocol.message_headers(
            content_type, content_encoding, properties, message_id, correlation_id
        )
        body = payload.encode() if isinstance(payload, str) else payload
        target = protocol.message_target(module, stored)
        answer = await self._ask("POST", target, headers, body, self.timeout + protocol.GRACE)
        protocol.accepted(answer)
        return answer.status == 200

    def methods(self, module: str, names: Iterable[str]) -> AsyncIterator[Call]:
        """As :meth:`modtwin.Modtwin.methods`."""
        return self._follow(protocol.MethodStream(module, names))

    async def answer(self, call: Call, payload: Any = None, *, status: int = 200) -> None:
        """As :meth:`modtwin.Modtwin.answer`."""
        body = protocol.to_json({"status": status, "payload": payload})
        protocol.accepted(await self._ask("POST", protocol.answer_target(call), protocol.JSON, body))

    async def _ask(
        self,
        method: str,
        target: str,
        headers: Iterable[protocol.Header] = (),
        body: bytes = b"",
        limit: Optional[float] = None,
    ) -> protocol.Answer:
        request = protocol.request(method, target, headers, body)
        return await self._within(
            self._exchange(request), self.timeout if limit is None else limit
        )

    async def _exchange(self, request: bytes) -> protocol.Answer:
        async with self._connect() as connection:
            answer = protocol.Answer()
            await self._send(connection, request)
            while not answer.is_complete:
                answer.feed(await self._receive(connection))
                if len(answer.body) > protocol.MAX_ANSWER:
                    raise ProtocolError("the answer is larger than any of the contract")
            return answer

    async def _follow(self, stream: protocol.Stream[T]) -> AsyncIterator[T]:
        while not stream.is_over:
            connected = self._open(stream)
            try:
                async for event in connected:
                    yield event
            except ModtwinError as error:
                loss, wait = stream.lost(error)
                if loss is not None:
                    yield loss
                await asyncio.sleep(wait)
            finally:
                await connected.aclose()

    async def _open(self, stream: protocol.Stream[T]) -> AsyncGenerator[T, None]:
        async with self._connect() as connection:
            answer = await self._within(self._head(connection, stream.target()), self.timeout)
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
                    answer.feed(await self._within(self._receive(connection), self.silence))

    async def _head(self, connection: Connection, target: str) -> protocol.Answer:
        answer = protocol.Answer()
        await self._send(connection, protocol.request("GET", target))
        while answer.status is None or (answer.status >= 300 and not answer.is_complete):
            answer.feed(await self._receive(connection))
        if answer.status >= 300:
            raise protocol.refusal(answer)
        return answer

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Connection]:
        try:
            reader, writer = await asyncio.wait_for(
                asyncio.open_unix_connection(self.path), self.timeout
            )
        except (OSError, asyncio.TimeoutError) as error:
            raise protocol.unreachable(self.path, error) from error
        try:
            yield reader, writer
        finally:
            writer.close()

    async def _send(self, connection: Connection, request: bytes) -> None:
        try:
            connection[1].write(request)
            await connection[1].drain()
        except (BrokenPipeError, ConnectionResetError):
            pass  # Refused before all of it was read: the answer says why.
        except OSError as error:
            raise protocol.unreachable(self.path, error) from error

    async def _receive(self, connection: Connection) -> bytes:
        try:
            return await connection[0].read(65536)
        except OSError as error:
            raise protocol.unreachable(self.path, error) from error

    async def _within(self, work: Awaitable[T], limit: float) -> T:
        try:
            return await asyncio.wait_for(work, limit)
        except asyncio.TimeoutError:
            raise Unreachable(f"nothing heard from the daemon for {limit:g} s") from None
