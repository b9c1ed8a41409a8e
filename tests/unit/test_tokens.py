"""The Verifier against its vectors, and what vectors cannot say: memory, state and time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import jws
from gateway.errors import Code, GatewayError
from gateway.place import read_place, read_prefixes
from gateway.plays import Policy
from gateway.tokens import KeyStatus, Unchecked, Verifier, sign_token
from gateway.verdicts import ANY_SUBJECT, EXPLANATIONS, Facts, Reason, Verdict
from tests.vectors import make
from tests.vectors.forge import ACCOUNTS, CLOCK, EC, KEYS, RSA, VIDEO, payload_of, token
from tests.vectors.ring import Ring

OWN = ACCOUNTS["own"]
PLAY = Facts(subject=VIDEO)


def load(name: str) -> list[dict[str, Any]]:
    path = Path(make.__file__).with_name(f"{name}.json")
    vectors: list[dict[str, Any]] = json.loads(path.read_text())["vectors"]
    return vectors


VECTORS = [vector for family in make.FAMILIES for vector in load(family)]


def facts_of(told: dict[str, Any]) -> Facts:
    """Return what a vector says of a play: a path is read with the prefixes that it adds."""
    told = dict(told)
    prefixes = read_prefixes(told.pop("prefixes", ""))
    path = told.pop("path", None)
    return Facts(**told, place=None if path is None else read_place(path, prefixes))


class Desk:
    """A Verifier with a keyring and a clock that tests turn."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.now = float(CLOCK)
        self.ring = Ring()
        self.verifier = Verifier(self.ring, lambda: self.now, policy or Policy())

    async def ask(self, text: str, facts: Facts = PLAY, account: str = "own") -> Verdict:
        return await self.verifier.verify(ACCOUNTS[account], text, facts)

    def ask_memory(self, account: UUID, text: str, facts: Facts) -> Verdict | None:
        found = self.verifier.verify_warm(account, text, facts)
        return found.verdict(found.check()) if isinstance(found, Unchecked) else found

    async def reason(self, text: str, facts: Facts = PLAY) -> Reason:
        return (await self.ask(text, facts)).reason


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture(scope="module")
def used() -> Desk:
    """One that has seen every vector before, so that its memory is asked as well."""
    return Desk(Policy(memo_entries=100_000))


# --- vectors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("family", make.FAMILIES)
def test_vector_files_are_what_the_generator_writes(family: str) -> None:
    path = Path(make.__file__).with_name(f"{family}.json")
    assert path.read_text() == make.render(family)


def test_there_are_enough_vectors_and_no_two_of_one_name() -> None:
    names = [vector["name"] for vector in VECTORS]
    assert len(names) == len(set(names))
    assert len(names) >= 150


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_an_explanation(reason: Reason) -> None:
    assert EXPLANATIONS[reason].endswith(".")


def test_every_reason_has_a_vector() -> None:
    given_by_doors = {Reason.TOKEN_MISSING}  # there is no token to make a vector of
    assert {vector["reason"] for vector in VECTORS} == set(Reason) - given_by_doors


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"][:60])
async def test_vector_gets_its_verdict_cold_warm_and_again(
    vector: dict[str, Any], desk: Desk, used: Desk
) -> None:
    account, facts = ACCOUNTS[vector["account"]], facts_of(vector["facts"])
    desk.now = used.now = vector["at"]
    desk.ring.warm = False
    cold = await desk.verifier.verify(account, vector["token"], facts)
    warm = used.ask_memory(account, vector["token"], facts)
    again = used.ask_memory(account, vector["token"], facts)
    assert cold.reason == vector["reason"]
    assert cold == warm == again
    assert cold.allowed is (vector["reason"] == "allowed")


# --- what a verdict tells --------------------------------------------------------------------


async def test_verdict_tells_key_subject_and_end(desk: Desk) -> None:
    verdict = await desk.ask(token())
    assert verdict == Verdict(Reason.ALLOWED, RSA.id, VIDEO, CLOCK + 3600)
    assert verdict.allowed
    assert verdict.message == EXPLANATIONS[Reason.ALLOWED]


