"""Where keys are put without a server: projects of accounts, new rows, and a watched database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from os import urandom
from typing import Any
from uuid import UUID, uuid4

from gateway.inserts import Inserts, NewRow
from gateway.storage.database import STATEMENTS, Database
from tests.service import House
from tests.store import wrong_counters

CONNECTIONS = 8


@dataclass(frozen=True)
class Place:
    """A project of an account."""

    house: House
    account_id: UUID
    project_id: UUID

    def new(self, *, dialect: str = "livepeer", quota: int = 1000, **columns: Any) -> NewRow:
        """Return a new key for this place, with a numbered name unless `columns` say otherwise."""
        spki = urandom(91)
        row = NewRow(
            account_id=self.account_id,
            project_id=self.project_id,
            dialect=dialect,
            quota=quota,
            key_id=uuid4(),
            name=None,
            label="Signing Key",
            algorithm="ES256",
            spki=spki,
            fingerprint=sha256(spki).digest(),
            retry_digest=None,
            token_id=uuid4(),
            request_id=uuid4().hex,
            address="2001:db8::7",
        )
        return row._replace(**columns)

    def beside(self, name: str) -> Place:
        """Return another project of the same account."""
        project = self.house.run(self.house.accounts.create_project(self.account_id, name))
        return Place(self.house, self.account_id, project.id)


def make_places(house: House, count: int) -> list[Place]:
    """Return the default projects of new accounts, whose creates share batches.

    `Inserts` has a lane for even account ids and one for odd ones.
    """
    places = []
    for _ in range(count):
        account_id = UUID(int=uuid4().int & ~1)
        house.run(house.accounts.create("place", "place@example.invalid", account_id))
        project = house.run(house.accounts.list_projects(account_id))[0]
        places.append(Place(house, account_id, project.id))
    return places


class Watched(Database):
    """A real database, and the names of the statements it was sent."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, connections=CONNECTIONS)
        self.said: list[str] = []

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        """Remember a statement and run it."""
        self.said.append(_NAMES.get(sql, sql))
        return await super().fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Any:
        """Remember a statement and run it."""
        self.said.append(_NAMES.get(sql, sql))
        return await super().fetchrow(sql, *args)


_NAMES = {
    getattr(STATEMENTS, name).sql: name
    for name in STATEMENTS.available_queries
    if not name.endswith("_cursor")  # aiosql's second way to run each
}


@asynccontextmanager
async def watched(house: House) -> AsyncIterator[Watched]:
    """Open connections of a test's own to the house's database; its counters are right after it."""
    database = Watched(house.dsn)
    await database.open()
    try:
        yield database
    finally:
        await database.close()
    assert await wrong_counters(house.dsn) == []


async def store(inserts: Inserts, asked: Sequence[NewRow]) -> list[Any]:
    """Store keys at once; return what became of each."""
    return await asyncio.gather(*map(inserts.store, asked), return_exceptions=True)


async def settle(inserts: Inserts, places: Sequence[Place]) -> None:
    """Give each account its first key: only from then on it has a counter to be locked."""
    stored = await store(inserts, [place.new(name="first", label=None) for place in places])
    assert all(row["name"] == "first" for row in stored)


async def kept(database: Database, asked: Sequence[NewRow]) -> dict[UUID, Any]:
    """Return the keys among those asked for that are in the database, with their audit events."""
    rows = await database.fetch(
        """
        SELECT k.*, e.account_id AS by_account, e.action, e.detail, e.token_id, e.request_id,
               e.dialect AS through, host(e.address) AS address
        FROM signing_keys k LEFT JOIN key_events e ON e.key_id = k.id WHERE k.id = ANY ($1)
        """,
        [new.key_id for new in asked],
    )
    assert max(Counter(row["id"] for row in rows).values(), default=1) == 1  # one event each
    return {row["id"]: row for row in rows}
