"""How a command answers: a document as JSON, or the same as aligned text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import click

Entry = dict[str, Any]
Document = Entry | list[Entry]


def show(document: Document, output: str, columns: Sequence[str] = ()) -> None:
    """Print `document` on standard output; `columns` are the members a list shows as text.

    In text, a member "token" of an entry stands alone there, for a shell to catch, and the rest
    goes to standard error.
    """
    if output == "json":
        click.echo(json.dumps(document, indent=2))
    elif isinstance(document, list):
        click.echo("\n".join(_table(document, columns)))
    else:
        secret = document.get("token")
        rest = {name: value for name, value in document.items() if name != "token"}
        click.echo("\n".join(sheet(rest)), err="token" in document)
        if secret is not None:
            click.echo(secret)


def sheet(entry: Entry) -> Iterable[str]:
    """One member a line, then the lists among them as tables."""
    plain = {name: value for name, value in entry.items() if not isinstance(value, list)}
    width = max(map(len, plain))
    for name, value in plain.items():
        lines = value.splitlines() if isinstance(value, str) else [value]
        for head, line in zip_longest([name], lines, fillvalue=""):
            yield f"{head:{width}}  {text(line)}".rstrip()
    for name, value in entry.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            yield from ("", click.style(name, bold=True), *_table(value, ()))
        elif isinstance(value, list) and value:
            yield f"{name:{width}}  {', '.join(map(text, value))}"


def _table(entries: Sequence[Entry], columns: Sequence[str]) -> Iterable[str]:
    """One entry a line under its columns, by default all of the first."""
    if not entries:
        return ["none"]
    columns = columns or list(entries[0])
    rows = [[text(entry[column]) for column in columns] for entry in entries]
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    head = click.style(_line(columns, widths), bold=True)
    return [head, *(_line(row, widths) for row in rows)]


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def text(value: Any) -> str:
    """Return a value as people read it, without anything that a terminal obeys."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ",".join(map(text, value))
        case Mapping():
            return " ".join(f"{name}={text(member)}" for name, member in value.items())
    # Names come from clients, and a terminal obeys control characters.
    return "".join(
        mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in str(value)
    )
