"""Livepeer Studio's success bodies, exactly: members, their order, their encodings."""

from __future__ import annotations

import re
import time
from base64 import b64decode
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from gateway.errors import Code
from gateway.model import Algorithm
from tests.conformance.case import Visitor, compact, shown
from tests.rawhttp import Wire, request

NEW = ["id", "name", "userId", "createdAt", "publicKey", "projectId"]  # before anything is set


def check_halves(key: dict[str, Any]) -> int:
    """PKCS#8 and SPKI PEMs of one key pair, in standard padded base64; returns its size."""
    pem, public_pem = (b64decode(key[name], validate=True) for name in ("privateKey", "publicKey"))
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert pem.endswith(b"\n-----END PRIVATE KEY-----\n")
    private, public = load_pem_private_key(pem, None), load_pem_public_key(public_pem)
    assert private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) == pem
    spki = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) == spki == public_pem
    )
    return int(getattr(private, "key_size", 0))


def check_shown(key: dict[str, Any], livepeer: Visitor, text: str, *more: str) -> None:
    """No member is null, none is missing, and they are in order; `text` is their encoding."""
    order = ["id", "name", "userId", "createdAt", "lastSeen", "publicKey", "disabled", "projectId"]
    wanted = [name for name in [*order, "privateKey"] if name in {*NEW, *more}]
    assert text == compact({name: key[name] for name in wanted})
    assert None not in key.values()
    assert key["id"] == str(UUID(key["id"]))
    assert key["userId"] == str(livepeer.account_id)
    assert isinstance(key["createdAt"], int)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", key["projectId"])


@pytest.mark.parametrize("body", [None, "", "{}"])
def test_create(livepeer: Visitor, body: str | None) -> None:
    before = int(time.time() * 1000)
    answer = livepeer.send("create_key", body=body)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    key = answer.json()
    check_shown(key, livepeer, answer.text, "privateKey")
    assert check_halves(key) == 2048
    assert key["name"] == "Signing Key 1"
    assert before - 60_000 < key["createdAt"] < before + 60_000


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream", "text/plain; x"])
def test_create_with_any_content_type(livepeer: Visitor, kind: str) -> None:
    headers = livepeer.bearer | {"Content-Type": kind}
    assert livepeer.send("create_key", headers=headers, body="").status_code == 200


def test_create_p256(livepeer: Visitor) -> None:
    accounts = livepeer.tenant.house.accounts
    allowed = accounts.set_allowance(livepeer.account_id, "livepeer", None, Algorithm.ES256)
    livepeer.tenant.house.run(allowed)
    answer = livepeer.send("create_key")
    check_shown(answer.json(), livepeer, answer.text, "privateKey")
    assert check_halves(answer.json()) == 256


def test_create_with_a_name_and_project(livepeer: Visitor) -> None:
    project = livepeer.send("create_key").json()["projectId"]
    answer = livepeer.send("create_key", body=compact({"name": "Fähre ⛴", "projectId": project}))
    check_shown(answer.json(), livepeer, answer.text, "privateKey")
    assert (answer.json()["name"], answer.json()["projectId"]) == ("Fähre ⛴", project)
    other = livepeer.tenant.make_project("other")
    for project in (other, str(UUID(int=1)), "x", ""):
        refused = livepeer.send("create_key", body=compact({"projectId": project}))
        assert shown(refused) == livepeer.case.look(Code.FORBIDDEN).shown()
    assert len(livepeer.live()) == 2


def test_names_given_by_default_are_never_repeated(livepeer: Visitor) -> None:
    def create(body: str = "") -> str:
        return str(livepeer.send("create_key", body=body).json()["name"])

    assert [create(), create('{"name":"mine"}'), create('{"name":""}')] == [
        "Signing Key 1",
        "mine",
        "Signing Key 2",
    ]
    livepeer.delete(livepeer.live()[0])
    assert create() == "Signing Key 3"


def test_get_and_list(livepeer: Visitor) -> None:
    """What was created, without its private half; newest first."""
    assert (livepeer.send("list_keys").status_code, livepeer.send("list_keys").text) == (200, "[]")
    created = [livepeer.send("create_key").json() for _ in range(3)]
    for key in created:
        assert key.pop("privateKey")
        answer = livepeer.send("get_key", UUID(key["id"]))
        assert (answer.status_code, answer.text) == (200, compact(key))
    assert livepeer.send("list_keys").text == compact(created[::-1])


