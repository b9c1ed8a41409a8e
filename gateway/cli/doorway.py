"""What `dev` and `serve` share: the sockets they listen on, the address they name, their log."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click

from gateway.addresses import Listen, Purpose, Tcp, read_listen
from gateway.listeners import Listener, ListenError, Sharing, opened
from gateway.settings import Settings
from gateway.web.logs import Log, adopt_server_log, open_log

_HOST, _PORT = "127.0.0.1", 8787
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  not bound here


@dataclass(frozen=True, slots=True)
class Places:
    """Where a command is told to listen, by --listen or by --host and --port."""

    listens: Sequence[str]
    host: str | None
    port: int | None

    def read(self, metrics_port: int | None) -> tuple[list[Listen], list[str]]:
        """Return where that is and what is wrong with it.

        `metrics_port` is a place for metrics besides. Raises click.UsageError for both forms.
        """
        host = self.host if self.host is not None else _HOST
        port = self.port if self.port is not None else _PORT
        if self.listens and (self.host is not None or self.port is not None):
            raise click.UsageError("--listen and --host or --port exclude each other.")
        listens, faults = [], []
        for text in self.listens:
            try:
                listens.append(read_listen(text))
            except ValueError as error:
                faults.append(str(error))
        if not self.listens:
            listens.append(Listen(Purpose.API, Tcp(host, port)))
        if metrics_port is not None:
            listens.append(Listen(Purpose.METRICS, Tcp(host, metrics_port)))
        return listens, faults


@contextmanager
def listening(
    listens: Sequence[Listen], sharing: Sharing = Sharing.ALONE
) -> Iterator[list[Listener]]:
    """Listen before anything else is started, because that is what fails most often."""
    with _refused(), opened(listens, os.environ, sharing) as listeners:
        yield listeners


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except ListenError as error:
        raise click.ClickException("\n  ".join(error.faults)) from error


def local_url(listeners: Sequence[Listener]) -> str | None:
    """Return a URL under which this machine reaches the first TCP one that serves everything."""
    for listener in listeners:
        address = listener.address
        if listener.purpose is Purpose.API and isinstance(address, Tcp):
            return f"http://{Tcp(_WILDCARDS.get(address.host, address.host), address.port)}"
    return None


def start_log(settings: Settings) -> Log:
    """Return the log of the whole program, on standard error."""
    log = open_log(settings.log_format)
    adopt_server_log(log)
    return log
