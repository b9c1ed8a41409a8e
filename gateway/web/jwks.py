"""Public keys as files: JWK Sets (RFC 7517 section 5) and PEM, made to be cached by edges."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from gateway.crypto import public_jwk, spki_pem
from gateway.errors import Code, GatewayError
from gateway.model import Algorithm
from gateway.storage.database import STATEMENTS, Database
from gateway.web.exchange import Reply, Request

METHODS = ("GET", "HEAD")
_JWK_SET = b"application/jwk-set+json"
_PEM = b"application/x-pem-file"
_REMEMBERED = 50_000


class PublishedKeys:
    """The public halves of keys that verify: disabled and deleted ones are absent."""

    def __init__(self, database: Database, cache_control: str) -> None:
        self._database = database
        self._cache_control = cache_control.encode()
        self._jwks: dict[UUID, msgspec.Raw] = {}  # a key's JWK never changes

    async def of_account(self, account_id: UUID, request: Request) -> Reply:
        """All keys of an account; an unknown account has none."""
        _check_method(request)
        rows = await self._database.fetch(STATEMENTS.published_keys.sql, account_id)
        return self._file(request, self._set(rows), _JWK_SET)

    async def of_project(self, account_id: UUID, project_id: UUID, request: Request) -> Reply:
        """All keys of a project; one that is unknown, or another account's, has none."""
        _check_method(request)
        sql = STATEMENTS.published_project_keys.sql
        rows = await self._database.fetch(sql, account_id, project_id)
        return self._file(request, self._set(rows), _JWK_SET)

    async def of_key(self, key_id: UUID, request: Request) -> Reply:
        """A set of one key, for verifiers whose tokens name no kid in their header."""
        _check_method(request)
        return self._file(request, self._set([await self._row(key_id)]), _JWK_SET)

    async def pem(self, key_id: UUID, request: Request) -> Reply:
        """One key as an SPKI PEM."""
        _check_method(request)
        row = await self._row(key_id)
        return self._file(request, spki_pem(row["spki"]), _PEM)

    async def _row(self, key_id: UUID) -> Any:
        row = await self._database.fetchrow(STATEMENTS.published_key.sql, key_id)
        if row is None:
            raise GatewayError(Code.KEY_UNKNOWN, "there is no such key, or it is disabled")
        return row

    def _set(self, rows: Iterable[Any]) -> bytes:
        return msgspec.json.encode({"keys": [self._jwk(row) for row in rows]})

    def _jwk(self, row: Any) -> msgspec.Raw:
        known = self._jwks.get(row["id"])
        if known is not None:
            return known
        if len(self._jwks) >= _REMEMBERED:
            del self._jwks[next(iter(self._jwks))]
        numbers = public_jwk(row["spki"], Algorithm(row["algorithm"]))
        about = {"use": "sig", "kid": row["id"].hex, "alg": row["algorithm"]}
        jwk = self._jwks[row["id"]] = msgspec.Raw(msgspec.json.encode(about | numbers))
        return jwk

    def _file(self, request: Request, content: bytes, content_type: bytes) -> Reply:
        """Answer with a strong ETag (RFC 9110 sections 8.8.3 and 13.1.2)."""
        etag = f'"{sha256(content).hexdigest()[:32]}"'
        headers = [
            (b"etag", etag.encode()),
            (b"cache-control", self._cache_control),
            (b"access-control-allow-origin", b"*"),
        ]
        if _matches(request.header(b"if-none-match"), etag):
            return Reply(304, b"", content_type, headers)
        return Reply(200, content, content_type, headers)


def _check_method(request: Request) -> None:
    if request.method not in METHODS:
        raise GatewayError(Code.METHOD_UNKNOWN, "use one of GET, HEAD")


def _matches(condition: str | None, etag: str) -> bool:
    if condition is None:
        return False
    candidates = {part.strip().removeprefix("W/") for part in condition.split(",")}
    return etag in candidates or "*" in candidates
