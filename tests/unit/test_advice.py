"""Advice on what would make a token play: for every reason, in sentences without the token."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings

from gateway.cli.advice import ADVICE, Case, advise, span
from gateway.cli.explained import explained_document, explained_text
from gateway.cli.output import Entry
from gateway.explain import Explainer
from gateway.model import KeyEvent
from gateway.plays import Policy
from gateway.verdicts import Facts, Reason
from tests.unit.test_explain import HOSTILE
from tests.unit.test_tokens import VECTORS, facts_of
from tests.vectors.forge import ACCOUNTS, CLOCK, KEYS, token
from tests.vectors.ring import Ring


def case_of(
    text: str | None, facts: Facts, *, account: str = "own", at: float = CLOCK, **known: Any
) -> Case:
    explainer = Explainer(Ring(), lambda: at, Policy())
    explanation = asyncio.run(explainer.explain(ACCOUNTS[account], text, facts))
    return Case(explanation, facts, explainer.policy, **known)


def advice(text: str | None, facts: Facts, **known: Any) -> str:
    """Return what is advised of a token with one fault."""
    case = case_of(text, facts, **known)
    [found] = [advise(step.reason, case) for step in case.explanation.steps if step.reason]
    return found


def plain(document: Entry) -> str:
    """Return an explanation for people without the colours that are ours."""
    return re.sub(r"\x1b\[(?:0|31|32)m", "", explained_text(document))


def event(action: str, detail: str | None = None, hour: int = 12) -> KeyEvent:
    at = datetime(2026, 11, 26, hour, 30, tzinfo=UTC)
    return KeyEvent(at, action, detail, None, "cloudflare", "r", None)


def test_there_is_advice_for_every_refusal() -> None:
    assert set(ADVICE) == set(Reason) - {Reason.ALLOWED}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"][:60])
def test_it_is_a_sentence_without_the_token(vector: dict[str, Any]) -> None:
    text = vector["token"]
    case = case_of(text, facts_of(vector["facts"]), account=vector["account"], at=vector["at"])
    document = explained_document(case)
    shown = plain(document)
    for check in document["checks"]:
        assert (check["advice"] is None) is (check["result"] != "failed")
        assert check["advice"] is None or check["advice"].endswith(".")
    assert json.loads(json.dumps(document)) == document
    assert all(mark.isprintable() or mark == "\n" for mark in shown)
    if len(text) > 40:
        assert text not in shown + json.dumps(document)


PLAY = Facts(subject="video", address="192.0.2.1", country="DE")
BLOCK = {"type": "any", "action": "block"}
PROXY = {"type": "ip.src", "action": "block", "ip": ["192.0.2.0/24"]}

# What a token says, what else is known, and what is advised.
SAID: list[tuple[dict[str, object], dict[str, Any], str]] = [
    ({"exp": CLOCK - 180}, {}, "The token expired 3 minutes ago: sign a new one."),
    (
        {"exp": CLOCK - 180},
        {"behind": -90.0},
        "The token expired 3 minutes ago: sign a new one. "
        "This machine's clock is 90 seconds ahead of the database's.",
    ),
    (
        {"exp": CLOCK + 30 * 86_400},
        {},
        "exp is 30 days ahead: sign with at most 7 days, or raise KEYFERRY_MAX_LIFETIME.",
    ),
    (
        {"nbf": CLOCK + 7200},
        {"behind": 7200.5},
        "nbf is 2 hours ahead: wait for it, or set it earlier. "
        "This machine's clock is 2 hours behind the database's.",
    ),
    ({"iat": CLOCK + 40}, {"behind": 0.5}, "iat is 40 seconds ahead: set the signer's clock."),
    ({"sub": "a"}, {}, "The token is for 'a', and 'video' is played: sign one for that."),
    (
        {"sub": "\x1b[2J"},
        {},
        "The token is for '\ufffd[2J', and 'video' is played: sign one for that.",
    ),
    (
        {"accessRules": [PROXY, BLOCK]},
        {},
        "Rule 1 blocks 192.0.2.1: sign with other accessRules.",
    ),
    ({"accessRules": [BLOCK]}, {}, "Rule 1 blocks everybody: sign with other accessRules."),
]


@pytest.mark.parametrize(("claims", "known", "advised"), SAID)
def test_it_says_by_how_much_a_token_fails(
    claims: dict[str, object], known: dict[str, Any], advised: str
) -> None:
    assert advice(token(**({"sub": "video"} | claims)), PLAY, **known) == advised


def test_it_says_when_a_key_was_lost() -> None:
    events = [event("created"), event("updated", '{"name": "x"}')]
    gone = token(KEYS["rsa_deleted"])
    assert advice(gone, PLAY, events=[*events, event("deleted", hour=13)]) == (
        "This key was deleted at 2026-11-26T13:30:00Z, permanently: sign with another one."
    )
    assert advice(gone, PLAY).startswith("This key was deleted, permanently")
    off = token(KEYS["rsa_disabled"])
    states = [
        event("updated", '{"disabled": true}', 14),
        event("updated", '{"disabled": true}', 15),
    ]
    assert advice(off, PLAY, events=[*events, *states]) == (
        "This key was disabled at 2026-11-26T15:30:00Z: enable it, or sign with another one."
    )


def test_it_names_the_account_that_has_the_key() -> None:
    found = advice(token(), PLAY, account="foreign")
    assert found == f"The key is of another account: ask with --account {ACCOUNTS['own']}."


@pytest.mark.parametrize(
    ("facts", "advised"),
    [
        (Facts(subject="video"), "Add --ip; a trusted proxy tells it in X-Forwarded-For."),
        (Facts(subject="video", address="localhost"), "--ip is not an address."),
    ],
)
def test_it_asks_for_what_a_rule_needs(facts: Facts, advised: str) -> None:
    assert advice(token(sub="video", accessRules=[PROXY]), facts) == advised


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a second"),
        (0.4, "less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (180, "3 minutes"),
        (3600, "1 hour"),
        (5400, "90 minutes"),
        (86_400, "1 day"),
        (36 * 3600, "36 hours"),
        (9 * 86_400, "9 days"),
    ],
)
def test_it_tells_a_length_of_time_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words


@settings(max_examples=200, deadline=None)
@given(token=HOSTILE)
def test_it_has_advice_for_whatever_is_sent(token: str) -> None:
    document = explained_document(case_of(token, PLAY))
    shown = plain(document)
    assert all(mark.isprintable() or mark == "\n" for mark in shown)
    assert json.dumps(document).encode("ascii")
