"""Reading tables of a TOML file strictly: unknown members are faults, and all faults are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Table:
    """Reads one member after the other and collects what is wrong with them in `faults`.

    A member that cannot be used is read as some value that can: whoever reads must look at
    `faults` in the end. Without a `default` a member is required.
    """

    def __init__(self, path: str, content: Mapping[str, Any], faults: list[str]) -> None:
        self.faults = faults
        self._path = path
        self._content = content
        self._read: set[str] = set()

    def table(self, name: str) -> Table | None:
        """Return a table within this one, None when there is none."""
        value = self._get(name, {})
        if not isinstance(value, dict):
            self.fault(name, "should be a table")
        elif name in self._content:
            return Table(self._named(name), value, self.faults)
        return None

    def number(self, name: str, low: float, high: float, *, default: float | None = None) -> float:
        """Return a number from `low` to `high`."""
        value = self._get(name, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)
        self.fault(name, f"should be a number from {low:.12g} to {high:.12g}")
        return low

    def count(self, name: str, high: int) -> int:
        """Return a whole number from 1 to `high`."""
        value = self._get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= high:
            return value
        self.fault(name, f"should be a whole number from 1 to {high}")
        return 1

    def ordered(self, first: str, second: str, low: float, high: float) -> tuple[float, float]:
        """Return two numbers from `low` to `high`, the first not above the second."""
        before = len(self.faults)
        numbers = self.number(first, low, high), self.number(second, low, high)
        if len(self.faults) == before and numbers[0] > numbers[1]:
            self.fault(first, f"should not be above {second}")
        return numbers

    def choice(self, name: str, options: tuple[str, ...], *, default: str | None = None) -> str:
        """Return one of `options`, "" for anything else."""
        value = self._get(name, default)
        if isinstance(value, str) and value in options:
            return value
        self.fault(name, f"should be one of {', '.join(options)}")
        return ""

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._get(name, default)
        if isinstance(value, bool):
            return value
        self.fault(name, "should be true or false")
        return default

    def fault(self, name: str, text: str) -> None:
        """Note what is wrong with a member, or with the whole table when `name` is empty."""
        self.faults.append(f"{self._named(name)} {text}")

    def finish(self) -> None:
        """Note every member that nobody has asked for."""
        for name in self._content:
            if name not in self._read:
                self.fault(name, "is not known")

    def _get(self, name: str, default: Any = None) -> Any:
        self._read.add(name)
        return self._content.get(name, default)

    def _named(self, name: str) -> str:
        return ".".join(part for part in (self._path, name) if part)
