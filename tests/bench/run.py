"""`make bench`: Keyferry beside a bare control and naive handlers, on this machine, now."""

from __future__ import annotations

import click

from tests.bench import doors, edges, sharing, stock
from tests.bench.compare import Comparison, Row
from tests.bench.cpu import busy
from tests.bench.report import Report, machine
from tests.bench.servers import ES256, Bench, open_bench

PARTS = ("doors", "warm", "dry", "noise", "workers", "edges")


@click.command
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seconds", type=click.IntRange(1), default=2, show_default=True, help="Per row.")
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="Parts to measure.")
@click.option("--quick", is_flag=True, help="One short round: shows that the bench works.")
def main(rounds: int, seconds: int, only: tuple[str, ...], *, quick: bool) -> None:
    """Measure in rounds, print medians, spreads and ratios, and write .bench/PART.json for each."""
    rounds, seconds = (1, 1) if quick else (rounds, seconds)
    with open_bench() as bench:
        where, others = machine(bench.house), busy(2)
        control = doors.control_row(bench, bench.rival("control"))
        naive = bench.rival("naive")
        control.warm_up()
        for part in only or PARTS:
            report = Report(part, quick or rounds < 5, where)
            if others > 0.1:
                report.warnings.append(f"{others:.0%} of the processor were in use before we began")
            if part == "doors":
                rows = doors.naive_rows(bench, naive)
                _measure_doors(bench, report, control, rows, rounds, seconds)
            elif part == "warm":
                rows = doors.naive_rows(bench, naive)
                stock.measure_warm(bench, report, control, rows, rounds)
            elif part == "dry":
                stock.measure_dry(bench, report, rounds)
            elif part == "noise":
                sharing.measure_noise(bench, report, min(rounds, 3))
            elif part == "workers":
                sharing.measure_workers(bench, report, rounds, seconds)
            else:
                edges.measure_edges(bench, report, rounds, seconds)
            report.finish()


def _measure_doors(
    bench: Bench, report: Report, control: Row, naive: list[Row], rounds: int, seconds: int
) -> None:
    comparison = Comparison(control)
    with bench.keyferry(ES256) as server:
        rows = [*naive, *doors.Doors(bench, server, short=report.short).rows()]
        for row in rows:
            row.warm_up()
        for number in range(rounds):
            click.echo(f"round {number + 1} of {rounds}", err=True)
            comparison.measure(rows, seconds)
    report.add(comparison.table("Every door", rows))
    report.warnings += comparison.faults(rows)
    report.missed += comparison.missed(rows)
    report.figures["doors"] = comparison.figures(rows)


if __name__ == "__main__":
    main()
