"""The door for edges: what it answers, in status, headers and body, and when that changes."""

from __future__ import annotations

import time
from codecs import BOM_UTF8
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote
from uuid import UUID, uuid4

import httpx2
import pytest

from tests.outage import frozen
from tests.player import Player, sign
from tests.service import House, make_tenant, open_folder, serve
from tests.vectors.forge import VIDEO, TestKey

MINE = f"/{VIDEO}/index.m3u8"


@pytest.fixture(scope="module")
def token(key: TestKey) -> str:
    return sign(key)


@pytest.mark.parametrize("subject", [VIDEO, "a b", "Zoë ⛴", 'x",=', "100%", "a@b.c~d_e-f"])
def test_headers_of_a_yes(player: Player, key: TestKey, subject: str) -> None:
    expires = int(time.time()) + 60
    text = sign(key, sub=subject, exp=expires + 0.75)
    answer = player.ask(f"/hls/{text}/a%20b?c=d")
    assert answer.status_code == 200
    assert answer.headers["x-auth-reason"] == "allowed"
    assert answer.headers["x-auth-kid"] == key.kid
    assert answer.headers["x-auth-exp"] == str(expires)
    shown = answer.headers["x-auth-sub"]
    assert (unquote(shown), shown) == (subject, quote(subject, safe=""))
    assert answer.headers["x-auth-path"] == f"/hls/{shown}/a%20b"
    assert answer.headers["cache-control"] == "no-store"
    assert "content-type" not in answer.headers
    assert (answer.content, answer.headers["content-length"]) == (b"", "0")


# A path with an id or {token} in its place, and what is to be served.
SERVED = {
    f"/{VIDEO}": f"/{VIDEO}",
    f"/{VIDEO}.m3u8": f"/{VIDEO}.m3u8",
    f"/video+{VIDEO}/index.m3u8": f"/{VIDEO}/index.m3u8",
    f"/%35{VIDEO[1:]}/a%2Cb.ts": f"/{VIDEO}/a%2Cb.ts",
    f"/asset/hls/{VIDEO}//a.ts": f"/asset/hls/{VIDEO}//a.ts",
    "/{token}.mpd": f"/{VIDEO}.mpd",
    "/recordings/{token}/a;b.ts": f"/recordings/{VIDEO}/a;b.ts",
    "/i/VOD/video+{token}/a.ts": f"/i/VOD/{VIDEO}/a.ts",
}


@pytest.mark.parametrize("path", SERVED)
def test_what_is_to_be_served(player: Player, token: str, path: str) -> None:
    url = path.format(token=token) + f"?a=b&token={token}"
    answer = player.ask(url, [("X-Keyferry-Prefix", "/i/VOD")])
    assert (answer.status_code, answer.headers["x-auth-path"]) == (200, SERVED[path])


# Subjects that cannot stand in a path, in the place that this token takes.
@pytest.mark.parametrize(
    ("subject", "path"),
    [
        ("a/b", "/{token}/x.ts"),
        ("a\\b", "/{token}/x.ts"),
        ("%2F", "/{token}/x.ts"),
        ("a;b", "/{token}/x.ts"),
        ("..;", "/{token}/x.ts"),
        ("video+a", "/{token}/x.ts"),
        ("hls", "/{token}/x.ts"),
        ("asset", "/{token}/hls/x.ts"),
        ("a.m3u8", "/{token}"),
    ],
)
def test_a_subject_that_would_read_as_another(
    player: Player, key: TestKey, subject: str, path: str
) -> None:
    text = sign(key, sub=subject)
    answer = player.ask(path.format(token=text))
    assert (answer.status_code, answer.headers["x-auth-reason"]) == (403, "path_ambiguous")
    assert "x-auth-path" not in answer.headers
    assert player.explain(token=text, subject=subject).json()["allowed"] is True


def test_headers_of_a_no_say_what_is_known(player: Player, key: TestKey) -> None:
    def known(text: str) -> set[str]:
        headers = player.ask(f"{MINE}?token={text}").headers
        return {name for name in headers if name.startswith("x-auth-")} - {"x-auth-reason"}

    assert known("x.y.z") == set()
    assert known(sign(key, {"alg": "RS256", "kid": uuid4().hex})) == set()
    assert known(sign(key, sub=...)) == {"x-auth-kid"}
    assert known(sign(key, exp=1)) == {"x-auth-kid", "x-auth-sub", "x-auth-exp"}


