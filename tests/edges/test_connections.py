"""Edges keep their connections to Keyferry, whatever the answers are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gateway.edges import EDGES
from tests.edges.harness import Edge, running
from tests.edges.relay import Relay, relay_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.edges.conftest import Account, Key, Stage

PLAYS = 200
AT_ONCE = 8


@pytest.fixture(scope="module")
def relay(account: Account) -> Iterator[Relay]:
    there = urlsplit(account.service.url)
    assert there.hostname is not None
    assert there.port is not None
    with relay_to(there.hostname, there.port) as relay:
        yield relay


@pytest.fixture(scope="module", params=EDGES)
def edge(
    request: pytest.FixtureRequest,
    relay: Relay,
    stage: Stage,
    account: Account,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    """An edge with a relay between it and the real service."""
    with running(
        request.param,
        tmp_path_factory.mktemp("edge"),
        keyferry_url=relay.url,
        account_id=account.service.account_id,
        media=stage.media,
        origin_url=stage.origin.url,
    ) as edge:
        yield edge


@pytest.fixture(scope="module")
def token(stage: Stage, key: Key) -> str:
    return key.sign(stage.mine)


def play(edge: Edge, stage: Stage, token: str, number: int) -> None:
    """Play, or be refused, by turns."""
    video = (stage.mine, stage.other)[number % 2]
    answer = edge.ask(f"/{video.id}/seg0.ts?token={token}")
    assert answer.status_code == (200, 403)[number % 2]


def test_plays_one_after_another_share_connections(
    edge: Edge, relay: Relay, stage: Stage, token: str
) -> None:
    relay.count = 0
    for number in range(PLAYS):
        play(edge, stage, token, number)
    assert relay.count <= 10


def test_plays_at_a_time_share_connections(
    edge: Edge, relay: Relay, stage: Stage, token: str
) -> None:
    relay.count = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: play(edge, stage, token, number), range(PLAYS)))
    assert relay.count < PLAYS / 2, "docs/edges.md says how many it takes"
