"""`/readyz` when the database answers, but the node cannot do its work, or not all of it."""

from __future__ import annotations

import json
import re
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from gateway.crypto import seal
from gateway.sealed import SealedKeys, sealing_context
from gateway.storage.database import Database, open_database
from gateway.storage.migrate import LATEST, migrate
from tests import doors
from tests.minting import MASTER_KEY
from tests.player import Player
from tests.postgres import Postgres
from tests.service import House, make_tenant, serve
from tests.store import scratch_database
from tests.vectors.forge import VIDEO

DOCS = Path(__file__).parents[2] / "docs" / "operation.md"
OTHER_KEY = b64encode(b"another key, of another operator").decode()
PATIENCE = 10.0  # seconds for a node to notice what has changed


def granted() -> list[tuple[str, str]]:
    """Return each right and table that docs/operation.md gives to a node's role."""
    grants = re.findall(r"^GRANT (.*) ON (.*) TO keyferry_node;$", DOCS.read_text(), re.MULTILINE)
    return [
        (right, table)
        for rights, tables in grants
        for right in rights.split(", ")
        for table in tables.split(", ")
    ]


@dataclass(frozen=True)
class Node:
    """A Keyferry whose role may do what docs/operation.md grants it, and no more."""

    postgres: Postgres
    player: Player
    log: Path

    def ready(self) -> tuple[int, dict[str, Any]]:
        answer = self.player.http.get(f"{self.player.tenant.url}/readyz")
        return answer.status_code, answer.json()

    def becomes(self, code: int, **members: object) -> dict[str, Any]:
        """Wait until /readyz has this status and these members."""
        end = time.monotonic() + PATIENCE
        while True:
            got, document = self.ready()
            if got == code and members.items() <= document.items():
                return document
            assert time.monotonic() < end, (got, document)
            time.sleep(0.1)

    def told(self) -> list[dict[str, Any]]:
        """Return what the log says about readiness."""
        lines = map(json.loads, self.log.read_text().splitlines())
        return [line for line in lines if line["event"] == "readiness"]

    def as_owner(self, *statements: str) -> None:
        self.postgres.run(*statements, database="keyferry", role="keyferry")

    @contextmanager
    def without(self, right: str, table: str) -> Iterator[None]:
        """Take a right away for a while."""
        self.as_owner(f"REVOKE {right} ON {table} FROM keyferry_node")
        try:
            yield
        finally:
            self.as_owner(f"GRANT {right} ON {table} TO keyferry_node")


