"""What the database itself says, and databases to be used up by one test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from tests.service import House


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Any]:
    """Yield a connection for a test's own questions."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def scratch_database(house: House) -> AsyncIterator[str]:
    """Yield the DSN of an empty database, which is dropped in the end."""
    name = f"scratch_{uuid4().hex}"
    async with connected(house.dsn) as connection:
        await connection.execute(f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(urlsplit(house.dsn)._replace(path=f"/{name}"))
        finally:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def wrong_counters(dsn: str) -> list[Any]:
    """Return every account and dialect whose counter is not the number of its live keys.

    Where there is no counter, another test has put keys into the table by itself.
    """
    async with connected(dsn) as connection:
        rows: list[Any] = await connection.fetch(
            """
            SELECT account_id, dialect, live_keys, counted FROM allowances LEFT JOIN (
                SELECT account_id, dialect, count(*) AS counted FROM signing_keys
                WHERE deleted_at IS NULL AND NOT hidden GROUP BY account_id, dialect
            ) AS live USING (account_id, dialect)
            WHERE live_keys <> coalesce(counted, 0)
            """
        )
    return rows
