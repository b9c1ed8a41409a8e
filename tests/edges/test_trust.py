"""Whom an edge tells Keyferry about: its peer, or the viewer that a trusted peer vouches for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from tests.edges.conftest import COUNTRY

if TYPE_CHECKING:
    from tests.edges.conftest import Pair, Stage

PEER = "127.0.0.1"  # of the edge, as every test's

HOPS = {
    None: PEER,
    "": PEER,
    "203.0.113.9": "203.0.113.9",
    "6.6.6.6, 203.0.113.9": "203.0.113.9",
    "203.0.113.9, 10.1.2.3": "203.0.113.9",
    "6.6.6.6,203.0.113.9 ,10.1.2.3,2001:db8::1": "203.0.113.9",
    "203.0.113.9:51234": "203.0.113.9",
    "203.0.113.9:51234, 10.1.2.3:80": "203.0.113.9",
    "[2001:db9::7]:443": "2001:db9::7",
    "2001:db9::7": "2001:db9::7",
    "203.0.113.9, [2001:db8:ffff::1]:443": "203.0.113.9",
    "6.6.6.6, unknown": "unknown",  # which Keyferry cannot read, and must not guess
}


def test_the_last_hop_that_no_trusted_peer_vouches_for(believer: Pair, stage: Stage) -> None:
    for told, viewer in HOPS.items():
        believer.begin(stage)
        headers = {} if told is None else {"X-Forwarded-For": told}
        believer.edge.ask(f"/{stage.mine.id}/seg0.ts", headers)
        [heard] = believer.oracle.heard
        assert heard.headers.get_all("X-Forwarded-For") == [viewer], told


def test_a_hop_that_hides_is_not_guessed(believer: Pair, stage: Stage) -> None:
    believer.edge.ask(f"/{stage.mine.id}/seg0.ts", {"X-Forwarded-For": "6.6.6.6, _me, 10.1.2.3"})
    [heard] = believer.oracle.heard
    assert heard.headers.get_all("X-Forwarded-For") in (["_me"], ["unknown"])


def test_brackets_without_a_port(believer: Pair, stage: Stage) -> None:
    believer.edge.ask(f"/{stage.mine.id}/seg0.ts", {"X-Forwarded-For": "6.6.6.6, [2001:db9::7]"})
    [heard] = believer.oracle.heard
    viewers = {"caddy": {"unknown"}, "nginx": {"unknown", "2001:db9::7"}}  # not 1.22
    [viewer] = heard.headers.get_all("X-Forwarded-For", [])
    assert viewer in viewers.get(believer.edge.name, {"2001:db9::7"})


def test_lines_of_which_one_cannot_be_read(believer: Pair, stage: Stage) -> None:
    lines = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "unknown")]
    believer.edge.ask(f"/{stage.mine.id}/seg0.ts", httpx2.Headers(lines))
    [heard] = believer.oracle.heard
    assert heard.headers.get_all("X-Forwarded-For") == ["unknown"]


def test_hops_that_are_all_trusted(believer: Pair, stage: Stage) -> None:
    believer.edge.ask(f"/{stage.mine.id}/seg0.ts", {"X-Forwarded-For": "10.1.2.3, 10.4.5.6"})
    [heard] = believer.oracle.heard
    # The farthest of them; for Caddy it is the nearest.
    viewer = PEER if believer.edge.name == "caddy" else "10.1.2.3"
    assert heard.headers.get_all("X-Forwarded-For") == [viewer]


def test_the_country_that_a_trusted_peer_tells(believer: Pair, stage: Stage) -> None:
    believer.edge.ask(f"/{stage.mine.id}/seg0.ts", {COUNTRY: "BG"})
    believer.edge.ask(f"/{stage.mine.id}/seg0.ts")
    told, untold = [heard.headers.get_all(COUNTRY, []) for heard in believer.oracle.heard]
    assert told == ["BG"]
    assert "".join(untold) == ""


def test_a_peer_that_is_not_trusted(doubter: Pair, stage: Stage) -> None:
    headers = {"X-Forwarded-For": "203.0.113.9, 127.0.0.2", COUNTRY: "BG"}
    doubter.edge.ask(f"/{stage.mine.id}/seg0.ts", headers)
    [heard] = doubter.oracle.heard
    assert heard.headers.get_all("X-Forwarded-For") == [PEER]
    assert heard.headers.get(COUNTRY, "") == ""
