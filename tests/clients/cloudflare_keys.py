"""Every call the `cloudflare` SDK has on signing keys, made against a running Keyferry.

Runs unmodified under cloudflare 4.3.1 and 5.9.0 and shows that their users change the base URL and
nothing else: create, list and delete, sync and async; the raw answers; both kinds of credentials;
the exception classes; a create that is safe to repeat. It expects an account without keys, fails
by assertion, leaves one live key and prints that key as one JSON object.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import uuid
from typing import Any

import cloudflare
from cloudflare import AsyncCloudflare, Cloudflare

TOKEN, ACCOUNT = os.environ["KEYFERRY_TOKEN"], os.environ["KEYFERRY_ACCOUNT"]
OPTIONS: dict[str, Any] = {"base_url": os.environ["KEYFERRY_URL"], "max_retries": 0, "timeout": 30}
# Until 5.0 the SDK demands a body that the API does not have.
BODY: dict[str, Any] = {"body": {}} if cloudflare.__version__.startswith("4.") else {}
JWK_MEMBERS = ["use", "kty", "kid", "alg", "n", "e", "d", "p", "q", "dp", "dq", "qi"]


def create(keys: Any, **options: Any) -> Any:
    """Create a key through `keys`; the answer of an async resource is to be awaited."""
    return keys.create(account_id=ACCOUNT, **BODY, **options)


def live(client: Cloudflare) -> list[str]:
    return [key.id for key in client.stream.keys.get(account_id=ACCOUNT)]


def check_key(key: Any) -> None:
    """A created key carries its private half twice: PKCS#1 in PEM, and a JWK of the same id."""
    assert uuid.UUID(key.id).hex == key.id
    first, *body, last, end = base64.b64decode(key.pem, validate=True).decode().split("\n")
    assert (first, last) == ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----")
    assert (end, {len(line) for line in body[:-1]}) == ("", {64})
    jwk = json.loads(base64.b64decode(key.jwk, validate=True))
    assert list(jwk) == JWK_MEMBERS
    assert (jwk["use"], jwk["kty"], jwk["alg"], jwk["kid"]) == ("sig", "RSA", "RS256", key.id)
    assert len(base64.urlsafe_b64decode(jwk["n"] + "==")) == 256


def check_lifecycle(client: Cloudflare) -> None:
    assert live(client) == []
    keys = [create(client.stream.keys), create(client.stream.keys)]
    check_key(keys[0])
    listed = client.stream.keys.get(account_id=ACCOUNT).result[::-1]  # newest first
    assert [key.id for key in listed] == [key.key_id for key in listed] == [key.id for key in keys]
    assert [key.created for key in listed] == [key.created for key in keys]
    for key in (*keys, keys[0]):  # a DELETE whose answer was lost is sent again
        assert client.stream.keys.delete(key.id, account_id=ACCOUNT) == "Revoked"
    assert live(client) == []


async def check_async() -> None:
    async with AsyncCloudflare(api_token=TOKEN, **OPTIONS) as client:
        keys = client.stream.keys
        key = await create(keys)
        check_key(key)
        assert [listed.id async for listed in keys.get(account_id=ACCOUNT)] == [key.id]
        raw = await keys.with_raw_response.delete(key.id, account_id=ACCOUNT)
        assert (await raw.json())["result"] == await raw.parse() == "Revoked"
        assert (await keys.get(account_id=ACCOUNT)).result == []


def check_raw(client: Cloudflare) -> None:
    """Every answer wears the envelope, and no cache may keep a private key."""
    keys = client.stream.keys
    created = create(keys.with_raw_response)
    assert (created.status_code, created.headers["Content-Type"]) == (200, "application/json")
    assert "no-store" in created.headers["Cache-Control"]
    assert list(created.json()) == ["result", "success", "errors", "messages"]
    assert list(created.json()["result"]) == ["id", "pem", "jwk", "created"]
    with keys.with_streaming_response.get(account_id=ACCOUNT) as listed:
        assert [key.id for key in listed.parse()] == [created.parse().id]
    deleted = keys.with_raw_response.delete(created.parse().id, account_id=ACCOUNT)
    assert deleted.json() == {"result": "Revoked", "success": True, "errors": [], "messages": []}


def check_credentials(client: Cloudflare, reader: Cloudflare) -> None:
    """Two calls test a token; X-Auth-Email with X-Auth-Key does all that the token does."""
    assert client.user.tokens.verify().status == "active"
    assert client.accounts.tokens.verify(account_id=ACCOUNT).status == "active"
    by_email = Cloudflare(api_email=os.environ["KEYFERRY_EMAIL"], api_key=TOKEN, **OPTIONS)
    key = create(by_email.stream.keys)
    assert live(by_email) == live(client) == live(reader) == [key.id]
    assert by_email.stream.keys.delete(key.id, account_id=ACCOUNT) == "Revoked"


def refused(call: Any, *args: Any, **options: Any) -> tuple[type[Any], list[int]]:
    """Return the class and the error codes of the refusal that `call` meets."""
    try:
        call(*args, **options)
    except cloudflare.APIStatusError as error:
        return type(error), [each.code for each in error.errors if each.message]
    raise AssertionError("a refusal expected")


def check_errors(client: Cloudflare, reader: Cloudflare) -> None:
    unknown, keys, bare = uuid.uuid4().hex, client.stream.keys, {"Authorization": "Bearer"}
    stranger = Cloudflare(api_token=unknown, **OPTIONS)
    assert refused(create, keys, extra_headers=bare) == (cloudflare.BadRequestError, [6003])
    assert refused(live, stranger) == (cloudflare.AuthenticationError, [10000])
    assert refused(stranger.user.tokens.verify) == (cloudflare.AuthenticationError, [1000])
    denied = (cloudflare.PermissionDeniedError, [10000])
    assert refused(create, reader.stream.keys) == denied
    assert refused(reader.stream.keys.delete, unknown, account_id=ACCOUNT) == denied
    assert refused(keys.get, account_id=unknown) == denied
    missing = cloudflare.NotFoundError
    assert refused(keys.delete, unknown, account_id=ACCOUNT) == (missing, [10003])
    assert refused(keys.get, account_id="nobody") == (missing, [7003])


def create_twice(client: Cloudflare) -> Any:
    """With an Idempotency-Key the repeat of a create replaces the key whose answer was lost."""
    header = {"Idempotency-Key": str(uuid.uuid4())}
    lost, kept = (create(client.stream.keys, extra_headers=header) for _ in range(2))
    assert live(client) == [kept.id] != [lost.id]
    return kept


def main() -> None:
    client = Cloudflare(api_token=TOKEN, **OPTIONS)
    reader = Cloudflare(api_token=os.environ["KEYFERRY_READONLY_TOKEN"], **OPTIONS)
    check_lifecycle(client)
    asyncio.run(check_async())
    check_raw(client)
    check_credentials(client, reader)
    check_errors(client, reader)
    kept = create_twice(client)
    shown = {"id": kept.id, "pem": kept.pem, "jwk": kept.jwk, "created": kept.created.isoformat()}
    json.dump({"created": [shown]}, sys.stdout)


if __name__ == "__main__":
    main()
