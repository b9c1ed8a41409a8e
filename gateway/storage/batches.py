"""One statement for what many ask at the same moment.

Sending a statement and taking its answer costs more than what PostgreSQL does about it, and a
commit more still; asked together, all of that is paid once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from typing import Generic, TypeVar

from gateway.errors import GatewayError
from gateway.storage.database import is_away, was_undone

Q = TypeVar("Q")
A = TypeVar("A")


class Batches(Generic[Q, A]):
    """Questions are gathered while `flights` batches are under way, up to `size` for the next.

    `answer` takes a batch and returns its answers in the same order; an exception among them is
    raised where its question was asked. A batch that the database refuses is asked again one by
    one, so that nobody fails for somebody else; one that took too long is not, that was long
    enough. A statement is sent only after every question in it was asked: each answer is as fresh
    as if it had been asked alone.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]],
        *,
        flights: int = 2,
        size: int = 32,
    ) -> None:
        self._answer = answer
        self._free = flights
        self._size = size
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._flights: set[asyncio.Task[None]] = set()
        self._boarding = False  # the next batch goes when all have asked who are about to

    async def ask(self, question: Q) -> A:
        """Return the answer to one question. Raises what `answer` raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._waiting.append((question, future))
        if self._free and not self._boarding:
            self._boarding = True
            loop.call_soon(self._take_off)
        return await future

    def _take_off(self) -> None:
        self._boarding = False
        while self._free and self._waiting:
            count = min(self._size, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            self._free -= 1
            flight = asyncio.create_task(self._fly(batch), name="batch")
            self._flights.add(flight)
            flight.add_done_callback(partial(self._land, batch))

    async def _fly(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._answer([question for question, _ in batch])
        except Exception as error:  # noqa: BLE001  whatever it was, everybody is told
            if is_away(error):
                # Those who came since would wait as long, for the same answer.
                batch += self._waiting
                self._waiting.clear()
            elif len(batch) > 1 and was_undone(error):  # one of them may be the cause
                await asyncio.gather(*(self._fly([one]) for one in batch))
                return
            _tell(batch, map(_copy, repeat(error)))
        else:
            _tell(batch, answers)

    def _land(self, batch: list[tuple[Q, asyncio.Future[A]]], flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        if flight.cancelled():
            _tell(batch, repeat(asyncio.CancelledError()))
        self._free += 1
        self._take_off()


def _tell(
    batch: Sequence[tuple[Q, asyncio.Future[A]]], answers: Iterable[A | BaseException]
) -> None:
    for (_, future), answer in zip(batch, answers, strict=False):
        if future.done():  # who asked has gone
            continue
        if isinstance(answer, asyncio.CancelledError):
            future.cancel()
        elif isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def _copy(error: Exception) -> Exception:
    """Return an error for one of many to raise, since raising adds to it."""
    if not isinstance(error, GatewayError):
        return error
    copy = GatewayError(error.code, error.message, retry_after=error.retry_after)
    copy.__cause__ = error.__cause__
    return copy
