"""What Keyferry is compared with, each a server of its own on the same uvicorn settings.

`control` is a bare Starlette route that answers a constant. `naive` is what one would write in
an afternoon: one INSERT or SELECT through asyncpg's pool as it comes, JSONResponse, no
authentication, no quota, no audit trail. Run as `python -m tests.bench.rivals NAME [DSN]`.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

ACCOUNT = UUID(int=1)
LISTED = 10
_PEM = "-----BEGIN PRIVATE KEY-----" + 1650 * "x" + "-----END PRIVATE KEY-----"
_SPKI = os.urandom(294)
_TABLE = """
CREATE TABLE IF NOT EXISTS naive_keys (
    id uuid PRIMARY KEY, account uuid NOT NULL, name text, spki bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX IF NOT EXISTS naive_keys_of_account ON naive_keys (account, created_at DESC);
"""
_INSERT = (
    "INSERT INTO naive_keys (id, account, name, spki) VALUES ($1, $2, $3, $4) RETURNING created_at"
)
_LIST = "SELECT * FROM naive_keys WHERE account = $1 ORDER BY created_at DESC"
_GET = "SELECT * FROM naive_keys WHERE id = $1"


def control() -> Starlette:
    """Return the bare application."""

    async def constant(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(routes=[Route("/constant", constant)])


def naive(pool: Any) -> Starlette:
    """Return the application of an afternoon."""

    async def create(_request: Request) -> Response:
        key = uuid4()
        async with pool.acquire() as connection:
            made = await connection.fetchval(_INSERT, key, uuid4(), "a key", _SPKI)
        return JSONResponse({"id": str(key), "privateKey": _PEM, "createdAt": made.timestamp()})

    async def listing(_request: Request) -> Response:
        async with pool.acquire() as connection:
            return JSONResponse([_shown(row) for row in await connection.fetch(_LIST, ACCOUNT)])

    async def get(request: Request) -> Response:
        async with pool.acquire() as connection:
            row = await connection.fetchrow(_GET, UUID(request.path_params["key"]))
        return JSONResponse(_shown(row))

    return Starlette(
        routes=[
            Route("/keys", create, methods=["POST"]),
            Route("/keys", listing),
            Route("/keys/{key}", get),
        ]
    )


def _shown(row: Any) -> dict[str, object]:
    return {
        "id": str(row["id"]),
        "userId": str(row["account"]),
        "name": row["name"],
        "publicKey": row["spki"].hex(),
        "createdAt": row["created_at"].timestamp(),
    }


async def _furnish(pool: Any) -> None:
    """Make the table, with ten keys to list, of which key 0 is one."""
    await pool.execute(_TABLE)
    await pool.executemany(
        "INSERT INTO naive_keys VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        [(UUID(int=number), ACCOUNT, f"key {number}", _SPKI) for number in range(LISTED)],
    )


async def _main(name: str, dsn: str | None) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    if name == "control":
        await _serve(control(), listener)
        return
    async with asyncpg.create_pool(dsn) as pool:
        await _furnish(pool)
        await _serve(naive(pool), listener)


async def _serve(app: Starlette, listener: socket.socket) -> None:
    """Serve as gateway/server.py does."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        loop="uvloop",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
    )
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
