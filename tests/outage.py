"""An embedded PostgreSQL from outside, and what befalls it: frozen, killed, out of reach."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psutil


def dsn_in(folder: Path, user: str = "keyferry") -> str:
    """Return where the embedded PostgreSQL in `folder` listens that somebody else runs."""
    sockets = quote(str((folder / "run").resolve()))
    return f"postgresql://{user}@/keyferry?host={sockets}&sslmode=disable"


def stopped_processes(folder: Path) -> list[psutil.Process]:
    """Stop every process of the embedded PostgreSQL in `folder` and return them."""
    lines = (folder / "postgres" / "postmaster.pid").read_text().splitlines()
    postmaster = psutil.Process(int(lines[0]))
    postmaster.send_signal(signal.SIGSTOP)  # first, so that it starts no more of them
    children = postmaster.children(recursive=True)
    send_all(children, signal.SIGSTOP)
    return [postmaster, *children]


def send_all(processes: list[psutil.Process], number: int) -> None:
    """Send a signal to each process that still lives."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


@contextmanager
def frozen(folder: Path) -> Iterator[None]:
    """Stop the embedded PostgreSQL in `folder` for a while, as a machine that hangs does."""
    processes = stopped_processes(folder)
    try:
        yield
    finally:
        send_all(processes, signal.SIGCONT)


@contextmanager
def unreachable() -> Iterator[int]:
    """Yield a port of 127.0.0.1 that does not even refuse a connection."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # no more fit into its queue, and nobody empties that
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