def test_members_that_are_set_later(livepeer: Visitor) -> None:
    key = livepeer.create()
    assert livepeer.send("update_key", key, body='{"disabled":false}').status_code == 204
    house, seen = livepeer.tenant.house, "UPDATE signing_keys SET last_seen_at = $2 WHERE id = $1"
    moment = datetime.fromisoformat("2024-02-29T01:02:03.456999Z")
    house.run(house.database.fetch(seen, key, moment))
    answer = livepeer.send("get_key", key)
    check_shown(answer.json(), livepeer, answer.text, "disabled", "lastSeen")
    assert answer.json()["lastSeen"] == 1709168523456
    assert answer.json()["disabled"] is False
    assert livepeer.send("list_keys").text == f"[{answer.text}]"


@pytest.mark.parametrize(
    ("body", "name", "disabled"),
    [
        ("", "Signing Key 1", None),
        ("{}", "Signing Key 1", None),
        ('{"name":"new"}', "new", None),
        ('{"name":""}', "", None),
        ('{"disabled":true}', "Signing Key 1", True),
        ('{"disabled":false,"name":"new"}', "new", False),
    ],
)
def test_update(livepeer: Visitor, body: str, name: str, disabled: bool | None) -> None:
    key = livepeer.create()
    answer = livepeer.send("update_key", key, body=body)
    assert (answer.status_code, answer.content) == (204, b"")
    changed = livepeer.send("get_key", key).json()
    assert (changed["name"], changed.get("disabled")) == (name, disabled)


def test_delete(livepeer: Visitor) -> None:
    """Once; from then on the key is nowhere."""
    key = livepeer.create()
    answer = livepeer.send("delete_key", key)
    assert (answer.status_code, answer.content) == (204, b"")
    unknown = livepeer.case.look(Code.KEY_UNKNOWN).shown()
    for operation in ("delete_key", "get_key", "update_key"):
        assert shown(livepeer.send(operation, key)) == unknown
    assert livepeer.live() == []


@pytest.mark.parametrize("operation", ["update_key", "delete_key"])
def test_no_content_on_the_wire(livepeer: Visitor, operation: str) -> None:
    """A 204 ends with its headers, and the connection serves the next request."""
    ask, bearer = livepeer.case.ask(operation), f"Authorization: Bearer {livepeer.token}"
    body = (ask.body or "").encode()
    path = livepeer.case.prefix + livepeer.case.fill(ask.path, livepeer.create())
    with Wire(livepeer.tenant.url) as wire:
        headers = [bearer, f"Content-Length: {len(body)}"]
        wire.say(request(ask.method, path, headers, body))
        answer = wire.answer()
        assert (answer.status, answer.body) == (204, b"")
        names = {name for name, _ in answer.headers}
        assert names == {"date", "x-request-id", "cache-control"}
        wire.say(request("GET", "/api/access-control/signing-key", [bearer, "Connection: close"]))
        assert wire.answer().status == 200
        assert wire.ended()


def test_quota(livepeer: Visitor) -> None:
    """Exactly so many live keys, disabled ones included; deleting one makes room for one."""
    livepeer.tenant.house.run(
        livepeer.tenant.house.accounts.set_allowance(livepeer.account_id, "livepeer", 7, None)
    )
    keys = [livepeer.create() for _ in range(7)]
    livepeer.send("update_key", keys[0], body='{"disabled":true}')
    full = livepeer.case.look(Code.QUOTA_EXCEEDED).shown()
    assert shown(livepeer.send("create_key")) == shown(livepeer.send("create_key")) == full
    assert livepeer.delete(keys[1]) == 204
    assert livepeer.create() in livepeer.live()
    assert shown(livepeer.send("create_key")) == full
    assert len(livepeer.live()) == 7


@pytest.mark.parametrize("query", ["projectId={project}", "limit=5&projectId=x", "projectId[]=x"])
def test_a_project_in_the_query_is_refused(livepeer: Visitor, query: str) -> None:
    """Ignored, it would show or change another project's keys than the caller believes."""
    key = livepeer.create()
    project = livepeer.send("get_key", key).json()["projectId"]
    look = livepeer.case.look(Code.QUERY_INVALID).shown("projectId as query param not supported")
    for ask in (ask for ask in livepeer.case.asks if not ask.open):
        answer = livepeer.send(ask, key, query="?" + query.format(project=project))
        assert shown(answer) == look
    assert livepeer.live() == [key]


def test_an_empty_project_in_the_query_is_none(livepeer: Visitor) -> None:
    assert livepeer.send("list_keys", query="?projectId=").status_code == 200


def test_who_asks_comes_before_what_is_asked(livepeer: Visitor) -> None:
    answer = livepeer.of("nobody").send("list_keys", query="?projectId=x")
    assert answer.status_code == 401
