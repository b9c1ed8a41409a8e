"""What the access log may show of a viewer and of a token that is signed as it should be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

_LONGEST = 200  # characters of a subject: a line has to fit into a pipe in one piece
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
_UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"
# A signer may write anything: a JWT, also with a blank in its JSON, an API token, a key in PEM.
_SECRET = re.compile(
    r"eyJ[A-Za-z0-9_-]{8}|e[wy][A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8}|kf_[A-Za-z0-9_-]{16}|-----BEGIN"
)
_KEPT_BITS = {4: 24, 6: 48}


@lru_cache(maxsize=1024)  # of at most 8 KiB each; the same videos are asked for again and again
def shown_subject(subject: str) -> str:
    """Return a token's `sub` in one bounded line, or a note in place of one that holds a secret."""
    if len(subject) > _LONGEST:
        subject = subject[:_LONGEST] + _ELLIPSIS
    if _SECRET.search(subject):
        return "[redacted]"
    if subject.isprintable():
        return subject
    return "".join(mark if mark.isprintable() else _UNPRINTABLE for mark in subject)


@lru_cache(maxsize=4096)  # a viewer asks for segment after segment
def _truncated(address: str | None) -> str | None:
    """Return the network that an address is in: IPv4 /24, IPv6 /48. None for what is none."""
    try:
        parsed = ip_address((address or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    kept = _KEPT_BITS[parsed.version]
    return str(ip_network((parsed, kept), strict=False).network_address)


ADDRESSES: Final[Mapping[str, Callable[[str | None], str | None]]] = {
    "full": lambda address: address,
    "truncated": _truncated,
    "none": lambda _address: None,
}
"""How an address is shown, by the value of KEYFERRY_LOG_ADDRESSES."""
