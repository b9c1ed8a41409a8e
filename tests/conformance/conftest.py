"""Fixtures of the conformance suite: every test that takes `case` runs for every dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest

from gateway.accounts import new_token
from gateway.model import Scope
from tests.conformance.case import Case, Secrets, Visitor
from tests.conformance.cases import CASES
from tests.service import Tenant


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what takes `case` for every dialect, `ask` and `claim` for each of those it has."""
    parts: dict[str, Callable[[Case], dict[str, Any]]] = {
        "ask": lambda case: {f"{ask.method}-{ask.path}": ask for ask in case.asks},
        "claim": lambda case: {claim.name: claim for claim in case.claims},
    }
    for name, of in parts.items():
        if name in metafunc.fixturenames:
            rows = {
                f"{case.dialect}-{label}": (case, part)
                for case in CASES.values()
                for label, part in of(case).items()
            }
            metafunc.parametrize(("case", name), rows.values(), ids=rows)
            return
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES.values(), ids=CASES)


@pytest.fixture(scope="session")
def http() -> Iterator[httpx2.Client]:
    """A plain HTTP client."""
    with httpx2.Client(trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def visitor(case: Case, http: httpx2.Client, service: Tenant) -> Visitor:
    """A client of one dialect with an account of its own, which has no keys."""
    return visit(case, http, service.make_account())


@pytest.fixture
def livepeer(http: httpx2.Client, service: Tenant) -> Visitor:
    """A client of Livepeer Studio with an account of its own."""
    return visit(CASES["livepeer"], http, service.make_account())


@pytest.fixture
def cloudflare(http: httpx2.Client, service: Tenant) -> Visitor:
    """A client of Cloudflare Stream with an account of its own."""
    return visit(CASES["cloudflare"], http, service.make_account())


def visit(case: Case, http: httpx2.Client, tenant: Tenant) -> Visitor:
    """Return a client of a dialect for a tenant."""
    return Visitor(http, case, tenant, tenant.token)


@pytest.fixture(scope="session")
def secrets(service: Tenant) -> Secrets:
    """Tokens good and bad."""
    tenant, suspended = service.make_account("claimant"), service.make_account("suspended")
    accounts, house = service.house.accounts, service.house
    account_id, revoked = UUID(tenant.account_id), tenant.make_token()
    token = house.run(accounts.find_token(revoked))
    house.run(accounts.revoke_token(account_id, token.id))
    house.run(accounts.suspend(UUID(suspended.account_id), suspended=True))
    past = datetime.now(UTC) - timedelta(seconds=1)
    _, expired = house.run(
        accounts.create_token(account_id, name="expired", scopes=frozenset(Scope), expires_at=past)
    )
    return Secrets(
        account_id=account_id,
        email=tenant.email,
        valid=tenant.token,
        unknown=new_token(),
        revoked=revoked,
        expired=expired,
        suspended=suspended.token,
    )
