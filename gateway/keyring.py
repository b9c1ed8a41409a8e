"""Public keys and their state in memory, trusted only while the change feed vouches for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any, Literal
from uuid import UUID

from gateway.crypto import load_public
from gateway.errors import GatewayError
from gateway.model import Algorithm
from gateway.storage.database import STATEMENTS, Database
from gateway.storage.feed import Feed
from gateway.tokens import MISS, KeyRef, KeyState, KeyStatus, Miss

_BATCH = 500  # keys asked for by one query
_UNKNOWN_FOR = 0.5  # seconds for which a key that is not there is not asked for again
_UNKNOWN_ENTRIES = 10_000
_ENTRIES = 50_000


class FeedKeyring:
    """The keyring of one process.

    Keys that are not in memory are asked for in batches, one query at a time, so that however
    many unknown keys are named, the database gets one question at once from each process.
    """

    def __init__(self, database: Database, feed: Feed, clock: Callable[[], float]) -> None:
        self._database = database
        self._feed = feed
        self._clock = clock
        self._states: dict[UUID, KeyState] = {}
        self._ids: dict[bytes, UUID] = {}  # by fingerprint
        self._unknown: dict[KeyRef, float] = {}  # until when
        self._generations = count(1)
        self._changes = 0
        self._wanted: dict[KeyRef, asyncio.Future[KeyState | None]] = {}
        self._loader: asyncio.Task[None] | None = None
        feed.subscribe(self)

    @property
    def size(self) -> int:
        """How many keys are in memory."""
        return len(self._states)

    def peek(self, ref: KeyRef, /) -> KeyState | Literal[Miss.MISS] | None:
        """Return what memory may be trusted to say now, else MISS."""
        if not self._feed.trusted:
            return MISS
        key_id = ref if isinstance(ref, UUID) else self._ids.get(ref)
        state = None if key_id is None else self._states.get(key_id)
        if state is not None:
            return state
        return None if self._unknown.get(ref, 0.0) > self._clock() else MISS

    async def find(self, ref: KeyRef, /) -> KeyState | None:
        """Return the key as the database has it. Raises GatewayError(UNAVAILABLE)."""
        future = self._wanted.get(ref)
        if future is None:
            future = self._wanted[ref] = asyncio.get_running_loop().create_future()
        if self._loader is None:
            self._loader = asyncio.create_task(self._load(), name="keyring")
        return await asyncio.shield(future)

    def clear(self) -> None:
        """Forget everything: changes may have been missed."""
        self._changes += 1
        self._states.clear()
        self._ids.clear()
        self._unknown.clear()

    def changed(self, kind: str, subject: UUID) -> None:
        """Forget one key."""
        if kind == "key":
            self._changes += 1
            self._states.pop(subject, None)

    async def _load(self) -> None:
        """Answer everybody who waits, a batch at a time, until nobody does."""
        try:
            while self._wanted:
                batch = dict(list(self._wanted.items())[:_BATCH])
                for ref in batch:
                    del self._wanted[ref]
                await self._answer(batch)
        finally:
            self._loader = None

    async def _answer(self, batch: dict[KeyRef, asyncio.Future[KeyState | None]]) -> None:
        changes = self._changes
        ids = [ref for ref in batch if isinstance(ref, UUID)]
        fingerprints = [ref for ref in batch if isinstance(ref, bytes)]
        try:
            rows = await self._database.fetch(STATEMENTS.key_states.sql, ids, fingerprints)
        except GatewayError as error:
            for future in batch.values():
                future.set_exception(GatewayError(error.code, error.message, retry_after=1))
                future.exception()  # whoever asked may have gone
            return
        found: dict[KeyRef, KeyState] = {}
        for row in rows:
            state = self._state(row)
            found[row["id"]] = found[row["fingerprint"]] = state
            if changes == self._changes:  # else what was read may be older than the change
                self._remember(state, row["fingerprint"])
        for ref, future in batch.items():
            future.set_result(found.get(ref))
            if ref not in found and changes == self._changes:
                self._remember_unknown(ref)

    def _state(self, row: Any) -> KeyState:
        """Return the state that `row` tells; the one in memory if it says the same.

        So signatures remembered for a generation stay good when nothing has changed.
        """
        status = _status(row)
        known = self._states.get(row["id"])
        if known is not None and known.status is status:
            return known
        algorithm = Algorithm(row["algorithm"])
        return KeyState(
            id=row["id"],
            account_id=row["account_id"],
            project_id=row["project_id"],
            algorithm=algorithm,
            verify=load_public(row["spki"], algorithm).verify,
            status=status,
            generation=next(self._generations),
        )

    def _remember(self, state: KeyState, fingerprint: bytes) -> None:
        if len(self._states) >= _ENTRIES:
            del self._states[next(iter(self._states))]
        if len(self._ids) >= _ENTRIES:
            del self._ids[next(iter(self._ids))]
        self._states[state.id] = state
        self._ids[fingerprint] = state.id

    def _remember_unknown(self, ref: KeyRef) -> None:
        if len(self._unknown) >= _UNKNOWN_ENTRIES:
            del self._unknown[next(iter(self._unknown))]
        self._unknown[ref] = self._clock() + _UNKNOWN_FOR


def _status(row: Any) -> KeyStatus:
    if row["deleted"]:
        return KeyStatus.DELETED
    return KeyStatus.DISABLED if row["disabled"] else KeyStatus.LIVE
