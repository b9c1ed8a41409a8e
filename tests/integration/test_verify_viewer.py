"""Who plays: the viewer's address and country, as trusted proxies tell, and rules about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.player import Player, sign
from tests.vectors.forge import TestKey

VIEWER = "203.0.113.9"
BLOCK, ALLOW = {"type": "any", "action": "block"}, {"type": "any", "action": "allow"}


def only(*networks: str) -> list[dict[str, Any]]:
    """Rules that let these addresses play and nobody else."""
    return [{"type": "ip.src", "action": "allow", "ip": list(networks)}, BLOCK]


def but(*networks: str) -> list[dict[str, Any]]:
    """Rules that let everybody play but these addresses."""
    return [{"type": "ip.src", "action": "block", "ip": list(networks)}, ALLOW]


@pytest.fixture(scope="module")
def stranger(player: Player) -> Iterator[Player]:
    """The same client from an address that the server does not trust."""
    transport = httpx2.HTTPTransport(local_address="127.0.0.9")
    with httpx2.Client(transport=transport, timeout=20) as http:
        yield Player(http, player.tenant)


# X-Forwarded-For as a trusted proxy sends it, line by line, and whom it speaks of.
# 10.0.0.0/8 and 2001:db8:1::/48 are trusted proxies, too.
FORWARDED: dict[str, tuple[list[str], str | None]] = {
    "one hop": ([VIEWER], VIEWER),
    "spaces": ([f"192.0.2.1 ,  {VIEWER}\t,10.0.0.1"], VIEWER),
    "spoofed entries on the left": ([f"192.0.2.1, 198.51.100.1, {VIEWER}"], VIEWER),
    "a spoofed trusted one on the left": ([f"10.0.0.9, {VIEWER}"], VIEWER),
    "trusted hops on the right": ([f"192.0.2.1, {VIEWER}, 10.1.2.3,10.0.0.1"], VIEWER),
    "several lines": (["192.0.2.1", f"{VIEWER}, 10.1.2.3", "10.0.0.1"], VIEWER),
    "trusted hops alone": (["10.1.2.3, 10.0.0.1"], "10.1.2.3"),
    "IPv6": (["2001:db8:2::1"], "2001:db8:2::1"),
    "IPv6 behind IPv6": (["2001:DB8:2::1, 2001:db8:1::7"], "2001:db8:2::1"),
    "IPv4-mapped": ([f"::ffff:{VIEWER}"], VIEWER),
    "IPv4-mapped and trusted": ([f"{VIEWER}, ::ffff:10.0.0.1"], VIEWER),
    "nothing": ([], None),
    "an empty line": ([""], None),
    "nothing behind the comma": ([f"{VIEWER},"], None),
    "a name": (["viewer.example"], None),
    "a word": (["unknown"], None),
    "a port": ([f"192.0.2.1:1, {VIEWER}:51234"], VIEWER),
    "ports of trusted hops": ([f"{VIEWER}, [2001:db8:1::7]:443, 10.0.0.1:80"], VIEWER),
    "brackets": (["[2001:db8:2::1]"], "2001:db8:2::1"),
    "brackets and a port": (["[2001:db8:2::1]:443"], "2001:db8:2::1"),
    "no number for a port": ([f"{VIEWER}:http"], None),
    "no port behind the colon": ([f"{VIEWER}:"], None),
    "no such port": ([f"{VIEWER}:65536"], None),
    "the last port": ([f"{VIEWER}:65535"], VIEWER),
    "brackets around IPv4": ([f"[{VIEWER}]"], None),
    "IPv4-mapped in brackets": ([f"[::ffff:{VIEWER}]:80"], VIEWER),
    "half a bracket": (["[2001:db8:2::1"], None),
    "a name in brackets": (["[viewer]"], None),
    "quotes": ([f'"{VIEWER}"'], None),
    "leading zeros": (["203.0.113.009"], None),
    "a network": ([f"{VIEWER}/32"], None),
    "garbage behind": ([f"{VIEWER}, unknown"], None),
    "garbage before a trusted hop": ([f"{VIEWER}, unknown, 10.0.0.1"], None),
    "garbage on the left": ([f"unknown, {VIEWER}"], VIEWER),
    "beyond ASCII": (["203.0.113.\u00b2"], None),
    "very many": ([", ".join(["192.0.2.1"] * 1000 + [VIEWER])], VIEWER),
}


@pytest.mark.parametrize("name", FORWARDED)
def test_the_address_that_trusted_proxies_tell(equipped: Player, key: TestKey, name: str) -> None:
    lines, viewer = FORWARDED[name]
    headers = [("X-Forwarded-For", line) for line in lines]
    if viewer is None:
        assert equipped.play(sign(key, accessRules=but("192.0.2.1")), headers) == "address_unknown"
        assert equipped.play(sign(key, accessRules=[ALLOW]), headers) == "allowed"
    else:
        assert equipped.play(sign(key, accessRules=only(viewer)), headers) == "allowed"
        assert equipped.play(sign(key, accessRules=but(viewer)), headers) == "blocked_address"


def test_nobody_else_is_believed(player: Player, stranger: Player, key: TestKey) -> None:
    """Whoever is no trusted proxy says nothing about the viewer, not even by being there."""
    headers = [("X-Forwarded-For", VIEWER)]
    assert player.play(sign(key, accessRules=only(VIEWER)), headers) == "allowed"
    for networks in ([VIEWER], ["127.0.0.9"], ["0.0.0.0/0", "::/0"]):
        text = sign(key, accessRules=only(*networks))
        assert stranger.play(text, headers) == "address_unknown"
        assert stranger.play(text) == "address_unknown"
    assert stranger.play(sign(key), headers) == "allowed"


# A rule's networks, the viewer's address, and whether they match.
NETWORKS: list[tuple[list[str], str, bool]] = [
    (["203.0.113.0/24"], VIEWER, True),
    (["203.0.113.77/24"], VIEWER, True),  # as people write them
    (["203.0.112.0/24"], VIEWER, False),
    (["198.51.100.0/24", "203.0.113.9"], VIEWER, True),
    (["0.0.0.0/0"], VIEWER, True),
    (["0.0.0.0/0"], "2001:db8:2::1", False),
    (["::/0"], VIEWER, False),
    (["2001:db8:2::/64"], "2001:db8:2::ffff", True),
    (["2001:db8:2::/64"], "2001:db8:2:1::", False),
    (["::ffff:203.0.113.0/120"], VIEWER, True),
]


@pytest.mark.parametrize(("networks", "viewer", "matches"), NETWORKS)
def test_rules_on_addresses(
    player: Player, key: TestKey, networks: list[str], viewer: str, matches: bool
) -> None:
    headers = [("X-Forwarded-For", viewer)]
    wanted = ("allowed", "blocked_address") if matches else ("blocked", "allowed")
    texts = [sign(key, accessRules=rules(*networks)) for rules in (only, but)]
    assert tuple(player.play(text, headers) for text in texts) == wanted


GERMANY = {"type": "ip.geoip.country", "action": "allow", "country": ["DE", "at"]}


@pytest.mark.parametrize(
    ("country", "reason"),
    [
        ("DE", "allowed"),
        ("de", "allowed"),
        ("AT", "allowed"),
        ("FR", "blocked"),
        ("", "country_unknown"),
        ("XX", "country_unknown"),
        (None, "country_unknown"),
        ("Germany", "blocked"),
    ],
)
def test_rules_on_countries(
    equipped: Player, key: TestKey, country: str | None, reason: str
) -> None:
    text = sign(key, accessRules=[GERMANY, BLOCK])
    assert equipped.play(text, [] if country is None else [("CF-IPCountry", country)]) == reason


def test_the_country_header_is_a_setting_and_for_trusted_proxies(
    player: Player, equipped: Player, stranger: Player, key: TestKey
) -> None:
    text, headers = sign(key, accessRules=[GERMANY, BLOCK]), [("CF-IPCountry", "DE")]
    assert equipped.play(text, headers) == "allowed"
    assert player.play(text, headers) == "country_unknown"  # no header is named there
    assert stranger.at(equipped.tenant.url).play(text, headers) == "country_unknown"


def test_the_first_rule_that_matches_decides(equipped: Player, key: TestKey) -> None:
    headers = [("X-Forwarded-For", VIEWER), ("CF-IPCountry", "FR")]
    blocked = {"type": "ip.geoip.country", "action": "block", "country": ["FR"]}
    assert equipped.play(sign(key, accessRules=[*only(VIEWER), blocked]), headers) == "allowed"
    rules = [blocked, *only(VIEWER)]
    assert equipped.play(sign(key, accessRules=rules), headers) == "blocked_country"
    assert equipped.play(sign(key, accessRules=[GERMANY]), headers) == "allowed"
    assert equipped.play(sign(key, accessRules=[]), headers) == "allowed"
    assert equipped.play(sign(key, accessRules=[ALLOW] * 6), headers) == "rules_malformed"
