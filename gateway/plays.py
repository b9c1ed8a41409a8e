"""Whether a genuine token holds now and for one play: the checks that every play is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.rules import check_rules
from gateway.subject import check_subject
from gateway.verdicts import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.claims import Claims
    from gateway.verdicts import Facts


@dataclass(frozen=True, slots=True)
class Policy:
    """What a deployment accepts. Times in seconds."""

    leeway: float = 5.0  # how far a signer's clock may be off, either way
    max_lifetime: float = 7 * 86_400.0  # how much of its life a token may still have before it
    memo_entries: int = 10_000  # signatures remembered, about half a KiB each


def play_faults(
    claims: Claims, token: str, facts: Facts, now: float, policy: Policy
) -> Iterator[Reason]:
    """Yield all that is wrong with a play, in the order of `Reason`. The first is the verdict's.

    A verifier takes that one and stops; who explains a verdict goes on.

    Times are RFC 7519 sections 4.1.4 to 4.1.6, with one leeway for a clock that is off either
    way. The cap is on the life that is left, not on the distance from `iat` or `nbf`: those are
    the signer's word, and leaving them out must not buy more. Whenever a token is accepted, it is
    dead within the cap; one that was made for longer is refused until that is so.
    """
    leeway = policy.leeway
    if now >= claims.expires + leeway:
        yield Reason.EXPIRED
    if claims.expires > now + policy.max_lifetime + leeway:
        yield Reason.LIFETIME_TOO_LONG
    if claims.not_before > now + leeway:
        yield Reason.NOT_YET_VALID
    if claims.issued_at > now + leeway:
        yield Reason.ISSUED_IN_FUTURE
    try:
        check_subject(claims.subject, token, facts)
    except Refused as refusal:
        yield refusal.reason
    if facts.download and not claims.downloadable:
        yield Reason.DOWNLOAD_REFUSED
    if claims.rules:
        try:
            check_rules(claims.rules, facts.address, facts.country)
        except Refused as refusal:
            yield refusal.reason
