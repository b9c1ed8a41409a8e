"""The table in docs/edges.md: which case ends how at which edge, as the tests have seen it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.edges import EDGES

PAGE: Final = Path(__file__).parents[2] / "docs" / "edges.md"
_BEGIN: Final = "<!-- matrix: written by `EDGES_MATRIX=write pytest tests/edges` -->\n"
_END: Final = "<!-- end of matrix -->\n"

Outcomes = dict[tuple[str, str], str]  # by case and edge


def documented() -> Outcomes:
    """Return the table as the page shows it."""
    table = PAGE.read_text().partition(_BEGIN)[2].partition(_END)[0]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()]
    edges = rows[0][1:]
    return {
        (case, edge): cell
        for case, *cells in rows[2:]
        for edge, cell in zip(edges, cells, strict=True)
    }


def write(outcomes: Outcomes) -> None:
    """Put `outcomes` in the place of the page's table; every case at every edge is needed."""
    cases = dict.fromkeys(case for case, _ in outcomes)
    assert cases
    rows = [["case", *EDGES], ["---"] * (len(EDGES) + 1)]
    rows += [[case, *(outcomes[case, edge] for edge in EDGES)] for case in cases]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    PAGE.write_text(before + _BEGIN + table + _END + after)
