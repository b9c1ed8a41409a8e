"""Creates of RSA keys: out of a full stock, in a burst, and from a dry one against raw generation.

These burn key pairs, 17 to 20 per second and core, so they are counted and few.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass, field
from statistics import median
from uuid import UUID

import click

from tests.bench.compare import Comparison, Row
from tests.bench.doors import FEWEST_TOKENS
from tests.bench.furniture import LIVEPEER, SigningKey, as_tenant, keys_of, play
from tests.bench.line import connect
from tests.bench.load import Ask, Load, Wave
from tests.bench.report import Report, Table, spread
from tests.bench.servers import Bench, Server, filled
from tests.service import Tenant, make_tenant

_ACCOUNTS = 32
_NO_RUSH = 0.01  # seconds between two creates
_NAIVE = 1.5  # times the naive p50, at most
_REFILLING = 10  # milliseconds, at most
_SUSTAINED = 0.95  # of raw generation, at least
_RAW = """
import os, sys, threading, time
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
end, made = time.monotonic() + float(sys.argv[1]), []
os.nice(19)
def work():
    while time.monotonic() < end:
        generate_private_key(65537, 2048)
        made.append(time.monotonic())
threads = [threading.Thread(target=work) for _ in os.sched_getaffinity(0)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
print(sum(moment < end for moment in made), len(made) / time.process_time())
"""


def creates(bench: Bench, server: Server) -> list[Ask]:
    """Return creates through Cloudflare's door by many accounts in turn."""
    names = (f"maker-{number}" for number in range(_ACCOUNTS))
    makers = [make_tenant(bench.house, server.url, name) for name in names]
    return [as_tenant(maker, "POST", keys_of(maker)) for maker in makers]


def measure_warm(bench: Bench, report: Report, control: Row, naive: list[Row], rounds: int) -> None:
    """Measure creates from a full stock, and a few at a time from one that is being refilled."""
    size, some, few = (200, 100, 60) if report.short else (2000, 600, 300)
    comparison = Comparison(control)
    slow: list[float] = []
    with bench.keyferry({"KEYFERRY_POOL_SIZE": str(size)}) as server:
        fill = filled(server)
        wave = Wave(server.url, creates(bench, server), bench.folder)
        crowd = Row("create, warm pool", server, wave, goal=0.20, limit=some)
        alone = Row("create, warm pool, 1 connection", server, wave, connections=1, limit=few)
        burst = Row(f"create, burst of {size:,}", server, wave, goal=0.20, limit=size)
        tenant = make_tenant(bench.house, server.url, "unhurried")
        for _ in range(rounds):
            comparison.measure([naive[0], naive[1], crowd], 30)
            slow.append(asyncio.run(_p99_in_no_rush(tenant, few)))
            filled(server)
            comparison.measure([alone], 30)
            filled(server)
        for _ in range(min(rounds, 3)):
            filled(server)
            comparison.measure([burst], 60)
    rows = [naive[0], naive[1], crowd, alone, burst]
    _keep(report, comparison, rows, fill, size, median(slow))


async def _p99_in_no_rush(tenant: Tenant, count: int) -> float:
    """Create keys one by one, too slowly for a rush, and return the p99 in milliseconds."""
    line = await connect(tenant.url)
    took = []
    for _ in range(count):
        reply = await line.ask("POST", keys_of(tenant), tenant.token)
        if reply.status != 200:
            raise click.ClickException(f"a create was answered with {reply.status}")
        took.append(reply.received - reply.sent)
        await asyncio.sleep(_NO_RUSH)
    line.close()
    return sorted(took)[int(0.99 * count)] * 1000


def _keep(
    report: Report, comparison: Comparison, rows: list[Row], fill: float, size: int, slow: float
) -> None:
    _, lone_naive, _, alone, _ = rows
    ratio = alone.middle("p50") / lone_naive.middle("p50")
    note = (
        f"At 1 connection the p50 is {ratio:.2f} times the naive INSERT's (goal {_NAIVE}). One by "
        f"one, {_NO_RUSH * 1000:.0f} ms apart, while the stock is refilled on all cores, their p99 "
        f"is {slow:.1f} ms (goal {_REFILLING}). "
        f"The first {size:,} key pairs took {fill:.0f} s."
    )
    report.add(comparison.table("Creates from a full stock", rows, note))
    report.warnings += comparison.faults(rows)
    report.missed += comparison.missed(rows)
    if ratio > _NAIVE:
        report.missed.append(f"create at 1 connection: p50 {ratio:.2f} times the naive INSERT's")
    if slow > _REFILLING:
        report.missed.append(f"create while the stock is refilled: p99 {slow:.1f} ms")
    report.figures["warm"] = comparison.figures(rows)
    report.figures["warm_p50_to_naive"] = ratio
    report.figures["refilling_p99_ms"] = slow


def measure_dry(bench: Bench, report: Report, rounds: int) -> None:
    """Measure sustained creates from an empty stock, raw generation, and what else suffers."""
    seconds = 3 if report.short else 10
    raw: list[float] = []
    dense: list[tuple[float, float]] = []  # keys per processor second: raw, of ours
    made: list[Load] = []
    with bench.keyferry({"KEYFERRY_POOL_SIZE": "1"}) as server:
        dry = Wave(server.url, creates(bench, server), bench.folder)
        others = _bystanders(bench, server)
        for _ in range(rounds):
            filled(server)
            for other in others:
                other.calm.append(other.wave.run(2, 4))
            rate, per_second = _generate(seconds)
            raw.append(rate)
            before = server.meter.read()
            made.append(dry.run(seconds, _ACCOUNTS))
            spent = server.meter.read() - before
            dense.append((per_second, made[-1].requests / spent.threads))
            filled(server)
            with dry.running(2 * len(others) + 2, _ACCOUNTS):
                for other in others:
                    other.busy.append(other.wave.run(2, 4))
    _keep_dry(report, raw, made, others)
    _keep_dense(report, dense)


@dataclass
class _Bystander:
    """A call that should not suffer while all cores make key pairs, and how it did."""

    name: str
    wave: Wave
    calm: list[Load] = field(default_factory=list)
    busy: list[Load] = field(default_factory=list)

    def p99(self) -> tuple[float, float]:
        """Return the p99 while nothing else goes on, and during creates, in milliseconds."""
        calm, busy = (median(load.p99 for load in loads) for loads in (self.calm, self.busy))
        return calm / 1000, busy / 1000


def _bystanders(bench: Bench, server: Server) -> list[_Bystander]:
    tenant = make_tenant(bench.house, server.url, "bystander")
    create = as_tenant(tenant, "POST", keys_of(tenant))
    made = Wave(server.url, [create], bench.folder).probe(create).json()["result"]
    tokens = SigningKey(UUID(made["id"]), made["pem"]).tokens(FEWEST_TOKENS)
    asks = {
        "list": [as_tenant(tenant, "GET", LIVEPEER)],
        "verify, first time": [play(tenant.account_id, token) for token in tokens],
    }
    return [_Bystander(name, Wave(server.url, some, bench.folder)) for name, some in asks.items()]


def _keep_dry(report: Report, raw: list[float], made: list[Load], others: list[_Bystander]) -> None:
    rates = [load.rate for load in made]
    ratios = [rate / base for rate, base in zip(rates, raw, strict=True)]
    if not all(load.good for load in made + [one for o in others for one in o.calm + o.busy]):
        report.warnings.append("creates from a dry stock: some answers were not as they should be")
    rows = [
        ["raw generate_private_key per second", f"{median(raw):.1f}", f"{spread(raw):.0%}", ""],
        ["creates per second, dry", f"{median(rates):.1f}", f"{spread(rates):.0%}", ""],
        ["creates / raw", f"{median(ratios):.2f}", f"{spread(ratios):.0%}", f"≥ {_SUSTAINED}"],
    ]
    for other in others:
        calm, busy = other.p99()
        rows += [
            [f"{other.name} p99 ms, nothing else going on", f"{calm:.2f}", "", ""],
            [f"{other.name} p99 ms, during dry creates", f"{busy:.2f}", "", f"≤ {3 * calm:.2f}"],
        ]
        if busy > 3 * calm:
            report.missed.append(f"{other.name} during dry creates: p99 {busy:.1f} ms")
    note = (
        "Raw generation and creates take turns on the same cores, one thread on each, at the same "
        "lowest priority."
    )
    report.add(Table("Creates from a dry stock", ["", "median", "spread", "goal"], rows, note))
    if median(ratios) < _SUSTAINED:
        report.missed.append(f"sustained creates: {median(ratios):.2f} of raw generation")
    report.figures["dry"] = {"raw": raw, "creates": rates, "ratios": ratios}
    report.figures["dry_p99"] = {other.name: other.p99() for other in others}


def _keep_dense(report: Report, dense: list[tuple[float, float]]) -> None:
    """Tell what noise does not touch: both get as much out of a second of a core."""
    raw, ours = (median(pair[side] for pair in dense) for side in (0, 1))
    rows = [
        ["raw", f"{raw:.1f}"],
        ["creates", f"{ours:.1f}"],
        ["creates / raw", f"{ours / raw:.2f}"],
    ]
    report.add(Table("Key pairs per second of processor time given", ["", "median"], rows))
    report.figures["dry_per_processor_second"] = dense


def _generate(seconds: int) -> tuple[float, float]:
    """Return how many RSA-2048 keys all cores make per second and per processor second."""
    command = [sys.executable, "-c", _RAW, str(seconds)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode:
        raise click.ClickException(told.stderr)
    count, per_processor_second = told.stdout.split()
    return int(count) / seconds, float(per_processor_second)
