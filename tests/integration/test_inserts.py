"""Keys stored together: each of them once, within its quota, under a name of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.inserts import Inserts, NewRow
from gateway.storage.database import ConstraintViolated
from tests.places import Place, Watched, kept, make_places, settle, store, watched
from tests.service import House

QUOTA = 5


@pytest.fixture
async def database(house: House) -> AsyncIterator[Watched]:
    async with watched(house) as database:
        yield database


@pytest.fixture
def inserts(database: Watched) -> Inserts:
    return Inserts(database)


async def live_keys(database: Watched, place: Place) -> int:
    """Return an account's counter."""
    row = await database.fetchrow(
        "SELECT sum(live_keys)::int AS sum FROM allowances WHERE account_id = $1", place.account_id
    )
    return int(row["sum"])


async def test_each_is_stored_once(house: House, database: Watched, inserts: Inserts) -> None:
    """With its slot and its audit event, in a few statements for all."""
    places = make_places(house, 5)
    places.append(places[0].beside("second"))
    await settle(inserts, places)
    asked = [
        place.new(name=name, label=None if name else "Signing Key", algorithm=algorithm)
        for place in places
        for name in ("", None, "Jörg's")
        for algorithm in ("ES256", "RS256", "ES256", "RS256")
    ]
    database.said.clear()
    answers = await store(inserts, asked)
    assert Counter(database.said) == {"create_keys": 3}  # 32 and 32 and the rest
    rows = await kept(database, asked)
    for new, answer in zip(asked, answers, strict=True):
        row = rows[new.key_id]
        assert (answer["name"], answer["created_at"]) == (row["name"], row["created_at"])
        assert row["name"] == new.name or (new.name is None and row["name"].startswith("Signing "))
        for column in ("account_id", "project_id", "dialect", "algorithm", "spki", "fingerprint"):
            assert row[column] == getattr(new, column), column
        assert (row["disabled"], row["deleted_at"], row["hidden"]) == (None, None, False)
        assert (row["by_account"], row["action"], row["detail"]) == (new[0], "created", None)
        for column in ("token_id", "request_id", "address"):
            assert row[column] == getattr(new, column), column
        assert row["through"] == new.dialect
    assert await live_keys(database, places[0]) == 26
    assert await live_keys(database, places[1]) == 13


async def test_first_keys_of_accounts(house: House, database: Watched, inserts: Inserts) -> None:
    """They have no counter yet."""
    asked = [place.new() for place in make_places(house, 4) for _ in range(3)]
    answers = await store(inserts, asked)
    names = Counter((new.account_id, row["name"]) for new, row in zip(asked, answers, strict=True))
    assert set(names.values()) == {1}
    assert {name for _, name in names} == {f"Signing Key {number}" for number in (1, 2, 3)}
    assert len(await kept(database, asked)) == len(asked)


@pytest.mark.parametrize("asking", [QUOTA, QUOTA + 3, 40])
async def test_exactly_what_is_left(
    house: House, database: Watched, inserts: Inserts, asking: int
) -> None:
    """Of one account that asks for more than that; others in the batch get all they ask for."""
    greedy, modest, widened, narrowed, closed = make_places(house, 5)
    await settle(inserts, [greedy, modest, widened, narrowed])
    for place, quota in ((widened, 50), (narrowed, 2)):
        house.run(house.accounts.set_allowance(place.account_id, "livepeer", quota, None))
    asked = [greedy.new(quota=QUOTA) for _ in range(asking)]
    asked[3:3] = [modest.new(quota=QUOTA) for _ in range(QUOTA - 1)]
    asked[5:5] = [widened.new(quota=QUOTA) for _ in range(QUOTA + 1)]
    asked[2:2] = [narrowed.new(quota=QUOTA) for _ in range(2)]
    answers = await store(inserts, asked)
    got = Counter(
        new.account_id for new, row in zip(asked, answers, strict=True) if row is not None
    )
    assert got == {
        greedy.account_id: QUOTA - 1,
        modest.account_id: QUOTA - 1,
        widened.account_id: QUOTA + 1,
        narrowed.account_id: 1,
    }
    stored = {new.key_id for new, row in zip(asked, answers, strict=True) if row is not None}
    assert stored == set(await kept(database, asked))
    nothing = [closed.new(quota=0), *(greedy.new(quota=QUOTA) for _ in range(3))]
    assert await store(inserts, nothing) == [None] * 4


async def test_numbered_names_have_no_gaps(
    house: House, database: Watched, inserts: Inserts
) -> None:
    """Over batches of both dialects at once, refused keys and keys with names of their own."""
    places = make_places(house, 3)
    places += [place.beside("second") for place in places]
    await settle(inserts, places)
    taken = places[0].new()
    await inserts.store(taken)
    asked: list[NewRow] = []
    for number in range(60):
        dialect = ("livepeer", "cloudflare")[number % 2]
        asked += [place.new(dialect=dialect, quota=40) for place in places]
        if number % 10 == 0:
            asked += [place.new(dialect=dialect, name="own", label=None) for place in places]
            asked += [places[1].new(fingerprint=taken.fingerprint)]
    waves = [store(inserts, asked[begin : begin + 60]) for begin in range(0, len(asked), 60)]
    ends = [end for wave in await asyncio.gather(*waves) for end in wave]
    assert {type(end) for end in ends} - {ConstraintViolated, type(None)} == {type(ends[0])}
    stored = list((await kept(database, [*asked, taken])).values())
    for place in places:
        names = [row["name"] for row in stored if row["project_id"] == place.project_id]
        numbered = [name for name in names if name != "own"]
        assert len(numbered) > 30
        expected = [f"Signing Key {number}" for number in range(1, len(numbered) + 1)]
        assert sorted(numbered) == sorted(expected)


async def deadlocks(database: Watched) -> int:
    await database.fetch("SELECT pg_stat_force_next_flush()")
    row = await database.fetchrow(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    return int(row["deadlocks"])


async def test_two_at_the_same_accounts(house: House, database: Watched) -> None:
    """As two processes are: through both dialects, in any order, until all accounts are full."""
    places, before = make_places(house, 6), await deadlocks(database)
    places += [place.beside("second") for place in places[:3]]
    asked, answers = list[NewRow](), list[Any]()
    async with watched(house) as second:
        four = [Inserts(each) for each in (database, database, second, second)]
        for turn in range(8):
            ordered = places[turn:] + places[:turn]
            waves = [
                [place.new(dialect=dialect, quota=50) for place in ordered[::step] * 4]
                for step in (1, -1)
                for dialect in ("livepeer", "cloudflare")
            ]
            for wave, ends in zip(
                waves, await asyncio.gather(*map(store, four, waves)), strict=True
            ):
                asked += wave
                answers += ends
    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert await deadlocks(database) == before
    rows = await kept(database, asked)
    assert set(rows) == {
        new.key_id for new, answer in zip(asked, answers, strict=True) if answer is not None
    }
    assert {await live_keys(database, place) for place in places} == {100}
    for place in places:
        names = [row["name"] for row in rows.values() if row["project_id"] == place.project_id]
        assert sorted(names) == sorted(f"Signing Key {n}" for n in range(1, len(names) + 1))
