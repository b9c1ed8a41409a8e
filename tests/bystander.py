"""A tenant to whom bad things are sent, and whose keys must not change by them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx2

from tests.conformance.case import Ask, Case, Visitor
from tests.conformance.cases import CASES
from tests.rawhttp import Answer, Wire, request
from tests.service import Tenant

ROUTES = [(case, ask) for case in CASES.values() for ask in case.asks]


@dataclass(frozen=True)
class Bystander:
    """One account with a key, seen through every door."""

    visitor: Visitor
    key: UUID

    def through(self, dialect: str) -> Visitor:
        """Return the account's client of a dialect."""
        return replace(self.visitor, case=CASES[dialect])

    def path(self, case: Case, ask: Ask | str) -> str:
        """Return the path of a route, for its own account and key."""
        ask = case.ask(ask) if isinstance(ask, str) else ask
        return case.prefix + case.fill(ask.path, self.key, self.visitor.account_id)

    def request(
        self, method: str, path: str, *headers: str, body: bytes = b"", version: str = "1.1"
    ) -> bytes:
        """Return an authenticated request as it is on the wire, without a length."""
        bearer = f"Authorization: Bearer {self.visitor.token}"
        return request(method, path, [bearer, *headers], body, version=version)

    def send(
        self, case: Case, ask: Ask | str, body: bytes | None = None, path: str | None = None
    ) -> Answer:
        """Ask for an operation on a connection of its own."""
        ask = case.ask(ask) if isinstance(ask, str) else ask
        length = [] if body is None else [f"Content-Length: {len(body)}"]
        target = self.path(case, ask) if path is None else path
        with Wire(self.visitor.tenant.url) as wire:
            wire.say(self.request(ask.method, target, *length, body=body or b""))
            return wire.answer(ask.method)

    def keys(self) -> list[bytes]:
        """Return what every door lists."""
        return [self.through(name).send("list_keys").content for name in CASES]


def meet(tenant: Tenant, http: httpx2.Client) -> Bystander:
    """Return a new account with one key."""
    tenant = tenant.make_account("bystander")
    visitor = Visitor(http, CASES["livepeer"], tenant, tenant.token)
    return Bystander(visitor, visitor.create())


@contextmanager
def unharmed(bystander: Bystander) -> Iterator[None]:
    """Assert that what happens inside changes no key and leaves the service well."""
    before = bystander.keys()
    yield
    assert bystander.keys() == before
    answer = bystander.visitor.http.get(bystander.visitor.tenant.url + "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def refusal(answer: Answer, case: Case) -> tuple[int, list[str]]:
    """Return status and messages of a refusal, a 4xx or 501 in the dialect's envelope."""
    assert 400 <= answer.status < 500 or answer.status == 501, answer
    assert answer.header("content-type") == "application/json"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("x-request-id")
    assert answer.header("date")
    return answer.status, case.messages(answer.body)


def named(rows: list[tuple[Case, Ask]]) -> dict[str, Any]:
    """Return the arguments of a parametrization over routes."""
    ids = [f"{case.dialect}-{ask.operation}" for case, ask in rows]
    return {"argnames": ("case", "ask"), "argvalues": rows, "ids": ids}
