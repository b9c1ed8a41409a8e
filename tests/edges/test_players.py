"""Players that know nothing of tokens: what an edge carries on is all that their segments have.

One is ffmpeg; the other resolves addresses as RFC 3986 says, follows redirects and keeps cookies,
as browsers and televisions do. Both ask an edge before the real Keyferry.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import httpx2
import pytest

from gateway.edges import EDGES
from tests.edges.conftest import PREFIXES
from tests.edges.harness import Edge, running
from tests.edges.programs import from_wheels
from tests.edges.servers import origin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.edges.conftest import Account, Stage

MASTER = """#EXTM3U
#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="mp4a.40.2"
manifest/video.m3u8
"""
CARRIES = ["redirect", "cookie"]


@pytest.fixture(scope="module")
def library(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stage's videos with a master playlist, alone and behind a prefix."""
    library = tmp_path_factory.mktemp("library")
    for prefix in ("", PREFIXES[0]):
        folder = library / prefix[1:] / stage.mine.id
        folder.mkdir(parents=True)
        (folder / "master.m3u8").write_text(MASTER)
        (folder / "manifest").symlink_to(stage.media / stage.mine.id / "manifest")
    return library


@pytest.fixture(
    scope="module",
    params=[("nginx", None), *((edge, carry) for edge in EDGES for carry in CARRIES)],
    ids=lambda param: f"{param[0]} {param[1] or 'as it is'}",
)
def carrier(
    request: pytest.FixtureRequest,
    library: Path,
    trusting: Account,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Edge, str | None]]:
    """An edge, and how it carries a token on."""
    name, carry = request.param
    with (
        origin(library) as server,
        running(
            name,
            tmp_path_factory.mktemp("edge"),
            keyferry_url=trusting.service.url,
            account_id=trusting.service.account_id,
            media=library,
            origin_url=server.url,
            prefix=PREFIXES,
            carry=carry,
        ) as edge,
    ):
        yield edge, carry


@pytest.fixture(scope="module")
def token(stage: Stage, trusting: Account) -> str:
    return trusting.make_key().sign(stage.mine)


def play(url: str, headers: dict[str, str]) -> bytes:
    """Play to the end as RFC 3986 has it; return its segment. `headers` go with the first only."""
    with httpx2.Client(trust_env=False, timeout=20, follow_redirects=True) as client:
        answer = client.get(url, headers=headers)
        while answer.status_code == 200 and ".m3u8" in answer.url.path:
            [line] = re.findall(r"^[^#\n].*$", answer.text, re.MULTILINE)
            answer = client.get(urljoin(str(answer.url), line))
        return answer.content if answer.status_code == 200 else b""


@pytest.mark.parametrize("place", ["token", "jwt", "Livepeer-Jwt", "Authorization"])
def test_a_token_goes_with_the_segments(
    carrier: tuple[Edge, str | None], stage: Stage, token: str, place: str
) -> None:
    edge, carry = carrier
    for prefix in ("", PREFIXES[0]):
        url, headers = f"{edge.url}{prefix}/{stage.mine.id}/master.m3u8", {}
        if place in {"token", "jwt"}:
            url += f"?{place}={token}"
        else:
            headers[place] = f"Bearer {token}" if place == "Authorization" else token
        assert play(url, headers) == (stage.mine.segment if carry else b"")
    assert token[:60] not in edge.log.read_text()


def test_ffmpeg_plays(carrier: tuple[Edge, str | None], stage: Stage, token: str) -> None:
    edge, carry = carrier
    [ffmpeg] = from_wheels().glob("lib/python*/site-packages/imageio_ffmpeg/binaries/ffmpeg*")
    url = f"{edge.url}/{stage.mine.id}/master.m3u8?jwt={token}"
    command = [str(ffmpeg), "-v", "error", "-xerror", "-i", url, "-c", "copy", "-f", "adts", "-"]
    played = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (played.returncode == 0) is (carry is not None), played.stderr
    assert bool(played.stdout) is (carry is not None)
