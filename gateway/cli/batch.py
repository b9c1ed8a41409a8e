"""Many tokens, one a line: read as they come, judged some at a time, and summed up by reason."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.jws import MAX_TOKEN

if TYPE_CHECKING:
    from gateway.cli.output import Entry
    from gateway.verdicts import Reason, Verdict

AT_ONCE: Final = 500  # tokens; the keyring asks for as many keys by one query
_PIECE: Final = 65_536  # bytes
_KEPT: Final = 2 * MAX_TOKEN  # bytes of a line; a longer one is no token, blanks around it or not
_SHOWN: Final = 3  # numbers of lines shown for each reason
_BOM: Final = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line that is not blank; `number` counts all lines from 1."""

    number: int
    token: str


@dataclass(slots=True)
class _Count:
    """How many tokens got one verdict, and where the first of them are."""

    tokens: int = 0
    message: str = ""
    lines: list[int] = field(default_factory=list)


class Summary:
    """Verdicts on many tokens, by reason."""

    def __init__(self) -> None:
        self._counts: dict[Reason, _Count] = {}

    def add(self, line: Line, verdict: Verdict) -> None:
        """Count one verdict."""
        count = self._counts.setdefault(verdict.reason, _Count(message=verdict.message))
        count.tokens += 1
        if len(count.lines) < _SHOWN:
            count.lines.append(line.number)

    def document(self) -> Entry:
        """Return how many tokens play, and how many do not for which reason, most first."""
        total = sum(count.tokens for count in self._counts.values())
        allowed = sum(count.tokens for reason, count in self._counts.items() if reason == "allowed")
        counts = sorted(self._counts.items(), key=lambda item: (-item[1].tokens, item[0]))
        return {
            "tokens": total,
            "allowed": allowed,
            "refused": total - allowed,
            "reasons": [
                {
                    "reason": reason.value,
                    "tokens": count.tokens,
                    "first_lines": count.lines,
                    "message": count.message,
                }
                for reason, count in counts
            ],
        }


async def judge_lines(
    lines: AsyncIterator[Line], judge: Callable[[str], Awaitable[Verdict]]
) -> Summary:
    """Judge the token on each line, `AT_ONCE` at a time. Raises what `judge` raises."""
    summary, waiting = Summary(), list[Line]()

    async def settle() -> None:
        verdicts = await asyncio.gather(*(judge(line.token) for line in waiting))
        for line, verdict in zip(waiting, verdicts, strict=True):
            summary.add(line, verdict)
        waiting.clear()

    async for line in lines:
        waiting.append(line)
        if len(waiting) == AT_ONCE:
            await settle()
    await settle()
    return summary


async def read_lines(name: str) -> AsyncIterator[Line]:
    """Read the lines of a file, or of standard input for "-". Raises OSError.

    Of a line, however long it is, no more is kept than tells that it is too long for a token.
    """
    number, begun = 0, b""
    with _opened(name) as file:
        while piece := await _read(file):
            *whole, rest = piece.split(b"\n")
            for end in whole:
                number += 1
                if token := _token(begun + end):
                    yield Line(number, token)
                begun = b""
            begun = (begun + rest)[:_KEPT]
    if token := _token(begun):
        yield Line(number + 1, token)


def _token(line: bytes) -> str:
    return line.removeprefix(_BOM).strip().decode("utf-8", "replace")


@contextmanager
def _opened(name: str) -> Iterator[int]:
    if name == "-":
        yield sys.stdin.fileno()
        return
    file = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


async def _read(file: int) -> bytes:
    """Return the next piece of a file, b"" at its end; wait in a way that a signal interrupts."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(file, ready.set)
    except OSError:  # not what one waits for: a file on a disk
        return os.read(file, _PIECE)
    try:
        await ready.wait()
        return os.read(file, _PIECE)
    finally:
        loop.remove_reader(file)
