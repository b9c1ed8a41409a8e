"""The query of Livepeer's key list: `limit`, `cursor`, `order`, `filters`, `count`."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import msgspec

from gateway.errors import Code, GatewayError
from gateway.model import NEWEST_FIRST, KeyFilter, KeyOrder, KeySearch, Principal
from gateway.web.exchange import Request

_DEFAULT_LIMIT = 20
_MAX_LIMIT = 1000
_NO_KEY = UUID(int=0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_search(query: dict[str, str], principal: Principal) -> KeySearch:
    """Return what a list request asks for; raises GatewayError(QUERY_INVALID)."""
    return KeySearch(
        limit=_limit(query.get("limit", "")),
        after=_cursor(query.get("cursor", "")),
        order=_order(query.get("order", "")),
        wanted=_filters(query.get("filters", ""), principal),
        with_total=bool(query.get("count")),
    )


def next_link(request: Request, after: UUID) -> bytes:
    """Return the Link header to the page behind `after` (RFC 8288), an absolute URL."""
    fields = [
        field
        for field in parse_qsl(request.query_string.decode("ascii"), keep_blank_values=True)
        if field[0] != "cursor"
    ]
    query = urlencode([*fields, ("cursor", str(after))])
    return f'<{request.base_url()}{request.path}?{query}>; rel="next"'.encode("ascii")


def _limit(text: str) -> int:
    """Nonsense and 0 mean the default; a negative number is a mistake worth telling."""
    try:
        limit = int(text)
    except ValueError:
        return _DEFAULT_LIMIT
    if limit < 0:
        raise _invalid("limit should be a number from 1 to 1000")
    return min(limit, _MAX_LIMIT) or _DEFAULT_LIMIT


def _cursor(text: str) -> UUID | None:
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError as error:
        raise _invalid("cursor is not one that a list has given") from error


def _order(text: str) -> KeyOrder:
    """Read `field-true` (descending) and `field-false`, unknown fields ignored.

    All keys of a listing share userId and projectId, so these decide nothing; behind createdAt or
    id there is nothing left to decide.
    """
    order = KeyOrder(created=0)
    for part in text.split(","):
        field, _, descending = part.strip().rpartition("-")
        direction = -1 if descending == "true" else 1
        if field == "name" and order.name == 0:
            order = order._replace(name=direction)
        elif field == "createdAt":
            return order._replace(created=direction)
        elif field == "id":
            return order._replace(id=direction)
    return order._replace(created=NEWEST_FIRST.created)


class _Filter(msgspec.Struct):
    id: str
    value: object


def _filters(text: str, principal: Principal) -> KeyFilter:
    if not text:
        return KeyFilter()
    try:
        filters = msgspec.json.decode(text, type=list[_Filter])
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise _invalid('filters should be JSON: [{"id": field, "value": value}]') from error
    own = {"userId": str(principal.account_id), "projectId": str(principal.project_id)}
    wanted = KeyFilter()
    for one in filters:
        if one.id == "createdAt":
            wanted = _created(wanted, one.value)
        elif not isinstance(one.value, str) or "\0" in one.value:
            raise _invalid(f"the filter on {one.id[:20]} should have a text as its value")
        elif one.id == "name":
            wanted = wanted._replace(name_part=one.value)
        elif one.id == "id":
            wanted = wanted._replace(id=_uuid_or_none(one.value) or _NO_KEY)
        elif one.id not in own:
            raise _invalid("filters know the fields id, name, createdAt, projectId and userId")
        elif one.value != own[one.id]:
            wanted = wanted._replace(id=_NO_KEY)
    return wanted


def _created(wanted: KeyFilter, value: object) -> KeyFilter:
    """Narrow by creation: a number of milliseconds, or an object of gt, gte, lt, lte."""
    bounds = value if isinstance(value, dict) else {"gte": value, "lte": value}
    for relation, number in bounds.items():
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise _invalid("the filter on createdAt takes numbers of milliseconds")
        match relation:
            case "gte":
                wanted = wanted._replace(created_from=_moment(math.ceil(number)))
            case "gt":
                wanted = wanted._replace(created_from=_moment(math.floor(number) + 1))
            case "lt":
                wanted = wanted._replace(created_before=_moment(math.ceil(number)))
            case "lte":
                wanted = wanted._replace(created_before=_moment(math.floor(number) + 1))
            case _:
                raise _invalid("the filter on createdAt knows gt, gte, lt and lte")
    return wanted


def _moment(milliseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError as error:
        raise _invalid("the filter on createdAt is out of range") from error


def _uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _invalid(message: str) -> GatewayError:
    return GatewayError(Code.QUERY_INVALID, message)
