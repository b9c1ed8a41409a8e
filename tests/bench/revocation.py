"""`make bench-revocation`: how fast a deleted key is dead everywhere.

Two nodes of two workers each serve one PostgreSQL, all on this machine. Every lane has an open
connection to each worker, on which it asks `/verify` about one key over and over, and another
connection to one of the nodes, on which it deletes that key once every worker has allowed it.
So the other workers learn of the delete by the change feed, under the load of all the lanes.

What is timed, all in this process and by `time.monotonic`:

- sent: from the delete's 204 to the sending of the last question that is answered with "allowed",
  on any worker; 0 when none was sent after the 204. This is what the promise is about.
- answered: from the 204 to the arrival of the last "allowed". It counts questions that were under
  way when the 204 came, so it is never less.

A lane goes on asking for a while after the last "allowed", so that a key that came back to life
would be seen. Which worker a connection leads to is looked up in the system's table of sockets.
The machine counts as too noisy when others use much of its processors meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
import uvloop

from tests.bench.cpu import family
from tests.bench.line import Line, Reply, connect
from tests.bench.report import Report, Table, machine
from tests.fleet import ES256, LIVEPEER, Key, Node
from tests.service import House, Tenant, make_tenant, open_folder, serve

GOALS = {"p99": 0.050, "max": 0.250}  # seconds
LINGER = 0.05  # seconds of asking on after the last "allowed"
PAUSE = 0.002  # seconds between an answer and the next question
GIVE_UP = 5.0  # seconds after which a key that still plays is reported as such
_TITLE = 'From a delete\'s 204 to the last "allowed", 2 nodes of 2 workers'
NOISY = 0.15  # of the processors, used by others
LIMIT = 240  # seconds for everything


@dataclass(frozen=True)
class Sample:
    """One delete: seconds from its 204 to the last question and to the last answer."""

    sent: float
    answered: float


@dataclass
class Trial:
    """What the askers of one lane need to know of each other."""

    acknowledged: float | None = None
    warm: int = 0
    asked: int = 0


@dataclass(frozen=True)
class Fleet:
    """Where the nodes are, and which processes serve there."""

    tenant: Tenant
    nodes: dict[str, list[int]]  # process ids by URL


class Lane:
    """Asks every worker about one key at a time."""

    def __init__(self, fleet: Fleet, askers: list[Line], hand: Line) -> None:
        self._account_id = fleet.tenant.account_id
        self._bearer = fleet.tenant.token
        self._askers = askers
        self._hand = hand
        self.asked = 0

    async def measure(self, key: Key) -> Sample:
        """Delete `key` while every worker is asked about it."""
        trial = Trial()
        path = f"/accounts/{self._account_id}/verify/video/1.ts?token={key.token}"
        asking = [asyncio.create_task(_ask_on(line, path, trial)) for line in self._askers]
        while trial.warm < len(asking) and not any(task.done() for task in asking):
            await asyncio.sleep(PAUSE)
        reply = await self._hand.ask("DELETE", f"{LIVEPEER}/{key.id}", self._bearer)
        if reply.status != 204:
            raise AssertionError(f"the delete was answered with {reply.status}")
        trial.acknowledged = reply.received
        lasts = await asyncio.gather(*asking)
        self.asked += trial.asked
        return Sample(
            max(0.0, *(last.sent - reply.received for last in lasts)),
            max(0.0, *(last.received - reply.received for last in lasts)),
        )


async def _ask_on(line: Line, path: str, trial: Trial) -> Reply:
    """Ask until the key is dead, and return the last answer that allowed it."""
    last = await line.ask("GET", path)
    if last.status != 200:
        raise AssertionError(f"a live key was answered with {last.status}")
    trial.warm += 1
    while True:
        await asyncio.sleep(PAUSE)
        reply = await line.ask("GET", path)
        trial.asked += 1
        dead = trial.acknowledged
        if reply.status == 200:
            last = reply
        elif reply.status != 403:
            raise AssertionError(f"a question was answered with {reply.status}")
        elif dead is not None and reply.sent > max(dead, last.received) + LINGER:
            return last
        if dead is not None and reply.received > dead + GIVE_UP:
            return last


@asynccontextmanager
async def lanes(fleet: Fleet, count: int) -> AsyncIterator[list[Lane]]:
    """Open `count` lanes, each with a connection to every worker."""
    lines: list[Line] = []
    try:
        made = []
        for number in range(count):
            askers = []
            for url, pids in fleet.nodes.items():
                askers += await _one_to_each(url, pids, lines)
            hand = await connect(list(fleet.nodes)[number % len(fleet.nodes)])
            lines.append(hand)
            made.append(Lane(fleet, askers, hand))
        yield made
    finally:
        for line in lines:
            line.close()


async def _one_to_each(url: str, pids: list[int], opened: list[Line]) -> list[Line]:
    """Open connections until there is one to each process; all are added to `opened`."""
    found: dict[int, Line] = {}
    for _ in range(64):
        line = await connect(url)
        opened.append(line)
        await line.ask("GET", "/healthz")  # so that it was accepted
        found.setdefault(_served_by(line, pids), line)
        if len(found) == len(pids):
            return list(found.values())
    raise AssertionError(f"the kernel leaves a worker of {url} without connections")


def _served_by(line: Line, pids: list[int]) -> int:
    for pid in pids:
        for connection in psutil.Process(pid).net_connections("tcp"):
            if connection.raddr and connection.raddr.port == line.port:
                return pid
    raise AssertionError("a connection that no process serves")


async def measure(fleet: Fleet, keys: list[Key], count: int) -> tuple[list[Sample], int]:
    """Delete `keys` by `count` lanes; return a sample for each, and how many questions it took."""
    left = list(keys)
    samples: list[Sample] = []

    async def work(lane: Lane) -> None:
        while left:
            samples.append(await lane.measure(left.pop()))

    async with lanes(fleet, count) as made:
        await asyncio.gather(*(work(lane) for lane in made))
        return samples, sum(lane.asked for lane in made)


def figures(values: list[float]) -> dict[str, float]:
    """Return p50, p99 and max; each of them is a value that was measured."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {"p50": at(0.5), "p99": at(0.99), "max": ordered[-1]}


