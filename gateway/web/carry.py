"""How a token goes from a playlist to its segments: by a redirect, or in a cookie.

A relative address in a playlist drops the query of the playlist's own (RFC 3986 section 5.2), and
players send headers with requests of their choice. So an edge may ask with `X-Keyferry-Carry` that
an allowed playlist be redirected to an address with the token in the place of the id, or that a
cookie be set for what is below the id.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

from gateway.place import Place, read_place
from gateway.web.exchange import Reply
from gateway.web.playback import Found, Source

_PLAYLISTS = (".m3u8", ".mpd")
_FIELDS = frozenset({"token", "jwt"})
_DOT = re.compile(r"\.|%2e", re.IGNORECASE)
_VISIBLE = "".join(map(chr, range(0x21, 0x7F))).replace("#", "")
_SAME_SITE = {
    f"samesite={value.lower()}": f"SameSite={value}" for value in ("None", "Lax", "Strict")
}


class Carry(NamedTuple):
    """A playlist's token that is to be carried on: in a cookie with these attributes, if any."""

    cookie: tuple[str, ...] | None
    token: str
    place: Place
    query: str


def wanted(asked: str, method: str, url: str, found: Found, place: Place | None) -> Carry | None:
    """Return what to do if the play is allowed: of a playlist whose token is in query or header.

    A token in the path or in a cookie goes with the segments by itself, so nothing loops.
    """
    if place is None or method not in {"GET", "HEAD"}:
        return None
    if found.source not in {Source.QUERY, Source.HEADER}:
        return None
    if not place.names or not place.names[-1].endswith(_PLAYLISTS):
        return None
    try:
        cookie = _read(asked)
    except ValueError:  # how it should be carried cannot be known
        return None
    return Carry(cookie, found.token, place, url.partition("?")[2])


def carry_on(reply: Reply, carry: Carry, lifetime: int) -> None:
    """Let an answer that allows a playlist carry on its token, for `lifetime` seconds."""
    if carry.cookie is not None:
        reply.headers.append((b"set-cookie", _cookie(carry, carry.cookie, lifetime)))
        return
    target = _target(carry)
    if target is not None:
        reply.status = 302
        reply.headers.append((b"location", target))


@lru_cache(maxsize=64)
def _read(asked: str) -> tuple[str, ...] | None:
    """Return a cookie's attributes, or None for a redirect. Raises ValueError for anything else."""
    way, *attributes = [part.strip().lower() for part in asked.split(";")]
    if way == "redirect" and not attributes:
        return None
    secure, same_site = "secure" in attributes, [_SAME_SITE.get(one) for one in attributes]
    named = [one for one in same_site if one is not None]
    if way != "cookie" or len(named) > 1 or len(named) + secure != len(attributes):
        raise ValueError(f"{asked!r} is no way to carry a token")
    return (*(["Secure"] if secure else []), *named)


def _target(carry: Carry) -> bytes | None:
    """Return the address with the token in the id's place, if it is read as that there."""
    place = carry.place
    path = f"{place.prefix}/{carry.token}{place.rest}"
    again = read_place(path, place.prefixes)
    if not place.rest or (again.token, again.prefix) != (carry.token, place.prefix):
        return None
    pairs = [pair for pair in carry.query.split("&") if _name(pair) not in _FIELDS]
    query = "&".join(pairs)
    return _written(f"{path}?{query}" if query else path)


def _cookie(carry: Carry, attributes: tuple[str, ...], lifetime: int) -> bytes:
    """Return a cookie for the id's path as it stands in the URL, since browsers compare that."""
    place = carry.place
    named = place.segment
    if place.suffix:
        *_, dot = _DOT.finditer(named)
        named = named[: dot.start()]
    path = _written(f"{place.prefix}/{named}").decode()
    parts = (f"Path={path}", f"Max-Age={max(lifetime, 0)}", "HttpOnly", *attributes)
    return f"Livepeer-Jwt={carry.token}; {'; '.join(parts)}".encode()


def _name(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


def _written(text: str) -> bytes:
    """Return a part of a URL as it was sent, but for what a header must not have: escaped."""
    return quote(text.encode("latin-1"), safe=_VISIBLE).encode()