def test_downloads(player: Player, key: TestKey) -> None:
    """Cloudflare's URLs of downloads have a segment that says so."""
    plain, downloadable = sign(key), sign(key, downloadable=True)
    for url in ("/{}/downloads/default.mp4", f"/{VIDEO}/%64ownloads/a.mp4?token={{}}"):
        assert player.ask(url.format(plain)).headers["x-auth-reason"] == "download_refused"
        assert player.ask(url.format(downloadable)).status_code == 200
    assert player.ask(f"/{downloadable}/manifest/video.m3u8").status_code == 200
    assert player.ask(f"/{plain}/manifest/downloads.m3u8").status_code == 200


def test_the_state_of_the_key(player: Player) -> None:
    key = player.make_key()
    text = sign(key)
    assert player.play(text) == "allowed"
    player.disable(key)
    assert player.play(text) == "key_disabled"
    player.disable(key, disabled=False)
    assert player.play(text) == "allowed"
    player.delete(key)
    assert player.play(text) == "key_deleted"


def test_other_accounts(player: Player, token: str) -> None:
    """A foreign key looks like none, and so does every key in an account that is not there."""
    other = player.other()
    unknown = replace(other, tenant=replace(other.tenant, account_id=uuid4().hex))
    for stranger in (other, unknown):
        assert stranger.play(token) == "key_unknown"


def test_a_suspended_account_still_plays(player: Player) -> None:
    """What was sold is delivered: a suspension stops the API. Keys are what stops plays."""
    suspended = player.other()
    text, house = sign(suspended.make_key()), suspended.tenant.house
    house.run(house.accounts.suspend(UUID(suspended.tenant.account_id), suspended=True))
    assert suspended.explain(token=text).json()["allowed"] is True
    assert suspended.play(text) == "allowed"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("account", ["", "x", "0x" + "1" * 30, "1_" * 16, "{" + "1" * 30 + "}"])
def test_what_is_no_account(player: Player, account: str, method: str) -> None:
    for rest in ("/", MINE):
        answer = player.http.request(
            method,
            player.tenant.url,
            extensions={"target": f"/accounts/{account}/verify{rest}".encode()},
        )
        assert (answer.status_code, answer.headers["x-auth-reason"]) == (403, "route_unknown")
        assert (answer.content, answer.headers["content-length"]) == (b"", "0")


def test_both_spellings_of_the_account(player: Player, token: str) -> None:
    for account in (player.tenant.account_id, str(UUID(player.tenant.account_id)).upper()):
        url = f"{player.tenant.url}/accounts/{account}/verify{MINE}?token={token}"
        assert player.http.get(url).status_code == 200


def test_a_byte_order_mark_before_a_question(player: Player, token: str) -> None:
    """.NET's StreamWriter puts one before UTF-8; a second one, or half of one, is not JSON."""
    body = b'{"token": "%s"}' % token.encode()
    for mark, status in ((BOM_UTF8, 200), (BOM_UTF8 * 2, 400), (BOM_UTF8[:2], 400)):
        assert player.http.post(player.verify_url, content=mark + body).status_code == status


def ask_as_mediamtx(player: Player, **members: str) -> httpx2.Response:
    names = ("ip", "user", "password", "action", "path", "protocol", "id", "query")
    body = {**dict.fromkeys(names, ""), "path": VIDEO, **members}
    return player.http.post(f"{player.verify_url.removesuffix('verify')}mediamtx", json=body)


def test_when_nothing_can_be_known(http: httpx2.Client, tmp_path: Path) -> None:
    """The database hangs and memory is too old to be trusted: no answer is no permission."""
    settings = {"KEYFERRY_STALENESS": "0.5", "KEYFERRY_POOL_SIZE": "1"}
    with (
        open_folder() as folder,
        House(folder / "data") as house,
        serve(house, tmp_path / "log", settings) as (url, _),
        ThreadPoolExecutor() as pool,
    ):
        player = Player(http, make_tenant(house, url))
        token = sign(player.make_key())
        api_token = player.tenant.make_token(["media:publish"])
        assert player.play(token) == "allowed"
        with frozen(house.folder):
            time.sleep(0.6)
            edge = pool.submit(player.ask, f"{MINE}?token={token}")
            program = pool.submit(player.explain, token=token)
            file = pool.submit(player.fetch, f"/accounts/{player.tenant.account_id}/jwks.json")
            streams = [
                pool.submit(ask_as_mediamtx, player, action="read", token=token),
                pool.submit(ask_as_mediamtx, player, action="publish", password=api_token),
            ]
            answers = [asked.result() for asked in (edge, program, file, *streams)]
        for answer in answers:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.headers["cache-control"] == "no-store"
        assert answers[0].headers["x-auth-reason"] == "unavailable"
        assert answers[0].content == b""
        assert [answer.json()["error"] for answer in answers[1:]] == ["unavailable"] * 4
        assert player.play(token) == "allowed"
