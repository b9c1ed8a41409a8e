"""uvicorn's HTTP/1.1 protocol with a cap on what is read before a request can be refused.

uvicorn keeps a request line and headers of any size in memory, and answers what its parser refuses
in plain text. Here both get a cap and the envelope of the door they were sent to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.errors import Code
from gateway.web.limits import MAX_HEAD, too_large

if TYPE_CHECKING:
    from gateway.web.front import Front

_REQUEST_LINE = re.compile(rb"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+) +([^ \r\n]*)( HTTP/1\.[01]\r?\n)?")


class CappedProtocol(HttpToolsProtocol):
    """Refuses heads over `MAX_HEAD` and requests that are not HTTP, in the right envelope."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._front: Front = self.config.loaded_app
        self._head = b""  # the first bytes of the request that is being read
        self._head_size: int | None = 0  # None once the headers are complete

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the head has grown over its cap."""
        if self._head_size is not None:
            self._head = self._head or data[:MAX_HEAD]
            self._head_size += len(data)
        super().data_received(data)
        if self._head_size is not None and self._head_size > MAX_HEAD:
            self._refuse_head()

    def on_message_complete(self) -> None:
        """Begin to count anew: what comes next is another head."""
        self._head, self._head_size = b"", 0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Stop counting: what is left is the body, which has a cap of its own."""
        if len(self.url) > MAX_HEAD:  # httptools cannot split longer ones
            self._refuse_head()
            return
        self._head, self._head_size = b"", None
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused; a method it does not know is one reason."""
        line = _REQUEST_LINE.match(self._head)
        if line is not None and line[3] and not _known(line[1]):
            self._answer(line, Code.METHOD_UNKNOWN, "there is no such method")
        else:
            self._answer(line, Code.HEADER_INVALID, msg)

    def _refuse_head(self) -> None:
        line = _REQUEST_LINE.match(self._head)
        in_line = line is not None and line[3] is None
        error = too_large(Code.URI_TOO_LONG if in_line else Code.HEADERS_TOO_LARGE)
        self._answer(line, error.code, error.message)

    def _answer(self, line: re.Match[bytes] | None, code: Code, message: str) -> None:
        if self.transport.is_closing():
            return
        method, target = (line[1], line[2]) if line is not None else (b"", b"")
        reply = self._front.refuse(method.decode("ascii"), target.decode("latin-1"), code, message)
        headers = [
            *reply.headers,
            (b"content-type", reply.content_type),
            (b"content-length", b"%d" % len(reply.body)),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[reply.status] + lines + b"\r\n" + reply.body)
        self.transport.close()


def _known(method: bytes) -> bool:
    return method in {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"}