@contextmanager
def _fleet(house: House, folder: Path) -> Iterator[Fleet]:
    settings = ES256 | {"KEYFERRY_POOL_SIZE": "8"}
    with ExitStack() as stack:
        nodes = {}
        for name in ("one", "two"):
            log = folder / name
            url, process = stack.enter_context(serve(house, log, settings, ("--workers", "2")))
            nodes[url] = [child.pid for child in psutil.Process(process.pid).children()]
        yield Fleet(make_tenant(house, next(iter(nodes))), nodes)


class _Strangers:
    """How much of the processors is used by processes that are not ours."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._spent = self._read()

    @staticmethod
    def _read() -> float:
        times = psutil.cpu_times()
        ours = [process.cpu_times() for process in family(psutil.Process())]
        busy = sum(times) - times.idle - times.iowait
        return float(busy - sum(spent.user + spent.system for spent in ours))

    def share(self) -> float:
        """Return their share of all processors since the beginning."""
        whole = (time.monotonic() - self._began) * (psutil.cpu_count() or 1)
        return max(0.0, self._read() - self._spent) / whole


@dataclass(frozen=True)
class _Run:
    """What all lanes together have done, and how much of the processors others took."""

    samples: list[Sample]
    asked: int
    lanes: int
    seconds: float
    others: float

    def write(self, report: Report) -> None:
        """Put the figures into a report."""
        sent = figures([sample.sent for sample in self.samples])
        answered = figures([sample.answered for sample in self.samples])
        rate = self.asked / self.seconds
        report.figures |= {"sent": sent, "answered": answered, "lanes": self.lanes, "rate": rate}
        report.figures["others"] = self.others
        rows = [
            _texts("last question allowed (sent)", sent),
            _texts('last "allowed" answered', answered),
            ["goal", "", *(f"{goal * 1000:.0f}" for goal in GOALS.values())],
        ]
        note = (
            f"{len(self.samples):,} deletes in {self.seconds:.0f} s by {self.lanes} lanes, while "
            f"{rate:,.0f} questions per second were answered; others used {self.others:.0%} of "
            "the processors."
        )
        report.add(Table(_TITLE, ["ms", "p50", "p99", "max"], rows, note))
        if self.others > NOISY:
            report.warnings.append(f"others used {self.others:.0%} of the processors: too noisy")
        report.missed += [
            f"{name} {column} is {values[column] * 1000:.1f} ms"
            for name, values in (("sent", sent), ("answered", answered))
            for column, goal in GOALS.items()
            if values[column] > goal
        ]


def _texts(title: str, measured: dict[str, float]) -> list[str]:
    return [title, *(f"{measured[column] * 1000:.1f}" for column in ("p50", "p99", "max"))]


async def _bounded(fleet: Fleet, keys: list[Key], count: int) -> tuple[list[Sample], int]:
    async with asyncio.timeout(LIMIT):
        return await measure(fleet, keys, count)


def _run(fleet: Fleet, deletes: int, lanes: int) -> _Run:
    with Node(next(iter(fleet.nodes)), fleet.tenant) as node:
        keys = [node.create() for _ in range(deletes)]
    strangers, began = _Strangers(), time.monotonic()
    samples, asked = uvloop.run(_bounded(fleet, keys, lanes))
    return _Run(samples, asked, lanes, time.monotonic() - began, strangers.share())


@click.command
@click.option("--deletes", type=click.IntRange(1, 1900), default=1000, show_default=True)
@click.option("--lanes", type=click.IntRange(1, 32), default=4, show_default=True)
@click.option("--quick", is_flag=True, help="50 deletes: shows that the bench works.")
def main(deletes: int, lanes: int, *, quick: bool) -> None:
    """Measure, print, write .bench/revocation.json; exit with 1 when a goal is missed."""
    deletes = 50 if quick else deletes
    with open_folder() as folder, House(folder / "data") as house, _fleet(house, folder) as fleet:
        report = Report("revocation", deletes < 1000, machine(house))
        _run(fleet, deletes, lanes).write(report)
    report.finish()
    raise SystemExit(bool(report.missed))


if __name__ == "__main__":
    main()
