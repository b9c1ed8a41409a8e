"""The keyring on a real PostgreSQL: what is in flight, what is unknown, what fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from gateway.crypto import KeyPair, generate
from gateway.errors import Code, GatewayError
from gateway.keypool import KeyPool
from gateway.keyring import FeedKeyring
from gateway.keys import KeyManager, KeyPolicy
from gateway.model import Algorithm, Caller, KeyRequest, Principal, View
from gateway.storage.database import Database
from gateway.storage.feed import Feed, announcing, open_feed
from gateway.tokens import MISS, KeyState, KeyStatus
from tests.service import House


class SlowDatabase(Database):
    """Answers to keyrings can be held back after they were read, counted, or replaced by faults."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, connections=4)
        self.asked = 0
        self.fault: Exception | None = None
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        rows = await super().fetch(sql, *args)
        if "fingerprint = ANY" in sql:
            self.asked += 1
            await self.let_go.wait()
            if self.fault is not None:
                raise self.fault
        return rows


@dataclass
class Scene:
    """One process's keyring, and a hand that changes keys as another process would."""

    database: SlowDatabase
    feed: Feed
    keyring: FeedKeyring
    account_id: UUID
    heard: list[UUID]
    now: float = 0.0

    async def insert(self, pair: KeyPair) -> None:
        await self.database.fetch(
            "INSERT INTO signing_keys"
            " (id, account_id, project_id, dialect, algorithm, spki, fingerprint)"
            " SELECT $1, id, default_project_id, 'test', 'ES256', $2, $3"
            " FROM accounts WHERE id = $4",
            pair.id,
            pair.spki,
            pair.fingerprint,
            self.account_id,
        )

    async def new_key(self) -> KeyPair:
        pair = generate(Algorithm.ES256)
        await self.insert(pair)
        return pair

    async def delete(self, key_id: UUID) -> None:
        """Delete a key, and return when that was heard."""
        await self.database.fetch(
            "WITH gone AS (UPDATE signing_keys SET deleted_at = now() WHERE id = $1)"
            " SELECT pg_notify('keyferry', 'key ' || $1)",
            key_id,
        )
        await until(lambda: key_id in self.heard)

    async def begin(self, ref: UUID | bytes) -> asyncio.Task[KeyState | None]:
        """Start a question whose answer is held back until `finish`."""
        self.database.let_go.clear()
        asked = self.database.asked
        task = asyncio.create_task(self.keyring.find(ref))
        await until(lambda: self.database.asked > asked)
        return task

    async def finish(self, task: asyncio.Task[KeyState | None]) -> KeyState | None:
        self.database.let_go.set()
        return await task

    def clear(self) -> None: ...

    def changed(self, _kind: str, subject: UUID) -> None:
        self.heard.append(subject)


@pytest.fixture
async def scene(house: House) -> AsyncIterator[Scene]:
    async with opened(house) as made:
        yield made


@asynccontextmanager
async def opened(house: House) -> AsyncIterator[Scene]:
    account = house.run(house.accounts.create("keyring", "keyring@example.invalid"))
    database = SlowDatabase(house.dsn)
    await database.open()
    try:
        feed = Feed(house.dsn, announcing(database), staleness=2.0)
        keyring = FeedKeyring(database, feed, lambda: made.now)
        made = Scene(database, feed, keyring, account.id, [])
        feed.subscribe(made)
        async with open_feed(feed):
            await until(lambda: feed.trusted)
            yield made
    finally:
        await database.close()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.002)


def status(state: object) -> KeyStatus:
    assert isinstance(state, KeyState)
    return state.status


# --- in flight -------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["id", "fingerprint"])
async def test_a_delete_during_a_load_is_not_undone_by_it(scene: Scene, by: str) -> None:
    for _ in range(20):
        pair = await scene.new_key()
        ref = getattr(pair, by)
        load = await scene.begin(ref)
        await scene.delete(pair.id)
        assert status(await scene.finish(load)) is KeyStatus.LIVE  # it was, when it was read
        assert scene.keyring.peek(ref) is MISS
        assert status(await scene.keyring.find(ref)) is KeyStatus.DELETED
        assert status(scene.keyring.peek(ref)) is KeyStatus.DELETED


async def test_a_question_after_a_delete_does_not_join_a_load_from_before(scene: Scene) -> None:
    pair = await scene.new_key()
    load = await scene.begin(pair.id)
    await scene.delete(pair.id)
    later = asyncio.create_task(scene.keyring.find(pair.id))
    await asyncio.sleep(0)
    await scene.finish(load)
    assert status(await later) is KeyStatus.DELETED


async def test_a_reconnect_during_a_load_voids_it(scene: Scene) -> None:
    pair = await scene.new_key()
    load = await scene.begin(pair.id)
    scene.keyring.clear()
    await scene.finish(load)
    assert scene.keyring.peek(pair.id) is MISS


