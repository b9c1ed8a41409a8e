"""The doors as clients of any kind see them: what to ask, one by one or many at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2

from tests.conformance.case import ABSENT, Ask, Case
from tests.conformance.cases import CASES
from tests.service import Tenant

Question = dict[str, Any]  # arguments of `httpx2.Client.request` and of `AsyncClient.request`


@dataclass(frozen=True)
class Door:
    """One dialect's door to the keys of one tenant."""

    case: Case
    tenant: Tenant
    token: str

    def ask(
        self,
        what: Ask | str,
        key: UUID = ABSENT,
        *,
        body: object = None,
        query: str = "",
        retry_key: str | None = None,
    ) -> Question:
        """Return an operation on a key; `body` is JSON."""
        ask = self.case.ask(what) if isinstance(what, str) else what
        path = self.case.fill(ask.path, key, UUID(self.tenant.account_id))
        question: Question = {
            "method": ask.method,
            "url": self.tenant.url + self.case.prefix + path + query,
            "headers": {"Authorization": f"Bearer {self.token}"},
        }
        if retry_key is not None:
            question["headers"]["Idempotency-Key"] = retry_key
        if body is not None:
            question["json"] = body
        elif ask.body is not None:
            question["content"] = self.case.fill(ask.body, key)
        return question

    def listing(self) -> Question:
        """Return a question for all keys, as many as one page can hold."""
        return self.ask("list_keys", query="?limit=1000" if self.case is LIVEPEER else "")

    def id_in(self, created: httpx2.Response) -> UUID:
        """Return the id of the key just created."""
        return UUID(self.case.created_id(created.raise_for_status().json()))

    def ids_in(self, listed: httpx2.Response) -> list[UUID]:
        """Return the ids of the keys listed."""
        return [UUID(text) for text in self.case.listed_ids(listed.raise_for_status().json())]


LIVEPEER = CASES["livepeer"]


def cloudflare(tenant: Tenant) -> Door:
    """Return Cloudflare's door to a tenant's keys."""
    return Door(CASES["cloudflare"], tenant, tenant.token)


def livepeer(tenant: Tenant) -> Door:
    """Return Livepeer's door to a tenant's keys."""
    return Door(LIVEPEER, tenant, tenant.token)


def many_at_once() -> httpx2.AsyncClient:
    """Return a client for hundreds of requests at once."""
    limits = httpx2.Limits(max_connections=200, max_keepalive_connections=200)
    return httpx2.AsyncClient(trust_env=False, timeout=60, limits=limits)
