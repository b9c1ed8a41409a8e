"""Accounts, keys and tokens to measure with, made through the doors or copied into the store."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.bench.load import Ask
from tests.service import House, Tenant

CLOUDFLARE = "/client/v4/accounts"
LIVEPEER = "/api/access-control/signing-key"
VIDEO = "a-video"
_COLUMNS = [
    *("id", "account_id", "project_id", "dialect", "name", "algorithm", "spki", "fingerprint"),
    *("created_at", "disabled", "hidden"),
]
_BATCH = 50_000


@dataclass(frozen=True)
class SigningKey:
    """A key as it was handed out."""

    id: UUID
    pem: str = field(repr=False)  # PKCS#1, standard base64, as Cloudflare's door gives it

    def tokens(self, count: int) -> list[str]:
        """Sign many different tokens, on all cores."""
        private: Any = load_pem_private_key(base64.b64decode(self.pem), None)
        expires = int(time.time()) + 36_000

        def sign(number: int) -> str:
            payload = {"sub": VIDEO, "kid": self.id.hex, "exp": expires, "jti": str(number)}
            return jwt.encode(payload, private, algorithm="RS256", headers={"kid": self.id.hex})

        with ThreadPoolExecutor() as threads:
            return list(threads.map(sign, range(count)))


def as_tenant(tenant: Tenant, method: str, target: str, body: str = "") -> Ask:
    """Ask with the tenant's API token."""
    return Ask(method, target, (("Authorization", f"Bearer {tenant.token}"),), body)


def keys_of(tenant: Tenant) -> str:
    """Return the path of an account's keys at Cloudflare's door."""
    return f"{CLOUDFLARE}/{tenant.account_id}/stream/keys"


def play(account_id: str, token: str) -> Ask:
    """Ask as nginx does whether a token may play."""
    headers = (("X-Original-URI", f"/{VIDEO}/index.m3u8?token={token}"),)
    return Ask("GET", f"/accounts/{account_id}/verify", headers)


@dataclass(frozen=True)
class Place:
    """Where keys belong."""

    account_id: UUID
    project_id: UUID


def place_of(house: House, account_id: str) -> Place:
    """Return an account's default project."""
    sql = "SELECT default_project_id FROM accounts WHERE id = $1::uuid"
    row = house.run(house.database.fetchrow(sql, UUID(account_id)))
    return Place(UUID(account_id), row[0])


def copy_keys(
    house: House, places: Iterable[Place], dialect: str, spki: bytes, algorithm: str = "RS256"
) -> list[UUID]:
    """Copy one live key for each of `places`; return their ids. All share one public half."""
    ids: list[UUID] = []

    def records() -> Iterator[tuple[object, ...]]:
        now = datetime.now().astimezone()
        for number, place in enumerate(places):
            ids.append(key := uuid4())
            fingerprint, name = sha256(key.bytes).digest(), f"Signing Key {number}"
            owner = (place.account_id, place.project_id)
            created = now - timedelta(milliseconds=number)
            yield (key, *owner, dialect, name, algorithm, spki, fingerprint, created, None, False)

    copy(house, "signing_keys", _COLUMNS, records())
    return ids


def copy(
    house: House, table: str, columns: list[str], records: Iterator[tuple[object, ...]]
) -> None:
    """Copy records into a table, some at a time."""

    async def work(connection: Any) -> None:
        await connection.copy_records_to_table(table, columns=columns, records=some)

    while some := list(islice(records, _BATCH)):
        house.run(unbounded(house, work))


def settle(house: House) -> None:
    """Set the quota counters by the keys that are there, and do what autovacuum would have done."""
    counted = """
        INSERT INTO allowances (account_id, dialect, live_keys)
        SELECT account_id, dialect, count(*) FROM signing_keys WHERE deleted_at IS NULL
        GROUP BY account_id, dialect
        ON CONFLICT (account_id, dialect) DO UPDATE SET live_keys = excluded.live_keys"""

    async def work(connection: Any) -> None:
        await connection.execute(counted)
        await connection.execute("VACUUM ANALYZE")

    house.run(unbounded(house, work))


async def unbounded(house: House, work: Any) -> None:
    """Run `work` on a connection of its own: a load takes longer than a request may."""
    connection = await asyncpg.connect(house.dsn)
    try:
        await work(connection)
    finally:
        await connection.close()
