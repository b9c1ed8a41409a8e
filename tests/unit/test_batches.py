"""Batches: who shares one, when it goes, and that whatever befalls it everybody is told."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import pytest

from gateway.errors import Code, GatewayError
from gateway.storage.batches import Batches


class Desk:
    """Answers 10 times the question, while it is open; an exception for who asks for one."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.faults: dict[int, Exception] = {}  # by question
        self.fault: BaseException | None = None  # of the whole batch
        self.poison: dict[int, Exception] = {}  # of every batch with this question
        self.busy = self.most_busy = 0
        self.open = asyncio.Event()
        self.open.set()

    async def answer(self, questions: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(questions))
        self.busy += 1
        self.most_busy = max(self.busy, self.most_busy)
        fault = self.fault or next(
            (self.poison[each] for each in questions if each in self.poison), None
        )
        try:
            await asyncio.sleep(0)
            await self.open.wait()
        finally:
            self.busy -= 1
        if fault is not None:
            raise fault
        return [self.faults.get(question, question * 10) for question in questions]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Fails when an exception is left that nobody has looked at."""
    forgotten: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: forgotten.append(context))
    yield Desk()
    gc.collect()
    loop.set_exception_handler(None)
    assert forgotten == []


def asking(batches: Batches[int, int], questions: Iterable[int]) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(batches.ask(question)) for question in questions]


async def ticks(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def ends(tasks: list[asyncio.Task[int]]) -> list[Any]:
    """Return what became of tasks, each of which comes to an end."""
    async with asyncio.timeout(5):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_asked_in_one_tick_shares_a_batch(desk: Desk) -> None:
    batches = Batches(desk.answer)
    assert await ends(asking(batches, [3, 1, 2, 1])) == [30, 10, 20, 10]
    assert desk.batches == [[3, 1, 2, 1]]


@pytest.mark.parametrize("flights", [1, 2, 5])
async def test_as_many_and_as_large_as_they_may_be(desk: Desk, flights: int) -> None:
    batches = Batches(desk.answer, flights=flights, size=4)
    desk.open.clear()
    tasks = asking(batches, range(14))
    await ticks()
    assert len(desk.batches) == desk.busy == min(flights, 4)
    desk.open.set()
    assert await ends(tasks) == [10 * number for number in range(14)]
    assert desk.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13]]
    assert desk.most_busy == min(flights, 4)


async def test_who_comes_during_a_flight_goes_with_the_next(desk: Desk) -> None:
    """Never with the one under way, whose answers may be older than the question."""
    batches = Batches(desk.answer, flights=2)
    desk.open.clear()
    tasks: list[asyncio.Task[int]] = []
    for question in range(5):
        tasks += asking(batches, [question])
        await ticks()
    assert desk.batches == [[0], [1]]
    desk.open.set()
    assert await ends(tasks) == [0, 10, 20, 30, 40]
    assert desk.batches == [[0], [1], [2, 3, 4]]


async def test_an_exception_among_the_answers_is_for_its_asker(desk: Desk) -> None:
    wrong, odd = GatewayError(Code.BODY_INVALID, "no"), RuntimeError("odd")
    desk.faults = {1: wrong, 3: odd}
    batches = Batches(desk.answer)
    assert await ends(asking(batches, range(5))) == [0, wrong, 20, odd, 40]


async def test_who_makes_a_batch_fail_fails_alone(desk: Desk) -> None:
    """The others are asked for once more."""
    wrong, odd = GatewayError(Code.BODY_INVALID, "no"), RuntimeError("odd")
    desk.poison = {1: wrong, 3: odd}
    told = await ends(asking(Batches(desk.answer, flights=1), range(5)))
    assert [told[n] for n in (0, 2, 4)] == [0, 20, 40]
    assert [type(told[n]) for n in (1, 3)] == [GatewayError, RuntimeError]
    assert desk.batches == [[0, 1, 2, 3, 4], [0], [1], [2], [3], [4]]


async def test_each_gets_an_error_of_its_own(desk: Desk) -> None:
    """Raising adds frames to an error, and those of one request are no other's business."""
    fault = GatewayError(Code.UNAVAILABLE, "away", retry_after=7)
    fault.__cause__ = cause = OSError("cut")
    desk.fault = fault
    errors = await ends(asking(Batches(desk.answer), range(5)))
    assert len({id(error) for error in errors}) == 5
    assert len({id(error.__traceback__) for error in errors}) == 5
    for error in errors:
        assert (error.code, error.message, error.retry_after) == (Code.UNAVAILABLE, "away", 7)
        assert error.__cause__ is cause


