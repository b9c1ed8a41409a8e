"""Edges keep their connections to Keyferry, whatever the answers are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gateway.edges import EDGES
from tests.edges.harness import Edge, running
from tests.edges.relay import Relay, relay_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.edges.conftest import Account, Key, Stage

PLAYS = 200
AT_ONCE = 8
NO_WAY = ("traefik", "Unix")  # render refuses it


WAYS = [(edge, way) for edge in EDGES for way in ("TCP", "Unix") if (edge, way) != NO_WAY]


@pytest.fixture(scope="module", params=WAYS, ids=" over ".join)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    """An edge, and how it asks Keyferry."""
    edge, kind = request.param
    return edge, kind


@pytest.fixture(scope="module")
def relay(
    way: tuple[str, str], account: Account, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Relay]:
    path = tmp_path_factory.mktemp("relay") / "socket" if way[1] == "Unix" else None
    with relay_to(account.service.url, path) as relay:
        yield relay


@pytest.fixture(scope="module")
def edge(
    way: tuple[str, str],
    relay: Relay,
    stage: Stage,
    account: Account,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    """An edge with a relay between it and the real service."""
    with running(
        way[0],
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
