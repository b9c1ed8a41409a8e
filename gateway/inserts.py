"""Storing new keys: one statement and one commit for those that are created at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from gateway.errors import Code, GatewayError
from gateway.storage.batches import Batches
from gateway.storage.database import STATEMENTS, Database, was_undone

_LANES = 2
"""Batches of one dialect under way at a time. An account keeps to one of them: in two it would be
in its own way."""

_HELD_UP = 0.02  # seconds that a batch waits for those who could not go with it


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
        self._alone: set[asyncio.Task[None]] = set()  # which their batches do not wait for
        self._lanes: dict[tuple[str, int], Batches[NewRow, Awaitable[Any]]] = {}

    async def store(self, new: NewRow) -> Any:
        """Return name and created_at of the stored key, None when the account has no slot left.

        Raises what `Database` raises.
        """
        lane = (new.dialect, new.account_id.int % _LANES)
        if lane not in self._lanes:
            self._lanes[lane] = Batches(self._store, flights=1)
        return await (await self._lanes[lane].ask(new))

    async def _store(self, asked: Sequence[NewRow]) -> list[Awaitable[Any]]:
        """Return what each can wait for; what is held up holds up nobody else for long."""
        stored = await self._store_together(asked) if len(asked) > 1 else {}
        rest = [new for new in asked if new.key_id not in stored]
        loop = asyncio.get_running_loop()
        results: dict[UUID, asyncio.Future[Any]] = {
            new.key_id: loop.create_future() for new in asked
        }
        for key_id, row in stored.items():
            results[key_id].set_result(row)
        accounts: dict[UUID, list[NewRow]] = {}
        for new in rest:
            accounts.setdefault(new.account_id, []).append(new)
        tasks = [asyncio.create_task(self._in_turn(own, results)) for own in accounts.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=_HELD_UP)
        self._alone.update(task for task in tasks if not task.done())
        for task in tasks:
            task.add_done_callback(self._alone.discard)
        return [results[new.key_id] for new in asked]

    async def _in_turn(
        self, own: Sequence[NewRow], results: Mapping[UUID, asyncio.Future[Any]]
    ) -> None:
        """Store one account's keys one after the other: together they would wait for each other.

        Once the database is away for one of them it is for the rest.
        """
        away: GatewayError | None = None
        for new in own:
            result = results[new.key_id]
            try:
                if away is not None:
                    raise GatewayError(away.code, away.message, retry_after=away.retry_after)
                row = await self._store_alone(new)
            except Exception as error:  # noqa: BLE001  whoever asked is told
                if isinstance(error, GatewayError) and error.code is Code.UNAVAILABLE:
                    away = error
                if not result.done():
                    result.set_exception(error)
                    result.exception()  # whoever asked may have gone
            else:
                if not result.done():
                    result.set_result(row)

    async def _store_together(self, asked: Sequence[NewRow]) -> dict[UUID, Any]:
        """Return the rows stored, by key; what is wrong with one of them stores none."""
        columns: dict[str, Any] = dict(zip(NewRow._fields, zip(*asked, strict=True), strict=True))
        columns |= {"dialect": asked[0].dialect, "quota": asked[0].quota}
        del columns["retry_digest"]
        try:
            rows = await self._database.fetch(STATEMENTS.create_keys.sql, *columns.values())
        except Exception as error:
            if not was_undone(error):
                raise
            return {}
        return {row["id"]: row for row in rows}

    async def _store_alone(self, new: NewRow) -> Any:
        return await self._database.fetchrow(STATEMENTS.create_key.sql, *new)
