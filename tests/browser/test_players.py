"""hls.js and dash.js in Chromium play through every edge, from a page of another site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.chromium import MEDIA_HOST
from tests.browser.conftest import VIDEO
from tests.browser.stream import RENDITIONS, SECONDS

if TYPE_CHECKING:
    from tests.browser.conftest import Cinema, Media

INDEX = f"/{VIDEO.id}/index.m3u8"


def check_played(told: dict[str, Any]) -> None:
    """Check that it was played to the end, with every segment, and in every rendition."""
    assert (told["error"], told["ended"]) == (None, True), told
    numbers = {name.partition("-")[2] for name in told["segments"]}
    assert {f"{number}.m4s" for number in range(1, SECONDS + 1)} <= numbers
    pictures = {name[:4] for name in told["segments"]} - {f"seg{len(RENDITIONS)}"}
    assert len(pictures) == len(RENDITIONS)


@pytest.mark.parametrize("added", ["query", "Livepeer-Jwt", "Authorization"])
def test_a_token_that_the_player_adds_plays_to_the_end(
    media: Media, token: str, added: str
) -> None:
    check_played(media.play(media.url(INDEX), added=added, token=token))


def test_a_token_in_a_cookie_plays_to_the_end(media: Media, token: str, cookies: Any) -> None:
    url = media.url(INDEX)
    assert media.play(url, credentials=True)["reason"] == "token_missing"
    for same_site in ("Lax", "None"):
        cookies(
            name="Livepeer-Jwt",
            value=token,
            domain=MEDIA_HOST,
            path=f"/{VIDEO.id}",
            secure=True,
            httpOnly=True,
            sameSite=same_site,
        )
        told = media.play(url, credentials=True)
        if same_site == "Lax":  # the browser keeps it from another site's page
            assert told["reason"] == "token_missing"
    check_played(told)


@pytest.mark.parametrize("path", ["/index.m3u8", "/manifest/video.m3u8"])
def test_a_token_in_the_path_plays_to_the_end(media: Media, token: str, path: str) -> None:
    check_played(media.play(media.url(f"/{token}{path}")))


def test_a_deleted_key_stops_a_play_at_the_next_segment(media: Media, cinema: Cinema) -> None:
    key = cinema.account.make_key()
    options = {"added": "Livepeer-Jwt", "token": key.sign(VIDEO)}
    begun = media.play(media.url(INDEX), function="load", **options)
    assert begun["error"] is None, begun
    cinema.account.delete(key)
    told = cinema.browser.call("playOn")
    assert (told["ended"], told["reason"]) == (False, "key_deleted"), told
    assert max(told["segments"]) < f"seg{len(RENDITIONS)}-{SECONDS}"


def test_the_browser_asks_before_it_sends_a_header(
    media: Media, cinema: Cinema, token: str
) -> None:
    cinema.browser.events.clear()
    url = media.url(f"{INDEX}?preflight")
    told = cinema.browser.call("ask", url, {"Livepeer-Jwt": token, "Range": "bytes=0-9"})
    assert told["status"] in {200, 206}
    preflights = [
        event["params"]["response"]["status"]
        for event in cinema.browser.events
        if event["method"] == "Network.responseReceived"
        and event["params"]["type"] == "Preflight"
        and event["params"]["response"]["url"] == url
    ]
    assert len(preflights) == 1
    assert preflights[0] in {200, 204}


def test_a_redirect_carries_the_token_of_the_query(media: Media, token: str) -> None:
    told = media.play(media.url(f"{INDEX}?jwt={token}", "redirect"))
    check_played(told)
    assert all(f"/{token}/" in address for address in told["addresses"])


def test_a_cookie_carries_the_token_of_the_query(media: Media, token: str, cookies: Any) -> None:
    assert cookies
    told = media.play(media.url(f"{INDEX}?jwt={token}", "cookie"), credentials=True)
    check_played(told)
    assert not [address for address in told["addresses"] if token in address]


def test_without_a_way_to_carry_it_a_token_of_the_query_stays_behind(
    media: Media, token: str
) -> None:
    told = media.play(media.url(f"{INDEX}?jwt={token}"))
    assert (told["ended"], told["reason"]) == (False, "token_missing")


@pytest.mark.parametrize("added", ["Livepeer-Jwt", "nothing"])
def test_dash_plays_to_the_end(media: Media, token: str, added: str) -> None:
    first = token if added == "nothing" else VIDEO.id
    url = media.url(f"/{first}/manifest.mpd")
    told = media.play(url, player="dash", added=added, token=token)
    assert (told["error"], told["ended"]) == (None, True), told
    assert len(set(told["segments"])) >= SECONDS
