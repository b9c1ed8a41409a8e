"""A database that is stopped, frozen or behind a dead line: refusals in time, then well again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from gateway.errors import Code
from gateway.storage.database import DEADLINE
from tests import doors
from tests.blackhole import Blackhole
from tests.conformance.case import Look
from tests.conformance.cases import CASES
from tests.doors import Door, Question
from tests.outage import frozen
from tests.service import House, make_tenant, open_folder, serve

pytestmark = pytest.mark.alone

IN_TIME = DEADLINE + 1.5  # seconds; who waits twice takes twice as long
WELL_AGAIN = 1.0  # seconds after the return of the database
AT_ONCE = 50
STALENESS = 1.0  # seconds for which memory may be trusted while the database is silent
FLUSH = 2.2  # seconds within which the tokens' last use is written down
CONNECTIONS = 16 + 1 + 4  # the pool's, the change feed's, and the house's own
MESSAGE = "the key store does not answer; try again"


class Scene:
    """A service with a key in it, and what a client asks of it."""

    def __init__(self, house: House, url: str, log: Path) -> None:
        self.log = log
        self.url = url
        self.tenant = make_tenant(house, url)
        self.client = doors.many_at_once()
        self.listing = doors.cloudflare(self.tenant).listing()
        self.questions: list[tuple[str, Question, Look]] = []

    async def furnish(self) -> None:
        """Create a key and prepare every operation of every dialect on it."""
        door = doors.livepeer(self.tenant)
        answer = await self.client.request(**door.ask("create_key"))
        key, gated = door.id_in(answer), {"pub": answer.json()["publicKey"]}
        for case in CASES.values():
            door = Door(case, self.tenant, self.tenant.token)
            look = case.look(Code.UNAVAILABLE)
            for ask in case.asks:
                body = gated if ask.operation == "gate" else None
                self.questions.append((ask.operation, door.ask(ask, key, body=body), look))
            self.questions.append(("create_key", door.ask("create_key", retry_key="once"), look))

    async def crowd_refused(self, word: str = "") -> None:
        """Ask for all operations with `word` in their names at once.

        There are creates among them, more than there are keys in stock.
        """
        asked = [one for one in self.questions if word in one[0]]
        creates = [one for one in self.questions if one[0] == "create_key"]
        crowd = asked + (creates * AT_ONCE)[: AT_ONCE - len(asked)]
        await asyncio.gather(*(self.refused(one) for one in crowd))

    async def refused(self, asked: tuple[str, Question, Look]) -> None:
        """Ask for an operation, which must be refused in time."""
        operation, question, look = asked
        began = time.monotonic()
        answer = await self.client.request(**question)
        took = time.monotonic() - began
        assert (answer.status_code, answer.text) == look.shown(MESSAGE), operation
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert took < IN_TIME, operation

    async def health(self) -> tuple[int, int]:
        """Return the statuses of /healthz and /readyz, which both come promptly."""
        async with asyncio.timeout(IN_TIME):
            paths = ("/healthz", "/readyz")
            alive, ready = [await self.client.get(self.url + path) for path in paths]
        return alive.status_code, ready.status_code

    async def well_again(self) -> float:
        """Ask fifty times a second from now on; return when the last was asked that failed."""
        began = time.monotonic()

        async def ask() -> tuple[float, int]:
            sent = time.monotonic() - began
            return sent, (await self.client.request(**self.listing)).status_code

        asked = []
        while time.monotonic() < began + 1.5 * WELL_AGAIN:
            asked.append(asyncio.create_task(ask()))
            await asyncio.sleep(0.02)
        answers = await asyncio.gather(*asked)
        return max((sent for sent, status in answers if status != 200), default=0.0)

    async def follows_changes(self) -> bool:
        """Whether the change feed is there."""
        ready: dict[str, str] = (await self.client.get(f"{self.url}/readyz")).json()
        return ready["feed"] == "live"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture
def house(folder: Path) -> Iterator[House]:
    with House(folder / "data") as house:
        yield house


@pytest.fixture
def line(house: House, folder: Path) -> Iterator[Blackhole]:
    with Blackhole(house.dsn, folder / "line") as line:
        yield line


@asynccontextmanager
async def opened(house: House, folder: Path, line: Blackhole | None = None) -> AsyncIterator[Scene]:
    settings = {
        "KEYFERRY_DATABASE_URL": house.dsn if line is None else line.dsn,
        "KEYFERRY_POOL_SIZE": "1",  # so that creates wait for key pairs as well
        "KEYFERRY_STALENESS": str(STALENESS),
    }
    with serve(house, folder / "log", settings) as (url, _):
        scene = Scene(house, url, folder / "log")
        async with scene.client:
            await scene.furnish()
            yield scene


async def check_refusals(scene: Scene) -> None:
    """At once, when memory may still be trusted; later, when it may not: alone and in a crowd."""
    await scene.crowd_refused("key")
    await asyncio.sleep(STALENESS)
    await scene.refused(scene.questions[0])
    await scene.crowd_refused()
    assert await scene.health() == (200, 503)


async def check_return(scene: Scene, dsn: str) -> None:
    """Well again within a second; nothing refused from then on, nothing leaked or complained of."""
    assert await scene.well_again() < WELL_AGAIN
    door = doors.livepeer(scene.tenant)
    create = (door.ask("create_key"), door.ask("create_key", retry_key="once"))
    assert [(await scene.client.request(**one)).status_code for one in create] == [200, 200]
    assert await scene.health() == (200, 200)
    await eventually(scene.follows_changes)
    await eventually(lambda: few_connections(dsn))
    log = scene.log.read_text()
    assert "Traceback" not in log
    assert '"event":"fault"' not in log
    assert '"event":"server"' not in log


async def eventually(holds: Callable[[], Awaitable[bool]], patience: float = 5.0) -> None:
    """Wait until `holds()`."""
    async with asyncio.timeout(patience):
        while not await holds():
            await asyncio.sleep(0.05)


async def few_connections(dsn: str) -> bool:
    """Whether PostgreSQL has no more connections of ours than we may have."""
    connection = await asyncpg.connect(dsn)
    try:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'keyferry%'"
        )
    finally:
        await connection.close()
    return count <= CONNECTIONS


async def test_stopped(folder: Path) -> None:
    with ExitStack() as running:
        house = running.enter_context(House(folder / "data"))
        async with opened(house, folder) as scene:
            running.close()
            await check_refusals(scene)
            with House(folder / "data"):
                await check_return(scene, house.dsn)


async def test_frozen(house: House, folder: Path) -> None:
    async with opened(house, folder) as scene:
        with frozen(folder / "data"):
            await check_refusals(scene)
        await check_return(scene, house.dsn)


async def test_silent_line(house: House, line: Blackhole, folder: Path) -> None:
    async with opened(house, folder, line) as scene:
        line.hold()
        await check_refusals(scene)
        line.release()
        await check_return(scene, house.dsn)
