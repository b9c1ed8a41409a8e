"""What a dialect supplies to be put through the suite, and a visitor that speaks it.

A case file is a module of this package with a `CASE`. It writes down the wire from the provider's
side, byte by byte, and takes nothing from the adapter that it judges.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import httpx2

from gateway.errors import Code
from gateway.model import Scope
from tests.service import Tenant

# Values that clients send where an object is expected: PHP's empty array, what .NET and Go make of
# nothing, and others of the kind.
VALUES = ("[]", " [ ] ", "null", "true", "5", '"x"', "[1]", "[[]]", "[{}]", '"{}"', '""', "0")
# Where a client may put a slash too many: it joins a base URL and a path that both have one.
SLASHES = {
    "at-the-end": "{prefix}{path}/",
    "two-at-the-end": "{prefix}{path}//",
    "behind-the-prefix": "{prefix}/{path}",
    "both": "{prefix}/{path}/",
    "before-the-prefix": "/{prefix}{path}",
}
ABSENT = UUID(int=2**128 - 1)  # no account, project or key has this id
_PLACE = re.compile(r"\{(\w+)(?::text)?\}")


@dataclass(frozen=True)
class Look:
    """How a refusal looks: its status and body, MESSAGE and PATH standing for what varies."""

    status: int
    body: str

    def shown(self, message: str = "", path: str = "") -> tuple[int, str]:
        """Return status and body for one message of the core and one path asked for."""
        body = self.body.replace('"MESSAGE"', json.dumps(message, ensure_ascii=False))
        return self.status, body.replace("PATH", path)


@dataclass(frozen=True)
class Ask:
    """One route: how it is asked for, and the status when that is granted.

    `path` is the adapter's own template. `body` may hold {account_id} and {key_id} too.
    `values` are the JSON values beside objects that are taken like `{}`.
    """

    operation: str
    method: str
    path: str
    scopes: frozenset[Scope] = frozenset()  # any one of them is enough
    body: str | None = None
    status: int = 200
    open: bool = False  # asks for no credentials
    values: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Secrets:
    """What a tenant may say to prove itself, and what it should not get far with."""

    account_id: UUID
    email: str
    valid: str
    unknown: str
    revoked: str
    expired: str
    suspended: str


@dataclass(frozen=True)
class Claim:
    """One way to say who is asking; `code` None means that it is believed."""

    name: str
    headers: Callable[[Secrets], dict[str, str]]
    code: Code | None = None
    message: str = ""  # of the core, where the dialect shows it


@dataclass(frozen=True)
class Case:
    """One dialect as its clients know it."""

    dialect: str
    prefix: str
    asks: Sequence[Ask]
    looks: Mapping[Code, Look]
    claims: Sequence[Claim]
    spell: Callable[[UUID], str]
    created_id: Callable[[Any], str]  # from the answer to a create
    listed_ids: Callable[[Any], list[str]]  # from a list
    messages: Callable[[bytes], list[str]]  # of an error body, whose shape it asserts
    deleted_again: int  # status
    nowhere: str  # a path below the prefix that is no route
    slashes: frozenset[str] = frozenset()  # of `SLASHES`: those that change nothing
    special_looks: Mapping[tuple[Code, str], Look] = field(default_factory=dict)  # by operation

    def ask(self, operation: str) -> Ask:
        """Return the first route of an operation."""
        return next(ask for ask in self.asks if ask.operation == operation)

    def look(self, code: Code, operation: str | None = None) -> Look:
        """Return how a code looks, on one operation."""
        return self.special_looks.get((code, operation or ""), self.looks[code])

    def fill(self, text: str, key: UUID = ABSENT, account: UUID = ABSENT) -> str:
        """Put ids into a template, as the dialect spells them."""
        ids = {"account_id": self.spell(account), "key_id": self.spell(key)}
        return _PLACE.sub(lambda name: ids.get(name[1], "video"), text)


@dataclass(frozen=True)
class Visitor:
    """A client of one dialect that speaks for one tenant."""

    http: httpx2.Client
    case: Case
    tenant: Tenant
    token: str

    def of(self, token: str) -> Visitor:
        """Return the same visitor with another token."""
        return replace(self, token=token)

    @property
    def account_id(self) -> UUID:
        """Its own account."""
        return UUID(self.tenant.account_id)

    @property
    def bearer(self) -> dict[str, str]:
        """The header that says who asks."""
        return {"Authorization": f"Bearer {self.token}"}

    def send(
        self,
        ask: Ask | str,
        key: UUID = ABSENT,
        *,
        account: UUID | None = None,
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        query: str = "",
    ) -> httpx2.Response:
        """Ask for an operation, in its own account and with its token unless told otherwise."""
        ask = self.case.ask(ask) if isinstance(ask, str) else ask
        account = account or self.account_id
        if body is None and ask.body is not None:
            body = self.case.fill(ask.body, key, account)
        path = self.case.prefix + self.case.fill(ask.path, key, account)
        headers = self.bearer if headers is None else headers
        url = self.tenant.url + path + query
        return self.http.request(ask.method, url, content=body, headers=headers)

    def create(self, **more: str) -> UUID:
        """Create a key and return its id; `more` are headers."""
        headers = {name.replace("_", "-"): text for name, text in more.items()}
        answer = self.send("create_key", headers=headers | self.bearer).raise_for_status()
        return UUID(self.case.created_id(answer.json()))

    def live(self) -> list[UUID]:
        """Return the ids of the keys listed."""
        answer = self.send("list_keys").raise_for_status()
        return [UUID(key_id) for key_id in self.case.listed_ids(answer.json())]

    def delete(self, key: UUID) -> int:
        """Delete a key and return the status."""
        return self.send("delete_key", key).status_code


def shown(answer: httpx2.Response) -> tuple[int, str]:
    """Return status and body, to be compared with a look."""
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.text


def compact(value: object) -> str:
    """Return JSON as the doors write it: members in order, no spaces, UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
