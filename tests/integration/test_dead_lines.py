"""Connections that died without a word: one failure tells of all, and no answer is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Code, GatewayError
from gateway.storage.database import DEADLINE, Database, open_database
from gateway.storage.hosts import one_host_each
from tests.blackhole import Blackhole
from tests.fleet import Node, until
from tests.outage import unreachable
from tests.service import House, make_tenant, open_folder, serve

pytestmark = pytest.mark.alone

IN_TIME = DEADLINE + 1.5  # seconds; who waits twice takes twice as long
CONNECTIONS = 4


@pytest.fixture
def line(house: House) -> Iterator[Blackhole]:
    with open_folder() as folder, Blackhole(house.dsn, folder / "line") as line:
        yield line


async def test_one_failure_tells_of_all(line: Blackhole) -> None:
    async with open_database(line.dsn, connections=CONNECTIONS, statement_cache=0) as database:
        await asyncio.gather(*(database.fetch("SELECT pg_sleep(0.1)") for _ in range(CONNECTIONS)))
        line.lose()
        with pytest.raises(GatewayError):
            await database.fetch("SELECT 1")
        assert await database.fetch("SELECT 1")


async def test_rollback_is_not_waited_for(line: Blackhole) -> None:
    async def work(connection: Any) -> None:
        await connection.execute("SELECT 1")
        line.hold()
        await connection.execute("SELECT 1")

    async with open_database(line.dsn, connections=1, statement_cache=0) as database:
        async with asyncio.timeout(IN_TIME):
            with pytest.raises(GatewayError):
                await database.transaction(work)
        line.release()
        assert await database.fetch("SELECT 1")


def test_lost_while_nobody_asked(house: House, line: Blackhole, tmp_path: Path) -> None:
    """The change feed notices, so that the first who asks again is not the one who finds out."""
    settings = {"KEYFERRY_DATABASE_URL": line.dsn, "KEYFERRY_STALENESS": "0.5"}
    with (
        serve(house, tmp_path / "log", settings) as (url, _),
        Node(url, make_tenant(house, url)) as node,
    ):
        until(lambda: node.feed() == "live")
        line.hold()
        until(lambda: b'"state":"away"' in (tmp_path / "log").read_bytes())
        line.lose()
        assert node.request("GET", "/api/access-control/signing-key") == (200, [])


async def test_dead_machine_among_several(line: Blackhole) -> None:
    """A host that does not even refuse leaves the others their share of the time."""
    with unreachable() as port:
        several = line.dsn.replace("host=", "host=127.0.0.1,").replace("port=", f"port={port},")
        async with open_database(several, connections=1, statement_cache=0) as database:
            assert await database.fetch("SELECT 1")
        async with asyncio.timeout(IN_TIME):
            with pytest.raises(GatewayError) as refusal:
                await Database(f"postgresql://keyferry@127.0.0.1:{port}/keyferry").open()
        assert refusal.value.code is Code.UNAVAILABLE


async def test_poolers_know_what_is_asked_of_a_session() -> None:
    """PgBouncer refuses parameters that it does not keep track of, unless told to ignore them."""
    said: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(4))
        said.append((await reader.readexactly(size - 4))[4:])
        writer.close()

    with open_folder() as folder:
        async with await asyncio.start_unix_server(hang_up, folder / ".s.PGSQL.5432"):
            with pytest.raises(GatewayError):
                await Database(f"postgresql://u@/db?host={folder}").open()
    names = said[0].rstrip(b"\0").split(b"\0")[::2]
    assert set(names) <= {b"user", b"database", b"client_encoding", b"application_name"}


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://u:p@one/db?a=b", ["postgresql://u:p@one/db?a=b"]),
        ("postgresql://one:1,[::2]:2/db", ["postgresql://one:1/db", "postgresql://[::2]:2/db"]),
        (
            "postgresql://u:%2C@one,two/db",
            ["postgresql://u:%2C@one/db", "postgresql://u:%2C@two/db"],
        ),
        ("postgresql://u@/db?host=/run/pg", ["postgresql://u@/db?host=/run/pg"]),
        (
            "postgresql://u@/db?host=/run/pg,two&port=5432",
            [
                "postgresql://u@/db?host=%2Frun%2Fpg&port=5432",
                "postgresql://u@/db?host=two&port=5432",
            ],
        ),
        (
            "postgresql://u@/db?host=one,two&port=1,2&x=y",
            [
                "postgresql://u@/db?host=one&port=1&x=y",
                "postgresql://u@/db?host=two&port=2&x=y",
            ],
        ),
    ],
)
def test_one_host_each(dsn: str, expected: list[str]) -> None:
    assert one_host_each(dsn) == expected
