"""Prometheus metrics. Labels come from closed sets only: dialects, routes, statuses, reasons.

With several workers each writes files of its own in PROMETHEUS_MULTIPROC_DIR, which the supervisor
sets, and whoever is asked adds them up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

_INTERVAL = 1.0  # seconds between two looks at what has a level
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        labels = ("dialect", "route")
        self._requests = Counter(
            "keyferry_requests", "Requests answered", (*labels, "status"), registry=registry
        )
        self._seconds = Histogram(
            "keyferry_request_seconds",
            "Time from request to answer",
            labels,
            registry=registry,
            buckets=_BUCKETS,
        )
        self._verdicts = Counter(
            "keyferry_verdicts", "Playback tokens judged", ("reason",), registry=registry
        )
        self._levels: list[tuple[Gauge, Callable[[], float]]] = []
        self._totals: list[tuple[Counter, Callable[[], float], list[float]]] = []
        # Finding a label's child costs more than counting in it.
        self._request_children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._verdict_children: dict[str, Counter] = {}

    def answered(self, dialect: str | None, route: str | None, status: int, seconds: float) -> None:
        """Count one request."""
        key = (dialect or "none", route or "none", status)
        children = self._request_children.get(key)
        if children is None:
            children = self._request_children[key] = (
                self._requests.labels(*key[:2], str(status)),
                self._seconds.labels(*key[:2]),
            )
        children[0].inc()
        children[1].observe(seconds)

    def judged(self, reason: str) -> None:
        """Count one verdict."""
        child = self._verdict_children.get(reason)
        if child is None:
            child = self._verdict_children[reason] = self._verdicts.labels(reason)
        child.inc()

    def level(self, name: str, text: str, read: Callable[[], float], *, total: str) -> None:
        """Show what `read` returns now; workers' levels are combined by `total` (sum, max, min)."""
        mode = {"sum": "livesum", "max": "livemax", "min": "livemin"}[total]
        gauge = Gauge(f"keyferry_{name}", text, registry=self._registry, multiprocess_mode=mode)
        self._levels.append((gauge, read))

    def total(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show what `read` returns, which only grows."""
        counter = Counter(f"keyferry_{name}", text, registry=self._registry)
        self._totals.append((counter, read, [0.0]))

    def look(self) -> None:
        """Take down all levels and totals."""
        for gauge, read in self._levels:
            gauge.set(read())
        for counter, read, last in self._totals:
            now = read()
            counter.inc(max(0.0, now - last[0]))
            last[0] = now

    async def run(self) -> None:
        """Look now and then until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_INTERVAL)

    def render(self) -> bytes:
        """Return the text exposition format, of all workers where there are several."""
        self.look()
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        everybody = CollectorRegistry()
        multiprocess.MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]
        return generate_latest(everybody)


@asynccontextmanager
async def open_metrics(metrics: Metrics) -> AsyncIterator[Metrics]:
    """Run `metrics` until the block ends."""
    task = asyncio.create_task(metrics.run(), name="metrics")
    try:
        yield metrics
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
