"""Who is at the other end, when proxies stand between: what trusted ones say, and no other.

They say it in X-Forwarded-For, or in Forwarded (RFC 7239) if the deployment's setting is that.
Only one of the two is read: a proxy that writes one of them may pass on a client's other one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from gateway.memo import Memo
from gateway.model import Network

Headers = Iterable[tuple[bytes, bytes]]
_Address = IPv4Address | IPv6Address
LastHop = tuple[str | None, bool]
_MEMO_ENTRIES = 8192
_MEMO_BYTES = 256  # of a header that is worth an entry
X_FORWARDED_FOR = b"x-forwarded-for"
FORWARDED = b"forwarded"

# An address as some proxies write it: with a port, IPv6 in brackets (RFC 7239 section 6).
_NODE = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f]*:[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+))"
    r"(?::(?:(?P<port>[0-9]{1,5})|_[A-Za-z0-9._-]+))?"
)
_LAST_PORT = 65535
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = re.compile(rf'\s*({_NAME})=(?:({_NAME})|"((?:[^"\\]|\\.)*)")\s*([;,]|$)')


class Proxies:
    """The proxies whose word about a client is believed, in the `header` that they say it in."""

    def __init__(self, trusted: Sequence[Network], header: bytes = X_FORWARDED_FOR) -> None:
        self._trusted = trusted
        self._header = header
        # Both are asked about at every request, and reading an address is slow.
        self._verdicts: Memo[str, bool] = Memo(_MEMO_ENTRIES)
        self._last_hops: Memo[tuple[str | None, bytes], LastHop] = Memo(_MEMO_ENTRIES)

    def trusts(self, peer: str | None) -> bool:
        """Whether `peer`, as the socket names it, is a trusted proxy.

        None is a peer on a Unix socket: the socket's mode says who may connect to it.
        """
        if peer is None:
            return True
        known = self._verdicts.get(peer)
        if known is None:
            known = self._is_trusted(peer)
            self._verdicts.put(peer, known)
        return known

    def client(self, peer: str | None, headers: Headers) -> str | None:
        """Return who sent a request: the last hop that no trusted proxy vouches for."""
        return self.last_hop(peer, headers)[0]

    def last_hop(self, peer: str | None, headers: Headers) -> LastHop:
        """Return the client, and whether a trusted proxy says it: then it is the viewer, too.

        The edge's own address is never the viewer's: a rule that blocks the viewer would not
        match it, and let him in.
        """
        lines = [value for name, value in headers if name == self._header]
        if not lines or not self.trusts(peer):
            return None if peer is None else _unscoped(peer), False
        told = b",".join(lines)
        known = self._last_hops.get((peer, told))
        if known is None:
            known = self._read_hops(peer, told)
            if len(told) <= _MEMO_BYTES:
                self._last_hops.put((peer, told), known)
        return known

    def _read_hops(self, peer: str | None, told: bytes) -> LastHop:
        """Read the list of hops from its end.

        Each proxy appends whom it spoke to; what stands before the first hop that is not trusted
        is that client's own word and is ignored.
        """
        address = None if peer is None else _unscoped(peer)
        for parsed in self._hops(told.decode("latin-1")):
            if parsed is None:
                return address, False
            address = str(parsed)
            if not self.trusts(address):
                break
        return address, True

    def _hops(self, text: str) -> Iterator[_Address | None]:
        """Yield the hops from the last to the first, None for one that says no address."""
        if self._header == FORWARDED:
            return map(_parse_node, reversed(_forwarded_for(text)))
        return map(_parse_hop, reversed(text.split(",")))

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


def _parse_hop(text: str) -> _Address | None:
    """Read an address as X-Forwarded-For has it, where each proxy has a spelling of its own."""
    return _parse(text) or _parse_node(text)


def _parse_node(text: str) -> _Address | None:
    """Read an address as Forwarded has it: `unknown` and names that hide one are none."""
    node = _NODE.fullmatch(text.strip())
    if node is None or int(node["port"] or 0) > _LAST_PORT:
        return None
    return _parse(node["v6"] or node["v4"])


def _forwarded_for(text: str) -> list[str]:
    """Return what each element of Forwarded says in `for`, "" where that cannot be read.

    Nothing of a field that is ill-formed is believed: where one element ends and the next begins
    could be a client's word.
    """
    nodes, place, element = list[str](), 0, list[str]()
    while True:
        pair = _PAIR.match(text, place)
        if pair is None:
            return [""]
        if pair[1].lower() == "for":
            element.append(pair[2] if pair[3] is None else re.sub(r"\\(.)", r"\1", pair[3]))
        if pair[4] != ";":
            nodes.append(element[0] if len(element) == 1 else "")
            element = []
        if not pair[4]:
            return nodes
        place = pair.end()


def _unscoped(text: str) -> str:
    """Return an address without the interface that it is reached by (RFC 4007 section 11)."""
    return text.partition("%")[0]
