"""Idempotency-Key: a create that is repeated leaves exactly one live key."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import pytest

from gateway.errors import Code
from tests.conformance.case import Visitor, shown
from tests.conformance.cases import CASES
from tests.conformance.conftest import visit
from tests.rawhttp import ask, request


def set_quota(visitor: Visitor, quota: int) -> None:
    accounts = visitor.tenant.house.accounts
    allowed = accounts.set_allowance(visitor.account_id, visitor.case.dialect, quota, None)
    visitor.tenant.house.run(allowed)


def is_full(visitor: Visitor) -> bool:
    """Whether a plain create is refused for the quota."""
    return visitor.send("create_key").status_code == visitor.case.look(Code.QUOTA_EXCEEDED).status


def test_repeat_replaces(visitor: Visitor) -> None:
    other = visitor.create()
    first, second, third = (visitor.create(Idempotency_Key="once") for _ in range(3))
    assert len({first, second, third}) == 3
    assert visitor.live() == [third, other]
    assert visitor.delete(first) == visitor.delete(second) == visitor.case.deleted_again


def test_repeat_at_the_limit(visitor: Visitor) -> None:
    """It keeps its slot, takes no second one, and makes nothing of a slot that is gone."""
    set_quota(visitor, 2)
    other, first = visitor.create(), visitor.create(Idempotency_Key="once")
    assert is_full(visitor)
    second = visitor.create(Idempotency_Key="once")
    assert visitor.live() == [second, other] != [first, other]
    assert is_full(visitor)
    refused = visitor.send("create_key", headers=visitor.bearer | {"Idempotency-Key": "another"})
    assert refused.status_code == visitor.case.look(Code.QUOTA_EXCEEDED).status
    assert visitor.live() == [second, other]
    assert visitor.delete(second) in {200, 204}
    assert visitor.live() == [other]
    visitor.create(Idempotency_Key="once")
    assert is_full(visitor)


def test_repeat_that_is_refused_changes_nothing(visitor: Visitor) -> None:
    """An operator lowered the quota meanwhile: the key of the first create stays."""
    keys = [visitor.create(), visitor.create(Idempotency_Key="once")]
    set_quota(visitor, 1)
    refused = visitor.send("create_key", headers=visitor.bearer | {"Idempotency-Key": "once"})
    assert refused.status_code == visitor.case.look(Code.QUOTA_EXCEEDED).status
    assert visitor.live() == keys[::-1]


def test_repeats_at_once(visitor: Visitor) -> None:
    set_quota(visitor, 1)
    with ThreadPoolExecutor(8) as threads:
        made = list(
            threads.map(lambda _: visitor.create(Idempotency_Key="once"), range(8), timeout=60)
        )
    [live] = visitor.live()
    assert live in made
    assert len(set(made)) == 8
    assert is_full(visitor)


def test_repeat_after_a_delete(visitor: Visitor) -> None:
    first = visitor.create(Idempotency_Key="once")
    visitor.delete(first)
    second = visitor.create(Idempotency_Key="once")
    assert visitor.live() == [second]


@pytest.mark.parametrize(("hours", "left"), [(23, 1), (25, 2)])
def test_repeat_later(visitor: Visitor, hours: int, left: int) -> None:
    """Within 24 hours it is a repeat; later it is another create."""
    first = visitor.create(Idempotency_Key="once")
    aged = "UPDATE signing_keys SET created_at = created_at - $2 * interval '1 hour' WHERE id = $1"
    visitor.tenant.house.run(visitor.tenant.house.database.fetch(aged, first, float(hours)))
    visitor.create(Idempotency_Key="once")
    assert len(visitor.live()) == left
    third = visitor.create(Idempotency_Key="once")  # of the second one, whatever came before
    assert visitor.live() == ([third, first] if left == 2 else [third])


def test_same_header_elsewhere(visitor: Visitor) -> None:
    """Another account, project or door means another create."""
    project = visitor.tenant.make_project("inner")
    places = [
        visitor,
        visitor.of(visitor.tenant.make_token(project=project)),
        visit(visitor.case, visitor.http, visitor.tenant.make_account()),
        *(replace(visitor, case=case) for case in CASES.values() if case is not visitor.case),
    ]
    made = [place.create(Idempotency_Key="once") for place in places]
    again = [place.create(Idempotency_Key="once") for place in places]
    for place, first, second in zip(places, made, again, strict=True):
        live = place.live()
        assert second in live
        assert first not in live


def test_another_token_of_the_same_project_is_the_same_client(visitor: Visitor) -> None:
    """The service that retries may have been given a new token meanwhile."""
    visitor.create(Idempotency_Key="once")
    second = visitor.of(visitor.tenant.make_token()).create(Idempotency_Key="once")
    assert visitor.live() == [second]


@pytest.mark.parametrize("value", ["x", "x" * 255, "ünïcode", "a b", "'; --"])
def test_good_value(visitor: Visitor, value: str) -> None:
    path = visitor.case.fill(visitor.case.ask("create_key").path, account=visitor.account_id)
    headers = [f"Authorization: Bearer {visitor.token}", f"Idempotency-Key: {value}"]
    for _ in range(2):
        answer = ask(visitor.tenant.url, request("POST", visitor.case.prefix + path, headers))
        assert answer.status == 200
    assert [UUID(visitor.case.created_id(json.loads(answer.body)))] == visitor.live()


@pytest.mark.parametrize("value", ["", "x" * 256, "x" * 5000], ids=["", "256", "5k"])
def test_bad_value(visitor: Visitor, value: str) -> None:
    answer = visitor.send("create_key", headers=visitor.bearer | {"Idempotency-Key": value})
    message = "Idempotency-Key should have 1 to 255 characters"
    assert shown(answer) == visitor.case.look(Code.HEADER_INVALID).shown(message)
    assert visitor.live() == []


def test_without_the_header_nothing_changes(visitor: Visitor) -> None:
    keys = [visitor.create(), visitor.create(), visitor.create(Idempotency_Key="once")]
    keys += [visitor.create(), visitor.create()]
    assert visitor.live() == keys[::-1]


def test_other_operations_do_not_mind_the_header(visitor: Visitor) -> None:
    key, headers = visitor.create(), visitor.bearer | {"Idempotency-Key": "once"}
    for _ in range(2):
        assert visitor.send("list_keys", headers=headers).status_code == 200
    assert visitor.live() == [key]
