"""kill -9, of the gateway and of PostgreSQL: what was acknowledged is there, and life goes on."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import Popen
from uuid import UUID

import httpx2
import pytest

from tests import doors
from tests.doors import Door
from tests.outage import dsn_in, send_all, stopped_processes
from tests.service import House, Tenant, make_tenant, open_folder, serve_alone
from tests.store import connected, wrong_counters

ROUNDS = 3
STREAM = 0.7  # seconds before a kill
PATIENCE = 20.0  # seconds in which the service recovers; it takes one or two
DOORS = (doors.cloudflare, doors.livepeer, doors.livepeer, doors.cloudflare, doors.livepeer)
SETTINGS = {"KEYFERRY_LIVEPEER_ALGORITHM": "ES256", "KEYFERRY_LIVEPEER_QUOTA": "100000"}


@dataclass
class Ledger:
    """What a client knows of its keys."""

    live: set[UUID] = field(default_factory=set)  # acknowledged
    deleted: set[UUID] = field(default_factory=set)  # acknowledged too
    unsure: set[UUID] = field(default_factory=set)  # to be deleted, without an answer so far
    unanswered: int = 0  # creates
    statuses: set[int] = field(default_factory=set)

    @property
    def acknowledged(self) -> int:
        return len(self.live) + 2 * len(self.deleted)  # creates and deletes

    async def create(self, client: httpx2.AsyncClient, door: Door) -> None:
        self.unanswered += 1
        answer = await client.request(**door.ask("create_key"))
        self.statuses.add(answer.status_code)
        if answer.status_code == 200:
            self.unanswered -= 1
            self.live.add(door.id_in(answer))

    async def delete(self, client: httpx2.AsyncClient, door: Door, key: UUID) -> None:
        self.live.discard(key)
        self.unsure.add(key)
        answer = await client.request(**door.ask("delete_key", key))
        self.statuses.add(answer.status_code)
        if answer.status_code in {200, 204}:
            self.unsure.discard(key)
            self.deleted.add(key)

    async def work(self, client: httpx2.AsyncClient, door: Door) -> None:
        """Create and delete until cancelled, whatever happens."""
        while True:
            try:
                if self.live and random.random() < 0.4:  # noqa: S311
                    await self.delete(client, door, random.choice(sorted(self.live)))  # noqa: S311
                else:
                    await self.create(client, door)
            except httpx2.TransportError:
                await asyncio.sleep(0.02)

    def compare(self, listed: set[UUID]) -> None:
        """Compare with what the service says now."""
        assert self.live <= listed
        assert not self.deleted & listed
        assert len(listed - self.live - self.unsure) <= self.unanswered
        assert self.statuses <= {200, 204, 503}


@asynccontextmanager
async def stream(tenant: Tenant, ledger: Ledger) -> AsyncIterator[None]:
    """Create and delete through both doors, all the time."""
    async with doors.many_at_once() as client:
        workers = [asyncio.create_task(ledger.work(client, door(tenant))) for door in DOORS]
        try:
            yield
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


async def check(tenant: Tenant, ledger: Ledger, folder: Path) -> None:
    """Compare the client's ledger, the service's list, the counters and the history."""
    async with doors.many_at_once() as client:
        door = doors.cloudflare(tenant)
        ledger.compare(set(door.ids_in(await client.request(**door.listing()))))
    assert await wrong_counters(dsn_in(folder)) == []
    async with connected(dsn_in(folder)) as connection:
        row = await connection.fetchrow(
            """
            SELECT (SELECT count(*) FROM signing_keys) AS keys,
                   (SELECT count(*) FROM key_events WHERE action = 'created') AS created,
                   (SELECT count(*) FROM signing_keys WHERE deleted_at IS NOT NULL) AS gone,
                   (SELECT count(*) FROM key_events WHERE action = 'deleted') AS deleted
            """
        )
    assert (row["keys"], row["gone"]) == (row["created"], row["deleted"])


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def service(folder: Path) -> AbstractContextManager[tuple[str, Popen[bytes]]]:
    options = ["--embedded", "--data", str(folder / "data")]
    return serve_alone(folder / "log", SETTINGS, options)


def settle(folder: Path, url: str) -> Tenant:
    with House(folder / "data", dsn_in(folder / "data")) as house:
        return make_tenant(house, url)


async def more_is_acknowledged(ledger: Ledger, count: int = 10) -> None:
    """Wait until the service has recovered by itself."""
    seen = ledger.acknowledged
    async with asyncio.timeout(PATIENCE):
        while ledger.acknowledged < seen + count:
            await asyncio.sleep(0.01)


async def test_gateway_is_killed(folder: Path) -> None:
    ledger = Ledger()
    tenant: Tenant | None = None
    for _ in range(ROUNDS):
        with service(folder) as (url, process):
            tenant = replace(tenant, url=url) if tenant else settle(folder, url)
            await check(tenant, ledger, folder / "data")
            async with stream(tenant, ledger):
                await asyncio.sleep(STREAM)
                process.kill()
                process.wait()
    with service(folder) as (url, _):
        assert tenant is not None
        await check(replace(tenant, url=url), ledger, folder / "data")
    assert ledger.live
    assert ledger.deleted


async def test_postgresql_is_killed(folder: Path) -> None:
    ledger = Ledger()
    with service(folder) as (url, _):
        tenant = settle(folder, url)
        for _ in range(ROUNDS):
            async with stream(tenant, ledger):
                await asyncio.sleep(STREAM)
                send_all(stopped_processes(folder / "data"), signal.SIGKILL)
                await more_is_acknowledged(ledger)
            await check(tenant, ledger, folder / "data")
    assert 503 in ledger.statuses
    assert b'"event":"fault"' not in (folder / "log").read_bytes()
