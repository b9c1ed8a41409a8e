"""The door for edges: where it finds the URL that is played and the token for it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import httpx2
import pytest

from tests.player import Headers, Player, sign
from tests.vectors.forge import PLAYBACK, VIDEO, TestKey

MINE, OTHER = f"/{VIDEO}/index.m3u8", f"/{PLAYBACK}/index.m3u8"
PREFIX = ("X-Keyferry-Prefix", "/i/VOD, /vod")
URI, FORWARDED, WHOLE = "X-Original-URI", "X-Forwarded-Uri", "X-Original-URL"


@pytest.fixture(scope="module")
def token(key: TestKey) -> str:
    return sign(key)


@pytest.fixture(scope="module")
def expired(key: TestKey) -> str:
    return sign(key, exp=1)


# What follows /verify, the headers, and the reason; the token is in the Authorization header.
URLS: dict[str, tuple[str, Headers, str]] = {
    "rest": (MINE, [], "allowed"),
    "rest with a query": (MINE + "?a=b", [], "allowed"),
    "rest of another video": (OTHER, [], "subject_mismatch"),
    "X-Original-URI": ("", [(URI, MINE)], "allowed"),
    "X-Forwarded-Uri": ("", [(FORWARDED, MINE)], "allowed"),
    "X-Original-URL": ("", [(WHOLE, f"https://tv.example:8443{MINE}?a=b")], "allowed"),
    "X-Original-URL in capitals": ("", [(WHOLE, f"HTTP://TV.EXAMPLE{MINE}")], "allowed"),
    "X-Original-URL of IPv6": ("", [(WHOLE, f"http://[::1]{MINE}")], "allowed"),
    "X-Original-URL of another video": ("", [(WHOLE, f"http://tv{OTHER}")], "subject_mismatch"),
    "X-Original-URL without a path": ("", [(WHOLE, "http://tv?x=/a")], "subject_mismatch"),
    "X-Original-URL with two hosts": ("", [(WHOLE, f"http://tv/{MINE}")], "path_ambiguous"),
    "X-Original-URL without a host": ("", [(WHOLE, f"http://{MINE}")], "path_ambiguous"),
    "X-Original-URL without a scheme": ("", [(WHOLE, f"tv.example{MINE}")], "path_ambiguous"),
    "X-Original-URL of no web": ("", [(WHOLE, f"ftp://tv{MINE}")], "path_ambiguous"),
    "X-Original-URL with a fragment": ("", [(WHOLE, f"http://tv{MINE}#x")], "path_ambiguous"),
    "X-Original-URL with a backslash": ("", [(WHOLE, f"http://tv\\x{MINE}")], "path_ambiguous"),
    "behind a slash": ("/", [(URI, MINE)], "allowed"),
    "an empty header": ("", [(URI, ""), (WHOLE, ""), (FORWARDED, MINE)], "allowed"),
    "the same in all": (
        "",
        [(URI, MINE), (FORWARDED, MINE), (WHOLE, f"http://tv{MINE}")],
        "allowed",
    ),
    "another in each": ("", [(URI, MINE), (FORWARDED, OTHER)], "path_ambiguous"),
    "another in the whole URL": ("", [(URI, MINE), (WHOLE, f"http://tv{OTHER}")], "path_ambiguous"),
    "another query": ("", [(URI, MINE), (WHOLE, f"http://tv{MINE}?a=b")], "path_ambiguous"),
    "one header twice": ("", 2 * [(FORWARDED, MINE)], "allowed"),
    "one header twice, differing": ("", [(FORWARDED, OTHER), (FORWARDED, MINE)], "path_ambiguous"),
    "two hosts, one URL": ("", [(WHOLE, f"http://a{MINE}"), (WHOLE, f"http://b{MINE}")], "allowed"),
    "rest wins": (OTHER, [(URI, MINE), (FORWARDED, MINE)], "subject_mismatch"),
    "rest wins, too": (MINE, [(URI, OTHER), (WHOLE, f"http://tv{OTHER}")], "allowed"),
    "nowhere": ("", [], "nothing_played"),
    "nowhere but a slash": ("/", [], "nothing_played"),
    "only in a query": ("?a=b", [], "nothing_played"),
    "an absolute URL": ("", [(URI, f"http://edge{MINE}")], "path_ambiguous"),
    "dot segments": (f"/{PLAYBACK}/..{MINE}", [], "path_ambiguous"),
    "dot segments in a header": ("", [(URI, f"/x/%2e%2e{MINE}")], "path_ambiguous"),
    "a known prefix": ("/asset/hls" + MINE, [], "allowed"),
    "an unknown prefix": ("/i/VOD" + MINE, [], "subject_mismatch"),
    "a prefix that the edge adds": ("/i/VOD" + MINE, [PREFIX], "allowed"),
    "a known prefix beside those": ("/hls/video+" + MINE[1:], [PREFIX], "allowed"),
    "prefixes on several lines": ("/live" + MINE, [PREFIX, (PREFIX[0], "/live")], "allowed"),
    "the id after a prefix only": (f"/{PLAYBACK}/i/VOD{MINE}", [PREFIX], "subject_mismatch"),
    "prefixes that cannot be read": (MINE, [(PREFIX[0], "i/VOD")], "path_ambiguous"),
    "one prefix that cannot be read": (MINE, [PREFIX, (PREFIX[0], "/..")], "path_ambiguous"),
    "no prefixes": (MINE, [(PREFIX[0], "")], "allowed"),
    "two slashes": (f"/{MINE}", [], "path_ambiguous"),
    "an escaped subject": (MINE.replace("e", "%65"), [], "allowed"),
}  # fmt: skip


@pytest.mark.parametrize("name", URLS)
def test_the_url(player: Player, token: str, name: str) -> None:
    rest, headers, reason = URLS[name]
    bearer = ("Authorization", f"Bearer {token}")
    assert player.ask(None, [*headers, bearer], rest=rest).headers["x-auth-reason"] == reason


# Each puts a token into the place of the id, a query's fields and headers; in the documented order.
Places = dict[str, Callable[[str], tuple[str, list[str], Headers]]]
PLACES: Places = {
    "path": lambda token: (token, [], []),
    "?token=": lambda token: ("", [f"token={token}"], []),
    "?jwt=": lambda token: ("", [f"jwt={token}"], []),
    "Bearer": lambda token: ("", [], [("Authorization", f"Bearer {token}")]),
    "Livepeer-Jwt": lambda token: ("", [], [("Livepeer-Jwt", token)]),
    "cookie": lambda token: ("", [], [("Cookie", f"a=b; Livepeer-Jwt={token}; c=d")]),
}


def reason_of(player: Player, *tokens: tuple[str, str]) -> str:
    """Ask with tokens in these places and return the reason."""
    segment, fields, headers = VIDEO, ["a=b"], list[tuple[str, str]]()
    for place, text in tokens:
        in_path, in_query, in_headers = PLACES[place](text)
        segment = in_path or segment
        fields += in_query
        headers += in_headers
    # The worst place comes first in the request, to show that the order is not the request's.
    url = f"/{segment}/a.m3u8?{'&'.join(reversed(fields))}"
    return str(player.ask(url, headers).headers["x-auth-reason"])


@pytest.mark.parametrize("place", PLACES)
def test_a_token_in_one_place(player: Player, token: str, expired: str, place: str) -> None:
    assert reason_of(player, (place, token)) == "allowed"
    assert reason_of(player, (place, expired)) == "expired"
    assert reason_of(player) == "token_missing"


@pytest.mark.parametrize(("first", "second"), list(combinations(PLACES, 2)))
def test_the_first_place_decides(
    player: Player, token: str, expired: str, first: str, second: str
) -> None:
    assert reason_of(player, (first, token), (second, expired)) == "allowed"
    assert reason_of(player, (first, expired), (second, token)) == "expired"


# The URL and the headers, {good} and {bad} standing for tokens, and the reason.
SEVERAL: dict[str, tuple[str, Headers, str]] = {
    "two in the path": ("/{good}/{bad}/a", [], "allowed"),
    "two in the path, reversed": ("/{bad}/{good}/a", [], "expired"),
    "one behind the id": (f"/{VIDEO}/{{good}}/a", [], "token_missing"),
    "one behind another id": (f"/{PLAYBACK}/{{good}}/a", [], "token_missing"),
    "one behind a prefix": ("/hls/video+{good}/a.ts?token={bad}", [], "allowed"),
    "one with a suffix": ("/{good}.m3u8?token={bad}", [], "allowed"),
    "one in a path that is ambiguous": ("/{good}/../a", [], "path_ambiguous"),
    "an expired one beside such a path": ("/{good}/../a?token={bad}", [], "expired"),
    "two in the query": (MINE + "?token={good}&token={bad}", [], "allowed"),
    "two cookies": (MINE, [("Cookie", "Livepeer-Jwt={good}; livepeer-jwt={bad}")], "allowed"),
    "an empty one first": (MINE + "?token=&jwt={good}", [], "allowed"),
    "an empty header first": (MINE, [("Authorization", ""), ("Livepeer-Jwt", "{good}")], "allowed"),
    "another scheme first": (
        MINE,
        [("Authorization", "Basic eDp5"), ("Livepeer-Jwt", "{good}")],
        "allowed",
    ),
    "a bearer of another kind first": (
        MINE,
        [("Authorization", "Bearer kf_x"), ("Livepeer-Jwt", "{good}")],
        "token_malformed",
    ),
    "a path that only looks like one": (MINE + ".a.b?token={good}", [], "allowed"),
    "any case of Bearer": (MINE, [("Authorization", "bEARER   {good}")], "allowed"),
    "an escaped one in the query": (MINE + "?token=%65{good[1]}", [], "allowed"),
    "an escaped one in the path is none": ("/%65{good[1]}/a", [], "token_missing"),
    "none but the question's own": (MINE, [], "token_missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", SEVERAL)
def test_several_tokens(player: Player, token: str, expired: str, name: str) -> None:
    url, headers, reason = SEVERAL[name]

    def filled(text: str) -> str:
        return text.replace("{good[1]}", token[1:]).format(good=token, bad=expired)

    rest = f"?token={token}"  # the question's own query, which counts without a URL only
    answer = player.ask(filled(url), [(key, filled(value)) for key, value in headers], rest=rest)
    assert answer.headers["x-auth-reason"] == reason


def test_a_token_without_a_url(player: Player, token: str, expired: str) -> None:
    """The reason is what is wrong with the token, and with a good one that nothing is said."""
    for rest in ("?token={}", "?jwt={}&a=b", "/?token={}"):
        for text, reason in (
            (token, "nothing_played"),
            (expired, "expired"),
            ("", "token_missing"),
        ):
            answer = player.ask(rest=rest.format(text))
            assert answer.headers["x-auth-reason"] == reason
            assert answer.status_code == (403 if text == token else 401)


def test_prefixes_are_believed_from_trusted_proxies_only(player: Player, token: str) -> None:
    transport = httpx2.HTTPTransport(local_address="127.0.0.9")
    with httpx2.Client(transport=transport, timeout=20) as http:
        stranger = Player(http, player.tenant)
        for rest, reason in ((f"/vod{MINE}", "subject_mismatch"), (MINE, "allowed")):
            for prefixes in (PREFIX[1], "no prefix"):
                headers = [(PREFIX[0], prefixes), ("Livepeer-Jwt", token)]
                assert stranger.ask(None, headers, rest=rest).headers["x-auth-reason"] == reason


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
)
def test_any_method(player: Player, token: str, method: str) -> None:
    """An edge passes on the viewer's method, and some pass on headers that fit a body."""
    for url, status in ((MINE, 200), (OTHER, 403), ("", 403)):
        headers = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")]
        for told, rest in ((url, "" if url else "/"), (None, url or "/")):
            answer = player.ask(told, headers, method=method, rest=rest)
            assert answer.status_code == status
            assert (answer.content, answer.headers["content-length"]) == (b"", "0")


def test_a_body_is_not_looked_at(player: Player, token: str) -> None:
    url = f"{MINE}?token={token}"
    for content in (b"{", b"x" * 60_000):
        assert player.ask(url, method="POST", content=content).status_code == 200
    answer = player.ask(url, method="POST", content=b"x" * 100_000)
    assert (answer.status_code, answer.headers["x-auth-reason"]) == (403, "body_too_large")
    assert player.ask(url).status_code == 200
