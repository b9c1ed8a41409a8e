"""uvicorn's HTTP/1.1 protocol with a cap on what is read before a request can be refused.

uvicorn keeps a request line and headers of any size in memory, answers what its parser refuses in
plain text and ahead of the answers still due, and takes the body of a request that offers an
upgrade for something else. Here heads have a cap, a refusal waits for its turn and wears the
envelope of the door it was sent to, and an offer to upgrade is ignored.

Any parse error ends the connection: nothing more is taken from it, the answers that are due go out,
and then one refusal (see `gateway.web.ending`).

A request that has arrived whole and can be answered from memory is, without a task of its own.
Timers are set for who lets us wait, not for each request.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.web.cycle import Cycle
from gateway.web.ending import EndingProtocol
from gateway.web.garbled import Refusal, may_tell_more, refuse_garbled, refuse_large
from gateway.web.limits import LINGER, MAX_BODY, MAX_BODY_SENT, MAX_HEAD, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from gateway.web.front import Front

_NOBODY = ("0.0.0.0", 0)  # noqa: S104  the address of nobody (RFC 1122 section 3.2.1.3)
_LONGEST_URL = 65_534  # bytes that httptools can split


class CappedProtocol(EndingProtocol):
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
        self._head_begun = False  # and has not come to its end
        self._body_room = 0  # bytes that the body being read may still take on the wire
        self._offered = b""  # how long the body is of a request that offers an upgrade
        self._garbled = False  # the parser has given up on a head
        self._deaf = False  # nothing more is taken for a request
        self._refusal: Refusal | None = None  # of the last request that is read

    def connection_made(self, transport: Any) -> None:
        """Give the first head its time."""
        super().connection_made(transport)
        # A peer without an address is one on a Unix socket, and trusted; not one that is gone.
        if self.client is None and transport.get_extra_info("socket").family != socket.AF_UNIX:
            self.client = _NOBODY
        self._set_deadline(PATIENCE, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who is still answering."""
        if self._current is not None:
            self._current.disconnected = True
            self._current.message_event.set()
        super().connection_lost(exc)
        # Or the request and its headers would wait for the garbage collector.
        self._turns.clear()
        self.cycle = self._current = None

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless a head or a body has grown over its cap."""
        if self._deaf:
            self._ignore(len(data))
            return
        if self._head_size is None:
            self._body_room -= len(data)
        else:
            self._head = (self._head + data)[:MAX_HEAD]
            self._head_size += len(data)
        if not self._garbled:
            self._parse(data)
        self._advance()
        if self._garbled:
            # The rest of a request line that has begun will tell whose envelope is right.
            if not may_tell_more(self._head):
                self._refuse_garbled()
        else:
            self._check_size()

    def eof_received(self) -> Any:
        """Answer what has been asked: the client says that it will ask nothing more."""
        self._hung_up = True
        if self._ended:
            self._close()
        elif self.cycle is not None and self.cycle.more_body:
            self._break_off_body()
        elif self._garbled:
            self._refuse_garbled()
        else:
            self._stop()
        return True  # or the transport would close before the answers are out

    def on_message_begin(self) -> None:
        """Begin with an empty head; the scope is made when it is complete."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._head_begun = True

    def on_headers_complete(self) -> None:
        """Stop counting: what is left is the body, which has caps of its own."""
        if self._deaf or self._offered:
            return
        if len(self.url) > _LONGEST_URL:
            self._stop(refuse_large(self._head, self._seen()))
            return
        version = self.parser.get_http_version()
        scope = self._scope(version)
        if self.parser.should_upgrade():
            self._offered = _framing(self.headers)
        self.headers = []  # for trailers, which are no headers
        self._head, self._head_size, self._head_begun = b"", None, False
        self._body_room = MAX_BODY_SENT
        if self._deadline is not None:
            self._clear_deadline()
        self.cycle = Cycle(
            scope,
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
        if not self._deaf and not self.cycle.response_complete:
            self.cycle.take(body)

    def on_message_complete(self) -> None:
        """Answer the request if it is its turn, and begin to count anew: another head comes."""
        if not self._deaf and not self._offered:
            self._head, self._head_size = b"", 0
            if self.headers and not self.parser.should_keep_alive():
                self.cycle.keep_alive = False  # a trailer says so, and the parser believes it
            self.cycle.end()
            self._advance()

    def on_response_complete(self) -> None:
        """Go on with the next request, or end when this was the last one."""
        self.server_state.total_requests += 1
        cycle, self._current = self._current, None
        if self.transport.is_closing():
            return
        if cycle is not None and not cycle.keep_alive:
            self._refusal = None
            self._end()
            return
        if not self._turns:
            if self._deaf:
                self._end()
                return
            self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._time_idleness(self.timeout_keep_alive)
        self._advance()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for its time, else look again later."""
        self.timeout_keep_alive_task = None
        if self._current is not None or self._head_begun or self._deaf:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._time_idleness(left)
        else:
            self._close()

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
        whole = not cycle.more_body and len(cycle.body) <= MAX_BODY
        ready = whole and not self.flow.write_paused
        if ready and self._front.at_once(visit, bytes(cycle.body), cycle.answer_at_once):
            return
        self._start(cycle.serve(self._front.answer(visit, cycle.read_body)))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _head_is_late(self) -> None:
        """Wait no longer for who connects, or begins a head, and does not come to its end."""
        if self.flow.read_paused:  # its rest may have come long ago
            self._set_deadline(PATIENCE, self._head_is_late)
        else:
            self._stop()

    def _parse(self, data: bytes) -> None:
        """Feed the parser, past offers to upgrade (RFC 9110 section 7.8)."""
        while True:
            try:
                if self._offered:
                    self._expect_body()
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = data[offer.args[0] :]
            except httptools.HttpParserError:
                if self.cycle is not None and self.cycle.more_body:
                    self._break_off_body()
                else:
                    self._garbled = True
                    self._set_deadline(LINGER, self._refuse_garbled)
                return
            else:
                return

    def _check_size(self) -> None:
        """Refuse what has grown too large, and give a head that has begun its time."""
        if self._head_size is None:
            if self._body_room < 0:
                self._break_off_body()
        elif self._head_size > MAX_HEAD:
            self._stop(refuse_large(self._head, self._seen()))
        elif self._head_begun and self._deadline is None:
            self._set_deadline(PATIENCE, self._head_is_late)

    def _expect_body(self) -> None:
        """Take the body of a request that offered an upgrade.

        The parser took the request to end with its headers. A new one is told of the body.
        """
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + self._offered + b"\r\n")
        self._offered, self._head_begun = b"", False

    def _break_off_body(self) -> None:
        """Refuse a request whose body cannot be read, or whose client has gone before its end."""
        self.cycle.break_off()
        self._stop()

    def _refuse_garbled(self) -> None:
        self._stop(refuse_garbled(self._head, self._seen()))

    def _seen(self) -> tuple[bytes, bytes]:
        """Return method and target of the request that is being read.

        When nothing of them is known, the target is that of the request before, for the envelope.
        """
        if self.url:
            return self.parser.get_method(), self.url
        return b"", b"" if self.cycle is None else self.cycle.scope["raw_path"]

    def _stop(self, refusal: Refusal | None = None) -> None:
        """Take no more requests: the answers that are due go out, then `refusal`, if any."""
        if self._deaf:
            return
        self._deaf, self._refusal = True, refusal
        self._clear_deadline()
        if self._current is None and not self._turns:
            self._end()
        else:
            self.flow.pause_reading()

    def _end(self) -> None:
        """Say the last word."""
        self._deaf = True
        self._turns.clear()
        if self._refusal is not None:
            self._send(self._refusal)
        self._half_close()

    def _send(self, refusal: Refusal) -> None:
        peer = self.client[0] if self.client else None
        status, headers, body = self._front.refuse(*refusal, peer)
        headers = [*self.server_state.default_headers, *headers]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)


def _framing(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the header lines that tell how a body ends; none when there is no body."""
    return b"".join(
        b"%s: %s\r\n" % (name, value)
        for name, value in headers
        if name == b"transfer-encoding" or (name == b"content-length" and int(value))
    )
