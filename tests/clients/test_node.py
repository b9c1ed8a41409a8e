"""Node programs as the providers document them: they sign with our keys, and their tokens play."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clients.environments import HERE, node, node_modules
from tests.edges.harness import running
from tests.edges.media import PLAYLIST, make_video
from tests.player import Player, sign
from tests.service import House, Tenant, make_tenant, serve
from tests.vectors.forge import PLAYBACK, VIDEO


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(trust_env=False, timeout=20) as http:
        yield http


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where programs find the packages that they import."""
    stage = tmp_path_factory.mktemp("node")
    (stage / "node_modules").symlink_to(node_modules())
    return stage


def run(stage: Path, name: str, told: dict[str, Any]) -> dict[str, Any]:
    """Run a program of node/ and return what it says, such as the tokens that it signed."""
    program = stage / name
    program.write_bytes((HERE / "node" / name).read_bytes())
    ended = subprocess.run(
        [node(), program],
        input=json.dumps(told),
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


def check_plays(player: Player, token: str, subject: str, kid: str) -> None:
    """The token plays in the query and in the path, and nothing else plays with it."""
    for url in (f"/{subject}/index.m3u8?token={token}", f"/{token}/manifest/video.m3u8"):
        answer = player.ask(url)
        assert (answer.status_code, answer.headers["x-auth-reason"]) == (200, "allowed")
        assert answer.headers["x-auth-kid"] == kid
    other = player.ask(f"/another-video/index.m3u8?token={token}")
    assert other.headers["x-auth-reason"] == "subject_mismatch"


def check_plays_through_nginx(player: Player, tokens: Iterable[str], folder: Path) -> None:
    """A real nginx, configured by `keyferry edge nginx`, gives away the playlist to each token."""
    make_video(folder / "media", VIDEO, 1)
    with running(
        "nginx",
        folder,
        keyferry_url=player.tenant.url,
        account_id=player.tenant.account_id,
        media=folder / "media",
        origin_url="",
    ) as edge:
        for token in tokens:
            for url in (f"/{VIDEO}/index.m3u8?token={token}", f"/{token}/manifest/video.m3u8"):
                answer = player.http.get(edge.url + url)
                assert (answer.status_code, answer.content) == (200, PLAYLIST)
        assert player.http.get(f"{edge.url}/{VIDEO}/index.m3u8").status_code == 401


def test_cloudflares_samples(
    service: Tenant, http: httpx2.Client, stage: Path, tmp_path: Path
) -> None:
    player = Player(http, service.make_account())
    key = player.make()
    [jwk] = player.fetch(f"/keys/{key['id']}/jwks.json").json()["keys"]
    tokens = run(stage, "cloudflare.mjs", {"key": key, "video": VIDEO, "publicJwk": jwk})
    assert len(tokens) == 3
    for token in tokens.values():
        check_plays(player, token, VIDEO, key["id"])
    check_plays_through_nginx(player, tokens.values(), tmp_path)


@pytest.mark.parametrize(("algorithm", "ways"), [("RS256", 1), ("ES256", 4)])
def test_livepeers_samples(
    house: House, http: httpx2.Client, stage: Path, tmp_path: Path, algorithm: str, ways: int
) -> None:
    """With P-256 keys, which the deployment's setting makes, its own signer works unmodified."""
    settings = {"KEYFERRY_LIVEPEER_ALGORITHM": algorithm, "KEYFERRY_POOL_SIZE": "2"}
    with serve(house, tmp_path / "log", settings) as (url, _):
        player = Player(http, make_tenant(house, url))
        key = player.livepeer.send("create_key").json()
        told = {"key": key, "playbackId": PLAYBACK, "algorithm": algorithm}
        tokens = run(stage, "livepeer.mjs", told)
        assert len(tokens) == ways
        for token in tokens.values():
            check_plays(player, token, PLAYBACK, key["id"].replace("-", ""))
            header = [("Livepeer-Jwt", token)]  # as Livepeer's players send it
            assert player.ask(f"/hls/video+{PLAYBACK}/{PLAYBACK}/a.ts", header).status_code == 200
        gate = player.gate(f"?account={player.tenant.account_id}", pub=key["publicKey"])
        assert gate.status_code == 200


def test_bodies_of_unknown_length(service: Tenant, http: httpx2.Client, stage: Path) -> None:
    """Node sends them by chunks; the connection stays."""
    player = Player(http, service.make_account())
    token = sign(player.make_key())
    question = json.dumps({"token": token, "subject": VIDEO})
    account, bearer = player.tenant.account_id, {"Authorization": f"Bearer {player.tenant.token}"}
    asked = [
        ("POST", "/api/access-control/signing-key", ["{", "}"]),
        ("POST", f"/client/v4/accounts/{account}/stream/keys", ["{", "", " ", "}"]),
        ("POST", f"/accounts/{account}/verify", [question[:9], question[9:50], question[50:]]),
        ("POST", f"/accounts/{account}/verify", ["{", '"', "oops"]),
        ("POST", f"/accounts/{account}/verify", list(question)),
    ]
    told = [
        {"method": method, "path": path, "headers": bearer, "parts": parts}
        for method, path, parts in asked
    ]
    said = run(stage, "chunks.mjs", {"url": player.tenant.url, "asked": told})
    assert [status for status, _ in said["answers"]] == [200, 200, 200, 400, 200]
    for number in (2, 4):
        assert json.loads(said["answers"][number][1])["reason"] == "allowed"
    assert said["connections"] == 1
