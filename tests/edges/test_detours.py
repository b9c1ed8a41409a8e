"""A token for one video never gets a byte of another, whatever way its holder takes.

Two kinds of media servers stand behind the edges: one that decodes escapes and resolves dot
segments, and one that takes the first segment of a path for the video.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.edges.detours import DETOURS
from tests.edges.harness import EVERY, Edge, running
from tests.edges.servers import Verdict, allowed, first_segment_origin, origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.edges.conftest import Account, Key, Pair, Stage

# An opaque token, for judges that do not look into it.
TOKEN = f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.{'c2lnbmF0dXJl' * 20}"


SERVERS = {"first segments": first_segment_origin, "resolved paths": origin}


@pytest.fixture(
    scope="module",
    params=[(edge, server) for edge in EVERY for server in SERVERS],
    ids=" before ".join,
)
def edge_of_origin(
    request: pytest.FixtureRequest,
    stage: Stage,
    account: Account,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    """An edge before a media server that reads paths in one of two ways."""
    name, server = request.param
    with (
        SERVERS[server](stage.media) as origin,
        running(
            name,
            tmp_path_factory.mktemp("edge"),
            keyferry_url=account.service.url,
            account_id=account.service.account_id,
            media=stage.media,
            origin_url=origin.url,
            origin=origin.url,
        ) as edge,
    ):
        yield edge


@pytest.fixture(scope="module")
def token(stage: Stage, key: Key) -> str:
    return key.sign(stage.mine)


def find_ways(edge: Edge, stage: Stage, token: str) -> list[str]:
    """Return the detours by which a token for the video `mine` got something of the other."""
    ways = []
    for detour in DETOURS:
        target = detour.format(mine=stage.mine.id, other=stage.other.id, token=token)
        try:
            content = edge.ask(target).content
        except httpx2.RemoteProtocolError:  # refused without an answer
            content = b""
        if stage.other.segment in content:
            ways.append(detour)
    return ways


def test_no_detour_leads_to_another_video(edge: Edge, stage: Stage, token: str) -> None:
    assert len(DETOURS) > 80
    assert edge.ask(f"/{stage.mine.id}/seg0.ts?token={token}").content == stage.mine.segment
    assert find_ways(edge, stage, token) == []


def test_no_detour_leads_there_at_a_media_server(
    edge_of_origin: Edge, stage: Stage, token: str
) -> None:
    edge = edge_of_origin
    for path in (f"/{stage.mine.id}/seg0.ts?token={token}", f"/{token}/manifest/seg0.ts"):
        assert edge.ask(path).content == stage.mine.segment
    assert find_ways(edge, stage, token) == []


def test_it_needs_no_strict_judge(pair: Pair, stage: Stage) -> None:
    """A judge who looks at the first segment of the path only is enough to keep a video apart."""

    def naive(target: str) -> Verdict:
        if target.split("/")[1] not in {stage.mine.id, TOKEN}:
            return Verdict(403, {})
        return allowed(target, stage.mine.id)

    pair.oracle.judge = naive
    assert find_ways(pair.edge, stage, TOKEN) == []


def test_nobody_reaches_keyferry_itself(
    edge: Edge, stage: Stage, account: Account, token: str
) -> None:
    keyferry = account.service.url
    for path in ("/healthz", "/metrics", "/client/v4/user/tokens/verify", "/keyferry/v1/keys"):
        for way in (
            "",
            "/..",
            "/../../..",
            "/%2e%2e/%2e%2e",
            f"/{stage.mine.id}/../../..",
            keyferry,
        ):
            for query in ("", f"?token={token}"):
                answer = edge.ask(f"{way}{path}{query}", {"Authorization": f"Bearer {token}"})
                assert answer.status_code in {400, 401, 403, 404}, f"{way}{path}"
                assert not answer.headers.get("Content-Type", "").startswith("application/json")
