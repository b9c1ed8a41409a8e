"""Livepeer Studio's list: limit, cursor, order, filters and count, page by page."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit
from uuid import UUID

import httpx2
import pytest

from gateway.errors import Code
from tests.conformance.case import Visitor, compact, shown

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
START = int(EPOCH.timestamp() * 1000)
# Keys are put into the store directly: making a thousand pairs would take a minute.
STOCK = """
INSERT INTO signing_keys
    (id, account_id, project_id, dialect, name, algorithm, spki, fingerprint, created_at)
SELECT gen_random_uuid(), a.id, a.default_project_id, 'livepeer', given.name, 'RS256', 'spki',
       uuid_send(gen_random_uuid()), given.at
FROM accounts a, unnest($2::text[], $3::timestamptz[]) AS given (name, at)
WHERE a.id = $1
RETURNING id
"""
FRUIT = ["cherry", "Apple pie", "Bär", "apple", None, "date", "100%_\\", "apple"]


def stock(livepeer: Visitor, names: list[Any], step: float = 1000.0) -> list[str]:
    """Put a key per name into the store, `step` milliseconds apart; return their ids."""
    moments = [EPOCH + timedelta(milliseconds=step * number) for number in range(len(names))]
    house = livepeer.tenant.house
    rows = house.run(house.database.fetch(STOCK, livepeer.account_id, names, moments))
    return [str(row["id"]) for row in rows]


def ask(livepeer: Visitor, **fields: object) -> httpx2.Response:
    return livepeer.send("list_keys", query="?" + urlencode(fields))


def names(answer: httpx2.Response) -> list[Any]:
    return [key.get("name") for key in answer.json()]


def ids(answer: httpx2.Response) -> list[str]:
    return [key["id"] for key in answer.json()]


def next_cursor(answer: httpx2.Response) -> str | None:
    """Return the cursor of the Link header, None on the last page."""
    if "link" not in answer.headers:
        return None
    link = answer.headers["link"]
    assert (link[0], link[-13:]) == ("<", '>; rel="next"')
    url = urlsplit(link[1:-13])
    asked = answer.request.url
    assert (url.scheme, url.netloc, url.path) == ("http", asked.netloc.decode(), asked.path)
    fields = parse_qs(url.query, keep_blank_values=True)
    others = parse_qs(asked.query.decode(), keep_blank_values=True)
    assert fields | {"cursor": None} == others | {"cursor": None}
    return fields["cursor"][0]


def walk(livepeer: Visitor, **fields: object) -> list[httpx2.Response]:
    """Follow the Link headers from the first page to the last."""
    pages = [ask(livepeer, **fields)]
    while cursor := next_cursor(pages[-1]):
        pages.append(ask(livepeer, **fields, cursor=cursor))
    return pages


@pytest.mark.parametrize(
    ("limit", "shown_keys"),
    [
        (None, 20),
        ("", 20),
        ("abc", 20),
        ("0", 20),
        ("1.5", 20),
        ("9" * 5000, 20),
        ("1", 1),
        ("1000", 1000),
        ("1001", 1000),
        ("5000", 1000),
        (str(10**30), 1000),
    ],
    ids=lambda value: str(value)[:8],
)
def test_limit(livepeer: Visitor, limit: str | None, shown_keys: int) -> None:
    stock(livepeer, ["key"] * 1001)
    answer = livepeer.send("list_keys", query="" if limit is None else f"?limit={limit}")
    assert (answer.status_code, len(ids(answer))) == (200, shown_keys)
    assert next_cursor(answer) == ids(answer)[-1]


@pytest.mark.parametrize("limit", ["-1", "-5000", "-" + "9" * 40])
def test_limit_below_zero(livepeer: Visitor, limit: str) -> None:
    wanted = livepeer.case.look(Code.QUERY_INVALID)
    message = "limit should be a number from 1 to 1000"
    assert shown(ask(livepeer, limit=limit)) == wanted.shown(message)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 9])
def test_pages(livepeer: Visitor, limit: int) -> None:
    """Every key once, in order, and a Link exactly while there is more."""
    keys = stock(livepeer, FRUIT)[::-1]
    pages = [ids(page) for page in walk(livepeer, limit=limit)]
    assert pages == [keys[start : start + limit] for start in range(0, 8, limit)]


@pytest.mark.parametrize("order", ["", "createdAt-false", "name-true", "id-false"])
def test_pages_while_keys_are_deleted(livepeer: Visitor, order: str) -> None:
    """No key that lives is left out or shown twice, whichever others vanish between two pages."""
    keys, rng = stock(livepeer, FRUIT * 3), random.Random(7)  # noqa: S311  a test's own choice
    [whole] = walk(livepeer, limit=1000, order=order)
    seen: list[str] = []
    deleted: set[str] = set()
    cursor: str | None = ""
    while cursor is not None:
        page = ask(livepeer, limit=3, order=order, cursor=cursor)
        seen += ids(page)
        cursor = next_cursor(page)
        for key in {*rng.sample(keys, 2), seen[-1]} - deleted:  # what the cursor names, too
            assert livepeer.delete(UUID(key)) == 204
            deleted.add(key)
    assert [key for key in ids(whole) if key not in deleted or key in seen] == seen
    assert len(seen) == len(set(seen))
    assert set(keys) - deleted <= set(seen)


def test_keys_made_at_the_same_moment(livepeer: Visitor) -> None:
    keys = stock(livepeer, ["same"] * 5, step=0)
    for order in ("", "createdAt-false", "name-false", "name-true"):
        walked = [key for page in walk(livepeer, limit=2, order=order) for key in ids(page)]
        assert sorted(walked) == sorted(keys)


BY_NAME = [None, "100%_\\", "Apple pie", "Bär", "apple", "apple", "cherry", "date"]
NEWEST = FRUIT[::-1]


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ("createdAt-true", NEWEST),
        ("createdAt-false", FRUIT),
        ("createdAt", NEWEST),
        ("nonsense-true", NEWEST),
        ("size-false,createdAt-false", FRUIT),
        ("userId-true,projectId-false", NEWEST),
        ("userId-false,createdAt-false", FRUIT),
        ("name-false", BY_NAME),
        ("name-true", BY_NAME[::-1]),
        ("name-true, createdAt-false", BY_NAME[::-1]),
        (",,-,name", NEWEST),
        ("'; DROP TABLE signing_keys; --", NEWEST),
        ("%", NEWEST),
    ],
)
def test_order(livepeer: Visitor, order: str, wanted: list[Any]) -> None:
    stock(livepeer, FRUIT)
    listed = names(ask(livepeer, order=order))
    assert sorted(map(str, listed)) == sorted(map(str, wanted))
    if order.startswith("name"):  # how letters sort is the database's business
        listed = [name for name in listed if name is None or (name.isalpha() and name.islower())]
        wanted = [name for name in wanted if name is None or (name.isalpha() and name.islower())]
    assert listed == wanted


def test_order_by_name_then_creation(livepeer: Visitor) -> None:
    keys = stock(livepeer, ["b", "a", "b", "a"])
    assert ids(ask(livepeer, order="name-false,createdAt-true")) == [keys[n] for n in (3, 1, 2, 0)]
    assert ids(ask(livepeer, order="name-true,createdAt-false")) == [keys[n] for n in (0, 2, 1, 3)]


@pytest.mark.parametrize(("order", "backwards"), [("id-false", False), ("id-true", True)])
def test_order_by_id(livepeer: Visitor, order: str, *, backwards: bool) -> None:
    keys = stock(livepeer, FRUIT)
    assert ids(ask(livepeer, order=order)) == sorted(keys, reverse=backwards)


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ([], FRUIT),
        ([{"id": "name", "value": "apple"}], ["Apple pie", "apple", "apple"]),
        ([{"id": "name", "value": "APPLE"}], ["Apple pie", "apple", "apple"]),
        ([{"id": "name", "value": "bÄR"}], ["Bär"]),
        ([{"id": "name", "value": "%_\\"}], ["100%_\\"]),
        ([{"id": "name", "value": "_"}], ["100%_\\"]),
        ([{"id": "name", "value": ""}], [name for name in FRUIT if name]),
        ([{"id": "name", "value": "'"}], []),
        ([{"id": "createdAt", "value": START}], FRUIT[:1]),
        ([{"id": "createdAt", "value": START + 1}], []),
        ([{"id": "createdAt", "value": {"gt": START + 1000}}], FRUIT[2:]),
        ([{"id": "createdAt", "value": {"gte": START + 1000}}], FRUIT[1:]),
        ([{"id": "createdAt", "value": {"lt": START + 1000}}], FRUIT[:1]),
        ([{"id": "createdAt", "value": {"lte": START + 1000}}], FRUIT[:2]),
        ([{"id": "createdAt", "value": {"gt": START + 999.5, "lt": START + 3000.5}}], FRUIT[1:4]),
        ([{"id": "createdAt", "value": {"gt": START + 3000, "lt": START}}], []),
        ([{"id": "createdAt", "value": {}}], FRUIT),
        ([{"id": "createdAt", "value": {"gte": -62135596800000, "lt": 253402300799999}}], FRUIT),
        ([{"id": "userId", "value": "{user}"}], FRUIT),
        ([{"id": "userId", "value": "x"}], []),
        ([{"id": "projectId", "value": "{project}"}], FRUIT),
        ([{"id": "projectId", "value": str(UUID(int=1))}], []),
        ([{"id": "id", "value": "x' OR ''='"}], []),
        (
            [{"id": "name", "value": "e"}, {"id": "createdAt", "value": {"gt": START}}],
            ["Apple pie", "apple", "date", "apple"],
        ),
    ],
    ids=str,
)
def test_filters(livepeer: Visitor, filters: list[Any], wanted: list[Any]) -> None:
    key = stock(livepeer, FRUIT)[0]
    shown_key = livepeer.send("get_key", UUID(key)).json()
    text = compact(filters).replace("{user}", shown_key["userId"])
    text = text.replace("{project}", shown_key["projectId"])
    answer = ask(livepeer, filters=text, count="1", limit=1, order="createdAt-false")
    assert names(answer) == wanted[:1]
    assert answer.headers["x-total-count"] == str(len(wanted))
    pages = walk(livepeer, filters=text, limit=3, order="createdAt-false")
    assert [name for page in pages for name in names(page)] == wanted
    assert all("x-total-count" not in page.headers for page in pages)


def test_filter_by_id(livepeer: Visitor) -> None:
    key = stock(livepeer, FRUIT)[3]
    assert ids(ask(livepeer, filters=compact([{"id": "id", "value": key}]))) == [key]


@pytest.mark.parametrize(("count", "told"), [("1", "8"), ("false", "8"), ("", None), (None, None)])
def test_count(livepeer: Visitor, count: str | None, told: str | None) -> None:
    """The whole number, on every page."""
    keys = stock(livepeer, FRUIT)
    fields = {} if count is None else {"count": count}
    for cursor in ("", keys[2], keys[0]):
        answer = ask(livepeer, limit=2, cursor=cursor, **fields)
        assert answer.headers.get("x-total-count") == told


def test_link_keeps_what_was_asked(livepeer: Visitor) -> None:
    stock(livepeer, FRUIT)
    query = f"?limit=2&empty=&filters={quote(compact([{'id': 'name', 'value': 'e'}]))}&x=%C3%A4%20"
    first = livepeer.send("list_keys", query=query)
    assert next_cursor(first) == ids(first)[-1]
    second = livepeer.http.get(first.headers["link"][1:-13], headers=livepeer.bearer)
    assert len(names(first) + names(second)) == 4


@pytest.mark.parametrize(
    "host", ["keys.example", "keys.example:8443", "[::1]:80", "a b", "x/y", '">', ""]
)
def test_link_names_the_host_asked_for(livepeer: Visitor, host: str) -> None:
    """Unless that is no host name."""
    stock(livepeer, FRUIT)
    answer = livepeer.send("list_keys", query="?limit=1", headers=livepeer.bearer | {"Host": host})
    good = host.startswith(("keys", "["))
    url = f"http://{host}" if good else livepeer.tenant.url
    assert answer.headers["link"].startswith(f"<{url}/api/access-control/signing-key?")
