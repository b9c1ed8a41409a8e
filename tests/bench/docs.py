"""`make bench-docs`: the results in docs/, written from the files in .bench/."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from tests.bench.report import FOLDER, Table
from tests.bench.run import PARTS

PAGES = (Path("docs/performance.md"), Path("docs/verification.md"))
_RESULT = re.compile(r"(<!-- (\w+): begin -->\n).*?(\n<!-- \2: end -->)", re.DOTALL)


@click.command
def main() -> None:
    """Put each result that is there between its markers, and leave the rest as it is."""
    for page in PAGES:
        page.write_text(_RESULT.sub(_renewed, page.read_text()))


def _renewed(result: re.Match[str]) -> str:
    begin, kind, end = result.groups()
    path = FOLDER / f"{kind}.json"
    if not path.exists():
        click.echo(f"{path} is not there: run {command(kind)}", err=True)
        return result[0]
    click.echo(f"renewed: {kind}")
    return begin + rendered(json.loads(path.read_text())) + end


def command(kind: str) -> str:
    """Return how a kind of result is obtained."""
    return "make bench" if kind in PARTS else f"make bench-{kind}"


def rendered(report: dict[str, Any]) -> str:
    """Return a report as Markdown: when and where, why to doubt it, and its tables."""
    where = "; ".join(f"{name} {what}" for name, what in report["machine"].items())
    parts = [f"Measured {report['began']} by `{command(report['kind'])}`. {where}."]
    parts += [f"**Not to be believed**: {warning}." for warning in report["warnings"]]
    if report["missed"]:
        parts.append("Goals missed:\n\n" + "\n".join(f"- {goal}" for goal in report["missed"]))
    parts += [Table(**table).markdown().rstrip() for table in report["tables"]]
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
