"""An explanation is the Verifier's own verdict, and lists its checks in the order it makes them."""

from __future__ import annotations

import asyncio
from itertools import combinations
from typing import Any, Final
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.explain import CHECK_OF, CHECKS, Explainer, Explanation, Result
from gateway.place import AMBIGUOUS
from gateway.plays import Policy
from gateway.tokens import Verifier
from gateway.verdicts import EXPLANATIONS, Facts, Reason
from tests.unit.test_tokens import VECTORS, facts_of
from tests.vectors.forge import ACCOUNTS, CLOCK, EC, KEYS, RSA, VIDEO, assemble, payload_of
from tests.vectors.ring import Ring

DAY: Final = 86_400
PLAY: Final = Facts(subject=VIDEO, address="192.0.2.1", country="DE")


def explain(
    token: str | None, facts: Facts, account: str = "own", at: float = CLOCK
) -> Explanation:
    explainer = Explainer(Ring(), lambda: at, Policy())
    return asyncio.run(explainer.explain(ACCOUNTS[account], token, facts))


def failed(explanation: Explanation) -> list[Reason]:
    return [step.reason for step in explanation.steps if step.reason is not None]


def test_every_reason_but_one_belongs_to_one_check_in_order() -> None:
    assert [reason for check in CHECKS for reason in check.reasons] == list(Reason)[1:]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"][:60])
def test_it_agrees_with_the_verifier(vector: dict[str, Any]) -> None:
    account, facts, token = vector["account"], facts_of(vector["facts"]), vector["token"]
    verifier = Verifier(Ring(), lambda: float(vector["at"]), Policy())
    verdict = asyncio.run(verifier.verify(ACCOUNTS[account], token, facts))
    explanation = explain(token, facts, account, vector["at"])
    assert explanation.verdict == verdict
    assert [step.check for step in explanation.steps] == list(CHECKS)
    assert failed(explanation)[:1] == ([] if verdict.allowed else [verdict.reason])
    at = len(CHECKS) if verdict.allowed else CHECKS.index(CHECK_OF[verdict.reason])
    assert {step.result for step in explanation.steps[:at]} <= {Result.OK}
    if at < CHECKS.index(CHECK_OF[Reason.EXPIRED]):
        assert {step.result for step in explanation.steps[at + 1 :]} == {Result.NOT_REACHED}
    else:
        assert Result.NOT_REACHED not in {step.result for step in explanation.steps}
    for step in explanation.steps:
        assert step.message == (EXPLANATIONS[step.reason] if step.reason else step.check.promise)


# Faults that one token can have together, in the order in which they are looked for. Each changes
# the parts of a token: its header, its payload, the key that signs, and the play.
FAULTS: Final[dict[Reason, dict[str, Any]]] = {
    Reason.TOKEN_TOO_LARGE: {"payload": {"custom": "x" * 9000}},
    Reason.HEADER_REFUSED: {"header": {"crit": []}},
    Reason.ALGORITHM_REFUSED: {"header": {"alg": "HS256"}},
    Reason.KID_MALFORMED: {"header": {"kid": "mine"}},
    Reason.KEY_UNKNOWN: {"header": {"kid": uuid4().hex}},
    Reason.KEY_DELETED: {"header": {"kid": KEYS["rsa_deleted"].kid}},
    Reason.ALGORITHM_MISMATCH: {"header": {"kid": EC.kid}},
    Reason.SIGNATURE_INVALID: {"key": KEYS["rsa_deleted"]},
    Reason.SUB_MALFORMED: {"payload": {"sub": ""}},
    Reason.EXP_MISSING: {"payload": {"exp": ...}},
    Reason.NBF_MALFORMED: {"payload": {"nbf": "soon"}},
    Reason.IAT_MALFORMED: {"payload": {"iat": None}},
    Reason.RULES_MALFORMED: {"payload": {"accessRules": "all"}},
    Reason.ACTION_REFUSED: {"payload": {"action": "push"}},
    Reason.EXPIRED: {"payload": {"exp": CLOCK - 60}},
    Reason.LIFETIME_TOO_LONG: {"payload": {"exp": CLOCK + 30 * DAY}},
    Reason.NOT_YET_VALID: {"payload": {"nbf": CLOCK + 60}},
    Reason.ISSUED_IN_FUTURE: {"payload": {"iat": CLOCK + 60}},
    Reason.SUBJECT_MISMATCH: {"facts": {"subject": "another"}},
    Reason.DOWNLOAD_REFUSED: {"facts": {"download": True}},
    Reason.BLOCKED: {"payload": {"accessRules": [{"type": "any", "action": "block"}]}},
}


def parts(fault: Reason) -> set[tuple[str, str]]:
    """Which members a fault changes; two that change the same one cannot be had together."""
    return {
        (part, name)
        for part, changes in FAULTS[fault].items()
        for name in (changes if isinstance(changes, dict) else ["it"])
    }


def with_faults(*faults: Reason) -> Explanation:
    changes: dict[str, Any] = {"header": {}, "payload": {}, "facts": {}, "key": RSA}
    for fault in faults:
        for part, change in FAULTS[fault].items():
            changes[part] = change if part == "key" else changes[part] | change
    header = {"alg": "RS256", "kid": RSA.kid, **changes["header"]}
    token = assemble(header, payload_of(**changes["payload"]), changes["key"].sign)
    return explain(token, PLAY._replace(**changes["facts"]))


PAIRS = [pair for pair in combinations(FAULTS, 2) if not parts(pair[0]) & parts(pair[1])]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_it_tells_the_first_of_two_faults_and_both_of_a_play(pair: tuple[Reason, Reason]) -> None:
    explanation = with_faults(*pair)
    assert explanation.verdict.reason is pair[0]
    ended = CHECKS.index(CHECK_OF[pair[0]]) < CHECKS.index(CHECK_OF[Reason.EXPIRED])
    assert failed(explanation) == ([pair[0]] if ended else list(pair))


def test_it_tells_of_a_play_without_a_token() -> None:
    explanation = explain(None, PLAY)
    assert failed(explanation) == [explanation.verdict.reason] == [Reason.TOKEN_MISSING]
    assert explanation.steps[1].result is Result.NOT_REACHED
    explanation = explain(None, Facts(place=AMBIGUOUS))
    assert failed(explanation) == [explanation.verdict.reason] == [Reason.PATH_AMBIGUOUS]
    assert {step.result for step in explanation.steps[1:]} == {Result.NOT_REACHED}


def test_it_finds_the_key_of_another_account_for_operators_alone() -> None:
    explanation = explain(VECTORS[0]["token"], PLAY, "foreign")
    assert explanation.verdict.reason is Reason.KEY_UNKNOWN
    assert explanation.verdict.key is None
    assert explanation.key is not None
    assert explanation.key.account_id == ACCOUNTS["own"]


BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
HOSTILE = st.one_of(
    st.text(max_size=200),
    st.lists(st.text(BASE64URL, max_size=80), min_size=2, max_size=4).map(".".join),
    st.builds(
        lambda header, payload: assemble(header, payload, lambda _: b"signature"),
        *[st.one_of(st.binary(max_size=80), st.dictionaries(st.text(), st.integers() | st.text()))]
        * 2,
    ),
)


@settings(max_examples=300, deadline=None)
@given(token=HOSTILE)
def test_it_has_an_explanation_for_whatever_is_sent(token: str) -> None:
    explanation = explain(token, PLAY)
    assert not explanation.verdict.allowed
    assert failed(explanation) == [explanation.verdict.reason]
