"""Playback tokens signed here: with a private half that the caller sends, or the account's own.

An account's own minting key is made on first use. Its private half is sealed with the deployment's
master key (AES-256-GCM) before it is stored, and opened in memory only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID
from weakref import WeakValueDictionary

from gateway.crypto import PrivateKey, load_private, seal, unseal
from gateway.errors import Code, GatewayError
from gateway.keypool import KeyPool
from gateway.model import Algorithm
from gateway.sealed import sealing_context
from gateway.storage.database import STATEMENTS, Database
from gateway.storage.feed import Feed
from gateway.storage.memory import Memory
from gateway.tokens import MISS, Keyring, KeyStatus, sign_token

_REMEMBERED_KEYS = 1000
Payload = Callable[[UUID], Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class SuppliedKey:
    """A signing key sent along with a request: used once and forgotten."""

    id: UUID
    pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _MintingKey:
    id: UUID
    private: PrivateKey = field(repr=False)


class Minter:
    """Signs playback tokens."""

    def __init__(
        self,
        database: Database,
        feed: Feed,
        keyring: Keyring,
        pool: KeyPool,
        *,
        master_key: bytes | None,
        pool_wait: float,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._pool = pool
        self._master_key = master_key
        self._pool_wait = pool_wait
        self._creating: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._memory: Memory[UUID, _MintingKey] = Memory(
            feed, self._load, kinds=frozenset({"minting"}), entries=_REMEMBERED_KEYS
        )

    async def mint_with(self, account_id: UUID, supplied: SuppliedKey, payload: Payload) -> str:
        """Sign with the private half that was sent, which must be that of a live key.

        Raises GatewayError: KEY_UNKNOWN, BODY_INVALID when `pem` is not that key's private half.
        """
        state = self._keyring.peek(supplied.id)
        if state is MISS:
            state = await self._keyring.find(supplied.id)
        if state is None or state.account_id != account_id or state.status is not KeyStatus.LIVE:
            raise GatewayError(Code.KEY_UNKNOWN, "not found")
        mismatch = GatewayError(Code.BODY_INVALID, "pem is not the private half of the key id")
        try:
            private = load_private(supplied.pem)
        except ValueError as error:
            raise GatewayError(Code.BODY_INVALID, f"pem is {error}") from None
        if private.algorithm is not state.algorithm:
            raise mismatch

        def sign(signing_input: bytes) -> bytes:
            signature = private.sign(signing_input)
            if not state.verify(signature, signing_input):
                raise mismatch
            return signature

        return _mint(supplied.id, private.algorithm, payload, sign)

    async def mint(self, account_id: UUID, request_id: str, payload: Payload) -> str:
        """Sign with the account's own minting key.

        Raises GatewayError: NOT_CONFIGURED without a master key, POOL_EMPTY, UNAVAILABLE.
        """
        key = await self._memory.get(account_id)
        if key is None:
            # One at a time: of several first mints of an account, one takes a key pair.
            async with self._creating.setdefault(account_id, asyncio.Lock()):
                key = await self._memory.get(account_id)
                if key is None:
                    await self._create(account_id, request_id)
                    key = await self._memory.get(account_id)
        if key is None:
            raise GatewayError(Code.UNAVAILABLE, "the minting key was replaced", retry_after=1)
        return _mint(key.id, key.private.algorithm, payload, key.private.sign)

    async def rotate(self, account_id: UUID, request_id: str, *, revoke: bool) -> list[UUID]:
        """Let the next token be signed by a new key; return the keys retired, maybe none.

        With `revoke` every minting key that the account ever had is deleted, and its tokens are
        refused from now on.
        """
        rows = await self._database.fetch(
            STATEMENTS.retire_minting_key.sql, account_id, revoke, request_id
        )
        return [row["id"] for row in rows]

    async def _create(self, account_id: UUID, request_id: str) -> None:
        master_key = self._require_master_key()
        pair = await self._pool.take(Algorithm.RS256, account_id, self._pool_wait)
        sealed = seal(master_key, pair.pkcs8_pem, sealing_context(account_id, pair.id))
        await self._database.fetchrow(
            STATEMENTS.add_minting_key.sql,
            account_id,
            pair.id,
            pair.algorithm,
            pair.spki,
            pair.fingerprint,
            sealed,
            request_id,
        )

    async def _load(self, account_id: UUID) -> _MintingKey | None:
        row = await self._database.fetchrow(STATEMENTS.minting_key.sql, account_id)
        if row is None:
            return None
        master_key = self._require_master_key()
        try:
            pem = unseal(master_key, row["sealed"], sealing_context(account_id, row["id"]))
        except ValueError:
            message = (
                "KEYFERRY_MASTER_KEY is not the one that sealed this account's minting key: "
                "set the former one, or rotate the key"
            )
            raise GatewayError(Code.NOT_CONFIGURED, message) from None
        return _MintingKey(row["id"], load_private(pem))

    def _require_master_key(self) -> bytes:
        if self._master_key is None:
            message = "set KEYFERRY_MASTER_KEY to mint without id and pem, or send both"
            raise GatewayError(Code.NOT_CONFIGURED, message)
        return self._master_key


def _mint(
    key_id: UUID, algorithm: Algorithm, payload: Payload, sign: Callable[[bytes], bytes]
) -> str:
    return sign_token({"alg": algorithm, "kid": key_id.hex}, payload(key_id), sign)
