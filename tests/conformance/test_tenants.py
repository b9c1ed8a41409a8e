"""Tenants are invisible to each other: what is another's looks like what never was."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import httpx2
import pytest

from tests.conformance.case import Ask, Visitor, compact
from tests.conformance.conftest import visit

Look = tuple[int, list[tuple[str, str]], bytes]


@pytest.fixture
def stranger(visitor: Visitor) -> Iterator[Visitor]:
    """Another tenant, whose key is as it was when the test has ended."""
    other = visit(visitor.case, visitor.http, visitor.tenant.make_account("stranger"))
    key = other.create()
    before = other.send("list_keys").content
    yield other
    assert other.live() == [key]
    assert other.send("list_keys").content == before


def look(answer: httpx2.Response, *echoed: UUID) -> Look:
    """Return all that an answer says, apart from request id, date and the ids asked for.

    Whether the connection is closed depends on whether the body has come before the answer.
    """
    varying = {"date", "x-request-id", "connection"}
    headers = [pair for pair in answer.headers.items() if pair[0] not in varying]
    body = answer.content
    for each in echoed:
        body = re.sub(f"{each}|{each.hex}".encode(), b"ID", body)
    return answer.status_code, headers, body


def test_key_of_another_account(visitor: Visitor, stranger: Visitor, ask: Ask) -> None:
    """Live, deleted or never there: all the same on every route."""
    if "{key_id}" not in ask.path + (ask.body or ""):
        return
    [live], deleted, absent = stranger.live(), stranger.create(), uuid4()
    stranger.delete(deleted)
    looks = [look(visitor.send(ask, key), key) for key in (live, deleted, absent)]
    assert looks[0] == looks[1] == looks[2]
    assert looks[0][0] == 404


@pytest.mark.parametrize("scopes", [None, ["keys:read"], []], ids=["all", "read", "none"])
def test_path_of_another_account(
    visitor: Visitor, stranger: Visitor, ask: Ask, scopes: list[str] | None
) -> None:
    """An account that exists and one that does not, with keys that do and do not."""
    if "{account_id}" not in ask.path:
        return
    sender, absent = visitor.of(visitor.tenant.make_token(scopes)), uuid4()
    [live] = stranger.live()
    places = [(stranger.account_id, live), (stranger.account_id, absent), (absent, live)]
    looks = [look(sender.send(ask, key, account=at), at, key) for at, key in places]
    assert looks[0] == looks[1] == looks[2]
    assert looks[0][0] == 403


def test_without_credentials(visitor: Visitor, stranger: Visitor, ask: Ask) -> None:
    if ask.open:
        return
    [live], absent, headers = stranger.live(), uuid4(), {"Authorization": "Bearer kf_unknown"}
    places = [(stranger.account_id, live), (visitor.account_id, absent), (absent, absent)]
    looks = [
        look(visitor.send(ask, key, account=at, headers=headers), at, key) for at, key in places
    ]
    assert looks[0] == looks[1] == looks[2]
    assert looks[0][0] == 401


def basic(visitor: Visitor, account: UUID) -> dict[str, str]:
    """Return the visitor's own token beside an account's id."""
    pair = f"{account}:{visitor.token}".encode()
    return {"Authorization": f"Basic {b64encode(pair).decode()}"}


# What a Livepeer client may name besides the key of the path.
NAMED: dict[str, Callable[[Visitor, UUID, str], httpx2.Response]] = {
    "cursor": lambda me, key, _: me.send("list_keys", query=f"?cursor={key}"),
    "cursor-and-order": lambda me, key, _: me.send(
        "list_keys", query=f"?cursor={key}&order=name-true&count=1"
    ),
    "filter-id": lambda me, key, _: me.send(
        "list_keys", query=f'?count=1&filters=[{{"id":"id","value":"{key}"}}]'
    ),
    "filter-project": lambda me, _, project: me.send(
        "list_keys", query=f'?count=1&filters=[{{"id":"projectId","value":"{project}"}}]'
    ),
    "project": lambda me, _, project: me.send("create_key", body=compact({"projectId": project})),
}


@pytest.mark.parametrize("named", NAMED)
def test_named_in_livepeer(livepeer: Visitor, named: str) -> None:
    other = visit(livepeer.case, livepeer.http, livepeer.tenant.make_account())
    there = other.send("create_key").json()
    looks = [
        look(NAMED[named](livepeer, key, str(project)), key, project)
        for key, project in (
            (UUID(there["id"]), UUID(there["projectId"])),
            (uuid4(), uuid4()),
        )
    ]
    assert looks[0] == looks[1]
    assert livepeer.live() == []


def test_account_claimed_beside_a_token(
    livepeer: Visitor, cloudflare: Visitor, service: object
) -> None:
    """Basic with another's id, X-Auth with another's address: as good as nobody's."""
    assert service
    other = livepeer.tenant.make_account("somebody")
    looks = [
        look(livepeer.send("list_keys", headers=basic(livepeer, account)))
        for account in (UUID(other.account_id), uuid4())
    ]
    assert looks[0] == looks[1]
    assert looks[0][0] == 401
    looks = [
        look(
            cloudflare.send(
                "list_keys", headers={"X-Auth-Email": email, "X-Auth-Key": cloudflare.token}
            )
        )
        for email in (other.email, "nobody@example.invalid")
    ]
    assert looks[0] == looks[1]
    assert looks[0][0] == 401


def test_lists_show_no_others(visitor: Visitor, stranger: Visitor) -> None:
    key = visitor.create()
    assert visitor.live() == [key]
    assert key not in stranger.live()
