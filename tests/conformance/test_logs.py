"""Request ids and the log: one line per request, and never a token or a private key."""

from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conformance.case import Ask, Secrets, Visitor, compact
from tests.logged import line_of
from tests.rawhttp import Wire, request

MEMBERS = ["request_id", "method", "dialect", "route", "account", "status", "ms"]
MEMBERS += ["reason", "kid", "subject", "address"]


def test_line_of_a_request(visitor: Visitor, ask: Ask, service_log: Path) -> None:
    request_id = f"test-{uuid4()}"
    answer = visitor.send(ask, headers=visitor.bearer | {"X-Request-ID": request_id})
    assert answer.headers["x-request-id"] == request_id
    line = line_of(service_log, request_id)
    assert list(line)[: len(MEMBERS)] == MEMBERS
    assert line["event"] == "request"
    assert (line["method"], line["dialect"]) == (ask.method, visitor.case.dialect)
    assert (line["route"], line["status"]) == (ask.operation, answer.status_code)
    assert line["account"] == (None if ask.open else visitor.account_id.hex)
    assert 0 < line["ms"] < 10_000
    assert (line["reason"] is None) is answer.is_success
    assert (line["kid"], line["subject"]) == (None, None)
    assert line["address"] == "127.0.0.1"


REFUSED = {
    "no-credentials": ("GET", "{list}", [], "list_keys", None, "credentials_missing"),
    "no-route": ("GET", "{nowhere}", [], None, None, "route_unknown"),
    "no-method": ("PUT", "{list}", [], None, None, "method_unknown"),
    "too-long": ("GET", "{list}?" + 20_000 * "a", [], None, 414, "uri_too_long"),
    "not-http": ("FROB", "{list}", [], None, None, "method_unknown"),
    "bad-header": ("GET", "{list}", ["no colon"], None, 400, "header_invalid"),
}


@pytest.mark.parametrize("sent", REFUSED)
def test_line_of_a_refusal(visitor: Visitor, service_log: Path, sent: str) -> None:
    method, path, headers, route, status, reason = REFUSED[sent]
    known = visitor.case.fill(visitor.case.ask("list_keys").path, account=visitor.account_id)
    path = path.replace("{list}", known).replace("{nowhere}", visitor.case.nowhere)
    with Wire(visitor.tenant.url) as wire:
        wire.say(request(method, visitor.case.prefix + path, headers))
        answer = wire.answer()
    line = line_of(service_log, str(answer.header("x-request-id")))
    assert (line["event"], line["method"]) == ("request", method)
    assert (line["dialect"], line["route"], line["account"]) == (visitor.case.dialect, route, None)
    assert line["status"] == answer.status == (status or answer.status)
    assert (line["reason"], line["address"]) == (reason, "127.0.0.1")


def test_request_id_in_the_history_of_a_key(visitor: Visitor) -> None:
    request_id, house = f"test-{uuid4()}", visitor.tenant.house
    key = visitor.create(X_Request_ID=request_id)
    history = "SELECT request_id FROM key_events WHERE key_id = $1"
    assert [row["request_id"] for row in house.run(house.database.fetch(history, key))] == [
        request_id
    ]


@pytest.mark.parametrize("value", ["x", "A.b_c:d-9", "f" * 128])
def test_request_id_is_returned(visitor: Visitor, value: str) -> None:
    answer = visitor.send("list_keys", headers=visitor.bearer | {"X-Request-ID": value})
    assert answer.headers.get_list("x-request-id") == [value]


@pytest.mark.parametrize(
    "value",
    [None, "", "a b", "f" * 129, "ü", '"', "a\tb", "a,b"],
    ids=lambda value: repr(value)[:9],
)
def test_request_id_is_made(visitor: Visitor, value: str | None) -> None:
    """Without one, or for one that does not belong into a log."""
    headers = [f"Authorization: Bearer {visitor.token}"]
    headers += [] if value is None else [f"X-Request-ID: {value}"]
    path = visitor.case.fill(visitor.case.ask("list_keys").path, account=visitor.account_id)
    made = set()
    for _ in range(2):
        with Wire(visitor.tenant.url) as wire:
            wire.say(request("GET", visitor.case.prefix + path, headers))
            made.add(wire.answer().header("x-request-id"))
    assert len(made) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", text or "") for text in made)


def private_parts(text: str) -> set[bytes]:
    """Return what must not be found of a PEM or JWK in base64: the text, and parts of it."""
    raw = b64decode(text)
    return {text[200:260].encode(), *raw.split(b"\n")[3:6], *raw.split(b'"')[-2:-1]}


def test_no_secret_is_logged(
    cloudflare: Visitor, livepeer: Visitor, secrets: Secrets, service_log: Path
) -> None:
    """Whatever is said with them, well or badly: tokens and private halves stay out of the log."""
    tokens = {cloudflare.token, livepeer.token, *map(str, list(vars(secrets).values())[2:])}
    created = cloudflare.send("create_key").json()["result"]
    halves = private_parts(created["pem"]) | private_parts(created["jwk"])
    halves |= private_parts(livepeer.send("create_key").json()["privateKey"])
    for body in ({"pem": created["pem"]}, {"id": created["id"], "pem": created["pem"]}):
        cloudflare.send("mint_token", body=compact(body))
        cloudflare.send("mint_token", body=compact(body | {"exp": created["pem"]}))
        cloudflare.send("mint_token", body=compact(body)[:-1])
        livepeer.send("create_key", body=compact(body))
    for visitor in (cloudflare, livepeer):
        for token in tokens:
            for claim in (f"Bearer {token}", token, f"Basic {token}", f"{token} {token}"):
                visitor.send("list_keys", headers={"Authorization": claim})
                visitor.send("list_keys", headers={"X-Auth-Email": token, "X-Auth-Key": token})
                visitor.send("list_keys", query=f"?token={token}&cursor={token}")
            visitor.send("create_key", headers=visitor.bearer | {"Idempotency-Key": token})
            with Wire(visitor.tenant.url) as wire:  # what is not even HTTP
                wire.say(f"{token}\r\nAuthorization {token}\r\n\r\n".encode())
                assert wire.answer().status == 400
    last = f"test-{uuid4()}"
    livepeer.send("list_keys", headers={"X-Request-ID": last})
    line_of(service_log, last)
    logged = service_log.read_bytes()
    assert logged.count(b'"event":"request"') > 100
    for secret in halves | {token.encode() for token in tokens}:
        assert secret not in logged
