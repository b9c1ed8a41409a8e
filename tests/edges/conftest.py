"""A stage for edges: two videos, an origin that serves them, and each edge in turn before it."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2
import jwt
import pytest

from gateway.edges import EDGES
from tests.edges import matrix
from tests.edges.harness import EVERY, Edge, running
from tests.edges.media import Video, make_video
from tests.edges.servers import Oracle, Server, Verdict, allowed, oracle, origin
from tests.service import House, Tenant, make_tenant, serve


@dataclass(frozen=True)
class Key:
    """A signing key as its owner got it."""

    id: str
    pem: bytes

    def sign(self, video: Video, *, lasts: int = 600, kid_in_header: bool = True) -> str:
        """Sign a token for `video`. The key's id is in the payload, and in the header if so."""
        claims = {"sub": video.id, "kid": self.id, "exp": int(time.time()) + lasts}
        header = {"kid": self.id} if kid_in_header else None
        return jwt.encode(claims, self.pem, "RS256", header)


@dataclass(frozen=True)
class Account:
    """An account, its keys, and its door for edges."""

    service: Tenant
    socket: str = ""  # unix:/path, where it also listens if it does

    def make_key(self) -> Key:
        made = self._ask("POST", "")["result"]
        return Key(made["id"], base64.b64decode(made["pem"]))

    def delete(self, key: Key) -> None:
        self._ask("DELETE", f"/{key.id}")

    def verdict(self, target: str) -> httpx2.Response:
        """What Keyferry itself says of a request, without an edge between."""
        url = f"{self.service.url}/accounts/{self.service.account_id}/verify"
        with httpx2.Client(trust_env=False, timeout=20) as client:
            return client.get(url, headers={"X-Original-URI": target})

    def _ask(self, method: str, path: str) -> Any:
        url = f"{self.service.url}/client/v4/accounts/{self.service.account_id}/stream/keys{path}"
        bearer = {"Authorization": f"Bearer {self.service.token}"}
        with httpx2.Client(trust_env=False, timeout=20) as client:
            return client.request(method, url, headers=bearer).raise_for_status().json()


@dataclass(frozen=True)
class Stage:
    """Two videos, the folder they are in, and an origin that serves it."""

    mine: Video  # tokens are for this one
    other: Video
    media: Path
    origin: Server


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    media = tmp_path_factory.mktemp("media") / "My videos; #1 é"  # as operators name folders
    media.mkdir()
    mine = make_video(media, "ea95132c15732412d22c1476fa83f27a", 1)
    other = make_video(media, "5d5bc37ffcf54c9b82e996823bffbb81", 2)
    with origin(media) as server:
        yield Stage(mine, other, media, server)


@pytest.fixture(scope="session")
def account(service: Tenant) -> Account:
    return Account(service.make_account())


@pytest.fixture(scope="session")
def key(account: Account) -> Key:
    return account.make_key()


@pytest.fixture(scope="session")
def trusting(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account of a Keyferry that believes edges, and listens for them on a Unix socket."""
    settings = {
        "KEYFERRY_TRUSTED_PROXIES": "127.0.0.1",
        "KEYFERRY_COUNTRY_HEADER": COUNTRY,
    }
    log = tmp_path_factory.mktemp("trusting") / "log"
    socket = f"unix:{log.parent}/edge"
    listen = ["--listen", "127.0.0.1:0", "--listen", f"edge={socket}"]
    with serve(house, log, settings, listen) as (url, _):
        yield Account(make_tenant(house, url, "trusting"), socket)


@pytest.fixture(scope="module", params=EDGES)
def name(request: pytest.FixtureRequest) -> str:
    """The edge's name."""
    edge: str = request.param
    return edge


@pytest.fixture(scope="module")
def edge(
    name: str, stage: Stage, account: Account, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    """An edge before the real service."""
    with running(
        name,
        tmp_path_factory.mktemp(name),
        keyferry_url=account.service.url,
        account_id=account.service.account_id,
        media=stage.media,
        origin_url=stage.origin.url,
    ) as edge:
        yield edge


@dataclass(frozen=True)
class Pair:
    """An edge, and who answers it in Keyferry's place."""

    edge: Edge
    oracle: Oracle

    def answer(self, status: int, subject: str | None = None, reason: str = "because") -> None:
        """Give this answer from now on."""
        said = {"X-Auth-Reason": reason}

        def judge(target: str) -> Verdict:
            named = {} if subject is None else allowed(target, subject).headers
            return Verdict(status, said | named)

        self.oracle.judge = judge

    def begin(self, stage: Stage) -> Self:
        """Say yes from now on, for the stage's video `mine`, and forget what was heard."""
        self.answer(200, stage.mine.id)
        self.oracle.heard.clear()
        stage.origin.heard.clear()
        return self


@contextmanager
def make_pair(name: str, folder: Path, stage: Stage, **options: Any) -> Iterator[Pair]:
    """Run an edge before an oracle that says yes to all, for the stage's video `mine`."""
    with (
        oracle() as server,
        running(
            name,
            folder,
            keyferry_url=server.url,
            account_id="0123456789abcdef0123456789abcdef",
            media=stage.media,
            origin_url=stage.origin.url,
            **options,
        ) as edge,
    ):
        pair = Pair(edge, server)
        pair.answer(200, stage.mine.id)
        yield pair


@pytest.fixture(scope="module")
def lasting_pair(
    name: str, stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    with make_pair(name, tmp_path_factory.mktemp(name), stage) as pair:
        yield pair


@pytest.fixture
def pair(lasting_pair: Pair, stage: Stage) -> Pair:
    """An edge before an oracle that says yes, unless the test tells it otherwise."""
    return lasting_pair.begin(stage)


PAGES = ("https://player.example", "https://player.example:8443")  # those that may play
COUNTRY = "CF-IPCountry"
PREFIXES = ("/i/VOD", "/vod")


@pytest.fixture(scope="session", params=EVERY)
def lasting_believer(
    request: pytest.FixtureRequest, stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    options = {
        "origin": stage.origin.url,
        "trust": ["127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32"],
        "country_header": COUNTRY,
        "prefix": PREFIXES,
        "carry": "redirect",
    }
    with make_pair(request.param, tmp_path_factory.mktemp("edge"), stage, **options) as pair:
        yield pair


@pytest.fixture(scope="session", params=EVERY)
def lasting_doubter(
    request: pytest.FixtureRequest, stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    options = {
        "trust": ["127.0.0.2", "2001:db8::/32"],
        "country_header": COUNTRY,
        "prefix": PREFIXES,
        "carry": "cookie",
        "same_site": "lax",
        "secure": True,
        "allow_origin": PAGES,
    }
    with make_pair(request.param, tmp_path_factory.mktemp("edge"), stage, **options) as pair:
        yield pair


@pytest.fixture
def believer(lasting_believer: Pair, stage: Stage) -> Pair:
    """An edge that trusts its peer, lets every page play, and carries tokens on by redirects."""
    return lasting_believer.begin(stage)


@pytest.fixture
def doubter(lasting_doubter: Pair, stage: Stage) -> Pair:
    """An edge that trusts others than its peer, lets two pages play, and sets cookies."""
    return lasting_doubter.begin(stage)


@pytest.fixture(scope="session")
def outcomes() -> Iterator[matrix.Outcomes]:
    """How each case ended; written into docs/edges.md when asked to."""
    seen: matrix.Outcomes = {}
    yield seen
    if os.environ.get("EDGES_MATRIX") == "write":
        matrix.write(seen)
