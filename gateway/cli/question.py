"""What `keyferry verify` is asked, read from its options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import click

from gateway.verdicts import ANY_SUBJECT, Facts

_MOST_READ = 65_536  # bytes of standard input, which should hold one token


class Options(NamedTuple):
    """The options of the command, as they were given."""

    tokens: Sequence[str]
    subject: str | None
    ip: str | None
    country: str | None
    download: bool
    batch: str | None


class Question(NamedTuple):
    """May this token, or may those in the file `batch`, play this?"""

    account_id: UUID
    token: str | None
    facts: Facts
    batch: str | None


def read_question(account_id: UUID, options: Options) -> Question:
    """Return what is asked. Raises click.UsageError, which never repeats a token."""
    _check(options)
    token = _token(options.tokens[0]) if options.tokens else None
    facts = Facts(
        subject=ANY_SUBJECT if options.subject is None else options.subject,
        address=options.ip,
        country=options.country,
        download=options.download,
    )
    return Question(account_id, token, facts, options.batch)


def _check(options: Options) -> None:
    sources = len(options.tokens) + (options.batch is not None)
    if sources > 1:
        raise click.UsageError("One TOKEN, or one --batch FILE for many.")
    if not sources:
        raise click.UsageError("Which token? Give TOKEN, or --batch FILE.")


def _token(text: str) -> str:
    if text == "-":  # where it is, not what
        read = sys.stdin.buffer.read(_MOST_READ)
        return read.decode("utf-8", "replace").strip()
    return text
