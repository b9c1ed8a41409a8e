"""Bad ids in paths and bad queries: a clear 4xx in the envelope of the door, nothing changed."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from gateway.errors import Code
from tests.bystander import ROUTES, Bystander, named, refusal
from tests.conformance.case import Ask, Case
from tests.conformance.cases import CASES

WITH_KEY = [row for row in ROUTES if "{key_id}" in row[1].path]
WITH_ACCOUNT = [row for row in ROUTES if "{account_id}" in row[1].path]
CLOUDFLARE, LIVEPEER = CASES["cloudflare"], CASES["livepeer"]

BAD_IDS = [
    "'",
    '"',
    "%22",
    "%27%20OR%201=1--",
    "..",
    ".",
    "%2e%2e",
    "..%2f..%2f",
    "%2F",
    "a%2Fb",
    "%5C",
    "%00",
    "{id}%00",
    "{id}%0a",
    "{id}%20",
    "%20{id}",
    "{id}%2F",
    "{id};x",
    "{id}'",
    "{ID}",
    "{other}",
    "{{{id}}}",
    "urn:uuid:{id}",
    "%",
    "%zz",
    "%f",
    "%ff",
    "%C0%AF",
    "%ED%A0%80",
    "%D9%A3" * 32,
    "null",
    "undefined",
    "-1",
    "~",
    "*",
    "a" * 16_000,
    "%41" * 5000,
]
TWO_SEGMENTS = ["a/b", "../../..", "/", "{id}//", "{id}/..", "{id}//"]


def spelled(bystander: Bystander, case: Case, ask: Ask, text: str) -> str:
    """Return the path of a route with `text` for the key, whose id it may hold in some form."""
    own, forms = case.spell(bystander.key), {str(bystander.key), bystander.key.hex}
    [other] = forms - {own}
    upper = own.upper().replace("0", "A")
    text = text.replace("{id}", own).replace("{ID}", upper).replace("{other}", other)
    return bystander.path(case, ask).replace(own, text)


@pytest.mark.parametrize(**named(WITH_KEY))
@pytest.mark.parametrize("text", BAD_IDS, ids=lambda text: text[:20])
def test_bad_key_id(bystander: Bystander, case: Case, ask: Ask, text: str) -> None:
    answer = bystander.send(case, ask, path=spelled(bystander, case, ask, text))
    assert refusal(answer, case)
    assert (answer.status, answer.body.decode()) == case.look(Code.KEY_UNKNOWN).shown()


@pytest.mark.parametrize(**named(WITH_KEY))
@pytest.mark.parametrize("text", TWO_SEGMENTS)
def test_key_id_with_a_slash(bystander: Bystander, case: Case, ask: Ask, text: str) -> None:
    answer = bystander.send(case, ask, path=spelled(bystander, case, ask, text))
    assert refusal(answer, case)[0] == 404


@pytest.mark.parametrize(**named(WITH_ACCOUNT))
@pytest.mark.parametrize("text", BAD_IDS, ids=lambda text: text[:20])
def test_bad_account_id(bystander: Bystander, case: Case, ask: Ask, text: str) -> None:
    own = case.spell(bystander.visitor.account_id)
    text = text.replace("{id}", own).replace("{ID}", own.upper().replace("0", "A"))
    text = text.replace("{other}", str(bystander.visitor.account_id))
    path = bystander.path(case, ask).replace(own, text)
    status, [message] = refusal(bystander.send(case, ask, path=path), case)
    assert (status, message[:19], len(message) < 300) == (404, "Could not route to ", True)


@pytest.mark.parametrize("video", ["", "%00", "%20", "a%20b", "%2F", "a%7Fb", "%0d%0a", "x" * 257])
def test_bad_video_id(bystander: Bystander, video: str) -> None:
    path = bystander.path(CLOUDFLARE, "mint_token").replace("/video/", f"/{video}/")
    answer = bystander.send(CLOUDFLARE, "mint_token", b"{}", path)
    assert refusal(answer, CLOUDFLARE)[0] == 404


@pytest.mark.parametrize(**named(ROUTES))
@pytest.mark.parametrize("size", [17_000, 65_500, 65_536, 70_000, 1_000_000])
def test_endless_id(bystander: Bystander, case: Case, ask: Ask, size: int) -> None:
    """It is answered whole, although the server stops to read long before its end."""
    path = f"{bystander.path(case, ask).rpartition('/')[0]}/{'a' * size}"
    answer = bystander.send(case, ask, path=path)
    message = "a request has at most 16384 bytes of path and query"
    assert (answer.status, answer.body.decode()) == case.look(Code.URI_TOO_LONG).shown(message)
    assert refusal(answer, case)
    assert answer.header("connection") == "close"


CURSORS = [
    "x",
    "%00",
    "%27",
    "0",
    "-1",
    "null",
    "%C3%A4",
    "a" * 10_000,
    "{id}%00",
    "{id}x",
    "{new}",
]


@pytest.mark.parametrize("more", ["", "&order=name-true", "&filters=[]&count=1"])
@pytest.mark.parametrize("cursor", CURSORS, ids=lambda text: text[:20])
def test_bad_cursor(bystander: Bystander, cursor: str, more: str) -> None:
    text = cursor.replace("{id}", str(bystander.key)).replace("{new}", str(uuid4()))
    assert list_with(bystander, f"cursor={text}{more}")[0].startswith("cursor ")


def list_with(bystander: Bystander, query: str) -> list[str]:
    """Return the texts of the refusal that a list meets."""
    path = f"{bystander.path(LIVEPEER, 'list_keys')}?{query}"
    status, texts = refusal(bystander.send(LIVEPEER, "list_keys", path=path), LIVEPEER)
    assert status == 400
    return texts


TEXT_FIELDS = ["id", "name", "projectId", "userId"]
NO_TEXTS: list[Any] = [None, True, 1, 1.5, [], {}, ["x"], "a\0b"]
NO_MOMENTS: list[Any] = [None, False, "x", "1700000000000", [], [1], [{}]]
NO_MOMENTS += [10**18, -(10**18), 10**300, 1e300, -1e300]
FILTERS: list[Any] = [
    "x",
    "{}",
    "null",
    "1",
    '"name"',
    "[",
    "[]]",
    "[null]",
    "[1]",
    "[[]]",
    "[{}]",
    '[{"id":"name"}]',
    '[{"value":"x"}]',
    '[{"id":1,"value":"x"}]',
    '[{"id":null,"value":"x"}]',
    '[{"id":"name","value":"\\ud800"}]',
    '[{"id":"\\ud800","value":"x"}]',
    '[{"id":"name","value":"\\u0000"}]',
    "[" * 8000,
    "[" * 4000 + "]" * 4000,
    '[{"id":"createdAt","value":' + "[" * 4000 + "]" * 4000 + "}]",
    "\0",
    *([{"id": name, "value": value}] for name in TEXT_FIELDS for value in NO_TEXTS),
    *([{"id": "createdAt", "value": value}] for value in NO_MOMENTS),
    *(
        [{"id": "createdAt", "value": {relation: value}}]
        for relation in ("gt", "gte", "lt", "lte")
        for value in NO_MOMENTS
    ),
    [{"id": "createdAt", "value": {"eq": 1}}],
    [{"id": "createdAt", "value": {"": 1}}],
    [{"id": "createdAt", "value": {"gt": 1, "ne": 2}}],
    [{"id": "publicKey", "value": "x"}],
    [{"id": "disabled", "value": "true"}],
    [{"id": "", "value": "x"}],
    [{"id": "a\0b", "value": "x"}],
    [{"id": "'; DROP TABLE signing_keys", "value": "x"}],
    [{"id": "name", "value": "x"}, {"id": "nmae", "value": "x"}],
]


@pytest.mark.parametrize("filters", FILTERS, ids=lambda value: json.dumps(value)[:50])
def test_bad_filters(bystander: Bystander, filters: Any) -> None:
    text = filters if isinstance(filters, str) else json.dumps(filters)
    [message] = list_with(bystander, f"filters={quote(text, '[]')}")
    assert "filter" in message
    assert len(message) < 200


QUERIES = [
    "cursor=%FF",
    "filters=%ED%A0%80",
    "limit=1&order=%C0%AF",
    "%FF=1",
    "&".join(f"x{n}=1" for n in range(51)),
    "&".join(["limit=1"] * 51),
]


@pytest.mark.parametrize("query", QUERIES, ids=lambda text: text[:20])
def test_bad_query(bystander: Bystander, query: str) -> None:
    assert list_with(bystander, query) == ["the query string cannot be read"]


@pytest.mark.parametrize("query", ["account=x", "account=%00", "account=", "", "account=%FF"])
def test_bad_account_at_the_gate(bystander: Bystander, query: str) -> None:
    path = f"{bystander.path(LIVEPEER, 'gate')}?{query}"
    assert refusal(bystander.send(LIVEPEER, "gate", b"{}", path), LIVEPEER)[0] == 400


HARMLESS = [
    "?",
    "?&&&",
    "?=",
    "?limit",
    "?cursor=",
    "?filters=&order=&limit=&count=",
    "?x=%00&%00=x",
]


@pytest.mark.parametrize("query", HARMLESS)
def test_query_that_asks_for_nothing(bystander: Bystander, query: str) -> None:
    for case in CASES.values():
        path = bystander.path(case, "list_keys") + query
        assert bystander.send(case, "list_keys", path=path).status == 200
