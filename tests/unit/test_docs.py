"""What README.md and docs/ have to mention, and the tables in them that the code decides.

`DOCS=write pytest tests/unit/test_docs.py` writes those tables anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from adapters import find_dialects
from gateway import settings
from gateway.cli.group import main
from gateway.errors import Code
from gateway.verdicts import EXPLANATIONS, Reason, Verdict
from gateway.web.neutral import STATUSES
from gateway.web.verify import _status

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
_SETTING = re.compile(r'reader\.get\(\s*(f?)"([^"]+)"')


def reasons() -> Iterator[str]:
    yield "| reason | status | what it means |"
    yield "| --- | --- | --- |"
    for reason in Reason:
        yield f"| `{reason.value}` | {_status(Verdict(reason))} | {EXPLANATIONS[reason]} |"


def commands() -> Iterator[str]:
    yield "| command | what it does |"
    yield "| --- | --- |"
    for name, command in sorted_commands(main, "keyferry"):
        yield f"| `{name}` | {command.get_short_help_str(200)} |"


def sorted_commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from sorted_commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def names_of_settings() -> Iterator[str]:
    source = Path(settings.__file__).read_text()
    for formatted, name in _SETTING.findall(source):
        if formatted:
            yield from (name.format(prefix=dialect.name.upper()) for dialect in find_dialects())
        else:
            yield name


TABLES = {
    "reasons": ("verification.md", reasons),
    "commands": ("commands.md", commands),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_say_what_the_code_does(name: str) -> None:
    file, rows = TABLES[name]
    page = ROOT / "docs" / file
    marked = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    text = page.read_text()
    table = "".join(f"{row}\n" for row in rows())
    renewed, found = marked.subn(lambda match: match[1] + table + match[2], text)
    assert found == 1
    if os.environ.get("DOCS") == "write":
        page.write_text(renewed)
    assert page.read_text() == renewed


@pytest.mark.parametrize("code", Code)
def test_every_error_code_is_explained_with_its_status(code: Code) -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    assert re.search(rf"^\| `{code.value}` \| {STATUSES[code]} \| .+ \|$", page, re.MULTILINE)


def test_settings_are_found() -> None:
    names = set(names_of_settings())
    assert len(names) > 20
    assert {"DATABASE_URL", "LIVEPEER_QUOTA", "STALENESS"} <= names


@pytest.mark.parametrize("name", sorted(names_of_settings()))
def test_every_setting_is_in_the_readme(name: str) -> None:
    assert f"| `KEYFERRY_{name}` |" in (ROOT / "README.md").read_text()


def test_no_setting_is_made_up() -> None:
    known = {settings.PREFIX + name for name in names_of_settings()}
    told = set(re.findall(r"\bKEYFERRY_(?!LOAD_)[A-Z_]+[A-Z]\b", TEXT))  # LOAD_: of k6 scripts
    assert told <= known


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
