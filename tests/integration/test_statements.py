"""What a request costs the database: how many statements, and which way each finds its rows."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from adapters import find_dialects
from gateway.addresses import Purpose
from gateway.app import open_gateway
from gateway.crypto import spki_pem
from gateway.settings import load_settings
from gateway.storage.database import STATEMENTS, Database
from gateway.web.logs import open_log
from tests import doors
from tests.bench import plans, town
from tests.doors import Door, Question
from tests.service import House, Tenant, make_tenant
from tests.store import scratch_database

ACCOUNTS = 1000
KEYS = 30_000
QUOTA = 4
SETTINGS = {"KEYFERRY_POOL_SIZE": "8", "KEYFERRY_LIVEPEER_QUOTA": str(QUOTA)}
NAMES = {
    getattr(STATEMENTS, name).sql: name
    for name in STATEMENTS.available_queries
    if not name.endswith("_cursor")  # aiosql's second way to run each
}
LEARNING = ("typeinfo_tree", "set_config('jit'")  # what asyncpg asks once per connection
UNKNOWN = b64encode(spki_pem(town.SPKI)).decode()
# What no request waits for, or what asks nothing of a table.
ASIDE = {"touch_tokens", "touch_keys", "announce", "schema_version"}


class Inside:
    """A gateway in this process, and the statements that requests make it send."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.client = httpx2.AsyncClient()
        self._said: list[str] = []

    def note(self, query: Any) -> None:
        """Remember a statement that was sent, unless the driver learns of an array type by it."""
        if not any(mark in query.query for mark in LEARNING):
            self._said.append(NAMES.get(query.query, query.query))

    async def ask(self, question: Question) -> list[str]:
        """Return the names of the statements that an answer took."""
        return (await self.answer(question))[1]

    async def answer(self, question: Question) -> tuple[httpx2.Response, list[str]]:
        """Return the answer too."""
        self._said.clear()
        answer = await self.client.request(**question)
        await asyncio.sleep(0.01)  # notes come a moment later
        taken = [name for name in self._said if name not in ASIDE]
        return answer, taken

    async def is_warm(self) -> bool:
        """Whether there are keys in stock, and memory may be trusted."""
        ready = (await self.client.get("http://inside/readyz")).json()
        return (ready["pool"]["ready"], ready["feed"]) == (ready["pool"]["size"], "live")


@pytest.fixture
async def inside(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Inside]:
    settings = load_settings(SETTINGS | {"KEYFERRY_DATABASE_URL": house.dsn}, find_dialects())
    inside = Inside(make_tenant(house, "http://inside"))
    bounded = Database._bounded

    async def noting(database: Database, call: Callable[[Any], Awaitable[Any]]) -> Any:
        async def noted(connection: Any) -> Any:
            with connection.query_logger(inside.note):
                return await call(connection)

        return await bounded(database, noted)

    monkeypatch.setattr(Database, "_bounded", noting)
    with (tmp_path / "log").open("wb") as log:
        async with open_gateway(settings, open_log("json", log)) as gateway:
            transport = httpx2.ASGITransport(gateway.apps[Purpose.API])
            async with httpx2.AsyncClient(transport=transport) as inside.client:
                async with asyncio.timeout(30):
                    while not await inside.is_warm():
                        await asyncio.sleep(0.02)
                yield inside


async def check_keys(inside: Inside, door: Door, listing: str) -> None:
    """One statement each, and one more to learn of a token for the first time."""
    answer, taken = await inside.answer(door.ask("create_key"))
    assert taken == ["find_principal", "create_key"]
    key = door.id_in(answer)
    for operation, statement in (
        ("create_key", "create_key"),
        ("list_keys", listing),
        ("get_key", "get_keys"),
        ("update_key", "update_key"),
        ("delete_key", "delete_key"),
    ):
        if any(ask.operation == operation for ask in door.case.asks):
            assert await inside.ask(door.ask(operation, key)) == [statement]


async def test_one_statement_each(inside: Inside) -> None:
    await check_keys(inside, doors.cloudflare(inside.tenant), "list_keys")
    assert await inside.ask(doors.cloudflare(inside.tenant).ask("verify_token")) == []
    another = replace(inside.tenant, token=inside.tenant.make_token())
    await check_keys(inside, doors.livepeer(another), "page_keys")


async def test_lists_in_parts(inside: Inside) -> None:
    door = doors.livepeer(inside.tenant)
    answer, _ = await inside.answer(door.ask("create_key"))
    query = "?limit=1&order=name-true"
    assert await inside.ask(door.ask("list_keys", query=query)) == ["search_project_keys"]
    query = f"?limit=1&count=1&cursor={door.id_in(answer)}"
    assert await inside.ask(door.ask("list_keys", query=query)) == [
        "cursor_exists",
        "search_project_keys",
        "count_project_keys",
    ]


async def test_safe_retry(inside: Inside) -> None:
    """It is the one change that takes a transaction of several statements."""
    door = doors.livepeer(inside.tenant)
    await inside.ask(door.ask("list_keys"))
    for _ in range(2):
        taken = await inside.ask(door.ask("create_key", retry_key="once"))
        assert taken == ["BEGIN;", "lock_retry", "retire_retried", "create_key", "COMMIT;"]


async def test_gate(inside: Inside) -> None:
    door = doors.livepeer(inside.tenant)
    answer, _ = await inside.answer(door.ask("create_key"))
    body, query = {"pub": answer.json()["publicKey"]}, f"?account={door.tenant.account_id}"
    gate = door.ask("gate", body=body, query=query)
    first = await inside.ask(door.ask("gate", body={"pub": UNKNOWN}, query=query))
    assert first[-1] == "key_states"  # the driver has asked for the types of arrays before
    assert [await inside.ask(gate) for _ in range(2)] == [["key_states"], []]


async def test_full_account(inside: Inside) -> None:
    """Only the first create that is refused uses up a key pair."""
    door = doors.livepeer(inside.tenant)
    for _ in range(QUOTA):
        await inside.ask(door.ask("create_key"))
    refused = [await inside.ask(door.ask("create_key")) for _ in range(3)]
    assert refused == [["create_key", "quota_of"], ["quota_of"], ["quota_of"]]


async def test_every_statement_goes_by_an_index(house: House, tmp_path: Path) -> None:
    """With values at hand, and when planned once for all values."""
    async with scratch_database(house) as dsn:
        with House(tmp_path, dsn) as furnished:
            table, faults = plans.explain(town.build(furnished, ACCOUNTS, KEYS))
    assert faults == []
    for name, _, custom, generic in table.rows:
        assert name in ASIDE or (custom, generic) == ("-", "-"), name
