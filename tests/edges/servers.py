"""What stands around an edge in a test: an origin, and a Keyferry that writes down what it hears.

Both are plain web servers in threads, so that a test sees exactly what an edge sends.
"""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message
    from io import BytesIO
    from pathlib import Path


class Heard(NamedTuple):
    """A request as it arrived."""

    method: str
    target: str
    headers: Message
    body: bytes
    connection: tuple[str, int]  # the peer: the same for all requests of one connection


class Server(ThreadingHTTPServer):
    """A web server on a free port that remembers its requests, for as long as it is open."""

    daemon_threads = False  # closing waits for them, so that no test leaves one behind

    def __init__(self, handler: Callable[..., BaseHTTPRequestHandler], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.heard: list[Heard] = []
        self.also_says: dict[str, str] = {}  # headers of every answer
        self._connections: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection. Stopping twice is no fault."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
            self.hang_up()
            self.server_close()

    def hang_up(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, peer = super().get_request()
        self._connections.append(connection)
        return connection, peer

    def handle_error(self, *_: object) -> None:
        """Say nothing when an edge hangs up; anything else is a fault of ours."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            raise error

    def listen(self, handler: BaseHTTPRequestHandler) -> Heard:
        """Take in the request that `handler` is about to answer."""
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        heard = Heard(handler.command, handler.path, handler.headers, body, handler.client_address)
        self.heard.append(heard)
        return heard


class Verdict(NamedTuple):
    """An answer to an edge: its status and headers."""

    status: int
    headers: dict[str, str]


class Oracle(Server):
    """Answers in Keyferry's place, as `judge` says of the URL that is played."""

    def __init__(self, judge: Callable[[str], Verdict], port: int = 0) -> None:
        super().__init__(_Answering, port)
        self.judge = judge


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # so that connections may stay open
    timeout = 20
    disable_nagle_algorithm = True  # or every answer waits for an acknowledgement
    server: Server

    def log_message(self, *_: object) -> None:
        """Say nothing: tests read `heard`."""


class _Answering(_Handler):
    server: Oracle

    def do_GET(self) -> None:
        verdict = self.server.judge(played(self.server.listen(self)))
        self.send_response(verdict.status)
        for name, value in verdict.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()


class _Files(_Handler, SimpleHTTPRequestHandler):
    """Serves `/<video>/...`.

    Like many an origin it resolves dot segments and decodes escapes after whatever was checked.
    """

    def send_head(self) -> BytesIO | BinaryIO | None:
        self.server.listen(self)
        return super().send_head()

    def end_headers(self) -> None:
        for name, value in self.server.also_says.items():
            self.send_header(name, value)
        super().end_headers()


class _FirstSegment(_Files):
    """Serves files of the video that the first segment of a path names, whatever comes between."""

    def translate_path(self, path: str) -> str:
        segments = [text for text in unquote(path.partition("?")[0]).split("/") if text]
        ends = [segments[0].removeprefix("video+"), segments[-1]] if segments else []
        return super().translate_path("/" + "/".join(ends))


def allowed(target: str, subject: str) -> Verdict:
    """Say yes as Keyferry does: `subject` takes the place of the first segment of the path."""
    rest = target.partition("?")[0].partition("/")[2].partition("/")
    path = f"/{quote(subject, safe='')}{rest[1]}{rest[2]}"
    return Verdict(200, {"X-Auth-Sub": quote(subject, safe=""), "X-Auth-Path": path})


def played(heard: Heard) -> str:
    """Return the URL that a question to Keyferry is about, wherever the edge put it."""
    rest = heard.target.partition("/verify")[2]
    return rest or heard.headers["X-Original-URI"] or heard.headers["X-Forwarded-Uri"]


@contextmanager
def origin(media: Path) -> Iterator[Server]:
    """Serve the folder `media`."""
    with _running(Server(partial(_Files, directory=str(media)))) as server:
        yield server


@contextmanager
def first_segment_origin(media: Path) -> Iterator[Server]:
    """Serve the folder `media` as a server that takes the first segment for the video."""
    with _running(Server(partial(_FirstSegment, directory=str(media)))) as server:
        yield server


@contextmanager
def oracle(port: int = 0) -> Iterator[Oracle]:
    """Answer edges in Keyferry's place: no to everything, unless told otherwise."""
    server = Oracle(lambda _: Verdict(401, {}), port)
    with _running(server):
        yield server


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()