@pytest.fixture(scope="module")
def node(
    postgres: Postgres, http: httpx2.Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    for role in ("keyferry", "keyferry_node"):
        postgres.add_role(role)
    postgres.run("CREATE DATABASE keyferry OWNER keyferry")
    folder = tmp_path_factory.mktemp("node")
    with House(folder, postgres.dsn("keyferry")) as house:
        tenant = make_tenant(house, "")
    for right, table in granted():
        grant = f"GRANT {right} ON {table} TO keyferry_node"
        postgres.run(grant, database="keyferry", role="keyferry")
    settings = {
        "KEYFERRY_DATABASE_URL": postgres.dsn("keyferry_node"),
        "KEYFERRY_MASTER_KEY": MASTER_KEY,
        "KEYFERRY_POOL_SIZE": "2",
    }
    with serve(house, folder / "log", settings) as (url, _):
        yield Node(postgres, Player(http, tenant).at(url), folder / "log")


def test_the_documented_rights_are_enough_for_all_that_a_node_does(node: Node) -> None:
    node.becomes(200, status="ready", database="ok", lacking=[], feed="live")
    player = node.player
    livepeer = doors.livepeer(player.tenant)
    for _ in range(2):  # the second one replaces the first
        made = player.http.request(**livepeer.ask("create_key", retry_key="again"))
        assert made.status_code == 200
    keys = [player.make_key(), player.make_livepeer_key()]
    player.disable(keys[1])
    assert player.get(keys[1])["disabled"]
    player.delete(keys[0])
    minted = player.mint()
    assert minted.status_code == 200
    token = minted.json()["result"]["token"]
    assert player.ask(f"/{VIDEO}/index.m3u8?token={token}").status_code == 200
    assert player.fetch(f"/accounts/{player.tenant.account_id}/jwks.json").status_code == 200
    time.sleep(2.2)  # the last use of tokens and keys is written down
    events = [json.loads(line) for line in node.log.read_text().splitlines()]
    assert [one for one in events if one["event"] == "fault" or one["level"] == "error"] == []


@pytest.mark.parametrize(("right", "table"), granted())
def test_a_node_whose_role_lacks_a_right_is_not_ready(node: Node, right: str, table: str) -> None:
    with node.without(right, table):
        status, document = node.ready()
        assert (status, document["status"]) == (503, "unavailable")
        assert (document["database"], document["lacking"]) == ("forbidden", [f"{right} on {table}"])
        told = node.told()[-1]
        assert (told["state"], told["lacking"]) == ("unavailable", f"{right} on {table}")
    node.becomes(200, status="ready", lacking=[])
    assert node.told()[-1]["state"] == "ready"


def test_a_create_that_the_role_may_not_do_is_refused_for_now(node: Node) -> None:
    with node.without("INSERT", "key_events"):
        assert node.player.cloudflare.send("create_key").status_code == 503
    assert node.player.cloudflare.send("create_key").status_code == 200
    assert "Traceback" not in node.log.read_text()


def change_of_the_server(node: Node) -> None:
    node.postgres.run("ALTER SYSTEM SET default_transaction_read_only = on")
    node.postgres.run("SELECT pg_reload_conf()")


def change_of_the_role(node: Node) -> None:
    node.postgres.run(
        "ALTER ROLE keyferry_node SET default_transaction_read_only = on",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'keyferry_node'",
    )


@pytest.mark.parametrize("change", [change_of_the_server, change_of_the_role])
def test_a_node_that_may_not_write_is_not_ready(node: Node, change: Callable[[Node], None]) -> None:
    change(node)
    try:
        node.becomes(503, status="unavailable", database="read-only")
    finally:
        node.postgres.run(
            "SET default_transaction_read_only = off",
            "ALTER SYSTEM RESET default_transaction_read_only",
            "ALTER ROLE keyferry_node RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
        )
    node.becomes(200, status="ready", database="ok")


def test_a_node_on_a_standby_is_not_ready(node: Node) -> None:
    with node.postgres.as_standby():
        node.becomes(503, status="unavailable", database="read-only")
    node.becomes(200, status="ready", database="ok")


def test_a_node_that_is_no_longer_let_in_is_not_ready(node: Node) -> None:
    node.postgres.run(
        "REVOKE CONNECT ON DATABASE keyferry FROM PUBLIC",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'keyferry_node'",
    )
    try:
        node.becomes(503, status="unavailable", database="forbidden")
    finally:
        node.postgres.run("GRANT CONNECT ON DATABASE keyferry TO PUBLIC")
    node.becomes(200, status="ready", database="ok")


@pytest.mark.parametrize("applied", [LATEST - 1, 0], ids=["one behind", "nothing applied"])
def test_a_node_on_an_older_schema_is_not_ready(node: Node, applied: int) -> None:
    node.as_owner(
        "CREATE TABLE kept AS SELECT * FROM schema_migrations",
        f"DELETE FROM schema_migrations WHERE version > {applied}",  # noqa: S608  a number of ours
    )
    try:
        status, document = node.ready()
        assert (status, document["status"], document["database"]) == (503, "unavailable", "ok")
        assert document["migrations"] == {"applied": applied, "latest": LATEST}
    finally:
        node.as_owner(
            "INSERT INTO schema_migrations SELECT * FROM kept ON CONFLICT DO NOTHING",
            "DROP TABLE kept",
        )
    node.becomes(200, status="ready")


def test_a_node_whose_tables_are_gone_is_not_ready(node: Node) -> None:
    node.as_owner("ALTER SCHEMA public RENAME TO elsewhere", "CREATE SCHEMA public")
    try:
        document = node.becomes(503, status="unavailable", database="forbidden")
        assert document["migrations"] == {"applied": None, "latest": LATEST}
        assert "SELECT on schema_migrations" in document["lacking"]
    finally:
        node.as_owner("DROP SCHEMA public", "ALTER SCHEMA elsewhere RENAME TO public")
    node.becomes(200, status="ready")


def test_a_node_that_starts_without_rights_says_so_at_once(node: Node, tmp_path: Path) -> None:
    settings = {"KEYFERRY_DATABASE_URL": node.postgres.dsn("keyferry_node")}
    with (
        node.without("UPDATE", "signing_keys"),
        serve(node.player.tenant.house, tmp_path / "log", settings) as (url, _),
    ):
        started = Node(node.postgres, node.player.at(url), tmp_path / "log")
        assert [line["lacking"] for line in started.told()] == ["UPDATE on signing_keys"]
        assert started.ready()[0] == 503


def test_a_master_key_that_opens_not_every_minting_key_degrades_a_node(
    node: Node, tmp_path: Path
) -> None:
    settings = {
        "KEYFERRY_DATABASE_URL": node.postgres.dsn("keyferry_node"),
        "KEYFERRY_MASTER_KEY": OTHER_KEY,
        "KEYFERRY_POOL_SIZE": "1",
    }
    assert node.player.mint().status_code == 200
    with serve(node.player.tenant.house, tmp_path / "log", settings) as (url, _):
        elsewhere = Node(node.postgres, node.player.at(url), tmp_path / "log")
        status, document = elsewhere.ready()  # the first answer is right already
        assert (status, document["status"]) == (200, "degraded")
        assert (document["database"], document["minting"]) == ("ok", {"unopened": 1})
        assert "of 1 account" in elsewhere.told()[-1]["reason"]
        assert node.ready()[1]["status"] == "ready"
        node.as_owner("UPDATE signing_keys SET sealed = NULL WHERE hidden")
        elsewhere.becomes(200, status="ready", minting={"unopened": 0})


STOCK = """
WITH made AS (
    INSERT INTO accounts (id, name, email, default_project_id) SELECT a, 'minting', '', a
    FROM unnest($1::uuid[]) AS a RETURNING id
), home AS (
    INSERT INTO projects (id, account_id, name) SELECT id, id, 'default' FROM made
)
INSERT INTO signing_keys
    (id, account_id, project_id, dialect, algorithm, spki, fingerprint, hidden, sealed)
SELECT key, account, account, 'keyferry', 'RS256', '', uuid_send(key), true, sealed
FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS stock (account, key, sealed)
"""


@pytest.fixture
async def stock(house: House) -> AsyncIterator[Database]:
    """Sealed keys of 250 accounts, of which every fifth is sealed by another master key."""
    accounts = [UUID(int=0), UUID(int=2**128 - 1), *(uuid4() for _ in range(248))]
    keys = [uuid4() for _ in accounts]
    sealed = [
        seal(b64decode(MASTER_KEY if number % 5 else OTHER_KEY), b"pem", sealing_context(*place))
        for number, place in enumerate(zip(accounts, keys, strict=True))
    ]
    async with scratch_database(house) as dsn:
        await migrate(dsn)
        async with open_database(dsn, connections=2, statement_cache=10) as database:
            await database.fetch(STOCK, accounts, keys, sealed)
            yield database


async def test_sealed_keys_are_counted_in_pages_and_the_count_is_remembered(
    stock: Database,
) -> None:
    now = 0.0
    sealed = SealedKeys(stock, b64decode(MASTER_KEY), lambda: now)
    assert await sealed.unopened(1.0) == 50
    await stock.fetch("UPDATE signing_keys SET sealed = NULL")
    now += 0.9
    assert await sealed.unopened(1.0) == 50
    now += 0.2
    assert await sealed.unopened(1.0) == 0


async def test_a_count_that_takes_long_goes_on_where_it_was(stock: Database) -> None:
    now = 0.0

    def slow_clock() -> float:
        nonlocal now
        now += 1.0
        return now

    sealed = SealedKeys(stock, b64decode(MASTER_KEY), slow_clock)
    counts = [await sealed.unopened(1.5) for _ in range(4)]
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[1] < counts[2] == 50
    assert counts[3] == 50


async def test_without_a_master_key_nothing_is_counted(stock: Database) -> None:
    assert await SealedKeys(stock, None).unopened(1.0) == 0
