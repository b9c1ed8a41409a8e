"""Sightings when writing them fails, is cut off, or takes long: nothing is lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import UUID, uuid4

import pytest

from gateway.errors import Code, GatewayError
from gateway.sightings import Sightings, open_sightings

ONE, TWO = uuid4(), uuid4()


class Book:
    """What was written, and what goes wrong when it is."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pages: list[dict[UUID, float]] = []
        self.fault: Exception | None = None
        self.busy = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()
        self.sightings = Sightings(self.write, lambda: self.now, interval=0.01)

    async def write(self, page: dict[UUID, float]) -> None:
        self.busy.set()
        await self.free.wait()
        if self.fault is not None:
            raise self.fault
        self.pages.append(dict(page))

    def note(self, subject: UUID, at: float) -> None:
        self.now = at
        self.sightings.note(subject)


@pytest.fixture
def book() -> Book:
    return Book()


async def test_the_latest_moment_of_each_is_written_once(book: Book) -> None:
    for at in (1.0, 2.0, 3.0):
        book.note(ONE, at)
    book.note(TWO, 4.0)
    await book.sightings.flush()
    await book.sightings.flush()
    assert book.pages == [{ONE: 3.0, TWO: 4.0}]


@pytest.mark.parametrize("fault", [GatewayError(Code.UNAVAILABLE, "away"), RuntimeError("odd")])
async def test_what_cannot_be_written_is_kept(book: Book, fault: Exception) -> None:
    book.note(ONE, 1.0)
    book.note(TWO, 1.0)
    book.fault = fault
    with suppress(RuntimeError):
        await book.sightings.flush()
    book.note(TWO, 2.0)
    book.fault = None
    await book.sightings.flush()
    assert book.pages == [{ONE: 1.0, TWO: 2.0}]


async def test_a_stop_in_the_middle_of_writing_loses_nothing(book: Book) -> None:
    async with open_sightings(book.sightings):
        book.free.clear()
        book.note(ONE, 1.0)
        await book.busy.wait()
        book.note(TWO, 2.0)
        asyncio.get_running_loop().call_later(0.05, book.free.set)
    assert book.pages == [{ONE: 1.0, TWO: 2.0}]


@pytest.mark.parametrize(
    ("fault", "told"),
    [(GatewayError(Code.UNAVAILABLE, "away"), False), (RuntimeError("odd"), True)],
)
async def test_they_are_written_now_and_then_even_after_a_failure(
    book: Book, fault: Exception, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_sightings(book.sightings):
        book.fault = fault
        book.note(ONE, 1.0)
        await book.busy.wait()
        book.fault = None
        async with asyncio.timeout(5):
            while not book.pages:
                await asyncio.sleep(0.01)
    assert book.pages == [{ONE: 1.0}]
    assert (len(caplog.records) > 0) == told
