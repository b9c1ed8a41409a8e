"""Bodies by chunks, as .NET, Node and Java send them: taken everywhere, and nothing smuggled in."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.bystander import Bystander, meet, refusal
from tests.conformance.cases import CASES
from tests.player import Player, sign
from tests.rawhttp import Answer, Wire
from tests.vectors.forge import VIDEO, TestKey

LIVEPEER = CASES["livepeer"]
CHUNKED = "Transfer-Encoding: chunked"
JAVA = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIA"]
BROKEN = "the body ended early, or its chunks are malformed"


def chunks(body: bytes, size: int = 7, extension: str = "", trailers: str = "") -> bytes:
    """Return a body by chunks of a size, each with an extension, and trailers behind the last."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    text = b"".join(b"%x%s\r\n%s\r\n" % (len(p), extension.encode(), p) for p in parts)
    return text + f"0{extension}\r\n{trailers}\r\n".encode()


def rename(met: Bystander, name: str, *headers: str, sent: bytes | None = None) -> bytes:
    """Return a request that gives a key a name, with a body by chunks unless it is given."""
    body = json.dumps({"name": name}).encode()
    path, lines = met.path(LIVEPEER, "update_key"), headers or (CHUNKED,)
    return met.request("PATCH", path, *lines, body=chunks(body) if sent is None else sent)


def look(met: Bystander) -> bytes:
    """Return a request for what the key's name is."""
    return met.request("GET", met.path(LIVEPEER, "get_key"))


def wire_to(met: Bystander) -> Wire:
    return Wire(met.visitor.tenant.url)


def body_of(name: str) -> bytes:
    return json.dumps({"name": name}).encode()


# Header lines and bodies; each body gives the name under which it stands here.
SPELLINGS: dict[str, tuple[list[str], bytes]] = {
    "one chunk": ([CHUNKED], chunks(body_of("one chunk"), 100)),
    "single bytes": ([CHUNKED], chunks(body_of("single bytes"), 1)),
    "upper case": (["TRANSFER-ENCODING: CHUNKED"], chunks(body_of("upper case"))),
    "a tab": (["Transfer-Encoding:\tchunked"], chunks(body_of("a tab"))),
    "spaces": (["Transfer-Encoding:   chunked  "], chunks(body_of("spaces"))),
    "extensions": ([CHUNKED], chunks(body_of("extensions"), 5, ';a="b;c\\"";d')),
    "leading zeros": ([CHUNKED], b"00" + chunks(body_of("leading zeros"), 100)),
    "trailers": ([CHUNKED, "Trailer: X-A"], chunks(body_of("trailers"), 7, "", "X-A: b\r\n")),
    "java": ([CHUNKED, *JAVA], chunks(body_of("java"))),
    "java with an extension": (
        [*JAVA, CHUNKED],
        chunks(body_of("java with an extension"), 3, ";x=y", "X: y\r\n"),
    ),
}


@pytest.mark.parametrize("cut", [0, 1, 3, 10, None])
@pytest.mark.parametrize("name", SPELLINGS)
def test_a_body_by_chunks_is_taken(met: Bystander, name: str, cut: int | None) -> None:
    """However it arrives, and the request behind it is the next one."""
    lines, body = SPELLINGS[name]
    head = rename(met, name, *lines, sent=b"")
    with wire_to(met) as wire:
        for _ in range(2):
            if cut is None:
                wire.say(head + body + look(met))
            else:
                wire.say(head + body[:cut], body[cut:] + look(met), pause=0.01)
            assert wire.answer("PATCH").status == 204
            assert json.loads(wire.answer().body)["name"] == name


def test_a_body_by_chunks_arrives_byte_by_byte(met: Bystander) -> None:
    lines, body = SPELLINGS["extensions"]
    text = rename(met, "", *lines, sent=body)
    with wire_to(met) as wire:
        wire.say(*(text[at : at + 1] for at in range(len(text))), look(met), pause=0.0005)
        assert wire.answer("PATCH").status == 204
        assert json.loads(wire.answer().body)["name"] == "extensions"


