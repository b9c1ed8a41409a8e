"""Every reason, as an edge and as a program is told it: status, words, and what else is known."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from gateway.verdicts import EXPLANATIONS, Reason
from tests.player import Player, sign
from tests.vectors.forge import PLAYBACK, VIDEO, TestKey, assemble, b64, compact, header_of

NOW = int(time.time())
DAY = 86_400
RULES = [{"type": "ip.src", "action": "block", "ip": ["203.0.113.9"]}]
COUNTRIES = [{"type": "ip.geoip.country", "action": "block", "country": ["FR"]}]
VIEWER, FRANCE = ("X-Forwarded-For", "203.0.113.9"), ("CF-IPCountry", "FR")


@dataclass(frozen=True)
class Case:
    """A token that is refused, how an edge asks about it, and the status that it gets."""

    status: int
    token: Callable[[TestKey], str]
    url: str | None = f"/{VIDEO}/index.m3u8"
    headers: Sequence[tuple[str, str]] = ()
    asked: dict[str, Any] | None = field(default_factory=dict)  # by a program, if it can be


def claims(**payload: object) -> Callable[[TestKey], str]:
    return lambda key: sign(key, **payload)


def header(**more: object) -> Callable[[TestKey], str]:
    return lambda key: sign(key, header_of(key, **more))


def repeated(key: TestKey) -> str:
    payload = compact({"sub": VIDEO, "exp": NOW + 60})
    return assemble(header_of(key), payload[:-1] + b',"sub":"x"}', key.sign)


CASES: dict[Reason, Case] = {
    Reason.ALLOWED: Case(200, claims()),
    Reason.TOKEN_MISSING: Case(401, lambda _: "", asked=None),
    Reason.TOKEN_TOO_LARGE: Case(401, lambda key: sign(key, custom="x" * 8000)),
    Reason.TOKEN_MALFORMED: Case(401, lambda _: "a.b"),
    Reason.BASE64_MALFORMED: Case(401, lambda key: sign(key) + "="),
    Reason.JSON_MALFORMED: Case(401, lambda key: assemble(header_of(key), [], key.sign)),
    Reason.MEMBER_REPEATED: Case(401, repeated),
    Reason.HEADER_REFUSED: Case(401, header(crit=["exp"])),
    Reason.ALGORITHM_REFUSED: Case(401, header(alg="none")),
    Reason.KEY_UNNAMED: Case(401, lambda key: sign(key, {"alg": "RS256"})),
    Reason.KID_MALFORMED: Case(401, header(kid="x")),
    Reason.PUB_MALFORMED: Case(401, lambda key: sign(key, {"alg": "RS256"}, pub="x")),
    Reason.KEY_UNKNOWN: Case(401, header(kid=uuid4().hex)),
    Reason.KEY_DISABLED: Case(403, claims()),
    Reason.KEY_DELETED: Case(403, claims()),
    Reason.ALGORITHM_MISMATCH: Case(401, header(alg="ES256")),
    Reason.SIGNATURE_INVALID: Case(
        401, lambda key: sign(key).rpartition(".")[0] + "." + b64(b"\1" * 256)
    ),
    Reason.SUB_MALFORMED: Case(401, claims(sub="")),
    Reason.EXP_MISSING: Case(401, claims(exp=...)),
    Reason.EXP_MALFORMED: Case(401, claims(exp=NOW * 1000)),
    Reason.NBF_MALFORMED: Case(401, claims(nbf="soon")),
    Reason.IAT_MALFORMED: Case(401, claims(iat=True)),
    Reason.RULES_MALFORMED: Case(401, claims(accessRules=[{"type": "ip.src"}])),
    Reason.ACTION_REFUSED: Case(403, claims(action="push")),
    Reason.EXPIRED: Case(401, claims(exp=NOW - 60)),
    Reason.LIFETIME_TOO_LONG: Case(403, claims(exp=NOW + 8 * DAY)),
    Reason.NOT_YET_VALID: Case(401, claims(nbf=NOW + 1800)),
    Reason.ISSUED_IN_FUTURE: Case(401, claims(iat=NOW + 1800)),
    Reason.NOTHING_PLAYED: Case(403, claims(), url=None, asked=None),
    Reason.PATH_AMBIGUOUS: Case(403, claims(), url=f"/a/../{VIDEO}/index.m3u8", asked=None),
    Reason.SUBJECT_MISMATCH: Case(
        403, claims(), url=f"/{PLAYBACK}/index.m3u8", asked={"subject": PLAYBACK}
    ),
    Reason.DOWNLOAD_REFUSED: Case(
        403, claims(), url=f"/{VIDEO}/downloads/default.mp4", asked={"download": True}
    ),
    Reason.ADDRESS_UNKNOWN: Case(403, claims(accessRules=RULES)),
    Reason.COUNTRY_UNKNOWN: Case(403, claims(accessRules=COUNTRIES)),
    Reason.BLOCKED_ADDRESS: Case(
        403, claims(accessRules=RULES), headers=[VIEWER], asked={"ip": "203.0.113.9"}
    ),
    Reason.BLOCKED_COUNTRY: Case(
        403, claims(accessRules=COUNTRIES), headers=[FRANCE], asked={"country": "FR"}
    ),
    Reason.BLOCKED: Case(403, claims(accessRules=[{"type": "any", "action": "block"}])),
}


@pytest.fixture(scope="module")
def keys(player: Player) -> dict[Reason, TestKey]:
    """The keys of the cases that need one in another state."""
    disabled, deleted = player.make_livepeer_key(), player.make_key()
    player.disable(disabled)
    player.delete(deleted)
    return {Reason.KEY_DISABLED: disabled, Reason.KEY_DELETED: deleted}


def test_every_reason_has_a_case_and_an_explanation() -> None:
    assert list(CASES) == list(EXPLANATIONS) == list(Reason)
    assert len(set(EXPLANATIONS.values())) == len(Reason)
    for text in EXPLANATIONS.values():
        assert text.endswith(".")
        assert text[0].isupper()


@pytest.mark.parametrize("reason", Reason)
def test_an_edge_is_told(
    equipped: Player, key: TestKey, keys: dict[Reason, TestKey], reason: Reason
) -> None:
    case = CASES[reason]
    token = ("Livepeer-Jwt", case.token(keys.get(reason, key)))
    answer = equipped.ask(case.url, [token, *case.headers])
    assert answer.headers["x-auth-reason"] == reason
    assert answer.status_code == case.status
    assert (answer.content, answer.headers["content-length"]) == (b"", "0")


@pytest.mark.parametrize(
    "reason", [reason for reason, case in CASES.items() if case.asked is not None]
)
def test_a_program_is_told(
    equipped: Player, key: TestKey, keys: dict[Reason, TestKey], reason: Reason
) -> None:
    case, key = CASES[reason], keys.get(reason, key)
    answer = equipped.explain(token=case.token(key), **(case.asked or {}))
    assert answer.status_code == 200
    told = answer.json()
    assert told.pop("reason") == reason
    assert told.pop("allowed") is (reason is Reason.ALLOWED)
    assert told.pop("message") == EXPLANATIONS[reason]
    order = list(Reason)
    if order.index(reason) > order.index(Reason.KEY_UNKNOWN) or reason is Reason.ALLOWED:
        assert told.pop("kid") == key.kid
    if order.index(reason) > order.index(Reason.ACTION_REFUSED) or reason is Reason.ALLOWED:
        assert told.pop("subject") == VIDEO
        assert isinstance(told.pop("expires"), int)
    assert told == {}
