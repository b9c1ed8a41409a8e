"""Deleted keys that live on for a while: for how long, which ones, and who is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal
from uuid import UUID

from gateway.lag import LaggingKeyring, witnessing
from gateway.model import Algorithm
from gateway.tokens import MISS, KeyRef, KeyState, KeyStatus, Miss

KEY = UUID(int=1)
LIVE = KeyState(KEY, KEY, KEY, Algorithm.RS256, lambda _s, _i: True, KeyStatus.LIVE, 1)


class Ring:
    """A keyring with one key, a clock, and the late keyring around it."""

    def __init__(self) -> None:
        self.state: KeyState | Literal[Miss.MISS] | None = LIVE
        self.now = 100.0
        self.late = LaggingKeyring(self, 10, lambda: self.now)

    def peek(self, _ref: KeyRef, /) -> KeyState | Literal[Miss.MISS] | None:
        return self.state

    async def find(self, _ref: KeyRef, /) -> KeyState | None:
        assert self.state is not MISS
        return self.state

    def become(self, status: KeyStatus) -> None:
        self.state = replace(LIVE, status=status, generation=2)

    def status(self) -> KeyStatus:
        state = self.late.peek(KEY)
        assert isinstance(state, KeyState)
        return state.status


async def test_a_deleted_key_lives_on() -> None:
    ring = Ring()
    ring.late.changed("key", KEY)
    ring.become(KeyStatus.DELETED)
    ring.now += 9.9
    with witnessing() as late:
        assert ring.status() is KeyStatus.LIVE
        found = await ring.late.find(KEY)
    assert late == [KEY, KEY]
    assert found is not None
    assert (found.status, found.generation) == (KeyStatus.LIVE, 2)
    ring.now += 0.1
    with witnessing() as late:
        assert ring.status() is KeyStatus.DELETED
    assert late == []


def test_only_deletes_of_this_key_come_late() -> None:
    ring = Ring()
    ring.become(KeyStatus.DELETED)
    assert ring.status() is KeyStatus.DELETED  # since before anybody listened
    ring.late.changed("account", KEY)
    ring.late.changed("key", UUID(int=2))
    assert ring.status() is KeyStatus.DELETED
    ring.late.changed("key", KEY)
    ring.become(KeyStatus.DISABLED)
    assert ring.status() is KeyStatus.DISABLED


def test_what_is_not_known_stays_unknown() -> None:
    ring = Ring()
    for state in (None, MISS):
        ring.state = state
        assert ring.late.peek(KEY) is state


def test_what_was_missed_does_not_shorten_a_life() -> None:
    ring = Ring()
    ring.late.changed("key", KEY)
    ring.become(KeyStatus.DELETED)
    ring.late.clear()
    assert ring.status() is KeyStatus.LIVE


def test_the_memory_has_an_end() -> None:
    ring = Ring()
    for number in range(10_050):
        ring.late.changed("key", UUID(int=number))
    assert len(ring.late._changes) == 10_000
