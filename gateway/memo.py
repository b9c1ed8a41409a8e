"""A dict that forgets: bounded, without work on a hit, for what can be computed again."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Keeps at most `capacity` entries, the recently used ones first; under 2 it keeps none.

    Two generations: when the young one is full it becomes the old one, and the old one is
    dropped whole. What was used since the last turn survives it.
    """

    def __init__(self, capacity: int) -> None:
        self._half = capacity // 2
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """What was put under `key`, unless it was forgotten."""
        value = self._young.get(key)
        if value is None and (value := self._old.pop(key, None)) is not None:
            self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Remember `value` under `key`, in place of what was there."""
        if not self._half:
            return
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = value
