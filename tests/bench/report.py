"""What a bench leaves behind: tables for people, JSON for `make bench-docs`, and the machine."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click
import psutil
from cryptography.hazmat.backends.openssl.backend import backend

from tests.service import House

FOLDER = Path(".bench")
_PACKAGES = ("keyferry", "uvicorn", "uvloop", "httptools", "starlette", "asyncpg", "cryptography")


@dataclass(frozen=True)
class Table:
    """A table of texts; a note below it says how to read it, if anything is odd."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""

    def markdown(self) -> str:
        """Return it as a pipe table, the first column to the left."""
        rule = ["---"] + ["---:"] * (len(self.columns) - 1)
        lines = [self.columns, rule, *self.rows]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.columns))]
        table = "\n".join(f"| {' | '.join(_padded(line, widths))} |" for line in lines)
        return f"### {self.title}\n\n{table}\n" + (f"\n{self.note}\n" if self.note else "")


@dataclass
class Report:
    """One run of one bench."""

    kind: str
    short: bool
    machine: dict[str, str]
    began: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}")
    warnings: list[str] = field(default_factory=list)  # why not to believe it
    missed: list[str] = field(default_factory=list)  # goals
    tables: list[Table] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)

    def add(self, table: Table) -> None:
        """Keep a table and print it."""
        self.tables.append(table)
        click.echo("\n" + table.markdown())

    def finish(self) -> None:
        """Print what is doubtful and which goals were missed, and write everything to .bench/."""
        if self.short:
            self.warnings.append("a short run: it shows that the bench works, not how fast we are")
        for warning in self.warnings:
            click.secho(f"NOT TO BE BELIEVED: {warning}", fg="red", bold=True, err=True)
        for goal in self.missed:
            click.secho(f"goal missed: {goal}", fg="yellow", err=True)
        FOLDER.mkdir(exist_ok=True)
        path = FOLDER / f"{self.kind}.json"
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
        click.echo(f"written: {path}")


def spread(values: Sequence[float]) -> float:
    """Return the interquartile range as a share of the median."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle if middle else 0.0


def machine(house: House) -> dict[str, str]:
    """Describe this machine and the versions of what runs on it."""
    postgres = house.run(house.database.fetchrow("SHOW server_version"))[0]
    memory = psutil.virtual_memory().total / 2**30
    return {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": f"{postgres}, fsync on",
        "openssl": backend.openssl_version_text(),
        "commit": _commit(),
        **{name: version(name) for name in _PACKAGES},
    }


def _padded(line: list[str], widths: list[int]) -> list[str]:
    left = line[0].ljust(widths[0])
    rest = zip(line[1:], widths[1:], strict=True)
    return [left, *(text.rjust(width) for text, width in rest)]


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"
