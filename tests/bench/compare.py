"""Interleaved comparison: each measurement is preceded by one of the control, A B A B …"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from tests.bench.cpu import Spent
from tests.bench.load import Load, Wave
from tests.bench.report import Table, spread
from tests.bench.servers import Server

NOISY = 0.15
_COLUMNS = [
    "",
    "per second",
    "spread",
    "of control",
    "by CPU",
    "p50 ms",
    "p99 ms",
    "CPU µs",
    "PostgreSQL µs",
]


def nothing() -> None:
    """Prepare nothing."""


@dataclass
class Row:
    """One kind of request under one load, and what was measured of it, once per round.

    `goal` is the least ratio to the control. `fresh` prepares what one run uses up.
    """

    name: str
    server: Server
    wave: Wave
    connections: int = 32
    goal: float | None = None
    limit: int = 0
    fresh: Callable[[], None] = nothing
    loads: list[Load] = field(default_factory=list)
    spent: list[Spent] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def warm_up(self) -> None:
        """Load without looking."""
        self.fresh()
        self.wave.run(1, self.connections, self.limit)

    def measure(self, seconds: int, against: float | None) -> Load:
        """Load and keep the figures; `against` is the control's rate, None for the control."""
        self.fresh()
        before = self.server.meter.read()
        load = self.wave.run(seconds, self.connections, self.limit)
        self.spent.append(self.server.meter.read() - before)
        self.loads.append(load)
        self.ratios.append(load.rate / (against or load.rate))
        return load

    def cpu(self, part: str) -> float:
        """Return the median microseconds per request of one part of `Spent`."""
        both = zip(self.spent, self.loads, strict=True)
        return float(median(getattr(spent, part) / load.requests * 1e6 for spent, load in both))

    def middle(self, figure: str) -> float:
        """Return the median over the rounds of one of `Load`'s figures."""
        return float(median(getattr(load, figure) for load in self.loads))

    def figures(self) -> dict[str, object]:
        """Return everything measured, for the JSON file."""
        return {
            "connections": self.connections,
            "rates": [round(load.rate, 1) for load in self.loads],
            "ratios": [round(ratio, 4) for ratio in self.ratios],
            "p50_us": self.middle("p50"),
            "p99_us": self.middle("p99"),
            "cpu_us": round(self.cpu("loops"), 1),
            "behind_us": round(self.cpu("behind"), 1),
            "requests": [load.requests for load in self.loads],
            "refused": sum(load.refused for load in self.loads),
            "broken": sum(load.broken for load in self.loads),
        }

    def texts(self, control: float) -> list[str]:
        """Return the row of the table; `control` is that one's CPU microseconds per request."""
        if not all(load.good for load in self.loads):
            bad = f"{sum(load.refused + load.broken for load in self.loads)} bad answers"
            return [self.name, "INVALID", bad, *("-" for _ in _COLUMNS[3:])]
        ratio = f"{median(self.ratios):.3f}"
        if self.goal is not None:
            ratio += f" (goal {self.goal:.2f})"
        return [
            self.name,
            f"{self.middle('rate'):,.0f}",
            f"{spread([load.rate for load in self.loads]):.0%}",
            ratio,
            f"{control / self.cpu('loops'):.2f}",
            f"{self.middle('p50') / 1000:.2f}",
            f"{self.middle('p99') / 1000:.2f}",
            f"{self.cpu('loops'):.0f}",
            f"{self.cpu('postgres'):.0f}",
        ]


class Comparison:
    """Rows measured in rounds against one control."""

    def __init__(self, control: Row) -> None:
        self.control = Row(control.name, control.server, control.wave)
        name = f"{control.name}, 1 connection"
        self.lone = Row(name, control.server, control.wave, connections=1)

    def measure(self, rows: list[Row], seconds: int) -> None:
        """Measure each row once, each right after the control."""
        for row in rows:
            row.measure(seconds, self._control(row).measure(1, None).rate)

    def figures(self, rows: list[Row]) -> dict[str, object]:
        """Return everything measured, by row."""
        return {row.name: row.figures() for row in (*self._controls, *rows)}

    def faults(self, rows: list[Row]) -> list[str]:
        """Say what makes the figures doubtful."""
        swing = spread([load.rate for load in self.control.loads])
        rows = [*self._controls, *rows]
        found = [
            f"{row.name}: some answers were not as they should be"
            for row in rows
            if not all(load.good for load in row.loads)
        ]
        if swing > NOISY:
            found.append(f"the control's own rate has a spread of {swing:.0%}: too noisy a machine")
        return found

    def missed(self, rows: list[Row]) -> list[str]:
        """Name the rows that do not reach their goal."""
        return [
            f"{row.name}: {median(row.ratios):.3f} of the control, not {row.goal:.2f}"
            for row in rows
            if row.goal is not None and median(row.ratios) < row.goal
        ]

    def _control(self, row: Row) -> Row:
        return self.lone if row.connections == 1 else self.control

    @property
    def _controls(self) -> list[Row]:
        """The controls that something was compared with."""
        return [row for row in (self.control, self.lone) if row.loads]

    def table(self, title: str, rows: list[Row], note: str = "") -> Table:
        """Return the table of the control and `rows`."""
        texts = [row.texts(self._control(row).cpu("loops")) for row in (*self._controls, *rows)]
        return Table(title, _COLUMNS, texts, note)
