"""Many requests on one connection without waiting: answers keep their order, whoever is fast."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from uuid import UUID

import httpx2
import psutil
import pytest

from tests.outage import frozen
from tests.player import Player
from tests.rawhttp import Wire, request
from tests.service import House, make_tenant, serve
from tests.talk import Talk, names

MANY = 2000
FLOOD = 1.5  # seconds; requests of 10 MB and more, if they are let in
LITTLE = 32 * 1024 * 1024  # bytes of memory
ES256 = {"KEYFERRY_LIVEPEER_ALGORITHM": "ES256", "KEYFERRY_POOL_SIZE": "2"}


@pytest.fixture(scope="module")
def talk(
    house: House, tmp_path_factory: pytest.TempPathFactory, http: httpx2.Client
) -> Iterator[Talk]:
    with serve(house, tmp_path_factory.mktemp("pipelining") / "log", ES256) as (url, _):
        yield Talk(Player(http, make_tenant(house, url)))


@pytest.mark.parametrize("operation", ["list_keys", "create_key", "get_key"])
def test_what_memory_knows_waits_behind_what_is_slow(talk: Talk, operation: str) -> None:
    order = ["verify", operation, "verify", "verify", operation, operation, "verify"]
    texts = [
        talk.verify(str(n)) if each == "verify" else talk.ask(str(n), each)
        for n, each in enumerate(order)
    ]
    with talk.open() as wire, talk.open() as other:
        with frozen(talk.player.tenant.house.folder):
            wire.say(b"".join(texts))
            answers = [wire.answer()]
            other.say(talk.verify("fast"))
            assert other.answer().status == 200  # so nothing but its place keeps one waiting
            wire.socket.settimeout(0.3)
            with pytest.raises(TimeoutError):
                wire.socket.recv(1, socket.MSG_PEEK)
            wire.socket.settimeout(10)
        answers += [wire.answer() for _ in order[1:]]
    assert names(answers) == [str(n) for n in range(len(order))]
    for each, answer in zip(order, answers, strict=True):
        assert answer.status == (404 if each == "get_key" else 200)
        assert (answer.header("x-auth-reason") == "allowed") == (each == "verify")


@pytest.mark.parametrize("slow", [0, 100])
def test_thousands_in_one_write(talk: Talk, slow: int) -> None:
    """With `slow`, one in so many is what memory does not know."""
    expected, texts = list[tuple[str, str | None]](), list[bytes]()
    for number in range(MANY):
        if slow and number % slow == 0:
            texts.append(talk.ask(str(number), "list_keys"))
            expected.append((str(number), None))
        else:
            texts.append(talk.verify(str(number), good=number % 3 > 0))
            expected.append((str(number), "allowed" if number % 3 else "subject_mismatch"))
    with talk.open() as wire:
        writing = Thread(target=wire.say, args=[b"".join(texts)])
        writing.start()
        answers = [wire.answer() for _ in texts]
        writing.join()
    told = [(answer.header("x-request-id"), answer.header("x-auth-reason")) for answer in answers]
    assert told == expected


def test_head_has_no_body(talk: Talk) -> None:
    """Wherever the answer comes from: what follows on the wire is the next answer."""
    asked = {
        "memory": talk.verify("memory", "HEAD"),
        "refused": talk.verify("refused", "HEAD", good=False),
        "published": talk.jwks("published", "HEAD"),
        "health": request("HEAD", "/healthz", ["X-Request-ID: health"]),
        "no such method": talk.ask("no such method", "list_keys", "HEAD"),
    }
    for together in (True, False):
        with talk.open() as wire:
            for name, head in asked.items():
                get = head.replace(b"HEAD ", b"GET ", 1)
                for parts in [[head + get + get]] if together else [[head], [get], [get]]:
                    wire.say(*parts)
                answers = [wire.answer("HEAD"), wire.answer(), wire.answer()]
                if " " in name:
                    continue
                assert names(answers) == [name] * 3
                assert len({answer.status for answer in answers}) == 1
                lengths = {answer.header("content-length") for answer in answers}
                assert lengths == {str(len(answers[1].body))}
                assert (lengths == {"0"}) == (name in {"memory", "refused"})


def test_head_of_what_memory_does_not_know_yet(talk: Talk) -> None:
    """The first question about a key takes the database."""
    stranger = Talk(talk.player.other(), warm=False)
    with talk.open() as wire:
        wire.say(stranger.verify("1", "HEAD") + stranger.verify("2"))
        answers = [wire.answer("HEAD"), wire.answer()]
    assert names(answers) == ["1", "2"]
    assert [answer.status for answer in answers] == [200, 200]


LASTS: dict[str, Callable[[bytes], bytes]] = {
    "Connection: close": lambda text: text.replace(b"\r\n", b"\r\nConnection: close\r\n", 1),
    "HTTP/1.0": lambda text: text.replace(b" HTTP/1.1", b" HTTP/1.0", 1),
    "414": lambda text: text.replace(b" HTTP/", b"?" + 20_000 * b"a" + b" HTTP/", 1),
}


@pytest.mark.parametrize(
    ("operation", "last"),
    [("verify", "Connection: close"), ("verify", "HTTP/1.0"), *(("list_keys", x) for x in LASTS)],
)
def test_nothing_behind_a_last_request_is_done(talk: Talk, operation: str, last: str) -> None:
    """Nobody would hear of it: whoever says that it is the last, the client or we."""
    before = talk.player.livepeer.live()
    text = talk.verify("2") if operation == "verify" else talk.ask("2", operation)
    with talk.open() as wire:
        wire.say(talk.verify("1") + LASTS[last](text) + 2 * talk.ask("3", "create_key"))
        assert names([wire.answer(), wire.answer()]) == ["1", "2"]
        assert wire.ended()
    time.sleep(0.05)
    assert talk.player.livepeer.live() == before


def drain(wire: Wire) -> None:
    """Read what comes, until the end."""
    with suppress(OSError):
        while wire.socket.recv(65_536):
            pass


@pytest.mark.parametrize("reads", [True, False])
def test_a_flood_is_not_kept_in_memory(house: House, tmp_path: Path, reads: bool) -> None:
    """Who sends faster than we answer has to wait, without credentials all the more."""
    with serve(house, tmp_path / "log", ES256) as (url, process):
        text = request("GET", f"/accounts/{UUID(int=7)}/verify", []) * 1000
        memory, end = psutil.Process(process.pid), time.monotonic() + FLOOD
        before = memory.memory_info().rss
        with Wire(url, timeout=1) as wire:
            reading = Thread(target=drain, args=[wire])
            if reads:
                reading.start()
            with suppress(TimeoutError):
                while time.monotonic() < end:
                    wire.say(text)
            grown = memory.memory_info().rss - before
            wire.socket.shutdown(socket.SHUT_RDWR)
            if reads:
                reading.join()
        assert grown < LITTLE
