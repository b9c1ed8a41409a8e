"""How far the first filling of the key pool is: in the log, in /readyz and in the metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2

from tests.fleet import until
from tests.service import House, serve

SECRET = "metrics-token-for-tests"
SIZE = 200  # some 10 seconds of work for one thread
LONGEST = 130.0  # seconds


def told(log: Path) -> list[dict[str, Any]]:
    """Return what the log says of the key pool."""
    lines = [line for line in log.read_text().splitlines() if line.endswith("}")]
    return [line for line in map(json.loads, lines) if line["event"] == "key pool"]


def gauge(url: str, name: str) -> float:
    answer = httpx2.get(f"{url}/metrics", headers={"Authorization": f"Bearer {SECRET}"})
    found = [line for line in answer.text.splitlines() if line.startswith(f"{name} ")]
    return float(found[0].split()[1])


def test_the_filling_shows_its_progress(house: House, tmp_path: Path) -> None:
    log = tmp_path / "log"
    readiness: list[tuple[int, float]] = []
    settings = {
        "KEYFERRY_METRICS_TOKEN": SECRET,
        "KEYFERRY_POOL_SIZE": str(SIZE),
        "KEYFERRY_POOL_THREADS": "1",
    }

    def has_filled() -> bool:
        full = bool(told(log)) and told(log)[-1]["state"] == "full"
        pool = httpx2.get(f"{url}/readyz").json()["pool"]
        assert pool["size"] == SIZE
        assert gauge(url, "keyferry_pool_size") == SIZE
        readiness.append((pool["ready"], gauge(url, "keyferry_pool_ready")))
        return full

    with serve(house, log, settings) as (url, _):
        until(has_filled, LONGEST, pause=0.2)
        assert gauge(url, "keyferry_pool_ready") >= SIZE
    shown, counted = zip(*readiness, strict=True)
    assert list(shown) == sorted(shown)
    assert list(counted) == sorted(counted)
    assert shown[0] < SIZE <= shown[-1]
    *before, last = told(log)
    assert [line["state"] for line in before] == ["filling"] * len(before) != []
    assert [line["ready"] for line in before] == sorted(line["ready"] for line in before)
    assert before[0]["ready"] < SIZE <= last["ready"]
    assert all(line["size"] == SIZE for line in (*before, last))
