"""The case files of this package, found by looking."""

from __future__ import annotations

import importlib
import pkgutil

import tests.conformance
from tests.conformance.case import Case

_SHARED = {"case", "cases", "conftest"}


def find_cases() -> dict[str, Case]:
    """Return the `CASE` of every case file by the name of its dialect."""
    names = [module.name for module in pkgutil.iter_modules(tests.conformance.__path__)]
    modules = [
        importlib.import_module(f"tests.conformance.{name}")
        for name in names
        if name not in _SHARED and not name.startswith("test_")
    ]
    return {module.CASE.dialect: module.CASE for module in modules}


CASES = find_cases()
