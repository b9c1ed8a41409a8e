"""The composition root: one function builds the program and closes it again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters import find_dialects
from adapters.dialect import Services
from adapters.pipeline import Door as DialectDoor
from gateway.accounts import Accounts, Authenticator
from gateway.errors import Code, GatewayError
from gateway.gate import Gate
from gateway.keypool import KeyPool
from gateway.keyring import FeedKeyring
from gateway.keys import KeyManager
from gateway.minting import Minter
from gateway.settings import Settings
from gateway.sightings import Sightings, open_sightings
from gateway.storage.database import open_database
from gateway.storage.feed import Feed, open_feed
from gateway.tokens import Policy, Verifier
from gateway.web.client import Proxies
from gateway.web.edge import AccountDoor, KeyDoor
from gateway.web.front import Door, Front
from gateway.web.health import health_routes
from gateway.web.jwks import PublishedKeys
from gateway.web.logs import describe
from gateway.web.neutral import neutral_refusal
from gateway.web.verify import VerifyDoor


@dataclass(frozen=True, slots=True)
class Gateway:
    """The running program without its HTTP server."""

    app: Front
    accounts: Accounts
    keys: KeyManager
    minter: Minter
    pool: KeyPool


@asynccontextmanager
async def open_gateway(
    settings: Settings, log: Any, *, clock: Callable[[], float] = time.time
) -> AsyncIterator[Gateway]:
    """Build everything on `settings.database_url`, whose schema is up to date, and close it again.

    Raises GatewayError(UNAVAILABLE) when the database cannot be reached at the start.
    """
    if settings.database_url is None:
        raise ValueError("there is no database to open")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(
                settings.database_url,
                connections=settings.database_connections,
                statement_cache=settings.statement_cache,
            )
        )
        accounts = Accounts(database)
        uses = await stack.enter_async_context(
            open_sightings(Sightings(accounts.touch_tokens, clock))
        )
        feed = Feed(settings.listen_url or settings.database_url, staleness=settings.staleness)
        keyring = FeedKeyring(database, feed, clock)
        authenticator = Authenticator(database, feed, clock, uses)
        await stack.enter_async_context(open_feed(feed))
        pool = await stack.enter_async_context(_open_pool(settings, log))
        keys = KeyManager(database, pool, settings.policies, pool_wait=settings.pool_wait)
        plays = await stack.enter_async_context(open_sightings(Sightings(keys.touch, clock)))
        minter = Minter(
            database,
            feed,
            keyring,
            pool,
            master_key=settings.master_key,
            pool_wait=settings.pool_wait,
        )
        services = Services(
            keys=keys,
            minter=minter,
            gate=Gate(database, keyring, plays),
            gate_cache=_gate_cache(settings),
            clock=clock,
        )
        proxies = Proxies(settings.trusted_proxies)
        policy = Policy(leeway=settings.leeway, max_lifetime=settings.max_lifetime)
        verify = VerifyDoor(
            Verifier(keyring, clock, policy), plays, proxies, settings.country_header
        )
        published = PublishedKeys(database, settings.jwks_cache_control)
        app = Front(
            _doors(services, authenticator, verify, published),
            _neutral_app(health_routes(database, feed, pool)),
            log,
            proxies=proxies,
            public_url=settings.public_url,
        )
        yield Gateway(app, accounts, keys, minter, pool)


@asynccontextmanager
async def _open_pool(settings: Settings, log: Any) -> AsyncIterator[KeyPool]:
    pool = KeyPool(
        size=settings.pool_size,
        threads=settings.pool_threads,
        on_error=lambda error: log.error("key generation failed", **describe(error)),
    )
    pool.start()
    try:
        yield pool
    finally:
        await pool.close()


def _doors(
    services: Services,
    authenticator: Authenticator,
    verify: VerifyDoor,
    published: PublishedKeys,
) -> dict[str, tuple[str, Door]]:
    doors: dict[str, tuple[str, Door]] = {
        dialect.prefix: (dialect.name, DialectDoor(dialect, services, authenticator))
        for dialect in find_dialects()
    }
    doors["/accounts"] = ("neutral", AccountDoor(verify, published))
    doors["/keys"] = ("neutral", KeyDoor(published))
    return doors


def _gate_cache(settings: Settings) -> bytes:
    stale = settings.gate_stale
    return f"max-age={settings.gate_max_age},stale-while-revalidate={stale}".encode()


def _neutral_app(routes: list[Route]) -> Starlette:
    async def refused(_request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        code = Code.METHOD_UNKNOWN if error.status_code == 405 else Code.ROUTE_UNKNOWN
        reply = neutral_refusal(GatewayError(code, error.detail))
        headers = {**(error.headers or {}), "Cache-Control": "no-store"}
        return Response(reply.body, reply.status, headers, media_type="application/json")

    return Starlette(routes=routes, exception_handlers={404: refused, 405: refused})
