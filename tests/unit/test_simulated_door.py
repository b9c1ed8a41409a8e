"""A door that misbehaves on purpose: how often, how long, for whom, and that it says so."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from statistics import quantiles
from typing import Any

import msgspec
import pytest

from adapters import find_dialects
from adapters.dialect import Dialect
from gateway.errors import Code, GatewayError
from gateway.simulation import Behaviour, Fixed, Latency, LogNormal, RateLimit, Simulation, Uniform
from gateway.web.exchange import Reply, Request, Trace
from gateway.web.simulate import SimulatedDoor, simulated

ASKED = Request("GET", "/keys", b"", [(b"authorization", b"Bearer one")], "id", None, "::1", str)


class Inner:
    """A door that always opens, and knows whose token is whose."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.answered = 0
        self.accounts: dict[str | None, str] = {}

    async def answer(
        self,
        request: Request,
        _read_body: Callable[[], Awaitable[bytes]],
        trace: Trace,
        _report: Callable[[Exception], None],
    ) -> Reply:
        self.answered += 1
        trace.account = self.accounts.get(request.header(b"authorization"))
        return Reply(200, b"{}")

    def at_once(self, _request: Request, _body: bytes, _trace: Trace) -> Reply:
        raise AssertionError("what is simulated is never answered at once")

    def refuse(self, error: GatewayError, request: Request, operation: str | None = None) -> Reply:
        reply = self.dialect.render_error(error, request, operation)
        if error.retry_after is not None:
            reply.headers.append((b"retry-after", b"%d" % error.retry_after))
        return reply


