"""The rows of every door while nothing is being generated: what a request costs by itself."""

from __future__ import annotations

import base64
import json
from itertools import cycle, islice
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from tests.bench.compare import Row
from tests.bench.furniture import (
    CLOUDFLARE,
    LIVEPEER,
    VIDEO,
    Place,
    SigningKey,
    as_tenant,
    copy_keys,
    keys_of,
    place_of,
    play,
    settle,
)
from tests.bench.load import Ask, Wave
from tests.bench.servers import Bench, Server
from tests.service import Tenant, make_tenant

_KEYS = 10  # in a listing
_ACCOUNTS = 32  # that create, change and delete at once
_DELETED = 4000  # keys for one run of a row that deletes
TOKENS = 20_000  # twice what the memo of tokens holds, so that none is met again in it
FEWEST_TOKENS = 12_000


class Doors:
    """Rows on one Keyferry whose Livepeer door makes ES256 keys, which need no stock."""

    def __init__(self, bench: Bench, server: Server, *, short: bool) -> None:
        self._bench = bench
        self._server = server
        self._tokens = FEWEST_TOKENS if short else TOKENS
        self._reader = make_tenant(bench.house, server.url, "reader")
        self._writers = [
            make_tenant(bench.house, server.url, f"writer-{number}") for number in range(_ACCOUNTS)
        ]
        self._places = [place_of(bench.house, writer.account_id) for writer in self._writers]
        self._keys = self._create(_KEYS)
        self._key = self._keys[-1]
        private: Any = load_pem_private_key(base64.b64decode(self._key.pem), None)
        self._public = private.public_key()

    def rows(self) -> list[Row]:
        """Return all rows, ready to be measured."""
        return [*self._reading(), *self._writing(), *self._verifying(), *self._publishing()]

    def _row(self, name: str, asks: list[Ask], goal: float | None = None, status: int = 200) -> Row:
        wave = Wave(self._server.url, asks, self._bench.folder, status)
        wave.probe(asks[0])
        return Row(name, self._server, wave, goal=goal)

    def _create(self, count: int) -> list[SigningKey]:
        ask = as_tenant(self._reader, "POST", keys_of(self._reader))
        wave = Wave(self._server.url, [ask], self._bench.folder)
        made = [wave.probe(ask).json()["result"] for _ in range(count)]
        return [SigningKey(UUID(key["id"]), key["pem"]) for key in made]

    def _reading(self) -> list[Row]:
        reader, limit = self._reader, f"?limit={_KEYS}"
        listed = [as_tenant(reader, "GET", keys_of(reader))]
        page = [as_tenant(reader, "GET", LIVEPEER + limit)]
        one = [as_tenant(reader, "GET", f"{LIVEPEER}/{self._key.id}")]
        rows = [
            self._row("list 10 keys, Cloudflare", listed, 0.27),
            self._row("list 10 keys, Livepeer", page, 0.27),
            self._row("get, Livepeer", one, 0.30),
        ]
        return rows + [self._alone(row) for row in rows]

    def _writing(self) -> list[Row]:
        creates = [as_tenant(writer, "POST", LIVEPEER) for writer in self._writers]
        create = self._row("create, ES256", creates, 0.20)
        return [
            create,
            self._alone(create),
            self._row("create, ES256, all by one account", creates[:1]),
            self._row("update, Livepeer", self._renames(), status=204),
            self._deleting("livepeer", 204),
            self._deleting("cloudflare", 200),
        ]

    def _alone(self, row: Row) -> Row:
        """Return the same row on one connection, where latency is all there is."""
        return Row(f"{row.name}, 1 connection", row.server, row.wave, connections=1)

    def _renames(self) -> list[Ask]:
        writers = list(islice(cycle(self._writers), 1024))
        keys = copy_keys(self._bench.house, self._each(1024), "livepeer", self._spki())
        return [
            as_tenant(writer, "PATCH", f"{LIVEPEER}/{key}", json.dumps({"name": f"renamed {key}"}))
            for writer, key in zip(writers, keys, strict=True)
        ]

    def _deleting(self, dialect: str, status: int) -> Row:
        row = self._row(
            f"delete, {dialect.capitalize()}", self._deletes(dialect, 32), status=status
        )
        row.limit = _DELETED

        def fresh() -> None:
            asks = self._deletes(dialect, _DELETED)
            row.wave = Wave(self._server.url, asks, self._bench.folder)

        row.fresh = fresh
        return row

    def _deletes(self, dialect: str, count: int) -> list[Ask]:
        """Ask to delete keys that are copied into the store first."""
        keys = copy_keys(self._bench.house, self._each(count), dialect, self._spki())
        settle(self._bench.house)
        owned = zip(cycle(self._writers), keys, strict=False)
        return [
            as_tenant(writer, "DELETE", _path(dialect, writer, key.hex)) for writer, key in owned
        ]

    def _verifying(self) -> list[Row]:
        account = self._reader.account_id
        tokens = self._key.tokens(self._tokens)
        pem = self._public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        pub = json.dumps({"type": "jwt", "stream": VIDEO, "pub": base64.b64encode(pem).decode()})
        again = self._row("verify, seen before", [play(account, tokens[0])], 0.75)
        return [
            self._row("verify, first time", [play(account, token) for token in tokens], 0.50),
            again,
            self._alone(again),
            self._row(
                "gate, Livepeer",
                [Ask("POST", f"/api/access-control/gate?account={account}", body=pub)],
                0.60,
            ),
        ]

    def _publishing(self) -> list[Row]:
        jwks = Ask("GET", f"/accounts/{self._reader.account_id}/jwks.json")
        full = self._row("JWKS of 10 keys, 200", [jwks])
        etag = full.wave.probe(jwks).headers["etag"]
        path = f"{CLOUDFLARE}/{self._reader.account_id}/stream/{VIDEO}/token"
        own = json.dumps({"id": self._key.id.hex, "pem": self._key.pem})
        return [
            full,
            self._row(
                "JWKS, 304", [Ask("GET", jwks.target, (("If-None-Match", etag),))], status=304
            ),
            self._row("mint with id and pem", [as_tenant(self._reader, "POST", path, own)]),
            self._row("mint with the account's key", [as_tenant(self._reader, "POST", path, "{}")]),
        ]

    def _each(self, count: int) -> list[Place]:
        return list(islice(cycle(self._places), count))

    def _spki(self) -> bytes:
        spki: bytes = self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return spki


def naive_rows(bench: Bench, server: Server) -> list[Row]:
    """Return the rows of the naive handlers, for comparison."""
    rows = []
    for name, ask in {
        "naive: one INSERT": Ask("POST", "/keys"),
        "naive: list 10 keys": Ask("GET", "/keys"),
        "naive: get": Ask("GET", f"/keys/{UUID(int=0)}"),
    }.items():
        wave = Wave(server.url, [ask], bench.folder)
        wave.probe(ask)
        rows.append(Row(name, server, wave))
        rows.append(Row(f"{name}, 1 connection", server, wave, connections=1))
    return rows


def control_row(bench: Bench, server: Server) -> Row:
    """Return the row that all others are divided by."""
    ask = Ask("GET", "/constant")
    wave = Wave(server.url, [ask], bench.folder)
    wave.probe(ask)
    return Row("control: a constant", server, wave)


def _path(dialect: str, tenant: Tenant, key: str) -> str:
    return f"{keys_of(tenant)}/{key}" if dialect == "cloudflare" else f"{LIVEPEER}/{UUID(key)}"
