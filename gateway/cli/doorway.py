"""What `dev` and `serve` share: the socket they listen on, the address they name, their log."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from gateway.server import bind, reserve
from gateway.settings import Settings
from gateway.web.logs import Log, adopt_server_log, open_log

_WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  not bound here


@contextmanager
def listening(host: str, port: int, *, shared: bool = False) -> Iterator[socket.socket]:
    """Listen before anything else is started, because that is what fails most often."""
    with _opened(lambda: bind(host, port, shared=shared), host, port) as listener:
        yield listener


@contextmanager
def reserved(host: str, port: int) -> Iterator[socket.socket]:
    """Keep a port for workers that will listen on it together."""
    with _opened(lambda: reserve(host, port), host, port) as keeper:
        yield keeper


@contextmanager
def _opened(
    open_socket: Callable[[], socket.socket], host: str, port: int
) -> Iterator[socket.socket]:
    try:
        listener = open_socket()
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0  # below 0: a name that does not resolve
        reason = os.strerror(number) if number > 0 else error
        raise click.ClickException(f"cannot listen on {host} port {port}: {reason}") from error
    with listener:
        yield listener


def local_url(host: str, listener: socket.socket) -> str:
    """Return a URL under which this machine reaches `listener`."""
    shown = _WILDCARDS.get(host, host)
    if ":" in shown:
        shown = f"[{shown}]"
    return f"http://{shown}:{listener.getsockname()[1]}"


def start_log(settings: Settings) -> Log:
    """Return the log of the whole program, on standard error."""
    log = open_log(settings.log_format)
    adopt_server_log(log)
    return log
