"""What real HTTP clients send that no description of an API mentions, through every door."""

from __future__ import annotations

import pytest

from gateway.errors import Code
from tests.conformance.case import SLASHES, VALUES, Ask, Visitor

BOM = b"\xef\xbb\xbf"  # .NET's StreamWriter puts it before UTF-8
# curl and PHP call every body a form; .NET names the charset, others in quotes.
KINDS = [
    "application/x-www-form-urlencoded",
    "application/json; charset=utf-8",
    'application/json;charset="UTF-8"',
    "text/json",
    "*/*",
]


def status(visitor: Visitor, ask: Ask, body: str | bytes, **headers: str) -> int:
    """Return the status that a route answers a body with, for a key of the visitor's own."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    answer = visitor.send(ask, visitor.create(), headers=visitor.bearer | named, body=body)
    return answer.status_code


def test_values_beside_objects(visitor: Visitor, ask: Ask) -> None:
    """`[]` is `{}` where PHP sends it so, and a route that wants nothing takes everything."""
    for value in VALUES:
        taken = status(visitor, ask, value) == status(visitor, ask, "{}")
        refused = status(visitor, ask, value) == visitor.case.look(Code.BODY_INVALID).status
        if ask.method in {"POST", "PATCH"} and not ask.open:
            assert (value, taken, refused) == (value, value in ask.values, value not in ask.values)
        for key in visitor.live():
            visitor.delete(key)


@pytest.mark.parametrize("kind", KINDS)
def test_content_types(visitor: Visitor, ask: Ask, kind: str) -> None:
    body = visitor.case.fill(ask.body or "{}")
    assert status(visitor, ask, body, Content_Type=kind) == status(visitor, ask, body)


def test_a_byte_order_mark(visitor: Visitor, ask: Ask) -> None:
    body = visitor.case.fill(ask.body or "{}").encode()
    assert status(visitor, ask, BOM + body) == status(visitor, ask, body)
    assert status(visitor, ask, BOM) == status(visitor, ask, b"")


@pytest.mark.parametrize("name", SLASHES)
def test_a_slash_too_many(visitor: Visitor, ask: Ask, name: str) -> None:
    """It changes nothing where the provider's server takes it, and is no route elsewhere."""
    case, nothing = visitor.case, {404, 405}

    def send(template: str) -> int:
        ids = visitor.create(), visitor.account_id
        url = visitor.tenant.url + template.format(
            prefix=case.prefix, path=case.fill(ask.path, *ids)
        )
        body = None if ask.body is None else case.fill(ask.body, *ids)
        answer = visitor.http.request(ask.method, url, headers=visitor.bearer, content=body)
        return answer.status_code

    plain = send("{prefix}{path}")
    assert plain not in nothing
    assert send(SLASHES[name]) in ({plain} if name in case.slashes else nothing)
