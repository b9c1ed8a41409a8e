"""Cloudflare Stream's success bodies, exactly: members, their order, their encodings."""

from __future__ import annotations

import json
import re
from base64 import b64decode, urlsafe_b64decode
from datetime import datetime
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.conformance.case import VALUES, Visitor, compact
from tests.rawhttp import ask, request


def wrapped(result: object, *messages: object) -> str:
    """Return the envelope of a success."""
    return compact({"result": result, "success": True, "errors": [], "messages": messages})


def number(text: str) -> int:
    """Read an integer as RFC 7518 writes it: base64url, no padding, no leading zero octet."""
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    octets = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert octets[0] != 0
    return int.from_bytes(octets, "big")


def check_pem(pem: str) -> RSAPrivateKey:
    """A PKCS#1 PEM in standard padded base64: LF, 64 columns, a final newline."""
    text = b64decode(pem, validate=True)
    first, *lines, last, end = text.decode("ascii").split("\n")
    assert first == "-----BEGIN RSA PRIVATE KEY-----"
    assert (last, end) == ("-----END RSA PRIVATE KEY-----", "")
    assert {len(line) for line in lines[:-1]} == {64}
    assert 0 < len(lines[-1]) <= 64
    private = load_pem_private_key(text, None)
    assert isinstance(private, RSAPrivateKey)
    assert (
        private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        == text
    )
    assert (private.key_size, private.public_key().public_numbers().e) == (2048, 65537)
    return private


def check_jwk(jwk: str, key_id: str, private: RSAPrivateKey) -> None:
    """Compact JSON in standard padded base64, members in the provider's order."""
    text = b64decode(jwk, validate=True).decode("ascii")
    members = json.loads(text)
    assert text == compact(members)
    assert list(members)[:4] == ["use", "kty", "kid", "alg"]
    assert [members.pop(name) for name in list(members)[:4]] == ["sig", "RSA", key_id, "RS256"]
    numbers = private.private_numbers()
    assert list(members) == ["n", "e", "d", "p", "q", "dp", "dq", "qi"]
    assert [number(value) for value in members.values()] == [
        numbers.public_numbers.n,
        numbers.public_numbers.e,
        numbers.d,
        numbers.p,
        numbers.q,
        numbers.dmp1,
        numbers.dmq1,
        numbers.iqmp,
    ]


@pytest.mark.parametrize("body", [None, "", "{}", '{"name":"ignored","more":[1]}', *VALUES])
def test_create(cloudflare: Visitor, body: str | None) -> None:
    answer = cloudflare.send("create_key", body=body)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    result = answer.json()["result"]
    assert answer.text == wrapped({name: result[name] for name in ("id", "pem", "jwk", "created")})
    assert re.fullmatch(r"[0-9a-f]{32}", result["id"])
    check_jwk(result["jwk"], result["id"], check_pem(result["pem"]))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}000Z", result["created"])
    age = datetime.now().astimezone() - datetime.fromisoformat(result["created"])
    assert abs(age.total_seconds()) < 60


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream", "text/plain; x"])
def test_create_with_any_content_type(cloudflare: Visitor, kind: str) -> None:
    headers = cloudflare.bearer | {"Content-Type": kind}
    assert cloudflare.send("create_key", headers=headers, body="").status_code == 200


def test_list(cloudflare: Visitor) -> None:
    """Newest first, the same instants as at creation with six digits."""
    assert cloudflare.send("list_keys").text == wrapped([])
    created = [cloudflare.send("create_key").json()["result"] for _ in range(3)]
    assert cloudflare.send("list_keys", query="?limit=1&page=2").text == wrapped(
        [
            {"id": key["id"], "key_id": key["id"], "created": key["created"][:-4] + "Z"}
            for key in reversed(created)
        ]
    )


def test_created_with_zero_microseconds(cloudflare: Visitor) -> None:
    key = cloudflare.create()
    moved = "UPDATE signing_keys SET created_at = $2 WHERE id = $1"
    moment = datetime.fromisoformat("2024-02-29T00:00:00Z")
    cloudflare.tenant.house.run(cloudflare.tenant.house.database.fetch(moved, key, moment))
    [listed] = cloudflare.send("list_keys").json()["result"]
    assert listed["created"] == "2024-02-29T00:00:00.000000Z"


@pytest.mark.parametrize("body", [None, "", "{}", "not looked at"])
def test_delete(cloudflare: Visitor, body: str | None) -> None:
    """Repeating it is no error: clients do so by themselves."""
    key = cloudflare.create()
    for _ in range(2):
        answer = cloudflare.send("delete_key", key, body=body)
        assert (answer.status_code, answer.text) == (200, wrapped("Revoked"))
        assert cloudflare.live() == []


def test_delete_on_the_wire(cloudflare: Visitor) -> None:
    path = f"/client/v4/accounts/{cloudflare.account_id.hex}/stream/keys/{cloudflare.create().hex}"
    answer = ask(
        cloudflare.tenant.url,
        request("DELETE", path, [f"Authorization: Bearer {cloudflare.token}"]),
    )
    assert (answer.status, answer.body.decode()) == (200, wrapped("Revoked"))
    assert answer.header("content-length") == str(len(answer.body))


def test_verify_token(cloudflare: Visitor) -> None:
    house = cloudflare.tenant.house
    token = house.run(house.accounts.find_token(cloudflare.token))
    for route in (each for each in cloudflare.case.asks if each.operation == "verify_token"):
        answer = cloudflare.send(route)
        assert (answer.status_code, answer.text) == (
            200,
            wrapped(
                {"id": token.id.hex, "status": "active"},
                {"code": 10000, "message": "This API Token is valid and active"},
            ),
        )


def test_mint_token(cloudflare: Visitor) -> None:
    key = cloudflare.send("create_key").json()["result"]
    body = compact({"id": key["id"], "pem": key["pem"]})
    answer = cloudflare.send("mint_token", body=body)
    token = answer.json()["result"]["token"]
    assert (answer.status_code, answer.text) == (200, wrapped({"token": token}))
    public = check_pem(key["pem"]).public_key()
    claims = jwt.decode(
        token, public, ["RS256"], options={"verify_exp": False, "verify_nbf": False}
    )
    assert jwt.get_unverified_header(token)["kid"] == claims["kid"] == key["id"]
    assert list(claims) == ["sub", "kid", "exp", "nbf"]
    assert (claims["sub"], type(claims["exp"]), type(claims["nbf"])) == ("video", str, str)


def test_the_private_half_is_shown_once(cloudflare: Visitor) -> None:
    created = cloudflare.send("create_key").json()["result"]
    later = cloudflare.send("list_keys").text
    later += cloudflare.send("delete_key", UUID(created["id"])).text
    assert created["pem"] not in later
    assert created["jwk"] not in later
