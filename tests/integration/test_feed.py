"""The change feed on a real PostgreSQL, with a clock of the test's."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from gateway.errors import Code, GatewayError
from gateway.storage.database import Database, open_database
from gateway.storage.feed import DeafError, Feed, State, announcing, open_feed
from tests.service import House

BOUND = 2.0


@dataclass
class Diary:
    """A subscriber that writes down what it is told, and a listener to the feed's state."""

    told: list[object] = field(default_factory=list)
    states: list[tuple[State, Exception | None]] = field(default_factory=list)

    def clear(self) -> None:
        self.told.append("clear")

    def changed(self, kind: str, subject: UUID) -> None:
        self.told.append((kind, subject))

    def report(self, state: State, error: Exception | None) -> None:
        self.states.append((state, error))


@dataclass
class Scene:
    """A feed that runs, what hears it, and the hands of its clock."""

    feed: Feed
    database: Database
    diary: Diary
    now: float = 1000.0

    def trusted(self) -> bool:
        return self.feed.trusted

    def was_told(self, times: int) -> bool:
        return len(self.diary.told) == times

    async def notify(self, payload: str) -> None:
        await self.database.fetch("SELECT pg_notify('keyferry', $1)", payload)

    async def backend(self) -> int:
        rows = await self.database.fetch(
            "SELECT pid FROM pg_stat_activity"
            " WHERE application_name = 'keyferry feed' AND query <> '' ORDER BY backend_start DESC"
        )
        return int(rows[0]["pid"])


@asynccontextmanager
async def scene(
    house: House,
    *,
    bound: float = BOUND,
    dsn: str | None = None,
    announce: Callable[[str], Awaitable[object]] | None = None,
) -> AsyncIterator[Scene]:
    diary = Diary()
    async with open_database(house.dsn, connections=2, statement_cache=10) as database:
        feed = Feed(
            dsn or house.dsn,
            announce or announcing(database),
            staleness=bound,
            report=diary.report,
            clock=lambda: made.now,
        )
        feed.subscribe(diary)
        made = Scene(feed, database, diary)
        async with open_feed(feed):
            yield made


async def until(true: Callable[[], object], patience: float = 10) -> None:
    async with asyncio.timeout(patience):
        while not true():
            await asyncio.sleep(0.005)


async def test_trust_ends_with_the_bound_and_not_a_moment_later(house: House) -> None:
    async with scene(house) as made:
        assert not made.trusted()
        await until(made.trusted)
        pid = await made.backend()
        os.kill(pid, signal.SIGSTOP)
        try:
            made.now += BOUND - 0.001
            assert made.trusted()
            made.now += 0.001
            assert not made.trusted()
            assert made.feed.state == "away"
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(made.trusted)


async def test_trust_counts_from_the_question_and_not_from_its_answer(house: House) -> None:
    async with scene(house, bound=4 * BOUND) as made:
        await until(made.trusted)
        pid = await made.backend()
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(BOUND + 0.2)  # by now the next question was asked
            made.now += 5
        finally:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.2)  # by now it was answered
        made.now += 3
        assert not made.trusted()


async def test_what_was_committed_is_heard_before_a_heartbeat_is_answered(house: House) -> None:
    async with scene(house, bound=0.4) as made:  # a heartbeat every 100 ms
        await until(made.trusted)
        for _ in range(15):
            key_id = uuid4()
            await made.notify(f"key {key_id}")
            made.now += 1000  # so that the next heartbeat alone makes it trusted
            await until(made.trusted)
            assert made.diary.told[-1] in {("key", key_id), "clear"}


async def test_subscribers_forget_everything_once_each_new_connection_listens(
    house: House,
) -> None:
    async with scene(house) as made:
        for times in (1, 2, 3):
            await until(made.trusted)
            assert made.diary.told == ["clear"] * times
            await made.database.fetch("SELECT pg_terminate_backend($1)", await made.backend())
            made.now += BOUND
            await until(partial(made.was_told, times + 1))


async def test_a_reset_in_the_middle_of_a_heartbeat_is_survived(house: House) -> None:
    async with scene(house) as made:
        await until(made.trusted)
        pid = await made.backend()
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(BOUND / 4 + 0.2)
            await made.database.fetch("SELECT pg_terminate_backend($1)", pid)
        finally:
            os.kill(pid, signal.SIGCONT)
        made.now += BOUND
        await until(made.trusted)
        assert [state for state, _ in made.diary.states] == ["live", "away", "live"]


@pytest.mark.parametrize("payload", ["", "key", "key 1", "key None", "keyferry", "key a b"])
async def test_words_that_are_not_ours_make_everybody_forget(house: House, payload: str) -> None:
    async with scene(house) as made:
        await until(made.trusted)
        await made.notify(payload)
        await until(lambda: made.diary.told == ["clear", "clear"])


async def test_another_feeds_hello_is_nobodys_business(house: House) -> None:
    async with scene(house) as made, scene(house) as other:
        await until(lambda: made.trusted() and other.trusted())
        await made.notify(f"hello {uuid4()}")
        await made.notify(f"account {UUID(int=1)}")
        await until(lambda: made.diary.told == ["clear", ("account", UUID(int=1))])


async def test_a_feed_on_another_database_is_deaf(house: House) -> None:
    elsewhere = urlsplit(house.dsn)._replace(path="/postgres").geturl()
    async with scene(house, bound=0.5, dsn=elsewhere) as made:
        await until(lambda: made.feed.state == "deaf")
        await asyncio.sleep(1)
        assert not made.trusted()
        ((state, error),) = made.diary.states  # said once, not at every attempt
        assert state == "deaf"
        assert isinstance(error, DeafError)
        assert "KEYFERRY_LISTEN_URL" in str(error)


@pytest.mark.parametrize("fault", [GatewayError(Code.UNAVAILABLE, "away"), RuntimeError("a bug")])
async def test_whatever_goes_wrong_it_tries_again(house: House, fault: Exception) -> None:
    faults = [fault, fault]

    async def announce(word: str) -> None:
        if faults:
            raise faults.pop()
        await made.notify(word)

    async with scene(house, announce=announce) as made:
        await until(made.trusted)
        (state, error), after = made.diary.states  # the second failure is no news
        assert (state, error) == ("away", fault)
        assert after == ("live", None)
