"""Whatever an edge passes on, it gets a status it understands, and only good tokens get a yes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.player import Player, sign
from tests.rawhttp import Wire, request
from tests.vectors.forge import VIDEO, TestKey

STATUSES = {200, 401, 403, 503}
HEADERS = [
    "X-Original-URI",
    "X-Forwarded-Uri",
    "X-Forwarded-For",
    "Authorization",
    "Livepeer-Jwt",
    "Cookie",
    "Content-Type",
    "Content-Encoding",
    "CF-IPCountry",
    "Accept",
]
# Pieces that mean something, {token} and {expired} among them, and anything else that fits.
PIECES = st.sampled_from(
    f"{VIDEO} {{token}} {{expired}} ey . .. %2e %2f % %zz ? & = ; token jwt livepeer-jwt Bearer "
    "downloads , ::1 [ 1.2.3.4 \\".split(" ")
)
VISIBLE = st.characters(min_codepoint=33, max_codepoint=126)
TARGETS = st.lists(PIECES | st.just("/") | st.text(VISIBLE, max_size=8), max_size=10).map("".join)
VALUES = st.lists(
    PIECES | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=8), max_size=8
).map("".join)
QUESTIONS = st.tuples(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]),
    TARGETS,
    st.lists(st.tuples(st.sampled_from(HEADERS), VALUES), max_size=5),
)


@pytest.fixture(scope="module")
def texts(key: TestKey) -> dict[str, str]:
    return {"token": sign(key), "expired": sign(key, exp=1)}


def fill(text: str, texts: dict[str, str]) -> str:
    for name, value in texts.items():
        text = text.replace(f"{{{name}}}", value)
    return "".join(character for character in text if character not in "\x7f\x85\xa0\xad")


@settings(max_examples=400, deadline=None, derandomize=True)
@given(question=QUESTIONS)
def test_whatever_is_thrown_at_it(
    player: Player,
    texts: dict[str, str],
    service_log: Path,
    question: tuple[str, str, list[tuple[str, str]]],
) -> None:
    method, rest, headers = question
    target = fill(f"/accounts/{player.tenant.account_id}/verify/{rest}", texts).replace("#", "")
    lines = [fill(f"{name}: {value}", texts) for name, value in headers]
    with Wire(player.tenant.url) as wire:
        wire.say(request(method, target, [*lines, "Connection: close"]))
        answer = wire.answer(method)
        assert wire.ended()
    assert answer.status in STATUSES
    assert answer.header("x-auth-reason")
    assert answer.header("content-length") == "0"
    if answer.status == 200:
        assert texts["token"] in target + "".join(lines)
        assert VIDEO in target + "".join(lines) or texts["token"] in target
    assert b'"fault"' not in service_log.read_bytes()[-4000:]


# Heads that are refused before anybody reads them, and the reason.
HEADS: dict[str, tuple[list[str], str]] = {
    "a method nobody knows": ([], "method_unknown"),
    "two hosts": (["Host: other"], "header_invalid"),
    "very many headers": ([f"X-{number}: y" for number in range(200)], "headers_too_large"),
    "a very long header": (["X-Long: " + "x" * 40_000], "headers_too_large"),
    "a body in a coding": (["Transfer-Encoding: gzip"], "transfer_coding_unsupported"),
    "a long body": (["Content-Length: 1000000"], "body_too_large"),
    "an encoded body": (["Content-Encoding: gzip"], "encoding_unsupported"),
    "no header": (["no header"], "header_invalid"),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_that_nobody_reads(player: Player, texts: dict[str, str], name: str) -> None:
    lines, reason = HEADS[name]
    method = "BREW" if name == "a method nobody knows" else "GET"
    target = f"/accounts/{player.tenant.account_id}/verify/{VIDEO}?token={texts['token']}"
    with Wire(player.tenant.url) as wire:
        wire.say(request(method, target, lines))
        answer = wire.answer(method)
    assert (answer.status, answer.header("x-auth-reason")) == (403, reason)
    assert answer.header("content-length") == "0"


def test_a_very_long_target(player: Player) -> None:
    target = f"/accounts/{player.tenant.account_id}/verify/{'x' * 20_000}"
    with Wire(player.tenant.url) as wire:
        wire.say(request("GET", target))
        answer = wire.answer()
    assert (answer.status, answer.header("x-auth-reason")) == (403, "uri_too_long")