async def test_refusal_tells_what_is_known_and_nothing_unverified(desk: Desk) -> None:
    expired = token(exp=CLOCK - 60)
    head, _, signature = expired.partition(".")[2].rpartition(".")
    forged = f"{expired.partition('.')[0]}.{head}.A{signature[1:]}"
    assert await desk.ask(expired) == Verdict(Reason.EXPIRED, RSA.id, VIDEO, CLOCK - 60)
    assert await desk.ask(forged) == Verdict(Reason.SIGNATURE_INVALID, RSA.id)
    assert await desk.ask(token(exp="soon")) == Verdict(Reason.EXP_MALFORMED, RSA.id)
    deleted = KEYS["rsa_deleted"]
    assert await desk.ask(token(deleted)) == Verdict(Reason.KEY_DELETED, deleted.id)
    assert await desk.ask(token(deleted), account="foreign") == Verdict(Reason.KEY_UNKNOWN)
    assert await desk.ask("a.b") == Verdict(Reason.TOKEN_MALFORMED)


async def test_any_subject_must_be_asked_for(desk: Desk) -> None:
    assert await desk.reason(token(), Facts()) is Reason.NOTHING_PLAYED
    verdict = await desk.ask(token(sub="whatever"), Facts(subject=ANY_SUBJECT))
    assert (verdict.allowed, verdict.subject) == (True, "whatever")


# --- memory never outlives what it was made from -----------------------------------------------


async def test_token_seen_before_skips_the_arithmetic_only(desk: Desk) -> None:
    text = token(accessRules=[{"type": "ip.src", "action": "block", "ip": ["192.0.2.1"]}])
    fine = PLAY._replace(address="192.0.2.2")
    assert await desk.reason(text, fine) is Reason.ALLOWED
    break_arithmetic(desk)
    assert await desk.reason(text, fine) is Reason.ALLOWED
    assert await desk.reason(token(), fine) is Reason.SIGNATURE_INVALID
    assert await desk.reason(text, fine._replace(address="192.0.2.1")) is Reason.BLOCKED_ADDRESS
    assert await desk.reason(text, fine._replace(subject="x")) is Reason.SUBJECT_MISMATCH
    assert await desk.reason(text, fine._replace(download=True)) is Reason.DOWNLOAD_REFUSED
    assert (await desk.ask(text, fine, "foreign")).reason is Reason.KEY_UNKNOWN
    desk.now += 3606
    assert await desk.reason(text, fine) is Reason.EXPIRED


def break_arithmetic(desk: Desk) -> None:
    for key_id, key in desk.ring.keys.items():
        desk.ring.keys[key_id] = replace(key, verify=lambda _signature, _data: False)


@pytest.mark.parametrize("key", [RSA, EC], ids=["RS256", "ES256"])
async def test_key_state_counts_for_tokens_seen_before(desk: Desk, key: Any) -> None:
    text = token(key)
    assert await desk.reason(text) is Reason.ALLOWED
    desk.ring.turn(key.id, KeyStatus.DISABLED)
    assert await desk.reason(text) is Reason.KEY_DISABLED
    desk.ring.turn(key.id, KeyStatus.LIVE)
    assert await desk.reason(text) is Reason.ALLOWED
    desk.ring.turn(key.id, KeyStatus.DELETED)
    assert await desk.reason(text) is Reason.KEY_DELETED
    del desk.ring.ids[key.id]
    assert await desk.reason(text) is Reason.KEY_UNKNOWN


async def test_new_generation_means_new_arithmetic(desk: Desk) -> None:
    text = token()
    assert await desk.reason(text) is Reason.ALLOWED
    break_arithmetic(desk)
    assert await desk.reason(text) is Reason.ALLOWED
    desk.ring.turn(RSA.id, KeyStatus.LIVE)
    assert await desk.reason(text) is Reason.SIGNATURE_INVALID


