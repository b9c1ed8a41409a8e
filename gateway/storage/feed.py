"""The change feed: what PostgreSQL says about keys and accounts, and whether it can be believed.

Changes that take rights away call `pg_notify('keyferry', '<kind> <uuid>')` inside their own
transaction. Every process listens on one connection of its own. Memory that is kept up to date by
this feed may be used only while `trusted` is true.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol, TypeAlias
from uuid import UUID, uuid4

from gateway.storage.database import STATEMENTS, Database, connect
from gateway.tasks import running

CHANNEL = "keyferry"
_HELLO = "hello"
_RETRY = 0.1  # seconds between attempts to connect
# A clock that also counts the time for which the machine was asleep, where there is one.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

State: TypeAlias = Literal["live", "away", "deaf"]
Announce: TypeAlias = Callable[[str], Awaitable[object]]


class Subscriber(Protocol):
    """Something in memory that must follow the database."""

    def clear(self) -> None:
        """Forget everything: changes may have been missed."""

    def changed(self, kind: str, subject: UUID) -> None:
        """Forget what is known of one `kind` ("key", "account" or "minting")."""


class DeafError(Exception):
    """LISTEN is taken and answered, but what is announced in the database does not arrive."""


class Feed:
    """Listens, and proves with heartbeats that it would have heard.

    A heartbeat is a query on the listening connection. PostgreSQL delivers the notifications of
    earlier commits before it answers, so an answer proves that everything committed before the
    question was asked has been heard. That holds for a session of our own in the database where
    changes are made; a pooler that shares sessions out, or another database, would answer
    just as well and stay silent. So each new connection has to hear one word first that
    `announce`, by the same way as changes are made, notifies.

    `report` is told whenever `state` changes, with the error that made it change.
    """

    def __init__(
        self,
        dsn: str,
        announce: Announce,
        *,
        staleness: float,
        report: Callable[[State, Exception | None], None] = lambda _state, _error: None,
        clock: Callable[[], float] = lambda: time.clock_gettime(_CLOCK),
    ) -> None:
        self._dsn = dsn
        self._announce = announce
        self._staleness = staleness
        self._report = report
        self._clock = clock
        self._state: State | None = None  # so that a failure at the start is reported, too
        self._trusted_until = float("-inf")
        self._subscribers: list[Subscriber] = []
        self._hello = ""
        self._heard_hello = asyncio.Event()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Tell `subscriber` of every change from now on."""
        self._subscribers.append(subscriber)

    @property
    def trusted(self) -> bool:
        """Whether every change older than the staleness bound has been heard."""
        return self._clock() < self._trusted_until

    @property
    def lag(self) -> float:
        """Seconds since the last proof that every change was heard."""
        return self._clock() - self._trusted_until + self._staleness

    @property
    def state(self) -> State:
        """Whether the feed is trusted, and if not, whether it is at least connected ("deaf")."""
        if self.trusted:
            return "live"
        return "deaf" if self._state == "deaf" else "away"

    async def run(self) -> None:
        """Listen until cancelled, connecting anew whenever the connection is lost."""
        while True:
            try:
                await self._listen()
            except DeafError as error:
                self._enter("deaf", error)
            except Exception as error:  # noqa: BLE001  a feed that ended would be missed for ever
                self._enter("away", error)
            await asyncio.sleep(_RETRY)

    def _enter(self, state: State, error: Exception | None = None) -> None:
        if state != self._state:
            self._state = state
            self._report(state, error)

    async def _listen(self) -> None:
        connection = await connect(self._dsn, name="keyferry feed")
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            await self._subscribe_on(connection)
            await self._hear_ourselves()
            while not lost.is_set():
                await self._heartbeat(connection)
                self._enter("live")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._staleness / 4):
                        await lost.wait()
            raise ConnectionError("the listening connection was closed")
        finally:
            connection.terminate()

    async def _subscribe_on(self, connection: Any) -> None:
        async with asyncio.timeout(self._staleness):
            await connection.add_listener(CHANNEL, self._heard)
        # Only now, when nothing more can be missed, is what was missed before forgotten.
        for subscriber in self._subscribers:
            subscriber.clear()

    async def _hear_ourselves(self) -> None:
        self._hello = f"{_HELLO} {uuid4()}"
        self._heard_hello.clear()
        await self._announce(self._hello)
        try:
            async with asyncio.timeout(self._staleness):
                await self._heard_hello.wait()
        except TimeoutError as error:
            message = (
                "LISTEN hears nothing of the database where changes are made: "
                "KEYFERRY_LISTEN_URL must lead to that database, past any transaction pooler"
            )
            raise DeafError(message) from error

    async def _heartbeat(self, connection: Any) -> None:
        asked = self._clock()
        async with asyncio.timeout(self._staleness):
            await connection.execute("SELECT 1")
        self._trusted_until = asked + self._staleness

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        kind, _, subject = payload.partition(" ")
        if kind == _HELLO:
            if payload == self._hello:
                self._heard_hello.set()
            return
        try:
            changed = UUID(subject)
        except ValueError:  # not our words, so there is no telling what has changed
            for subscriber in self._subscribers:
                subscriber.clear()
            return
        for subscriber in self._subscribers:
            subscriber.changed(kind, changed)


def announcing(database: Database) -> Announce:
    """Return what notifies every feed on `database` of a word."""
    return lambda word: database.fetch(STATEMENTS.announce.sql, word)


@asynccontextmanager
async def open_feed(feed: Feed) -> AsyncIterator[Feed]:
    """Run `feed` until the block ends."""
    async with running(feed.run(), "change feed"):
        yield feed
