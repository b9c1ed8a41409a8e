"""The change feed: what PostgreSQL says about keys and accounts, and whether it can be believed.

Changes that take rights away call `pg_notify('keyferry', '<kind> <uuid>')` inside their own
transaction. Every process listens on one connection of its own. Memory that is kept up to date by
this feed may be used only while `trusted` is true.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol
from uuid import UUID

from gateway.errors import GatewayError
from gateway.storage.database import connect

CHANNEL = "keyferry"
_RETRY = 0.1  # seconds between attempts to connect


class Subscriber(Protocol):
    """Something in memory that must follow the database."""

    def clear(self) -> None:
        """Forget everything: changes may have been missed."""

    def changed(self, kind: str, subject: UUID) -> None:
        """Forget what is known of one `kind` ("key" or "account")."""


class Feed:
    """Listens, and proves with heartbeats that it would have heard.

    A heartbeat is a query on the listening connection. PostgreSQL delivers the notifications of
    earlier commits before it answers, so an answer proves that everything committed before the
    question was asked has been heard.
    """

    def __init__(
        self, dsn: str, *, staleness: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._dsn = dsn
        self._staleness = staleness
        self._clock = clock
        self._trusted_until = float("-inf")
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> None:
        """Tell `subscriber` of every change from now on."""
        self._subscribers.append(subscriber)

    @property
    def trusted(self) -> bool:
        """Whether every change older than the staleness bound has been heard."""
        return self._clock() < self._trusted_until

    async def run(self) -> None:
        """Listen until cancelled, connecting anew whenever the connection is lost."""
        while True:
            with contextlib.suppress(GatewayError, OSError, TimeoutError):
                await self._listen()
            await asyncio.sleep(_RETRY)

    async def _listen(self) -> None:
        connection = await connect(self._dsn)
        try:
            await self._subscribe_on(connection)
            while not connection.is_closed():
                await self._heartbeat(connection)
                await asyncio.sleep(self._staleness / 4)
        finally:
            connection.terminate()

    async def _subscribe_on(self, connection: Any) -> None:
        async with asyncio.timeout(self._staleness):
            await connection.add_listener(CHANNEL, self._heard)
        # Only now, when nothing more can be missed, is what was missed before forgotten.
        for subscriber in self._subscribers:
            subscriber.clear()

    async def _heartbeat(self, connection: Any) -> None:
        asked = self._clock()
        async with asyncio.timeout(self._staleness):
            await connection.execute("SELECT 1")
        self._trusted_until = asked + self._staleness

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        kind, _, subject = payload.partition(" ")
        for subscriber in self._subscribers:
            subscriber.changed(kind, UUID(subject))


@asynccontextmanager
async def open_feed(feed: Feed) -> AsyncIterator[Feed]:
    """Run `feed` until the block ends."""
    task = asyncio.create_task(feed.run(), name="change feed")
    try:
        yield feed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
