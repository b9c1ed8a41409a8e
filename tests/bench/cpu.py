"""Processor time and memory of running servers, from the operating system's own account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil


@dataclass(frozen=True)
class Spent:
    """Processor seconds: of main threads, of other threads, and of what the server asks itself."""

    loops: float = 0.0
    threads: float = 0.0  # key generation
    behind: float = 0.0  # PostgreSQL, or Keyferry where the server is an edge

    def __sub__(self, other: Spent) -> Spent:
        return Spent(
            self.loops - other.loops,
            self.threads - other.threads,
            self.behind - other.behind,
        )


class Meter:
    """Reads what one server, its workers and the processes behind it have spent so far.

    The system counts in ticks of 10 ms, so short measurements are coarse.
    """

    def __init__(self, server: int, behind: int) -> None:
        self._server = psutil.Process(server)
        self._behind = psutil.Process(behind)

    def read(self) -> Spent:
        """Return the totals since the start."""
        loops = threads = 0.0
        for process in family(self._server):
            for thread in process.threads():
                if thread.id == process.pid:
                    loops += thread.user_time + thread.system_time
                else:
                    threads += thread.user_time + thread.system_time
        own = self._behind.cpu_times()
        ended = own.children_user + own.children_system
        return Spent(loops, threads, ended + sum(map(_spent, family(self._behind))))


def family(process: Any) -> list[Any]:
    """Return a process and everything it has started."""
    return [process, *process.children(recursive=True)]


def resident(process: int) -> list[float]:
    """Return the resident MB of a process and of each of its children, its own first."""
    return [member.memory_info().rss / 2**20 for member in family(psutil.Process(process))]


def busy(seconds: float) -> float:
    """Return the share of all cores that is in use over `seconds`, by whomever."""
    return float(psutil.cpu_percent(seconds)) / 100


def _spent(process: Any) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