async def test_untrusted_memory_asks_and_says_when_it_cannot(desk: Desk) -> None:
    text = token()
    assert await desk.reason(text) is Reason.ALLOWED
    assert desk.ring.finds == 0
    desk.ring.warm = False
    assert desk.ask_memory(OWN, text, PLAY) is None
    assert await desk.reason(text) is Reason.ALLOWED
    assert desk.ring.finds == 1
    desk.ring.away = GatewayError(Code.UNAVAILABLE, "the database does not answer")
    with pytest.raises(GatewayError) as caught:
        await desk.ask(text)
    assert caught.value.code is Code.UNAVAILABLE
    assert await desk.reason("not a token") is Reason.TOKEN_MALFORMED


async def test_refused_tokens_are_not_remembered(desk: Desk) -> None:
    stranger = KEYS["rsa_nowhere"]
    for text in (token(stranger), token(exp="soon"), token()[:-4] + "AAAA", "a.b.c"):
        assert not (await desk.ask(text)).allowed
    assert len(desk.verifier._memo) == 0


async def test_memory_is_bounded_and_optional() -> None:
    small, none = Desk(Policy(memo_entries=4)), Desk(Policy(memo_entries=0))
    for serial in range(12):
        text = token(EC, jti=serial)
        for desk in (small, none):
            assert await desk.reason(text) is Reason.ALLOWED
            assert await desk.reason(text) is Reason.ALLOWED
    assert len(small.verifier._memo) <= 4
    assert len(none.verifier._memo) == 0


async def test_policy_is_the_deployments(desk: Desk) -> None:
    strict = Desk(Policy(leeway=0, max_lifetime=86_400))
    assert await strict.reason(token(exp=CLOCK + 86_400)) is Reason.ALLOWED
    assert await strict.reason(token(exp=CLOCK + 86_401)) is Reason.LIFETIME_TOO_LONG
    assert await desk.reason(token(exp=CLOCK + 86_401)) is Reason.ALLOWED
    assert await strict.reason(token(exp=CLOCK)) is Reason.EXPIRED
    assert await strict.reason(token(iat=CLOCK + 1)) is Reason.ISSUED_IN_FUTURE


claims = st.sampled_from(["sub", "exp", "nbf", "iat", "accessRules", "kid", "pub", "action"])
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "action", "ip", "country"]), inner)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.dictionaries(claims, junk, max_size=2), st.text(), st.text(), st.text())
async def test_any_signed_payload_gets_a_verdict(
    changes: dict[str, Any], path: str, address: str, country: str
) -> None:
    header = {"alg": "ES256", "kid": EC.kid}
    text = jws.encode(header, payload_of(**changes), EC.sign)
    for facts in (
        PLAY,
        Facts(place=read_place(path), address=address, country=country, download=True),
    ):
        verdict = await Desk().ask(text, facts)
        assert verdict.allowed is (verdict.reason is Reason.ALLOWED)


# --- minting -----------------------------------------------------------------------------------


async def test_minted_token_is_let_in(desk: Desk) -> None:
    text = sign_token({"alg": "RS256", "kid": RSA.kid}, payload_of(), RSA.sign)
    assert await desk.reason(text) is Reason.ALLOWED
    assert text == token()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (payload_of(exp="soon"), Reason.EXP_MALFORMED),
        (payload_of(sub=""), Reason.SUB_MALFORMED),
        (payload_of(sub="\ud800"), Reason.JSON_MALFORMED),
        (payload_of(accessRules=[{}]), Reason.RULES_MALFORMED),
        (payload_of(custom="x" * 8192), Reason.TOKEN_TOO_LARGE),
        (payload_of(exp=10**400), Reason.EXP_MALFORMED),
    ],
)
def test_nothing_is_minted_that_would_be_refused(
    payload: dict[str, object], reason: Reason
) -> None:
    with pytest.raises(GatewayError) as caught:
        sign_token({"alg": "RS256", "kid": RSA.kid}, payload, RSA.sign)
    assert caught.value.code is Code.BODY_INVALID
    assert caught.value.message == EXPLANATIONS[reason]
