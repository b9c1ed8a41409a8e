"""What `keyferry verify` is asked, read from its options as from the question of an edge."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import click

from gateway.place import Place, read_place, read_prefixes
from gateway.verdicts import ANY_SUBJECT, Facts
from gateway.web.exchange import Request
from gateway.web.playback import find_token, original_url

_MOST_READ = 65_536  # bytes of standard input, which should hold one token


class Options(NamedTuple):
    """The options of the command, as they were given."""

    tokens: Sequence[str]
    url: str | None
    prefixes: Sequence[str]
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
    place, token = None, None
    if options.url is not None:
        place, token = _played(options.url, options.prefixes)
    if options.tokens:
        token = _token(options.tokens[0])
    facts = Facts(
        subject=ANY_SUBJECT if options.subject is None and place is None else options.subject,
        place=place,
        address=options.ip,
        country=options.country,
        download=options.download or (place is not None and "downloads" in place.names),
    )
    return Question(account_id, token, facts, options.batch)


def _check(options: Options) -> None:
    sources = len(options.tokens) + (options.batch is not None)
    if sources > 1:
        raise click.UsageError("One TOKEN, or one --batch FILE for many.")
    if not sources and options.url is None:
        raise click.UsageError("Which token? Give TOKEN, a --url that has one, or --batch FILE.")
    if options.url is not None and options.subject is not None:
        raise click.UsageError("--url and --subject both say what is played.")
    if options.prefixes and options.url is None:
        raise click.UsageError("--prefix goes with --url.")


def _token(text: str) -> str:
    if text == "-":  # where it is, not what
        read = sys.stdin.buffer.read(_MOST_READ)
        return read.decode("utf-8", "replace").strip()
    return text


def _played(url: str, prefixes: Sequence[str]) -> tuple[Place, str | None]:
    """Return where the id stands in a URL or its path, and the token that an edge would find."""
    name = b"x-original-uri" if url.startswith("/") else b"x-original-url"
    if not url.startswith(("/", "http://", "https://")):
        raise click.UsageError("--url should begin with https://, http:// or /.")
    sent = url.partition("#")[0].encode("utf-8", "surrogateescape")  # no client sends the rest
    request = Request("GET", "", b"", [(name, sent)], "", None, None, str)
    told = original_url(request, "")
    try:
        place = read_place(told, read_prefixes(",".join(prefixes)))
    except ValueError as error:
        raise click.UsageError(f"--prefix: {error}") from error
    found = find_token(request, told, place)
    return place, None if found is None else found.token
