"""One request on a connection and its answer, which goes out in one piece.

uvicorn's own cycle writes head and body apart, looks at every header with two patterns, and needs a
task for each request; together that is most of what an answer from memory costs.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.web.limits import check_body, read_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.types import ASGIApp, Message, Scope

    Headers = Iterable[tuple[bytes, bytes]]
    Answer = tuple[int, list[tuple[bytes, bytes]], bytes]  # status, headers and body

_log = logging.getLogger("uvicorn.error")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE = (b"connection", b"close")
_BODILESS = frozenset({204, 304})


class Cycle:
    """A request, and the ASGI application's way to read its body and to answer.

    `default_headers` go before those of every answer; `on_response` is called when it is out, and
    ends the connection unless `keep_alive` is still true.
    """

    def __init__(
        self,
        scope: Scope,
        flow: FlowControl,
        transport: asyncio.Transport,
        *,
        keep_alive: bool,
        expects_continue: bool,
        default_headers: Headers,
        on_response: Callable[[], None],
    ) -> None:
        self.scope = scope
        self.body = bytearray()  # as far as it has arrived and not been read
        self.more_body = True
        self.keep_alive = keep_alive
        self.malformed = False  # the rest of the body cannot be read
        self.disconnected = False
        self.response_complete = False
        self.message_event = asyncio.Event()  # something of the above has changed
        self._flow = flow
        self._transport = transport
        self._expects_continue = expects_continue
        self._default_headers = default_headers
        self._on_response = on_response
        self._start: Message | None = None  # of an answer whose body has not begun

    def take(self, body: bytes) -> None:
        """Keep a piece of the body, and let the client wait while there is too much of it."""
        self.body += body
        if len(self.body) > HIGH_WATER_LIMIT:
            self._flow.pause_reading()
        self.message_event.set()

    def end(self) -> None:
        """Remember that the body is complete."""
        self.more_body = False
        self.message_event.set()

    def break_off(self) -> None:
        """Remember that the rest of the body will not come, or cannot be told from other things."""
        self.malformed = self.scope["malformed"] = True
        self.message_event.set()

    def answer(self, status: int, headers: Headers, body: bytes, *, more: bool = False) -> None:
        """Write a head and, unless HTTP forbids one here, a body or its beginning."""
        if self.disconnected:
            return
        head = self._head(status, headers)
        bodiless = status in _BODILESS or self.scope["method"] == "HEAD"
        self._transport.write(head if bodiless else head + body)
        if not more:
            self._finish()

    def answer_at_once(self, answer: Answer) -> None:
        """Do the same for an answer that nobody waits for any more. Never raises."""
        try:
            self.answer(*answer)
        except Exception:  # noqa: BLE001  the last line of defence
            _log.exception("a request was not answered")
            self._transport.close()

    async def serve(self, work: Awaitable[Answer]) -> None:
        """Send what `work` returns."""
        try:
            status, headers, body = await work
            if self._flow.write_paused and not self.disconnected:
                await self._flow.drain()
            self.answer(status, headers, body)
        except Exception:  # noqa: BLE001  the last line of defence
            _log.exception("a request was not answered")
            self._transport.close()

    async def run(self, app: ASGIApp) -> None:
        """Let `app` answer. What it leaves unfinished cannot be finished by anybody else."""
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:  # noqa: BLE001  the last line of defence
            _log.exception("a request was not answered")
        if not self.response_complete and not self.disconnected:
            self._transport.close()

    async def read_body(self) -> bytes:
        """Return the whole body. Raises GatewayError as `limits.read_body`."""
        if self.more_body:
            return await read_body(self.receive)
        return check_body(bytes(self.body))

    async def receive(self) -> Message:
        """Return what came of the body since the last call, when something has."""
        if self._expects_continue and not self._transport.is_closing():
            self._transport.write(_CONTINUE)
            self._expects_continue = False
        if not self._over():
            self._flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self._over():
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Take a part of the answer; its head waits for the first part of its body."""
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self._start = message
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._start is not None:
            start, self._start = self._start, None
            self.answer(start["status"], start["headers"], body, more=more)
            return
        if body and self.scope["method"] != "HEAD":
            self._transport.write(body)
        if not more:
            self._finish()

    def _over(self) -> bool:
        """Whether nothing of the body will come any more."""
        return self.disconnected or self.response_complete or self.malformed

    def _head(self, status: int, headers: Headers) -> bytes:
        """Return status line and headers (RFC 9112 section 2.1)."""
        self._expects_continue = False
        if self.more_body:  # what comes of it would be taken for the next request
            self.keep_alive = False
        lines = [*self._default_headers, *headers]
        if _CLOSE in lines:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(_CLOSE)
        head = STATUS_LINE[status] + b"".join([b"%s: %s\r\n" % line for line in lines]) + b"\r\n"
        if head.count(b"\n") != len(lines) + 2 or head.count(b"\r") != len(lines) + 2:
            raise RuntimeError("a header has a line break in it")
        return head

    def _finish(self) -> None:
        self.response_complete = True
        self.message_event.set()
        self._on_response()
