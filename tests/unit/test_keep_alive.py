"""Which connections are closed, and when: idle ones, and those that keep us waiting for a head."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from gateway.errors import GatewayError
from gateway.web.client import Proxies
from gateway.web.exchange import Reply, Request, Trace
from gateway.web.front import Front
from gateway.web.journal import open_journal
from gateway.web.logs import Log
from gateway.web.metrics import Metrics
from gateway.web.neutral import neutral_refusal
from gateway.web.protocol import CappedProtocol
from tests.rawhttp import request

pytestmark = pytest.mark.alone

KEEP_ALIVE = 0.5  # seconds
A_MOMENT = 0.2  # seconds for which nothing is said
SLOW = 0.8  # seconds that an answer takes
SLACK = 0.4  # seconds, on a busy machine


class TwoWays:
    """A door that answers /fast from memory, and /slow when it likes to."""

    def at_once(self, request: Request, body: bytes, trace: Trace) -> Reply | None:  # noqa: ARG002
        return Reply(200, b"fast") if request.path == "/fast" else None

    async def answer(
        self,
        request: Request,
        read_body: Callable[[], Awaitable[bytes]],  # noqa: ARG002
        trace: Trace,  # noqa: ARG002
        report: Callable[[Exception], None],  # noqa: ARG002
    ) -> Reply:
        await asyncio.sleep(SLOW if request.path == "/slow" else 0.01)
        return Reply(200, request.path[1:].encode())

    def refuse(
        self, error: GatewayError, _request: Request, _operation: str | None = None
    ) -> Reply:
        return neutral_refusal(error)


async def nothing(_scope: object, _receive: object, _send: object) -> None:
    """Be the application for what is below no door."""


class Line:
    """A client's end of a connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connections: set[Any],
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.connections = connections  # those that the server has

    def say(self, *names: str) -> None:
        self.writer.write(b"".join(request("GET", f"/door/{name}") for name in names))

    async def answer(self) -> str:
        """Return the body of the next answer, which is the name of what was asked for."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return (await self.reader.readexactly(length)).decode()

    async def ended_after(self) -> float:
        """Return how long it takes until the server closes the connection."""
        began = time.monotonic()
        async with asyncio.timeout(5):
            assert await self.reader.read() == b""
        return time.monotonic() - began


@asynccontextmanager
async def opened() -> AsyncIterator[Line]:
    """Connect to a server of our protocol."""
    with open_journal(log := Log(BytesIO(), pretty=False), Metrics()) as journal:
        front = Front(
            {"/door": ("test", TwoWays())}, nothing, log, journal=journal, proxies=Proxies([])
        )
        config: Any = uvicorn.Config(front, http=CappedProtocol, log_config=None)
        config.load()
        config.loaded_app = front  # as it is without the middleware of other interfaces
        config.timeout_keep_alive = KEEP_ALIVE
        loop, state = asyncio.get_running_loop(), ServerState()
        server = await loop.create_server(lambda: CappedProtocol(config, state, {}), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            try:
                yield Line(reader, writer, state.connections)
            finally:
                writer.close()
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", ["fast", "other"])
async def test_an_idle_connection_is_closed(name: str) -> None:
    """When it has been idle for its time, however busy it was before."""
    async with opened() as line:
        for _ in range(6):
            line.say(name)
            assert await line.answer() == name
            await asyncio.sleep(A_MOMENT)
        assert 0.1 < await line.ended_after() < KEEP_ALIVE - A_MOMENT + SLACK


@pytest.mark.parametrize("before", [[], ["fast"], ["other", "other"]])
async def test_what_is_being_answered_is_not_idle(before: list[str]) -> None:
    asked = [*before, "slow", "fast"]
    async with opened() as line:
        line.say(*asked)
        assert [await line.answer() for _ in asked] == asked
        line.say("fast")
        assert await line.answer() == "fast"
        assert KEEP_ALIVE - 0.1 < await line.ended_after() < KEEP_ALIVE + SLACK


async def test_a_head_that_has_begun_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a time of its own."""
    monkeypatch.setattr("gateway.web.protocol.PATIENCE", 2 * KEEP_ALIVE)
    async with opened() as line:
        line.say("fast")
        assert await line.answer() == "fast"
        head = request("GET", "/door/other")
        line.writer.write(head[:20])
        await asyncio.sleep(1.5 * KEEP_ALIVE)
        line.writer.write(head[20:])
        assert await line.answer() == "other"
        line.writer.write(head[:20])
        assert 2 * KEEP_ALIVE - 0.1 < await line.ended_after() < 2 * KEEP_ALIVE + SLACK


async def test_a_head_that_we_do_not_read_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """While requests wait their turn nothing is read: its rest may have come long ago."""
    monkeypatch.setattr("gateway.web.protocol.PATIENCE", SLOW / 2)
    async with opened() as line:
        line.say("slow")
        await asyncio.sleep(0.1)
        head = request("GET", "/door/other")
        line.writer.write(request("GET", "/door/fast") + head[:20])
        await asyncio.sleep(0.1)
        line.writer.write(head[20:])
        assert [await line.answer() for _ in range(3)] == ["slow", "fast", "other"]


async def test_a_head_behind_a_request_in_one_packet_has_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one has that comes in a packet of its own: it is not idle, and it is not late yet."""
    monkeypatch.setattr("gateway.web.protocol.PATIENCE", KEEP_ALIVE / 2)
    for name in ("fast", "other"):
        async with opened() as line:
            line.writer.write(request("GET", f"/door/{name}") + request("GET", "/door/x")[:20])
            assert await line.answer() == name
            assert await line.ended_after() < KEEP_ALIVE / 2 + SLACK / 2


async def test_a_late_head_does_not_cut_off_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.protocol.PATIENCE", SLOW / 4)
    async with opened() as line:
        line.writer.write(request("GET", "/door/slow") + request("GET", "/door/fast")[:20])
        assert await line.answer() == "slow"
        assert await line.ended_after() < SLACK


async def test_garbage_that_does_not_go_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its line has begun well, and however many requests came before it."""
    monkeypatch.setattr("gateway.web.protocol.LINGER", KEEP_ALIVE / 2)
    for before in ([], ["fast"], ["other", "fast"]):
        async with opened() as line:
            line.say(*before)
            assert [await line.answer() for _ in before] == before
            line.writer.write(b"FROB /do")
            head = await line.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 ")
            assert b"\r\nconnection: close\r\n" in head


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_answers_that_nobody_reads_are_not_kept(
    monkeypatch: pytest.MonkeyPatch, hangs_up: bool
) -> None:
    """More of them than the sockets between us hold: the connection is gone after a time."""
    monkeypatch.setattr("gateway.web.ending.UNREAD", 0.3)
    monkeypatch.setattr("gateway.web.ending.PATIENCE", 0.3)
    async with opened() as line:
        began, asked = time.monotonic(), request("GET", "/door/fast") * 20_000
        line.writer.write(asked)
        if hangs_up:
            line.writer.write_eof()
        while not line.connections and time.monotonic() < began + 5:
            await asyncio.sleep(0.01)
        assert len(line.connections) == 1
        while line.connections and time.monotonic() < began + 10:
            await asyncio.sleep(0.05)
        assert not line.connections
        line.writer.transport.abort()
