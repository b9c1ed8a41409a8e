"""The store as an operator's commands open it: without doors, pools of keys or a feed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from gateway.accounts import Accounts
from gateway.cli.allowances import Pairs, Wish, read_wishes
from gateway.cli.database import (
    check_schema,
    choose_database,
    reached,
    require_current_schema,
)
from gateway.cli.output import Entry
from gateway.cli.running import run, settings_or_refusal
from gateway.crypto import spki_pem
from gateway.keypool import KeyPool
from gateway.keys import KeyManager
from gateway.model import SigningKey
from gateway.settings import Settings
from gateway.storage.database import Database, open_database
from gateway.storage.migrate import LATEST, migrate

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Store:
    """What commands work on."""

    accounts: Accounts
    keys: KeyManager

    def read_wishes(self, quotas: Pairs, algorithms: Pairs) -> dict[str, Wish]:
        """Return what --quota and --algorithm ask for, by dialect. Raises click.UsageError."""
        return read_wishes(quotas, algorithms)

    async def allow(self, account_id: UUID, wishes: dict[str, Wish]) -> None:
        """Carry out `wishes` and keep what they do not name."""
        old = {one.dialect: one for one in await self.accounts.allowances(account_id)}
        for dialect, wish in wishes.items():
            quota, algorithm = wish.merged(old.get(dialect))
            await self.accounts.set_allowance(account_id, dialect, quota, algorithm)

    def public_pem(self, key: SigningKey) -> str:
        """Return the public half of `key` as PEM."""
        return spki_pem(key.spki).decode()


def work_in(data: Path | None, work: Callable[[Store], Awaitable[T]]) -> T:
    """Return what `work` does on the store that `data` or the environment names."""
    settings = settings_or_refusal()

    async def program() -> T:
        async with _open_store(settings, choose_database(settings, data)) as store:
            return await work(store)

    return run(program())


def migrate_now(data: Path | None) -> Entry:
    """Apply what is pending and return what that was."""
    settings = settings_or_refusal()

    async def program() -> Entry:
        async with reached(choose_database(settings, data)) as dsn:
            await check_schema(dsn)
            return {"applied": await migrate(dsn), "version": LATEST}

    return run(program())


@asynccontextmanager
async def _open_store(settings: Settings, choice: str | Path) -> AsyncIterator[Store]:
    async with reached(choice) as dsn:
        if isinstance(choice, Path):
            await migrate(dsn)
        else:
            await require_current_schema(dsn)
        async with open_database(
            dsn, connections=2, statement_cache=settings.statement_cache
        ) as database:
            yield Store(Accounts(database), _keys_to_read(database, settings))


def _keys_to_read(database: Database, settings: Settings) -> KeyManager:
    """A manager whose pool is never started: no command makes keys."""
    pool = KeyPool(size=1, threads=1, on_error=lambda _: None)
    return KeyManager(database, pool, settings.policies, pool_wait=settings.pool_wait)
