"""A bounded memory of what the database said, for as long as the change feed vouches for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar
from uuid import UUID

from gateway.storage.feed import Feed

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Remembers what `load` found per key until a change is heard.

    Any change of the kinds named in `kinds` makes it forget everything: such changes are rare,
    and forgetting costs one query per key asked for again. Nothing is remembered that was read
    while a change arrived, since the reading may be older than the change.
    """

    def __init__(
        self,
        feed: Feed,
        load: Callable[[K], Awaitable[V | None]],
        *,
        kinds: frozenset[str],
        entries: int,
    ) -> None:
        self._feed = feed
        self._load = load
        self._kinds = kinds
        self._entries = entries
        self._known: dict[K, V] = {}
        self._changes = 0
        feed.subscribe(self)

    async def get(self, key: K) -> V | None:
        """Return what is known of `key`, asking the database when memory cannot be trusted.

        Raises GatewayError(UNAVAILABLE).
        """
        if self._feed.trusted and (value := self._known.get(key)) is not None:
            return value
        changes = self._changes
        value = await self._load(key)
        if value is not None and changes == self._changes:
            self._remember(key, value)
        return value

    def _remember(self, key: K, value: V) -> None:
        if len(self._known) >= self._entries:
            del self._known[next(iter(self._known))]
        self._known[key] = value

    def clear(self) -> None:
        """Forget everything."""
        self._changes += 1
        self._known.clear()

    def changed(self, kind: str, _subject: UUID) -> None:
        """Forget everything if this memory follows `kind`."""
        if kind in self._kinds:
            self.clear()
