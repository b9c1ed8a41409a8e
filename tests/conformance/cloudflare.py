"""The case of Cloudflare Stream."""

from __future__ import annotations

import json

from gateway.errors import Code
from gateway.model import Scope
from tests.conformance.case import VALUES, Ask, Case, Claim, Look, Secrets

KEYS = "/accounts/{account_id}/stream/keys"
READ, WRITE = frozenset({Scope.KEYS_READ, Scope.KEYS_WRITE}), frozenset({Scope.KEYS_WRITE})
EMPTY_LIST = frozenset({"[]", " [ ] "})


def error(status: int, code: int, message: str = "MESSAGE", more: str = "") -> Look:
    """Return the envelope of one error."""
    shown = f'{{"code":{code},"message":"{message}"{more}}}'
    return Look(status, f'{{"result":null,"success":false,"errors":[{shown}],"messages":[]}}')


MALFORMED = error(
    400,
    6003,
    "Invalid request headers",
    ',"error_chain":[{"code":6111,"message":"Invalid format for Authorization header"}]',
)
DENIED = error(403, 10000, "Authentication error")


def pair(secrets: Secrets, key: str) -> dict[str, str]:
    """Return the X-Auth headers."""
    return {"X-Auth-Email": secrets.email, "X-Auth-Key": key}


def bearer(token: str) -> dict[str, str]:
    """Return the Authorization header."""
    return {"Authorization": f"Bearer {token}"}


def messages(body: bytes) -> list[str]:
    """Return the messages of an error envelope."""
    envelope = json.loads(body)
    errors = envelope.pop("errors")
    assert envelope == {"result": None, "success": False, "messages": []}
    assert all(type(each["code"]) is int and each["message"] for each in errors)
    return [each["message"] for each in errors]


CASE = Case(
    dialect="cloudflare",
    prefix="/client/v4",
    asks=[
        Ask("create_key", "POST", KEYS, WRITE, values=frozenset(VALUES)),
        Ask("list_keys", "GET", KEYS, READ),
        Ask("delete_key", "DELETE", KEYS + "/{key_id}", WRITE),
        Ask(
            "mint_token",
            "POST",
            "/accounts/{account_id}/stream/{video_id:text}/token",
            frozenset({Scope.TOKENS_WRITE}),
            '{"id":"{key_id}","pem":"eA=="}',
            values=EMPTY_LIST,
        ),
        Ask("verify_token", "GET", "/user/tokens/verify"),
        Ask("verify_token", "GET", "/accounts/{account_id}/tokens/verify"),
    ],
    looks={
        Code.CREDENTIALS_MISSING: error(
            400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers"
        ),
        Code.CREDENTIALS_MALFORMED: MALFORMED,
        Code.SCHEME_UNSUPPORTED: MALFORMED,
        Code.TOKEN_INVALID: error(401, 10000, "Authentication error"),
        Code.ACCOUNT_SUSPENDED: DENIED,
        Code.FORBIDDEN: DENIED,
        Code.ROUTE_UNKNOWN: error(
            404, 7003, "Could not route to PATH, perhaps your object identifier is invalid?"
        ),
        Code.METHOD_UNKNOWN: error(405, 10405, "Method not allowed for this authentication scheme"),
        Code.KEY_UNKNOWN: error(
            404, 10003, "Not Found: The requested resource or operation was not found."
        ),
        Code.QUERY_INVALID: error(400, 10005),
        Code.HEADER_INVALID: error(400, 10005),
        Code.BODY_MALFORMED: error(400, 10005),
        Code.BODY_INVALID: error(400, 10005),
        Code.BODY_TOO_LARGE: error(413, 10005),
        Code.TRANSFER_CODING_UNSUPPORTED: error(501, 10005),
        Code.ENCODING_UNSUPPORTED: error(415, 10005),
        Code.URI_TOO_LONG: error(414, 10005),
        Code.HEADERS_TOO_LARGE: error(431, 10005),
        Code.QUOTA_EXCEEDED: error(400, 10005),
        Code.RATE_LIMITED: error(
            429, 971, "Please wait and consider throttling your request speed"
        ),
        Code.NOT_CONFIGURED: error(501, 10001),
        Code.POOL_EMPTY: error(503, 10001),
        Code.UNAVAILABLE: error(503, 10001),
        Code.INTERNAL: error(500, 10001),
    },
    special_looks={
        (Code.TOKEN_INVALID, "verify_token"): error(401, 1000, "Invalid API Token"),
    },
    claims=[
        Claim("bearer", lambda secrets: bearer(secrets.valid)),
        Claim("any-case", lambda secrets: {"Authorization": f"bEARER   {secrets.valid}"}),
        Claim("pair", lambda secrets: pair(secrets, secrets.valid)),
        Claim(
            "pair-any-case",
            lambda secrets: pair(secrets, secrets.valid) | {"X-Auth-Email": secrets.email.upper()},
        ),
        Claim(
            "only-bearer-valid",
            lambda secrets: bearer(secrets.valid) | pair(secrets, secrets.unknown),
        ),
        Claim(
            "only-pair-valid",
            lambda secrets: bearer(secrets.unknown) | pair(secrets, secrets.valid),
        ),
        Claim(
            "malformed-and-pair",
            lambda secrets: {"Authorization": "Bearer"} | pair(secrets, secrets.valid),
        ),
        Claim("none", lambda _: {}, Code.CREDENTIALS_MISSING),
        Claim(
            "email-only", lambda secrets: {"X-Auth-Email": secrets.email}, Code.CREDENTIALS_MISSING
        ),
        Claim("key-only", lambda secrets: {"X-Auth-Key": secrets.valid}, Code.CREDENTIALS_MISSING),
        Claim("no-token", lambda _: {"Authorization": "Bearer"}, Code.CREDENTIALS_MALFORMED),
        Claim("empty", lambda _: {"Authorization": ""}, Code.CREDENTIALS_MALFORMED),
        Claim(
            "no-scheme",
            lambda secrets: {"Authorization": secrets.valid},
            Code.CREDENTIALS_MALFORMED,
        ),
        Claim(
            "other-scheme",
            lambda secrets: {"Authorization": f"Digest {secrets.valid}"},
            Code.CREDENTIALS_MALFORMED,
        ),
        Claim(
            "two-words",
            lambda secrets: {"Authorization": f"Bearer {secrets.valid} more"},
            Code.CREDENTIALS_MALFORMED,
        ),
        Claim("unknown", lambda secrets: bearer(secrets.unknown), Code.TOKEN_INVALID),
        Claim("revoked", lambda secrets: bearer(secrets.revoked), Code.TOKEN_INVALID),
        Claim("expired", lambda secrets: bearer(secrets.expired), Code.TOKEN_INVALID),
        Claim("suspended", lambda secrets: bearer(secrets.suspended), Code.ACCOUNT_SUSPENDED),
        Claim(
            "both-unknown",
            lambda secrets: bearer(secrets.unknown) | pair(secrets, secrets.revoked),
            Code.TOKEN_INVALID,
        ),
        Claim(
            "email-of-somebody-else",
            lambda secrets: pair(secrets, secrets.valid) | {"X-Auth-Email": "x@example.invalid"},
            Code.TOKEN_INVALID,
        ),
    ],
    spell=lambda value: value.hex,
    created_id=lambda answer: str(answer["result"]["id"]),
    listed_ids=lambda answer: [key["id"] for key in answer["result"]],
    messages=messages,
    deleted_again=200,
    nowhere="/accounts",
)
