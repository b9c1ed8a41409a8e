"""What an edge asks about: the URL that is played, the token in it, and who plays it."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple
from urllib.parse import parse_qsl

from gateway.place import Place
from gateway.verdicts import Reason, Refused
from gateway.web.exchange import Request

_WHOLE = re.compile(r"https?://[^/?#\\@\s]+([^#]*)", re.IGNORECASE)
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)
_COOKIE = "livepeer-jwt"
_WHOLE_URL = b"x-original-url"
_URL_HEADERS = frozenset({b"x-original-uri", b"x-forwarded-uri", _WHOLE_URL})


class Source(Enum):
    """Where a token was found."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    COOKIE = "cookie"


class Found(NamedTuple):
    """A token, and where it was found."""

    token: str
    source: Source


def original_url(request: Request, rest: str) -> str:
    """Return path and query of what the viewer asked the edge for, or "" when nobody says it.

    `rest` is what followed `/verify` in the path of the question. An edge puts it there itself,
    while a header might have passed through it from the viewer, so `rest` alone decides when it
    is there. Without it `X-Original-URI`, `X-Forwarded-Uri` and `X-Original-URL` do; when they
    tell different things, one of them is the viewer's: raises Refused(PATH_AMBIGUOUS).
    """
    if rest not in {"", "/"}:
        query = request.query_string.decode("latin-1")
        return f"{rest}?{query}" if query else rest
    told = told_urls(request)
    if len(told) > 1:
        raise Refused(Reason.PATH_AMBIGUOUS)
    return next(iter(told), "")


def told_urls(request: Request) -> set[str]:
    """Return what the headers for it say about the original URL: at most one, if all is well."""
    return {
        _target(name, value.decode("latin-1").strip())
        for name, value in request.headers
        if name in _URL_HEADERS
    } - {""}


def find_token(request: Request, url: str, place: Place | None) -> Found | None:
    """Return the first token found: the id's place, `token`, `jwt`, Bearer, Livepeer-Jwt.

    The query's are those of `url`, or of the question itself when no URL is told; Livepeer-Jwt
    is a header, then a cookie.
    """
    in_path = None if place is None else place.token
    if in_path is not None:
        return Found(in_path, Source.PATH)
    query = url.partition("?")[2] if url else request.query_string.decode("latin-1")
    in_query = token_in_query(query)
    return Found(in_query, Source.QUERY) if in_query else _in_headers(request)


def _target(name: bytes, text: str) -> str:
    """Return path and query of a whole URL; what is none is left for the verdict to refuse."""
    whole = _WHOLE.fullmatch(text) if name == _WHOLE_URL else None
    if whole is None:
        return text
    return whole[1] if whole[1].startswith("/") else f"/{whole[1]}"


def token_in_query(query: str) -> str | None:
    """Return `token`, else `jwt`, the first one of a name counting. Most need no decoding."""
    if "%" in query or "+" in query:
        pairs = parse_qsl(query, errors="replace")
    else:
        pairs = [(name, value) for name, _, value in map(_split, query.split("&"))]
    fields = dict(reversed(pairs))
    return fields.get("token") or fields.get("jwt")


def _in_headers(request: Request) -> Found | None:
    bearer = _BEARER.fullmatch(request.header(b"authorization") or "")
    in_header = request.header(b"livepeer-jwt") if bearer is None else bearer[1]
    if in_header:
        return Found(in_header, Source.HEADER)
    in_cookie = _cookie(request.header(b"cookie") or "")
    return Found(in_cookie, Source.COOKIE) if in_cookie else None


def _split(pair: str) -> tuple[str, str, str]:
    return pair.partition("=")


def _cookie(header: str) -> str | None:
    for pair in header.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == _COOKIE:
            return value.strip()
    return None
