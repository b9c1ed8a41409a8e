"""Verifying and minting playback tokens: one token, one key, one play, one verdict.

The checks run from what costs least to what depends on most: the text, the key it names, that
key's state, the signature, what the signer wrote, and last whether it holds now and for this
play. Only the last group runs again for a token seen before; the key's state always does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, TypeAlias

from gateway import jws
from gateway.claims import Claims, key_reference, read_claims
from gateway.errors import Code, GatewayError
from gateway.memo import Memo
from gateway.model import Algorithm
from gateway.plays import Policy, play_faults
from gateway.verdicts import EXPLANATIONS, Facts, Reason, Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

_ALGORITHMS: Final = frozenset(algorithm.value for algorithm in Algorithm)


class KeyStatus(StrEnum):
    """Whether tokens signed with a key are let in."""

    LIVE = "live"
    DISABLED = "disabled"
    DELETED = "deleted"


_REFUSED: Final[Mapping[KeyStatus, Reason | None]] = {
    KeyStatus.LIVE: None,
    KeyStatus.DISABLED: Reason.KEY_DISABLED,
    KeyStatus.DELETED: Reason.KEY_DELETED,
}


@dataclass(frozen=True, slots=True)
class KeyState:
    """What a keyring knows of one key.

    `verify(signature, signing_input)` is true only for a signature by this key in the encoding
    of RFC 7518 section 3, and raises nothing, whatever the bytes.
    `generation` differs from every earlier one of this id once its status or its public half
    may have changed: a signature is remembered for one generation only.
    """

    id: UUID
    account_id: UUID
    project_id: UUID
    algorithm: Algorithm
    verify: Callable[[bytes, bytes], bool]
    status: KeyStatus
    generation: int


class Miss(Enum):
    """The type of `MISS`."""

    MISS = "miss"


MISS: Final = Miss.MISS
"""A keyring's answer when it would have to ask the database."""

KeyRef: TypeAlias = "UUID | bytes"
"""A key's id, or the SHA-256 of its SubjectPublicKeyInfo in DER."""


class Keyring(Protocol):
    """Where keys are found, in whatever account. Absent and never existed are both None."""

    def peek(self, ref: KeyRef, /) -> KeyState | Literal[Miss.MISS] | None:
        """What memory may be trusted to say now, else MISS. Never waits, never raises."""

    async def find(self, ref: KeyRef, /) -> KeyState | None:
        """The key as the database has it. Raises GatewayError(UNAVAILABLE) when it is away."""


class _Presented(NamedTuple):
    """A token not seen before: taken apart, its signature not checked."""

    ref: KeyRef
    token: jws.ParsedToken
    digest: bytes


class _Seen(NamedTuple):
    """A token whose signature held under one generation of a key."""

    ref: UUID
    generation: int
    claims: Claims
    verdict: Verdict  # the answer when everything else holds, too


class Unchecked(NamedTuple):
    """A token of which all is known but its signature: `verdict(check())` is its verdict.

    They are apart for who has many of them. The arithmetic sweeps the processor's caches, and
    what runs between two of them pays for it: a third of a token's whole price.
    """

    check: Callable[[], bool]
    verdict: Callable[[bool], Verdict]


