"""A keyring that lets deleted keys live on for a while, as a provider far away does.

Only a simulation uses it (`revocation_lag`), and whoever answers can tell that it did.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Literal
from uuid import UUID

from gateway.storage.feed import Feed
from gateway.tokens import KeyRef, Keyring, KeyState, KeyStatus, Miss

_MAX_KEYS = 10_000  # whose changes are remembered
_witness: ContextVar[list[UUID] | None] = ContextVar("witness", default=None)


@contextmanager
def witnessing() -> Iterator[list[UUID]]:
    """Yield a list of the deleted keys that are taken for live ones in this task meanwhile."""
    late: list[UUID] = []
    token = _witness.set(late)
    try:
        yield late
    finally:
        _witness.reset(token)


class LaggingKeyring:
    """A keyring that heeds deletes `lag` seconds after they were announced; a `Subscriber`, too.

    Keys that were deleted before it was made are deleted, and a disabled key is disabled at once.
    """

    def __init__(
        self, keyring: Keyring, lag: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keyring = keyring
        self._lag = lag
        self._clock = clock
        self._changes: OrderedDict[UUID, float] = OrderedDict()  # when a key changed last

    def peek(self, ref: KeyRef, /) -> KeyState | Literal[Miss.MISS] | None:
        """Return what `keyring` says, a key that was deleted just now as live."""
        state = self._keyring.peek(ref)
        return self._late(state) if isinstance(state, KeyState) else state

    async def find(self, ref: KeyRef, /) -> KeyState | None:
        """Return the key as the database had it a while ago. Raises GatewayError(UNAVAILABLE)."""
        state = await self._keyring.find(ref)
        return None if state is None else self._late(state)

    def clear(self) -> None:
        """Keep what is known: the times of changes do not become wrong."""

    def changed(self, kind: str, subject: UUID) -> None:
        """Note when a key changed; its delete, which is announced once, is the last change."""
        if kind != "key":
            return
        self._changes[subject] = self._clock()
        self._changes.move_to_end(subject)
        if len(self._changes) > _MAX_KEYS:
            self._changes.popitem(last=False)

    def _late(self, state: KeyState) -> KeyState:
        changed = self._changes.get(state.id)
        if state.status is not KeyStatus.DELETED or changed is None:
            return state
        if self._clock() >= changed + self._lag:
            return state
        late = _witness.get()
        if late is not None:
            late.append(state.id)
        return replace(state, status=KeyStatus.LIVE)


def lagging(keyring: Keyring, feed: Feed, lag: float) -> Keyring:
    """Return the keyring that plays are judged by: `keyring` itself unless there is a `lag`."""
    if not lag:
        return keyring
    late = LaggingKeyring(keyring, lag)
    feed.subscribe(late)
    return late
