"""The HTTP server: uvicorn on sockets of ours, stopped by signals in good order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import uvicorn

from gateway.addresses import Purpose
from gateway.listeners import BACKLOG, Listener
from gateway.web.front import Front
from gateway.web.protocol import CappedProtocol

GRACE = 10  # seconds that requests under way get to finish
KEEP_ALIVE = 75  # seconds for which an idle connection is kept: longer than edges keep theirs


class _Server(uvicorn.Server):
    """uvicorn with an application for each socket, by its purpose.

    Its own signal handling is left out: that ends the process before we have closed.
    """

    def __init__(
        self,
        apps: Mapping[Purpose, Front],
        listeners: Sequence[Listener],
        on_ready: Callable[[], None],
    ) -> None:
        super().__init__(_config(apps[Purpose.API]))
        self._apps = apps
        self._listeners = listeners
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Listen on all sockets, each with a protocol that knows its application."""
        await super().startup([])
        configs = {purpose: _config(app) for purpose, app in self._apps.items()}
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            make = partial(
                CappedProtocol,
                config=configs[listener.purpose],
                server_state=self.server_state,
                app_state={},
            )
            # For Unix sockets too: this way their files stay, which other workers may use.
            opened = await loop.create_server(make, sock=listener.socket, backlog=BACKLOG)
            self.servers.append(opened)
        self._on_ready()


async def serve(
    apps: Mapping[Purpose, Front], listeners: Sequence[Listener], on_ready: Callable[[], None]
) -> None:
    """Serve until SIGINT or SIGTERM, finish what is under way, and return."""
    server = _Server(apps, listeners, on_ready)

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    _collect_less_garbage()
    await server.serve(sockets=[listener.socket for listener in listeners])


def _config(app: Front) -> uvicorn.Config:
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
    config.load()
    return config


def _collect_less_garbage() -> None:
    """Look for cycles seldom, and never in what stays: requests leave none behind.

    By default Python looks after every 700 objects that live on, such as remembered tokens, and
    now and then through all of them, while everybody waits.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 50, 100)
