"""SIGTERM: what is under way gets its answer, nothing new is begun, and nothing is forgotten."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
import pytest

from tests import doors
from tests.doors import Door
from tests.outage import frozen
from tests.rawhttp import Wire, request
from tests.service import House, make_tenant, serve
from tests.store import connected

pytestmark = pytest.mark.alone

CREATES = 10
PROMPTLY = 5.0  # seconds; it takes a fraction of one unless the machine is busy
STARVED = {
    "KEYFERRY_POOL_SIZE": "1",
    "KEYFERRY_POOL_THREADS": "1",
    "KEYFERRY_POOL_WAIT": "60",
    "KEYFERRY_LIVEPEER_QUOTA": "100",
}
ES256 = {"KEYFERRY_LIVEPEER_ALGORITHM": "ES256"}


@contextmanager
def served(
    house: House, folder: Path, settings: dict[str, str]
) -> Iterator[tuple[Popen[bytes], Door]]:
    """Run a service; yield its process and Livepeer's door to a new account in it."""
    log = folder / "log"
    with serve(house, log, settings) as (url, process):
        yield process, doors.livepeer(make_tenant(house, url))
    said = log.read_text()
    assert "Traceback" not in said
    assert '"event":"fault"' not in said
    assert '"event":"stopped"' in said


async def ended(process: Popen[bytes], patience: float = PROMPTLY) -> int:
    """Wait for the end of a process; return its exit status."""
    async with asyncio.timeout(patience):
        while process.poll() is None:
            await asyncio.sleep(0.01)
    return int(process.returncode)


async def until_refused(url: str) -> None:
    """Wait until nobody listens any more."""
    parts = urlsplit(url)
    while True:
        with socket.socket() as one:
            if one.connect_ex((parts.hostname, parts.port)):
                return
        await asyncio.sleep(0.01)


async def test_what_is_under_way_is_finished(house: House, tmp_path: Path) -> None:
    """Creates that wait for a key pair, for instance."""
    with served(house, tmp_path, STARVED) as (process, door):
        async with doors.many_at_once() as client:
            creates = [
                asyncio.create_task(client.request(**door.ask("create_key")))
                for _ in range(CREATES)
            ]
            await asyncio.wait(creates, return_when=asyncio.FIRST_COMPLETED)
            process.send_signal(signal.SIGTERM)
            await until_refused(door.tenant.url)
            assert not all(create.done() for create in creates)
            made = {door.id_in(answer) for answer in await asyncio.gather(*creates)}
        assert await ended(process) == 0
    async with connected(house.dsn) as connection:
        rows = await connection.fetch(
            "SELECT id FROM signing_keys WHERE account_id = $1", UUID(door.tenant.account_id)
        )
    assert made == {row["id"] for row in rows}


async def test_last_uses_are_written(house: House, tmp_path: Path) -> None:
    """They are written every few seconds, and what is left when it stops."""
    with served(house, tmp_path, ES256) as (process, door):
        async with doors.many_at_once() as client:
            made = await client.request(**door.ask("create_key"))
            body, query = {"pub": made.json()["publicKey"]}, f"?account={door.tenant.account_id}"
            played = await client.request(**door.ask("gate", body=body, query=query))
            assert played.status_code == 200
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0
    async with connected(house.dsn) as connection:
        row = await connection.fetchrow(
            """
            SELECT now() - t.last_used_at AS token, now() - k.last_seen_at AS key
            FROM api_tokens t JOIN signing_keys k USING (account_id) WHERE account_id = $1
            """,
            UUID(door.tenant.account_id),
        )
    assert timedelta() < row["token"] < timedelta(minutes=1)
    assert timedelta() < row["key"] < timedelta(minutes=1)


async def test_idle_connections_do_not_hold_it_up(house: House, tmp_path: Path) -> None:
    with served(house, tmp_path, {}) as (process, door):
        url = door.tenant.url
        with httpx2.Client(trust_env=False) as client, Wire(url):  # which never says a word
            assert client.get(url + "/healthz").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert await ended(process) == 0


async def test_database_is_away(house: House, tmp_path: Path) -> None:
    """Requests are refused as always, and the end is not waited for long either."""
    with served(house, tmp_path, {}) as (process, door):
        async with doors.many_at_once() as client:
            (await client.request(**door.listing())).raise_for_status()
            with frozen(house.folder):
                asked = asyncio.create_task(client.request(**door.listing()))
                await asyncio.sleep(0.2)
                process.send_signal(signal.SIGTERM)
                assert (await asked).status_code == 503
                assert await ended(process, 2 * PROMPTLY) == 0


async def test_second_signal_forces(house: House, tmp_path: Path) -> None:
    """A request whose body never ends would be waited for."""
    with served(house, tmp_path, {}) as (process, door), Wire(door.tenant.url) as wire:
        bearer = f"Authorization: Bearer {door.token}"
        path = door.case.prefix + door.case.ask("create_key").path
        wire.say(request("POST", path, [bearer, "Content-Length: 2"], b"{"))
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            await ended(process, 1.0)
        process.send_signal(signal.SIGTERM)
        await ended(process)
