"""What an edge asks Keyferry, what it makes of the answer, and what it keeps to itself.

Each edge stands before an oracle in Keyferry's place, so that the questions can be read and
answers be given that a healthy Keyferry does not give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.edges.conftest import make_pair
from tests.edges.media import PLAYLIST
from tests.edges.servers import oracle, played

if TYPE_CHECKING:
    from pathlib import Path

    from tests.edges.conftest import Pair, Stage

# Long enough for a token, and as opaque as one is to an edge.
TOKEN = f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.{'c2lnbmF0dXJl' * 20}"

TARGETS_WITH_TOKEN = [
    "/{video}/seg0.ts?token={token}",
    "/{video}/seg0.ts?a=1&jwt={token}&token=&b",
    "/{video}/seg0.ts?%74oken={token}",
    "/{video}/seg0.ts?j%77t={token}",
    "/{token}/manifest/seg0.ts",
]


def test_the_question(pair: Pair, stage: Stage) -> None:
    target = f"/{stage.mine.id}/index.m3u8?token={TOKEN}&a=%2Fb"
    assert pair.edge.ask(target).content == PLAYLIST
    [heard] = pair.oracle.heard
    assert (heard.method, played(heard), heard.body) == ("GET", target, b"")


def test_the_body_is_not_passed_on(pair: Pair, stage: Stage) -> None:
    pair.edge.ask(f"/{stage.mine.id}/index.m3u8?token={TOKEN}", body=b"a body")
    assert pair.oracle.heard
    for heard in pair.oracle.heard:
        assert (heard.body, heard.headers.get("Content-Length", "0")) == (b"", "0")
        assert "Transfer-Encoding" not in heard.headers


def test_only_reading_is_allowed(pair: Pair, stage: Stage) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = pair.edge.ask(f"/{stage.mine.id}/index.m3u8?token={TOKEN}", method=method)
        assert answer.status_code in {403, 404, 405}
    assert [heard for heard in stage.origin.heard if heard.method not in {"GET", "HEAD"}] == []


def test_the_client_does_not_put_words_in_its_mouth(pair: Pair, stage: Stage) -> None:
    lies = dict.fromkeys(("X-Original-URI", "X-Forwarded-Uri", "X-Forwarded-For"), "203.0.113.9")
    pair.edge.ask(f"/{stage.mine.id}/index.m3u8?token={TOKEN}", lies)
    [heard] = pair.oracle.heard
    assert not [name for name in lies if "203.0.113.9" in heard.headers.get(name, "")]
    assert "," not in heard.headers["X-Forwarded-For"]


def test_a_path_may_be_long(pair: Pair, stage: Stage) -> None:
    target = f"/{stage.mine.id}/{'folder/' * 900}seg0.ts?token={TOKEN}"
    assert pair.edge.ask(target).status_code in {400, 404}  # there is no such file
    [heard] = pair.oracle.heard
    assert played(heard) == target


@pytest.mark.parametrize("status", [401, 403])
def test_a_no_is_passed_on(pair: Pair, stage: Stage, status: int) -> None:
    pair.answer(status)
    answer = pair.edge.ask(f"/{stage.mine.id}/index.m3u8?token={TOKEN}")
    assert (answer.status_code, answer.headers["X-Auth-Reason"]) == (status, "because")
    assert stage.origin.heard == []


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_fault_is_no_permission(pair: Pair, stage: Stage, status: int) -> None:
    pair.answer(status, stage.mine.id)
    answer = pair.edge.ask(f"/{stage.mine.id}/index.m3u8?token={TOKEN}")
    assert answer.status_code == 503
    assert stage.origin.heard == []


@pytest.mark.parametrize("status", [302, 404, 429])
def test_any_other_answer_is_no_permission(pair: Pair, stage: Stage, status: int) -> None:
    pair.answer(status)
    answer = pair.edge.ask(f"/{stage.mine.id}/index.m3u8?token={TOKEN}")
    assert PLAYLIST not in answer.content


def test_silence_is_no_permission(name: str, stage: Stage, tmp_path: Path) -> None:
    target = f"/{stage.mine.id}/index.m3u8?token={TOKEN}"
    with make_pair(name, tmp_path, stage) as pair:
        assert pair.edge.ask(target).status_code == 200
        pair.oracle.stop()
        stage.origin.heard.clear()
        assert pair.edge.ask(target).status_code == 503
        assert stage.origin.heard == []
        with oracle(pair.oracle.server_port) as back:
            back.judge = pair.oracle.judge
            assert pair.edge.ask(target).status_code == 200


def test_a_yes_without_a_subject(pair: Pair, stage: Stage) -> None:
    pair.answer(200)
    for target in (f"/{TOKEN}/seg0.ts", f"/{TOKEN}/{stage.other.id}/seg0.ts"):
        answer = pair.edge.ask(target, {"X-Auth-Sub": stage.other.id})
        assert answer.status_code in {403, 404}


def test_connections_that_were_closed(pair: Pair, stage: Stage) -> None:
    for _ in range(5):
        assert pair.edge.ask(f"/{stage.mine.id}/index.m3u8?token={TOKEN}").status_code == 200
        pair.oracle.hang_up()


def test_connections_stay_open(pair: Pair, stage: Stage) -> None:
    for _ in range(40):
        assert pair.edge.ask(f"/{stage.mine.id}/index.m3u8?token={TOKEN}").status_code == 200
    assert len({heard.connection for heard in pair.oracle.heard}) <= 4  # one for each worker


@pytest.mark.parametrize("target", TARGETS_WITH_TOKEN)
def test_the_origin_gets_no_token(believer: Pair, stage: Stage, target: str) -> None:
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "Livepeer-Jwt": TOKEN,
        "Cookie": f"Livepeer-Jwt={TOKEN}",
        "Referer": f"http://example.invalid/?token={TOKEN}",
    }
    answer = believer.edge.ask(target.format(video=stage.mine.id, token=TOKEN), headers)
    assert answer.content == stage.mine.segment
    [heard] = stage.origin.heard
    assert TOKEN not in str(heard.headers)
    assert TOKEN not in heard.target


def test_the_origin_hears_what_is_asked_for(believer: Pair, stage: Stage) -> None:
    wishes = {"Range": "bytes=188-375", "If-None-Match": '"a"', "Accept": "video/mp2t"}
    for method in ("GET", "HEAD"):
        believer.begin(stage)
        believer.edge.ask(f"/{stage.mine.id}/seg0.ts?token={TOKEN}", wishes, method=method)
        [heard] = stage.origin.heard
        assert (heard.method, heard.target) == (method, f"/{stage.mine.id}/seg0.ts")
        assert {name: heard.headers[name] for name in wishes} == wishes


QUERIES = {
    f"_HLS_msn=3&token={TOKEN}&jwt={TOKEN}&_HLS_part=1": ["_HLS_msn=3", "_HLS_part=1"],
    f"token={TOKEN}&a=%26token%3D1&jwt=": ["a=%26token%3D1"],
    f"a&token={TOKEN}&mytoken=1&token2=2&x=token": ["a", "mytoken=1", "token2=2", "x=token"],
    f"token={TOKEN}": [],
    f"%74oken={TOKEN}&to%6Ben&t%6fken={TOKEN}&a=1": ["a=1"],
}


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_the_rest_of_the_query_is_kept(believer: Pair, stage: Stage, query: str) -> None:
    believer.edge.ask(f"/{stage.mine.id}/seg0.ts?{query}")
    [heard] = stage.origin.heard
    fields = filter(None, heard.target.partition("?")[2].split("&"))
    assert [field.removesuffix("=") for field in fields] == QUERIES[query]


def test_logs_hold_no_token(name: str, stage: Stage, tmp_path: Path) -> None:
    with make_pair(name, tmp_path, stage) as pair:
        for status in (200, 401, 403, 500):
            pair.answer(status, stage.mine.id)
            for target in (f"/{stage.mine.id}/seg0.ts?token={TOKEN}", f"/{TOKEN}/manifest/seg0.ts"):
                pair.edge.ask(target, {"Authorization": f"Bearer {TOKEN}", "Livepeer-Jwt": TOKEN})
            pair.edge.ask(f"/{TOKEN}/no/such.file", {"Cookie": f"Livepeer-Jwt={TOKEN}"})
        pair.edge.ask(f"/{TOKEN}/a/{TOKEN}/seg0.ts")
        pair.oracle.stop()
        pair.edge.ask(f"/{TOKEN}/manifest/seg0.ts")
    log = pair.edge.log.read_text()
    assert " 200 " in log or "200," in log
    assert not [line for line in log.splitlines() if TOKEN[:60] in line]


@pytest.mark.parametrize("subject", ["..", ".", "", "a/b", "%2e%2e", ".hidden", "a?", "a#"])
def test_a_subject_that_is_no_folder(pair: Pair, stage: Stage, subject: str) -> None:
    pair.answer(200, subject)
    answer = pair.edge.ask(f"/{TOKEN}/{stage.other.id}/seg0.ts")
    assert answer.content != stage.other.segment
