"""Prometheus metrics. Labels come from closed sets only: dialects, routes, statuses, reasons.

With several workers each writes files of its own in PROMETHEUS_MULTIPROC_DIR, which the supervisor
sets, and whoever is asked adds them up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
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
    start_http_server,
)
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.tasks import running

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # of prometheus-client
Workers = Literal["livesum", "livemax", "livemin"]
_INTERVAL = 1.0  # seconds between two looks at what has a level
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
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


def listen(host: str, port: int, registry: CollectorRegistry) -> None:
    """Show metrics on a port of their own, from a thread. Raises OSError."""
    start_http_server(port, host, registry)


@contextlib.contextmanager
def shared_metrics() -> Iterator[str]:
    """Yield a folder for the metrics of several workers."""
    with tempfile.TemporaryDirectory(prefix="keyferry-metrics-") as folder:
        yield folder


@asynccontextmanager
async def open_metrics(metrics: Metrics) -> AsyncIterator[Metrics]:
    """Run `metrics` until the block ends."""
    async with running(metrics.run(), "metrics"):
        yield metrics


def metrics_routes(metrics: Metrics, token: str | None) -> list[Route]:
    """Return `/metrics` for who knows `token`; without one there is no such route."""
    if token is None:
        return []
    expected = f"Bearer {token}".encode()

    async def show(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode("latin-1")
        if not compare_digest(given, expected):
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return [Route("/metrics", show)]
