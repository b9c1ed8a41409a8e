"""What would make a token play: one sentence for each reason that it does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from typing import Final, NamedTuple

from gateway.explain import Explanation
from gateway.model import KeyEvent
from gateway.plays import Policy
from gateway.rules import Kind, deciding_rule
from gateway.verdicts import Facts, Reason
from gateway.web.redaction import shown_subject

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_NOTABLE = 1.0  # seconds by which two clocks may differ before it is worth a word


class Case(NamedTuple):
    """A token, what it was judged by, and what else is known about it.

    `events` are the history of its key; `behind` is by how many seconds this machine's clock is
    behind the database's.
    """

    explanation: Explanation
    facts: Facts
    policy: Policy
    events: Sequence[KeyEvent] = ()
    behind: float = 0.0


def advise(reason: Reason, case: Case) -> str:
    """Return what would make the token play, as far as `reason` is concerned."""
    found = ADVICE[reason]
    return found if isinstance(found, str) else found(case)


def span(seconds: float) -> str:
    """Return a length of time in words, in the largest unit that says it within a few per cent."""
    for size, name in _UNITS:
        count = round(seconds / size)
        if count >= 1 and (seconds >= 2 * size or size == 1 or seconds % size < size / 60):
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "less than a second"


def _key_unknown(case: Case) -> str:
    key = case.explanation.key
    if key is None:
        return "No account has this key: check the kid, and that this is the right database."
    return f"The key is of another account: ask with --account {key.account_id}."


def _key_disabled(case: Case) -> str:
    at = _last(case.events, lambda event: _detail(event).get("disabled") is True)
    return f"This key was disabled{at}: enable it, or sign with another one."


def _key_deleted(case: Case) -> str:
    at = _last(case.events, lambda event: event.action == "deleted")
    return f"This key was deleted{at}, permanently: sign with another one."


def _algorithm_mismatch(case: Case) -> str:
    key = case.explanation.key
    return f"Sign with {key.algorithm}, and say so in alg." if key is not None else ""


def _signature_invalid(case: Case) -> str:
    key = case.explanation.key
    name = "the key" if key is None else f"key {key.id}"
    return f"Sign with the private half of {name}, and do not change the token afterwards."


def _expired(case: Case) -> str:
    claims = case.explanation.claims
    past = 0.0 if claims is None else case.explanation.at - claims.expires
    return f"The token expired {span(past)} ago: sign a new one." + _clocks(case)


def _lifetime_too_long(case: Case) -> str:
    claims, most = case.explanation.claims, span(case.policy.max_lifetime)
    ahead = 0.0 if claims is None else claims.expires - case.explanation.at
    return (
        f"exp is {span(ahead)} ahead: sign with at most {most}, or raise KEYFERRY_MAX_LIFETIME."
        + _clocks(case)
    )


def _not_yet_valid(case: Case) -> str:
    claims = case.explanation.claims
    ahead = 0.0 if claims is None else claims.not_before - case.explanation.at
    return f"nbf is {span(ahead)} ahead: wait for it, or set it earlier." + _clocks(case)


def _issued_in_future(case: Case) -> str:
    claims = case.explanation.claims
    ahead = 0.0 if claims is None else claims.issued_at - case.explanation.at
    return f"iat is {span(ahead)} ahead: set the signer's clock." + _clocks(case)


def _subject_mismatch(case: Case) -> str:
    claims, played = case.explanation.claims, shown_subject(_played(case.facts))
    own = "" if claims is None else shown_subject(claims.subject)
    return f"The token is for {own!r}, and {played!r} is played: sign one for that."


def _address_unknown(case: Case) -> str:
    if case.facts.address:
        return "--ip is not an address."
    return "Add --ip; a trusted proxy tells it in X-Forwarded-For."


def _country_unknown(case: Case) -> str:
    if case.facts.country:
        return "--country is XX, which stands for none."
    return "Add --country; a trusted proxy tells it in the header of KEYFERRY_COUNTRY_HEADER."


def _blocked(case: Case) -> str:
    claims, facts = case.explanation.claims, case.facts
    rules = () if claims is None else claims.rules
    at = deciding_rule(rules, facts.address, facts.country)
    if at is None:
        return "Sign with other accessRules."
    viewer = {Kind.ANY: "everybody", Kind.ADDRESS: facts.address, Kind.COUNTRY: facts.country}
    return f"Rule {at + 1} blocks {viewer[rules[at].kind]}: sign with other accessRules."


ADVICE: Final[Mapping[Reason, str | Callable[[Case], str]]] = {
    Reason.TOKEN_MISSING: "Send a token in the id's place in the path, or as ?token= or ?jwt=.",
    Reason.TOKEN_TOO_LARGE: "Leave claims out, or shorten them.",
    Reason.TOKEN_MALFORMED: "Pass the whole token, and nothing but it: no Bearer, no quotes.",
    Reason.BASE64_MALFORMED: "Write each part in base64url without padding, and copy all of it.",
    Reason.JSON_MALFORMED: "Write header and payload as one small JSON object each, in UTF-8.",
    Reason.MEMBER_REPEATED: "Write each member once.",
    Reason.HEADER_REFUSED: "Leave these members out of the header.",
    Reason.ALGORITHM_REFUSED: "Sign with RS256 or ES256, whichever the key is for.",
    Reason.KEY_UNNAMED: "Put the key's id into the header, as kid.",
    Reason.KID_MALFORMED: "Put the id that the create answered into kid.",
    Reason.PUB_MALFORMED: "Put the publicKey that the create answered into pub, or use kid.",
    Reason.KEY_UNKNOWN: _key_unknown,
    Reason.KEY_DISABLED: _key_disabled,
    Reason.KEY_DELETED: _key_deleted,
    Reason.ALGORITHM_MISMATCH: _algorithm_mismatch,
    Reason.SIGNATURE_INVALID: _signature_invalid,
    Reason.SUB_MALFORMED: "Put the video's id into sub, as a string.",
    Reason.EXP_MISSING: "Put the end of its life into exp, in seconds since 1970.",
    Reason.EXP_MALFORMED: "Write exp in seconds since 1970.",
    Reason.NBF_MALFORMED: "Write nbf in seconds since 1970, or leave it out.",
    Reason.IAT_MALFORMED: "Write iat in seconds since 1970, or leave it out.",
    Reason.RULES_MALFORMED: "Write accessRules as docs/verification.md has them.",
    Reason.ACTION_REFUSED: 'Set action to "pull", or leave it out.',
    Reason.EXPIRED: _expired,
    Reason.LIFETIME_TOO_LONG: _lifetime_too_long,
    Reason.NOT_YET_VALID: _not_yet_valid,
    Reason.ISSUED_IN_FUTURE: _issued_in_future,
    Reason.NOTHING_PLAYED: "Say what is played: --url or --subject.",
    Reason.PATH_AMBIGUOUS: "Play a URL without dot segments and encoded slashes or dots.",
    Reason.SUBJECT_MISMATCH: _subject_mismatch,
    Reason.DOWNLOAD_REFUSED: 'Sign with "downloadable": true.',
    Reason.ADDRESS_UNKNOWN: _address_unknown,
    Reason.COUNTRY_UNKNOWN: _country_unknown,
    Reason.BLOCKED_ADDRESS: _blocked,
    Reason.BLOCKED_COUNTRY: _blocked,
    Reason.BLOCKED: _blocked,
}


def _played(facts: Facts) -> str:
    if isinstance(facts.subject, str):
        return facts.subject
    return "" if facts.place is None else facts.place.id


def _clocks(case: Case) -> str:
    """Say when this machine's clock is off: the answer of a node with a right one differs."""
    if abs(case.behind) < _NOTABLE:
        return ""
    side = "behind" if case.behind > 0 else "ahead of"
    return f" This machine's clock is {span(abs(case.behind))} {side} the database's."


def _last(events: Sequence[KeyEvent], fits: Callable[[KeyEvent], bool]) -> str:
    """Say when something last happened to a key, if that is on record."""
    moments = [event.at for event in events if fits(event)]
    return f" at {moments[-1].astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if moments else ""


def _detail(event: KeyEvent) -> dict[str, object]:
    detail = None if event.detail is None else json.loads(event.detail)
    return detail if isinstance(detail, dict) else {}
