"""A store of many accounts with many keys each, copied in, and requests spread over it."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle, islice
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.bench.furniture import (
    LIVEPEER,
    VIDEO,
    Place,
    as_tenant,
    copy_keys,
    keys_of,
    play,
    settle,
    unbounded,
)
from tests.bench.load import Ask
from tests.service import ALL_SCOPES, House, Tenant

_SAMPLE = 1000  # requests that differ
_STRIDE = 7919  # keys between two of them; prime
_MAKERS = 32
PRIVATE = generate_private_key(65537, 2048)
SPKI = PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Town:
    """Accounts and keys; key number n belongs to account number n modulo their count.

    `makers` are accounts beside those, so that what is created makes no listing longer.
    """

    house: House
    places: list[Place]
    makers: list[Place]
    keys: list[UUID]

    def tenant(self, number: int) -> Tenant:
        """Return one of the accounts and its token."""
        return self._at(self.places[number])

    def _at(self, place: Place) -> Tenant:
        account = place.account_id
        return Tenant(self.house, "", account.hex, "", _secret(account))

    def asks(self) -> dict[str, list[Ask]]:
        """Return requests for keys from everywhere, by the name of the call."""
        drawn = [number * _STRIDE % len(self.keys) for number in range(_SAMPLE)]
        owned = [(self.tenant(number % len(self.places)), self.keys[number]) for number in drawn]
        one = [(tenant, f"{LIVEPEER}/{key}") for tenant, key in owned]
        rename = json.dumps({"name": "renamed"})
        return {
            "list 100 keys, Cloudflare": [as_tenant(t, "GET", keys_of(t)) for t, _ in owned],
            "list 20 of 100 keys, Livepeer": [as_tenant(t, "GET", LIVEPEER) for t, _ in owned],
            "get, Livepeer": [as_tenant(t, "GET", path) for t, path in one],
            "create, ES256": [as_tenant(self._at(m), "POST", LIVEPEER) for m in self.makers],
            "update, Livepeer": [as_tenant(t, "PATCH", path, rename) for t, path in one],
            "verify": [play(t.account_id, _token(key)) for t, key in owned],
            "JWKS of 100 keys": [
                Ask("GET", f"/accounts/{t.account_id}/jwks.json") for t, _ in owned[:100]
            ],
        }

    def deletes(self, count: int) -> list[Ask]:
        """Add some keys, and return requests that delete them."""
        places = list(islice(cycle(self.places), count))
        keys = copy_keys(self.house, places, "cloudflare", SPKI)
        settle(self.house)
        tenants = (self.tenant(number % len(self.places)) for number in range(count))
        pairs = zip(tenants, keys, strict=True)
        return [as_tenant(t, "DELETE", f"{keys_of(t)}/{key.hex}") for t, key in pairs]


def build(house: House, accounts: int, keys: int) -> Town:
    """Copy accounts, their projects and tokens, and `keys` keys in all, spread over them evenly."""
    places, makers = ([Place(uuid4(), uuid4()) for _ in range(n)] for n in (accounts, _MAKERS))
    house.run(unbounded(house, lambda connection: _settle_people(connection, places + makers)))
    made = copy_keys(house, islice(cycle(places), keys), "cloudflare", SPKI)
    settle(house)
    return Town(house, places, makers, made)


async def _settle_people(connection: Any, places: list[Place]) -> None:
    """Copy accounts, projects and tokens in one transaction: they refer to each other."""
    accounts = [(p.account_id, "tenant", "a@example.invalid", p.project_id) for p in places]
    projects = [(p.project_id, p.account_id, "default") for p in places]
    tokens = [(p.project_id, p.account_id, "test", _digest(p), ALL_SCOPES) for p in places]
    tables = {
        "accounts": (["id", "name", "email", "default_project_id"], accounts),
        "projects": (["id", "account_id", "name"], projects),
        "api_tokens": (["id", "account_id", "name", "digest", "scopes"], tokens),
    }
    async with connection.transaction():
        for table, (columns, records) in tables.items():
            await connection.copy_records_to_table(table, columns=columns, records=records)


def _secret(account: UUID) -> str:
    return f"kf_bench_{b64encode(account.bytes).hex()}"


def _digest(place: Place) -> bytes:
    return sha256(_secret(place.account_id).encode()).digest()


def _token(key: UUID) -> str:
    payload = {"sub": VIDEO, "exp": int(time.time()) + 36_000}
    return jwt.encode(payload, PRIVATE, algorithm="RS256", headers={"kid": key.hex})
