"""One Chromium and one page with players, for all edges; each edge serves media of another site."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.edges import EDGES
from tests.browser.certificates import Certificate, make_certificate
from tests.browser.chromium import MEDIA_HOST, PAGE_HOST, Browser, run_chromium
from tests.browser.pages import serve_page
from tests.browser.stream import make_stream
from tests.edges.conftest import Account, Key
from tests.edges.harness import Edge, running
from tests.edges.media import Video
from tests.edges.servers import origin
from tests.service import Tenant

VIDEO = Video("ea95132c15732412d22c1476fa83f27a", b"")


@dataclass(frozen=True)
class Cinema:
    """Everything that the edges share: the page, the browser, Keyferry, and the media."""

    certificate: Certificate
    page: str  # the page's origin
    browser: Browser
    account: Account
    media: Path
    origin_url: str


@dataclass
class Media:
    """One edge, as the players see it."""

    name: str
    cinema: Cinema
    folder: Path
    stack: ExitStack
    running: dict[str | None, Edge] = field(default_factory=dict)

    def edge(self, carry: str | None = None) -> Edge:
        """Return the edge as printed with `--carry`, which is started when first asked for."""
        if carry not in self.running:
            self.running[carry] = self.stack.enter_context(self._start(carry))
        return self.running[carry]

    def url(self, path: str, carry: str | None = None) -> str:
        """Return an address as the page has it."""
        return f"https://{MEDIA_HOST}:{self.edge(carry).url.rpartition(':')[2]}{path}"

    def play(self, url: str, *, function: str = "playAll", **options: Any) -> dict[str, Any]:
        """Have the page play `url`, and return what it tells of it; see page/players.js."""
        defaults = {"player": "hls", "added": "nothing", "token": "", "credentials": False}
        told: dict[str, Any]
        told = self.cinema.browser.call(function, defaults | options | {"url": url})
        return told

    def _start(self, carry: str | None) -> Any:
        cinema = self.cinema
        options: dict[str, Any] = {"carry": carry} if carry else {}
        if carry == "cookie":
            options |= {"same_site": "none"}
        return running(
            self.name,
            self.folder / f"{carry}",
            keyferry_url=cinema.account.service.url,
            account_id=cinema.account.service.account_id,
            media=cinema.media,
            origin_url=cinema.origin_url,
            allow_origin=[cinema.page],
            cert=str(cinema.certificate.chain),
            key=str(cinema.certificate.key),
            **options,
        )


@pytest.fixture(scope="session")
def cinema(service: Tenant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cinema]:
    folder = tmp_path_factory.mktemp("browser")
    media = tmp_path_factory.mktemp("media")
    certificate = make_certificate(folder, [PAGE_HOST, MEDIA_HOST])
    make_stream(media, VIDEO.id)
    with (
        serve_page(certificate) as port,
        origin(media) as server,
        run_chromium(folder, certificate) as browser,
    ):
        page = f"https://{PAGE_HOST}:{port}"
        browser.open(f"{page}/")
        account = Account(service.make_account())
        yield Cinema(certificate, page, browser, account, media, server.url)


@pytest.fixture(scope="session")
def key(cinema: Cinema) -> Key:
    return cinema.account.make_key()


@pytest.fixture(scope="session")
def token(key: Key) -> str:
    return key.sign(VIDEO)


@pytest.fixture(scope="session", params=EDGES)
def media(
    request: pytest.FixtureRequest, cinema: Cinema, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Media]:
    """Each edge in turn."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        yield Media(request.param, cinema, folder, stack)


@pytest.fixture
def cookies(cinema: Cinema) -> Iterator[Any]:
    """A function that sets a cookie for the media's site; all cookies are gone afterwards."""
    yield partial(cinema.browser.send, "Network.setCookie")
    cinema.browser.send("Network.clearBrowserCookies")