def test_many_bodies_by_chunks_in_one_write(met: Bystander) -> None:
    texts = [rename(met, f"{n}") + look(met) for n in range(50)]
    with wire_to(met) as wire:
        wire.say(b"".join(texts))
        for n in range(50):
            assert wire.answer("PATCH").status == 204
            assert json.loads(wire.answer().body)["name"] == f"{n}"


def test_a_body_by_chunks_is_asked_for(met: Bystander) -> None:
    with wire_to(met) as wire:
        wire.say(rename(met, "", CHUNKED, "Expect: 100-continue", sent=b""))
        assert wire.answer().status == 100
        wire.say(chunks(b'{"name":"asked"}') + look(met))
        assert wire.answer("PATCH").status == 204
        assert json.loads(wire.answer().body)["name"] == "asked"


def test_trailers_are_no_headers(met: Bystander) -> None:
    """Neither of this request nor of the next."""
    bearer = f"Authorization: Bearer {met.visitor.token}\r\nExpect: 100-continue\r\n"
    nobody = rename(met, "x", CHUNKED, sent=chunks(b"{}", trailers=bearer))
    nobody = nobody.replace(b"Authorization", b"X", 1)
    with wire_to(met) as wire:
        wire.say(nobody + look(met).replace(b"Authorization", b"X") + look(met))
        assert [wire.answer().status for _ in range(3)] == [401, 401, 200]


def test_a_trailer_may_end_the_connection(met: Bystander) -> None:
    """The parser takes its word, and then no more requests."""
    with wire_to(met) as wire:
        sent = chunks(b'{"name":"last"}', trailers="Connection: close\r\n")
        wire.say(rename(met, "", sent=sent) + look(met))
        answer = wire.answer("PATCH")
        assert (answer.status, answer.header("connection")) == (204, "close")
        assert wire.closed()


