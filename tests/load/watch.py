"""What a server holds on to while it is under load: memory, file descriptors, connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import linear_regression
from types import TracebackType
from typing import Self

import psutil

from tests.service import House

_CONNECTIONS = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
_MIB = 2**20
_LONG_ENOUGH = 60.0  # seconds, for a slope to mean anything


@dataclass(frozen=True)
class Sample:
    """One look. `at` is in seconds since the first."""

    at: float
    rss: float  # MiB, of all processes of the server
    descriptors: float
    connections: float  # to the database, the watcher's own included


class Watch:
    """Looks every `interval` seconds on a thread of its own, from `with` to its end."""

    def __init__(self, house: House, pid: int, interval: float) -> None:
        self.samples: list[Sample] = []
        self._house = house
        self._server = psutil.Process(pid)
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._stopping.wait(self._interval):
            try:
                self.samples.append(self._look(time.monotonic() - began))
            except psutil.Error:  # the server has gone; whoever waits for k6 will notice
                return

    def _look(self, at: float) -> Sample:
        processes = [self._server, *self._server.children(recursive=True)]
        row = self._house.run(self._house.database.fetchrow(_CONNECTIONS))
        return Sample(
            at,
            sum(process.memory_info().rss for process in processes) / _MIB,
            sum(process.num_fds() for process in processes),
            row["n"],
        )


def describe(samples: Sequence[Sample]) -> list[str]:
    """Return a line per figure: where it began, where it ended, and its slope in between.

    The first tenth is left out, while caches and pools fill.
    """
    settled = samples[len(samples) // 10 :]
    if not settled or settled[-1].at - settled[0].at < _LONG_ENOUGH:
        return ["  too short to say whether the server keeps what it takes"]
    return [
        _line("memory, MiB", settled, lambda sample: sample.rss),
        _line("file descriptors", settled, lambda sample: sample.descriptors),
        _line("connections", settled, lambda sample: sample.connections),
    ]


def _line(name: str, samples: Sequence[Sample], figure: Callable[[Sample], float]) -> str:
    figures = [figure(sample) for sample in samples]
    slope, _ = linear_regression([sample.at for sample in samples], figures)
    return (
        f"  {name:<18}{figures[0]:>10.1f} to {figures[-1]:.1f}, at most {max(figures):.1f}, "
        f"slope {slope * 60:+.2f} per minute"
    )
