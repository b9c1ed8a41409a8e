"""The bounded dict that remembers signatures."""

from __future__ import annotations

import pytest

from gateway.memo import Memo


def test_what_is_used_is_kept() -> None:
    memo: Memo[int, str] = Memo(6)
    memo.put(0, "used")
    for key in range(1, 50):
        memo.put(key, "once")
        assert memo.get(0) == "used"
        assert len(memo) <= 6
    assert memo.get(1) is None


@pytest.mark.parametrize("capacity", [0, 1])
def test_no_room_means_nothing_is_kept(capacity: int) -> None:
    memo: Memo[int, str] = Memo(capacity)
    memo.put(1, "one")
    assert memo.get(1) is None
    assert len(memo) == 0
