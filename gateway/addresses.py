"""Where to listen, and for whom, as `--listen` spells it: `[api=|edge=|metrics=]ADDRESS`.

| ADDRESS | is |
|---|---|
| `127.0.0.1:8787`, `[::1]:8787`, `localhost:0` | one address; port 0 takes any free one |
| `:8787` | every address of this machine |
| `unix:/run/keyferry/socket` | a Unix socket, for its owner and group |
| `fd:NAME`, `fd:3` | a socket that systemd, or another parent, has opened |
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum

_TCP = re.compile(r"(?:([A-Za-z0-9._-]*)|\[([0-9A-Fa-f:.]+(?:%[^\]]+)?)\]):([0-9]{1,5})")
_NAME = re.compile(r"[!-9;-~]{1,255}")  # of a descriptor: systemd allows no colon
_LONGEST_PATH = 107  # bytes that the address of a Unix socket has room for
_LAST_PORT = 65535
_FORMS = (
    "should be HOST:PORT, [IPV6]:PORT, :PORT, unix:/PATH or fd:NAME,"
    " optionally after api=, edge= or metrics="
)


class Purpose(StrEnum):
    """What is answered on a socket."""

    API = "api"  # everything
    EDGE = "edge"  # what edges ask, and nothing that changes anything
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Tcp:
    """An address and a port; no host means every address of this machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    """The path of a Unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class Inherited:
    """A socket that our parent has opened, by the name it gave it or by its number."""

    name: str

    def __str__(self) -> str:
        return f"fd:{self.name}"


Address = Tcp | Unix | Inherited


@dataclass(frozen=True, slots=True)
class Listen:
    """What to serve where."""

    purpose: Purpose
    address: Address

    def __str__(self) -> str:
        return f"{self.purpose}={self.address}"


def read_listen(text: str) -> Listen:
    """Return what one `--listen` says. Raises ValueError with a sentence."""
    purpose, equals, address = text.partition("=")
    if not equals or purpose not in set(Purpose):
        purpose, address = Purpose.API, text
    try:
        return Listen(Purpose(purpose), _read_address(address))
    except ValueError as error:
        raise ValueError(f"--listen {text!r} {error}") from error


def _read_address(text: str) -> Address:
    kind, _, rest = text.partition(":")
    if kind == "unix":
        if not rest.startswith("/") or "\0" in rest or len(os.fsencode(rest)) > _LONGEST_PATH:
            raise ValueError(f"should name a path, from / on, of at most {_LONGEST_PATH} bytes")
        return Unix(rest)
    if kind == "fd":
        if not _NAME.fullmatch(rest) or (rest.isdecimal() and not 3 <= int(rest) < 2**31):
            raise ValueError("should name a socket that was passed, or be its number from 3 on")
        return Inherited(rest)
    tcp = _TCP.fullmatch(text)
    if tcp is None or int(tcp[3]) > _LAST_PORT:
        raise ValueError(_FORMS)
    return Tcp(tcp[2] or tcp[1], int(tcp[3]))
