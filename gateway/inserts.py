"""Storing new keys: one statement and one commit for those that are created at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from gateway.errors import Code, GatewayError
from gateway.storage.batches import Batches
from gateway.storage.database import STATEMENTS, ConstraintViolated, Database

_LANES = 2
"""Batches of one dialect under way at a time. An account keeps to one of them: in two it would be
in its own way."""


class NewRow(NamedTuple):
    """What is stored of a new key, as the statements take it."""

    account_id: UUID
    project_id: UUID
    dialect: str
    quota: int  # the deployment's
    key_id: UUID
    name: str | None
    label: str | None  # of a numbered default name
    algorithm: str
    spki: bytes
    fingerprint: bytes
    retry_digest: bytes | None
    token_id: UUID
    request_id: str
    address: str | None


class Inserts:
    """Stores keys with quota and audit event, each of them wholly or not at all."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lanes: dict[tuple[str, int], Batches[NewRow, Any]] = {}

    async def store(self, new: NewRow) -> Any:
        """Return name and created_at of the stored key, None when the account has no slot left.

        Raises what `Database` raises.
        """
        lane = (new.dialect, new.account_id.int % _LANES)
        if lane not in self._lanes:
            self._lanes[lane] = Batches(self._store, flights=1)
        return await self._lanes[lane].ask(new)

    async def _store(self, asked: Sequence[NewRow]) -> list[Any]:
        stored = await self._store_together(asked) if len(asked) > 1 else {}
        rest = [new for new in asked if new.key_id not in stored]
        alone = await asyncio.gather(*map(self._store_alone, rest), return_exceptions=True)
        stored |= {new.key_id: row for new, row in zip(rest, alone, strict=True)}
        return [stored[new.key_id] for new in asked]

    async def _store_together(self, asked: Sequence[NewRow]) -> dict[UUID, Any]:
        """Return the rows stored, by key; what is wrong with one of them stores none."""
        columns: dict[str, Any] = dict(zip(NewRow._fields, zip(*asked, strict=True), strict=True))
        columns |= {"dialect": asked[0].dialect, "quota": asked[0].quota}
        del columns["retry_digest"]
        try:
            rows = await self._database.fetch(STATEMENTS.create_keys.sql, *columns.values())
        except ConstraintViolated:
            return {}
        except GatewayError as error:
            if error.code is Code.UNAVAILABLE:
                raise  # some may have been stored
            return {}
        return {row["id"]: row for row in rows}

    async def _store_alone(self, new: NewRow) -> Any:
        return await self._database.fetchrow(STATEMENTS.create_key.sql, *new)
