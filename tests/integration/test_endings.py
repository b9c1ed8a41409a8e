"""How connections end: behind an early answer, a parse error, or a client that says no more."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product

import httpx2
import psutil
import pytest

from tests.fleet import until
from tests.outage import frozen
from tests.player import Player
from tests.rawhttp import Answer, Wire, request
from tests.service import House, make_tenant, serve
from tests.talk import Talk, names

SETTINGS = {"KEYFERRY_LIVEPEER_ALGORITHM": "ES256", "KEYFERRY_POOL_SIZE": "4"}


@pytest.fixture(scope="module")
def served(
    house: House, tmp_path_factory: pytest.TempPathFactory, http: httpx2.Client
) -> Iterator[tuple[Talk, psutil.Process]]:
    with serve(house, tmp_path_factory.mktemp("endings") / "log", SETTINGS) as (url, process):
        yield Talk(Player(http, make_tenant(house, url))), psutil.Process(process.pid)


@pytest.fixture
def talk(served: tuple[Talk, psutil.Process]) -> Talk:
    return served[0]


def early(talk: Talk) -> dict[str, tuple[bytes, int]]:
    """Return heads that are answered without a look at the body, and with which status."""
    account = f"/accounts/{talk.player.tenant.account_id}"
    post = talk.ask("create", "create_key")
    return {
        "allowed": (talk.verify("1"), 200),
        "refused": (talk.verify("1", good=False), 403),
        "a post that an edge asks about": (talk.verify("1", "POST"), 200),
        "question of no account": (request("GET", "/accounts/x/verify/y"), 403),
        "jwks": (talk.jwks("1"), 200),
        "pem": (request("GET", f"/keys/{talk.player.tenant.account_id}.pem"), 404),
        "no such file": (request("GET", f"{account}/nothing"), 404),
        "no such method": (request("DELETE", f"{account}/jwks.json"), 405),
        "list": (talk.ask("1", "list_keys"), 200),
        "no credentials": (post.replace(b"Authorization", b"X"), 401),
        "no such route": (request("POST", "/client/v4/nothing"), 404),
        "health": (request("GET", "/healthz"), 200),
        "health by post": (request("POST", "/healthz"), 405),
        "nothing": (request("GET", "/nothing"), 404),
    }


FRAMINGS = {
    "77 bytes": ["Content-Length: 77"],
    "5000 bytes": ["Content-Length: 5000"],
    "chunks": ["Transfer-Encoding: chunked"],
    "77 bytes when asked for": ["Content-Length: 77", "Expect: 100-continue"],
    "77 bytes, and an upgrade": ["Content-Length: 77", "Connection: Upgrade", "Upgrade: h2c"],
}


def with_lines(head: bytes, *lines: str) -> bytes:
    """Return a request with other lines about its body."""
    head = head.replace(b"Content-Length: 0\r\n", b"")
    return head[:-2] + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


@pytest.mark.parametrize("framing", FRAMINGS)
def test_an_answer_before_the_body_ends_the_connection(talk: Talk, framing: str) -> None:
    """The client gets it, and no reset while it still writes, and nothing of that is done."""
    before = talk.player.livepeer.live()
    for name, (head, status) in early(talk).items():
        with talk.open() as wire:
            wire.say(with_lines(head, *FRAMINGS[framing]))
            answer = wire.answer()
            assert (name, answer.status) == (name, status)
            assert answer.header("connection") == "close"
            assert wire.closed()
            for _ in range(20):
                wire.socket.sendall(talk.ask("2", "create_key"))
    assert talk.player.livepeer.live() == before


def test_an_answer_behind_the_body_keeps_the_connection(talk: Talk) -> None:
    for name, (head, status) in early(talk).items():
        for lines, body in (
            (["Content-Length: 77"], bytes(77)),
            (["Transfer-Encoding: chunked"], b"4d\r\n" + bytes(77) + b"\r\n0\r\n\r\n"),
        ):
            with talk.open() as wire:
                wire.say(with_lines(head, *lines) + body + talk.verify("next"))
                first, second = wire.answer(), wire.answer()
                assert (name, first.status, second.status) == (name, status, 200)
                assert first.header("connection") is None
                assert second.header("x-request-id") == "next"


def test_a_long_body_is_written_to_its_end(talk: Talk) -> None:
    """By a client that reads only then, behind whatever answer."""
    for head, status in early(talk).values():
        with talk.open() as wire:
            wire.socket.sendall(with_lines(head, "Content-Length: 60000"))
            for _ in range(60):
                wire.socket.sendall(bytes(1000))
                time.sleep(0.0002)
            assert wire.answer().status == status


def test_a_client_that_never_stops_is_cut_off(talk: Talk) -> None:
    """After a time, or after an amount, whichever comes first."""
    for pause in (0.05, 0.0):
        with talk.open() as wire:
            wire.say(with_lines(talk.verify("1"), "Content-Length: 5000"))
            assert wire.answer().status == 200
            with pytest.raises(ConnectionError):
                write_on(wire, pause)


def write_on(wire: Wire, pause: float) -> None:
    """Write for five seconds."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        wire.socket.sendall(bytes(65_536))
        time.sleep(pause)


