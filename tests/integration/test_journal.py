"""A line in the log and a count in the metrics for every request, though written for many."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Thread
from uuid import uuid4

import httpx2
import psutil
import pytest

from gateway.web.exchange import Trace
from gateway.web.journal import open_journal
from gateway.web.logs import Log, RequestLine
from gateway.web.metrics import Metrics
from tests.fleet import until
from tests.rawhttp import Wire, request
from tests.service import House, Tenant, make_tenant, serve

SECRET = "metrics-token-for-tests"
SETTINGS = {"KEYFERRY_METRICS_TOKEN": SECRET, "KEYFERRY_POOL_SIZE": "1"}
WIRES, EACH = 6, 60
SOON = 1.0  # seconds until a line is written
_LINE = re.compile(rb'{"request_id":"[0-9a-f]{32}"[^{}]+"level":"info"}')


def burst(tenant: Tenant) -> dict[str, tuple[str, int]]:
    """Ask many things at once on several connections.

    Returns routes and statuses by request id; the last of them have just been read.
    """
    bearer = f"Authorization: Bearer {tenant.token}"
    kinds = [
        ("verify", f"/accounts/{tenant.account_id}/verify/video/index.m3u8", []),
        ("list_keys", "/api/access-control/signing-key", [bearer]),
        ("verify", f"/accounts/{tenant.account_id}/verify/video?token=x", []),
        ("none", "/healthz", []),
    ]
    told: dict[str, tuple[str, int]] = {}
    wires = [Wire(tenant.url) for _ in range(WIRES)]
    asked = [(uuid4().hex, *kinds[number % len(kinds)]) for number in range(EACH)]
    for number, wire in enumerate(wires):
        texts = [
            request("GET", path, [f"X-Request-ID: {number}-{name}", *headers])
            for name, _, path, headers in asked
        ]
        wire.say(b"".join(texts))
    for number, wire in enumerate(wires):
        with wire:
            for name, route, _, _ in asked:
                told[f"{number}-{name}"] = (route, wire.answer().status)
    return told


def lines_in(log: Path) -> dict[str, tuple[str, int]]:
    """Return the routes and statuses of all lines of requests, which are whole and one each."""
    text = log.read_bytes()
    assert text.endswith(b"\n")
    lines = [line for line in map(json.loads, text.splitlines()) if line["event"] == "request"]
    assert max(Counter(line["request_id"] for line in lines).values(), default=1) == 1
    return {line["request_id"]: (line["route"] or "none", line["status"]) for line in lines}


def metrics(url: str) -> dict[str, float]:
    """Return what is counted, by the name and labels of its line."""
    answer = httpx2.get(f"{url}/metrics", headers={"Authorization": f"Bearer {SECRET}"})
    lines = answer.raise_for_status().text.splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


def check_counts(counted: dict[str, float], told: dict[str, tuple[str, int]]) -> None:
    """Compare with what was answered, but for health, which others ask for too."""
    dialects = {"verify": "neutral", "list_keys": "livepeer"}
    answered = Counter(each for each in told.values() if each[0] in dialects)
    assert answered.keys() == {("verify", 401), ("list_keys", 200)}
    for (route, status), count in answered.items():
        dialect = dialects[route]
        labels = f'dialect="{dialect}",route="{route}"'
        assert counted[f'keyferry_requests_total{{{labels},status="{status}"}}'] == count
        assert counted[f"keyferry_request_seconds_count{{{labels}}}"] == count
        labels = f'dialect="{dialect}",le="+Inf",route="{route}"'
        assert counted[f"keyferry_request_seconds_bucket{{{labels}}}"] == count
    for reason in ("token_missing", "token_malformed"):
        judged = counted[f'keyferry_verdicts_total{{reason="{reason}"}}']
        assert judged == answered["verify", 401] / 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_every_request_has_its_line_after_a_stop(
    house: House, tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    with serve(house, log, SETTINGS) as (url, process):
        told = burst(make_tenant(house, url))
        process.send_signal(number)
        assert process.wait(20) == 0
    assert lines_in(log).items() == told.items()


def test_lines_come_soon_and_counts_at_once(house: House, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serve(house, log, SETTINGS) as (url, _):
        tenant = make_tenant(house, url)
        told = burst(tenant)
        for _ in range(2):
            check_counts(metrics(url), told)
        until(lambda: told.items() <= lines_in(log).items(), SOON)
        with Wire(url) as wire:
            for _ in range(3):  # one at a time
                name = uuid4().hex
                wire.say(request("GET", "/healthz", [f"X-Request-ID: {name}"]))
                assert wire.answer().status == 200
                until(partial(is_in, log, name), SOON)


def test_workers_that_are_stopped_lose_nothing(house: House, tmp_path: Path) -> None:
    """Neither lines nor counts, which the others show."""
    log = tmp_path / "log"
    with serve(house, log, SETTINGS, ["--workers", "2"]) as (url, process):
        workers = psutil.Process(process.pid).children()
        told = burst(make_tenant(house, url))
        for worker in workers:
            worker.terminate()
        assert not psutil.wait_procs(workers, timeout=20)[1]
        assert told.items() <= lines_in(log).items()
        until(lambda: log.read_bytes().count(b'"event":"worker ended"') == len(workers))
        until(lambda: answers(url))
        check_counts(metrics(url), told)


def is_in(log: Path, name: str) -> bool:
    return name in log.read_text()


def answers(url: str) -> bool:
    """Whether a worker listens again."""
    try:
        return httpx2.get(f"{url}/healthz").is_success
    except httpx2.TransportError:
        return False


def lines(count: int) -> list[RequestLine]:
    """Return lines as most are."""
    now, account, kid = datetime.now(UTC), uuid4().hex, uuid4().hex
    made = partial(RequestLine, method="GET", dialect="neutral", route="verify", account=account)
    why = partial(made, reason="allowed", kid=kid, subject="my-video", address="192.0.2.7")
    return [why(uuid4().hex, status=200, ms=0.123, timestamp=now) for _ in range(count)]


@pytest.mark.parametrize("pretty", [True, False])
async def test_the_last_lines_are_written_at_the_end(pretty: bool) -> None:
    out, told = BytesIO(), [uuid4().hex for _ in range(5)]
    with open_journal(Log(out, pretty=pretty), Metrics()) as journal:
        for name in told:
            journal.note(name, "GET", Trace("neutral", "verify"), 200, time.perf_counter())
        assert out.getvalue() == b""
    written = out.getvalue().decode()
    assert [name for line in written.splitlines() for name in told if name in line] == told
    assert written.endswith("\n")
    await asyncio.sleep(0.1)  # nothing is left to be written later
    assert out.getvalue().decode() == written


def test_workers_that_share_a_pipe_tear_no_line() -> None:
    """As they do below a supervisor in a container, whose reader is a little slow."""
    read, write = os.pipe()

    def work(end: int) -> None:
        with os.fdopen(end, "wb") as out:
            for _ in range(20):
                Log(out, pretty=False).requests(lines(400))

    workers = [Thread(target=work, args=[end]) for end in (write, os.dup(write))]
    for worker in workers:
        worker.start()
    text = b""
    while part := os.read(read, 65_536):
        text += part
        time.sleep(0.001)
    os.close(read)
    for worker in workers:
        worker.join()
    written = text.splitlines()
    assert [line for line in written if not _LINE.fullmatch(line)] == []
    assert len(written) == 2 * 20 * 400
