"""Questions of many accounts in one statement: each gets its own keys, as they are now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from gateway.errors import Code, GatewayError
from gateway.inserts import Inserts
from gateway.keypool import KeyPool
from gateway.keys import KeyManager, KeyPolicy
from gateway.lookups import Lookups
from gateway.model import (
    Algorithm,
    Caller,
    KeyChange,
    KeyRequest,
    KeySearch,
    ListedKey,
    Principal,
)
from gateway.storage.database import DEADLINE, STATEMENTS
from gateway.tasks import running
from tests.conformance.case import ABSENT
from tests.places import Place, Watched, make_places, store, watched
from tests.service import House
from tests.store import connected

ACCOUNTS = 5
KEYS = 6  # of each project
LIMITS = [0, 1, 3, KEYS, 1000]
PROMPTLY = 1.5  # seconds; who waits twice takes DEADLINE longer
POLICIES = {"livepeer": KeyPolicy(quota=1000, algorithm=Algorithm.ES256)}
Question = tuple[Callable[..., Awaitable[Any]], tuple[Any, ...]]


@pytest.fixture(scope="module")
async def database(house: House) -> AsyncIterator[Watched]:
    async with watched(house) as database:
        yield database


@pytest.fixture(scope="module")
async def places(house: House, database: Watched) -> list[Place]:
    """Two projects of each account and their keys, besides deleted ones; the last have none."""
    first = make_places(house, ACCOUNTS)
    places = first + [place.beside("second") for place in first]
    for _ in range(KEYS // 2 + 1):  # moments of creation that tie, and such that do not
        twice = [place.new() for place in places for _ in range(2)]
        assert all(await store(Inserts(database), twice))
    by = (None, "livepeer", uuid4(), "test", None)
    for place in places:
        keys = await Lookups(database).all(place.account_id, place.project_id)
        for key in keys[1:3]:
            await database.fetch(STATEMENTS.delete_key.sql, place.account_id, key.id, *by)
    return places + make_places(house, 2)


async def keys_by_project(database: Watched) -> dict[UUID, list[UUID]]:
    """Return all live keys by project, newest first, as one plain question tells."""
    rows = await database.fetch(
        """
        SELECT project_id, id FROM signing_keys WHERE deleted_at IS NULL AND NOT hidden
        ORDER BY created_at DESC, id DESC
        """
    )
    found: dict[UUID, list[UUID]] = {}
    for row in rows:
        found.setdefault(row["project_id"], []).append(row["id"])
    return found


async def test_everybody_gets_their_own(database: Watched, places: list[Place]) -> None:
    """Whatever else is asked in the same batch; and they do share batches."""
    lookups, keys = Lookups(database), await keys_by_project(database)
    rows = await database.fetch("SELECT id, created_at FROM signing_keys")
    moments = {row["id"]: row["created_at"] for row in rows}

    def newest(*projects: UUID) -> list[UUID]:
        mixed = [key for project in projects for key in keys.get(project, [])]
        return sorted(mixed, key=lambda key: (moments[key], key.int), reverse=True)

    asked: list[tuple[Question, list[UUID]]] = []
    for place in places:
        account, project = place.account_id, place.project_id
        beside = [other.project_id for other in places if other.account_id == account]
        asked += [((lookups.all, (account, None)), newest(*beside))]
        asked += [((lookups.all, (account, project)), newest(project))]
        for limit in LIMITS:
            asked += [((lookups.newest, (account, project, limit)), newest(project)[:limit])]
        foreign = next(other for other in places if other.account_id != account)
        for stranger in ((foreign.account_id, project), (account, uuid4())):
            asked += [((lookups.all, stranger), []), ((lookups.newest, (*stranger, 1000)), [])]
    asked = asked[::2] + asked[1::2] + asked[::-1]
    database.said.clear()
    answers = await asyncio.gather(*(what(*args) for (what, args), _ in asked))
    for (question, expected), answer in zip(asked, answers, strict=True):
        assert [key.id for key in answer] == expected, question
        for key in answer:
            assert key.created_at == moments[key.id]
            assert getattr(key, "account_id", question[1][0]) == question[1][0]
    assert len(database.said) <= len(asked) / 8 + 4


async def test_single_keys(database: Watched, places: list[Place]) -> None:
    """Own ones whole; none that are absent, deleted, of another account or another project."""
    lookups, keys = Lookups(database), await keys_by_project(database)
    rows = await database.fetch("SELECT * FROM signing_keys WHERE deleted_at IS NOT NULL")
    deleted = {row["project_id"]: row["id"] for row in rows}
    asked: list[tuple[tuple[UUID, UUID, UUID | None], bool]] = []
    for place in places[: 2 * ACCOUNTS]:
        account, project = place.account_id, place.project_id
        other = next(p for p in places if p.account_id == account and p.project_id != project)
        foreign = next(p for p in places if p.account_id != account)
        for key in keys[project]:
            asked += [((key, account, None), True), ((key, account, project), True)]
            asked += [((key, account, other.project_id), False)]
            asked += [((key, foreign.account_id, None), False)]
            asked += [((key, foreign.account_id, project), False)]
        asked += [((gone, account, None), False) for gone in (ABSENT, deleted[project])]
    asked = asked[::2] + asked[1::2]
    database.said.clear()
    answers = await asyncio.gather(*(lookups.key(*question) for question, _ in asked))
    assert set(database.said) == {"get_keys"}
    assert len(database.said) <= len(asked) / 32 + 1
    for (question, there), answer in zip(asked, answers, strict=True):
        assert (answer is not None) == there, question
        if answer is not None:
            assert (answer.id, answer.account_id) == question[:2]
    row = await database.fetchrow("SELECT * FROM signing_keys WHERE id = $1", asked[0][0][0])
    found = await lookups.key(*asked[0][0])
    assert found is not None
    assert found._asdict().items() <= dict(row).items()
    assert type(found.algorithm) is Algorithm


async def busy(lookups: Lookups, places: list[Place]) -> None:
    """Ask about the same places all the time, so that there are always batches under way."""
    while True:
        await asyncio.gather(*(lookups.all(place.account_id, None) for place in places))
        await asyncio.gather(*(lookups.newest(p.account_id, p.project_id, 3) for p in places))


async def test_what_was_written_is_read(database: Watched, places: list[Place]) -> None:
    """By the next question after a change, while others ask about the same keys."""
    pool = KeyPool(size=1, threads=1, on_error=lambda _error: None)
    keys = KeyManager(database, pool, POLICIES, pool_wait=5)
    principal = Principal(
        token_id=uuid4(),
        account_id=places[0].account_id,
        email="",
        project_id=places[0].project_id,
        confined=False,
        scopes=frozenset(),
        algorithms={},
    )
    caller, view = Caller(principal, "livepeer", "test", None), principal.project_view

    async def live_a_life() -> None:
        key = (await keys.create(caller, KeyRequest(name="new"))).key
        assert await keys.get(view, key.id) == key
        listed = ListedKey(key.id, key.created_at)
        assert listed in await keys.all(principal.account_view)
        assert listed in await keys.all(view)
        assert key in await keys.of_account(view.account_id)
        await keys.update(caller, view, key.id, KeyChange(name="other", disabled=True))
        changed = key._replace(name="other", disabled=True)
        assert changed in (await keys.page(view, KeySearch(limit=1000))).keys
        assert await keys.get(view, key.id) == changed
        await keys.delete(caller, view, key.id)
        with pytest.raises(GatewayError) as refusal:
            await keys.get(view, key.id)
        assert refusal.value.code is Code.KEY_UNKNOWN
        for view_after in (view, principal.account_view):
            assert listed not in await keys.all(view_after)
        assert key.id not in {each.id for each in await keys.of_account(view.account_id)}

    async def lives() -> None:
        for _ in range(10):
            await live_a_life()

    async with running(busy(keys._lookups, places), "busy"):
        await asyncio.gather(*(lives() for _ in range(4)))


@pytest.mark.alone
async def test_a_refusal_comes_in_time(
    house: House, database: Watched, places: list[Place]
) -> None:
    """As soon for a batch as for one, when the table is locked, by a migration for instance."""
    lookups = Lookups(database)
    async with connected(house.dsn) as connection, connection.transaction():
        await connection.execute("LOCK TABLE signing_keys IN ACCESS EXCLUSIVE MODE")
        for asked in (places[:1], places):
            began = time.monotonic()
            lists = [lookups.all(place.account_id, None) for place in asked]
            answers = await asyncio.gather(*lists, return_exceptions=True)
            took = time.monotonic() - began
            assert {type(answer) for answer in answers} == {GatewayError}
            assert took < DEADLINE + PROMPTLY
