"""`make bench-start`: time and memory from the command to ready."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click

from tests.bench.cpu import resident
from tests.bench.report import Report, Table, machine, spread
from tests.bench.servers import filled_at
from tests.service import House, open_folder, serve

_POOL = {"KEYFERRY_POOL_SIZE": "64"}  # the default, which tests.service makes smaller
_COLUMNS = ["", "seconds", "spread", "goal", "RSS MB per worker, stock full", "goal "]
_RSS_GOAL = 90.0


@dataclass
class Start:
    """One way to start, and what its rounds measured."""

    name: str
    goal: float
    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)  # of the largest worker

    def missed(self) -> list[str]:
        """Say which goals were missed."""
        took, rss = median(self.seconds), median(self.megabytes)
        slow = [f"{self.name}: ready after {took:.2f} s"] if took > self.goal else []
        return slow + ([f"{self.name}: {rss:.0f} MB per worker"] if rss > _RSS_GOAL else [])

    def texts(self) -> list[str]:
        """Return the row of the table."""
        took, rss = median(self.seconds), median(self.megabytes)
        goals = f"≤ {self.goal:.1f}", f"≤ {_RSS_GOAL:.0f}"
        return [
            self.name,
            f"{took:.2f}",
            f"{spread(self.seconds):.0%}",
            goals[0],
            f"{rss:.0f}",
            goals[1],
        ]


@click.command
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--quick", is_flag=True, help="One round: shows that the bench works.")
def main(rounds: int, *, quick: bool) -> None:
    """Measure starts in rounds and write .bench/start.json."""
    one, two = Start("serve", 1.0), Start("serve --workers 2", 1.5)
    first, again = Start("dev, first time", 6.0), Start("dev, again", 2.5)
    with open_folder() as folder, House(folder / "data") as house:
        report = Report("start", quick or rounds < 5, machine(house))
        for number in range(1 if quick else rounds):
            _serve(house, folder, one, ())
            _serve(house, folder, two, ("--workers", "2"))
            _dev(folder / f"dev-{number}", first)
            _dev(folder / f"dev-{number}", again)
        starts = [one, two, first, again]
        note = "From the start of the process until it says that it serves; files are in the cache."
        report.add(Table("Starting", _COLUMNS, [start.texts() for start in starts], note))
        report.missed += [fault for start in starts for fault in start.missed()]
        report.figures = {start.name: start.__dict__ for start in starts}
        report.finish()


def _serve(house: House, folder: Path, start: Start, options: Sequence[str]) -> None:
    """Start on the house's database, which is no child of it."""
    began = time.monotonic()
    with serve(house, folder / "start.log", _POOL, options) as (url, process):
        start.seconds.append(time.monotonic() - began)
        filled_at(url)
        start.megabytes.append(max(resident(process.pid)))


def _dev(data: Path, start: Start) -> None:
    environ = _clean(os.environ) | _POOL
    command = [sys.executable, "-m", "gateway", "dev", "--port", "0", "--output", "json"]
    began = time.monotonic()
    with subprocess.Popen(
        [*command, "--data", str(data)],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        start.seconds.append(time.monotonic() - began)
        try:
            filled_at(json.loads(told)["url"])
            start.megabytes.append(resident(process.pid)[0])
        finally:
            process.send_signal(signal.SIGTERM)


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environ.items() if not name.startswith("KEYFERRY_")}


if __name__ == "__main__":
    main()
