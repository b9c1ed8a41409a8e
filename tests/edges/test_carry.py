"""How a token goes from a playlist to its segments: Keyferry says how, an edge asks and passes on.

Each edge stands before an oracle in Keyferry's place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.edges.conftest import PREFIXES
from tests.edges.media import PLAYLIST
from tests.edges.servers import Verdict, allowed

if TYPE_CHECKING:
    from tests.edges.conftest import Pair, Stage

TOKEN = f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.{'c2lnbmF0dXJl' * 20}"
COOKIE = f"Livepeer-Jwt={TOKEN}; Path=/video; Max-Age=600; HttpOnly; Secure; SameSite=Lax"
LIES = {
    "X-Keyferry-Carry": "cookie",
    "X-Keyferry-Prefix": "/lie",
    "Connection": "keep-alive, X-Keyferry-Carry, X-Keyferry-Prefix",
}


def with_cookie(target: str, subject: str) -> Verdict:
    verdict = allowed(target, subject)
    return Verdict(200, {**verdict.headers, "Set-Cookie": COOKIE})


@pytest.mark.parametrize("lies", [{}, LIES], ids=["", "lied to"])
def test_it_tells_keyferry_how_and_where(
    believer: Pair, stage: Stage, lies: dict[str, str]
) -> None:
    believer.edge.ask(f"/{stage.mine.id}/index.m3u8?token={TOKEN}", lies)
    [heard] = believer.oracle.heard
    assert heard.headers.get_all("X-Keyferry-Carry") == ["redirect"]
    assert heard.headers.get_all("X-Keyferry-Prefix") == [", ".join(PREFIXES)]


def test_a_redirect_is_passed_on(believer: Pair, stage: Stage) -> None:
    location = f"/vod/{TOKEN}/index.m3u8?_HLS_msn=3"
    said = {"X-Auth-Reason": "allowed", "Location": location, "Cache-Control": "no-store"}
    believer.oracle.judge = lambda _: Verdict(302, said)
    for method in ("GET", "HEAD"):
        target = f"/vod/{stage.mine.id}/index.m3u8?token={TOKEN}&_HLS_msn=3"
        answer = believer.edge.ask(target, {"Origin": "https://a.example"}, method=method)
        assert (answer.status_code, answer.headers["Location"]) == (302, location)
        assert answer.headers.get_list("Cache-Control") == ["no-store"]
        assert answer.headers.get_list("Access-Control-Allow-Origin") == ["*"]
    assert stage.origin.heard == []
    assert TOKEN[:60] not in believer.edge.log.read_text()


def test_a_cookie_is_passed_on(doubter: Pair, stage: Stage) -> None:
    doubter.oracle.judge = lambda target: with_cookie(target, stage.mine.id)
    answer = doubter.edge.ask(f"/{stage.mine.id}/index.m3u8?token={TOKEN}")
    assert (answer.status_code, answer.content) == (200, PLAYLIST)
    assert answer.headers.get_list("Set-Cookie") == [COOKIE]
    assert answer.headers.get_list("Cache-Control") == ["private"]
    [heard] = doubter.oracle.heard
    assert heard.headers.get_all("X-Keyferry-Carry") == ["cookie; Secure; SameSite=Lax"]
    assert TOKEN[:60] not in doubter.edge.log.read_text()


def test_nothing_is_carried_unless_asked_for(pair: Pair, stage: Stage) -> None:
    pair.oracle.judge = lambda target: with_cookie(target, stage.mine.id)
    answer = pair.edge.ask(f"/{stage.mine.id}/index.m3u8?token={TOKEN}", LIES)
    assert "Set-Cookie" not in answer.headers
    for heard in pair.oracle.heard:
        assert not [name for name in heard.headers if name.lower().startswith("x-keyferry-")]


LONG = f"eyJhbGciOiJSUzI1NiJ9.{'a' * 7700}.{'c2lnbmF0dXJl' * 28}"  # about 8 KiB, the most there is


def test_the_longest_token_is_carried(believer: Pair, stage: Stage) -> None:
    location = f"/{LONG}/index.m3u8"
    believer.oracle.judge = lambda _: Verdict(302, {"Location": location})
    answer = believer.edge.ask(f"/{stage.mine.id}/index.m3u8?token={LONG}")
    assert (answer.status_code, answer.headers["Location"]) == (302, location)


def test_the_longest_token_is_set_as_a_cookie(doubter: Pair, stage: Stage) -> None:
    cookie = COOKIE.replace(TOKEN, LONG)
    yes = allowed(f"/{stage.mine.id}/index.m3u8", stage.mine.id).headers
    doubter.oracle.judge = lambda _: Verdict(200, {**yes, "Set-Cookie": cookie})
    for place in ({"Livepeer-Jwt": LONG}, {"Cookie": f"Livepeer-Jwt={LONG}"}):
        answer = doubter.edge.ask(f"/{stage.mine.id}/index.m3u8", place)
        assert (answer.content, answer.headers.get_list("Set-Cookie")) == (PLAYLIST, [cookie])
