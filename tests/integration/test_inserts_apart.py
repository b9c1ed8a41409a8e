"""Keys stored together, and what is wrong with one: the others do not pay for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.errors import Code, GatewayError
from gateway.inserts import Inserts, NewRow
from gateway.storage.database import DEADLINE, ConstraintViolated
from tests.places import CONNECTIONS, Place, Watched, kept, make_places, settle, store, watched
from tests.service import House
from tests.store import connected

pytestmark = pytest.mark.alone

PROMPTLY = 1.2  # seconds; who waits for a lock waits for DEADLINE
LOCKED = 2  # whose account is locked


@pytest.fixture
async def database(house: House) -> AsyncIterator[Watched]:
    async with watched(house) as database:
        yield database


@pytest.fixture
async def places(house: House, database: Watched) -> list[Place]:
    places = make_places(house, 6)
    await settle(Inserts(database), places)
    return places


def one_each(places: Sequence[Place]) -> list[NewRow]:
    return [place.new() for place in places]


ACCOUNT = "SELECT FROM allowances WHERE account_id = $1 FOR UPDATE"
PROJECT = "SELECT FROM projects WHERE account_id = $1 FOR NO KEY UPDATE"


@asynccontextmanager
async def locked(house: House, place: Place, what: str = ACCOUNT) -> AsyncIterator[None]:
    """Hold what a create has to change, as another one does that comes to no end."""
    async with connected(house.dsn) as connection, connection.transaction():
        await connection.execute(what, place.account_id)
        yield


async def until_kept(database: Watched, asked: Sequence[NewRow], count: int) -> None:
    async with asyncio.timeout(PROMPTLY):
        while len(await kept(database, asked)) < count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("what", [ACCOUNT, PROJECT])
async def test_a_locked_account_is_not_waited_for(
    house: House, database: Watched, places: list[Place], what: str
) -> None:
    asked = one_each(places)
    async with locked(house, places[LOCKED], what):
        storing = asyncio.create_task(store(Inserts(database), asked))
        await until_kept(database, asked, len(asked) - 1)
        assert asked[LOCKED].key_id not in await kept(database, asked)
        assert not storing.done()
    answers = await asyncio.wait_for(storing, PROMPTLY)
    assert [row["name"] for row in answers] == ["Signing Key 1"] * len(asked)
    assert len(await kept(database, asked)) == len(asked)


async def test_nor_by_who_is_answered(house: House, database: Watched, places: list[Place]) -> None:
    """What is stored is said at once, and who comes later does not wait either."""
    inserts = Inserts(database)
    async with locked(house, places[LOCKED]):
        asked = [*one_each(places), places[LOCKED].new()]
        tasks = [asyncio.create_task(inserts.store(new)) for new in asked]
        await asyncio.sleep(0.1)
        tasks += [asyncio.create_task(inserts.store(place.new())) for place in places[:2]]
        _, late = await asyncio.wait(tasks, timeout=PROMPTLY)
    assert late == {tasks[LOCKED], tasks[len(places)]}
    await asyncio.wait_for(asyncio.gather(*tasks), PROMPTLY)


async def test_nor_by_anybody_when_it_asks_for_many(
    house: House, database: Watched, places: list[Place]
) -> None:
    """As many as there are connections, for instance."""
    inserts = Inserts(database)
    async with locked(house, places[LOCKED]):
        many = [places[LOCKED].new() for _ in range(2 * CONNECTIONS)]
        storing = asyncio.create_task(store(inserts, many))
        await asyncio.sleep(0.1)
        try:
            await asyncio.wait_for(inserts.store(places[0].new()), PROMPTLY)
        finally:
            await storing


async def test_who_stays_locked_is_told_in_the_end(
    house: House, database: Watched, places: list[Place]
) -> None:
    """And its key is not stored behind its back when the lock is gone."""
    asked = one_each(places)
    async with locked(house, places[LOCKED]):
        began = time.monotonic()
        answers = await store(Inserts(database), asked)
        assert time.monotonic() - began < DEADLINE + PROMPTLY
    refused = answers.pop(LOCKED)
    assert isinstance(refused, GatewayError)
    assert refused.code is Code.UNAVAILABLE
    assert [row["name"] for row in answers] == ["Signing Key 1"] * len(answers)
    assert set(await kept(database, asked)) == {new.key_id for new in asked} - {
        asked[LOCKED].key_id
    }


async def wrong_key(database: Watched, places: list[Place], kind: str) -> NewRow:
    """Return a key that the database refuses."""
    one, other = places[:2]
    if kind == "fingerprint":
        row = await database.fetchrow(
            "SELECT fingerprint FROM signing_keys WHERE account_id = $1", other.account_id
        )
        return one.new(fingerprint=row["fingerprint"])
    return {
        "name": one.new(name="x" * 257),
        "character": one.new(name="\0"),
        "project": one.new(project_id=other.project_id),
        "algorithm": one.new(algorithm="none"),
        "address": one.new(address="fe80::1%eth0"),  # as a client on the link may be called
    }[kind]


WRONG: dict[str, Any] = {
    "fingerprint": "signing_keys_fingerprint_key",
    "name": "signing_keys_name_length",
    "project": "signing_keys_project_fkey",
    "algorithm": "signing_keys_algorithm",
    "character": Code.BODY_INVALID,
}


@pytest.mark.parametrize("kind", [*WRONG, "address"])
async def test_a_key_that_is_refused(database: Watched, places: list[Place], kind: str) -> None:
    """It alone is, whichever place in the batch it has, and leaves no gap in the names."""
    inserts = Inserts(database)
    for at in (0, 4, 7):
        asked = [place.new() for place in places + places[:2]]
        asked[at] = await wrong_key(database, places, kind)
        answers = await store(inserts, asked)
        wrong = answers.pop(at)
        assert all(not isinstance(answer, Exception) for answer in answers)
        stored = await kept(database, asked)
        assert stored.keys() - {asked[at].key_id} == {
            new.key_id for new in asked[:at] + asked[at + 1 :]
        }
        if isinstance(wrong, ConstraintViolated):
            assert wrong.constraint == WRONG[kind]
        elif isinstance(wrong, GatewayError):
            assert wrong.code is WRONG[kind]
        else:
            assert kind == "address"  # which is taken, without the name of the link
    rows = await database.fetch(
        "SELECT name FROM signing_keys WHERE project_id = $1 AND name <> 'first'",
        places[1].project_id,
    )
    names = {row["name"] for row in rows}
    assert names == {f"Signing Key {number}" for number in range(1, len(rows) + 1)}
