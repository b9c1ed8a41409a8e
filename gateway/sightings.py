"""When things were last used: noted in memory, written in batches, lost by no clean stop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from gateway.errors import GatewayError
from gateway.tasks import repeating, running

Write = Callable[[dict[UUID, float]], Awaitable[None]]


class Sightings:
    """The latest moment (Unix seconds) at which each thing was seen and that is not yet written."""

    def __init__(self, write: Write, clock: Callable[[], float], *, interval: float = 2.0) -> None:
        self._write = write
        self._clock = clock
        self._interval = interval
        self._seen: dict[UUID, float] = {}

    def note(self, subject: UUID) -> None:
        """`subject` was seen now."""
        self._seen[subject] = self._clock()

    async def flush(self) -> None:
        """Write what is noted; what cannot be written, or not to the end, is kept for next time."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        try:
            await self._write(seen)
        except BaseException as error:
            self._seen = seen | self._seen
            if not isinstance(error, GatewayError):
                raise

    async def run(self) -> None:
        """Flush now and then until cancelled."""
        await repeating(self.flush, self._interval)


@asynccontextmanager
async def open_sightings(sightings: Sightings) -> AsyncIterator[Sightings]:
    """Run `sightings` until the block ends, then write the last of them."""
    try:
        async with running(sightings.run(), "sightings"):
            yield sightings
    finally:
        await sightings.flush()
