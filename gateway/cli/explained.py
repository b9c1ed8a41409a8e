"""How `keyferry verify --explain` answers: a verdict, every check, and what would change it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.advice import advise
from gateway.cli.documents import moment, verdict_document
from gateway.cli.output import sheet, text

if TYPE_CHECKING:
    from gateway.cli.advice import Case
    from gateway.cli.output import Entry
    from gateway.explain import Step

_COLOURS = {"ok": "green", "failed": "red"}


def explained_document(case: Case) -> Entry:
    """Return a verdict with everything that was checked, and what would make the token play."""
    explanation = case.explanation
    return verdict_document(explanation.verdict) | {
        "judged_at": moment(datetime.fromtimestamp(explanation.at, UTC)),
        "clock_behind_database": round(case.behind, 3),
        "checks": [_check(step, case) for step in explanation.steps],
    }


def explained_text(document: Entry) -> str:
    """Return the same for people: the checks one below the other, advice below what failed."""
    rest = {name: value for name, value in document.items() if name != "checks"}
    checks: list[dict[str, Any]] = document["checks"]
    widths = [max(len(check[name]) for check in checks) for name in ("result", "check")]
    return "\n".join(chain(sheet(rest), [""], *(_lines(check, widths) for check in checks)))


def _check(step: Step, case: Case) -> Entry:
    reason = step.reason
    return {
        "check": step.check.name,
        "result": step.result.value,
        "reason": None if reason is None else reason.value,
        "message": step.message,
        "advice": None if reason is None else advise(reason, case),
    }


def _lines(check: Entry, widths: list[int]) -> Iterable[str]:
    result = f"{check['result']:{widths[0]}}"
    margin = f"{check['check']:{widths[1]}}"
    message = "" if check["result"] == "not reached" else check["message"]
    yield f"{click.style(result, _COLOURS.get(check['result']))}  {margin}  {message}".rstrip()
    if check["advice"]:
        yield f"{'':{sum(widths) + 4}}{text(check['advice'])}"
