"""The web site that the players are on: a page and its scripts, over https."""

from __future__ import annotations

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Final

from tests.browser.programs import PLAYERS
from tests.clients.environments import node_modules
from tests.edges.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.certificates import Certificate

_FROM_NPM: Final = {
    "/hls.js": "hls.js/dist/hls.min.js",
    "/dash.js": "dashjs/dist/modern/umd/dash.all.min.js",
}


class _Site(Server):
    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(_Page)
        self.files = files


class _Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    server: _Site

    def do_GET(self) -> None:
        body = self.server.files.get(self.path)
        kind = "text/javascript" if self.path.endswith(".js") else "text/html"
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serve_page(certificate: Certificate) -> Iterator[int]:
    """Serve the page as `/`; yield the port."""
    modules = node_modules(PLAYERS)
    files = {path: (modules / name).read_bytes() for path, name in _FROM_NPM.items()}
    files |= {"/": (PLAYERS / "index.html").read_bytes()}
    files |= {"/players.js": (PLAYERS / "players.js").read_bytes()}
    server = _Site(files)
    server.socket = certificate.server_context().wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.start()
    try:
        yield server.server_port
    finally:
        server.stop()
