"""Answers from memory that take some work first: what arrives together is worked out together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO

import pytest

from gateway.errors import GatewayError
from gateway.web.client import Proxies
from gateway.web.exchange import Deferred, Reply, Request, Trace
from gateway.web.front import Answer, Front
from gateway.web.journal import open_journal
from gateway.web.logs import Log
from gateway.web.metrics import Metrics
from gateway.web.neutral import neutral_refusal


class Workshop:
    """A door that tells the steps it takes; below /work-fails and so on one of them does."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def at_once(self, request: Request, body: bytes, trace: Trace) -> Deferred:  # noqa: ARG002
        name = request.path[1:]
        return Deferred(lambda: self._step("work", name), lambda done: self._reply(done, name))

    async def answer(
        self,
        request: Request,
        read_body: Callable[[], Awaitable[bytes]],
        trace: Trace,
        report: Callable[[Exception], None],
    ) -> Reply:
        raise NotImplementedError

    def refuse(self, error: GatewayError, request: Request, _operation: str | None = None) -> Reply:
        if request.path.endswith("-and-refusal-fail"):
            raise RuntimeError("nothing works any more")
        return neutral_refusal(error)

    def _step(self, step: str, name: str) -> str:
        self.steps.append(f"{step} {name}")
        if name in {f"{step}-fails", f"{step}-and-refusal-fail"}:
            raise RuntimeError("out of order")
        return f"{name} is done"

    def _reply(self, done: str, name: str) -> Reply:
        self._step("reply", name)
        return Reply(200, done.encode())


class House:
    """A front with one door and a log."""

    def __init__(self) -> None:
        self.workshop, self.said = Workshop(), BytesIO()
        self.answers: dict[str, Answer] = {}
        self._log = Log(self.said, pretty=False)

    async def ask(self, *names: str) -> None:
        """Let requests arrive together, and wait until they are answered."""
        with open_journal(self._log, Metrics()) as journal:
            doors = {"/door": ("test", self.workshop)}
            front = Front(doors, _nothing, self._log, journal=journal, proxies=Proxies([]))
            for name in names:
                visit = front.visit(_scope(f"/door/{name}"))
                assert visit is not None
                assert front.at_once(visit, b"", self._sender(name))
            assert not self.answers
            await asyncio.sleep(0)
            assert set(self.answers) == set(names)

    def _sender(self, name: str) -> Callable[[Answer], None]:
        def send(answer: Answer) -> None:
            self.workshop.steps.append(f"send {name}")
            self.answers[name] = answer

        return send


async def _nothing(_scope: object, _receive: object, _send: object) -> None:
    """Be the application for what is below no door."""


def _scope(path: str) -> dict[str, object]:
    return {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }


@pytest.fixture
def house() -> House:
    return House()


async def test_each_step_is_taken_for_all(house: House) -> None:
    await house.ask("a", "b")
    assert house.workshop.steps == ["work a", "work b", "reply a", "reply b", "send a", "send b"]
    assert [house.answers[name][2] for name in "ab"] == [b"a is done", b"b is done"]


async def test_the_next_ones_are_answered_too(house: House) -> None:
    await house.ask("a")
    house.answers.clear()
    await house.ask("b")
    assert house.answers["b"][2] == b"b is done"


@pytest.mark.parametrize("broken", ["work-fails", "reply-fails", "reply-and-refusal-fail"])
async def test_a_fault_is_its_own_requests_alone(house: House, broken: str) -> None:
    await house.ask("before", broken, "after")
    assert [house.answers[name][0] for name in ("before", broken, "after")] == [200, 500, 200]
    assert b"out of order" not in house.answers[broken][2]
    faults = [line for line in house.said.getvalue().splitlines() if b'"fault"' in line]
    assert len(faults) == 1
    assert b"out of order" in faults[0]
