"""What minted tokens say, what can be wished for, and that they play as wished."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from tests.conformance.case import compact
from tests.minting import claims_of, refused, texts_of, token_in
from tests.player import Player
from tests.vectors.forge import VIDEO

HOUR, DAY = 3600, 86_400


@pytest.fixture(scope="module")
def made(player: Player) -> dict[str, str]:
    """A key as Cloudflare's door handed it out."""
    return player.make()


@pytest.fixture(scope="module")
def own(made: dict[str, str]) -> dict[str, str]:
    """What is sent along of it."""
    return {"id": made["id"], "pem": made["pem"]}


def test_a_token_without_wishes(player: Player, own: dict[str, str]) -> None:
    before = int(time.time())
    answer = player.mint(own)
    after = int(time.time())
    token = token_in(answer)
    header, payload = texts_of(token)
    assert header == compact({"alg": "RS256", "kid": own["id"]})
    claims = claims_of(token)
    assert payload == compact({name: claims[name] for name in ("sub", "kid", "exp", "nbf")})
    assert (claims["sub"], claims["kid"]) == (VIDEO, own["id"])
    assert before + HOUR <= int(claims["exp"]) <= after + HOUR
    assert before - HOUR <= int(claims["nbf"]) <= after - HOUR
    assert isinstance(claims["exp"], str)
    assert isinstance(claims["nbf"], str)
    assert answer.headers["cache-control"] == "no-store"


def test_a_token_with_every_wish(player: Player, own: dict[str, str]) -> None:
    now = int(time.time())
    rules = [{"type": "any", "action": "allow"}]
    wishes: dict[str, Any] = {
        "flags": {"original": True},
        "accessRules": rules,
        "downloadable": True,
        "nbf": now - 60,
        "exp": now + 60,
    }
    _, payload = texts_of(token_in(player.mint({**own, **wishes, "unknown": 1})))
    times = {"exp": str(now + 60), "nbf": str(now - 60)}
    optional = {"downloadable": True, "accessRules": rules, "flags": {"original": True}}
    assert payload == compact({"sub": VIDEO, "kid": own["id"], **times, **optional})


def test_what_is_said_emptily_is_kept(player: Player, own: dict[str, str]) -> None:
    token = token_in(player.mint({**own, "downloadable": False, "accessRules": [], "flags": {}}))
    claims = claims_of(token)
    assert (claims["downloadable"], claims["accessRules"], claims["flags"]) == (False, [], {})
    assert player.ask(f"/{token}/downloads/default.mp4").status_code == 403


def test_it_plays_as_wished(player: Player, own: dict[str, str]) -> None:
    plain, downloadable = (
        token_in(player.mint({**own, **wish})) for wish in ({}, {"downloadable": True})
    )
    for token in (plain, downloadable):
        assert player.ask(f"/{token}/manifest/video.m3u8").status_code == 200
        assert player.play(token) == "allowed"
    assert player.ask(f"/{plain}/downloads/default.mp4").status_code == 403
    assert player.ask(f"/{downloadable}/downloads/default.mp4").status_code == 200
    rules = [{"type": "ip.src", "action": "block", "ip": ["203.0.113.0/24"]}]
    ruled = token_in(player.mint({**own, "accessRules": rules}))
    for address, reason in (("203.0.113.9", "blocked_address"), ("192.0.2.1", "allowed")):
        assert player.play(ruled, [("X-Forwarded-For", address)]) == reason
    soon = token_in(player.mint({**own, "nbf": int(time.time()) + 600}))
    assert player.play(soon) == "not_yet_valid"


def test_other_libraries_take_it(player: Player, own: dict[str, str], made: dict[str, str]) -> None:
    token = token_in(player.mint(own))
    public = player.fetch(f"/keys/{made['id']}.pem").content
    assert jwt.decode(token, public, ["RS256"])["sub"] == VIDEO