MALFORMED = {
    "no size": b"zz\r\n{}\r\n",
    "nothing": b"\r\n\r\n",
    "a size that is huge": b"f" * 40 + b"\r\n",
    "a size over 64 bit": b"10000000000000002\r\n{}\r\n0\r\n\r\n",
    "a negative size": b"-2\r\n{}\r\n0\r\n\r\n",
    "a signed size": b"+2\r\n{}\r\n0\r\n\r\n",
    "a prefixed size": b"0x2\r\n{}\r\n0\r\n\r\n",
    "a space before the size": b" 2\r\n{}\r\n0\r\n\r\n",
    "a space behind the size": b"2 \r\n{}\r\n0\r\n\r\n",
    "a line feed behind the size": b"2\n{}\r\n0\r\n\r\n",
    "a carriage return behind the size": b"2\r{}\r\n0\r\n\r\n",
    "a line feed in an extension": b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    "a control character in an extension": b"2;a=\x01\r\n{}\r\n0\r\n\r\n",
    "a line feed behind the data": b"2\r\n{}\n0\r\n\r\n",
    "too much data": b"2\r\n{}x\r\n0\r\n\r\n",
    "too little data": b"3\r\n{}\r\n0\r\n\r\n",
    "an empty line between chunks": b"2\r\n{}\r\n\r\n0\r\n\r\n",
    "a line feed at the end": b"2\r\n{}\r\n0\r\n\n",
    "a trailer without a colon": b"2\r\n{}\r\n0\r\nbad\r\n\r\n",
    "a trailer that is folded": b"2\r\n{}\r\n0\r\nA: b\r\n c\r\n\r\n",
    "a length for a trailer": b"2\r\n{}\r\n0\r\nContent-Length: 2\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "extensions without end": b"2" + b";a=b" * 200_000,
    "trailers without end": b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 200_000,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_chunks(bystander: Bystander, name: str) -> None:
    """One 400, and nothing behind it is taken for a request."""
    smuggled = bystander.request("POST", bystander.path(LIVEPEER, "create_key"))
    for case in CASES.values():
        for pause, headers in ((0.0, [CHUNKED]), (0.01, [CHUNKED]), (0.0, [CHUNKED, *JAVA])):
            path = bystander.path(case, "create_key")
            head = bystander.request("POST", path, *headers)
            with wire_to(bystander) as wire:
                if pause:
                    wire.say(head, MALFORMED[name] + smuggled, pause=pause)
                else:
                    wire.say(head + MALFORMED[name] + smuggled)
                assert refusal(wire.answer(), case) == (400, [BROKEN])
                assert wire.closed()


def test_a_body_over_the_cap(bystander: Bystander) -> None:
    """By chunks of any size, in one write or in many."""
    for case in CASES.values():
        for size in (1, 1000, 70_000):
            head = bystander.request("POST", bystander.path(case, "create_key"), CHUNKED)
            body = chunks(b"x" * 65_537, size)
            for parts in ([head + body], [head, body[:20_000], body[20_000:]]):
                with wire_to(bystander) as wire:
                    wire.say(*parts, pause=0.01)
                    answer = wire.answer()
                    assert refusal(answer, case)[0] == 413
                    assert answer.header("connection") == "close"
                    assert wire.closed()


def test_a_body_at_the_cap(met: Bystander) -> None:
    """By single bytes it takes six times as many on the wire."""
    body = b'{"name":"full"' + b" " * (65_536 - 15) + b"}"
    for headers in ([CHUNKED], [CHUNKED, *JAVA]):
        for size in (1, 65_536):
            with wire_to(met) as wire:
                wire.say(rename(met, "", *headers, sent=chunks(body, size)) + look(met))
                assert wire.answer("PATCH").status == 204
                assert json.loads(wire.answer().body)["name"] == "full"


def test_http_1_0_knows_no_chunks(bystander: Bystander) -> None:
    for case in CASES.values():
        path = bystander.path(case, "create_key")
        text = bystander.request("POST", path, CHUNKED, body=chunks(b"{}"), version="1.0")
        with wire_to(bystander) as wire:
            wire.say(text)
            assert refusal(wire.answer(), case)[0] == 400
            assert wire.closed()


def test_every_dialect_creates_by_chunks(met: Bystander) -> None:
    other = meet(met.visitor.tenant, met.visitor.http)
    for case in CASES.values():
        path, create = other.path(case, "create_key"), case.ask("create_key")
        text = other.request("POST", path, CHUNKED, body=chunks(b"{}"))
        with wire_to(other) as wire:
            wire.say(text + text)
            assert [wire.answer().status, wire.answer().status] == [create.status] * 2


def ask(player: Player, parts: Iterator[bytes], connection: http.client.HTTPConnection) -> object:
    """Ask as a program does, by http.client, which sends an iterator by chunks."""
    path = urlsplit(player.verify_url).path
    connection.request("POST", path, parts, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200
    return json.loads(answer.read())["reason"]


def test_programs_ask_by_chunks(player: Player, key: TestKey) -> None:
    """On one connection, and as urllib and http.client send them."""
    question = json.dumps({"token": sign(key), "subject": VIDEO}).encode()
    host = urlsplit(player.tenant.url).netloc
    connection = http.client.HTTPConnection(host, timeout=10)
    for size in (1, 10, 1000):
        parts = (question[at : at + size] for at in range(0, len(question), size))
        assert ask(player, parts, connection) == "allowed"
    connection.close()


def test_an_edge_asks_about_a_post_by_chunks(player: Player, key: TestKey) -> None:
    """An edge that passes on the body of a viewer's request, which nobody reads."""
    lines = [f"X-Original-URI: /{VIDEO}/index.m3u8?token={sign(key)}", CHUNKED]
    head = "\r\n".join([f"POST {urlsplit(player.verify_url).path} HTTP/1.1", "Host: x", *lines])
    text = f"{head}\r\n\r\n".encode() + chunks(bytes(5000))
    with Wire(player.tenant.url) as wire:
        wire.say(text + text)
        answers: list[Answer] = [wire.answer(), wire.answer()]
    assert [answer.header("x-auth-reason") for answer in answers] == ["allowed"] * 2
