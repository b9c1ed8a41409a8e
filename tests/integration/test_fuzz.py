"""Random requests to every route of every dialect: never a 5xx, always the envelope."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx2
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gateway.errors import Code
from tests.bystander import ROUTES, Bystander, meet
from tests.conformance.case import ABSENT, Ask, Case
from tests.conformance.cases import CASES
from tests.rawhttp import Wire, request
from tests.service import Tenant

REAL_ID, REAL_PEM, REAL_PUB = "{real id}", "{real pem}", "{real pub}"  # put in when they are known
EXAMPLES = 600

texts = st.text(max_size=300) | st.sampled_from(
    ["", "\0", "'", "x" * 257, REAL_ID, REAL_PEM, REAL_PUB]
)
numbers = st.integers() | st.floats() | st.integers(1_700_000_000, 1_900_000_000)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)
)
rules = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "action": st.sampled_from(["allow", "block"]) | values,
            "type": st.sampled_from(["any", "ip.src", "ip.geoip.country"]) | values,
            "ip": st.lists(st.ip_addresses().map(str) | texts, max_size=3) | values,
            "country": st.lists(st.sampled_from(["DE", "us", "XX"]) | texts, max_size=3) | values,
        },
    ),
    max_size=7,
)
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "name": texts | values,
    "projectId": values,
    "disabled": st.booleans() | values,
    "id": st.just(REAL_ID) | values,
    "pem": st.just(REAL_PEM) | values,
    "exp": numbers | values,
    "nbf": numbers | values,
    "downloadable": st.booleans() | values,
    "accessRules": rules | values,
    "flags": st.fixed_dictionaries({}, optional={"original": values}) | values,
    "type": texts | values,
    "stream": texts | values,
    "pub": st.just(REAL_PUB) | values,
}
objects = st.fixed_dictionaries({}, optional=MEMBERS)
few = st.sets(st.sampled_from(sorted(MEMBERS)), max_size=3).flatmap(
    lambda names: st.fixed_dictionaries({name: MEMBERS[name] for name in names})
)
structured = (few.map(json.dumps), objects.map(json.dumps), values.map(json.dumps))
bodies = st.one_of(
    st.none(), st.binary(max_size=200), *(each.map(str.encode) for each in structured)
)
filters = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from(["id", "name", "createdAt", "projectId", "userId"]) | values},
        optional={
            "value": values
            | st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), numbers, max_size=3)
        },
    ),
    max_size=3,
).map(json.dumps)
fields = (
    st.tuples(st.just("limit"), st.integers(-5, 2000).map(str) | texts)
    | st.tuples(st.just("cursor"), texts)
    | st.tuples(st.just("order"), st.sampled_from(["name-true", "id-false", "createdAt"]) | texts)
    | st.tuples(st.just("filters"), filters | values.map(json.dumps) | texts)
    | st.tuples(st.just("count"), texts)
    | st.tuples(st.just("account"), texts)
    | st.tuples(texts, texts)
)
printable = st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")
header_values = st.text(printable, max_size=300)
HEADERS = ["Idempotency-Key", "X-Request-ID", "Content-Type", "X-Auth-Email", "X-Auth-Key"]
HEADERS += ["Accept", "X-Forwarded-For", "Cookie", "Range", "If-None-Match", "Expect", "Upgrade"]
headers = st.dictionaries(st.sampled_from(HEADERS), header_values, max_size=4)
segments = st.sampled_from(["{own}", "{absent}"]) | st.text(max_size=40).map(
    lambda t: quote(t, "'")
)


@dataclass(frozen=True)
class Target:
    """An account and what is real in it."""

    bystander: Bystander
    real: dict[str, str]

    def put_in(self, text: str) -> str:
        for name, value in self.real.items():
            text = text.replace(name, value)
        return text


@pytest.fixture(scope="module")
def target(service: Tenant) -> Iterator[Target]:
    """An account whose doors are full, so that creates cost nothing."""
    with httpx2.Client(trust_env=False, timeout=20) as http:
        met = meet(service, http)
        created = met.through("cloudflare").send("create_key").json()["result"]
        shown = met.visitor.send("get_key", UUID(created["id"])).json()
        accounts = service.house.accounts
        for dialect in CASES:
            full = accounts.set_allowance(met.visitor.account_id, dialect, 1, None)
            service.house.run(full)
        real = {REAL_ID: created["id"], REAL_PEM: created["pem"], REAL_PUB: shown["publicKey"]}
        yield Target(met, real)


def path_of(target: Target, case: Case, ask: Ask, segment: str) -> str:
    """Return a path with some text for the key; what is there is never deleted."""
    own = target.bystander.key if ask.method != "DELETE" else ABSENT
    segment = segment.replace("{own}", case.spell(own)).replace("{absent}", case.spell(ABSENT))
    account = case.spell(target.bystander.visitor.account_id)
    path = ask.path.replace("{account_id}", account)
    for place in ("{key_id}", "{video_id:text}"):
        path = path.replace(place, segment)
    return case.prefix + path


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    route=st.sampled_from(ROUTES),
    segment=segments,
    query=st.lists(fields, max_size=4),
    more=headers,
    body=bodies,
    authentic=st.integers(0, 9).map(bool),
)
def test_any_request(
    target: Target,
    route: tuple[Case, Ask],
    segment: str,
    query: list[tuple[str, str]],
    more: dict[str, str],
    body: bytes | None,
    *,
    authentic: bool,
) -> None:
    case, ask = route
    lines = [f"{name}: {value}" for name, value in more.items()]
    lines += [f"Authorization: Bearer {target.bystander.visitor.token}"] if authentic else []
    if body is not None:
        body = target.put_in(body.decode("latin-1")).encode("latin-1")
        lines.append(f"Content-Length: {len(body)}")
    asked = "&".join("=".join(quote(target.put_in(part)) for part in field) for field in query)
    with Wire(target.bystander.visitor.tenant.url) as wire:
        path = path_of(target, case, ask, segment) + (f"?{asked}" if query else "")
        wire.say(request(ask.method, path, lines, body or b""))
        answer = wire.answer(ask.method)
        if answer.status == 100:
            answer = wire.answer(ask.method)
    event(f"{case.dialect} {ask.operation} {answer.status}")
    if answer.status == case.look(Code.NOT_CONFIGURED).status:
        assert ask.operation == "mint_token"  # this deployment has no master key
    else:
        assert answer.status < 500
    if answer.status >= 400:
        assert answer.header("content-type") == "application/json"
        assert case.messages(answer.body)
