"""MediaMTX's own question, as each of its releases sends it (`internal/auth/manager.go`)."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from gateway.edges import render_mediamtx
from tests.fleet import until
from tests.logged import line_of
from tests.player import Player, sign
from tests.service import House, serve
from tests.vectors.forge import VIDEO, TestKey

VIEWER = "203.0.113.9"
# In the order of Go's struct: the release that added userAgent, before it, and before `token`.
BEFORE = ("ip", "user", "password", "token", "action", "path", "protocol", "id", "query")
NEWEST = (*BEFORE, "userAgent")
RELEASES = {
    "newest": NEWEST,
    "no userAgent": BEFORE,
    "no token": tuple(name for name in BEFORE if name != "token"),
}
Answer = httpx2.Response


def question(release: str = "newest", **members: object) -> dict[str, object]:
    """Return what MediaMTX says of a viewer of `VIDEO` by HLS, but for `members`."""
    usual = dict.fromkeys(NEWEST, "") | {
        "ip": VIEWER,
        "action": "read",
        "path": VIDEO,
        "protocol": "hls",
        "id": None,
        "userAgent": "Lavf/61.7.100",
    }
    return {name: (usual | members)[name] for name in RELEASES[release]}


def post(player: Player, body: object, query: str = "", **headers: str) -> Answer:
    url = f"{player.tenant.url}/accounts/{player.tenant.account_id}/mediamtx{query}"
    named = {"Content-Type": "application/json", "User-Agent": "Go-http-client/1.1", **headers}
    return player.http.post(url, content=json.dumps(body), headers=named)


def asked(player: Player, release: str = "newest", at: str = "", **members: object) -> Answer:
    answer = post(player, question(release, **members), at)
    assert answer.status_code in {200, 401}
    assert (answer.content, answer.headers["content-length"]) == (b"", "0")
    assert answer.headers["cache-control"] == "no-store"
    return answer


def told(answer: Answer) -> tuple[int, str]:
    return answer.status_code, answer.headers["x-auth-reason"]


@pytest.fixture(scope="module")
def token(key: TestKey) -> str:
    return sign(key)


WAYS = {
    "Bearer": {"token": "{}"},
    "a password": {"user": "anybody", "password": "{}"},
    "both, as it sends them": {"token": "{}", "password": "{}"},
    "?jwt= of RTSP": {"query": "jwt={}", "protocol": "rtsp", "id": str(uuid4())},
    "?token= of HLS": {"query": "a=b&token={}"},
    "recordings": {"action": "playback", "protocol": "", "query": "path=x&start=y&jwt={}"},
}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("way", WAYS)
def test_a_token_reads(player: Player, key: TestKey, token: str, way: str, release: str) -> None:
    members = {name: text.format(token) for name, text in WAYS[way].items()}
    if release == "no token" and way == "Bearer":
        members = {"query": f"jwt={token}"}  # where that release puts it
    answer = asked(player, release, **members)
    assert told(answer) == (200, "allowed")
    assert (answer.headers["x-auth-kid"], answer.headers["x-auth-sub"]) == (key.kid, VIDEO)


@pytest.mark.parametrize("action", ["read", "playback"])
@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, "token_missing"),
        ({"query": "cookieCheck=1"}, "token_missing"),
        ({"user": "{}"}, "token_missing"),
        ({"password": "x", "query": "jwt={}"}, "token_malformed"),
        ({"token": "x", "password": "{}"}, "token_malformed"),
        ({"token": "{}", "path": "other"}, "subject_mismatch"),
        ({"token": "{}", "path": ""}, "nothing_played"),
    ],
)
def test_a_refusal_is_always_401(
    player: Player, token: str, action: str, members: dict[str, str], reason: str
) -> None:
    filled = {name: text.format(token) for name, text in members.items()}
    assert told(asked(player, action=action, **filled)) == (401, reason)


# A stream's path, and the only `sub` whose token opens it, if any.
PATHS = {
    "a": "a",
    "a/b/c": "a",
    "a.m3u8": "a.m3u8",
    "a.m3u8/b": "a.m3u8",
    "video+a": "video+a",
    "hls/a": "a",
    "hls/a.b": "a.b",
    "asset/hls/a/b": "a",
    "recordings/a": "a",
    "recordings": None,
    "hls": None,
    "hls/hls": "hls",
    "live/a": "live",
    "a b": "a b",
    "Zoë": "Zoë",
    "a;b": "a;b",
    "%61": None,
    "a%2fb": None,
    "../a": None,
    "a/../b": None,
    "a/.": None,
    "/a": None,
    "a\\b": None,
    "a\0": None,
}
SUBJECTS = sorted({*filter(None, PATHS.values()), *PATHS} - {""})


def test_each_stream_has_one_id(player: Player, key: TestKey) -> None:
    tokens = {subject: sign(key, sub=subject) for subject in SUBJECTS}
    for path, owner in PATHS.items():
        answers = {sub: asked(player, token=text, path=path) for sub, text in tokens.items()}
        opened = [sub for sub, answer in answers.items() if answer.status_code == 200]
        assert opened == ([] if owner is None else [owner]), path


def test_a_token_in_the_path_opens_nothing(player: Player, token: str) -> None:
    for path in (token, f"hls/{token}", f"video+{token}", f"{token}/a"):
        assert asked(player, token=token, path=path).status_code == 401
        assert asked(player, path=path).status_code == 401


def test_the_lines_that_are_printed(player: Player, token: str) -> None:
    account, url = player.tenant.account_id, player.tenant.url
    for prefixes, path in ((), VIDEO), (("/live", "/i/VOD"), f"i/VOD/{VIDEO}"):
        printed = render_mediamtx(account, keyferry=url, prefix=prefixes)
        lines = [line for line in printed.splitlines() if not line.startswith("#")]
        fields = dict(line.split(": ") for line in lines)
        assert list(fields) == ["authMethod", "authHTTPAddress", "authHTTPExclude"]
        assert (fields["authMethod"], fields["authHTTPExclude"]) == ("http", "[]")
        body = question(token=token, path=path)
        assert told(player.http.post(fields["authHTTPAddress"], json=body)) == (200, "allowed")


def test_prefixes_stand_in_its_address(player: Player, token: str) -> None:
    query = "?prefix=/live,/i/VOD"
    for path in (f"live/{VIDEO}", f"i/VOD/{VIDEO}/720p", VIDEO, f"hls/{VIDEO}"):
        assert told(asked(player, at=query, token=token, path=path)) == (200, "allowed")
    assert told(asked(player, token=token, path=f"live/{VIDEO}"))[1] == "subject_mismatch"
    answer = post(player, question(token=token), "?prefix=live")
    assert (answer.status_code, answer.json()["error"]) == (400, "query_invalid")


RULE = [{"type": "ip.src", "action": "block", "ip": ["203.0.113.0/24"]}]


@pytest.mark.parametrize(
    ("ip", "reason"),
    [
        (VIEWER, "blocked_address"),
        ("::ffff:203.0.113.9", "blocked_address"),
        ("192.0.2.1", "allowed"),
        ("2001:db8::7", "allowed"),
        ("<nil>", "address_unknown"),
        ("", "address_unknown"),
    ],
)
def test_the_viewers_address(player: Player, key: TestKey, ip: str, reason: str) -> None:
    text = sign(key, accessRules=RULE)
    assert asked(player, token=text, ip=ip).headers["x-auth-reason"] == reason


def test_only_a_trusted_media_server_names_the_viewer(
    house: House, key: TestKey, player: Player, tmp_path: Path
) -> None:
    settings = {"KEYFERRY_TRUSTED_PROXIES": "192.0.2.1", "KEYFERRY_POOL_SIZE": "1"}
    with serve(house, tmp_path / "log", settings) as (url, _):
        text = sign(key, accessRules=RULE)
        answer = asked(player.at(url), token=text, ip="192.0.2.1")
        assert told(answer) == (401, "address_unknown")


def test_a_deleted_key_opens_nothing(player: Player) -> None:
    gone = player.make_key()
    text = sign(gone)
    assert told(asked(player, token=text)) == (200, "allowed")
    player.delete(gone)
    assert told(asked(player, token=text)) == (401, "key_deleted")


def test_publishing_needs_the_scope(player: Player, token: str) -> None:
    tenant = player.tenant
    may = tenant.make_token(["media:publish"])
    for path in ("live/cam", VIDEO):
        answer = asked(player, action="publish", user="obs", password=may, path=path)
        assert told(answer) == (200, "allowed")
    refused = {
        "": "credentials_missing",
        tenant.make_token(["keys:read", "keys:write", "tokens:write"]): "forbidden",
        tenant.make_account().make_token(["media:publish"]): "forbidden",
        f"{may}x": "token_invalid",
        token: "token_invalid",
    }
    for password, reason in refused.items():
        answer = asked(player, action="publish", password=password)
        assert told(answer) == (401, reason)
    for members in ({"token": may}, {"query": f"token={may}"}, {"user": may}):
        answer = asked(player, action="publish", **members)
        assert told(answer) == (401, "credentials_missing")


def test_a_suspended_account_publishes_nothing(player: Player) -> None:
    other = player.other()
    password = other.tenant.make_token(["media:publish"])
    assert asked(other, action="publish", password=password).status_code == 200
    house = other.tenant.house
    account = house.run(house.accounts.find_token(password)).account_id
    house.run(house.accounts.suspend(account, suspended=True))
    refused = (401, "account_suspended")
    until(lambda: told(asked(other, action="publish", password=password)) == refused, patience=2)


@pytest.mark.parametrize("action", ["api", "metrics", "pprof", "", "READ", "publish ", "delete"])
def test_nobody_may_do_anything_else(player: Player, token: str, action: str) -> None:
    password = player.tenant.token
    for members in ({"token": token}, {"password": password}, {}):
        assert told(asked(player, action=action, **members)) == (401, "forbidden")


def test_the_scope_alone_does_nothing_else(player: Player) -> None:
    bearer = {"Authorization": f"Bearer {player.tenant.make_token(['media:publish'])}"}
    account = f"/client/v4/accounts/{player.tenant.account_id}/stream"
    for method, path in (("GET", "/keys"), ("POST", "/keys"), ("POST", f"/{VIDEO}/token")):
        assert player.fetch(account + path, method, **bearer).status_code == 403


BAD = {
    "no JSON": (b"{", 400),
    "nothing": (b"", 400),
    "a list": (b"[]", 422),
    "the question of programs": (b'{"token": "x"}', 422),
    "a number": (json.dumps(question(path=1)).encode(), 422),
    "null": (json.dumps(question(query=None)).encode(), 422),
    "too much": (json.dumps(question(query="x" * 70_000)).encode(), 413),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_its_question(player: Player, name: str) -> None:
    content, status = BAD[name]
    url = f"{player.tenant.url}/accounts/{player.tenant.account_id}/mediamtx"
    answer = player.http.post(url, content=content)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "message"}


@pytest.mark.parametrize("name", [name for name in NEWEST if name not in {"token", "userAgent"}])
def test_no_member_of_all_releases_may_be_left_out(player: Player, token: str, name: str) -> None:
    body = question(token=token)
    del body[name]
    assert post(player, body).status_code == 422


def test_a_member_of_the_next_release_is_ignored(player: Player, token: str) -> None:
    assert told(post(player, question(token=token) | {"country": "BG"})) == (200, "allowed")


def test_other_methods_and_accounts(player: Player) -> None:
    path = f"/accounts/{player.tenant.account_id}/mediamtx"
    for method in ("GET", "PUT", "HEAD", "DELETE"):
        answer = player.fetch(path, method)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    for bad in ("/accounts/nobody/mediamtx", f"{path}/", f"{path}/x"):
        assert player.fetch(bad, "POST").status_code == 404


def test_the_question_of_programs_is_not_for_it(player: Player, token: str) -> None:
    for release in RELEASES:
        body = question(release, password=token)
        answer = player.explain(**body)
        assert (answer.status_code, answer.json()["error"]) == (422, "body_invalid")


def test_it_is_logged_like_other_questions(
    player: Player, key: TestKey, token: str, service_log: Path
) -> None:
    may = player.tenant.make_token(["media:publish"])
    for members, expected in (
        ({"token": token}, ("allowed", key.kid, VIDEO)),
        ({"token": token, "path": "x"}, ("subject_mismatch", key.kid, VIDEO)),
        ({"query": "jwt=x"}, ("token_malformed", None, None)),
        ({"action": "publish", "password": may}, ("allowed", None, None)),
        ({"action": "publish", "password": "x" * 20}, ("token_invalid", None, None)),
        ({"action": "pprof"}, ("forbidden", None, None)),
    ):
        name = f"mediamtx-{uuid4().hex}"
        post(player, question(**members), **{"X-Request-ID": name})
        line = line_of(service_log, name)
        assert (line["reason"], line["kid"], line["subject"]) == expected
        assert (line["route"], line["address"]) == ("mediamtx", VIEWER)
        assert line["account"] == player.tenant.account_id
    told = service_log.read_text()
    assert token not in told
    assert may not in told
