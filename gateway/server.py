"""The HTTP server: uvicorn on a socket of ours, stopped by signals in good order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from gateway.web.front import Front
from gateway.web.protocol import CappedProtocol

GRACE = 10  # seconds that requests under way get to finish
KEEP_ALIVE = 75  # seconds for which an idle connection is kept: longer than edges keep theirs


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling, which ends the process before we have closed."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a listening socket; port 0 takes any free one. Raises OSError.

    A `shared` one listens beside those of other workers, and the kernel shares connections out.
    """
    return socket.create_server((host, port), family=_family(host), backlog=2048, reuse_port=shared)


def reserve(host: str, port: int) -> socket.socket:
    """Return a socket that keeps a port for shared ones and takes no connection itself.

    Raises OSError.
    """
    keeper = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        with socket.create_server((host, port), family=_family(host)) as probe:
            port = probe.getsockname()[1]  # nobody else listens there
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeper.bind((host, port))
    except OSError:
        keeper.close()
        raise
    return keeper


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def serve(app: Front, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM, finish what is under way, and return."""
    config = uvicorn.Config(
        app,
        http=CappedProtocol,
        ws="none",
        loop="uvloop",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=KEEP_ALIVE,
    )
    server = _Server(config, on_ready)

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    _collect_less_garbage()
    await server.serve(sockets=[listener])


def _collect_less_garbage() -> None:
    """Look for cycles seldom, and never in what stays: requests leave none behind.

    By default Python looks after every 700 objects that live on, such as remembered tokens, and
    now and then through all of them, while everybody waits.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 50, 100)
