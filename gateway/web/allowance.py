"""Counting requests per client, as providers do: how many are left, and how long to wait."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.simulation import RateLimit
from gateway.web.exchange import Headers, Request

_MAX_CLIENTS = 10_000  # remembered; the one unseen for longest is forgotten first
_CREDENTIALS = (b"authorization", b"x-auth-key")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one client has left after a request."""

    granted: bool
    left: int
    wait: int  # whole seconds until there is more


class Limiter(ABC):
    """Grants `limit.requests` per `limit.seconds` to each client."""

    def __init__(self, limit: RateLimit, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._states: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> Allowance:
        """Count one request of `client`, unless it has none left."""
        now = self._clock()
        allowance, self._states[client] = self._taken(self._states.get(client), now)
        self._states.move_to_end(client)
        if len(self._states) > _MAX_CLIENTS:
            self._states.popitem(last=False)
        return allowance

    @abstractmethod
    def _taken(
        self, state: tuple[float, float] | None, now: float
    ) -> tuple[Allowance, tuple[float, float]]:
        """Return the answer and the client's new state; None is a client not seen before."""


class _Window(Limiter):
    """The state is when the window ends and how many requests it has had."""

    def _taken(
        self, state: tuple[float, float] | None, now: float
    ) -> tuple[Allowance, tuple[float, float]]:
        ends, used = state or (0.0, 0.0)
        if state is None or now >= ends:
            ends, used = now + self._limit.seconds, 0.0
        granted = used < self._limit.requests
        used += granted
        left = self._limit.requests - int(used)
        return Allowance(granted, left, _whole(ends - now)), (ends, used)


class _Bucket(Limiter):
    """The state is when the bucket was looked at last and how many tokens it had."""

    def _taken(
        self, state: tuple[float, float] | None, now: float
    ) -> tuple[Allowance, tuple[float, float]]:
        full, rate = float(self._limit.requests), self._limit.requests / self._limit.seconds
        seen, tokens = state or (now, full)
        tokens = min(full, tokens + (now - seen) * rate)
        granted = tokens >= 1
        tokens -= granted
        missing = full - tokens if granted else 1 - tokens
        return Allowance(granted, int(tokens), _whole(missing / rate)), (now, tokens)


def limiter(limit: RateLimit, clock: Callable[[], float]) -> Limiter:
    """Return a limiter of the style that `limit` asks for."""
    return (_Bucket if limit.style == "bucket" else _Window)(limit, clock)


def headers_of(limit: RateLimit, allowance: Allowance) -> Headers:
    """Return Ratelimit and Ratelimit-Policy as Cloudflare's API sends them."""
    return [
        (b"ratelimit", b'"default";r=%d;t=%d' % (allowance.left, allowance.wait)),
        (b"ratelimit-policy", b'"default";q=%d;w=%d' % (limit.requests, limit.seconds)),
    ]


class Clients:
    """Who sent a request: the account behind its credentials once known, else the credentials.

    Credentials are kept as digests. A request without any is its address's.
    """

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, str] = OrderedDict()  # by digest

    def name(self, request: Request) -> str:
        """Return the client that a request counts for."""
        digest = _digest(request)
        return request.address or "" if digest is None else self._accounts.get(digest, digest)

    def learn(self, request: Request, account: str | None) -> bool:
        """Note that the credentials of a request turned out to be an account's; is that news?"""
        digest = _digest(request)
        if account is None or digest is None or digest in self._accounts:
            return False
        self._accounts[digest] = account
        if len(self._accounts) > _MAX_CLIENTS:
            self._accounts.popitem(last=False)
        return True


def _digest(request: Request) -> str | None:
    for name in _CREDENTIALS:
        value = request.header(name)
        if value:
            return hashlib.sha256(value.encode()).hexdigest()
    return None


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds))
