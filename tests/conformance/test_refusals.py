"""Every refusal of every dialect in its envelope, straight from the door."""

from __future__ import annotations

import io
import json
from typing import Any, NoReturn, cast

import pytest
from starlette.types import Message

from adapters import find_dialects
from adapters.dialect import Services
from adapters.pipeline import Door
from gateway.accounts import Authenticator
from gateway.addresses import Purpose
from gateway.app import open_gateway
from gateway.errors import Code, Fault, GatewayError
from gateway.model import Principal
from gateway.model import Scope as Permission
from gateway.settings import load_settings
from gateway.web.exchange import Reply, Request, Trace
from gateway.web.front import Front
from gateway.web.logs import open_log
from gateway.web.neutral import STATUSES, neutral_refusal
from tests.conformance.case import ABSENT, Ask, Case, compact
from tests.conformance.cases import CASES
from tests.service import House

DIALECTS = {dialect.name: dialect for dialect in find_dialects()}
MESSAGE = 'a "message" \\ with ünusual characters'
INSIDE = "relation signing_keys does not exist"
PRINCIPAL = Principal(
    token_id=ABSENT,
    account_id=ABSENT,
    email="a@example.invalid",
    project_id=ABSENT,
    confined=False,
    scopes=frozenset(Permission),
    algorithms={},
)


class Broken:
    """A core that does nothing but raise."""

    def __getattr__(self, _name: str) -> NoReturn:
        raise RuntimeError(INSIDE)


class Believing:
    """A core that believes every token and raises at everything else."""

    async def authenticate(self, _token: str) -> Principal:
        return PRINCIPAL


def open_door(case: Case, authenticator: object = None) -> Door:
    core = cast(Services, Broken())
    return Door(DIALECTS[case.dialect], core, cast(Authenticator, authenticator or Broken()))


def request_for(path: str = "/somewhere", method: str = "GET") -> Request:
    return Request(method, path, b"", [(b"authorization", b"Bearer x")], "id", None, None, str)


def seen(reply: Reply) -> tuple[int, str]:
    assert reply.content_type == b"application/json"
    return reply.status, reply.body.decode()


@pytest.mark.parametrize("code", Code)
def test_code(case: Case, code: Code) -> None:
    reply = open_door(case).refuse(GatewayError(code, MESSAGE, limit=7), request_for())
    assert seen(reply) == case.look(code).shown(MESSAGE, case.prefix + "/somewhere")
    assert b"retry-after" not in dict(reply.headers)


@pytest.mark.parametrize("code", Code)
def test_code_that_passes_by_itself(case: Case, code: Code) -> None:
    error = GatewayError(code, MESSAGE, limit=7, retry_after=3)
    reply = open_door(case).refuse(error, request_for())
    assert dict(reply.headers)[b"retry-after"] == b"3"


@pytest.mark.parametrize("code", Code)
def test_code_at_the_neutral_door(code: Code) -> None:
    reply = neutral_refusal(GatewayError(code, MESSAGE, retry_after=3))
    assert seen(reply) == (STATUSES[code], compact({"error": code, "message": MESSAGE}))
    assert reply.headers == [(b"retry-after", b"3")]


def test_code_that_looks_special_on_one_operation(case: Case) -> None:
    for (code, operation), look in case.special_looks.items():
        reply = open_door(case).refuse(GatewayError(code, MESSAGE), request_for(), operation)
        assert seen(reply) == look.shown(MESSAGE)


FAULTS = {
    "cloudflare": '{"result":null,"success":false,"errors":[{"code":10005,"message":"both",'
    '"source":{"pointer":"/name"}}],"messages":[]}',
    "livepeer": compact(
        {
            "errors": [
                '{"instancePath":"/name","schemaPath":"#/properties/name/type","keyword":"type",'
                '"params":{"type":"string"},"message":"must be string"}',
                '{"instancePath":"","schemaPath":"#/type","keyword":"type","params":{},'
                '"message":"must be object"}',
            ]
        }
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_faults_of_a_body(dialect: str) -> None:
    name = Fault("/name", "type", "must be string", {"type": "string"})
    faults = (name, Fault("", "type", "must be object"))
    error = GatewayError(Code.BODY_INVALID, "both", faults=faults)
    reply = DIALECTS[dialect].render_error(error, request_for(), None)
    assert reply.body.decode() == FAULTS[dialect]


async def failing_answer(door: Door, case: Case, ask: Ask) -> tuple[Reply, list[Exception]]:
    """Ask for an operation of a door whose core fails."""
    reports: list[Exception] = []

    async def read_body() -> bytes:
        return case.fill(ask.body or "").encode()

    request = request_for(case.fill(ask.path), ask.method)
    return await door.answer(request, read_body, Trace(), reports.append), reports


async def test_fault_at_the_door(case: Case, ask: Ask) -> None:
    reply, reports = await failing_answer(open_door(case), case, ask)
    assert seen(reply) == case.look(Code.INTERNAL).shown("Internal server error")
    assert [str(report) for report in reports] == [INSIDE]


async def test_fault_behind_the_door(case: Case, ask: Ask) -> None:
    reply, reports = await failing_answer(open_door(case, Believing()), case, ask)
    if ask.operation == "verify_token":  # nothing but the token is needed
        assert (reply.status, reports) == (200, [])
        return
    assert seen(reply) == case.look(Code.INTERNAL).shown("Internal server error")
    assert [str(report) for report in reports] == [INSIDE]


async def answered_by_front(front: Front, path: str) -> tuple[Message, Message]:
    """Put one GET to the ASGI application."""
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
    }
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    scope |= {"headers": [(b"x-request-id", b"r1")], "client": None, "server": ("x", 1)}
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    await front(scope, receive, send)
    start, body = sent
    return start, body


@pytest.mark.parametrize("prefix", [*(case.prefix for case in CASES.values()), "/keys", ""])
async def test_fault_is_logged_once(house: House, prefix: str) -> None:
    """In the whole program: one line with the request id, and nothing of it in the answer."""
    lines, secret = io.BytesIO(), "kf_secret"
    environ = {"KEYFERRY_DATABASE_URL": house.dsn, "KEYFERRY_POOL_SIZE": "1"}

    async def fail(*_: object) -> NoReturn:
        assert secret
        raise RuntimeError(INSIDE)

    settings = load_settings(environ, find_dialects())
    async with open_gateway(settings, open_log("json", lines)) as gateway:
        front: Any = gateway.apps[Purpose.API]
        if prefix:
            front._doors[prefix][1]._answer = fail
        else:
            front._rest = fail
        start, body = await answered_by_front(front, prefix + "/somewhere")
    assert start["status"] == 500
    assert INSIDE.encode() not in body["body"]
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    fault, request = (line for line in logged if line.get("request_id") == "r1")
    assert (fault["event"], fault["text"]) == ("fault", INSIDE)
    assert (request["event"], request["status"]) == ("request", 500)
    assert secret.encode() not in lines.getvalue()
