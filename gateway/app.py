"""The composition root: one function builds the program and closes it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters import find_dialects
from adapters.dialect import Services
from adapters.pipeline import Door as DialectDoor
from gateway.accounts import Accounts, Authenticator
from gateway.addresses import Purpose
from gateway.errors import Code, GatewayError
from gateway.gate import Gate
from gateway.keypool import KeyPool
from gateway.keyring import FeedKeyring
from gateway.keys import KeyManager
from gateway.lag import lagging
from gateway.minting import Minter
from gateway.plays import Policy
from gateway.sealed import SealedKeys
from gateway.settings import Settings
from gateway.sightings import Sightings, open_sightings
from gateway.simulation import NOTHING, Simulation
from gateway.storage.database import Database, open_database
from gateway.storage.feed import Feed, State, announcing, open_feed
from gateway.tasks import running
from gateway.tokens import Verifier
from gateway.web.client import Proxies
from gateway.web.edge import AccountDoor, KeyDoor
from gateway.web.front import Door, Front
from gateway.web.health import Readiness, health_routes
from gateway.web.journal import open_journal
from gateway.web.jwks import PublishedKeys
from gateway.web.logs import Log, describe
from gateway.web.mediamtx import MediaMtx
from gateway.web.metrics import Metrics, metrics_routes, open_metrics, open_metrics_route
from gateway.web.neutral import neutral_refusal
from gateway.web.simulate import simulated
from gateway.web.verify import VerifyDoor

_EDGE_DOORS = ("/accounts", "/keys")  # what edges ask, and public keys
_FIRST_WORD = 2.0  # seconds after which the filling of the key pool is told of, then twice that
_LAST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """The running program without its HTTP server; `apps` says what to serve for what."""

    apps: Mapping[Purpose, Front]
    accounts: Accounts
    keys: KeyManager
    minter: Minter
    pool: KeyPool
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class _Core:
    """Everything but the doors."""

    database: Database
    feed: Feed
    keyring: FeedKeyring
    authenticator: Authenticator
    accounts: Accounts
    keys: KeyManager
    minter: Minter
    plays: Sightings
    pool: KeyPool


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    log: Log,
    *,
    clock: Callable[[], float] = time.time,
    simulation: Simulation | None = None,
) -> AsyncIterator[Gateway]:
    """Build everything on `settings.database_url`, whose schema is up to date, and close it again.

    With a `simulation` doors misbehave as it says, and the log and /readyz tell so.
    Raises GatewayError(UNAVAILABLE) when the database cannot be reached at the start.
    """
    if simulation is not None:
        log.warning("answers are simulated: this is no production", **simulation.shown())
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(_open_core(settings, log, clock))
        metrics = await stack.enter_async_context(open_metrics(Metrics()))
        _watch(metrics, core, settings.database_connections)
        journal = stack.enter_context(
            open_journal(log, metrics, settings.log_requests, settings.log_addresses)
        )
        proxies = Proxies(settings.trusted_proxies, settings.address_header)
        lag = (simulation or NOTHING).revocation_lag
        doors = _doors(settings, core, metrics, proxies, clock, lag)
        doors = dict(simulated(doors, simulation))
        sealed = SealedKeys(core.database, settings.master_key)
        readiness = Readiness(core.database, core.feed, core.pool, sealed, log)
        await readiness.look()  # the log tells at the start what a node will not be able to do
        health = health_routes(readiness, simulation)
        front = partial(
            Front,
            log=log,
            journal=journal,
            proxies=proxies,
            public_url=settings.public_url,
        )
        guarded = metrics_routes(metrics, settings.metrics_token)
        apps = {
            Purpose.API: front(doors, _neutral_app([*health, *guarded])),
            Purpose.EDGE: front({at: doors[at] for at in _EDGE_DOORS}, _neutral_app(health)),
            Purpose.METRICS: front({}, _neutral_app([*health, open_metrics_route(metrics)])),
        }
        yield Gateway(apps, core.accounts, core.keys, core.minter, core.pool, metrics)


@asynccontextmanager
async def _open_core(
    settings: Settings, log: Log, clock: Callable[[], float]
) -> AsyncIterator[_Core]:
    if settings.database_url is None:
        raise ValueError("there is no database to open")
    wait = settings.pool_wait
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(
                settings.database_url,
                connections=settings.database_connections,
                statement_cache=settings.statement_cache,
            )
        )
        feed = Feed(
            settings.listen_url or settings.database_url,
            announcing(database),
            staleness=settings.staleness,
            report=lambda state, error: _feed_changed(database, log, state, error),
        )
        keyring = FeedKeyring(database, feed)
        accounts = Accounts(database)
        uses = await stack.enter_async_context(
            open_sightings(Sightings(accounts.touch_tokens, clock))
        )
        authenticator = Authenticator(database, feed, clock, uses)
        await stack.enter_async_context(open_feed(feed))
        pool = await stack.enter_async_context(_open_pool(settings, log))
        keys = KeyManager(database, pool, settings.policies, pool_wait=wait, changed=keyring.forget)
        plays = await stack.enter_async_context(open_sightings(Sightings(keys.touch, clock)))
        minter = Minter(
            database, feed, keyring, pool, master_key=settings.master_key, pool_wait=wait
        )
        yield _Core(database, feed, keyring, authenticator, accounts, keys, minter, plays, pool)


@asynccontextmanager
async def _open_pool(settings: Settings, log: Log) -> AsyncIterator[KeyPool]:
    pool = KeyPool(
        size=settings.pool_size,
        threads=settings.pool_threads,
        on_error=lambda error: log.error("key generation failed", **describe(error)),
    )
    try:
        pool.start()
        async with running(_tell_of_filling(pool, log), "filling"):
            yield pool
    finally:
        await pool.close()


async def _tell_of_filling(pool: KeyPool, log: Log) -> None:
    """Say how far the first filling of the stock is, ever more seldom, until it is full."""
    began, pause = time.monotonic(), _FIRST_WORD
    while True:
        await asyncio.sleep(pause)
        state = "full" if pool.is_full else "filling"
        seconds = round(time.monotonic() - began)
        log.info("key pool", state=state, ready=pool.ready, size=pool.size, seconds=seconds)
        if pool.is_full:
            return
        pause = min(2 * pause, _LAST_PAUSE)


def _feed_changed(database: Database, log: Log, state: State, error: Exception | None) -> None:
    """Tell an operator when memory is trusted again, or why it will not be.

    What the change feed has lost is lost to the other connections too, most likely.
    """
    if state == "away":
        database.distrust()
    if state == "live":
        log.info("change feed", state=state)
    else:
        reason = str(error) or type(error).__name__
        log.warning("change feed", state=state, reason=reason)


def _doors(
    settings: Settings,
    core: _Core,
    metrics: Metrics,
    proxies: Proxies,
    clock: Callable[[], float],
    revocation_lag: float,
) -> dict[str, tuple[str, Door]]:
    keyring = lagging(core.keyring, core.feed, revocation_lag)
    services = Services(
        keys=core.keys,
        minter=core.minter,
        gate=Gate(core.database, keyring, core.plays),
        gate_cache=_gate_cache(settings),
        clock=clock,
    )
    policy = Policy(leeway=settings.leeway, max_lifetime=settings.max_lifetime)
    verify = VerifyDoor(
        Verifier(keyring, clock, policy),
        core.plays,
        metrics,
        proxies,
        settings.country_header,
        clock,
    )
    published = PublishedKeys(core.database, settings.jwks_cache_control)
    doors: dict[str, tuple[str, Door]] = {
        dialect.prefix: (dialect.name, DialectDoor(dialect, services, core.authenticator))
        for dialect in find_dialects()
    }
    mediamtx = MediaMtx(verify, core.authenticator, proxies)
    doors["/accounts"] = ("neutral", AccountDoor(verify, mediamtx, published))
    doors["/keys"] = ("neutral", KeyDoor(published))
    return doors


def _watch(metrics: Metrics, core: _Core, connections: int) -> None:
    """Show what has a level."""
    database, feed, keyring, pool = core.database, core.feed, core.keyring, core.pool
    metrics.level("pool_ready", "Key pairs in stock", lambda: pool.ready)
    metrics.level("pool_size", "Key pairs that should be in stock", lambda: pool.size)
    metrics.level("pool_waiting", "Creates that wait for a key pair", lambda: pool.waiting)
    metrics.total("pool_generated", "Key pairs made", lambda: pool.generated)
    metrics.total("pool_waits", "Creates that found no key pair in stock", lambda: pool.waits)
    metrics.total("pool_wait_seconds", "Seconds waited for key pairs", lambda: pool.waited)
    metrics.level("database_connections", "Connections open", lambda: database.connections)
    metrics.level("database_connections_max", "Connections allowed", lambda: connections)
    metrics.level("database_busy", "Connections in use", lambda: database.busy)
    metrics.level("keyring_keys", "Public keys in memory", lambda: keyring.size)
    metrics.total("keyring_hits", "Keys found in memory", lambda: keyring.hits)
    metrics.total("keyring_misses", "Keys asked of the database", lambda: keyring.misses)
    metrics.level("feed_trusted", "1 while memory is trusted", lambda: feed.trusted, "livemin")
    metrics.level("feed_deaf", "1 while LISTEN is in vain", lambda: feed.state == "deaf", "livemax")
    metrics.level("feed_lag_seconds", "Age of the last heartbeat", lambda: feed.lag, "livemax")


def _gate_cache(settings: Settings) -> bytes:
    stale = settings.gate_stale
    return f"max-age={settings.gate_max_age},stale-while-revalidate={stale}".encode()


# What Starlette and the routes of the neutral application refuse by a status.
_CODES = {401: Code.TOKEN_INVALID, 404: Code.ROUTE_UNKNOWN, 405: Code.METHOD_UNKNOWN}


def _neutral_app(routes: list[Route]) -> Starlette:
    async def refused(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        reply = neutral_refusal(GatewayError(_CODES[error.status_code], error.detail))
        request.state.refusal = reply.reason
        headers = {**(error.headers or {}), "Cache-Control": "no-store"}
        return Response(reply.body, reply.status, headers, media_type="application/json")

    application = Starlette(routes=routes, exception_handlers=dict.fromkeys(_CODES, refused))
    application.router.redirect_slashes = False  # to whatever host the request names
    return application
