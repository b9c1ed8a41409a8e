"""How much memory the embedded PostgreSQL takes for its page cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.storage import embedded

GIB = 2**30


@pytest.mark.parametrize(
    ("machine", "container", "cache"),
    [
        (4 * GIB, None, 512),
        (4 * GIB, "max", 512),
        (64 * GIB, None, 1024),
        (64 * GIB, f"{2 * GIB}", 256),
        (64 * GIB, f"{GIB // 4}", 64),
        (GIB // 8, None, 64),
        (4 * GIB, "9223372036854771712", 512),  # cgroups 1, without a limit
    ],
)
def test_an_eighth_within_bounds(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    machine: int,
    container: str | None,
    cache: int,
) -> None:
    limit = tmp_path / "memory.max"
    if container is not None:
        limit.write_text(f"{container}\n")
    told = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": machine // 4096}
    monkeypatch.setattr(os, "sysconf", told.__getitem__)
    monkeypatch.setattr(embedded, "_CONTAINER_LIMITS", (str(limit), str(tmp_path / "none")))
    assert embedded._cache_size() == cache
