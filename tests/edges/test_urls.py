"""The URLs that platforms have: each plays at every edge, from a folder or from an origin.

Keyferry is asked in earnest; the edge tells it two prefixes besides those that it knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from gateway.edges import EDGES
from tests.edges.conftest import PREFIXES
from tests.edges.harness import DEBIANS, Edge, running
from tests.edges.media import PLAYLIST, Video
from tests.edges.servers import origin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.edges.conftest import Account, Stage

KNOWN = ("", "/hls", "/asset/hls", "/recordings", *PREFIXES)
ROOTED = ("nginx", DEBIANS, "caddy")  # these serve folders
FILES = [
    "a b.ts",
    "é.ts",
    "it's.ts",
    "a+b=c,d.ts",
    "a&b.ts",
    "(1)[2]{3}.ts",
    "~@!$*.ts",
    "漢 字.ts",
]


@pytest.fixture(scope="module")
def library(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stage's videos below every prefix, a playlist beside each, and files with odd names."""
    library = tmp_path_factory.mktemp("library")
    for prefix in KNOWN:
        place = library / prefix[1:]
        place.mkdir(parents=True, exist_ok=True)
        for video in (stage.mine, stage.other):
            (place / video.id).symlink_to(stage.media / video.id)
            (place / f"{video.id}.m3u8").write_text(f"{prefix}/{video.id}")
    odd = library / "odd"
    odd.mkdir()
    for name in FILES:
        (odd / name).write_text(name)
    return library


@pytest.fixture(
    scope="module",
    params=[(edge, "origin") for edge in EDGES] + [(edge, "root") for edge in ROOTED],
    ids=" from ".join,
)
def edge(
    request: pytest.FixtureRequest,
    library: Path,
    trusting: Account,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    name, place = request.param
    with origin(library) as server:
        more: dict[str, Any] = {"origin": server.url} if place == "origin" else {}
        with running(
            name,
            tmp_path_factory.mktemp("edge"),
            keyferry_url=trusting.service.url,
            account_id=trusting.service.account_id,
            media=library,
            origin_url=server.url,
            prefix=PREFIXES,
            **more,
        ) as edge:
            yield edge


@pytest.fixture(scope="module")
def token(stage: Stage, trusting: Account) -> str:
    return trusting.make_key().sign(stage.mine)


def test_the_id_stands_after_a_prefix(edge: Edge, stage: Stage, token: str) -> None:
    for prefix in KNOWN:
        for ours in (f"{stage.mine.id}", f"video+{stage.mine.id}", f"video%2B{stage.mine.id}"):
            answer = edge.ask(f"{prefix}/{ours}/manifest/seg0.ts?token={token}")
            assert answer.content == stage.mine.segment, f"{prefix}/{ours}"
        answer = edge.ask(f"{prefix}/{stage.other.id}/seg0.ts?token={token}")
        assert answer.status_code == 403


def test_a_token_stands_in_its_place(edge: Edge, token: str) -> None:
    for prefix in KNOWN:
        for mark in ("", "video+"):
            answer = edge.ask(f"{prefix}/{mark}{token}/manifest/video.m3u8")
            assert answer.content == PLAYLIST, f"{prefix}/{mark}"
    assert edge.ask(f"/strange/{token}/seg0.ts").status_code in {401, 403}
    assert token[:60] not in edge.log.read_text()


def test_the_id_has_a_suffix_as_the_last_segment(edge: Edge, stage: Stage, token: str) -> None:
    for prefix in KNOWN:
        named = f"{prefix}/{stage.mine.id}"
        for ask in (f"{named}.m3u8?token={token}", f"{prefix}/{token}.m3u8"):
            assert edge.ask(ask).text == named
        assert edge.ask(f"{prefix}/{stage.other.id}.m3u8?token={token}").status_code == 403
    assert token[:60] not in edge.log.read_text()


def test_files_have_odd_names(edge: Edge, trusting: Account) -> None:
    token = trusting.make_key().sign(Video("odd", b""))
    for name in FILES:
        for written in {quote(name, safe="!$&'()*+,=@~"), quote(name)}:
            for path in (f"/odd/{written}?token={token}", f"/{token}/{written}"):
                answer = edge.ask(path)
                assert (answer.status_code, answer.text) == (200, name), path
