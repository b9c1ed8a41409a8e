"""HTTP/1.1 by hand, for what no HTTP client would send."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """One response; header names are in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first header of a name."""
        return next((text for key, text in self.headers if key == name), None)


class Wire:
    """One connection on which anything can be said."""

    def __init__(self, url: str, timeout: float = 10) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self.socket.close()

    def say(self, *parts: bytes, pause: float = 0.0) -> None:
        """Send all parts; a server that has heard enough may hang up meanwhile."""
        with suppress(ConnectionError):
            for number, part in enumerate(parts):
                if number:
                    time.sleep(pause)
                self.socket.sendall(part)

    def answer(self, method: str = "GET") -> Answer:
        """Read one response to a request of this method."""
        line = self._file.readline()
        if not line.startswith(b"HTTP/1.1 "):
            raise AssertionError(f"no answer: {line!r}")
        headers = list(self._headers())
        status, length = int(line[9:12]), int(dict(headers).get("content-length", "0"))
        assert "transfer-encoding" not in dict(headers)
        bodiless = method == "HEAD" or status in {204, 304}
        return Answer(status, headers, b"" if bodiless else self._file.read(length))

    def hang_up(self) -> None:
        """Say that nothing more will be said."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def ended(self) -> bool:
        """Whether the server says nothing more; waits for it to hang up."""
        with suppress(ConnectionError):
            return self._file.read(1) == b""
        return True

    def closed(self) -> bool:
        """Whether the server says nothing more and has closed its side; raises when it resets."""
        return self._file.read(1) == b""

    def _headers(self) -> Iterable[tuple[str, str]]:
        while line := self._file.readline().decode("latin-1").rstrip("\r\n"):
            name, _, text = line.partition(":")
            yield name.lower(), text.strip()


def ask(url: str, *parts: bytes, pause: float = 0.0) -> Answer:
    """Say something on a connection of its own and return the answer to it."""
    with Wire(url) as wire:
        wire.say(*parts, pause=pause)
        return wire.answer(parts[0].partition(b" ")[0].decode("latin-1"))


def request(
    method: str,
    target: str,
    headers: Iterable[str] = (),
    body: bytes = b"",
    *,
    version: str = "1.1",
) -> bytes:
    """Return a request as it is on the wire. `headers` are whole lines; no length is added."""
    lines = [f"{method} {target} HTTP/{version}", "Host: keyferry", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
