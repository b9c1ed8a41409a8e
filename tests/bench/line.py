"""One connection to one worker, timed where the bytes leave and arrive."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer's status, and by `time.monotonic` when it was asked for and came."""

    sent: float
    received: float
    status: int
    body: bytes


class Line(asyncio.Protocol):
    """HTTP/1.1 on a connection that stays open; one question at a time."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._buffer = b""
        self._sent = 0.0
        self._waiting: asyncio.Future[Reply] | None = None

    @property
    def port(self) -> int:
        """The port at this end."""
        return int(self._transport.get_extra_info("sockname")[1])

    async def ask(self, method: str, path: str, bearer: str | None = None) -> Reply:
        """Send a request without a body and return what is answered."""
        self._waiting = asyncio.get_running_loop().create_future()
        credentials = "" if bearer is None else f"Authorization: Bearer {bearer}\r\n"
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{credentials}\r\n".encode()
        self._sent = time.monotonic()
        self._transport.write(head)
        return await self._waiting

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        received = time.monotonic()
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = _LENGTH.search(head)
        if length is not None and len(body) < int(length[1]):
            return
        self._buffer = b""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Reply(self._sent, received, int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionError("the server closed the connection"))


async def connect(url: str) -> Line:
    """Open a connection to the server at `url`."""
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(
        lambda: Line(address.netloc), address.hostname or "", address.port or 80
    )
    return line
