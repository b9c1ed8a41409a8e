"""When a key was last seen in a play: noted by every door, written in batches, never lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from gateway.storage.database import STATEMENTS
from tests.player import Player, sign
from tests.service import House, serve
from tests.vectors.forge import TestKey

INTERVAL = 2.0  # seconds between two batches


def by_the_door_for_edges(player: Player, key: TestKey) -> bool:
    return player.play(sign(key)) == "allowed"


def by_the_door_for_programs(player: Player, key: TestKey) -> bool:
    return player.explain(token=sign(key)).json()["allowed"] is True


def by_the_gate(player: Player, key: TestKey) -> bool:
    return player.gate(f"?account={player.tenant.account_id}", pub=key.pub).status_code == 200


DOORS = [by_the_door_for_edges, by_the_door_for_programs, by_the_gate]
Play = Callable[[Player, TestKey], bool]


def seen(player: Player, key: TestKey) -> float | None:
    """When a key was last seen, in seconds, as the database has it now."""
    statement = "SELECT last_seen_at FROM signing_keys WHERE id = $1"
    row = player.tenant.house.run(player.tenant.house.database.fetchrow(statement, key.id))
    return None if row["last_seen_at"] is None else float(row["last_seen_at"].timestamp())


def wait_until_seen(player: Player, key: TestKey) -> float:
    end = time.monotonic() + INTERVAL + 3
    while (moment := seen(player, key)) is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    return moment


def test_every_door_notes_it(player: Player) -> None:
    """Livepeer's door shows it, in milliseconds, on the key and in the list."""
    keys = {play: player.make_livepeer_key() for play in DOORS}
    never, refused = player.make_livepeer_key(), player.make_livepeer_key()
    before = time.time()
    for play, key in keys.items():
        assert play(player, key)
    after = time.time()
    assert player.play(sign(refused, exp=1)) == "expired"
    for key in keys.values():
        moment = wait_until_seen(player, key)
        assert before - 0.001 < moment < after + 0.001
        assert player.get(key)["lastSeen"] == int(moment * 1000)
    listed = {key["id"]: key for key in player.livepeer.send("list_keys").json()}
    for key in keys.values():
        assert listed[str(key.id)] == player.get(key)
    for key in (never, refused):
        assert "lastSeen" not in player.get(key)
        assert "lastSeen" not in listed[str(key.id)]


def test_plays_are_written_in_batches(player: Player) -> None:
    key, moments = player.make_key(), set[float]()
    began, text = time.monotonic(), sign(key)
    while time.monotonic() < began + INTERVAL + 0.5:
        assert player.play(text) == "allowed"
        moments |= {moment for moment in [seen(player, key)] if moment is not None}
    batches = (time.monotonic() - began) / INTERVAL + 1
    assert 1 <= len(moments) <= batches


def test_it_never_moves_back(player: Player) -> None:
    key, witness = player.make_key(), player.make_key()
    future = datetime(2099, 12, 31, tzinfo=UTC)
    house = player.tenant.house
    house.run(house.database.fetch(STATEMENTS.touch_keys.sql, [key.id], [future]))
    for each in (key, witness):
        assert by_the_door_for_edges(player, each)
    wait_until_seen(player, witness)  # in the same batch
    assert seen(player, key) == future.timestamp()


@pytest.mark.parametrize("play", DOORS)
def test_a_stop_writes_what_is_noted(
    house: House, player: Player, tmp_path: Path, play: Play
) -> None:
    """Right after a play a server is told to stop, with no time for the next batch."""
    key = player.make_key()
    with serve(house, tmp_path / "log", {"KEYFERRY_POOL_SIZE": "1"}) as (url, process):
        stopping = player.at(url)
        assert play(stopping, key)
        stopped = time.time()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) in {0, 128 + signal.SIGTERM}
    moment = seen(player, key)
    assert moment is not None
    assert stopped - INTERVAL < moment <= stopped


# A thousand rows of a new account, the statement that writes about them, and what it has written.
TABLES = {
    "keys": (
        """
        INSERT INTO signing_keys (id, account_id, project_id, dialect, algorithm, spki, fingerprint)
        SELECT gen_random_uuid(), a.id, a.default_project_id, 'test', 'RS256', '',
               sha256(gen_random_uuid()::text::bytea)
        FROM accounts a, generate_series(1, 1000) WHERE a.id = $1::uuid
        RETURNING id""",
        STATEMENTS.touch_keys.sql,
        "SELECT DISTINCT last_seen_at AS at FROM signing_keys WHERE id = ANY ($1)",
    ),
    "tokens": (
        """
        INSERT INTO api_tokens (id, account_id, name, digest, scopes)
        SELECT gen_random_uuid(), $1::uuid, 'test', sha256(gen_random_uuid()::text::bytea), '{}'
        FROM generate_series(1, 1000)
        RETURNING id""",
        STATEMENTS.touch_tokens.sql,
        "SELECT DISTINCT last_used_at AS at FROM api_tokens WHERE id = ANY ($1)",
    ),
}


@pytest.mark.parametrize("table", TABLES)
def test_nodes_that_write_about_the_same_things_do_not_collide(player: Player, table: str) -> None:
    """Each has seen them in another order; PostgreSQL would end one of two in a deadlock."""
    fill, touch, read = TABLES[table]
    account, database = UUID(player.other().tenant.account_id), player.tenant.house.database

    async def write(ids: list[UUID], node: int) -> None:
        for second in range(10):
            moments = [datetime.fromtimestamp(4e9 + second + node / 2, UTC)] * len(ids)
            await database.fetch(touch, ids, moments)

    async def both() -> list[float]:
        ids = [row["id"] for row in await database.fetch(fill, account)]
        await asyncio.gather(write(ids, 0), write(ids[::-1], 1))
        return [row["at"].timestamp() for row in await database.fetch(read, ids)]

    assert player.tenant.house.run(both()) == [4e9 + 9.5]
