"""`make bench-growth`: the same calls on a store of 1,000 keys and on one of 1,000,000."""

from __future__ import annotations

from statistics import median

import click

from tests.bench import memory, plans
from tests.bench.compare import Row
from tests.bench.load import Wave
from tests.bench.report import Report, Table, machine, spread
from tests.bench.servers import ES256, Bench, Server, open_bench
from tests.bench.town import Town, build

_GOAL = 1.2
_EACH = 100  # keys per account
_SMALL = 1_000
_DELETED = 500  # in one run
_COLUMNS = ["p50 µs at 1 connection", "small", "large", "large / small", "spread", "goal"]


@click.command
@click.option("--keys", type=click.IntRange(_SMALL), default=1_000_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--quick", is_flag=True, help="100,000 keys, one round: shows that the bench works.")
def main(keys: int, rounds: int, *, quick: bool) -> None:
    """Measure latency by size of the store, plans and memory; write .bench/growth.json."""
    keys, rounds = (100_000, 1) if quick else (keys, rounds)
    with open_bench() as small, open_bench() as large:
        report = Report("growth", quick or rounds < 5, machine(small.house))
        towns = [build(small.house, _SMALL // _EACH, _SMALL), _announced(large, keys)]
        with small.keyferry(ES256) as first, large.keyferry(ES256) as second:
            few, many = _rows(small, first, towns[0]), _rows(large, second, towns[1])
            _measure(few, many, rounds)
        _keep(report, few, many, keys)
        table, faults = plans.explain(towns[1])
        report.add(table)
        report.missed += faults
        report.add(_memory(report))
        report.finish()


def _announced(bench: Bench, keys: int) -> Town:
    click.echo(f"copying {keys:,} keys of {keys // _EACH:,} accounts", err=True)
    return build(bench.house, keys // _EACH, keys)


def _rows(bench: Bench, server: Server, town: Town) -> list[Row]:
    """Return one row for each call, at one connection."""
    rows = []
    for name, asks in town.asks().items():
        wave = Wave(server.url, asks, bench.folder, 204 if name.startswith("update") else 200)
        wave.probe(asks[0])
        rows.append(Row(name, server, wave, connections=1))
    return [*rows, _deleting(bench, server, town)]


def _deleting(bench: Bench, server: Server, town: Town) -> Row:
    wave = Wave(server.url, town.deletes(1), bench.folder)
    row = Row("delete, Cloudflare", server, wave, connections=1, limit=_DELETED)

    def fresh() -> None:
        row.wave = Wave(server.url, town.deletes(_DELETED), bench.folder)

    row.fresh = fresh
    return row


def _measure(small: list[Row], large: list[Row], rounds: int) -> None:
    """Warm up, then take turns: small, large, small, large …"""
    for row in (*small, *large):
        row.warm_up()
    for number in range(rounds):
        click.echo(f"round {number + 1} of {rounds}", err=True)
        for one, other in zip(small, large, strict=True):
            one.measure(2, None)
            other.measure(2, None)


def _keep(report: Report, small: list[Row], large: list[Row], keys: int) -> None:
    rows = []
    for one, other in zip(small, large, strict=True):
        pairs = zip(one.loads, other.loads, strict=True)
        ratios = [after.p50 / before.p50 for before, after in pairs]
        rows.append(_texts(one, other, ratios))
        if median(ratios) > _GOAL:
            report.missed.append(
                f"{one.name}: {median(ratios):.2f} times as long with {keys:,} keys"
            )
        if not all(load.good for load in (*one.loads, *other.loads)):
            report.warnings.append(f"{one.name}: some answers were not as they should be")
    title = f"{_SMALL:,} keys against {keys:,} keys, {_EACH} per account"
    report.add(Table(title, _COLUMNS, rows))
    report.figures = {"small": _figures(small), "large": _figures(large)}


def _texts(small: Row, large: Row, ratios: list[float]) -> list[str]:
    p50s = (f"{small.middle('p50'):.0f}", f"{large.middle('p50'):.0f}")
    return [small.name, *p50s, f"{median(ratios):.2f}", f"{spread(ratios):.0%}", f"≤ {_GOAL}"]


def _figures(rows: list[Row]) -> dict[str, object]:
    return {row.name: row.figures() for row in rows}


def _memory(report: Report) -> Table:
    weights = {
        "a public key in the keyring, RS256": memory.weigh("keyring"),
        "a key pair in stock, RS256": memory.weigh("pool"),
    }
    report.figures["memory"] = weights
    rows = [[name, f"{weight / 1024:.1f} KiB"] for name, weight in weights.items()]
    return Table("Memory per entry", ["", "resident"], rows)


if __name__ == "__main__":
    main()