@pytest.mark.parametrize("size", [2, 32])
async def test_who_waits_for_what_is_unavailable_is_told_too(desk: Desk, size: int) -> None:
    batches = Batches(desk.answer, flights=1, size=size)
    desk.fault = GatewayError(Code.UNAVAILABLE, "away")
    desk.open.clear()
    tasks = asking(batches, [1, 2])
    await ticks()
    tasks += asking(batches, [3, 4, 5])
    await ticks()
    desk.open.set()
    errors = await ends(tasks)
    assert [error.code for error in errors] == [Code.UNAVAILABLE] * 5
    assert len({id(error) for error in errors}) == 5
    assert desk.batches == [[1, 2]]


async def test_other_failures_are_not_for_who_waits(desk: Desk) -> None:
    batches = Batches(desk.answer, flights=1)
    desk.fault = GatewayError(Code.BODY_INVALID, "no")
    desk.open.clear()
    failing = asking(batches, [1])
    await ticks()
    desk.fault = None
    waiting = asking(batches, [2, 3])
    await ticks()
    desk.open.set()
    assert isinstance((await ends(failing))[0], GatewayError)
    assert await ends(waiting) == [20, 30]


@pytest.mark.parametrize("fault", [None, GatewayError(Code.UNAVAILABLE, "away"), OSError("odd")])
async def test_who_goes_during_a_flight_harms_nobody(desk: Desk, fault: Exception | None) -> None:
    desk.fault = fault
    desk.open.clear()
    tasks = asking(Batches(desk.answer), [1, 2, 3])
    await ticks()
    tasks[1].cancel()
    await ticks()
    desk.open.set()
    one, gone, three = await ends(tasks)
    assert isinstance(gone, asyncio.CancelledError)
    if fault is None:
        assert (one, three) == (10, 30)
    else:
        assert type(one) is type(three) is type(fault)


@pytest.mark.parametrize("fault", [None, GatewayError(Code.UNAVAILABLE, "away")])
async def test_who_goes_before_a_flight_harms_nobody(desk: Desk, fault: Exception | None) -> None:
    batches = Batches(desk.answer, flights=1)
    desk.fault = fault
    desk.open.clear()
    first = asking(batches, [0])
    await ticks()
    tasks = asking(batches, [1, 2, 3])
    await ticks()
    tasks[0].cancel()
    await ticks()
    desk.open.set()
    gone, *others = await ends(tasks)
    assert isinstance(gone, asyncio.CancelledError)
    assert [type(other) for other in others] == [int if fault is None else GatewayError] * 2
    await ends(first)


@pytest.mark.parametrize("pause", [0, 3])
async def test_a_flight_that_is_cancelled_cancels_who_asked(desk: Desk, pause: int) -> None:
    """A moment after it took off, or `pause` ticks later."""
    batches = Batches(desk.answer)
    desk.open.clear()
    tasks = asking(batches, [1, 2])
    while not batches._flights:
        await ticks(1)
    await ticks(pause)
    for flight in batches._flights:
        flight.cancel()
    assert [type(end) for end in await ends(tasks)] == [asyncio.CancelledError] * 2


@pytest.mark.parametrize(
    "fault", [GatewayError(Code.UNAVAILABLE, "away"), RuntimeError("odd"), asyncio.CancelledError()]
)
async def test_later_questions_are_answered(desk: Desk, fault: BaseException) -> None:
    """However often it went wrong before: no flight is lost by that."""
    batches = Batches(desk.answer, flights=2, size=2)
    for _ in range(5):
        desk.fault = fault
        assert {type(end) for end in await ends(asking(batches, range(5)))} == {type(fault)}
    desk.fault = None
    desk.batches.clear()
    desk.most_busy = 0
    assert await ends(asking(batches, range(6))) == [0, 10, 20, 30, 40, 50]
    assert desk.batches == [[0, 1], [2, 3], [4, 5]]
    assert desk.most_busy == 2
