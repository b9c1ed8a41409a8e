"""Cloudflare's accessRules: who may play, by address and country, first match wins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, TypeAlias

from gateway.verdicts import Reason, Refused

MAX_RULES: Final = 5

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# ip_network also takes netmasks and other spellings; a rule is an address or a CIDR.
_CIDR: Final = re.compile(r"[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?")
_COUNTRY: Final = re.compile(r"[A-Za-z][A-Za-z0-9]")  # with the digit, T1: Cloudflare's Tor
_UNKNOWN_COUNTRIES: Final = frozenset({"", "XX"})
_MAPPED: Final = IPv6Network("::ffff:0:0/96")  # IPv4-mapped (RFC 4291 section 2.5.5.2)


class Kind(StrEnum):
    """What a rule looks at, in Cloudflare's words."""

    ANY = "any"
    ADDRESS = "ip.src"
    COUNTRY = "ip.geoip.country"


_BLOCKED: Final = {
    Kind.ANY: Reason.BLOCKED,
    Kind.ADDRESS: Reason.BLOCKED_ADDRESS,
    Kind.COUNTRY: Reason.BLOCKED_COUNTRY,
}
_OPERAND: Final = {Kind.ADDRESS: "ip", Kind.COUNTRY: "country"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, read once and compared on every play."""

    kind: Kind
    allow: bool
    networks: tuple[Network, ...] = ()
    countries: frozenset[str] = frozenset()


def read_rules(value: object) -> tuple[Rule, ...]:
    """The rules that a token's accessRules say.

    Raises Refused(RULES_MALFORMED) for anything that is not a list of at most 5 rules of known
    type and action, each with a non-empty list of what its type compares and with nothing else
    that could have been meant to narrow it.
    """
    if not isinstance(value, list) or len(value) > MAX_RULES:
        raise Refused(Reason.RULES_MALFORMED)
    try:
        return tuple(_read_rule(item) for item in value)
    except ValueError:
        raise Refused(Reason.RULES_MALFORMED) from None


def check_rules(rules: tuple[Rule, ...], address: str | None, country: str | None) -> None:
    """Return when the first rule that matches allows, or when none matches; else raise Refused.

    A rule that would need an unknown address or country ends the search with a refusal,
    since it cannot be known whether it matches.
    """
    at = deciding_rule(rules, address, country)
    if at is not None and not rules[at].allow:
        raise Refused(_BLOCKED[rules[at].kind])


def deciding_rule(rules: tuple[Rule, ...], address: str | None, country: str | None) -> int | None:
    """Return which rule is the first that matches. Raises Refused when that cannot be known."""
    for at, rule in enumerate(rules):
        if _matches(rule, address, country):
            return at
    return None


def _matches(rule: Rule, address: str | None, country: str | None) -> bool:
    match rule.kind:
        case Kind.ANY:
            return True
        case Kind.ADDRESS:
            viewer = _viewer(address)
            return any(viewer in network for network in rule.networks)
        case Kind.COUNTRY:
            code = (country or "").upper()
            if code in _UNKNOWN_COUNTRIES:
                raise Refused(Reason.COUNTRY_UNKNOWN)
            return code in rule.countries


def _viewer(address: str | None) -> Address:
    try:
        viewer = ip_address(address or "")
    except ValueError:
        raise Refused(Reason.ADDRESS_UNKNOWN) from None
    if isinstance(viewer, IPv6Address) and viewer.ipv4_mapped is not None:
        return viewer.ipv4_mapped
    return viewer


def _read_rule(item: object) -> Rule:
    if not isinstance(item, dict):
        raise ValueError("a rule is an object")  # noqa: TRY004 - see read_rules
    kind, allow = Kind(str(item.get("type"))), _action(item.get("action"))
    operand = _OPERAND.get(kind)
    # A member of another type, or one we do not know, was meant to narrow the rule: ignoring it
    # could let in more than its author wanted. Empty ones are what some encoders always write.
    if any(held and name not in {"type", "action", operand} for name, held in item.items()):
        raise ValueError("a member that this type does not have")
    if operand is None:
        return Rule(kind, allow)
    values = _texts(item.get(operand))
    if kind is Kind.ADDRESS:
        return Rule(kind, allow, networks=tuple(_network(text) for text in values))
    return Rule(kind, allow, countries=frozenset(_country(text) for text in values))


def _action(value: object) -> bool:
    if value not in ("allow", "block"):
        raise ValueError("an action is allow or block")
    return value == "allow"


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not value:
        raise ValueError("a list with at least one value")
    texts = [text for text in value if isinstance(text, str)]
    if len(texts) != len(value):
        raise ValueError("a list of strings")
    return texts


def _country(text: str) -> str:
    if not _COUNTRY.fullmatch(text):
        raise ValueError("a country is two letters")
    return text.upper()


def _network(text: str) -> Network:
    """Host bits may be set, as people write them; IPv4-mapped networks become IPv4."""
    if not _CIDR.fullmatch(text):
        raise ValueError("an address or a CIDR")
    network = ip_network(text, strict=False)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        low_bits = int(network.network_address) & 0xFFFF_FFFF
        return IPv4Network((low_bits, network.prefixlen - 96))
    return network