class Verifier:
    """Decides whether tokens are let in.

    Tokens whose signature held are remembered by their SHA-256. So the memo holds nothing that
    a memory dump could replay, its entries do not grow with the token's text, and only holders
    of a live key can fill it; the digest costs about a microsecond.
    """

    def __init__(self, keyring: Keyring, clock: Callable[[], float], policy: Policy) -> None:
        self._keyring = keyring
        self._clock = clock
        self._policy = policy
        self._memo: Memo[bytes, _Seen] = Memo(policy.memo_entries)

    async def verify(self, account_id: UUID, token: str, facts: Facts) -> Verdict:
        """Judge `token` for one play in one account.

        Raises GatewayError(UNAVAILABLE) when the key's state cannot be known, and nothing else:
        whatever the token holds, the answer is a verdict.
        """
        found = self.verify_warm(account_id, token, facts)
        if found is None:
            candidate = self._candidate(jws.wire(token))
            key = await self._keyring.find(candidate.ref)
            found = self._examine(candidate, key, account_id, token, facts)
        return found.verdict(found.check()) if isinstance(found, Unchecked) else found

    def verify_warm(self, account_id: UUID, token: str, facts: Facts) -> Verdict | Unchecked | None:
        """The same verdict without waiting, or what leads to it; None if the key is not at hand."""
        try:
            candidate = self._candidate(jws.wire(token))
        except Refused as refusal:
            return Verdict(refusal.reason)
        key = self._keyring.peek(candidate.ref)
        return None if key is MISS else self._examine(candidate, key, account_id, token, facts)

    def _candidate(self, raw: bytes) -> _Seen | _Presented:
        digest = sha256(raw).digest()
        return self._memo.get(digest) or _presented(raw, digest)

    def _examine(
        self,
        candidate: _Seen | _Presented,
        key: KeyState | None,
        account_id: UUID,
        token: str,
        facts: Facts,
    ) -> Verdict | Unchecked:
        """Look at the key, and whether this very key is known to have signed the token."""
        try:
            key = _admitted(key, account_id)
            if isinstance(candidate, _Seen):
                if candidate.generation == key.generation:
                    return self._judge(candidate, token, facts)
                raw = jws.wire(token)
                candidate = _presented(raw, sha256(raw).digest())
            parts = candidate.token
            # The stored key says which algorithm; the token's alg must agree and is never asked.
            if parts.header["alg"] != key.algorithm:
                raise Refused(Reason.ALGORITHM_MISMATCH, key.id)
        except Refused as refusal:
            return Verdict(refusal.reason, refusal.key)
        return Unchecked(
            partial(key.verify, parts.signature, parts.signing_input),
            partial(self._conclude, candidate, key, token, facts),
        )

    def _conclude(
        self, presented: _Presented, key: KeyState, token: str, facts: Facts, genuine: bool
    ) -> Verdict:
        """Remember what is signed as it should be, and judge it."""
        try:
            if not genuine:
                raise Refused(Reason.SIGNATURE_INVALID)
            claims = read_claims(presented.token.payload)
        except Refused as refusal:
            return Verdict(refusal.reason, key.id)
        verdict = Verdict(Reason.ALLOWED, key.id, claims.subject, claims.expires)
        seen = _Seen(key.id, key.generation, claims, verdict)
        self._memo.put(presented.digest, seen)
        return self._judge(seen, token, facts)

    def _judge(self, seen: _Seen, token: str, facts: Facts) -> Verdict:
        """What may change between two plays of one token: the time, and everything in `facts`."""
        for reason in play_faults(seen.claims, token, facts, self._clock(), self._policy):
            return seen.verdict._replace(reason=reason)
        return seen.verdict


def sign_token(
    header: Mapping[str, object],
    payload: Mapping[str, object],
    sign: Callable[[bytes], bytes],
) -> str:
    """Mint a token: a compact JWS whose members keep the order given.

    `sign` takes the signing input and returns the signature as RFC 7518 section 3 encodes it.
    Raises GatewayError(BODY_INVALID) rather than return what a Verifier would refuse whenever
    and wherever it is played: an ill-formed claim, no key named, more than 8 KiB.
    """
    try:
        token = jws.encode(header, payload, sign)
        read_claims(_presented(jws.wire(token), b"").token.payload)
    except Refused as refusal:
        raise GatewayError(Code.BODY_INVALID, EXPLANATIONS[refusal.reason]) from None
    except UnicodeEncodeError:  # half of a surrogate pair, which UTF-8 has no bytes for
        raise GatewayError(Code.BODY_INVALID, EXPLANATIONS[Reason.JSON_MALFORMED]) from None
    return token


def _presented(raw: bytes, digest: bytes) -> _Presented:
    token = jws.parse(raw)
    algorithm = token.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
        raise Refused(Reason.ALGORITHM_REFUSED)
    return _Presented(key_reference(token.header, token.payload), token, digest)


def _admitted(key: KeyState | None, account_id: UUID) -> KeyState:
    """The key, if it is this account's and live. Another account's looks like none at all."""
    if key is None or key.account_id != account_id:
        raise Refused(Reason.KEY_UNKNOWN)
    refused = _REFUSED[key.status]
    if refused is not None:
        raise Refused(refused, key.id)
    return key
