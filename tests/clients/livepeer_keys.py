"""Every call the `livepeer` SDK has on signing keys, made against a running Keyferry.

Shows that users of livepeer 0.3.0 change the server URL and nothing else: create, get_all, get,
update and delete, sync and async; the raw answers; SDKError by status; the quota; a create that
is safe to repeat. It expects an account without keys, fails by assertion, leaves one live key and
prints that key as one JSON object.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import uuid
from typing import Any

import httpx  # the SDK's own HTTP client: the only way to send a header of one's own
from livepeer import Livepeer
from livepeer.models import errors, operations

URL, ACCOUNT = os.environ["KEYFERRY_URL"], os.environ["KEYFERRY_ACCOUNT"]
TOKEN, READONLY_TOKEN = os.environ["KEYFERRY_TOKEN"], os.environ["KEYFERRY_READONLY_TOKEN"]
FULL = (403, ["user can only have up to 10 signing keys, delete some first"])
DENIED, MISSING = (403, ["credential has insufficent privileges"]), (404, ["not found"])


def connect(token: str = TOKEN, **clients: Any) -> Any:
    """Reach the signing keys; without this timeout the SDK would wait for ever."""
    return Livepeer(token, server_url=URL, timeout_ms=30_000, **clients).access_control


def raw(response: Any) -> Any:
    """Give the answer as it came: the SDK's model of a key has no member for `privateKey`."""
    return response.http_meta.response


def live(keys: Any) -> list[str]:
    return [key.id for key in keys.get_all().data]


def delete(keys: Any, *key_ids: str) -> None:
    for key_id in key_ids:
        deleted = raw(keys.delete(key_id=key_id))
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert refused(keys.get, key_id=key_id) == refused(keys.delete, key_id=key_id) == MISSING


def check_key(created: Any) -> None:
    """A created key carries both halves, its owner and no null, and no cache may keep it."""
    key, http, body = created.signing_key, raw(created), raw(created).json()
    assert (http.status_code, http.headers["Content-Type"]) == (200, "application/json")
    assert "no-store" in http.headers["Cache-Control"]
    assert None not in body.values()
    assert (str(uuid.UUID(key.id)), uuid.UUID(body["userId"]).hex) == (key.id, ACCOUNT)
    assert uuid.UUID(key.project_id)
    assert key.name.startswith("Signing Key ")
    assert (key.disabled, key.last_seen) == (None, None)
    assert key.created_at == body["createdAt"] > 1_700_000_000_000  # milliseconds
    for label, encoded in (("PUBLIC KEY", key.public_key), ("PRIVATE KEY", body["privateKey"])):
        first, *_, last, end = base64.b64decode(encoded, validate=True).decode().split("\n")
        assert (first, last, end) == (f"-----BEGIN {label}-----", f"-----END {label}-----", "")


def check_lifecycle(keys: Any) -> None:
    assert live(keys) == []
    older = keys.create()
    check_key(newer := keys.create())
    key_ids = [newer.signing_key.id, older.signing_key.id]
    assert live(keys) == key_ids  # newest first
    once, shown = raw(newer).json(), raw(keys.get(key_id=key_ids[0])).json()
    assert once.pop("privateKey")
    assert shown == once
    delete(keys, *key_ids)
    assert live(keys) == []


def check_update(keys: Any) -> None:
    """Name and `disabled` change apart from each other; what is not sent stays."""
    key_id = keys.create().signing_key.id
    for change, name, disabled in (
        ({"name": "Fähre"}, "Fähre", None),
        (operations.UpdateSigningKeyRequestBody(disabled=True), "Fähre", True),
        ({}, "Fähre", True),
        ({"name": "ferry", "disabled": False}, "ferry", False),
    ):
        updated = raw(keys.update(key_id=key_id, request_body=change))
        assert (updated.status_code, updated.content) == (204, b"")
        shown, [listed] = keys.get(key_id=key_id).signing_key, keys.get_all().data
        assert (shown.name, shown.disabled) == (listed.name, listed.disabled) == (name, disabled)
    delete(keys, key_id)


async def check_async() -> None:
    async with httpx.AsyncClient() as client:
        keys = connect(async_client=client)
        check_key(created := await keys.create_async())
        key_id = created.signing_key.id
        await keys.update_async(key_id=key_id, request_body={"disabled": True})
        shown = (await keys.get_async(key_id=key_id)).signing_key
        assert shown.disabled is True
        assert (await keys.get_all_async()).data == [shown]
        await keys.delete_async(key_id=key_id)


def refused(call: Any, **arguments: Any) -> tuple[int, list[str]]:
    """Return the status and the texts of the refusal that `call` meets."""
    try:
        call(**arguments)
    except errors.SDKError as error:
        return error.status_code, json.loads(error.body)["errors"]
    raise AssertionError("a refusal expected")


def check_errors(keys: Any) -> None:
    unknown, reader = str(uuid.uuid4()), connect(READONLY_TOKEN)
    status, [text] = refused(connect(unknown).get_all)
    assert (status, unknown in text) == (401, False)  # the provider's answer echoes the token
    assert live(reader) == live(keys)
    assert refused(reader.create) == refused(reader.delete, key_id=unknown) == DENIED
    assert refused(reader.update, key_id=unknown, request_body={}) == DENIED
    assert refused(keys.get, key_id=unknown) == refused(keys.delete, key_id=unknown) == MISSING
    assert refused(keys.update, key_id=unknown, request_body={}) == MISSING


def check_quota(keys: Any) -> None:
    created = [keys.create().signing_key for _ in range(10)]
    assert len({key.name for key in created}) == 10
    keys.update(key_id=created[0].id, request_body={"disabled": True})  # it counts all the same
    assert refused(keys.create) == FULL
    delete(keys, *(key.id for key in created))


def main() -> None:
    keys = connect()
    for check in (check_lifecycle, check_update, check_errors, check_quota):
        check(keys)
    asyncio.run(check_async())
    # With an Idempotency-Key the repeat of a create replaces the key whose answer was lost.
    with httpx.Client(headers={"Idempotency-Key": str(uuid.uuid4())}) as client:
        lost, kept = (raw(connect(client=client).create()).json() for _ in range(2))
    assert live(keys) == [kept["id"]] != [lost["id"]]
    halves = {"private_key": kept["privateKey"], "public_key": kept["publicKey"]}
    json.dump({"created": [{"id": kept["id"], "name": kept["name"], **halves}]}, sys.stdout)


if __name__ == "__main__":
    main()
