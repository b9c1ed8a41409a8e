"""The values that a configuration is made of: each is read strictly before a template sees it.

A value that could end a string, begin a variable or start a line of its own in one of the edges'
languages is refused. Each reader raises ValueError with a sentence for the person who gave it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

_URL: Final = re.compile(
    r"(https?)://([A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::([0-9]{1,5}))?/?"
)
_SOCKET: Final = re.compile(r"unix:((?:/[A-Za-z0-9_+@.-]+){1,16})", re.ASCII)
_LISTEN: Final = re.compile(r"(?:([0-9.]{7,15}|\[[0-9A-Fa-f:.]{2,45}\])?:)?([0-9]{1,5})")
_SEGMENTS: Final = re.compile(r"(?:/[^/]+)+")
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+){1,8}")
_NETWORK: Final = re.compile(r"[0-9A-Fa-f:./]{2,49}")  # no zone: it may hold anything
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_SPECIAL: Final = frozenset("\"'`\\${}")  # they mean something within quotes, in one edge or other
_DOTS: Final = frozenset({".", ".."})
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_LONGEST_SOCKET: Final = 107  # sun_path has 108 bytes, the last of which is 0


@dataclass(frozen=True)
class Listen:
    """Where an edge listens."""

    host: str  # an IP address, without brackets
    port: str

    @property
    def address(self) -> str:
        """Host and port, in brackets where the host needs them."""
        return f"{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True)
class Server:
    """Another server: Keyferry or the origin, by a host and port or by a Unix socket."""

    scheme: str
    host: str  # without brackets; for a Unix socket the name to put into Host
    port: str = ""
    socket: str = ""  # the path of a Unix socket, else empty

    @property
    def tls(self) -> bool:
        """Whether it speaks HTTPS."""
        return self.scheme == "https"

    @property
    def address(self) -> str:
        """Host and port, in brackets where the host needs them."""
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://{self.address}"


def read_listen(text: str) -> Listen:
    """Return where `[address:]port` is."""
    match = _LISTEN.fullmatch(text)
    if match is None:
        raise ValueError("where to listen should be a port or address:port")
    return Listen(_ip((match[1] or "0.0.0.0").strip("[]")), _port(match[2]))  # noqa: S104


def read_server(what: str, text: str) -> Server:
    """Return the server at `http[s]://host[:port]`."""
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(f"{what} should be http://host:port or https://host:port, no path")
    scheme, host = match[1], match[2]
    if host.startswith("["):
        host = _ip(host.strip("[]"))
    return Server(scheme, host, _port(match[3] or _DEFAULT_PORTS[scheme]))


def read_keyferry(text: str) -> Server:
    """Return the server at `http[s]://host[:port]` or `unix:/path`."""
    if not text.startswith("unix:"):
        return read_server("the URL of Keyferry", text)
    match = _SOCKET.fullmatch(text)
    if match is None or len(match[1]) > _LONGEST_SOCKET or _DOTS & set(match[1].split("/")):
        raise ValueError(
            "the socket of Keyferry should be unix:/path, of at most 107 letters, digits and _+@.-"
        )
    return Server("http", "keyferry", socket=match[1])


def read_path(what: str, text: str) -> str:
    """Return the absolute path of a file or folder, which may have spaces in it."""
    if not _SEGMENTS.fullmatch(text) or _DOTS & set(text.split("/")):
        raise ValueError(f"{what} should be an absolute path, without . and .. in it")
    if not text.isprintable() or _SPECIAL & set(text):
        raise ValueError(
            f"{what} should have no quotes, backslashes, $, {{ or }} in its path, and no controls"
        )
    return text


def read_prefix(text: str) -> str:
    """Return a path prefix: what stands before the id in the URLs of a platform."""
    if not _PREFIX.fullmatch(text) or _DOTS & set(text.split("/")):
        raise ValueError(
            f"{text!r} should be a prefix like /i/VOD: up to eight segments of letters, digits "
            "and ._~-, no slash at the end"
        )
    return text


def read_origin_of_pages(text: str) -> str:
    """Return an origin as browsers spell it in the header Origin (RFC 6454 section 6.2)."""
    match = _URL.fullmatch(text)
    if match is None or text.endswith("/"):
        raise ValueError(f"{text!r} should be an origin like https://host or https://host:port")
    server = read_server("the origin", text.lower())
    host = _bracketed(server.host)
    default = server.port == _DEFAULT_PORTS[server.scheme]
    return f"{server.scheme}://{host}" + ("" if default else f":{server.port}")


def read_network(text: str) -> str:
    """Return a network of peers, or one address as a network of one."""
    try:
        if _NETWORK.fullmatch(text):
            return str(ip_network(text))
    except ValueError:
        pass
    raise ValueError(f"{text!r} should be a network like 10.0.0.0/8, or an address")


def read_header(text: str) -> str:
    """Return a header's name."""
    if not _HEADER.fullmatch(text):
        raise ValueError(f"{text!r} should be a header's name: letters, digits and dashes")
    return text


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
