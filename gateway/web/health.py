"""`/healthz`: the process lives. `/readyz`: it can serve, and what it has in stock."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.errors import GatewayError
from gateway.keypool import KeyPool
from gateway.simulation import Simulation
from gateway.storage.database import STATEMENTS, Database
from gateway.storage.feed import Feed
from gateway.storage.migrate import LATEST

_PROMPT = 1.0  # seconds after which a database is reported as away


def health_routes(
    database: Database, feed: Feed, pool: KeyPool, simulation: Simulation | None = None
) -> list[Route]:
    """Return the routes that orchestrators ask."""
    simulated = {} if simulation is None else {"simulation": simulation.shown()}

    async def healthz(_request: Request) -> Response:
        return _json(200, {"status": "ok"})

    async def readyz(_request: Request) -> Response:
        applied = await _schema_version(database)
        ready = applied is not None and applied >= LATEST
        return _json(
            200 if ready else 503,
            {
                "status": "ready" if ready else "unavailable",
                "database": "away" if applied is None else "ok",
                "migrations": {"applied": applied, "latest": LATEST},
                "feed": feed.state,
                "pool": {"ready": pool.ready, "size": pool.size},
                **simulated,
            },
        )

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


async def _schema_version(database: Database) -> int | None:
    try:
        async with asyncio.timeout(_PROMPT):
            row = await database.fetchrow(STATEMENTS.schema_version.sql)
    except (GatewayError, TimeoutError):
        return None
    return int(row["version"])


def _json(status: int, content: Any) -> Response:
    return Response(
        msgspec.json.encode(content),
        status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
