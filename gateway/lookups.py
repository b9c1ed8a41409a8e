"""Reading keys: what many requests ask at the same moment is one question to the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from gateway.model import Algorithm, ListedKey, SigningKey
from gateway.storage.batches import Batches
from gateway.storage.database import STATEMENTS, Database

_Key = tuple[UUID, UUID, UUID | None]  # key, account, and project or any
_Whole = tuple[UUID, UUID | None]  # account, and project or any
_Part = tuple[UUID, UUID | None, int | None]  # account, project, and how many


class Lookups:
    """Live keys as the database has them. Every method raises GatewayError(UNAVAILABLE)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys: Batches[_Key, SigningKey | None] = Batches(self._find)
        self._lists: Batches[_Whole, list[ListedKey]] = Batches(self._list, size=8)
        self._pages: Batches[_Part, list[SigningKey]] = Batches(self._page, size=8)

    async def key(
        self, key_id: UUID, account_id: UUID, project_id: UUID | None
    ) -> SigningKey | None:
        """Return a key of an account or, if one is given, of its project."""
        return await self._keys.ask((key_id, account_id, project_id))

    async def all(self, account_id: UUID, project_id: UUID | None) -> list[ListedKey]:
        """Return all keys of an account or, if one is given, of its project; newest first."""
        return await self._lists.ask((account_id, project_id))

    async def newest(
        self, account_id: UUID, project_id: UUID | None, limit: int
    ) -> list[SigningKey]:
        """Return the newest keys of a project."""
        return await self._pages.ask((account_id, project_id, limit))

    async def _find(self, asked: Sequence[_Key]) -> list[SigningKey | None]:
        rows = await self._database.fetch(STATEMENTS.get_keys.sql, *zip(*asked, strict=True))
        found = {number: read_key(columns) for number, *columns in rows}
        return [found.get(number) for number in range(1, len(asked) + 1)]

    async def _list(self, asked: Sequence[_Whole]) -> list[list[ListedKey]]:
        rows = await self._database.fetch(STATEMENTS.list_keys.sql, *zip(*asked, strict=True))
        found: list[list[ListedKey]] = [[] for _ in asked]
        for number, key_id, created_at in rows:
            found[number - 1].append(ListedKey(key_id, created_at))
        return found

    async def _page(self, asked: Sequence[_Part]) -> list[list[SigningKey]]:
        sql = STATEMENTS.page_keys.sql
        rows = await self._database.fetch(sql, *zip(*asked, strict=True))
        found: list[list[SigningKey]] = [[] for _ in asked]
        for number, *columns in rows:
            found[number - 1].append(read_key(columns))
        return found


def read_key(columns: list[Any]) -> SigningKey:
    """Return the key of a row with the columns of SigningKey, in their order."""
    columns[5] = Algorithm(columns[5])
    return SigningKey(*columns)
