"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tests.bystander import Bystander, meet, unharmed
from tests.minting import MASTER_KEY
from tests.player import Player
from tests.postgres import Postgres, fresh_postgres
from tests.service import House, Tenant, open_folder, serve
from tests.vectors.forge import TestKey

# Nothing that the doors of verification, minting and the gate look at is as by default.
EQUIPMENT = {
    "KEYFERRY_POOL_SIZE": "4",
    "KEYFERRY_MASTER_KEY": MASTER_KEY,
    "KEYFERRY_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8, 2001:db8:1::/48",
    "KEYFERRY_COUNTRY_HEADER": "CF-IPCountry",
    "KEYFERRY_JWKS_CACHE_CONTROL": "public, max-age=5, stale-if-error=60",
    "KEYFERRY_GATE_MAX_AGE": "120",
    "KEYFERRY_GATE_STALE": "600",
}


@pytest.fixture(scope="module")
def met(service: Tenant) -> Iterator[Bystander]:
    """A tenant with a key, shared by the tests of a module."""
    with httpx2.Client(trust_env=False, timeout=20) as http:
        yield meet(service, http)


@pytest.fixture
def bystander(met: Bystander) -> Iterator[Bystander]:
    """The same tenant; fails when the test changes its keys or harms the service."""
    with unharmed(met):
        yield met


@pytest.fixture(scope="session")
def http() -> Iterator[httpx2.Client]:
    """A client for everybody."""
    with httpx2.Client(trust_env=False, timeout=20) as http:
        yield http


@pytest.fixture(scope="module")
def player(service: Tenant, http: httpx2.Client) -> Player:
    """A tenant of a Keyferry whose settings are all as by default."""
    return Player(http, service.make_account("player"))


@pytest.fixture(scope="module")
def key(player: Player) -> TestKey:
    """A key of the player's."""
    return player.make_key()


@pytest.fixture(scope="session")
def equipped_url(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where another Keyferry on the same database is, the one with the `EQUIPMENT`."""
    with serve(house, tmp_path_factory.mktemp("equipped") / "log", EQUIPMENT) as (url, _):
        yield url


@pytest.fixture(scope="module")
def equipped(player: Player, equipped_url: str) -> Player:
    """The same tenant at that server."""
    return player.at(equipped_url)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL with nothing in it, whose roles have passwords."""
    with open_folder() as folder, fresh_postgres(folder / "postgres") as server:
        yield server