@pytest.mark.parametrize(
    ("spelled", "video"),
    [
        ("my-video", "my-video"),
        ("%C3%A9t%C3%A9", "été"),
        ("%2541", "%41"),
        ("x" * 256, "x" * 256),
    ],
)
def test_video_ids(player: Player, own: dict[str, str], spelled: str, video: str) -> None:
    token = token_in(player.mint(own, video=spelled))
    assert claims_of(token)["sub"] == video
    assert player.explain(token=token, subject=video).json()["allowed"]


@pytest.mark.parametrize(
    "spelled", ["x" * 257, "a%2Fb", "a%20b", "a%0Ab", "%00", "%7F", ".", "..", "%2E%2e"]
)
def test_what_is_no_video(player: Player, own: dict[str, str], spelled: str) -> None:
    url = f"/client/v4/accounts/{player.tenant.account_id}/stream/{spelled}/token"
    answer = player.http.post(
        player.tenant.url,
        json=own,
        headers=player.cloudflare.bearer,
        extensions={"target": url.encode()},
    )
    refused(answer, 404, 7003)


# Wishes, as seconds from now where they are times, and what is said of them; None: granted.
TIMES: list[tuple[dict[str, int], str | None]] = [
    ({"exp": DAY - 5}, None),
    ({"exp": DAY + 60}, "exp"),
    ({"exp": 7 * DAY}, "exp"),
    ({"exp": 5}, None),
    ({"exp": -5}, "exp"),
    ({"exp": 10**12}, "exp"),
    ({"exp": 10**30}, "exp"),
    ({"exp": -(10**30)}, "exp"),
    ({"nbf": -7 * DAY}, None),
    ({"nbf": HOUR - 60}, None),
    ({"nbf": HOUR + 60}, "nbf"),
    ({"nbf": -(10**10)}, "nbf"),
    ({"nbf": 10**30}, "nbf"),
    ({"exp": 60, "nbf": 60}, "nbf"),
    ({"exp": 60, "nbf": 59}, None),
]


@pytest.mark.parametrize(("wishes", "fault"), TIMES)
def test_times(
    player: Player, own: dict[str, str], wishes: dict[str, int], fault: str | None
) -> None:
    now = int(time.time())
    answer = player.mint({**own, **{name: now + ahead for name, ahead in wishes.items()}})
    if fault is None:
        claims = claims_of(token_in(answer))
        for name, ahead in wishes.items():
            assert claims[name] == str(now + ahead)
    else:
        assert refused(answer, 400, 10005).startswith(f"{fault} should be a time in seconds")


RULE = {"type": "any", "action": "block"}


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"exp": "soon"}, "/exp must be integer"),
        ({"exp": 1.5}, "/exp must be integer"),
        ({"exp": True}, "$.exp"),
        ({"nbf": None}, "/nbf must be integer"),
        ({"downloadable": "yes"}, "/downloadable must be boolean"),
        ({"flags": []}, "/flags must be object"),
        ({"flags": {"original": 1}}, "$.flags.original"),
        ({"accessRules": {}}, "/accessRules must be array"),
        ({"accessRules": ["any"]}, "$.accessRules[0]"),
        ({"accessRules": [{}]}, "accessRules"),
        ({"accessRules": [RULE] * 6}, "at most 5 rules"),
        ({"accessRules": [{**RULE, "ip": ["1.1.1.1"]}]}, "accessRules"),
        ({"accessRules": [{"type": "ip.src", "action": "block", "ip": ["x"]}]}, "accessRules"),
        ({"accessRules": [{**RULE, "ip": 10**40}]}, "accessRules"),
        ({"accessRules": [{**RULE, "x": ["y" * 9000]}]}, "8 KiB"),
        ({"accessRules": [{**RULE, "x": [[]] * 300}]}, "256 brackets"),
        ({"id": 7}, "/id must be string"),
        ({"pem": None}, "/pem must be string"),
    ],
)
def test_bad_wishes(
    player: Player, own: dict[str, str], wish: dict[str, object], said: str
) -> None:
    assert said in refused(player.mint({**own, **wish}), 400, 10005)
