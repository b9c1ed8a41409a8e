"""The door for programs: POST a token and what is known of the play, and get the whole verdict."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

import httpx2
import pytest

from gateway.verdicts import EXPLANATIONS, Reason
from tests.player import Player, sign
from tests.vectors.forge import PLAYBACK, VIDEO, TestKey


@pytest.fixture(scope="module")
def token(key: TestKey) -> str:
    return sign(key)


def test_every_member(player: Player, key: TestKey) -> None:
    expires = int(time.time()) + 60
    answer = player.explain(token=sign(key, exp=expires + 0.9))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    assert list(answer.json().items()) == [
        ("allowed", True),
        ("reason", "allowed"),
        ("message", EXPLANATIONS[Reason.ALLOWED]),
        ("kid", key.kid),
        ("subject", VIDEO),
        ("expires", expires),
    ]


RULES = [
    {"type": "ip.src", "action": "block", "ip": ["203.0.113.0/24", "2001:db8::/32"]},
    {"type": "ip.geoip.country", "action": "block", "country": ["FR"]},
]

# What is asked beside a token with these rules, for `VIDEO` and without downloads; the reason.
ASKED: list[tuple[dict[str, object], str]] = [
    ({"ip": "192.0.2.1", "country": "DE"}, "allowed"),
    ({"ip": "192.0.2.1", "country": "DE", "subject": VIDEO, "download": False}, "allowed"),
    ({"ip": "192.0.2.1", "country": "FR"}, "blocked_country"),
    ({"ip": "192.0.2.1", "country": "fr"}, "blocked_country"),
    ({"ip": "203.0.113.9", "country": "DE"}, "blocked_address"),
    ({"ip": "::ffff:203.0.113.9", "country": "DE"}, "blocked_address"),
    ({"ip": "2001:DB8::9"}, "blocked_address"),
    ({"ip": "192.0.2.1"}, "country_unknown"),
    ({"country": "DE"}, "address_unknown"),
    ({"ip": "nobody", "country": "DE"}, "address_unknown"),
    ({"ip": "", "country": "DE"}, "address_unknown"),
    ({"subject": PLAYBACK}, "subject_mismatch"),
    ({"subject": ""}, "subject_mismatch"),
    ({"subject": f"/{VIDEO}"}, "subject_mismatch"),
    ({"download": True}, "download_refused"),
]


@pytest.mark.parametrize(("asked", "reason"), ASKED)
def test_what_is_asked(player: Player, key: TestKey, asked: dict[str, object], reason: str) -> None:
    assert player.explain(token=sign(key, accessRules=RULES), **asked).json()["reason"] == reason


def test_what_is_not_asked_is_the_callers_to_compare(player: Player, key: TestKey) -> None:
    told = player.explain(token=sign(key, sub="whatever", downloadable=True)).json()
    assert (told["allowed"], told["subject"]) == (True, "whatever")


def test_the_callers_own_address_is_not_the_viewers(player: Player, key: TestKey) -> None:
    text = sign(key, accessRules=RULES[:1])
    headers = {"X-Forwarded-For": "192.0.2.1"}
    answer = player.http.post(player.verify_url, json={"token": text}, headers=headers)
    assert answer.json()["reason"] == "address_unknown"


BAD_BODIES: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"{", 400),
    (b'{"token":"x"}x', 400),
    (b'{"token":"\xff"}', 400),
    (b'{"token":"\\ud800"}', 400),
    (b"[" * 60_000, 400),
    (b'{"token":1', 400),
    (b'{"token":"x","nested":' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
    (b"null", 422),
    (b"[]", 422),
    (b'"x"', 422),
    (b"{}", 422),
    (b'{"token":null}', 422),
    (b'{"token":1}', 422),
    (b'{"token":["x"]}', 422),
    (b'{"token":"x","subject":null}', 422),
    (b'{"token":"x","subject":7}', 422),
    (b'{"token":"x","ip":4}', 422),
    (b'{"token":"x","country":["DE"]}', 422),
    (b'{"token":"x","download":"yes"}', 422),
    (b'{"token":"x","download":1}', 422),
    (b'{"token":"x","path":"/a"}', 422),
    (b'{"token":"x","":""}', 422),
    (b'{"Token":"x"}', 422),
    (b'{"token":"' + b"x" * 70_000 + b'"}', 413),
]


@pytest.mark.parametrize(("body", "status"), BAD_BODIES)
def test_bad_bodies(player: Player, body: bytes, status: int) -> None:
    answer = player.http.post(player.verify_url, content=body)
    codes = {400: "body_malformed", 413: "body_too_large", 422: "body_invalid"}
    assert (answer.status_code, answer.json()["error"]) == (status, codes[status])
    assert answer.json()["message"]
    assert "x-auth-reason" not in answer.headers


def test_a_message_says_which_member_is_wrong(player: Player) -> None:
    assert "`path`" in player.explain(token="x", path="/").json()["message"]
    assert "`token`" in player.explain(subject="x").json()["message"]
    assert "$.download" in player.explain(token="x", download=0).json()["message"]


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"]
)
def test_any_content_type(player: Player, token: str, kind: str) -> None:
    content = f'{{"token":"{token}"}}'
    headers = {"Content-Type": kind}
    answer = player.http.post(player.verify_url, content=content, headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (200, "allowed")


def test_what_is_an_edges_question(player: Player, token: str) -> None:
    """A URL is said, or the method is not POST: then the body is the viewer's and not looked at."""
    content = f'{{"token":"{token}"}}'.encode()
    for headers in ([("X-Original-URI", "/a")], [("X-Forwarded-Uri", "/a")]):
        answer = player.ask(None, headers, method="POST", content=content)
        assert (answer.status_code, answer.headers["x-auth-reason"]) == (401, "token_missing")
    for method, rest in (("POST", "/"), ("POST", "/a"), ("PUT", ""), ("GET", "")):
        answer = player.ask(method=method, rest=rest, content=content)
        assert (answer.status_code, answer.headers["x-auth-reason"]) == (401, "token_missing")


def test_accounts(player: Player, key: TestKey, token: str) -> None:
    def ask(account: str) -> httpx2.Response:
        url = f"{player.tenant.url}/accounts/{account}/verify"
        return player.http.post(url, json={"token": token})

    account = player.tenant.account_id
    assert ask(str(UUID(account)).upper()).json()["kid"] == key.kid
    for stranger in (player.other().tenant.account_id, uuid4().hex):
        answer = ask(stranger)
        assert (answer.status_code, answer.json()["reason"]) == (200, "key_unknown")
        assert "kid" not in answer.json()
    for unreadable in ("x", account[:-1], account + "0", f"{account[:8]}-{account[8:]}"):
        answer = ask(unreadable)
        assert (answer.status_code, answer.json()["error"]) == (404, "route_unknown")
