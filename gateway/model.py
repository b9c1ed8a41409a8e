"""The domain's values: frozen, without input or output, the same behind every door."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple
from uuid import UUID

Network = IPv4Network | IPv6Network
_LONGEST_ID = 36  # characters
_ID = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def read_id(text: str) -> UUID | None:
    """Return the id that `text` spells, 32 hexadecimal digits or the same with dashes."""
    return _read_id(text) if len(text) <= _LONGEST_ID else None


@lru_cache(maxsize=4096)  # reading one again costs more than everything else about a known token
def _read_id(text: str) -> UUID | None:
    return UUID(text) if _ID.fullmatch(text) else None


class Algorithm(StrEnum):
    """A signature algorithm by its JOSE name (RFC 7518 section 3.1)."""

    RS256 = "RS256"  # RSASSA-PKCS1-v1_5 with SHA-256; RSA-2048, e 65537
    ES256 = "ES256"  # ECDSA with P-256 and SHA-256


class Scope(StrEnum):
    """What an API token may do."""

    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    TOKENS_WRITE = "tokens:write"
    MEDIA_PUBLISH = "media:publish"


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant. Its id is shown as 32 hex digits or with dashes, as the door likes it."""

    id: UUID
    name: str
    email: str
    created_at: datetime
    suspended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Project:
    """A part of an account. Each account has one default project, always."""

    id: UUID
    account_id: UUID
    name: str
    is_default: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApiToken:
    """An API token as listed: its secret was shown once and only its digest is kept."""

    id: UUID
    account_id: UUID
    project_id: UUID | None  # None: the whole account
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class View(NamedTuple):
    """The part of the store that a request may touch: one account, or one project of it."""

    account_id: UUID
    project_id: UUID | None  # None: the whole account


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request speaks for, as its API token says."""

    token_id: UUID
    account_id: UUID
    email: str
    project_id: UUID  # the token's project, or the account's default one
    confined: bool  # the token belongs to one project and reaches nothing outside it
    scopes: frozenset[Scope]
    algorithms: Mapping[str, Algorithm]  # by dialect, where the account differs from the deployment

    @property
    def project_view(self) -> View:
        """Its project and nothing else."""
        return View(self.account_id, self.project_id)

    @property
    def account_view(self) -> View:
        """The whole account, unless the token is confined to one project."""
        return View(self.account_id, self.project_id if self.confined else None)


class Caller(NamedTuple):
    """Who asks for a change and by which way, for the audit trail."""

    principal: Principal
    dialect: str
    request_id: str
    address: str | None


class KeyRequest(NamedTuple):
    """What a new key should be.

    Without a name, a label gives "<label> N" with an N never used before in its project.
    A retry key used less than 24 hours ago replaces the key that it made then.
    """

    name: str | None = None
    label: str | None = None
    retry_key: str | None = None


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What to change of a key; members left None stay as they are."""

    name: str | None = None
    disabled: bool | None = None


class SigningKey(NamedTuple):
    """The public half of a signing key and what is known of it."""

    id: UUID
    account_id: UUID
    project_id: UUID
    dialect: str  # the door it was created through
    name: str | None
    algorithm: Algorithm
    spki: bytes  # SubjectPublicKeyInfo, DER (RFC 5280 section 4.1)
    created_at: datetime  # UTC, microseconds
    last_seen_at: datetime | None
    disabled: bool | None  # None until somebody set it


class ListedKey(NamedTuple):
    """As much of a signing key as a list of all of them tells."""

    id: UUID
    created_at: datetime  # UTC, microseconds


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one account may have in one dialect; None means as the deployment says."""

    dialect: str
    live_keys: int
    quota: int | None
    algorithm: Algorithm | None


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """One line of a key's history."""

    at: datetime
    action: str
    detail: str | None
    token_id: UUID | None
    dialect: str
    request_id: str
    address: str | None


class KeyFilter(NamedTuple):
    """Which keys a search wants; members left None do not restrict it."""

    id: UUID | None = None
    name_part: str | None = None  # case-insensitive
    created_from: datetime | None = None  # inclusive
    created_before: datetime | None = None  # exclusive


class KeyOrder(NamedTuple):
    """How a search sorts: 1 ascending, -1 descending, 0 not by this.

    A name can tie, so it comes first; after it, creation or id decides alone.
    """

    name: int = 0
    created: int = -1
    id: int = 0


NEWEST_FIRST = KeyOrder()
EVERYTHING = KeyFilter()


class KeySearch(NamedTuple):
    """Which part of a project's keys a listing shows."""

    limit: int
    after: UUID | None = None  # the key that the part before ended with
    order: KeyOrder = NEWEST_FIRST
    wanted: KeyFilter = EVERYTHING
    with_total: bool = False  # whether to count all keys wanted

    @property
    def is_plain(self) -> bool:
        """Whether this is just the newest keys, which is what nearly everybody asks for."""
        return self.after is None and (self.order, self.wanted) == (NEWEST_FIRST, EVERYTHING)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing."""

    keys: list[SigningKey]
    next: UUID | None  # the last key shown, when more follow
    total: int | None  # all keys that the filter lets through, when asked for
