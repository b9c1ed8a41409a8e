"""How a machine is shared: between a noisy account and a quiet one, and between workers."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from statistics import median, quantiles

import httpx2

from tests.bench.compare import Row
from tests.bench.doors import Doors
from tests.bench.furniture import as_tenant, keys_of
from tests.bench.load import Wave, outcome
from tests.bench.report import Report, Table
from tests.bench.servers import ES256, Bench, Server, filled
from tests.service import Tenant, make_tenant

_PATIENT = 500.0  # milliseconds that the quiet account's slowest creates may take
_CROWD = 128  # connections of the noisy account: twice what may wait
_TIMES = 20  # the noisy account asks so many times as often as key pairs can be made
_LINEAR = 1.15  # times the processor time that one worker takes per request
_ROWS = ("verify, first time", "verify, seen before", "list 10 keys, Livepeer", "create, ES256")


@dataclass(frozen=True)
class _Party:
    """What became of both accounts' creates in one round."""

    quiet: list[float]  # milliseconds that each took
    asked: float  # by the noisy account, per key pair made
    told: float  # the share of these that got 429


def measure_noise(bench: Bench, report: Report, rounds: int) -> None:
    """Measure creates of one account while another asks for far more than can be made."""
    seconds = 4 if report.short else 15
    with bench.keyferry({"KEYFERRY_POOL_SIZE": "1"}) as server:
        noisy, quiet = (make_tenant(bench.house, server.url, name) for name in ("noisy", "quiet"))
        filled(server)
        calm = _creates(quiet, seconds)
        parties = [_party(bench, server, noisy, quiet, seconds) for _ in range(rounds)]
    slow = median(_p99(party.quiet) for party in parties)
    asked = median(party.asked for party in parties)
    usual = median(median(party.quiet) for party in parties)
    rows = [
        [
            "creates that the noisy account asks for, per key pair made",
            f"{asked:.0f}",
            f"≥ {_TIMES}",
        ],
        ["share of them told 429", f"{median(party.told for party in parties):.1%}", ""],
        ["the quiet account's create p50 ms, alone", f"{median(calm):.0f}", ""],
        ["the same, beside the noisy one", f"{usual:.0f}", ""],
        ["its p99 ms, beside the noisy one", f"{slow:.0f}", f"≤ {_PATIENT:.0f}"],
    ]
    title = "A noisy account and a quiet one, from a dry stock"
    report.add(Table(title, ["", "median", "goal"], rows))
    if slow > _PATIENT:
        report.missed.append(f"creates beside a noisy account: p99 {slow:.0f} ms")
    if asked < _TIMES:
        report.warnings.append(f"the noisy account asked {asked:.0f} times as much only")
    report.figures["noise"] = [asdict(party) for party in parties]


def _party(bench: Bench, server: Server, noisy: Tenant, quiet: Tenant, seconds: int) -> _Party:
    wave = Wave(server.url, [as_tenant(noisy, "POST", keys_of(noisy))], bench.folder)
    with wave.running(seconds + 2, _CROWD) as wrk:
        time.sleep(1)
        waits = _creates(quiet, seconds)
        load = outcome(wrk)
    made = load.requests - load.refused + len(waits) * load.seconds / seconds
    return _Party(waits, load.requests / made, load.refused / load.requests)


def _creates(tenant: Tenant, seconds: int) -> list[float]:
    """Create one key after another and return how long each took."""
    taken, end = [], time.monotonic() + seconds
    bearer = {"Authorization": f"Bearer {tenant.token}"}
    with httpx2.Client(trust_env=False, timeout=30, headers=bearer) as client:
        while time.monotonic() < end:
            began = time.monotonic()
            client.post(tenant.url + keys_of(tenant)).raise_for_status()
            taken.append((time.monotonic() - began) * 1000)
    return taken


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[-1]


def measure_workers(bench: Bench, report: Report, rounds: int, seconds: int) -> None:
    """Measure the same requests with one worker and with two, in turns."""
    with bench.keyferry(ES256) as one, bench.keyferry(ES256, ["--workers", "2"]) as two:
        pairs = list(zip(_some_rows(bench, one), _some_rows(bench, two), strict=True))
        for _ in range(rounds):
            for row in (row for pair in pairs for row in pair):
                row.measure(seconds, None)
    shown = []
    for single, double in pairs:
        times = double.cpu("loops") / single.cpu("loops")
        rates = [f"{row.middle('rate'):,.0f}" for row in (single, double)]
        costs = [f"{row.cpu('loops'):.0f}" for row in (single, double)]
        shown.append([single.name, *rates, *costs, f"{times:.2f}"])
        if times > _LINEAR:
            report.missed.append(f"2 workers, {single.name}: {times:.2f} times the processor time")
    columns = ["", "1 worker/s", "2 workers/s", "CPU µs of 1", "CPU µs of 2", "times"]
    note = (
        f"Linear is 1.00 times the processor time per request; the goal is {_LINEAR}. The rates "
        "cannot double where wrk and PostgreSQL need the second core."
    )
    report.add(Table("One worker and two", columns, shown, note))
    report.figures["workers"] = [[row.figures() for row in pair] for pair in pairs]


def _some_rows(bench: Bench, server: Server) -> list[Row]:
    rows = [row for row in Doors(bench, server, short=True).rows() if row.name in _ROWS]
    for row in rows:
        row.warm_up()
    return rows
