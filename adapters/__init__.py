"""The dialects: one module each, found by looking, so that adding one edits nothing else."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

from adapters.dialect import Dialect

_SHARED = {"dialect", "pipeline"}


def find_dialects() -> list[Dialect]:
    """Return every dialect of this package, by name.

    A dialect module has a class `Adapter`; one with a leading underscore is a part of a dialect.
    Raises ValueError for two dialects of one name or with overlapping prefixes.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [
        importlib.import_module(f"{__name__}.{name}")
        for name in names
        if name not in _SHARED and not name.startswith("_")
    ]
    return checked([module.Adapter() for module in modules])


def checked(dialects: Iterable[Dialect]) -> list[Dialect]:
    """Return `dialects` as a list, or raise ValueError when two would answer for each other."""
    found: list[Dialect] = []
    for dialect in dialects:
        for other in found:
            if dialect.name == other.name:
                raise ValueError(f"two dialects are named {dialect.name}")
            if _overlap(dialect.prefix, other.prefix):
                raise ValueError(f"{dialect.name} and {other.name} both answer {dialect.prefix}")
        found.append(dialect)
    return found


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
