"""Reading keys: what many requests ask at the same moment is one question to the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from gateway.model import Algorithm, SigningKey
from gateway.storage.batches import Batches
from gateway.storage.database import STATEMENTS, Database

_Key = tuple[UUID, UUID, UUID | None]  # key, account, and project or any
_Part = tuple[UUID, UUID | None, int | None]  # account, project, and how many


class Lookups:
    """Live keys as the database has them. Every method raises GatewayError(UNAVAILABLE)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys: Batches[_Key, SigningKey | None] = Batches(self._find)
        self._accounts: Batches[UUID, list[SigningKey]] = Batches(self._list_accounts, size=8)
        self._projects: Batches[_Part, list[SigningKey]] = Batches(self._list_projects, size=8)

    async def key(
        self, key_id: UUID, account_id: UUID, project_id: UUID | None
    ) -> SigningKey | None:
        """Return a key of an account or, if one is given, of its project."""
        return await self._keys.ask((key_id, account_id, project_id))

    async def of_account(self, account_id: UUID) -> list[SigningKey]:
        """Return all keys of an account, newest first."""
        return await self._accounts.ask(account_id)

    async def of_project(
        self, account_id: UUID, project_id: UUID | None, limit: int | None
    ) -> list[SigningKey]:
        """Return the newest keys of a project, all of them without a `limit`."""
        return await self._projects.ask((account_id, project_id, limit))

    async def _find(self, asked: Sequence[_Key]) -> list[SigningKey | None]:
        rows = await self._database.fetch(STATEMENTS.get_keys.sql, *zip(*asked, strict=True))
        found = {number: read_key(columns) for number, *columns in rows}
        return [found.get(number) for number in range(1, len(asked) + 1)]

    async def _list_accounts(self, asked: Sequence[UUID]) -> list[list[SigningKey]]:
        rows = await self._database.fetch(STATEMENTS.list_account_keys.sql, asked)
        return _by_number(rows, len(asked))

    async def _list_projects(self, asked: Sequence[_Part]) -> list[list[SigningKey]]:
        sql = STATEMENTS.list_project_keys.sql
        rows = await self._database.fetch(sql, *zip(*asked, strict=True))
        return _by_number(rows, len(asked))


def _by_number(rows: Sequence[Any], count: int) -> list[list[SigningKey]]:
    found: list[list[SigningKey]] = [[] for _ in range(count)]
    for number, *columns in rows:
        found[number - 1].append(read_key(columns))
    return found


def read_key(columns: list[Any]) -> SigningKey:
    """Return the key of a row with the columns of SigningKey, in their order."""
    columns[5] = Algorithm(columns[5])
    return SigningKey(*columns)
