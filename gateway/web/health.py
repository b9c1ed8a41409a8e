"""`/healthz`: the process lives. `/readyz`: it can serve, and what it has in stock."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.errors import GatewayError
from gateway.keypool import KeyPool
from gateway.sealed import SealedKeys
from gateway.simulation import Simulation
from gateway.storage.condition import Condition, condition_of
from gateway.storage.database import Database
from gateway.storage.feed import Feed
from gateway.storage.migrate import LATEST
from gateway.web.logs import Log

Status: TypeAlias = Literal["ready", "degraded", "unavailable"]
_PROMPT = 1.0  # seconds after which a database is reported as away
_COUNTING = 0.3  # seconds that one probe gives to counting sealed keys


class Readiness:
    """Whether a node can do its work; the log is told whenever the answer changes."""

    def __init__(
        self, database: Database, feed: Feed, pool: KeyPool, sealed: SealedKeys, log: Log
    ) -> None:
        self._database = database
        self._feed = feed
        self._pool = pool
        self._sealed = sealed
        self._log = log
        self._told: tuple[Status, Condition, int] = ("ready", Condition("ok", LATEST), 0)

    async def look(self) -> tuple[Status, dict[str, Any]]:
        """Find out how things are; returns within a second or so, whatever they are like."""
        unopened = self._told[2]
        try:
            async with asyncio.timeout(_PROMPT):
                condition = await condition_of(self._database)
                if condition.suffices:
                    unopened = await self._sealed.unopened(_COUNTING)
        except (GatewayError, TimeoutError):
            condition = Condition("away")
        status: Status = "unavailable"
        if condition.suffices:
            status = "degraded" if unopened else "ready"
        self._tell(status, condition, unopened)
        return status, self._document(status, condition, unopened)

    def _document(self, status: Status, condition: Condition, unopened: int) -> dict[str, Any]:
        return {
            "status": status,
            "database": condition.state,
            "lacking": list(condition.lacking),
            "migrations": {"applied": condition.version, "latest": LATEST},
            "minting": {"unopened": unopened},
            "feed": self._feed.state,
            "pool": {"ready": self._pool.ready, "size": self._pool.size},
        }

    def _tell(self, status: Status, condition: Condition, unopened: int) -> None:
        """Tell the log of a change: what an operator has to mend, or that it is mended."""
        now = (status, condition, unopened)
        if now == self._told:
            return
        self._told = now
        if status == "ready":
            self._log.info("readiness", state=status)
            return
        why: dict[str, Any] = {"database": condition.state, "applied": condition.version}
        if condition.lacking:
            why["lacking"] = ", ".join(condition.lacking)
        if status == "degraded":
            why = {"reason": _sealed_by_another(unopened)}
        self._log.warning("readiness", state=status, **why)


def _sealed_by_another(unopened: int) -> str:
    return (
        f"KEYFERRY_MASTER_KEY does not open the minting keys of {unopened} account(s): "
        "set the one that sealed them, or rotate them with keyferry account rotate"
    )


def health_routes(readiness: Readiness, simulation: Simulation | None = None) -> list[Route]:
    """Return the routes that orchestrators ask."""
    simulated = {} if simulation is None else {"simulation": simulation.shown()}

    async def healthz(_request: Request) -> Response:
        return _json(200, {"status": "ok"})

    async def readyz(_request: Request) -> Response:
        status, document = await readiness.look()
        return _json(503 if status == "unavailable" else 200, {**document, **simulated})

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def _json(status: int, content: Any) -> Response:
    return Response(
        msgspec.json.encode(content),
        status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
