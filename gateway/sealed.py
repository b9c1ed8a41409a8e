"""Whether the master key opens the accounts' own minting keys, found out a few at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

from gateway.crypto import unseal
from gateway.storage.database import STATEMENTS, Database

_PAGE = 100  # keys that one statement reads
_FIRST = UUID(int=0)
_FRESH = 1.0  # seconds for which a count is good at least
_SHARE = 100  # a count is good for this many times what it took


def sealing_context(account_id: UUID, key_id: UUID) -> bytes:
    """Bind a sealed key to its place: moved to another row it cannot be opened."""
    return account_id.bytes + key_id.bytes


class SealedKeys:
    """Counts the accounts whose minting key the master key does not open.

    A count goes through all minting keys by their index, in pages. It stops when the caller's time
    is up and is taken up again by the next one, so that no probe waits for a large store.
    """

    def __init__(
        self,
        database: Database,
        master_key: bytes | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._master_key = master_key
        self._clock = clock
        self._lock = asyncio.Lock()
        self._last = 0  # what the last complete count came to
        self._good_until = float("-inf")
        self._restart()

    def _restart(self) -> None:
        self._next: UUID | None = _FIRST
        self._count = 0
        self._took = 0.0

    async def unopened(self, patience: float) -> int:
        """Return how many there are; at least, while the first count is under way.

        Without a master key nothing is minted here, and nothing counted. Raises GatewayError.
        """
        if self._master_key is None:
            return 0
        if not self._lock.locked() and self._clock() >= self._good_until:
            async with self._lock:
                await self._go_on(self._master_key, patience)
        return max(self._last, self._count)

    async def _go_on(self, master_key: bytes, patience: float) -> None:
        began = self._clock()
        while self._next is not None and self._clock() < began + patience:
            await self._take_page(master_key, self._next)
        now = self._clock()
        self._took += now - began
        if self._next is None:
            self._last = self._count
            self._good_until = now + max(_FRESH, _SHARE * self._took)
            self._restart()

    async def _take_page(self, master_key: bytes, first: UUID) -> None:
        rows = await self._database.fetch(STATEMENTS.sealed_keys.sql, first, _PAGE)
        for row in rows:
            try:
                unseal(master_key, row["sealed"], sealing_context(row["account_id"], row["id"]))
            except ValueError:
                self._count += 1
        last = rows[-1]["account_id"].int if len(rows) == _PAGE else 2**128 - 1
        self._next = UUID(int=last + 1) if last + 1 < 2**128 else None
