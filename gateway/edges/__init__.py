"""Configurations that make a web server ask Keyferry before it serves: one template per edge."""

from __future__ import annotations

import re
import string
from importlib import resources
from ipaddress import ip_address
from typing import Final, NamedTuple
from uuid import UUID


class _Edge(NamedTuple):
    template: str
    serves_files: bool  # from a folder, else from an origin
    companions: tuple[str, ...] = ()


_EDGES: Final = {
    "nginx": _Edge("nginx.conf", serves_files=True),
    "caddy": _Edge("Caddyfile", serves_files=True),
    "traefik": _Edge("traefik.yaml", serves_files=False),
    "envoy": _Edge("envoy.yaml", serves_files=False),
    "haproxy": _Edge("haproxy.cfg", serves_files=False, companions=("keyferry.lua",)),
}
EDGES: Final = tuple(_EDGES)

_URL: Final = re.compile(
    r"(https?)://([A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::([0-9]{1,5}))?/?"
)
_LISTEN: Final = re.compile(r"(?:([0-9.]{7,15}|\[[0-9A-Fa-f:.]{2,45}\])?:)?([0-9]{1,5})")
_ROOT: Final = re.compile(r"(?:/[A-Za-z0-9_+@-][A-Za-z0-9._+@-]*)+")


class _Template(string.Template):
    """`@@name`, since every edge has its own use for a dollar sign."""

    delimiter = "@@"


def render(
    edge: str,
    *,
    keyferry_url: str,
    account_id: str,
    listen: str,
    origin: str | None = None,
    root: str | None = None,
) -> str:
    """Return the configuration of `edge`, complete: it can be started as it is.

    `keyferry_url` and `origin` are `http[s]://host[:port]`; `listen` is `[address:]port`.
    nginx and Caddy serve the folder `root`; the others stand before the `origin`.
    Raises ValueError, in words for whoever gave the value, for anything else.
    """
    if edge not in _EDGES:
        raise ValueError(f"there is no edge {edge!r}; choose one of {', '.join(EDGES)}")
    values = {"account": _account(account_id), **_listen(listen)}
    values |= _server("keyferry", "the URL of Keyferry", keyferry_url)
    if _EDGES[edge].serves_files:
        values["root"] = _root(edge, root, origin)
    else:
        values |= _server("origin", "the origin", _origin(edge, root, origin))
    return _Template(_read(_EDGES[edge].template)).substitute(values)


def companions(edge: str) -> dict[str, str]:
    """Return the files that the configuration of `edge` loads from its own folder, by name."""
    return {name: _read(name) for name in _EDGES[edge].companions}


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text()


def _account(text: str) -> str:
    try:
        return UUID(text).hex
    except ValueError:
        raise ValueError("the account's id should be 32 hexadecimal digits") from None


def _listen(text: str) -> dict[str, str]:
    match = _LISTEN.fullmatch(text)
    if match is None:
        raise ValueError("where to listen should be a port or address:port")
    host = _ip((match[1] or "0.0.0.0").strip("[]"))  # noqa: S104 - what an edge is for
    port = _port(match[2])
    return {"listen": f"{_bracketed(host)}:{port}", "listen_address": host, "listen_port": port}


def _server(name: str, what: str, url: str) -> dict[str, str]:
    """Return what the templates know of the server called `name`.

    `<name>_tls` begins what is needed for HTTPS only: empty then, else a comment sign.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"{what} should be http://host:port or https://host:port, no path")
    scheme, host = match[1], match[2]
    if host.startswith("["):
        host = _bracketed(_ip(host.strip("[]")))
    port = _port(match[3] or {"http": "80", "https": "443"}[scheme])
    return {
        f"{name}_url": f"{scheme}://{host}:{port}",
        f"{name}_scheme": scheme,
        f"{name}_address": f"{host}:{port}",
        f"{name}_host": host.strip("[]"),
        f"{name}_port": port,
        f"{name}_tls": "" if scheme == "https" else "# ",
    }


def _origin(edge: str, root: str | None, origin: str | None) -> str:
    if origin is None or root is not None:
        raise ValueError(f"{edge} serves no files: give the origin it stands before, and no folder")
    return origin


def _root(edge: str, root: str | None, origin: str | None) -> str:
    if root is None or origin is not None:
        raise ValueError(f"{edge} serves files: give the folder they are in, and no origin")
    if _ROOT.fullmatch(root) is None:
        raise ValueError("the folder should be an absolute path of letters, digits and ._+@-")
    return root


def _ip(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(f"{text} is not an IP address") from None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _port(text: str) -> str:
    if not 1 <= int(text) <= 65535:
        raise ValueError(f"{text} is not a port: 1 to 65535")
    return str(int(text))
