"""The store as an operator's commands open it: without doors, pools of keys or a feed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import TypeVar
from uuid import UUID

from gateway.accounts import Accounts
from gateway.cli.advice import Case
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
from gateway.explain import Explainer
from gateway.keypool import KeyPool
from gateway.keyring import FeedKeyring
from gateway.keys import KeyManager
from gateway.minting import Minter
from gateway.model import SigningKey
from gateway.plays import Policy
from gateway.settings import Settings
from gateway.storage.database import STATEMENTS, Database, open_database
from gateway.storage.feed import Feed, announcing
from gateway.storage.migrate import LATEST, migrate
from gateway.tokens import Verifier
from gateway.verdicts import Facts

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Store:
    """What commands work on."""

    accounts: Accounts
    keys: KeyManager
    minter: Minter
    verifier: Verifier
    explainer: Explainer
    database: Database

    def read_wishes(self, quotas: Pairs, algorithms: Pairs) -> dict[str, Wish]:
        """Return what --quota and --algorithm ask for, by dialect. Raises click.UsageError."""
        return read_wishes(quotas, algorithms)

    async def allow(self, account_id: UUID, wishes: dict[str, Wish]) -> None:
        """Carry out `wishes` and keep what they do not name."""
        old = {one.dialect: one for one in await self.accounts.allowances(account_id)}
        for dialect, wish in wishes.items():
            quota, algorithm = wish.merged(old.get(dialect))
            await self.accounts.set_allowance(account_id, dialect, quota, algorithm)

    async def explain(self, account_id: UUID, token: str | None, facts: Facts) -> Case:
        """Judge a playback token, and find out what else there is to know about it."""
        explanation = await self.explainer.explain(account_id, token, facts)
        key = explanation.verdict.key
        return Case(
            explanation,
            facts,
            self.explainer.policy,
            [] if key is None else await self.keys.history(account_id, key),
            await self._clock_behind(),
        )

    async def _clock_behind(self) -> float:
        """Return by how many seconds this machine's clock is behind the database's."""
        begin = time()
        row = await self.database.fetchrow(STATEMENTS.clock.sql)
        now: float = row["now"].timestamp()
        return now - (begin + time()) / 2

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
            yield _store(settings, database)


def _store(settings: Settings, database: Database) -> Store:
    """The core without its background: no command makes keys, and a feed that never runs is never
    trusted, so that each question goes to the database."""
    wait = settings.pool_wait
    pool = KeyPool(size=1, threads=1, on_error=lambda _: None)
    feed = Feed("", announcing(database), staleness=settings.staleness)
    keyring = FeedKeyring(database, feed, time)
    policy = Policy(leeway=settings.leeway, max_lifetime=settings.max_lifetime)
    master_key = settings.master_key
    return Store(
        Accounts(database),
        KeyManager(database, pool, settings.policies, pool_wait=wait),
        Minter(database, feed, keyring, pool, master_key=master_key, pool_wait=wait),
        Verifier(keyring, time, policy),
        Explainer(keyring, time, policy),
        database,
    )
