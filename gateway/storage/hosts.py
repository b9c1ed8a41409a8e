"""Connecting when a DSN names several hosts, of which some may be gone without a word."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg


async def connect_to_any(dsn: str, *, patience: float, **options: Any) -> Any:
    """Connect to the first host of `dsn` that answers as `options` ask, within `patience` seconds.

    asyncpg tries one host after the other by itself, but a dead machine, which does not even
    refuse, would use up the time of all. Here each host gets its share of what is left of it.
    Raises what asyncpg does.
    """
    end = time.monotonic() + patience
    *others, last = one_host_each(dsn)
    for number, one in enumerate(others):
        share = (end - time.monotonic()) / (len(others) + 1 - number)
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InternalClientError):
            return await asyncpg.connect(one, timeout=share, **options)
    return await asyncpg.connect(last, timeout=end - time.monotonic(), **options)


def one_host_each(dsn: str) -> list[str]:
    """Split a DSN that names several hosts, in its authority or its query, into one for each."""
    parts = urlsplit(dsn)
    login, at, authority = parts.netloc.rpartition("@")
    if "," in authority:
        hosts = authority.split(",")
        return [urlunsplit(parts._replace(netloc=login + at + host)) for host in hosts]
    query = dict(parse_qsl(parts.query))
    hosts = query.get("host", "").split(",")
    ports = query.get("port", "").split(",")
    if len(hosts) == 1 or authority:
        return [dsn]
    if len(ports) == 1:
        ports *= len(hosts)
    return [
        urlunsplit(parts._replace(query=urlencode(query | {"host": host, "port": port})))
        for host, port in zip(hosts, ports, strict=True)
    ]
