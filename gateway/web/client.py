"""Who is at the other end, when proxies stand between: X-Forwarded-For from trusted ones only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from gateway.model import Network

Headers = Iterable[tuple[bytes, bytes]]
_Address = IPv4Address | IPv6Address


class Proxies:
    """The proxies whose word about a client is believed."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self._verdicts: dict[str, bool] = {}  # few peers, asked about at every request

    def trusts(self, peer: str | None) -> bool:
        """Whether `peer`, as the socket names it, is a trusted proxy."""
        if peer is None:
            return False
        known = self._verdicts.get(peer)
        if known is None:
            if len(self._verdicts) > 1000:
                self._verdicts.clear()
            known = self._verdicts[peer] = self._is_trusted(peer)
        return known

    def client(self, peer: str | None, headers: Headers) -> str | None:
        """Return who sent a request: the last hop that no trusted proxy vouches for."""
        return self._last_hop(peer, headers)[0]

    def viewer(self, peer: str | None, headers: Headers) -> str | None:
        """Return whom an edge asks about, None when no trusted proxy says it.

        The edge's own address is never the viewer's: a rule that blocks the viewer would not
        match it, and let him in.
        """
        address, told = self._last_hop(peer, headers)
        return address if told else None

    def _last_hop(self, peer: str | None, headers: Headers) -> tuple[str | None, bool]:
        """Return an address, and whether the one who speaks from it spoke to a trusted proxy.

        Each proxy appends whom it spoke to, so the list is read from its end; what stands before
        the first hop that is not trusted is that client's own word and is ignored.
        """
        address, told = None if peer is None else _unscoped(peer), False
        if not self.trusts(peer):
            return address, told
        hops = b",".join([value for name, value in headers if name == b"x-forwarded-for"])
        if not hops:
            return address, told
        for hop in reversed(hops.decode("latin-1").split(",")):
            parsed = _parse(hop)
            if parsed is None:
                return address, False
            address, told = str(parsed), True
            if not self.trusts(address):
                break
        return address, told

    def _is_trusted(self, peer: str) -> bool:
        address = _parse(peer)
        return address is not None and any(address in network for network in self._trusted)


def readable_address(text: str) -> str | None:
    """Return an address as everybody else spells it, None for what is no address."""
    address = _parse(text)
    return None if address is None else str(address)


def _parse(text: str) -> _Address | None:
    try:
        address = ip_address(_unscoped(text.strip()))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _unscoped(text: str) -> str:
    """Return an address without the interface that it is reached by (RFC 4007 section 11)."""
    return text.partition("%")[0]
