"""A dialect's door that behaves like its model: as slow, as limited, and as often out of order.

What is simulated says so in `X-Keyferry-Simulated`, and what is refused wears the dialect's own
envelope. Nothing here runs unless `keyferry serve --simulate FILE` asks for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from random import Random

from gateway.errors import Code, GatewayError
from gateway.lag import witnessing
from gateway.simulation import Behaviour, Simulation
from gateway.web.allowance import Allowance, Clients, headers_of, limiter
from gateway.web.exchange import Headers, Reply, Request, Trace
from gateway.web.front import Door

_MARK = b"x-keyferry-simulated"
_PAUSE = 1  # seconds after which a simulated disturbance is over
_MESSAGES = {
    Code.RATE_LIMITED: "too many requests; try again later",
    Code.INTERNAL: "Internal server error",
    Code.UNAVAILABLE: "the service is unavailable; try again",
}


class SimulatedDoor:
    """A door around `door`. Delays and disturbances are drawn from `random`.

    A disturbed request has not been carried out: `door` never sees it. A request over the rate
    limit is neither delayed nor disturbed.
    """

    def __init__(
        self,
        door: Door,
        behaviour: Behaviour,
        *,
        random: Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._door = door
        self._behaviour = behaviour
        self._random = random or Random()  # noqa: S311  nothing secret depends on it
        self._sleep = sleep
        self._clients = Clients()
        limit = behaviour.rate_limit
        self._limiter = None if limit is None else limiter(limit, clock)

    async def answer(
        self,
        request: Request,
        read_body: Callable[[], Awaitable[bytes]],
        trace: Trace,
        report: Callable[[Exception], None],
    ) -> Reply:
        """Answer one request, or refuse it as the model might."""
        allowance = self._take(request)
        if allowance is not None and not allowance.granted:
            reply = self._disturb(Code.RATE_LIMITED, request, allowance.wait)
            return _marked(reply, ["rate-limit"], self._limit_headers(allowance))
        marks = await self._delay()
        code = self._error()
        if code is not None:
            reply = self._disturb(code, request, None if code is Code.INTERNAL else _PAUSE)
            marks.append("error")
        else:
            with witnessing() as late:
                reply = await self._door.answer(request, read_body, trace, report)
            marks += ["revocation-lag"] if late else []
            if self._clients.learn(request, trace.account):
                allowance = self._take(request)  # until now it counted for its token alone
        return _marked(reply, marks, self._limit_headers(allowance))

    def at_once(self, request: Request, body: bytes, trace: Trace) -> None:
        """Never: there may be something to simulate."""

    def refuse(self, error: GatewayError, request: Request, operation: str | None = None) -> Reply:
        """Return a refusal that is not simulated, as `door` does."""
        return self._door.refuse(error, request, operation)

    def _take(self, request: Request) -> Allowance | None:
        if self._limiter is None:
            return None
        return self._limiter.take(self._clients.name(request))

    def _limit_headers(self, allowance: Allowance | None) -> Headers:
        limit = self._behaviour.rate_limit
        if allowance is None or limit is None or not limit.headers:
            return []
        return headers_of(limit, allowance)

    async def _delay(self) -> list[str]:
        latency = self._behaviour.latency
        delay = 0.0 if latency is None else latency.draw(self._random)
        if delay <= 0:
            return []
        await self._sleep(delay / 1000)
        return ["latency"]

    def _error(self) -> Code | None:
        drawn = self._random.random()
        for code, share in self._behaviour.errors.items():
            if drawn < share:
                return code
            drawn -= share
        return None

    def _disturb(self, code: Code, request: Request, wait: int | None) -> Reply:
        return self._door.refuse(GatewayError(code, _MESSAGES[code], retry_after=wait), request)


def _marked(reply: Reply, marks: list[str], headers: Headers) -> Reply:
    mark = [(_MARK, ", ".join(marks).encode())] if marks else []
    return replace(reply, headers=[*reply.headers, *headers, *mark])


def simulated(
    doors: Mapping[str, tuple[str, Door]], simulation: Simulation | None
) -> Mapping[str, tuple[str, Door]]:
    """Return `doors`, by prefix and with the names of their dialects, behaving as they should."""
    if simulation is None:
        return doors
    return {
        prefix: (name, SimulatedDoor(door, simulation.dialects.get(name, Behaviour())))
        for prefix, (name, door) in doors.items()
    }
