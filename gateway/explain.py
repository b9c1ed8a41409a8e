"""Every check that a token goes through, in order, with what came of it.

Nothing is checked here. The verdict is a Verifier's, and says which check failed; the checks of
the play itself do not depend on each other, so all of them tell what they have found.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway import jws
from gateway.claims import key_reference, read_claims
from gateway.place import AMBIGUOUS
from gateway.plays import play_faults
from gateway.tokens import Verifier
from gateway.verdicts import EXPLANATIONS, Reason, Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from gateway.claims import Claims
    from gateway.plays import Policy
    from gateway.tokens import Keyring, KeyState
    from gateway.verdicts import Facts


class Check(NamedTuple):
    """One check: what is true once it has passed, and the reasons it can fail for."""

    name: str
    promise: str
    reasons: tuple[Reason, ...]


CHECKS: Final = (
    Check("token", "There is a token.", (Reason.TOKEN_MISSING,)),
    Check("size", "It has at most 8 KiB.", (Reason.TOKEN_TOO_LARGE,)),
    Check(
        "form",
        "It is a compact JWS that can be read in one way only.",
        (
            Reason.TOKEN_MALFORMED,
            Reason.BASE64_MALFORMED,
            Reason.JSON_MALFORMED,
            Reason.MEMBER_REPEATED,
            Reason.HEADER_REFUSED,
        ),
    ),
    Check("algorithm", "Its alg is RS256 or ES256.", (Reason.ALGORITHM_REFUSED,)),
    Check(
        "key named",
        "It names a key.",
        (Reason.KEY_UNNAMED, Reason.KID_MALFORMED, Reason.PUB_MALFORMED),
    ),
    Check(
        "key",
        "The key is the account's, live and enabled.",
        (Reason.KEY_UNKNOWN, Reason.KEY_DISABLED, Reason.KEY_DELETED),
    ),
    Check("key's algorithm", "Its alg is that of the key.", (Reason.ALGORITHM_MISMATCH,)),
    Check("signature", "The key made its signature.", (Reason.SIGNATURE_INVALID,)),
    Check(
        "claims",
        "sub, exp and the other claims are there and well-formed.",
        (
            Reason.SUB_MALFORMED,
            Reason.EXP_MISSING,
            Reason.EXP_MALFORMED,
            Reason.NBF_MALFORMED,
            Reason.IAT_MALFORMED,
            Reason.RULES_MALFORMED,
            Reason.ACTION_REFUSED,
        ),
    ),
    Check("exp", "It has not expired.", (Reason.EXPIRED,)),
    Check("lifetime", "It does not live for too long.", (Reason.LIFETIME_TOO_LONG,)),
    Check("nbf", "Its nbf has passed.", (Reason.NOT_YET_VALID,)),
    Check("iat", "Its iat is not in the future.", (Reason.ISSUED_IN_FUTURE,)),
    Check(
        "subject",
        "It is for what is played.",
        (Reason.NOTHING_PLAYED, Reason.PATH_AMBIGUOUS, Reason.SUBJECT_MISMATCH),
    ),
    Check("download", "It allows downloads, if this is one.", (Reason.DOWNLOAD_REFUSED,)),
    Check(
        "access rules",
        "Its access rules let this viewer in.",
        (
            Reason.ADDRESS_UNKNOWN,
            Reason.COUNTRY_UNKNOWN,
            Reason.BLOCKED_ADDRESS,
            Reason.BLOCKED_COUNTRY,
            Reason.BLOCKED,
        ),
    ),
)
"""All checks, in the order in which a Verifier makes them; each reason belongs to one."""


class Result(StrEnum):
    """What came of a check."""

    OK = "ok"
    FAILED = "failed"
    NOT_REACHED = "not reached"


class Step(NamedTuple):
    """A check that was made or not; `reason` is there when it failed."""

    check: Check
    result: Result
    reason: Reason | None = None

    @property
    def message(self) -> str:
        """What has been found, in one sentence."""
        return self.check.promise if self.reason is None else EXPLANATIONS[self.reason]


class Explanation(NamedTuple):
    """A verdict and how it came about.

    `key` is the key that the token names, whoever it belongs to: this is for operators alone.
    `claims` are there once the signature held.
    """

    verdict: Verdict
    steps: list[Step]
    at: float  # seconds since 1970
    key: KeyState | None = None
    claims: Claims | None = None


class Explainer:
    """Judges tokens as a Verifier does, and tells of each check."""

    def __init__(self, keyring: Keyring, clock: Callable[[], float], policy: Policy) -> None:
        self._keyring = keyring
        self._clock = clock
        self.policy = policy

    async def explain(self, account_id: UUID, token: str | None, facts: Facts) -> Explanation:
        """Judge `token` for one play in one account; None is a play without a token.

        Raises GatewayError(UNAVAILABLE) when a key's state cannot be known, and nothing else.
        """
        now = self._clock()
        if token is None:
            # In a path that can be read in two ways, a token would not have been found.
            ambiguous = facts.place is AMBIGUOUS
            reason = Reason.PATH_AMBIGUOUS if ambiguous else Reason.TOKEN_MISSING
            return Explanation(Verdict(reason), _no_steps(reason), now)
        verdict = await Verifier(self._keyring, lambda: now, self.policy).verify(
            account_id, token, facts
        )
        claims = _claims(token, verdict)
        faults = [verdict.reason]
        if claims is not None:
            faults = list(play_faults(claims, token, facts, now, self.policy))
        return Explanation(verdict, _steps(faults), now, await self._key(token), claims)

    async def _key(self, token: str) -> KeyState | None:
        try:
            parsed = jws.parse(jws.wire(token))
            ref = key_reference(parsed.header, parsed.payload)
        except Refused:
            return None
        return await self._keyring.find(ref)


def _claims(token: str, verdict: Verdict) -> Claims | None:
    """Return the claims of a token whose signature held."""
    if verdict.subject is None:
        return None
    return read_claims(jws.parse(jws.wire(token)).payload)


def _no_steps(reason: Reason) -> list[Step]:
    """Return all checks when there is no token to check."""
    first, *others = CHECKS
    steps = [Step(check, Result.NOT_REACHED) for check in others]
    return [Step(first, Result.FAILED, reason), *steps]


def _steps(faults: Iterable[Reason]) -> list[Step]:
    """Return all checks; behind the first one that ends the examination none is reached."""
    failed = {CHECK_OF[reason]: reason for reason in faults if reason is not Reason.ALLOWED}
    steps: list[Step] = []
    over = False
    for check in CHECKS:
        reason = failed.get(check)
        if reason is not None:
            steps.append(Step(check, Result.FAILED, reason))
            over = over or check not in _OF_THE_PLAY
        else:
            steps.append(Step(check, Result.NOT_REACHED if over else Result.OK))
    return steps


CHECK_OF: Final = {reason: check for check in CHECKS for reason in check.reasons}
_OF_THE_PLAY: Final = frozenset(CHECKS[CHECKS.index(CHECK_OF[Reason.EXPIRED]) :])
