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
from adapters.pipeline import Door
from gateway.accounts import Accounts, Authenticator
from gateway.errors import Code, GatewayError
from gateway.keypool import KeyPool
from gateway.keys import KeyManager
from gateway.settings import Settings
from gateway.sightings import Sightings, open_sightings
from gateway.storage.database import open_database
from gateway.storage.feed import Feed, open_feed
from gateway.web.front import Front
from gateway.web.health import health_routes
from gateway.web.logs import describe
from gateway.web.neutral import neutral_refusal


@dataclass(frozen=True, slots=True)
class Gateway:
    """The running program without its HTTP server."""

    app: Front
    accounts: Accounts
    keys: KeyManager
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
        authenticator = Authenticator(database, feed, clock, uses)
        await stack.enter_async_context(open_feed(feed))
        pool = await stack.enter_async_context(_open_pool(settings, log))
        keys = KeyManager(database, pool, settings.policies, pool_wait=settings.pool_wait)
        doors = _doors(Services(keys=keys), authenticator)
        rest = _neutral_app(health_routes(database, feed, pool))
        yield Gateway(Front(doors, rest, log, public_url=settings.public_url), accounts, keys, pool)


@asynccontextmanager
async def _open_pool(settings: Settings, log: Any) -> AsyncIterator[KeyPool]:
    algorithms = {policy.algorithm for policy in settings.policies.values()}
    pool = KeyPool(
        size=settings.pool_size,
        threads=settings.pool_threads,
        algorithms=algorithms,
        on_error=lambda error: log.error("key generation failed", **describe(error)),
    )
    pool.start()
    try:
        yield pool
    finally:
        await pool.close()


def _doors(services: Services, authenticator: Authenticator) -> dict[str, tuple[str, Door]]:
    return {
        dialect.prefix: (dialect.name, Door(dialect, services, authenticator))
        for dialect in find_dialects()
    }


def _neutral_app(routes: list[Route]) -> Starlette:
    async def refused(_request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        code = Code.METHOD_UNKNOWN if error.status_code == 405 else Code.ROUTE_UNKNOWN
        reply = neutral_refusal(GatewayError(code, error.detail))
        headers = {**(error.headers or {}), "Cache-Control": "no-store"}
        return Response(reply.body, reply.status, headers, media_type="application/json")

    return Starlette(routes=routes, exception_handlers={404: refused, 405: refused})
