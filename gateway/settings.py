"""The environment, read once into a frozen value. Every fault is named, not only the first."""

from __future__ import annotations

import os
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from starlette.config import Config, Environ

from gateway.accounts import checked_token
from gateway.keys import KeyPolicy
from gateway.model import Algorithm, Network

PREFIX = "KEYFERRY_"
T = TypeVar("T")

# What Kubernetes tells every container of a Service called keyferry or keyferry-ANYTHING, and
# what our own load tests are told by.
_FOREIGN = re.compile(
    rf"{PREFIX}(\w+_)?SERVICE_(HOST|PORT(_\w+)?)"
    rf"|{PREFIX}(\w+_)?PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
    rf"|{PREFIX}LOAD_\w+"
)
_FOREIGN_PORT = re.compile(rf"{PREFIX}(\w+_)?PORT=(tcp|udp|sctp)://.*", re.DOTALL)


class Defaults(Protocol):
    """What a dialect says about its keys when the deployment says nothing."""

    name: str
    quota: int
    algorithms: tuple[Algorithm, ...]


class SettingsError(ValueError):
    """The configuration cannot be used; `faults` says everything that is wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. Sizes are counts, durations are seconds."""

    database_url: str | None = field(repr=False)  # may hold a password
    listen_url: str | None = field(repr=False)
    database_connections: int
    statement_cache: int
    pool_size: int
    pool_threads: int
    pool_wait: float
    staleness: float
    public_url: str | None
    log_format: str
    log_requests: str
    log_addresses: str
    trusted_proxies: tuple[Network, ...]
    address_header: bytes
    country_header: bytes | None
    leeway: float
    max_lifetime: float
    jwks_cache_control: str
    gate_max_age: int
    gate_stale: int
    metrics_port: int | None
    metrics_token: str | None = field(repr=False)
    master_key: bytes | None = field(repr=False)
    policies: Mapping[str, KeyPolicy]


def load_settings(environ: Mapping[str, str], dialects: Iterable[Defaults]) -> Settings:
    """Read the settings from `environ`; raises SettingsError naming every fault."""
    reader = _Reader(environ)
    settings = Settings(
        database_url=reader.get("DATABASE_URL", _database_url, None),
        listen_url=reader.get("LISTEN_URL", _database_url, None),
        database_connections=reader.get("DATABASE_CONNECTIONS", _count, 16),
        statement_cache=reader.get("STATEMENT_CACHE", _count_or_zero, 100),
        pool_size=reader.get("POOL_SIZE", _count, 64),
        pool_threads=reader.get("POOL_THREADS", _count, len(os.sched_getaffinity(0))),
        pool_wait=reader.get("POOL_WAIT", _seconds, 5.0),
        staleness=reader.get("STALENESS", _seconds, 2.0),
        public_url=reader.get("PUBLIC_URL", _web_url, None),
        log_format=reader.get("LOG_FORMAT", _one_of("auto", "json", "text"), "auto"),
        log_requests=reader.get("LOG_REQUESTS", _one_of("all", "refused", "none"), "all"),
        log_addresses=reader.get("LOG_ADDRESSES", _one_of("full", "truncated", "none"), "full"),
        trusted_proxies=reader.get("TRUSTED_PROXIES", _networks, _networks("127.0.0.1,::1")),
        address_header=reader.get(
            "ADDRESS_HEADER", _one_of("x-forwarded-for", "forwarded"), "x-forwarded-for"
        ).encode(),
        country_header=reader.get("COUNTRY_HEADER", _header_name, None),
        leeway=reader.get("LEEWAY", _seconds, 5.0),
        max_lifetime=reader.get("MAX_LIFETIME", _lifetime, 7 * 86_400.0),
        jwks_cache_control=reader.get("JWKS_CACHE_CONTROL", _header_value, "public, max-age=60"),
        gate_max_age=reader.get("GATE_MAX_AGE", _count_or_zero, 1),
        gate_stale=reader.get("GATE_STALE", _count_or_zero, 1),
        metrics_port=reader.get("METRICS_PORT", _port, None),
        metrics_token=reader.get("METRICS_TOKEN", _secret, None),
        master_key=reader.get("MASTER_KEY", _master_key, None),
        policies={dialect.name: _policy(reader, dialect) for dialect in dialects},
    )
    reader.finish()
    return settings


class _Reader:
    """Reads one setting after the other and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        ours = {name: text for name, text in environ.items() if not _is_foreign(name, text)}
        self._config = Config(environ=Environ(ours), env_prefix=PREFIX)
        self._unread = {name for name in ours if name.startswith(PREFIX)}
        self._faults: list[str] = []

    def get(self, name: str, cast: Callable[[str], T], default: T) -> T:
        self._unread.discard(PREFIX + name)
        text = self._config(name, default="")
        if not text:
            return default
        try:
            return cast(text)
        except ValueError as error:
            self._faults.append(f"{PREFIX}{name} {error}")
            return default

    def finish(self) -> None:
        unknown = [f"{name} is not a setting" for name in sorted(self._unread)]
        if self._faults or unknown:
            raise SettingsError(self._faults + unknown)


def _is_foreign(name: str, text: str) -> bool:
    """Whether a variable with our prefix is somebody else's.

    Of a Service called keyferry-metrics it may even have the name of a setting.
    """
    return bool(_FOREIGN.fullmatch(name) or _FOREIGN_PORT.fullmatch(f"{name}={text}"))


def _policy(reader: _Reader, dialect: Defaults) -> KeyPolicy:
    def algorithm(text: str) -> Algorithm:
        if text not in dialect.algorithms:
            raise ValueError(f"should be one of {', '.join(dialect.algorithms)}")
        return Algorithm(text)

    prefix = dialect.name.upper()
    return KeyPolicy(
        quota=reader.get(f"{prefix}_QUOTA", _count_or_zero, dialect.quota),
        algorithm=reader.get(f"{prefix}_ALGORITHM", algorithm, dialect.algorithms[0]),
    )


def _database_url(text: str) -> str:
    if urlsplit(text).scheme not in {"postgres", "postgresql"}:
        raise ValueError("should begin with postgresql://")
    return text


def _web_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError("should be an absolute http or https URL")
    return text.rstrip("/")


def _count_or_zero(text: str) -> int:
    if not text.isdecimal() or int(text) > 2**31 - 1:
        raise ValueError("should be a whole number from 0")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 2**31 - 1:
        raise ValueError("should be a whole number from 1")
    return int(text)


def _secret(text: str) -> str:
    try:
        return checked_token(text)
    except ValueError as error:
        raise ValueError(f"is refused: {error}") from error


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError("should be a port, 1 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise ValueError("should be a number of seconds above 0")
    return seconds


def _lifetime(text: str) -> float:
    if not text.isdecimal() or not 60 <= int(text) <= 366 * 86_400:
        raise ValueError("should be a whole number of seconds, from a minute to a year")
    return float(text)


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError("should be addresses or networks such as 10.0.0.0/8") from error


def _header_name(text: str) -> bytes:
    if not re.fullmatch(r"[A-Za-z0-9-]+", text):
        raise ValueError("should be the name of a header")
    return text.lower().encode()


def _header_value(text: str) -> str:
    if not re.fullmatch(r"[ -~]+", text):
        raise ValueError("should be the value of a Cache-Control header")
    return text


def _master_key(text: str) -> bytes:
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ValueError("should be 32 random bytes in base64: openssl rand -base64 32")
    return key


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"should be {', '.join(words[:-1])} or {words[-1]}")
        return text

    return read
