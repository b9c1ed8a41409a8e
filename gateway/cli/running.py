"""Running a program of ours to its end: signals unwind it in order, faults become sentences."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import asyncpg
import click
import uvloop

from adapters import find_dialects
from gateway.errors import Code, GatewayError
from gateway.settings import Settings, SettingsError, load_settings
from gateway.storage.database import DEADLINE
from gateway.storage.embedded import EmbeddedError

T = TypeVar("T")
_READ_ONLY = (
    "it takes no writes; it is a standby, or default_transaction_read_only is on for this role"
)


class Misconfigured(click.ClickException):
    """The program cannot start as it is told to; names everything that is wrong."""

    exit_code = 2

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n  ".join(["the settings cannot be used:", *faults]))


def run(program: Coroutine[Any, Any, T]) -> T:
    """Run `program` and return its result.

    SIGINT and SIGTERM cancel it once, so that everything it opened is closed; the command then
    exits as if killed by the signal. Raises click.ClickException for what a person can act on.
    """
    with _explained():
        return uvloop.run(_stoppable(program))


def read_settings() -> tuple[Settings, list[str]]:
    """Return the settings of the environment and all that is wrong with them.

    With faults, the settings are those of an empty environment.
    """
    dialects = find_dialects()
    try:
        return load_settings(os.environ, dialects), []
    except SettingsError as error:
        return load_settings({}, dialects), error.faults


def settings_or_refusal() -> Settings:
    """Return the settings of the environment. Raises Misconfigured."""
    settings, faults = read_settings()
    if faults:
        raise Misconfigured(faults)
    return settings


async def _stoppable(program: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(program)
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        if len(received) == 1:  # a second one would interrupt the closing
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        raise click.exceptions.Exit(128 + received[0]) from None


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except GatewayError as error:
        raise click.ClickException(reason_of(error)) from error
    except asyncpg.PostgresError as error:
        raise click.ClickException(f"the database refuses: {error}") from error
    except (EmbeddedError, OSError) as error:
        raise click.ClickException(str(error)) from error


def reason_of(error: GatewayError, place: str = "") -> str:
    """Say what an operator, unlike a client, may know: why the database at `place` is away."""
    if error.code is not Code.UNAVAILABLE or error.__cause__ is None:
        return error.message
    cause = str(error.__cause__) or f"no answer within {DEADLINE} s"
    if isinstance(error.__cause__, asyncpg.TargetServerAttributeNotMatched):
        cause = _READ_ONLY
    return f"cannot use the database{place and ' at ' + place}: {cause}"