GARBAGE = {
    "half a line": b"FROB",
    "a line": b"FROB /x HTTP/1.1\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "one nul": b"\0",
    "many nuls": bytes(1000),
    "a bare method": b"GET\n",
    "bare line feeds": b"GET / HTTP/1.1\n\n",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http/0.9": b"GET /\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nbad\r\n\r\n",
    "json": b"{}\r\n",
    "high bytes": b"\xff\xfe\xfd",
    "half a request, then garbage": b"GET / HTTP/1.1\r\nHost: x\r\n\0",
}
CHUNKED = ["Transfer-Encoding: chunked"]


def behind(talk: Talk) -> dict[str, tuple[bytes, list[int]]]:
    """Return what comes before the garbage, and the statuses that are due for it."""
    create = talk.ask("create", "list_keys").replace(b"GET ", b"POST ", 1)
    return {
        "nothing": (b"", []),
        "one request": (talk.verify("1"), [200]),
        "several": (talk.verify("1") + talk.ask("2", "list_keys") + talk.verify("3"), 3 * [200]),
        "a body": (with_lines(talk.verify("1"), "Content-Length: 2") + b"{}", [200]),
        "a body by chunks": (with_lines(talk.verify("1"), *CHUNKED) + b"0\r\n\r\n", [200]),
        "half a body": (with_lines(create, *CHUNKED) + b"2\r\n{}\r\n", []),
        "a chunk size": (with_lines(create, *CHUNKED) + b"2;", []),
    }


def test_garbage_is_answered_once_and_leaves_no_connection(
    served: tuple[Talk, psutil.Process],
) -> None:
    """Wherever it stands, however it is cut, and though the client stays."""
    talk, process = served
    talk.player.livepeer.live()
    starts, before = behind(talk), process.num_fds()
    with ExitStack() as stack:
        told = list[tuple[Wire, list[int], str]]()
        for place, name, cut in product(starts, GARBAGE, (0, 1)):
            (start, due), wire = starts[place], stack.enter_context(talk.open())
            text, cut_at = start + GARBAGE[name], len(start) + cut
            wire.say(text[:cut_at])
            told.append((wire, due, f"{name} behind {place}, cut at {cut}"))
            wire.say(text[cut_at:])
        for wire, due, what in told:
            assert [wire.answer().status for _ in due] == due, what
            answer = wire.answer()
            assert answer.status in {400, 404, 405}, (what, answer)
            assert answer.header("connection") == "close"
            assert wire.closed(), what
        until(lambda: process.num_fds() <= before, 5)


def ask_and_hang_up(wire: Wire, text: bytes, count: int) -> list[Answer]:
    """Say all that will be said, and return the answers."""
    wire.say(text)
    wire.hang_up()
    answers = [wire.answer() for _ in range(count)]
    assert wire.closed()
    return answers


def test_a_client_that_hangs_up_is_answered(talk: Talk) -> None:
    """As one does that says what it wants and then reads to the end, such as netcat."""
    body = b"2\r\n{}\r\n0\r\n\r\n"
    asked = {
        "memory": talk.verify("1"),
        "database": talk.ask("1", "list_keys"),
        "create": talk.ask("1", "create_key"),
        "chunks": with_lines(talk.ask("1", "create_key"), *CHUNKED) + body,
        "health": request("GET", "/healthz", ["X-Request-ID: 1"]),
        "http/1.0": talk.ask("1", "list_keys").replace(b"HTTP/1.1", b"HTTP/1.0"),
    }
    for name, text in asked.items():
        with talk.open() as wire:
            [answer] = ask_and_hang_up(wire, text, 1)
            assert (name, answer.status, answer.header("x-request-id")) == (name, 200, "1")
    several = [talk.ask("1", "list_keys"), talk.verify("2"), talk.ask("3", "list_keys")] * 5
    with talk.open() as wire:
        assert names(ask_and_hang_up(wire, b"".join(several), 15)) == ["1", "2", "3"] * 5


def test_a_client_that_hangs_up_waits_for_the_database(talk: Talk) -> None:
    with talk.open() as wire:
        with frozen(talk.player.tenant.house.folder):
            wire.say(talk.ask("1", "list_keys") + talk.verify("2"))
            wire.hang_up()
            wire.socket.settimeout(0.3)
            with pytest.raises(TimeoutError):
                wire.socket.recv(1, socket.MSG_PEEK)
            wire.socket.settimeout(10)
        answers = [wire.answer(), wire.answer()]
        assert (names(answers), [answer.status for answer in answers]) == (["1", "2"], [200, 200])
        assert wire.ended()


def test_a_client_that_hangs_up_too_early_is_told(talk: Talk) -> None:
    """Half a body, and half a line of garbage, are 400; half a head is nothing."""
    create = talk.ask("1", "create_key")
    for text in (
        with_lines(create, "Content-Length: 3") + b"{}",
        with_lines(create, *CHUNKED) + b"2\r\n{}\r\n",
        with_lines(create, *CHUNKED) + b"2\r\n{}\r\n0\r\n",
        b"FROB",
    ):
        with talk.open() as wire:
            assert ask_and_hang_up(wire, text, 1)[0].status == 400
    for text in (b"", b"\r\n", create[:-2], create[:20]):
        with talk.open() as wire:
            assert ask_and_hang_up(wire, talk.verify("1") + text, 1)[0].status == 200
