"""A relay that counts: it passes bytes on between an edge and Keyferry, and counts connections."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Relay:
    """A relay to `host`:`port`, on a free port of its own, or on a Unix socket at `path`."""

    def __init__(self, host: str, port: int, path: Path | None = None) -> None:
        self.count = 0  # connections that were opened to it
        self.url = ""
        self._path = path
        self._goal = (host, port)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def start(self) -> None:
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        if self._path is None:
            server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        else:
            server = await asyncio.start_unix_server(self._relay, self._path)
            self.url = f"unix:{self._path}"
        self._started.set()
        await self._stopping.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        there, back = await asyncio.open_connection(*self._goal)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@contextmanager
def relay_to(url: str, path: Path | None = None) -> Iterator[Relay]:
    """Run a relay to the server at `url` for as long as the block takes."""
    there = urlsplit(url)
    assert there.hostname is not None
    assert there.port is not None
    relay = Relay(there.hostname, there.port, path)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()
