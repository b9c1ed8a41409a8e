"""What an edge asks about: the URL that is played, the token in it, and who plays it."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from gateway.subject import path_segments
from gateway.verdicts import Facts, Reason, Refused
from gateway.web.exchange import Request

_TOKEN = re.compile(r"ey[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)
_COOKIE = "livepeer-jwt"
_URL_HEADERS = frozenset({b"x-original-uri", b"x-forwarded-uri"})


def original_url(request: Request, rest: str) -> str:
    """Return path and query of what the viewer asked the edge for.

    `rest` is what followed `/verify` in the path of the question. An edge puts it there itself,
    while a header might have passed through it from the viewer, so `rest` alone decides when it
    is there. Without it `X-Original-URI` and `X-Forwarded-Uri` do; when they are told twice and
    differ, one of them is the viewer's: raises Refused(PATH_AMBIGUOUS).
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
        value.decode("latin-1").strip() for name, value in request.headers if name in _URL_HEADERS
    } - {""}


def find_token(request: Request, url: str) -> str | None:
    """Return the first token found: path segment, `token`, `jwt`, Bearer, Livepeer-Jwt.

    The query's are those of `url`; Livepeer-Jwt is a header, then a cookie.
    """
    path, _, query = url.partition("?")
    if "/ey" in path:
        for segment in path.split("/"):
            if _TOKEN.fullmatch(segment):
                return segment
    return _in_query(query) or _in_headers(request)


def play_facts(url: str, address: str | None, country: str | None) -> Facts:
    """Return what is known of the play of `url`: Cloudflare's downloads are told by their path."""
    path = url.partition("?")[0] if url else None
    return Facts(path=path, address=address, country=country, download=_is_download(path))


def _is_download(path: str | None) -> bool:
    if path is None or ("downloads" not in path and "%" not in path):
        return False
    try:
        return "downloads" in path_segments(path)
    except Refused:  # for what the verdict will be refused, too
        return False


def _in_query(query: str) -> str | None:
    """Return `token`, else `jwt`, the first one of a name counting. Most need no decoding."""
    if "%" in query or "+" in query:
        pairs = parse_qsl(query, errors="replace")
    else:
        pairs = [(name, value) for name, _, value in map(_split, query.split("&"))]
    fields = dict(reversed(pairs))
    return fields.get("token") or fields.get("jwt")


def _in_headers(request: Request) -> str | None:
    bearer = _BEARER.fullmatch(request.header(b"authorization") or "")
    if bearer is not None:
        return bearer[1]
    return request.header(b"livepeer-jwt") or _cookie(request.header(b"cookie") or "") or None


def _split(pair: str) -> tuple[str, str, str]:
    return pair.partition("=")


def _cookie(header: str) -> str | None:
    for pair in header.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == _COOKIE:
            return value.strip()
    return None
