"""The gate: whether a public key is good here, for callers that have checked its signature."""

from __future__ import annotations

from enum import Enum
from uuid import UUID

from gateway.claims import fingerprint
from gateway.errors import Code, GatewayError
from gateway.sightings import Sightings
from gateway.storage.database import STATEMENTS, Database
from gateway.tokens import MISS, Keyring, KeyState, KeyStatus
from gateway.verdicts import Refused


class GateVerdict(Enum):
    """What the gate says of a public key in one account."""

    OPEN = "open"
    UNKNOWN = "unknown"
    FOREIGN = "foreign"
    REVOKED = "revoked"  # disabled or deleted


class Gate:
    """Judges public keys by the state of their private halves' tokens."""

    def __init__(self, database: Database, keyring: Keyring, plays: Sightings) -> None:
        self._database = database
        self._keyring = keyring
        self._plays = plays

    async def judge(self, account_id: UUID, pub: str, *, play: bool) -> GateVerdict:
        """Say whether `pub`, base64 of an SPKI PEM, is a live and enabled key of the account.

        With `play` an open gate counts as a sighting of the key. Raises GatewayError(UNAVAILABLE).
        """
        verdict = self.judge_warm(account_id, pub, play=play)
        if verdict is None:
            state = await self._keyring.find(fingerprint(pub))
            verdict = self._judge(account_id, state, play=play)
        return verdict

    def judge_warm(self, account_id: UUID, pub: str, *, play: bool) -> GateVerdict | None:
        """The same verdict without waiting, or None when the key must be asked for."""
        try:
            state = self._keyring.peek(fingerprint(pub))
        except Refused:
            state = None
        return None if state is MISS else self._judge(account_id, state, play=play)

    def _judge(self, account_id: UUID, state: KeyState | None, *, play: bool) -> GateVerdict:
        if state is None:
            return GateVerdict.UNKNOWN
        if state.account_id != account_id:
            return GateVerdict.FOREIGN
        if state.status is not KeyStatus.LIVE:
            return GateVerdict.REVOKED
        if play:
            self._plays.note(state.id)
        return GateVerdict.OPEN

    async def only_account(self) -> UUID:
        """Return the deployment's account if there is just one, so that it need not be named.

        Raises GatewayError(QUERY_INVALID) when there are more.
        """
        rows = await self._database.fetch(STATEMENTS.two_accounts.sql)
        if len(rows) != 1:
            raise GatewayError(Code.QUERY_INVALID, "name the account: ?account=ID")
        account_id: UUID = rows[0]["id"]
        return account_id
