"""Migrations: what they make, and that they are applied once and completely, or not at all."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path

import asyncpg
import pytest

from gateway.storage.embedded_home import open_home
from gateway.storage.migrate import FOLDER, LATEST, migrate, migrations, pending
from tests.service import House
from tests.store import connected, scratch_database

AT_ONCE = 8
SCHEMA = FOLDER.parent / "schema.sql"


@pytest.fixture
async def empty(house: House) -> AsyncIterator[str]:
    async with scratch_database(house) as dsn:
        yield dsn


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the migrations, to add to."""
    return Path(shutil.copytree(FOLDER, tmp_path / "migrations"))


def dump(house: House, dsn: str) -> list[str]:
    """Return everything that PostgreSQL knows of a schema, in an order of its own."""
    program = str(open_home(house.folder).programs / "pg_dump")
    done = subprocess.run([program, "--schema-only", dsn], capture_output=True, check=True)
    lines = done.stdout.decode().splitlines()
    return [line for line in lines if line and not line.startswith((r"\restrict", r"\unrestrict"))]


async def versions(dsn: str) -> list[int]:
    """Return the migrations recorded as applied, in the order in which they were."""
    async with connected(dsn) as connection:
        rows = await connection.fetch("SELECT version FROM schema_migrations ORDER BY applied_at")
    return [row["version"] for row in rows]


async def test_migrations_give_the_schema(house: House, empty: str) -> None:
    await migrate(empty)
    async with scratch_database(house) as other:
        async with connected(other) as connection:
            await connection.execute(SCHEMA.read_text())
        assert dump(house, empty) == dump(house, other)


async def test_dump_sees_differences(house: House, empty: str) -> None:
    await migrate(empty)
    before = dump(house, empty)
    for change in (
        "ALTER TABLE signing_keys ALTER disabled SET DEFAULT false",
        "ALTER TABLE api_tokens DROP CONSTRAINT api_tokens_digest_is_sha256",
        "DROP INDEX signing_keys_live",
        "ALTER TABLE key_events DISABLE TRIGGER key_events_append_only",
        "CREATE OR REPLACE FUNCTION key_events_append_only() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN NULL; END'",
        "ALTER TABLE allowances SET (fillfactor = 60)",
    ):
        async with connected(empty) as connection:
            await connection.execute(change)
        after = dump(house, empty)
        assert after != before, change
        before = after


async def test_many_nodes_at_once(empty: str, folder: Path) -> None:
    for version in range(LATEST + 1, LATEST + 4):
        (folder / f"{version:04}_more.sql").write_text(
            f"CREATE TABLE more_{version} (); SELECT pg_sleep(0.05)"
        )
    applied = await asyncio.gather(*(migrate(empty, folder) for _ in range(AT_ONCE)))
    expected = list(range(1, LATEST + 4))
    assert sorted(chain.from_iterable(applied)) == expected
    assert await versions(empty) == expected


async def test_failing_migration_leaves_nothing(empty: str, folder: Path) -> None:
    faulty = folder / f"{LATEST + 1:04}_faulty.sql"
    faulty.write_text("CREATE TABLE half (); INSERT INTO nowhere VALUES (1)")
    with pytest.raises(asyncpg.UndefinedTableError):
        await migrate(empty, folder)
    assert await versions(empty) == list(range(1, LATEST + 1))
    async with connected(empty) as connection:
        assert not await connection.fetchval("SELECT to_regclass('half') IS NOT NULL")
    faulty.write_text("CREATE TABLE half ()")
    assert await migrate(empty, folder) == [LATEST + 1]


async def test_pending_changes_nothing(house: House, empty: str) -> None:
    before = dump(house, empty)
    assert await pending(empty) == list(range(1, LATEST + 1))
    assert dump(house, empty) == before
    assert await migrate(empty) == list(range(1, LATEST + 1))
    assert await pending(empty) == []
    assert await migrate(empty) == []


@pytest.mark.parametrize(
    "name", ["{next2}_gap.sql", "{latest}_twice.sql", "one.sql", "{next}-b.sql"]
)
def test_numbering(folder: Path, name: str) -> None:
    numbers = {"latest": f"{LATEST:04}", "next": f"{LATEST + 1:04}", "next2": f"{LATEST + 2:04}"}
    (folder / name.format(**numbers)).touch()
    with pytest.raises(ValueError, match="should be numbered"):
        migrations(folder)


async def test_history_is_append_only(empty: str) -> None:
    await migrate(empty)
    async with connected(empty) as connection:
        await connection.execute(
            "INSERT INTO key_events (account_id, key_id, action, dialect, request_id) "
            "VALUES (gen_random_uuid(), gen_random_uuid(), 'created', 'livepeer', 'one')"
        )
        for change in (
            "UPDATE key_events SET action = 'deleted'",
            "DELETE FROM key_events",
            "TRUNCATE key_events",
        ):
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                await connection.execute(change)
        assert await connection.fetchval("SELECT action FROM key_events") == "created"
