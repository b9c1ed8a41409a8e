"""What one configuration is made for: the options of `keyferry edge`, read and fitting together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Required, TypedDict
from uuid import UUID

from gateway.edges.values import (
    Listen,
    Server,
    read_header,
    read_keyferry,
    read_listen,
    read_network,
    read_origin_of_pages,
    read_path,
    read_prefix,
    read_server,
)

_SAME_SITES: Final = {"none": "None", "lax": "Lax", "strict": "Strict"}
_MOST_PREFIXES: Final = 16
_OURS: Final = ("x-forwarded-", "x-original-", "x-keyferry-", "x-auth-")
# Headers that a configuration itself sends to Keyferry, or that belong to one connection.
_TAKEN: Final = frozenset(
    {"authorization", "connection", "content-length", "cookie", "forwarded", "host", "keep-alive"}
    | {"livepeer-jwt", "te", "trailer", "transfer-encoding", "upgrade", "x-real-ip"}
)


class Options(TypedDict, total=False):
    """The options of `keyferry edge`, as they were given."""

    keyferry: Required[str]  # http[s]://host[:port] or unix:/path
    account: Required[str]
    listen: Required[str]  # [address:]port
    origin: str | None  # http[s]://host[:port]
    root: str | None  # a folder; nginx and Caddy serve one, or stand before an origin
    prefix: Sequence[str]  # what stands before ids in paths, besides what Keyferry knows
    allow_origin: Sequence[str]  # of pages that may play; none means every one
    cert: str | None  # files in PEM; with them the edge speaks HTTPS
    key: str | None
    carry: str | None  # redirect or cookie: how a token goes from a playlist to its segments
    same_site: str | None  # none, lax or strict: of that cookie
    secure: bool | None  # of that cookie; by default as the edge speaks HTTPS
    country_header: str | None  # in which a trusted peer says the viewer's country
    trust: Sequence[str]  # networks of peers whose X-Forwarded-For and country are believed


@dataclass(frozen=True)
class Site:
    """The options in the form that templates use. Every text in it is safe within quotes."""

    account: str
    keyferry: Server
    listen: Listen
    origin: Server | None
    root: str | None
    prefixes: tuple[str, ...]
    allow_origins: tuple[str, ...]  # empty means every one
    cert: str | None
    key: str | None
    carry: str | None  # the value of X-Keyferry-Carry
    country_header: str | None
    trust: tuple[str, ...]


def read_site(options: Options) -> Site:
    """Return what `options` ask for. Raises ValueError, in words for whoever gave them."""
    origin, root = options.get("origin"), options.get("root")
    trust = _each(read_network, options.get("trust", ()))
    cert, key = _certificate(options.get("cert"), options.get("key"))
    return Site(
        account=_account(options["account"]),
        keyferry=read_keyferry(options["keyferry"]),
        listen=read_listen(options["listen"]),
        origin=None if origin is None else read_server("the origin", origin),
        root=None if root is None else read_path("the folder", root),
        prefixes=_prefixes(options.get("prefix", ())),
        allow_origins=_allow_origins(options.get("allow_origin", ())),
        cert=cert,
        key=key,
        carry=_carry(options),
        country_header=_country_header(options.get("country_header"), trust),
        trust=trust,
    )


def _each(read: Callable[[str], str], texts: Sequence[str]) -> tuple[str, ...]:
    """Return what was read, each once, in the order given."""
    return tuple(dict.fromkeys(read(text) for text in texts))


def _account(text: str) -> str:
    try:
        return UUID(text).hex
    except ValueError:
        raise ValueError("the account's id should be 32 hexadecimal digits") from None


def _certificate(cert: str | None, key: str | None) -> tuple[str | None, str | None]:
    if cert is None and key is None:
        return None, None
    if cert is None or key is None:
        raise ValueError("a certificate and its key should be given together")
    return read_path("the certificate", cert), read_path("the key", key)


def _prefixes(texts: Sequence[str]) -> tuple[str, ...]:
    prefixes = _each(read_prefix, texts)
    if len(prefixes) > _MOST_PREFIXES:
        raise ValueError(f"there should be at most {_MOST_PREFIXES} prefixes")
    return prefixes


def _allow_origins(texts: Sequence[str]) -> tuple[str, ...]:
    if "*" not in texts:
        return _each(read_origin_of_pages, texts)
    if set(texts) != {"*"}:
        raise ValueError("* allows every origin: it should stand alone")
    return ()


def _carry(options: Options) -> str | None:
    """Return how Keyferry is asked to carry a token on (docs/edges.md)."""
    carry, same_site, secure = (options.get(name) for name in ("carry", "same_site", "secure"))
    if carry != "cookie":
        if same_site is not None or secure is not None:
            raise ValueError("a cookie's attributes should be given with carry by cookie only")
        if carry not in {None, "redirect"}:
            raise ValueError("carry should be redirect or cookie")
        return carry
    if secure is None:
        secure = options.get("cert") is not None
    if same_site is not None and same_site not in _SAME_SITES:
        raise ValueError(f"the cookie's SameSite should be one of {', '.join(_SAME_SITES)}")
    if same_site == "none" and not secure:
        raise ValueError("browsers take SameSite=None only from cookies that should be secure")
    attributes = ["cookie", *(["Secure"] if secure else [])]
    if same_site is not None:
        attributes.append(f"SameSite={_SAME_SITES[same_site]}")
    return "; ".join(attributes)


def _country_header(text: str | None, trust: Sequence[str]) -> str | None:
    if text is None:
        return None
    if not trust:
        raise ValueError("a country header should come with the peers to trust about it")
    name = read_header(text)
    if name.lower() in _TAKEN or name.lower().startswith(_OURS):
        raise ValueError(f"{name} should not be the country header: it has a meaning of its own")
    return name
