"""How `keyferry serve` runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from adapters import find_dialects
from gateway import server, workers
from gateway.app import open_gateway
from gateway.cli import running
from gateway.cli.database import HERE, check_schema, require_current_schema
from gateway.cli.doorway import Places, listening, local_url, start_log
from gateway.listeners import Listener, Sharing
from gateway.settings import Settings
from gateway.simulation import Simulation, SimulationError, read_simulation
from gateway.storage.embedded import embedded_postgres
from gateway.storage.migrate import migrate
from gateway.tasks import running as running_task
from gateway.web.logs import Log
from gateway.web.metrics import SHARED, dead, shared_metrics

_EXTERNAL = ("KEYFERRY_DATABASE_URL", "KEYFERRY_LISTEN_URL")


@dataclass(frozen=True, slots=True)
class Wish:
    """The options of `keyferry serve`."""

    places: Places
    embedded: bool
    data: Path | None
    migrate: bool
    workers: int
    simulate: Path | None
    worker: tuple[int, int] | None  # which of how many this process is


def run(wish: Wish) -> None:
    """Serve until a signal ends it. Raises click.ClickException when it cannot start."""
    settings, faults = running.read_settings()
    simulation, wrong = _read_simulation(wish.simulate)
    alone = wish.worker is None  # a worker is told of the port for metrics by its supervisor
    listens, unread = wish.places.read(settings.metrics_port if alone else None)
    faults += _database_faults(wish) + wrong + unread
    if faults:
        raise running.Misconfigured(faults)
    if wish.worker is not None:
        with listening(listens, Sharing.SHARED) as listeners:
            running.run(_work(_share(settings, *wish.worker), listeners, simulation))
    elif wish.workers > 1:
        with listening(listens, Sharing.RESERVED) as listeners:
            running.run(_supervise(wish, settings, listeners))
    else:
        with listening(listens) as listeners:
            running.run(_serve(wish, settings, listeners, simulation))


def _database_faults(wish: Wish) -> list[str]:
    """Say what is wrong with the choice of a database, of which there is exactly one."""
    external = [name for name in _EXTERNAL if os.environ.get(name)]
    faults = []
    if wish.embedded:
        faults += [f"{name} and --embedded exclude each other" for name in external]
    elif _EXTERNAL[0] not in external:
        faults.append(f"set {_EXTERNAL[0]}, or keep the database here with --embedded")
    if wish.data is not None and not wish.embedded:
        faults.append("--data goes with --embedded")
    return faults


def _read_simulation(path: Path | None) -> tuple[Simulation | None, list[str]]:
    """Return what `path` describes, and what is wrong with it."""
    if path is None:
        return None, []
    try:
        return read_simulation(path, [dialect.name for dialect in find_dialects()]), []
    except SimulationError as error:
        return None, error.faults


async def _serve(
    wish: Wish,
    settings: Settings,
    listeners: Sequence[Listener],
    simulation: Simulation | None,
) -> None:
    log = start_log(settings)
    async with (
        _database(wish, settings, log) as dsn,
        open_gateway(replace(settings, database_url=dsn), log, simulation=simulation) as gateway,
    ):
        ready = partial(log.info, "ready", **_where(listeners))
        await server.serve(gateway.apps, listeners, ready)
    log.info("stopped")


async def _supervise(wish: Wish, settings: Settings, listeners: Sequence[Listener]) -> None:
    """Run `wish.workers` processes of this command that listen where we do."""
    log = start_log(settings)
    # Python would look for modules in the working directory first, whoever may write there.
    command = [sys.executable, "-P", "-m", "gateway", "serve"]
    if wish.simulate is not None:
        command.append(f"--simulate={wish.simulate}")
    started = False

    def tell_ready() -> None:
        nonlocal started
        started = True
        log.info("ready", **_where(listeners), workers=wish.workers)

    with shared_metrics() as folder:
        async with _database(wish, settings, log) as dsn:
            environ = {**os.environ, _EXTERNAL[0]: dsn, SHARED: folder}
            ended = partial(dead, folder)
            crew = workers.Workers(command, environ, wish.workers, listeners, log, ended)
            try:
                await crew.run(tell_ready)
            except asyncio.CancelledError:  # told to stop; to a service manager that is no failure
                if not started:
                    raise
    log.info("stopped")


async def _work(
    settings: Settings, listeners: Sequence[Listener], simulation: Simulation | None
) -> None:
    """Serve as one of several, for as long as the supervisor lives."""
    log = start_log(settings)
    async with (
        open_gateway(settings, log, simulation=simulation) as gateway,
        running_task(_stop_when_orphaned(), "supervisor"),
    ):
        await server.serve(gateway.apps, listeners, workers.report_ready)


def _where(listeners: Sequence[Listener]) -> dict[str, Any]:
    """Return what the log says of where we listen."""
    return {"url": local_url(listeners), "listening": [str(listener) for listener in listeners]}


async def _stop_when_orphaned() -> None:
    await workers.orphaned()
    os.kill(os.getpid(), signal.SIGTERM)


def _share(settings: Settings, number: int, count: int) -> Settings:
    """Return the settings with this worker's part of the key pool, of which all have some."""
    return replace(
        settings,
        pool_size=max(1, _part(settings.pool_size, number, count)),
        pool_threads=max(1, _part(settings.pool_threads, number, count)),
    )


def _part(whole: int, number: int, count: int) -> int:
    return whole // count + (number < whole % count)


@asynccontextmanager
async def _database(wish: Wish, settings: Settings, log: Log) -> AsyncIterator[str]:
    """Yield the DSN of a database with the current schema."""
    if settings.database_url is None:
        folder = wish.data or HERE
        async with embedded_postgres(folder, log=log.warning) as dsn:
            await migrate(dsn)
            yield dsn
        return
    if wish.migrate:
        await check_schema(settings.database_url)
        await migrate(settings.database_url)
    else:
        await require_current_schema(settings.database_url)
    yield settings.database_url
