"""Pages of another origin: what their browsers ask before a play, and what they may read of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.edges.conftest import PAGES

if TYPE_CHECKING:
    import httpx2

    from tests.edges.conftest import Pair, Stage

PAGE, OTHER_PAGE = PAGES
STRANGERS = [
    None,
    "https://evil.example",
    "http://player.example",
    "https://player.example.evil.example",
    "https://player.example:444",
    "null",
    f"{PAGE}, {OTHER_PAGE}",
]
PREFLIGHT = {
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization, livepeer-jwt, range",
}
TALK = {  # of a media server
    "Access-Control-Allow-Origin": "https://media.example",
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Expose-Headers": "Server",
    "Vary": "Accept-Encoding, Origin",
}
REFUSALS = [401, 403, 503]


def words(answer: httpx2.Response, name: str) -> set[str]:
    """Return the members of a list in headers, in small letters."""
    value = ",".join(answer.headers.get_list(name))
    return {word.strip().lower() for word in value.split(",")}


def every_answer(pair: Pair, stage: Stage, headers: dict[str, str]) -> list[httpx2.Response]:
    """Play, ask for nothing that is there, and be refused."""
    pair.answer(200, stage.mine.id)
    targets = ["index.m3u8", "seg0.ts", "none.ts"]
    answers = [pair.edge.ask(f"/{stage.mine.id}/{name}", headers) for name in targets]
    for status in REFUSALS:
        pair.answer(status)
        answers.append(pair.edge.ask(f"/{stage.mine.id}/seg0.ts", headers))
    assert [answer.status_code for answer in answers] == [200, 200, 404, *REFUSALS]
    return answers


def ask_before(pair: Pair, stage: Stage, page: str) -> httpx2.Response:
    """Ask as browsers do before a request with a token in a header."""
    pair.answer(401)
    target, headers = f"/{stage.mine.id}/seg0.ts", {"Origin": page, **PREFLIGHT}
    answer = pair.edge.ask(target, headers, method="OPTIONS")
    assert answer.is_success
    assert pair.oracle.heard == stage.origin.heard == []
    return answer


def check_preflight(answer: httpx2.Response, allowed: str) -> None:
    assert {"get", "head"} <= words(answer, "Access-Control-Allow-Methods")
    assert {"livepeer-jwt", "authorization", "range"} == words(
        answer, "Access-Control-Allow-Headers"
    )
    assert answer.headers.get_list("Access-Control-Max-Age") == ["7200"]
    assert answer.headers.get_list("Access-Control-Allow-Origin") == [allowed]


def test_a_preflight_is_answered_without_a_question(believer: Pair, stage: Stage) -> None:
    check_preflight(ask_before(believer, stage, PAGE), "*")


def test_a_preflight_of_a_listed_page(doubter: Pair, stage: Stage) -> None:
    answer = ask_before(doubter, stage, PAGE)
    check_preflight(answer, PAGE)
    assert answer.headers.get_list("Access-Control-Allow-Credentials") == ["true"]
    assert words(answer, "Vary") == {"origin"}


def test_a_preflight_of_a_page_that_is_not_listed(doubter: Pair, stage: Stage) -> None:
    answer = ask_before(doubter, stage, "https://evil.example")
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert words(answer, "Vary") == {"origin"}


def test_every_page_may_play_and_read_why_not(believer: Pair, stage: Stage) -> None:
    for answer in every_answer(believer, stage, {"Origin": "https://anywhere.example"}):
        assert answer.headers.get_list("Access-Control-Allow-Origin") == ["*"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
        readable = words(answer, "Access-Control-Expose-Headers")
        assert {"x-auth-reason", "content-length", "content-range", "date"} <= readable


@pytest.mark.parametrize("page", [PAGE, OTHER_PAGE])
def test_a_listed_page_may_play_with_cookies(doubter: Pair, stage: Stage, page: str) -> None:
    for answer in every_answer(doubter, stage, {"Origin": page}):
        assert answer.headers.get_list("Access-Control-Allow-Origin") == [page]
        assert answer.headers.get_list("Access-Control-Allow-Credentials") == ["true"]
        assert "x-auth-reason" in words(answer, "Access-Control-Expose-Headers")
        assert "origin" in words(answer, "Vary")


def test_a_page_that_is_not_listed_reads_nothing(doubter: Pair, stage: Stage) -> None:
    for page in STRANGERS:
        for answer in every_answer(doubter, stage, {"Origin": page} if page else {}):
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert "origin" in words(answer, "Vary")


def play_from_talkative_origin(pair: Pair, stage: Stage) -> httpx2.Response:
    """Play from an origin that sends such headers by itself."""
    pair.answer(200, stage.mine.id)
    stage.origin.also_says = TALK
    try:
        answer = pair.edge.ask(f"/{stage.mine.id}/seg0.ts", {"Origin": PAGE})
    finally:
        stage.origin.also_says = {}
    assert answer.content == stage.mine.segment
    assert len(answer.headers.get_list("Access-Control-Expose-Headers")) == 1
    return answer


def test_what_the_media_server_says_is_replaced(believer: Pair, stage: Stage) -> None:
    answer = play_from_talkative_origin(believer, stage)
    assert answer.headers.get_list("Access-Control-Allow-Origin") == ["*"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_what_the_media_server_says_is_not_doubled(doubter: Pair, stage: Stage) -> None:
    answer = play_from_talkative_origin(doubter, stage)
    assert answer.headers.get_list("Access-Control-Allow-Origin") == [PAGE]
    assert answer.headers.get_list("Access-Control-Allow-Credentials") == ["true"]
