"""What the commands on accounts, projects, tokens and keys have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from gateway.cli.options import FOLDER, output_option
from gateway.cli.output import Document, show

Work = Callable[..., Coroutine[Any, Any, Document]]

data_option = click.option(
    "--data",
    type=FOLDER,
    metavar="DIR",
    help="Work on the embedded database of this folder, running or not.",
)


def administers(*columns: str) -> Callable[[Work], Callable[..., None]]:
    """Make a command of a coroutine function that gets a Store first and returns a document.

    The command has the options --data and --output. `columns` are what a list shows as text.
    """

    def decorate(work: Work) -> Callable[..., None]:
        @data_option
        @output_option
        @functools.wraps(work)
        def command(data: Path | None, output: str, **given: Any) -> None:
            from gateway.cli.store import work_in  # noqa: PLC0415  it is heavy

            show(work_in(data, lambda store: work(store, **given)), output, columns)

        return command

    return decorate


@contextmanager
def found(what: str) -> Iterator[None]:
    """Say that there is no `what` when the store does not find it."""
    try:
        yield
    except LookupError as error:
        raise click.ClickException(f"there is no {what}") from error


@contextmanager
def accepted() -> Iterator[None]:
    """Pass on why the store does not take a value."""
    try:
        yield
    except ValueError as error:
        raise click.ClickException(str(error)) from error
