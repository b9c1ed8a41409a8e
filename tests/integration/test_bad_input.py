"""Bad bodies: a clear 4xx in the envelope of the door, and nothing changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import Code
from tests.bystander import ROUTES, Bystander, named, refusal
from tests.conformance.case import VALUES, Ask, Case
from tests.conformance.cases import CASES

WITH_BODY = [row for row in ROUTES if row[1].method in {"POST", "PATCH"}]
LIVEPEER = CASES["livepeer"]
NOT_JSON = "the body is not valid JSON"
TOO_DEEP = "the JSON is nested too deeply"
KIB = 1024


MALFORMED = {
    "cut-off": b'{"name"',
    "cut-off-text": b'{"name":"x',
    "nothing-but-space": b"   ",
    "two": b"{}{}",
    "rest": b"{} x",
    "comma": b'{"name":"x",}',
    "quotes": b"{'name':'x'}",
    "bare-word": b"{name:1}",
    "nan": b'{"name":NaN}',
    "infinity": b'{"name":-Infinity}',
    "leading-zero": b'{"name":01}',
    "number-out-of-range": b'{"name":1e400}',
    "number-of-60000-digits": b'{"name":' + b"9" * 60_000 + b"}",
    "control-character": b'{"name":"a\nb"}',
    "bad-escape": rb'{"name":"\x41"}',
    "half-escape": rb'{"name":"\u00"}',
    "two-byte-order-marks": b"\xef\xbb\xbf\xef\xbb\xbf{}",
    "byte-order-mark-inside": b'{"name":\xef\xbb\xbf"x"}',
    "byte-order-mark-cut-off": b"\xef\xbb{}",
    "byte-order-mark-and-latin-1": b'\xef\xbb\xbf{"name":"\xe9"}',
    "utf-16": '{"name":"x"}'.encode("utf-16"),
    "latin-1": b'{"name":"\xe9"}',
    "latin-1-in-a-key": b'{"\xe9":1}',
    "overlong-utf-8": b'{"name":"\xc0\xaf"}',
    "cut-off-utf-8": b'{"name":"\xe2\x82"}',
    "surrogate-in-utf-8": b'{"name":"\xed\xa0\x80"}',
    "high-surrogate": rb'{"name":"\ud800"}',
    "low-surrogate": rb'{"name":"\udc00"}',
    "surrogates-swapped": rb'{"name":"\udc00\ud800"}',
    "surrogate-as-a-key": rb'{"\ud800":1}',
    "form": b"name=x&disabled=true",
    "xml": b"<name>x</name>",
    "nul-bytes": b"\0\0\0\0",
}
DEEP = {
    "arrays": b"[" * (32 * KIB) + b"]" * (32 * KIB),
    "arrays-left-open": b"[" * (64 * KIB),
    "objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "in-a-member": b'{"name":' + b"[" * 32_000 + b"]" * 32_000 + b"}",
    "in-an-unknown-member": b'{"zzz":' + b"[" * 32_000 + b"]" * 32_000 + b"}",
    "in-both": b'{"name":{"name":' * 3_000 + b"1" + b"}}" * 3_000,
}
LARGE = {
    "depth-100000": b"[" * 100_000 + b"]" * 100_000,
    "one-byte-over": b'{"name":"' + b"x" * (64 * KIB - 10) + b'"}',
    "two-megabytes": b" " * (2048 * KIB),
}
# What a route takes all the same is sent in tests/conformance/test_clients.py.
NO_OBJECT = {
    f"{case.dialect}-{ask.operation}-{value}": (case, ask, value)
    for case, ask in WITH_BODY
    for value in VALUES
    if value not in ask.values
}


@pytest.mark.parametrize(**named(WITH_BODY))
@pytest.mark.parametrize("body", MALFORMED)
def test_malformed_body(bystander: Bystander, case: Case, ask: Ask, body: str) -> None:
    look = case.look(Code.BODY_MALFORMED)
    answer = bystander.send(case, ask, MALFORMED[body])
    assert refusal(answer, case) == (look.status, [NOT_JSON])


@pytest.mark.parametrize(**named(WITH_BODY))
@pytest.mark.parametrize("body", DEEP)
def test_deep_body(bystander: Bystander, case: Case, ask: Ask, body: str) -> None:
    look = case.look(Code.BODY_MALFORMED)
    assert refusal(bystander.send(case, ask, DEEP[body]), case) == (look.status, [TOO_DEEP])


@pytest.mark.parametrize(**named(ROUTES))
@pytest.mark.parametrize("body", LARGE)
def test_large_body(bystander: Bystander, case: Case, ask: Ask, body: str) -> None:
    """Also for routes that take none; the answer arrives although the body is not read."""
    answer = bystander.send(case, ask, LARGE[body])
    assert refusal(answer, case)[0] == 413
    assert answer.header("connection") == "close"


@pytest.mark.parametrize(("case", "ask", "value"), NO_OBJECT.values(), ids=NO_OBJECT)
def test_body_that_is_no_object(bystander: Bystander, case: Case, ask: Ask, value: str) -> None:
    status, [message] = refusal(bystander.send(case, ask, value.encode()), case)
    assert status == case.look(Code.BODY_INVALID).status
    assert "must be object" in message


def fault(path: str, schema: str, keyword: str, params: object, message: str) -> dict[str, object]:
    """Return one item of a 422, as a JSON Schema validator would word it."""
    return {
        "instancePath": path,
        "schemaPath": schema,
        "keyword": keyword,
        "params": params,
        "message": message,
    }


def no_addition(name: str) -> dict[str, object]:
    params, message = {"additionalProperty": name}, "must NOT have additional properties"
    return fault("", "#/additionalProperties", "additionalProperties", params, message)


def wrong_type(name: str, kind: str) -> dict[str, object]:
    path = f"#/properties/{name}/type"
    return fault(f"/{name}", path, "type", {"type": kind}, f"must be {kind}")


TOO_LONG = fault(
    "/name",
    "#/properties/name/maxLength",
    "maxLength",
    {"limit": 256},
    "must NOT have more than 256 characters",
)
HAS_NUL = fault(
    "/name",
    "#/properties/name/pattern",
    "pattern",
    {"pattern": r"^[^\x00]*$"},
    "must not contain the character U+0000",
)
INVALID: dict[str, tuple[Any, list[dict[str, object]]]] = {
    "number": ({"name": 1}, [wrong_type("name", "string")]),
    "null": ({"name": None}, [wrong_type("name", "string")]),
    "true": ({"name": True}, [wrong_type("name", "string")]),
    "array": ({"name": ["x"]}, [wrong_type("name", "string")]),
    "object": ({"name": {"x": "y"}}, [wrong_type("name", "string")]),
    "257-characters": ({"name": "x" * 257}, [TOO_LONG]),
    "257-wide-characters": ({"name": "⛴" * 257}, [TOO_LONG]),
    "60000-characters": ({"name": "x" * 60_000}, [TOO_LONG]),
    "nul": ({"name": "a\0b"}, [HAS_NUL]),
    "only-nul": ({"name": "\0"}, [HAS_NUL]),
    "unknown": ({"nmae": "x"}, [no_addition("nmae")]),
    "unknown-prototype": ({"__proto__": {}}, [no_addition("__proto__")]),
    "unknown-empty": ({"": 1}, [no_addition("")]),
    "case": ({"Name": "x"}, [no_addition("Name")]),
    "both": ({"zzz": 1, "name": 2}, [no_addition("zzz"), wrong_type("name", "string")]),
    "many": ({str(n): 1 for n in range(5000)}, [no_addition(str(n)) for n in range(20)]),
}


@pytest.mark.parametrize("operation", ["create_key", "update_key"])
@pytest.mark.parametrize("body", INVALID)
def test_invalid_body(bystander: Bystander, operation: str, body: str) -> None:
    value, wanted = INVALID[body]
    answer = bystander.send(LIVEPEER, operation, json.dumps(value).encode())
    status, items = refusal(answer, LIVEPEER)
    assert (status, [json.loads(item) for item in items]) == (422, wanted)
    assert [list(json.loads(item)) for item in items] == [list(each) for each in wanted]


@pytest.mark.parametrize(
    ("operation", "body", "wanted"),
    [
        ("create_key", {"projectId": 1}, [wrong_type("projectId", "string")]),
        ("create_key", {"projectId": None}, [wrong_type("projectId", "string")]),
        ("create_key", {"disabled": True}, [no_addition("disabled")]),
        ("update_key", {"disabled": "true"}, [wrong_type("disabled", "boolean")]),
        ("update_key", {"disabled": 1}, [wrong_type("disabled", "boolean")]),
        ("update_key", {"disabled": None}, [wrong_type("disabled", "boolean")]),
        ("update_key", {"projectId": "x"}, [no_addition("projectId")]),
        (
            "update_key",
            {"id": "x", "publicKey": "x"},
            [no_addition("id"), no_addition("publicKey")],
        ),
        ("gate", {"pub": 1}, [wrong_type("pub", "string")]),
        ("gate", {"type": None}, [wrong_type("type", "string")]),
    ],
)
def test_invalid_member(bystander: Bystander, operation: str, body: Any, wanted: Any) -> None:
    status, items = refusal(
        bystander.send(LIVEPEER, operation, json.dumps(body).encode()), LIVEPEER
    )
    assert (status, [json.loads(item) for item in items]) == (422, wanted)


@pytest.mark.parametrize("name", ["x" * 256, "⛴" * 256, "😀" * 256, "'; --", "\\", "\u2028"])
def test_name_that_is_just_right(met: Bystander, name: str) -> None:
    assert met.send(LIVEPEER, "update_key", json.dumps({"name": name}).encode()).status == 204
    assert met.through("livepeer").send("get_key", met.key).json()["name"] == name


MINT = [
    {"exp": "soon"},
    {"exp": 1.5},
    {"exp": True},
    {"exp": None},
    {"exp": 10**400},
    {"exp": -1},
    {"exp": 2**63},
    {"nbf": 2**63},
    {"nbf": []},
    {"downloadable": "yes"},
    {"flags": 1},
    {"flags": {"original": 1}},
    {"accessRules": {}},
    {"accessRules": [1]},
    {"accessRules": [None]},
    {"id": "x"},
    {"pem": "x"},
    {"id": "x", "pem": "x"},
    {"id": "\0" * 32, "pem": "eA=="},
    {"id": "f" * 32, "pem": "é"},
    {"id": 1, "pem": 2},
]


@pytest.mark.parametrize("body", MINT, ids=lambda body: json.dumps(body)[:40])
def test_invalid_mint(bystander: Bystander, body: Any) -> None:
    case = CASES["cloudflare"]
    status, [message] = refusal(bystander.send(case, "mint_token", json.dumps(body).encode()), case)
    assert (status, "Traceback" in message) == (400, False)
