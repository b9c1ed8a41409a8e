"""What docs/edges.md says that each edge can: every cell has tests that run, or a reason."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.edges import EDGES, render
from tests.edges.matrix import PAGE

TESTS = {
    "CORS": [
        "test_pages.py::test_a_preflight_is_answered_without_a_question",
        "test_pages.py::test_a_listed_page_may_play_with_cookies",
        "test_pages.py::test_what_the_media_server_says_is_not_doubled",
    ],
    "carry": [
        "test_players.py::test_a_token_goes_with_the_segments",
        "test_players.py::test_ffmpeg_plays",
    ],
    "country": [
        "test_trust.py::test_the_country_that_a_trusted_peer_tells",
        "test_trust.py::test_a_peer_that_is_not_trusted",
        "test_lies.py::test_a_lie_does_not_reach_keyferry",
    ],
    "keep-alive": ["test_connections.py::test_plays_one_after_another_share_connections"],
    "https": ["test_setup.py::test_it_speaks_https"],
    "Unix socket": ["test_connections.py::test_plays_one_after_another_share_connections"],
}
CELLS = [(edge, ability) for edge in EDGES for ability in TESTS]


@pytest.fixture(scope="module")
def collected() -> list[str]:
    """Return the tests of edges, as pytest names them."""
    files = sorted({test.partition("::")[0] for tests in TESTS.values() for test in tests})
    here = Path(__file__).parent
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider"]
    listed = subprocess.run(
        [*command, *(str(here / name) for name in files)],
        cwd=here.parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.splitlines()


def documented() -> dict[tuple[str, str], str]:
    table = PAGE.read_text().partition("<!-- abilities")[2].partition("<!-- end of abilities")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[1:]]
    return {
        (edge, ability): cell
        for edge, *cells in rows[2:]
        for ability, cell in zip(rows[0][1:], cells, strict=True)
    }


def test_the_table_has_every_cell() -> None:
    assert list(documented()) == CELLS


@pytest.mark.parametrize(("edge", "ability"), CELLS)
def test_a_cell_is_tested_or_has_a_reason(edge: str, ability: str, collected: list[str]) -> None:
    cell = documented()[edge, ability]
    way = " over Unix" if ability == "Unix socket" else ""
    for test in TESTS[ability]:
        pattern = re.compile(rf"{re.escape(test)}\[(?:.*-)?{edge}{way}\b")
        ran = [line for line in collected if pattern.search(line)]
        assert bool(ran) is (cell == "yes"), (test, cell)
    if cell != "yes":
        assert re.fullmatch(r"not possible: \S.{20,}", cell)


def test_what_is_not_possible_is_refused() -> None:
    impossible = [cell for cell, text in documented().items() if text != "yes"]
    assert impossible == [("traefik", "Unix socket")]
    with pytest.raises(ValueError, match="Unix socket"):
        render(
            "traefik", keyferry="unix:/k", account="0" * 32, listen="80", origin="http://127.0.0.1"
        )
