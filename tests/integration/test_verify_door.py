"""The door for edges: where it finds the URL that is played and the token for it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import pytest

from tests.player import Headers, Player, sign
from tests.vectors.forge import PLAYBACK, VIDEO, TestKey

MINE, OTHER = f"/{VIDEO}/index.m3u8", f"/{PLAYBACK}/index.m3u8"


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
    "X-Original-URI": ("", [("X-Original-URI", MINE)], "allowed"),
    "X-Forwarded-Uri": ("", [("X-Forwarded-Uri", MINE)], "allowed"),
    "behind a slash": ("/", [("X-Original-URI", MINE)], "allowed"),
    "an empty header": ("", [("X-Original-URI", ""), ("X-Forwarded-Uri", MINE)], "allowed"),
    "the same in both": ("", [("X-Original-URI", MINE), ("X-Forwarded-Uri", MINE)], "allowed"),
    "another in each": (
        "",
        [("X-Original-URI", MINE), ("X-Forwarded-Uri", OTHER)],
        "path_ambiguous",
    ),
    "one header twice": ("", 2 * [("X-Forwarded-Uri", MINE)], "allowed"),
    "one header twice, differing": (
        "",
        [("X-Forwarded-Uri", OTHER), ("X-Forwarded-Uri", MINE)],
        "path_ambiguous",
    ),
    "rest wins": (OTHER, [("X-Original-URI", MINE), ("X-Forwarded-Uri", MINE)], "subject_mismatch"),
    "rest wins, too": (MINE, [("X-Original-URI", OTHER)], "allowed"),
    "nowhere": ("", [], "nothing_played"),
    "nowhere but a slash": ("/", [], "nothing_played"),
    "only in a query": ("?token=x", [], "nothing_played"),
    "an absolute URL": ("", [("X-Original-URI", f"http://edge{MINE}")], "path_ambiguous"),
    "dot segments": (f"/{PLAYBACK}/..{MINE}", [], "path_ambiguous"),
    "dot segments in a header": ("", [("X-Original-URI", f"/x/%2e%2e{MINE}")], "path_ambiguous"),
    "two slashes": (f"/{MINE}", [], "path_ambiguous"),
    "an escaped subject": (MINE.replace("e", "%65"), [], "allowed"),
}  # fmt: skip


@pytest.mark.parametrize("name", URLS)
def test_the_url(player: Player, token: str, name: str) -> None:
    rest, headers, reason = URLS[name]
    bearer = ("Authorization", f"Bearer {token}")
    assert player.ask(None, [*headers, bearer], rest=rest).headers["x-auth-reason"] == reason


# Each puts a token into a path's segment, a query's fields and headers; in the documented order.
Places = dict[str, Callable[[str], tuple[str, list[str], Headers]]]
PLACES: Places = {
    "path": lambda token: (token, [], []),
    "?token=": lambda token: ("x", [f"token={token}"], []),
    "?jwt=": lambda token: ("x", [f"jwt={token}"], []),
    "Bearer": lambda token: ("x", [], [("Authorization", f"Bearer {token}")]),
    "Livepeer-Jwt": lambda token: ("x", [], [("Livepeer-Jwt", token)]),
    "cookie": lambda token: ("x", [], [("Cookie", f"a=b; Livepeer-Jwt={token}; c=d")]),
}


def reason_of(player: Player, *tokens: tuple[str, str]) -> str:
    """Ask with tokens in these places and return the reason."""
    segment, fields, headers = "x", ["a=b"], list[tuple[str, str]]()
    for place, text in tokens:
        in_path, in_query, in_headers = PLACES[place](text)
        segment = in_path if segment == "x" else segment
        fields += in_query
        headers += in_headers
    # The worst place comes first in the request, to show that the order is not the request's.
    url = f"/{VIDEO}/{segment}/a.m3u8?{'&'.join(reversed(fields))}"
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
    "in the question's own query, for the headers' URL": (MINE, [], "token_missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", SEVERAL)
def test_several_tokens(player: Player, token: str, expired: str, name: str) -> None:
    url, headers, reason = SEVERAL[name]

    def filled(text: str) -> str:
        return text.replace("{good[1]}", token[1:]).format(good=token, bad=expired)

    rest = "?token=" + token if reason == "token_missing" else ""
    answer = player.ask(filled(url), [(key, filled(value)) for key, value in headers], rest=rest)
    assert answer.headers["x-auth-reason"] == reason


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
