"""The suite is complete: every dialect, every route and every code of a refusal is in it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from adapters import checked, find_dialects
from adapters.dialect import Dialect, Operation
from gateway.errors import Code
from gateway.web.neutral import STATUSES
from tests.conformance.case import Case
from tests.conformance.cases import find_cases

DIALECTS = {dialect.name: dialect for dialect in find_dialects()}


def test_every_dialect_has_a_case_file_and_every_case_file_a_dialect() -> None:
    assert find_cases().keys() == DIALECTS.keys()


def test_a_case_covers_every_route(case: Case) -> None:
    routes = {(each.name, each.method, each.path) for each in DIALECTS[case.dialect].operations}
    assert routes == {(ask.operation, ask.method, ask.path) for ask in case.asks}
    assert case.prefix == DIALECTS[case.dialect].prefix


def test_a_case_knows_the_scopes_of_every_route(case: Case) -> None:
    asked = {(ask.method, ask.path): ask.scopes for ask in case.asks}
    for operation in DIALECTS[case.dialect].operations:
        scopes = operation.scopes if isinstance(operation, Operation) else frozenset()
        assert asked[operation.method, operation.path] == scopes


def test_a_case_knows_the_look_of_every_code(case: Case) -> None:
    assert case.looks.keys() == set(Code)


def test_the_neutral_door_knows_every_code() -> None:
    assert STATUSES.keys() == set(Code)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("cloudflare", "/elsewhere"),
        ("another", "/client/v4"),
        ("another", "/client"),
        ("another", "/client/v4/more"),
    ],
)
def test_two_dialects_never_answer_for_each_other(name: str, prefix: str) -> None:
    other = cast(Any, type("Other", (), {"name": name, "prefix": prefix})())
    with pytest.raises(ValueError, match=r"cloudflare|/client"):
        checked([cast(Dialect, other), DIALECTS["cloudflare"]])


def test_dialects_beside_each_other_are_welcome() -> None:
    other = cast(Any, type("Other", (), {"name": "another", "prefix": "/client/v40"})())
    assert checked([DIALECTS["cloudflare"], other]) == [DIALECTS["cloudflare"], other]
