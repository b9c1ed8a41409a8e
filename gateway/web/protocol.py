"""uvicorn's HTTP/1.1 protocol with a cap on what is read before a request can be refused.

uvicorn keeps a request line and headers of any size in memory, answers what its parser refuses in
plain text and ahead of the answers still due, and takes the body of a request that offers an
upgrade for something else. Here heads have a cap, a refusal waits for its turn and wears the
envelope of the door it was sent to, and an offer to upgrade is ignored.

A request that has arrived whole and can be answered from memory is, without a task of its own.
Timers are set for who lets us wait, not for each request.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.errors import Code
from gateway.web.cycle import Cycle
from gateway.web.limits import LINGER, MAX_HEAD, PATIENCE, too_large

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from gateway.web.front import Front

_REQUEST_LINE = re.compile(rb"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+) +([^ \r\n]*)( HTTP/1\.[01]\r?\n)?")
_BEGUN_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+( +[^ \r\n]*( [^\r\n]*)?)?")
_LONGEST_WAIT = 4096  # bytes of a request line that the parser has given up
_LONGEST_URL = 65_534  # bytes that httptools can split


class _Refusal(NamedTuple):
    method: str
    target: str
    code: Code
    message: str


class CappedProtocol(HttpToolsProtocol):
    """Refuses heads over `MAX_HEAD` and requests that are not HTTP, in the right envelope."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._front: Front = self.config.loaded_app
        self.url = b""  # the target of the request that is being read
        self.cycle: Any = None  # of the newest request
        self._turns: deque[Cycle] = deque()  # of requests whose turn has not come
        self._current: Cycle | None = None  # of the request that is being answered
        self._advancing = False
        self._idle_since = 0.0
        self._head = b""  # of the request that is being read, up to the cap
        self._head_size: int | None = 0  # None once the headers are complete
        self._garbled = False  # the parser has given up
        self._body_due = 0  # bytes, of a request that offered an upgrade
        self._refusal: _Refusal | None = None  # of the last request that is read
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Give the first head its time."""
        super().connection_made(transport)
        self._time_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks, and tell who is still answering."""
        self._time_head(running=False)
        self._unset_keepalive_if_required()
        if self._current is not None:
            self._current.disconnected = True
            self._current.message_event.set()
        super().connection_lost(exc)
        # Or the request and its headers would wait for the garbage collector.
        self._turns.clear()
        self.cycle = self._current = None

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the head has grown over its cap."""
        if self._refusal is not None:
            return
        if self._head_size is not None:
            self._head = (self._head + data)[:MAX_HEAD]
            self._head_size += len(data)
        if not self._garbled:
            self._parse(data)
        self._advance()
        if self._garbled:
            # The rest of a request line that has begun will tell whose envelope is right.
            if len(self._head) > _LONGEST_WAIT or not _BEGUN_LINE.fullmatch(self._head):
                self._refuse_garbled()
        elif self._head_size:
            if self._head_size > MAX_HEAD:
                self._refuse_head()
            elif self._head_timer is None:
                self._time_head()

    def on_message_begin(self) -> None:
        """Begin with an empty head; the scope is made when it is complete."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Stop counting: what is left is the body, which has a cap of its own."""
        if len(self.url) > _LONGEST_URL:
            self._refuse_head()
            return
        self._head, self._head_size = b"", None
        if self._head_timer is not None:
            self._time_head(running=False)
        if self.parser.should_upgrade():
            lengths = (value for name, value in self.headers if name == b"content-length")
            self._body_due = int(next(lengths, b"0"))
        version = self.parser.get_http_version()
        self.cycle = Cycle(
            self._scope(version),
            self.flow,
            self.transport,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            expects_continue=self.expect_100_continue,
            default_headers=self.server_state.default_headers,
            on_response=self.on_response_complete,
        )
        self._turns.append(self.cycle)
        if self._current is not None:
            self.flow.pause_reading()

    def on_body(self, body: bytes) -> None:
        """Keep a piece of a body, unless the request has been answered already."""
        if self._refusal is None and not self.cycle.response_complete:
            self.cycle.take(body)

    def on_message_complete(self) -> None:
        """Answer the request if it is its turn, and begin to count anew: another head comes."""
        if self._body_due == 0 and self._refusal is None:
            self._head, self._head_size = b"", 0
            self.cycle.end()
            self._advance()

    def on_response_complete(self) -> None:
        """Go on with the next request; send a refusal when everything before it is answered."""
        self.server_state.total_requests += 1
        self._current = None
        if self.transport.is_closing():
            return
        if not self._turns:
            self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._time_idleness(self.timeout_keep_alive)
        self._advance()
        if self._refusal is not None and self.cycle.response_complete:
            self._send(self._refusal)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for its time, else look again later."""
        self.timeout_keep_alive_task = None
        if self._current is not None or self._head_size or self.transport.is_closing():
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._time_idleness(left)
        else:
            self.transport.close()

    def _time_idleness(self, seconds: float) -> None:
        wake = self.timeout_keep_alive_handler
        self.timeout_keep_alive_task = self.loop.call_later(seconds, wake)

    def _scope(self, version: str) -> dict[str, Any]:
        """Return the ASGI scope of the head that has just been read."""
        target = httptools.parse_url(self.url)
        path = target.path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": self.parser.get_method().decode("ascii"),
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": target.path,
            "query_string": target.query or b"",
            "headers": self.headers,
        }

    def _advance(self) -> None:
        """Begin with the requests whose turn it is, until one has to wait for something."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._turns and self._current is None and not self.transport.is_closing():
                self._begin(self._turns.popleft())
        finally:
            self._advancing = False

    def _begin(self, cycle: Cycle) -> None:
        self._current = cycle
        visit = self._front.visit(cycle.scope)
        if visit is None:
            self._start(cycle.run(self._front))
            return
        whole = not cycle.more_body and not self.flow.write_paused
        if whole and self._front.at_once(visit, bytes(cycle.body), cycle.answer_at_once):
            return
        self._start(cycle.serve(self._front.answer(visit, cycle.read_body)))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _time_head(self, *, running: bool = True) -> None:
        """Close the connection of who begins a head, or connects, and does not come to its end."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if running:
            self._head_timer = self.loop.call_later(PATIENCE, self.transport.close)

    def _parse(self, data: bytes) -> None:
        """Feed the parser, past offers to upgrade (RFC 9110 section 7.8).

        The parser takes such a request to end with its headers, so the body is ours to pass on.
        """
        while True:
            if self._body_due:
                body, data = data[: self._body_due], data[self._body_due :]
                self._body_due -= len(body)
                self.on_body(body)
                if self._body_due:
                    return
                self.on_message_complete()
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = data[offer.args[0] :]
                continue
            except httptools.HttpParserError:
                self._garbled = True
            return

    def _refuse_garbled(self) -> None:
        """Answer what the parser refused; a method it does not know is one reason."""
        line = _REQUEST_LINE.match(self._head)
        if line is not None and line[3] and not _known(line[1]):
            self._refuse(line, Code.METHOD_UNKNOWN, "there is no such method")
        else:
            self._refuse(line, Code.HEADER_INVALID, "this is not a valid HTTP/1.1 request")

    def _refuse_head(self) -> None:
        line = _REQUEST_LINE.match(self._head)
        in_line = line is not None and line[3] is None
        error = too_large(Code.URI_TOO_LONG if in_line else Code.HEADERS_TOO_LARGE)
        self._refuse(line, error.code, error.message)

    def _refuse(self, line: re.Match[bytes] | None, code: Code, message: str) -> None:
        if self._refusal is not None:
            return
        method, target = (line[1], line[2]) if line is not None else (b"", self._last_target())
        self._refusal = _Refusal(method.decode("ascii"), target.decode("latin-1"), code, message)
        if self.cycle is None or self.cycle.response_complete:
            self._send(self._refusal)

    def _send(self, refusal: _Refusal) -> None:
        """Say the last word and listen for a moment longer (see `limits.discard_body`)."""
        if self.transport.is_closing():
            return
        status, headers, body = self._front.refuse(
            *refusal, self.client[0] if self.client else None
        )
        headers = [*self.server_state.default_headers, *headers]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(LINGER, self.transport.close)

    def _last_target(self) -> bytes:
        """Return the target of this request, or of the one before it on this connection."""
        return self.url or (b"" if self.cycle is None else self.cycle.scope["raw_path"])


def _known(method: bytes) -> bool:
    return method in {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"}
