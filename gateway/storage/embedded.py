"""The embedded server in motion: PostgreSQL 18 as a child of ours, kept alive and stopped in order.

The server ends with us even when we are killed (a watcher sees our pipe close), is started
again when it is killed itself, and one that outlived its keyferry all the same is stopped by
the next start. What was committed is there after any of this.
"""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import asyncpg

from gateway.storage.embedded_home import Home, held, open_home, open_ours
from gateway.storage.embedded_user import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = ["EmbeddedError", "embedded_postgres"]

_POLL = (0.01, 0.2)  # seconds between looks at a process: first and longest
_PATIENCE = 30  # seconds that a stopping server gets to write everything down
_NOTICE = 5  # seconds of starting after which the log says that it may take long
_PAUSES = (0.1, 5.0)  # seconds before a killed server is started again: first and longest

# Ends the postmaster when our end of the pipe closes, which the kernel sees to if we cannot.
_WATCH = 'read -r _; kill -INT "$1"'

# How PostgreSQL sees to it that all its files are on disk, when it makes them and before it
# recovers. Where there is one call for a whole file system, it takes milliseconds; a call for
# each of a thousand files takes seconds on a busy disk.
_SYNC = "syncfs" if sys.platform == "linux" else "fsync"

_INITDB = (
    "--username=postgres",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",  # one order on every machine: by code point
    "--auth-local=peer",  # ours are in pg_hba.conf; these hold if somebody starts it by hand
    "--auth-host=reject",
    "--no-instructions",
    f"--sync-method={_SYNC}",
)

