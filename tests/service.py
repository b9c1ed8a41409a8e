"""A running Keyferry for tests: a real PostgreSQL, a real server process, an operator's hand."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from gateway.accounts import Accounts
from gateway.model import Scope
from gateway.storage.database import Database, open_database
from gateway.storage.embedded import embedded_postgres
from gateway.storage.migrate import migrate

T = TypeVar("T")
PROGRAM = (sys.executable, "-m", "gateway")
ALL_SCOPES = [scope.value for scope in Scope]
# A create waits long for its key pair: several servers fill their stocks on the same processors.
_SETTINGS = {
    "KEYFERRY_LOG_FORMAT": "json",
    "KEYFERRY_POOL_SIZE": "16",
    "KEYFERRY_POOL_WAIT": "60",
}


class House:
    """PostgreSQL with Keyferry's schema, and an event loop in a thread of its own to use it.

    With a `dsn` it is somebody else's PostgreSQL, otherwise one of our own in `folder`.
    Tests call `run` from anywhere, so that a test that blocks does not block the database's owner.
    """

    dsn: str
    database: Database
    accounts: Accounts

    def __init__(self, folder: Path, dsn: str | None = None) -> None:
        self.folder = folder
        self._given_dsn = dsn
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="house")
        self._stack = AsyncExitStack()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._open())
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        if self._given_dsn is None:
            self.dsn = await self._stack.enter_async_context(embedded_postgres(self.folder))
        else:
            self.dsn = self._given_dsn
        await migrate(self.dsn)
        self.database = await self._stack.enter_async_context(
            open_database(self.dsn, connections=4, statement_cache=100)
        )
        self.accounts = Accounts(self.database)


@dataclass(frozen=True)
class Tenant:
    """An account, where it is served, and a token of it with all scopes."""

    house: House
    url: str
    account_id: str  # 32 hexadecimal digits
    email: str
    token: str

    def make_account(self, name: str = "tenant") -> Tenant:
        """Add another account to the same service."""
        return make_tenant(self.house, self.url, name)

    def make_token(self, scopes: list[str] | None = None, project: str | None = None) -> str:
        """Add a token to this account."""
        return make_token(self.house, self.account_id, scopes, project)

    def make_project(self, name: str) -> str:
        """Add a project to this account and return its id with dashes."""
        project = self.house.run(self.house.accounts.create_project(UUID(self.account_id), name))
        return str(project.id)


def make_tenant(house: House, url: str, name: str = "tenant") -> Tenant:
    """Add an account with one token."""
    account = house.run(house.accounts.create(name, f"{name}@example.invalid"))
    token = make_token(house, account.id.hex)
    return Tenant(house, url, account.id.hex, account.email, token)


def make_token(
    house: House, account_id: str, scopes: list[str] | None = None, project: str | None = None
) -> str:
    """Add a token to an account and return its secret."""
    _, secret = house.run(
        house.accounts.create_token(
            UUID(account_id),
            name="test",
            scopes=frozenset(map(Scope, ALL_SCOPES if scopes is None else scopes)),
            project_id=None if project is None else UUID(project),
        )
    )
    return secret


@contextmanager
def serve(
    house: House,
    log: Path,
    settings: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `keyferry serve` on the house's database; yield its URL and its process."""
    settings = {"KEYFERRY_DATABASE_URL": house.dsn, **(settings or {})}
    with serve_alone(log, settings, options) as served:
        yield served


@contextmanager
def serve_alone(
    log: Path,
    settings: Mapping[str, str],
    options: Sequence[str],
    *,
    program: Sequence[str] = PROGRAM,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `keyferry serve` on whatever settings and options say; likewise."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("KEYFERRY_")}
    environ |= {**_SETTINGS, **settings}
    where = () if "--listen" in options else ("--port", "0")
    command = [*program, "serve", *where, *options]
    begin = log.stat().st_size if log.exists() else 0
    with (
        log.open("ab") as errors,
        subprocess.Popen(
            command, env=environ, stderr=errors, pass_fds=pass_fds, cwd=cwd
        ) as process,
    ):
        try:
            yield _ready(log, begin, process)["url"], process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(30)


def places(log: Path) -> list[str]:
    """Return where the last Keyferry that writes this log listens, as --listen spells it."""
    ready = [line for line in log.read_bytes().splitlines() if b'"event":"ready"' in line]
    return list(json.loads(ready[-1])["listening"])


def _ready(log: Path, begin: int, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Return the line in which it says that it is ready, when it does."""
    end = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < end:
        with log.open("rb") as lines:
            lines.seek(begin)
            for line in lines:
                if line.endswith(b"}\n") and b'"event":"ready"' in line:
                    return dict(json.loads(line))
        time.sleep(0.02)
    raise AssertionError(f"the service did not start: {log.read_text()}")


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a folder for a database: reachable for the user that PostgreSQL runs as under root."""
    with tempfile.TemporaryDirectory(prefix="keyferry-test-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)
