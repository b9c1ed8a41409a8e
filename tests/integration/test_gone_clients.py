"""Clients that leave while their answers are being made: they harm nobody, and nobody complains."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.fleet import until
from tests.outage import frozen
from tests.player import Player
from tests.rawhttp import Wire
from tests.service import House, make_tenant, serve
from tests.store import wrong_counters
from tests.talk import Talk, names

CLIENTS = 20
SECRET = "metrics-token-for-tests"
SETTINGS = {
    "KEYFERRY_LIVEPEER_ALGORITHM": "ES256",
    "KEYFERRY_LIVEPEER_QUOTA": "1000",
    "KEYFERRY_POOL_SIZE": "2",
    "KEYFERRY_METRICS_TOKEN": SECRET,
}
USUAL = {"request", "ready", "change feed", "key pool", "stopped"}


def close(wire: Wire) -> None:
    """Say goodbye."""


def reset(wire: Wire) -> None:
    """Leave without a goodbye, as a process that is killed with something unread."""
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang_up(wire: Wire) -> None:
    """Say goodbye and stay for a moment."""
    wire.hang_up()
    time.sleep(0.01)


leaving = pytest.mark.parametrize("leave", [close, reset, hang_up])


@pytest.fixture(scope="module")
def talk(
    house: House, tmp_path_factory: pytest.TempPathFactory, http: httpx2.Client
) -> Iterator[Talk]:
    """Fails when the server had something to say about what happened."""
    log: Path = tmp_path_factory.mktemp("gone") / "log"
    with serve(house, log, SETTINGS) as (url, _):
        yield Talk(Player(http, make_tenant(house, url)))
    said = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line for line in said if line["event"] not in USUAL] == []


def busy(talk: Talk) -> float:
    """Return how many connections to the database are in use."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    text = talk.player.http.get(talk.player.tenant.url + "/metrics", headers=headers).text
    [line] = [line for line in text.splitlines() if line.startswith("keyferry_database_busy ")]
    return float(line.split()[1])


def is_well(talk: Talk) -> None:
    """Assert that nothing is left of who has gone, and that others are served."""
    until(lambda: busy(talk) == 0, 5)
    with talk.open() as wire:
        wire.say(talk.ask("1", "list_keys") + talk.verify("2"))
        answers = [wire.answer(), wire.answer()]
    assert [answer.status for answer in answers] == [200, 200]
    assert names(answers) == ["1", "2"]


@leaving
@pytest.mark.parametrize("operation", ["list_keys", "create_key"])
def test_while_the_database_is_asked(
    house: House, talk: Talk, operation: str, leave: Callable[[Wire], None]
) -> None:
    """Who asked in the same moment, and stays, is answered."""
    stays = [talk.open() for _ in range(3)]
    with frozen(house.folder):
        for number in range(CLIENTS):
            with talk.open() as wire:
                wire.say(talk.ask("1", operation) + talk.verify("2") + talk.ask("3", operation))
                if number < len(stays):
                    stays[number].say(talk.ask("1", operation) + talk.verify("2"))
                time.sleep(0.005)
                leave(wire)
    for wire in stays:
        with wire:
            answers = [wire.answer(), wire.answer()]
            assert [answer.status for answer in answers] == [200, 200]
            assert names(answers) == ["1", "2"]
    is_well(talk)
    assert house.run(wrong_counters(house.dsn)) == []


@leaving
@pytest.mark.parametrize("pause", [0.0, 0.002])
def test_while_memory_is_asked(talk: Talk, leave: Callable[[Wire], None], pause: float) -> None:
    for number in range(3 * CLIENTS):
        with talk.open() as wire:
            wire.say(talk.verify("1") * (number % 5 + 1))
            time.sleep(pause)
            leave(wire)
    is_well(talk)


@leaving
def test_while_answers_wait_for_a_reader(talk: Talk, leave: Callable[[Wire], None]) -> None:
    """More of them than the sockets between us hold."""
    with talk.open() as other:
        for _ in range(2):
            with talk.open() as wire:
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                wire.socket.settimeout(1)
                texts = [talk.verify("1"), talk.ask("2", "list_keys")] * 100
                with pytest.raises(TimeoutError):
                    wire.say(*[b"".join(texts)] * 1000)
                other.say(talk.verify("3"))
                assert other.answer().status == 200
                leave(wire)
    is_well(talk)
