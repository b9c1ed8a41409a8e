"""Seven cases that every edge must get right, before a running Keyferry, serving a real stream."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.edges import matrix
from tests.edges.media import PLAYLIST

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.edges.conftest import Account, Key, Stage
    from tests.edges.harness import Edge


@dataclass(frozen=True)
class Scene:
    """Who takes part in a case."""

    stage: Stage
    key: Key
    stranger: Key  # another live key of the account

    def in_query(self, token: str, video: str | None = None) -> str:
        return f"/{video or self.stage.mine.id}/index.m3u8?token={token}"

    def in_path(self, token: str) -> str:
        """The token in the place of the video's id, as Cloudflare has it."""
        return f"/{token}/manifest/video.m3u8"

    def both(self, token: str) -> list[str]:
        return [self.in_query(token), self.in_path(token)]


@pytest.fixture(scope="session")
def scene(stage: Stage, key: Key, account: Account) -> Scene:
    return Scene(stage, key, account.make_key())


def valid_in_query(scene: Scene) -> list[str]:
    return [scene.in_query(scene.key.sign(scene.stage.mine))]


def valid_in_path(scene: Scene) -> list[str]:
    return [scene.in_path(scene.key.sign(scene.stage.mine))]


def no_kid_in_header(scene: Scene) -> list[str]:
    return scene.both(scene.key.sign(scene.stage.mine, kid_in_header=False))


def expired(scene: Scene) -> list[str]:
    return scene.both(scene.key.sign(scene.stage.mine, lasts=-60))


def wrong_key(scene: Scene) -> list[str]:
    forger = replace(scene.key, pem=scene.stranger.pem)
    return scene.both(forger.sign(scene.stage.mine))


def wrong_video(scene: Scene) -> list[str]:
    return [scene.in_query(scene.key.sign(scene.stage.mine), scene.stage.other.id)]


class Case(NamedTuple):
    """Requests that must all end the same way."""

    targets: Callable[[Scene], list[str]]
    reason: str | None  # why it is refused, else it plays


CASES = {
    "valid in query": Case(valid_in_query, None),
    "valid in path": Case(valid_in_path, None),
    "no kid in header": Case(no_kid_in_header, None),
    "expired": Case(expired, "expired"),
    "wrong key": Case(wrong_key, "signature_invalid"),
    "wrong video": Case(wrong_video, "subject_mismatch"),
}


@pytest.mark.parametrize("name_of_case", CASES)
def test_case(
    name_of_case: str, edge: Edge, scene: Scene, account: Account, outcomes: matrix.Outcomes
) -> None:
    case = CASES[name_of_case]
    targets = case.targets(scene)
    [ended] = {play(edge, scene, target) for target in targets}
    if case.reason is None:
        assert ended == "plays"
    else:
        [verdict] = {account.verdict(target).status_code for target in targets}
        assert ended == f"{verdict} {case.reason}"
    record(name_of_case, edge, ended, outcomes)


def test_key_deleted_while_the_edge_runs(
    edge: Edge, scene: Scene, account: Account, outcomes: matrix.Outcomes
) -> None:
    key = account.make_key()
    targets = scene.both(key.sign(scene.stage.mine))
    assert {play(edge, scene, target) for target in targets} == {"plays"}
    account.delete(key)
    ended = [last_word(edge, scene, target) for target in targets]
    assert ended[0] == ended[1]
    record("key deleted while the edge runs", edge, f"plays, then {ended[0]}", outcomes)


def last_word(edge: Edge, scene: Scene, target: str) -> str:
    """Ask until the answer is no, which must be so within the two seconds that are promised."""
    deadline = time.monotonic() + 2
    while (ended := play(edge, scene, target)) == "plays":
        assert time.monotonic() < deadline
    return ended


def play(edge: Edge, scene: Scene, target: str) -> str:
    """Ask for a playlist and, if it is given, for its segment; return how that ended."""
    answer = edge.ask(target)
    if answer.status_code != 200:
        assert PLAYLIST not in answer.content
        return f"{answer.status_code} {answer.headers['X-Auth-Reason']}"
    path, question, query = target.partition("?")
    segment = edge.ask(f"{path.rpartition('/')[0]}/seg0.ts{question}{query}")
    assert (answer.content, segment.content) == (PLAYLIST, scene.stage.mine.segment)
    assert answer.headers["Cache-Control"] == segment.headers["Cache-Control"] == "private"
    return "plays"


def record(case: str, edge: Edge, ended: str, outcomes: matrix.Outcomes) -> None:
    """Compare with the table in docs/edges.md, or keep it for a new one."""
    outcomes[case, edge.name] = ended
    if os.environ.get("EDGES_MATRIX") != "write":
        assert ended == matrix.documented()[case, edge.name]


@pytest.mark.parametrize("place", ["Authorization", "Livepeer-Jwt", "Cookie"])
def test_token_in_a_header(edge: Edge, scene: Scene, place: str) -> None:
    token = scene.key.sign(scene.stage.mine)
    value = {"Authorization": f"Bearer {token}", "Cookie": f"a=1; Livepeer-Jwt={token}"}
    answer = edge.ask(f"/{scene.stage.mine.id}/seg0.ts", {place: value.get(place, token)})
    assert (answer.status_code, answer.content) == (200, scene.stage.mine.segment)


def test_head(edge: Edge, scene: Scene) -> None:
    token = scene.key.sign(scene.stage.mine)
    for target, status in ((scene.in_path(token), 200), (scene.in_path(token[:-4]), 401)):
        answer = edge.ask(target, method="HEAD")
        assert (answer.status_code, answer.content) == (status, b"")


@pytest.mark.parametrize(
    "header",
    [
        "X-Original-URI",
        "X-Original-URL",
        "X-Forwarded-Uri",
        "X-Forwarded-Path",
        "X-Rewrite-URL",
        "X-Envoy-Original-Path",
        "X-Replaced-Path",
    ],
)
def test_header_that_names_another_url(edge: Edge, scene: Scene, header: str) -> None:
    stage = scene.stage
    token = scene.key.sign(stage.mine)
    spoofed = {header: f"/{stage.mine.id}/seg0.ts?token={token}"}
    for query in ("", f"?token={token}"):
        answer = edge.ask(f"/{stage.other.id}/seg0.ts{query}", spoofed)
        assert answer.status_code in {401, 403}
        assert answer.content != stage.other.segment


@pytest.mark.parametrize("header", ["X-Auth-Sub", "x-auth-sub", "X_Auth_Sub"])
def test_header_that_names_another_video(edge: Edge, scene: Scene, header: str) -> None:
    stage = scene.stage
    token = scene.key.sign(stage.mine)
    for target in (f"/{stage.mine.id}/seg0.ts?token={token}", f"/{token}/manifest/seg0.ts"):
        answer = edge.ask(target, {header: stage.other.id})
        assert (answer.status_code, answer.content) == (200, stage.mine.segment)
