"""An edge as an operator may set it up: over HTTPS, Keyferry on a Unix socket, odd paths."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import jwt
import pytest

from tests.edges.certificate import write_certificate
from tests.edges.conftest import COUNTRY
from tests.edges.harness import EVERY, Edge, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.edges.conftest import Account, Key, Stage

ODD = "My videos, é 漢 #1; (a+b) & ~c = 100% [x] <y> *.mp4 | ! ? @ ^"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an odd name, with a certificate and its key in it."""
    folder = tmp_path_factory.mktemp("setup") / ODD
    folder.mkdir()
    write_certificate(folder / "cert.pem", folder / "key.pem")
    return folder


@pytest.fixture(scope="module", params=EVERY)
def edge(
    request: pytest.FixtureRequest,
    folder: Path,
    stage: Stage,
    trusting: Account,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    """An edge that speaks HTTPS, serves an odd folder, and asks over a Unix socket if it can."""
    media = folder / "media"
    if not media.exists():
        media.symlink_to(stage.media)
    with running(
        request.param,
        tmp_path_factory.mktemp("edge"),
        keyferry_url=trusting.socket if request.param != "traefik" else trusting.service.url,
        account_id=trusting.service.account_id,
        media=media,
        origin_url=stage.origin.url,
        cert=str(folder / "cert.pem"),
        key=str(folder / "key.pem"),
        trust=["127.0.0.1"],
        country_header=COUNTRY,
    ) as edge:
        yield edge


@pytest.fixture(scope="module")
def key(trusting: Account) -> Key:
    return trusting.make_key()


def test_it_speaks_https(edge: Edge, stage: Stage, key: Key) -> None:
    assert edge.url.startswith("https://")
    target = f"/{stage.mine.id}/seg0.ts?token={key.sign(stage.mine)}"
    assert edge.ask(target).content == stage.mine.segment
    assert edge.ask(target[:-4]).status_code == 401


def test_it_gives_nothing_over_plain_http(edge: Edge, stage: Stage, key: Key) -> None:
    target = f"/{stage.mine.id}/seg0.ts?token={key.sign(stage.mine)}"
    there = urlsplit(edge.url)
    with socket.create_connection((there.hostname, there.port), timeout=10) as plain:
        plain.sendall(f"GET {target} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        try:
            while chunk := plain.recv(65536):
                answer += chunk
        except ConnectionError:
            pass
    assert stage.mine.segment not in answer
    assert b" 200 " not in answer


def test_keyferry_believes_it(edge: Edge, stage: Stage, key: Key) -> None:
    """Address and country go all the way from a trusted peer of the edge into access rules."""
    rules = [
        {"type": "ip.src", "action": "block", "ip": ["203.0.113.0/24"]},
        {"type": "ip.geoip.country", "action": "allow", "country": ["BG"]},
        {"type": "any", "action": "block"},
    ]
    claims = {"sub": stage.mine.id, "exp": int(time.time()) + 600, "accessRules": rules}
    token = jwt.encode(claims, key.pem, "RS256", {"kid": key.id})
    target = f"/{stage.mine.id}/seg0.ts?token={token}"
    for address, country, status in (
        ("198.51.100.7", "BG", 200),
        ("203.0.113.7", "BG", 403),
        ("198.51.100.7", "DE", 403),
        ("198.51.100.7", "", 403),
    ):
        told = {"X-Forwarded-For": address, COUNTRY: country}
        assert edge.ask(target, told).status_code == status, (address, country)
