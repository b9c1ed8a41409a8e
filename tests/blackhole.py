"""A way to PostgreSQL, from Unix socket to Unix socket, that can stop without a word."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

_SOCKET = ".s.PGSQL.5432"
_NOTIFICATION = b"A"


class Blackhole:
    """Forwards all connections made in `folder` to the server of `dsn`, as long as it is let.

    `hold` keeps back every byte and every end of a connection, in both directions and for new
    connections too, until `release`. `lose` does so for ever with the connections made so far, and
    lets new ones through. With `mute` it drops PostgreSQL's notifications alone, as a pooler does
    that shares sessions out.
    """

    def __init__(self, dsn: str, folder: Path, *, mute: bool = False) -> None:
        parts = urlsplit(dsn)
        self._target = Path(parse_qs(parts.query)["host"][0]) / _SOCKET
        self._folder = folder
        self._mute = mute
        self._lines: list[threading.Event] = []  # the last one is set while new ones may flow
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self.dsn = urlunsplit(parts._replace(query=f"host={folder}&port=5432&sslmode=disable"))
        self._renew()

    def hold(self) -> None:
        """Swallow everything from now on."""
        self._lines[-1].clear()

    def release(self) -> None:
        """Let everything through again, what was kept back first."""
        self._lines[-1].set()

    def lose(self) -> None:
        """Let only new connections through; neither end of an old one hears of it."""
        self.hold()
        self._renew()

    def __enter__(self) -> Self:
        self._folder.mkdir()
        self._listener.bind(str(self._folder / _SOCKET))
        self._listener.listen()
        self._start(self._accept)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for line in self._lines:
            line.set()
        for one in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in [self._listener, *self._sockets]:
            one.close()
        shutil.rmtree(self._folder)

    def _renew(self) -> None:
        self._lines.append(threading.Event())
        self.release()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="black hole")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                self._sockets += [client, server]
                line = self._lines[-1]
                server.connect(str(self._target))
                self._start(partial(_pump, client, server, line, bytes))
                self._start(partial(_pump, server, client, line, self._filter()))

    def _filter(self) -> Callable[[bytes], bytes]:
        return _without_notifications() if self._mute else bytes


def _pump(
    source: socket.socket,
    sink: socket.socket,
    flowing: threading.Event,
    change: Callable[[bytes], bytes],
) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            flowing.wait()
            sink.sendall(change(data))
        flowing.wait()
        sink.shutdown(socket.SHUT_WR)


def _without_notifications() -> Callable[[bytes], bytes]:
    """Return a filter of what a server says (messages: type, then length, then the rest)."""
    pending = bytearray()

    def passed_on(data: bytes) -> bytes:
        pending.extend(data)
        kept = bytearray()
        while len(pending) >= 5:
            end = 1 + int.from_bytes(pending[1:5])
            if len(pending) < end:
                break
            if pending[:1] != _NOTIFICATION:
                kept += pending[:end]
            del pending[:end]
        return bytes(kept)

    return passed_on