async def test_changes_of_other_keys_do_not_keep_this_one_out_of_memory(scene: Scene) -> None:
    pair, other = await scene.new_key(), await scene.new_key()
    load = await scene.begin(pair.id)
    await scene.delete(other.id)
    await scene.finish(load)
    assert status(scene.keyring.peek(pair.id)) is KeyStatus.LIVE


async def test_a_key_made_during_a_load_is_not_remembered_as_unknown(scene: Scene) -> None:
    pair = generate(Algorithm.ES256)
    for ref in (pair.id, pair.fingerprint):
        load = await scene.begin(ref)
        scene.keyring.forget(ref)
        assert await scene.finish(load) is None
        assert scene.keyring.peek(ref) is MISS


async def test_a_signature_outlives_a_reading_that_says_the_same_and_no_other(scene: Scene) -> None:
    pair = await scene.new_key()
    first = await scene.keyring.find(pair.id)
    assert await scene.keyring.find(pair.id) is first
    await scene.delete(pair.id)
    second = await scene.keyring.find(pair.id)
    assert first is not None
    assert second is not None
    assert second.generation > first.generation


# --- unknown ---------------------------------------------------------------------------------


async def test_unknown_keys_are_asked_for_in_batches(scene: Scene) -> None:
    answers = await asyncio.gather(*(scene.keyring.find(uuid4()) for _ in range(10_000)))
    assert set(answers) == {None}
    assert scene.database.asked == 20


async def test_an_unknown_key_is_remembered_for_half_a_second(scene: Scene) -> None:
    ref = uuid4()
    assert await scene.keyring.find(ref) is None
    scene.now = 0.499
    assert scene.keyring.peek(ref) is None
    scene.now = 0.5
    assert scene.keyring.peek(ref) is MISS


async def test_only_so_many_unknown_keys_are_remembered(scene: Scene) -> None:
    first = uuid4()
    await scene.keyring.find(first)
    await asyncio.gather(*(scene.keyring.find(uuid4()) for _ in range(10_000)))
    assert scene.keyring.peek(first) is MISS


async def test_who_makes_a_key_knows_it_even_if_it_was_unknown_before(scene: Scene) -> None:
    """Nobody outside can name it before, so the key pool is looked into."""
    pair = generate(Algorithm.ES256)
    policies = {"livepeer": KeyPolicy(10, Algorithm.ES256)}
    changed = scene.keyring.forget
    keys = KeyManager(scene.database, OnePair(pair), policies, pool_wait=1, changed=changed)
    refs = (pair.id, pair.fingerprint)
    for ref in refs:
        assert await scene.keyring.find(ref) is None
        assert scene.keyring.peek(ref) is None
    caller = await a_caller(scene)
    await keys.create(caller, KeyRequest(None, "key", None))
    assert [scene.keyring.peek(ref) for ref in refs] == [MISS, MISS]
    for ref in refs:
        assert status(await scene.keyring.find(ref)) is KeyStatus.LIVE
    await keys.delete(caller, View(scene.account_id, None), pair.id)
    assert scene.keyring.peek(pair.id) is MISS


class OnePair(KeyPool):
    """A pool whose next key pair is known."""

    def __init__(self, pair: KeyPair) -> None:
        super().__init__(size=1, threads=1, on_error=lambda _: None)
        self._pair = pair

    async def take(self, _algorithm: Algorithm, _account_id: UUID, _wait: float) -> KeyPair:
        return self._pair


async def a_caller(scene: Scene) -> Caller:
    (row,) = await scene.database.fetch(
        "SELECT default_project_id AS id FROM accounts WHERE id = $1", scene.account_id
    )
    principal = Principal(
        token_id=uuid4(),
        account_id=scene.account_id,
        email="",
        project_id=row["id"],
        confined=False,
        scopes=frozenset(),
        algorithms={},
    )
    return Caller(principal, "livepeer", "request", None)


# --- failing ---------------------------------------------------------------------------------


async def test_when_the_database_is_away_everybody_who_waits_is_told(scene: Scene) -> None:
    scene.database.fault = GatewayError(Code.UNAVAILABLE, "away", retry_after=1)
    load = await scene.begin(uuid4())
    later = [asyncio.create_task(scene.keyring.find(uuid4())) for _ in range(3)]
    await asyncio.sleep(0)
    scene.database.let_go.set()
    faults = await asyncio.gather(load, *later, return_exceptions=True)
    assert [str(fault) for fault in faults] == ["away"] * 4
    assert len({id(fault) for fault in faults}) == 4
    assert scene.database.asked == 1


async def test_a_fault_of_ours_hangs_nobody(scene: Scene) -> None:
    pair = await scene.new_key()
    scene.database.fault = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        await scene.keyring.find(pair.id)
    scene.database.fault = None
    assert status(await scene.keyring.find(pair.id)) is KeyStatus.LIVE
