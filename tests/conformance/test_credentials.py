"""Who is asking: every claim of every dialect on every route, and what each token may do."""

from __future__ import annotations

import time
from uuid import UUID

import pytest

from gateway.errors import Code
from gateway.model import Scope
from tests.conformance.case import ABSENT, Ask, Case, Claim, Secrets, Visitor, shown


def test_claim(visitor: Visitor, secrets: Secrets, claim: Claim) -> None:
    """A claim meets the same answer on every route, and no answer repeats what was said."""
    case = visitor.case
    for ask in (each for each in case.asks if not each.open):
        headers = claim.headers(secrets)
        answer = visitor.send(ask, account=secrets.account_id, headers=headers)
        if claim.code is None:
            assert answer.status_code not in {400, 401, 403}, answer.text
        else:
            assert shown(answer) == case.look(claim.code, ask.operation).shown(claim.message)
        if claim.code is not None:
            said = [text for name, text in vars(secrets).items() if name not in {"account_id"}]
            assert not any(str(text) in answer.text for text in said)


@pytest.mark.parametrize("scope", Scope)
def test_scope(visitor: Visitor, ask: Ask, scope: Scope) -> None:
    """A token with one scope does what that scope is for, and nothing else."""
    if ask.open:
        return
    answer = visitor.of(visitor.tenant.make_token([scope])).send(ask)
    refused = visitor.case.look(Code.FORBIDDEN).shown()
    allowed = not ask.scopes or scope in ask.scopes
    assert (answer.status_code, answer.text) != refused if allowed else shown(answer) == refused


def test_token_without_scopes(visitor: Visitor, ask: Ask) -> None:
    if ask.open:
        return
    answer = visitor.of(visitor.tenant.make_token([])).send(ask)
    if ask.scopes:
        assert shown(answer) == visitor.case.look(Code.FORBIDDEN).shown()
    else:
        assert answer.status_code == ask.status


@pytest.mark.parametrize("account", [ABSENT, "another"], ids=str)
def test_token_of_another_account(visitor: Visitor, ask: Ask, account: UUID | str) -> None:
    if "{account_id}" not in ask.path:
        return
    if account == "another":
        account = UUID(visitor.tenant.make_account().account_id)
    answer = visitor.send(ask, account=UUID(str(account)))
    assert shown(answer) == visitor.case.look(Code.FORBIDDEN).shown()


@pytest.mark.parametrize("spelling", ["dashes", "upper", "short", "quoted", "%00"])
def test_account_id_in_another_spelling(visitor: Visitor, ask: Ask, spelling: str) -> None:
    case, own = visitor.case, visitor.case.spell(visitor.account_id)
    if "{account_id}" not in ask.path:
        return
    text = {
        "dashes": str(visitor.account_id),
        "upper": own.upper().replace("0", "A"),
        "short": own[:-1],
        "quoted": f"'{own}'",
        "%00": f"{own}%00",
    }[spelling]
    path = case.prefix + case.fill(ask.path.replace("{account_id}", text))
    answer = visitor.http.request(ask.method, visitor.tenant.url + path, headers=visitor.bearer)
    assert shown(answer) == case.look(Code.ROUTE_UNKNOWN).shown(path=path)


def test_token_confined_to_a_project(visitor: Visitor) -> None:
    """It sees and touches the keys of its project, through every door, and no others."""
    project = visitor.tenant.make_project("inner")
    inner, outside = visitor.of(visitor.tenant.make_token(project=project)), visitor.create()
    inside = inner.create()
    assert inner.live() == [inside]
    unknown = visitor.case.look(Code.KEY_UNKNOWN).shown()
    for ask in visitor.case.asks:
        if "{key_id}" in ask.path:
            assert shown(inner.send(ask, outside)) == unknown
    assert outside in visitor.live()
    assert inner.delete(inside) in {200, 204}
    assert inner.live() == []


@pytest.mark.parametrize("end", ["revoked", "suspended"])
def test_token_that_worked_a_moment_ago(visitor: Visitor, end: str) -> None:
    house, accounts = visitor.tenant.house, visitor.tenant.house.accounts
    assert visitor.live() == []
    token = house.run(accounts.find_token(visitor.token))
    if end == "revoked":
        house.run(accounts.revoke_token(visitor.account_id, token.id))
    else:
        house.run(accounts.suspend(visitor.account_id, suspended=True))
    code = Code.TOKEN_INVALID if end == "revoked" else Code.ACCOUNT_SUSPENDED
    until = time.monotonic() + 2
    while (answer := visitor.send("list_keys")).status_code == 200 and time.monotonic() < until:
        time.sleep(0.01)
    assert shown(answer) == visitor.case.look(code).shown()


def test_unknown_ids_are_no_sooner_told_than_who_asks(case: Case, visitor: Visitor) -> None:
    """Without a valid token, routes with good and bad key ids look the same."""
    for ask in case.asks:
        if "{key_id}" in ask.path:
            path = case.prefix + case.fill(ask.path.replace("{key_id}", "x"), ABSENT, ABSENT)
            bad = visitor.http.request(ask.method, visitor.tenant.url + path)
            assert shown(bad) == shown(visitor.send(ask, headers={}, account=ABSENT))
