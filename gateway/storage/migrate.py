"""Schema changes: numbered .sql files, each applied once, in order, in a transaction of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.storage.database import connect

FOLDER = Path(__file__).parent / "migrations"
_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LOCK = 0x6B65_7966_6572_7279  # "keyferry": one migrating node at a time
_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered change of the schema."""

    version: int
    sql: str


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """Return all migrations in order. Raises ValueError for a gap or a name out of form."""
    found = []
    for expected, path in enumerate(sorted(folder.glob("*.sql")), start=1):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None or int(match[1]) != expected:
            raise ValueError(f"migration {path.name} should be numbered {expected:04}")
        found.append(Migration(expected, path.read_text(encoding="utf-8")))
    return found


LATEST = len(migrations())
"""The schema version that this code works with."""


async def migrate(dsn: str, folder: Path = FOLDER) -> list[int]:
    """Bring the database up to date and return the versions applied by this call.

    Safe to run on many nodes at once: they take turns by an advisory lock. A migration that fails
    leaves nothing of itself behind. Raises GatewayError(UNAVAILABLE).
    """
    wanted = migrations(folder)
    connection = await connect(dsn)
    try:
        if not await _pending(connection, wanted):  # a role that may change no schema can say so
            return []
        applied = [await _apply(connection, migration) for migration in wanted]
    finally:
        await connection.close()
    return [version for version in applied if version is not None]


async def pending(dsn: str) -> list[int]:
    """Return the versions that `migrate` would apply, and change nothing.

    Raises GatewayError(UNAVAILABLE).
    """
    connection = await connect(dsn)
    try:
        return [migration.version for migration in await _pending(connection, migrations())]
    finally:
        await connection.close()


async def _pending(connection: Any, wanted: list[Migration]) -> list[Migration]:
    current = 0
    if await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL"):
        current = await connection.fetchval("SELECT max(version) FROM schema_migrations") or 0
    return [migration for migration in wanted if migration.version > current]


async def _apply(connection: Any, migration: Migration) -> int | None:
    """Apply one migration unless it is applied already; returns its version if it was not."""
    async with connection.transaction():
        # Of the transaction, not of the session: a pooler may give the next one another session.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(_LEDGER)
        if not await _pending(connection, [migration]):
            return None
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (version) VALUES ($1)", migration.version
        )
    return migration.version
