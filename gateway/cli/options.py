"""What arguments and options mean, and the options that several commands share.

A reader of a value raises click.BadParameter, a usage error, for what it cannot take.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from uuid import UUID

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SPAN = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MAX_TEXT = 256
_LONGEST_SHOWN = 64
_MAX_SECRET = 1024  # a token has up to 512; more is refused with a reason


def read_id(text: str) -> UUID:
    """Return the id that 32 hexadecimal digits or a UUID with dashes spell."""
    if not _ID.fullmatch(text):
        shown = repr(text) if len(text) <= _LONGEST_SHOWN else "this"  # it may be a token
        raise click.BadParameter(f"{shown} is no id: 32 hexadecimal digits or a dashed UUID.")
    return UUID(text)


def read_text(text: str) -> str:
    """Return a name or address as it is."""
    if not text.strip() or not text.isprintable() or len(text) > _MAX_TEXT:
        raise click.BadParameter(f"should have 1 to {_MAX_TEXT} printable characters.")
    return text


def read_pair(text: str) -> tuple[str, str]:
    """Return the two sides of DIALECT=VALUE."""
    dialect, equals, value = text.partition("=")
    if not (dialect and equals and value):
        raise click.BadParameter(f"{text!r} should be DIALECT=VALUE.")
    return dialect, value


def read_share(text: str) -> tuple[int, int]:
    """Return which of how many workers NUMBER/COUNT means."""
    number, _, count = text.partition("/")
    return int(number), int(count)


def read_expiry(text: str) -> datetime:
    """Return the moment that a span from now (30d) or an RFC 3339 text says."""
    try:
        if span := _SPAN.fullmatch(text):
            return datetime.now(UTC) + timedelta(**{_UNITS[span[2]]: int(span[1])})
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("no offset from UTC")
    except (ValueError, OverflowError) as error:
        message = f"{text!r} should be like 30d, 12h or 2027-01-01T00:00:00Z."
        raise click.BadParameter(message) from error
    if moment <= datetime.now(UTC):
        raise click.BadParameter(f"{text} is over.")
    return moment


def read_secret(stream: BinaryIO) -> str:
    """Return the token in a file, which may end in a newline."""
    return stream.read(_MAX_SECRET).decode("ascii", "replace").rstrip("\r\n")


FOLDER = click.Path(file_okay=False, path_type=Path)

output_option = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or one JSON document.",
)
_listen = click.option(
    "--listen",
    "listens",
    multiple=True,
    metavar="[api=|edge=|metrics=]ADDRESS",
    help="Listen on HOST:PORT, unix:/PATH or fd:NAME, for everything, for what edges ask, or for "
    "metrics; can be repeated.",
)
_host = click.option(
    "--host", metavar="HOST", help="Short for --listen HOST:PORT.  [default: 127.0.0.1]"
)
_port = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Short for --listen HOST:PORT; 0 takes any free one.  [default: 8787]",
)


def listen_options(command: Command) -> Command:
    """Give a command --listen, and --host and --port in its stead."""
    return _listen(_host(_port(command)))


quota_option = click.option(
    "--quota",
    "quotas",
    type=read_pair,
    multiple=True,
    metavar="DIALECT=N",
    help="Live keys that the account may have there; can be repeated.",
)
algorithm_option = click.option(
    "--algorithm",
    "algorithms",
    type=read_pair,
    multiple=True,
    metavar="DIALECT=ALG",
    help="Algorithm of keys created there; can be repeated.",
)