class Stage:
    """One simulated door, its clock, and what it slept."""

    def __init__(self, behaviour: Behaviour, dialect: str = "cloudflare") -> None:
        [found] = [one for one in find_dialects() if one.name == dialect]
        self.inner = Inner(found)
        self.now = 0.0
        self.slept: list[float] = []
        self.door = SimulatedDoor(
            self.inner,
            behaviour,
            random=Random(7),  # noqa: S311
            sleep=self._sleep,
            clock=lambda: self.now,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def ask(self, token: str = "one", address: str = "::1") -> Reply:  # noqa: S107
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        asked = ASKED._replace(headers=headers, address=address)
        answer = self.door.answer(asked, self._no_body, Trace(), _report)
        try:
            answer.send(None)
        except StopIteration as done:
            reply: Reply = done.value
            return reply
        raise AssertionError("nothing in it waits for anything")

    async def _no_body(self) -> bytes:
        raise AssertionError


def _report(error: Exception) -> None:
    raise error


def header(reply: Reply, name: bytes) -> str | None:
    found = [value.decode() for key, value in reply.headers if key == name]
    assert len(found) <= 1
    return found[0] if found else None


def mark(reply: Reply) -> str | None:
    return header(reply, b"x-keyferry-simulated")


def error_of(reply: Reply) -> Any:
    return msgspec.json.decode(reply.body)["errors"][0]


def test_nothing_is_added_without_a_simulation() -> None:
    inner = Inner(find_dialects()[0])
    doors = {"/api": ("livepeer", inner)}
    assert simulated(doors, None) is doors
    [(name, door)] = simulated(doors, Simulation({})).values()
    assert name == "livepeer"
    assert isinstance(door, SimulatedDoor)
    plain = Stage(Behaviour())
    assert plain.ask() == Reply(200, b"{}")
    assert plain.slept == []


def test_shares_of_disturbances() -> None:
    shares = {Code.RATE_LIMITED: 0.1, Code.INTERNAL: 0.05, Code.UNAVAILABLE: 0.2}
    stage = Stage(Behaviour(errors=shares))
    count = 4000
    seen = Counter(stage.ask().status for _ in range(count))
    for status, share in ((429, 0.1), (500, 0.05), (503, 0.2), (200, 0.65)):
        assert abs(seen[status] - count * share) < 4 * math.sqrt(count * share * (1 - share))
    assert stage.inner.answered == seen[200]  # what is disturbed is not carried out


@pytest.mark.parametrize(
    ("code", "status", "message", "wait"),
    [
        (Code.RATE_LIMITED, 429, "Please wait and consider throttling your request speed", "1"),
        (Code.INTERNAL, 500, "Internal server error", None),
        (Code.UNAVAILABLE, 503, "the service is unavailable; try again", "1"),
    ],
)
def test_disturbances_wear_the_envelope(
    code: Code, status: int, message: str, wait: str | None
) -> None:
    reply = Stage(Behaviour(errors={code: 1.0})).ask()
    assert (reply.status, error_of(reply)["message"]) == (status, message)
    assert mark(reply) == "error"
    assert header(reply, b"retry-after") == wait
    assert isinstance(error_of(Stage(Behaviour(errors={code: 1.0}), "livepeer").ask()), str)


@pytest.mark.parametrize(
    ("latency", "p50", "p99"),
    [
        (Fixed(50), 50, 50),
        (Uniform(10, 110), 60, 109),
        (LogNormal(40, 400), 40, 400),
        (LogNormal(40, 40), 40, 40),
    ],
)
def test_latency_has_its_distribution(latency: Latency, p50: float, p99: float) -> None:
    stage = Stage(Behaviour(latency=latency))
    assert {mark(stage.ask()) for _ in range(4000)} == {"latency"}
    milliseconds = quantiles((second * 1000 for second in stage.slept), n=100)
    assert milliseconds[49] == pytest.approx(p50, rel=0.1)
    assert milliseconds[98] == pytest.approx(p99, rel=0.25)


def test_an_answer_is_never_held_for_long() -> None:
    stage = Stage(Behaviour(latency=LogNormal(0.1, 60_000)))
    for _ in range(4000):
        stage.ask()
    assert max(stage.slept) <= 60


def test_all_that_is_simulated_is_named() -> None:
    stage = Stage(Behaviour(latency=Fixed(1), errors={Code.INTERNAL: 1.0}))
    assert mark(stage.ask()) == "latency, error"


def test_a_window_is_used_up_and_opens_again() -> None:
    stage = Stage(Behaviour(latency=Fixed(5), rate_limit=RateLimit(3, 300)))
    left = [header(stage.ask(), b"ratelimit") for _ in range(3)]
    assert left == [f'"default";r={n};t=300' for n in (2, 1, 0)]
    stage.now = 99.5
    refused = stage.ask()
    assert (refused.status, mark(refused)) == (429, "rate-limit")
    assert error_of(refused)["code"] == 971
    assert header(refused, b"retry-after") == "201"
    assert header(refused, b"ratelimit") == '"default";r=0;t=201'
    assert header(refused, b"ratelimit-policy") == '"default";q=3;w=300'
    assert len(stage.slept) == stage.inner.answered == 3
    stage.now = 300
    assert stage.ask().status == 200


def test_a_bucket_gives_back_one_by_one() -> None:
    stage = Stage(Behaviour(rate_limit=RateLimit(2, 20, style="bucket", headers=False)))
    assert [stage.ask().status for _ in range(3)] == [200, 200, 429]
    stage.now = 3.0
    refused = stage.ask()
    assert header(refused, b"retry-after") == "7"
    assert header(refused, b"ratelimit") is None
    stage.now = 10.0
    assert [stage.ask().status for _ in range(2)] == [200, 429]
    stage.now = 1000.0
    assert [stage.ask().status for _ in range(3)] == [200, 200, 429]


def test_clients_are_counted_apart() -> None:
    stage = Stage(Behaviour(rate_limit=RateLimit(1, 60)))
    assert [stage.ask(token).status for token in ("one", "two", "one")] == [200, 200, 429]
    assert [stage.ask("", address).status for address in ("::1", "::2", "::1")] == [200, 200, 429]


def test_tokens_of_one_account_are_counted_together_once_known() -> None:
    stage = Stage(Behaviour(rate_limit=RateLimit(2, 60)))
    stage.inner.accounts = {"Bearer one": "account", "Bearer two": "account"}
    left = [header(stage.ask(token), b"ratelimit") for token in ("one", "two")]
    assert left == [f'"default";r={n};t=60' for n in (1, 0)]
    assert [stage.ask(token).status for token in ("one", "two")] == [429, 429]


def test_many_clients_do_not_fill_the_memory() -> None:
    stage = Stage(Behaviour(rate_limit=RateLimit(1, 60)))
    for number in range(10_050):
        stage.door._take(ASKED._replace(headers=[], address=str(number)))
    assert stage.door._limiter is not None
    assert len(stage.door._limiter._states) == 10_000
