"""A token that came with a playlist goes on to its segments, by a redirect or in a cookie."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urljoin

import httpx2
import pytest

from tests.player import Headers, Player, sign
from tests.vectors.forge import PLAYBACK, VIDEO, TestKey

REDIRECT = ("X-Keyferry-Carry", "redirect")
COOKIE = ("X-Keyferry-Carry", "cookie")
PREFIX = ("X-Keyferry-Prefix", "/i/VOD")
MINE = f"/{VIDEO}/index.m3u8"


@pytest.fixture(scope="module")
def token(key: TestKey) -> str:
    return sign(key)


@pytest.fixture(scope="module")
def stranger(player: Player) -> Iterator[Player]:
    transport = httpx2.HTTPTransport(local_address="127.0.0.9")
    with httpx2.Client(transport=transport, timeout=20) as http:
        yield Player(http, player.tenant)


# A viewer's URL, and where it is redirected to.
REDIRECTS = {
    f"{MINE}?token={{token}}": "/{token}/index.m3u8",
    f"{MINE}?jwt={{token}}": "/{token}/index.m3u8",
    f"{MINE}?a=%2Fb&jwt={{token}}&_HLS_msn=3&x": "/{token}/index.m3u8?a=%2Fb&_HLS_msn=3&x",
    f"{MINE}?token={{token}}&jwt=x&token=y&a=1": "/{token}/index.m3u8?a=1",
    f"{MINE}?%74oken={{token}}&j%77t=x&Token=z": "/{token}/index.m3u8?Token=z",
    f"{MINE}?token={{token}}&u=https://x.example//y": "/{token}/index.m3u8?u=https://x.example//y",
    f"/hls/video+{VIDEO}/a/b.m3u8?token={{token}}": "/hls/{token}/a/b.m3u8",
    f"/i/VOD/{VIDEO}//b%20c.mpd?token={{token}}": "/i/VOD/{token}//b%20c.mpd",
    f"/%68ls/%35{VIDEO[1:]}/a;b.m3u8?token={{token}}": "/%68ls/{token}/a;b.m3u8",
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("url", REDIRECTS)
def test_a_playlist_is_redirected_to_what_plays_without_more(
    player: Player, key: TestKey, token: str, url: str, method: str
) -> None:
    answer = player.ask(url.format(token=token), [REDIRECT, PREFIX], method=method)
    target = answer.headers["location"]
    assert (answer.status_code, target) == (302, REDIRECTS[url].format(token=token))
    assert (answer.content, answer.headers["content-length"]) == (b"", "0")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-auth-reason"] == "allowed"
    assert answer.headers["x-auth-kid"] == key.kid
    assert "set-cookie" not in answer.headers
    for address in (target, urljoin(target, "seg0.ts"), urljoin(target, "720p/index.m3u8")):
        played = player.ask(address, [REDIRECT, PREFIX])  # which must not be redirected again
        assert played.status_code == 200
        assert "location" not in played.headers
    assert (
        player.ask(target, [REDIRECT, PREFIX]).headers["x-auth-path"]
        == (answer.headers["x-auth-path"])
    )


PLACES: dict[str, Headers] = {
    "Authorization": [("Authorization", "Bearer {token}")],
    "Livepeer-Jwt": [("Livepeer-Jwt", "{token}")],
}


@pytest.mark.parametrize("place", PLACES)
def test_a_token_in_a_header_is_carried_on(player: Player, token: str, place: str) -> None:
    header = [(name, text.format(token=token)) for name, text in PLACES[place]]
    answer = player.ask(f"{MINE}?a=b", [*header, REDIRECT])
    assert (answer.status_code, answer.headers["location"]) == (302, f"/{token}/index.m3u8?a=b")
    again = player.ask(answer.headers["location"], [*header, REDIRECT])
    assert again.status_code == 200
    assert f"={token}; Path=/{VIDEO};" in player.ask(MINE, [*header, COOKIE]).headers["set-cookie"]


# A viewer's URL, and the path of the cookie, from where it is sent to the playlist's segments.
PATHS = {
    f"{MINE}?token={{token}}": f"/{VIDEO}",
    f"/{VIDEO}.m3u8?token={{token}}": f"/{VIDEO}",
    f"/hls/video+{VIDEO}/a/b.mpd?jwt={{token}}": f"/hls/video+{VIDEO}",
    f"/%68ls/%35{VIDEO[1:]}%2Em3u8?token={{token}}": f"/%68ls/%35{VIDEO[1:]}",
    f"/i/VOD/{VIDEO}/a.m3u8?token={{token}}": f"/i/VOD/{VIDEO}",
}


@pytest.mark.parametrize("url", PATHS)
def test_a_cookie_is_for_what_is_below_the_id(player: Player, key: TestKey, url: str) -> None:
    text = sign(key, exp=int(time.time()) + 100)
    answer = player.ask(url.format(token=text), [COOKIE, PREFIX])
    name, path, age, *attributes = answer.headers["set-cookie"].split("; ")
    assert (answer.status_code, answer.headers["x-auth-reason"]) == (200, "allowed")
    assert (name, path) == (f"Livepeer-Jwt={text}", f"Path={PATHS[url]}")
    assert age in {f"Max-Age={seconds}" for seconds in range(80, 101)}
    assert attributes == ["HttpOnly"]
    assert "location" not in answer.headers
    again = player.ask(url.partition("?")[0], [("Cookie", name), COOKIE, PREFIX])
    assert (again.status_code, "set-cookie" in again.headers) == (200, False)


@pytest.mark.parametrize(
    ("asked", "attributes"),
    [
        ("cookie; Secure", ["Secure"]),
        ("cookie; Secure; SameSite=None", ["Secure", "SameSite=None"]),
        ("Cookie;samesite=lax;secure", ["Secure", "SameSite=Lax"]),
        ("cookie; SameSite=Strict", ["SameSite=Strict"]),
    ],
)
def test_attributes_of_the_cookie(
    player: Player, token: str, asked: str, attributes: list[str]
) -> None:
    headers = [("X-Keyferry-Carry", asked), ("Livepeer-Jwt", token)]
    cookie = player.ask(MINE, headers).headers["set-cookie"]
    assert cookie.split("; ")[3:] == ["HttpOnly", *attributes]


def test_a_token_that_is_over_but_for_the_leeway_leaves_no_cookie(
    player: Player, key: TestKey
) -> None:
    answer = player.ask(MINE, [COOKIE, ("Livepeer-Jwt", sign(key, exp=int(time.time()) - 1))])
    assert answer.status_code == 200
    assert "; Max-Age=0;" in answer.headers["set-cookie"]


# What an edge asks, by which nothing is carried on: the URL, method, headers, status.
NOTHING: dict[str, tuple[str, str, Headers, int]] = {
    "a segment": (f"/{VIDEO}/seg0.ts?token={{token}}", "GET", [], 200),
    "a playlist's namesake": (f"/{VIDEO}/a.m3u8/x?token={{token}}", "GET", [], 200),
    "a folder": (f"/{VIDEO}/a.m3u8/?token={{token}}", "GET", [], 200),
    "POST": (f"{MINE}?token={{token}}", "POST", [], 200),
    "OPTIONS": (f"{MINE}?token={{token}}", "OPTIONS", [], 200),
    "a token in the path": ("/{token}/index.m3u8", "GET", [], 200),
    "one there, too": ("/{token}/index.m3u8?token={token}", "GET", [], 200),
    "a token in a cookie": (MINE, "GET", [("Cookie", "Livepeer-Jwt={token}")], 200),
    "another video": (f"/{PLAYBACK}/index.m3u8?token={{token}}", "GET", [], 403),
    "no token": (MINE, "GET", [], 401),
    "two slashes": (f"//evil.example{MINE}?token={{token}}", "GET", [], 403),
    "a backslash": (f"/\\evil.example{MINE}?token={{token}}", "GET", [], 403),
    "an encoded slash": (f"/%2fevil.example{MINE}?token={{token}}", "GET", [], 403),
    "an encoded line break": (f"/{VIDEO}/%0d%0aa.m3u8?token={{token}}", "GET", [], 403),
    "no URL": ("", "GET", [("Livepeer-Jwt", "{token}")], 403),
}


@pytest.mark.parametrize("carry", [REDIRECT, COOKIE])
@pytest.mark.parametrize("name", NOTHING)
def test_what_is_not_carried_on(
    player: Player, token: str, name: str, carry: tuple[str, str]
) -> None:
    url, method, headers, status = NOTHING[name]
    filled = [(key, text.format(token=token)) for key, text in headers]
    answer = player.ask(url.format(token=token), [*filled, carry], method=method)
    assert answer.status_code == status
    assert not {"location", "set-cookie"} & set(answer.headers)


def test_a_playlist_that_is_named_like_the_video_is_not_redirected(
    player: Player, token: str
) -> None:
    answer = player.ask(f"/{VIDEO}.m3u8?token={token}", [REDIRECT])
    assert (answer.status_code, "location" in answer.headers) == (200, False)


@pytest.mark.parametrize(
    "asked",
    [
        [],
        [""],
        ["no"],
        ["redirect; Secure"],
        ["redirect", "cookie"],
        ["cookie; Domain=example.com"],
        ["cookie; SameSite=x"],
        ["cookie; Secure; Secure"],
        ["cookie; SameSite=Lax; SameSite=None"],
        ["cookie; SameSite"],
        ["cookie;"],
    ],
)
def test_without_a_clear_word_nothing_is_carried_on(
    player: Player, token: str, asked: list[str]
) -> None:
    headers = [("X-Keyferry-Carry", text) for text in asked]
    answer = player.ask(f"{MINE}?token={token}", headers)
    assert answer.status_code == 200
    assert not {"location", "set-cookie"} & set(answer.headers)


@pytest.mark.parametrize("carry", [REDIRECT, COOKIE])
def test_only_trusted_proxies_ask_for_it(
    stranger: Player, token: str, carry: tuple[str, str]
) -> None:
    answer = stranger.ask(f"{MINE}?token={token}", [carry])
    assert answer.status_code == 200
    assert not {"location", "set-cookie"} & set(answer.headers)


@pytest.mark.parametrize("odd", ["é\u00ff", 'a"b', "<a>", "a#b", "a b", "{}|^`", "%zz", "a\tb"])
def test_odd_bytes_are_escaped_in_the_address(player: Player, token: str, odd: str) -> None:
    answer = player.ask(f"{MINE}?token={token}&x={odd}&y", [REDIRECT])
    target = answer.headers["location"]
    assert answer.status_code == 302
    assert target.startswith(f"/{token}/index.m3u8?x=")
    assert target.endswith("&y")
    assert not set(target) & set("# \t\r\n")
    assert target.isascii()


def test_a_token_that_would_not_be_found_in_the_path_is_not_redirected_there(
    player: Player, key: TestKey
) -> None:
    """Its header begins with a space, so that it does not look like a token in a path."""
    text = sign(key, b' {"alg":"RS256","kid":"%s"}' % key.kid.encode())
    assert not text.startswith("ey")
    answer = player.ask(f"{MINE}?token={text}", [REDIRECT])
    assert (answer.status_code, "location" in answer.headers) == (200, False)
    assert f"={text}; Path" in player.ask(f"{MINE}?token={text}", [COOKIE]).headers["set-cookie"]
