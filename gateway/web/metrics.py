"""Prometheus metrics. Labels come from closed sets only: dialects, routes, statuses, reasons.

With several workers each writes files of its own in PROMETHEUS_MULTIPROC_DIR, which the supervisor
sets, and whoever is asked adds them up.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from hmac import compare_digest
from typing import Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.tasks import repeating, running

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # of prometheus-client
Workers = Literal["livesum", "livemax", "livemin"]
_INTERVAL = 1.0  # seconds between two looks at what has a level
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class _Histogram(Histogram):
    """A histogram that takes many observations at once."""

    def add(self, seconds: float, buckets: list[int]) -> None:
        """Add observations that came to `seconds`, by the bucket each of them belongs to."""
        self._sum.inc(seconds)
        for bucket, count in zip(self._buckets, buckets, strict=True):
            bucket.inc(count)


class _Answers:
    """What was answered alike since the last look."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.buckets = [0] * (len(_BUCKETS) + 1)


class Metrics:
    """The metrics of one process.

    What happens at every request is counted in plain numbers and handed on by `look`: a counter
    that threads and processes may share costs more than a signature remembered.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        labels = ("dialect", "route")
        self._requests = Counter(
            "keyferry_requests", "Requests answered", (*labels, "status"), registry=registry
        )
        self._seconds = _Histogram(
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
        self._answers: dict[tuple[str | None, str | None, int], _Answers] = {}
        self._reasons: Tally[str] = Tally()

    def answered(self, dialect: str | None, route: str | None, status: int, seconds: float) -> None:
        """Count one request."""
        key = (dialect, route, status)
        answers = self._answers.get(key)
        if answers is None:
            answers = self._answers[key] = _Answers()
        answers.seconds += seconds
        answers.buckets[bisect_left(_BUCKETS, seconds)] += 1

    def judged(self, reason: str) -> None:
        """Count one verdict."""
        self._reasons[reason] += 1

    def level(
        self, name: str, text: str, read: Callable[[], float], workers: Workers = "livesum"
    ) -> None:
        """Show what `read` returns now; `workers` says how those of several are combined."""
        gauge = Gauge(f"keyferry_{name}", text, registry=self.registry, multiprocess_mode=workers)
        self._levels.append((gauge, read))

    def total(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show what `read` returns, which only grows."""
        counter = Counter(f"keyferry_{name}", text, registry=self.registry)
        self._totals.append((counter, read, [0.0]))

    async def run(self) -> None:
        """Look now and then until cancelled."""
        await repeating(self._look_again, _INTERVAL)

    async def _look_again(self) -> None:
        self.look()

    def look(self) -> None:
        """Take down all levels and totals, and what was counted since the last time."""
        answers, self._answers = self._answers, {}
        for (dialect, route, status), alike in answers.items():
            labels = (dialect or "none", route or "none")
            self._requests.labels(*labels, str(status)).inc(sum(alike.buckets))
            self._seconds.labels(*labels).add(alike.seconds, alike.buckets)
        reasons, self._reasons = self._reasons, Tally()
        for reason, count in reasons.items():
            self._verdicts.labels(reason).inc(count)
        for gauge, read in self._levels:
            gauge.set(read())
        for counter, read, last in self._totals:
            now = read()
            counter.inc(max(0.0, now - last[0]))
            last[0] = now

    def render(self) -> bytes:
        """Return the text exposition format, of all workers where there are several."""
        self.look()
        folder = os.environ.get(SHARED)
        return generate_latest(self.registry if folder is None else everybody(folder))


def everybody(folder: str) -> CollectorRegistry:
    """Return the metrics of all workers that write into `folder`."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, folder)
    return registry


def dead(folder: str, pid: int) -> None:
    """Forget the levels of a worker that has ended; what it counted still counts."""
    multiprocess.mark_process_dead(pid, folder)


@contextlib.contextmanager
def shared_metrics() -> Iterator[str]:
    """Yield a folder for the metrics of several workers."""
    with tempfile.TemporaryDirectory(prefix="keyferry-metrics-") as folder:
        yield folder


@asynccontextmanager
async def open_metrics(metrics: Metrics) -> AsyncIterator[Metrics]:
    """Run `metrics` until the block ends."""
    try:
        async with running(metrics.run(), "metrics"):
            yield metrics
    finally:
        metrics.look()


def open_metrics_route(metrics: Metrics) -> Route:
    """Return `/metrics` for a socket that only those can reach who may know."""

    async def show(_request: Request) -> Response:
        return _shown(metrics)

    return Route("/metrics", show)


def metrics_routes(metrics: Metrics, token: str | None) -> list[Route]:
    """Return `/metrics` for who knows `token`; without one there is no such route."""
    if token is None:
        return []
    expected = f"Bearer {token}".encode()

    async def show(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode("latin-1")
        if not compare_digest(given, expected):
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
        return _shown(metrics)

    return [Route("/metrics", show)]


def _shown(metrics: Metrics) -> Response:
    return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)
