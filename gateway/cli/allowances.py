"""What an operator wishes an account to have, as typed: DIALECT=N, DIALECT=ALG, DIALECT=default."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import click

from adapters import find_dialects
from adapters.dialect import Dialect
from gateway.model import Algorithm, Allowance

Pairs = Iterable[tuple[str, str]]

_MAX_QUOTA = 2**31 - 1
_DEFAULT = "default"  # takes back in what the account differs


@dataclass(frozen=True, slots=True)
class Wish:
    """For one dialect; what is None stays as it is, "default" is as the deployment says."""

    quota: str | None
    algorithm: str | None

    def merged(self, old: Allowance | None) -> tuple[int | None, Algorithm | None]:
        """Return the quota and the algorithm that the account has afterwards."""
        quota, algorithm = (None, None) if old is None else (old.quota, old.algorithm)
        if self.quota is not None:
            quota = None if self.quota == _DEFAULT else int(self.quota)
        if self.algorithm is not None:
            algorithm = None if self.algorithm == _DEFAULT else Algorithm(self.algorithm)
        return quota, algorithm


def read_wishes(quotas: Pairs, algorithms: Pairs) -> dict[str, Wish]:
    """Return the wishes by dialect. Raises click.UsageError for what no dialect can have."""
    numbers, names = dict(quotas), dict(algorithms)
    dialects = {dialect.name: dialect for dialect in find_dialects()}
    for name in numbers.keys() | names.keys():
        if name not in dialects:
            raise click.UsageError(f"There is no dialect {name!r}, only {', '.join(dialects)}.")
    for number in numbers.values():
        _check_quota(number)
    for name, algorithm in names.items():
        _check_algorithm(dialects[name], algorithm)
    return {
        name: Wish(numbers.get(name), names.get(name)) for name in numbers.keys() | names.keys()
    }


def _check_quota(text: str) -> None:
    if text != _DEFAULT and not (text.isdecimal() and int(text) <= _MAX_QUOTA):
        raise click.UsageError(f"A quota is a whole number or {_DEFAULT}, not {text!r}.")


def _check_algorithm(dialect: Dialect, text: str) -> None:
    if text not in {*dialect.algorithms, _DEFAULT}:
        possible = ", ".join([*dialect.algorithms, _DEFAULT])
        raise click.UsageError(f"Keys of {dialect.name} can have {possible}, not {text!r}.")