# Of a container, by cgroups 2 and 1.
_CONTAINER_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def _cache_size() -> int:
    """Return MiB for PostgreSQL's page cache: an eighth of the memory, so that a store fits in it.

    It takes memory as it fills. A million keys lie on 0.7 GiB.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # not there, or "max"
            memory = min(memory, int(Path(limit).read_text()))
    return min(max(64, memory // 2**20 // 8), 1024)


# On the command line, where they win over postgresql.conf and ALTER SYSTEM.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    # What is acknowledged is on disk.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "recovery_init_sync_method": _SYNC,
    # A small box: one gateway, short statements, tables that fit in memory.
    "max_connections": "100",
    "shared_buffers": f"{_cache_size()}MB",
    "huge_pages": "off",
    "io_method": "sync",
    "jit": "off",
    "max_logical_replication_workers": "0",
    # No values in the log: errors go to the client, which is us, and not also to a file.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",  # the log is put aside at a start only, so it must grow slowly
    "log_timezone": "UTC",
}


@asynccontextmanager
async def embedded_postgres(
    folder: Path, *, log: Callable[[str], object] = lambda _: None
) -> AsyncIterator[str]:
    """Run a private PostgreSQL in `folder` and yield its DSN, good for asyncpg as it is.

    Ready on entry, with a database and an unprivileged owner called keyferry; a recovery is
    waited for, however long it takes. A server that is killed is started again at the same
    DSN. On exit no process of it is left. Raises EmbeddedError when it cannot run here.
    `log` gets a sentence whenever there is something to tell an operator.
    """
    with ExitStack() as stack:
        with _explained(folder):
            home = open_home(folder)
            stack.enter_context(held(home.folder))
        server = _Server(home, log)
        try:
            with _explained(folder):
                dsn = await server.start()
            yield dsn
        finally:
            await server.stop()


class _Server:
    """The server of one home, which this process holds."""

    def __init__(self, home: Home, log: Callable[[str], object]) -> None:
        self._home = home
        self._log = log
        self._sockets: Path | None = None
        self._postmaster: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Start it and keep it alive until `stop`. Returns the DSN."""
        self._home.write_access_rules()
        async with self._alone() as lock:
            self._sockets = sockets = self._home.open_sockets()
            if not self._home.data.exists():
                await self._initdb(lock)
        await self._run(sockets)
        await _create_database(sockets)
        self._keeper = asyncio.create_task(self._keep(sockets), name="embedded PostgreSQL")
        return _dsn(sockets)

    async def stop(self) -> None:
        """Stop it in order, whatever state it is in, and wait until it has ended."""
        if self._keeper is not None:
            self._keeper.cancel()
        try:
            if self._postmaster is not None:
                await _end(self._postmaster.send_signal, self._ended)
        finally:
            self._dismiss_watcher()
        if self._keeper is not None:
            await asyncio.wait({self._keeper})
        if self._sockets is not None:
            self._home.close_sockets()

    async def _keep(self, sockets: Path) -> None:
        """Start the server again whenever it ends, for ever."""
        pause, longest = _PAUSES
        while True:
            await _becomes(self._ended)
            self._dismiss_watcher()
            self._log(f"PostgreSQL ended unexpectedly; starting it again in {pause:.1f} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
            try:
                await self._run(sockets)
                pause = _PAUSES[0]
            except (EmbeddedError, OSError) as fault:
                self._log(str(fault))

    async def _run(self, sockets: Path) -> None:
        """Start the postmaster and wait for as long as it lives until it takes connections."""
        async with self._alone() as lock:
            self._launch(sockets, lock)
        if not await _becomes(self._settled, _NOTICE):
            self._log("PostgreSQL is still starting: after a crash it replays its log first")
            await _becomes(self._settled)
        if self._ended():
            raise EmbeddedError(
                f"PostgreSQL did not start; {self._home.log} ends with:\n{self._home.log_end()}"
            )

    def _launch(self, sockets: Path, lock: int) -> None:
        home = self._home
        home.clear_stale(sockets)
        settings = _SETTINGS | {
            "unix_socket_directories": str(sockets),
            "hba_file": str(home.folder / "pg_hba.conf"),
            "ident_file": str(home.folder / "pg_ident.conf"),
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        with home.opened_log() as output:
            self._postmaster = home.user.spawn(
                home.programs / "postgres", "-D", home.data, *options, lock=lock, output=output
            )
        self._watcher = home.user.spawn(
            "/bin/sh",
            "-c",
            _WATCH,
            f"keyferry {home.folder}",  # for whoever reads a process list
            str(self._postmaster.pid),
            stdin=subprocess.PIPE,
        )

    def _dismiss_watcher(self) -> None:
        if self._watcher is not None:
            self._watcher.kill()  # first, or the closing pipe would make it act
            self._watcher.communicate()
            self._watcher = None

    def _ended(self) -> bool:
        return self._postmaster is None or self._postmaster.poll() is not None

    def _settled(self) -> bool:
        return self._ended() or self._home.is_ready()

    async def _initdb(self, lock: int) -> None:
        """Make the data folder, complete and on disk or not at all."""
        home = self._home
        self._log(f"making a new database in {home.data}")
        new = home.new_data()
        with home.opened_log() as output:
            initdb = home.user.spawn(
                home.programs / "initdb", f"--pgdata={new}", *_INITDB, lock=lock, output=output
            )
        try:
            await _becomes(lambda: initdb.poll() is not None)
        finally:
            initdb.terminate()
            initdb.wait()
        if initdb.returncode:
            raise EmbeddedError(f"PostgreSQL could not make its files:\n{home.log_end()}")
        home.adopt_data(new)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[int]:
        """The lock that every process of this server inherits, once none of them is left.

        Unlike a process number in a file it cannot be stale or mean another process. A server
        that outlived its keyferry is stopped: its settings may not be ours.
        """
        with open_ours(self._home.folder / "postgres.lock", os.O_RDWR) as lock:
            if not _locked(lock):
                self._log(f"ending the PostgreSQL that still runs in {self._home.data}")
                await _end(self._home.signal_postmaster, lambda: _locked(lock))
            yield lock


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """What the system refuses while we prepare is a matter of the folder, and said so."""
    try:
        yield
    except OSError as fault:
        raise EmbeddedError(f"cannot keep a database in {folder}: {fault}") from fault


async def _end(tell: Callable[[int], object], gone: Callable[[], bool]) -> None:
    """Ask for a fast shutdown, later for an immediate one; returns when `gone`."""
    tell(signal.SIGINT)
    if not await _becomes(gone, _PATIENCE):
        tell(signal.SIGQUIT)
        await _becomes(gone)


async def _becomes(true: Callable[[], bool], patience: float = math.inf) -> bool:
    """Wait until `true()`; False if it is not within `patience` seconds."""
    end = time.monotonic() + patience
    pause, longest = _POLL
    while not true():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(pause)
        pause = min(1.2 * pause, longest)
    return True


def _locked(lock: int) -> bool:
    """Take the lock if nobody else has it."""
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _dsn(sockets: Path, user: str = "keyferry") -> str:
    """Complete, so that PG* variables in our environment change nothing."""
    return (
        f"postgresql://{user}@/{user}?host={quote(str(sockets))}&port=5432"
        "&sslmode=disable&sslnegotiation=postgres&target_session_attrs=any"
    )


async def _create_database(sockets: Path) -> None:
    """Make the role and the database keyferry where they are missing.

    The role is no superuser, as in production, but may create databases, for tests.
    """
    try:
        connection = await asyncpg.connect(_dsn(sockets, "postgres"))
        try:
            if not await connection.fetchval("SELECT to_regrole('keyferry')"):
                await connection.execute("CREATE ROLE keyferry LOGIN CREATEDB")
            if not await connection.fetchval(
                "SELECT 1 FROM pg_database WHERE datname = 'keyferry'"
            ):
                await connection.execute("CREATE DATABASE keyferry OWNER keyferry")
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
        raise EmbeddedError(f"the new PostgreSQL refuses us: {fault}") from fault
