"""The test keys as a Verifier meets them."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from gateway.crypto import load_public
from gateway.model import Algorithm
from gateway.tokens import MISS, KeyState, KeyStatus
from tests.vectors.forge import ACCOUNTS, KEYS

if TYPE_CHECKING:
    from uuid import UUID

    from gateway.tokens import KeyRef, Miss
    from tests.vectors.forge import TestKey


def state(key: TestKey) -> KeyState:
    account, algorithm = ACCOUNTS[key.account], Algorithm(key.algorithm)
    return KeyState(
        id=key.id,
        account_id=account,
        project_id=account,
        algorithm=algorithm,
        verify=load_public(key.spki, algorithm).verify,
        status=KeyStatus(key.status),
        generation=1,
    )


class Ring:
    """A keyring over the stored test keys: warm by default, and cold when told so."""

    def __init__(self) -> None:
        stored = [key for key in KEYS.values() if key.account is not None]
        self.keys = {key.id: state(key) for key in stored}
        self.ids: dict[KeyRef, UUID] = {key.id: key.id for key in stored}
        self.ids |= {sha256(key.spki).digest(): key.id for key in stored}
        self.warm = True
        self.away: Exception | None = None
        self.finds = 0

    def peek(self, ref: KeyRef, /) -> KeyState | Literal[Miss.MISS] | None:
        return self._get(ref) if self.warm else MISS

    async def find(self, ref: KeyRef, /) -> KeyState | None:
        self.finds += 1
        if self.away is not None:
            raise self.away
        return self._get(ref)

    def turn(self, key_id: UUID, status: KeyStatus) -> None:
        """Change a key's status, as a change feed would."""
        old = self.keys[key_id]
        self.keys[key_id] = replace(old, status=status, generation=old.generation + 1)

    def _get(self, ref: KeyRef) -> KeyState | None:
        key_id = self.ids.get(ref)
        return None if key_id is None else self.keys[key_id]
