"""Public keys and their state in memory, trusted only while the change feed vouches for it."""

from __future__ import annotations

import asyncio
import time
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

    def __init__(
        self, database: Database, feed: Feed, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._feed = feed
        self._clock = clock
        self._states: dict[UUID, KeyState] = {}
        self._ids: dict[bytes, UUID] = {}  # by fingerprint
        self._unknown: dict[KeyRef, float] = {}  # until when
        self._generations = count(1)
        self.hits = 0  # answers from memory
        self.misses = 0  # questions to the database
        self._clears = 0
        self._changing: set[KeyRef] = set()  # what changed while a batch is under way
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
            self.hits += 1
            return state
        return None if self._unknown.get(ref, 0.0) > self._clock() else MISS

    async def find(self, ref: KeyRef, /) -> KeyState | None:
        """Return the key as the database has it. Raises GatewayError(UNAVAILABLE)."""
        self.misses += 1
        future = self._wanted.get(ref)
        if future is None:
            future = self._wanted[ref] = asyncio.get_running_loop().create_future()
        if self._loader is None:
            self._loader = asyncio.create_task(self._load(), name="keyring")
        return await asyncio.shield(future)

    def clear(self) -> None:
        """Forget everything: changes may have been missed."""
        self._clears += 1
        self._states.clear()
        self._ids.clear()
        self._unknown.clear()

    def changed(self, kind: str, subject: UUID) -> None:
        """Forget one key."""
        if kind == "key":
            self.forget(subject)

    def forget(self, ref: KeyRef) -> None:
        """Forget one key, or that there was none: what is read from now on counts."""
        if self._loader is not None:
            self._changing.add(ref)
        self._unknown.pop(ref, None)
        if isinstance(ref, UUID):
            self._states.pop(ref, None)

    async def _load(self) -> None:
        """Answer everybody who waits, a batch at a time, until nobody does."""
        try:
            while self._wanted:
                batch = dict(list(self._wanted.items())[:_BATCH])
                for ref in batch:
                    del self._wanted[ref]
                try:
                    found = await self._find(list(batch))
                except Exception as error:  # noqa: BLE001  whatever it was, everybody is told
                    # Those who came since would wait as long, for the same answer.
                    _fail([*batch.values(), *self._wanted.values()], error)
                    self._wanted.clear()
                    continue
                for ref, future in batch.items():
                    future.set_result(found.get(ref))
        finally:
            self._loader = None

    async def _find(self, refs: list[KeyRef]) -> dict[KeyRef, KeyState]:
        """Return what the database says, and remember what has not changed meanwhile."""
        clears = self._clears
        self._changing.clear()
        ids = [ref for ref in refs if isinstance(ref, UUID)]
        fingerprints = [ref for ref in refs if isinstance(ref, bytes)]
        rows = await self._database.fetch(STATEMENTS.key_states.sql, ids, fingerprints)
        found: dict[KeyRef, KeyState] = {}
        for row in rows:
            state = self._state(row)
            found[row["id"]] = found[row["fingerprint"]] = state
            if clears == self._clears and state.id not in self._changing:
                self._remember(state, row["fingerprint"])
        if clears == self._clears:
            for ref in refs:
                if ref not in found and ref not in self._changing:
                    self._remember_unknown(ref)
        return found

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


def _fail(waiting: list[asyncio.Future[KeyState | None]], error: Exception) -> None:
    for future in waiting:
        if isinstance(error, GatewayError):  # one for each, since raising adds to it
            error = GatewayError(error.code, error.message, retry_after=error.retry_after)
        future.set_exception(error)
        future.exception()  # whoever asked may have gone


def _status(row: Any) -> KeyStatus:
    if row["deleted"]:
        return KeyStatus.DELETED
    return KeyStatus.DISABLED if row["disabled"] else KeyStatus.LIVE
