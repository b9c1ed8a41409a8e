"""What a viewer says in headers that Keyferry would believe: no edge passes it on, however spelled.

Each edge stands before an oracle in Keyferry's place that writes down what it hears.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.edges.conftest import COUNTRY, PREFIXES
from tests.edges.servers import played

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.edges.conftest import Pair, Stage

BELIEVED = [
    *(
        f"X-Forwarded-{what}"
        for what in ("For", "Uri", "Host", "Proto", "Method", "Prefix", "Path")
    ),
    *("X-Original-URI", "X-Original-URL", "X-Original-Method", "X-Real-IP", "Forwarded"),
    *("X-Keyferry-Prefix", "X-Keyferry-Carry", "X-Keyferry-Anything"),
    *("X-Auth-Sub", "X-Auth-Path", "X-Auth-Kid", "X-Auth-Exp", "X-Auth-Reason"),
    *(COUNTRY, "X-Country", "CloudFront-Viewer-Country", "X-AppEngine-Country"),
]
LIE = "/liar/liar.ts"
Lines = list[tuple[str, str]]

SPELLINGS: dict[str, Callable[[str], Lines]] = {
    "as it is": lambda name: [(name, LIE)],
    "in small letters": lambda name: [(name.lower(), LIE)],
    "in capitals": lambda name: [(name.upper(), LIE)],
    "with underscores": lambda name: [(name.replace("-", "_"), LIE)],
    "with dots": lambda name: [(name.replace("-", "."), LIE)],
    "doubled": lambda name: [(name, LIE), (name, f"{LIE}2")],
    "empty, then as it is": lambda name: [(name, ""), (name.lower(), LIE)],
    "named in Connection": lambda name: [(name, LIE), ("Connection", name)],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_lie_does_not_reach_keyferry(doubter: Pair, stage: Stage, spelling: str) -> None:
    spelled = SPELLINGS[spelling]
    target = f"/{stage.mine.id}/seg0.ts"
    answer = doubter.edge.ask(
        target, httpx2.Headers([line for name in BELIEVED for line in spelled(name)])
    )
    if answer.status_code == 400:  # as Envoy has it for a Connection that names X-Forwarded-For
        assert (spelling, doubter.oracle.heard) == ("named in Connection", [])
        return
    assert answer.content == stage.mine.segment
    [heard] = doubter.oracle.heard
    assert played(heard) == target
    assert [item for item in heard.headers.items() if "liar" in item[1]] == []
    assert heard.headers.get_all("X-Forwarded-For") == ["127.0.0.1"]
    assert heard.headers.get_all("X-Keyferry-Prefix") == [", ".join(PREFIXES)]
    assert heard.headers.get_all("X-Keyferry-Carry") == ["cookie; Secure; SameSite=Lax"]
    assert heard.headers.get(COUNTRY, "") == ""
