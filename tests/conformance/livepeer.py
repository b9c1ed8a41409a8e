"""The case of Livepeer Studio."""

from __future__ import annotations

import json
from base64 import b64encode
from uuid import UUID

from gateway.errors import Code
from gateway.model import Scope
from tests.conformance.case import Ask, Case, Claim, Look, Secrets

KEYS = "/access-control/signing-key"
READ, WRITE = frozenset({Scope.KEYS_READ, Scope.KEYS_WRITE}), frozenset({Scope.KEYS_WRITE})
EMPTY_LIST = frozenset({"[]", " [ ] "})
UNAUTHENTICATED = "request is not authenticated"


def error(status: int, text: str = "MESSAGE") -> Look:
    """Return the envelope of one error."""
    return Look(status, f'{{"errors":["{text}"]}}')


def bearer(token: str) -> dict[str, str]:
    """Return the usual Authorization header."""
    return {"Authorization": f"Bearer {token}"}


def basic(user: str, token: str, scheme: str = "Basic") -> dict[str, str]:
    """Return the header of RFC 7617."""
    return {"Authorization": f"{scheme} {b64encode(f'{user}:{token}'.encode()).decode()}"}


def own(secrets: Secrets) -> str:
    """Return the account's id as the dialect spells it."""
    return str(secrets.account_id)


def messages(body: bytes) -> list[str]:
    """Return the texts of an error envelope."""
    envelope = json.loads(body)
    texts = envelope.pop("errors")
    assert envelope == {}
    assert all(type(text) is str and text for text in texts)
    return list(texts)


CASE = Case(
    dialect="livepeer",
    prefix="/api",
    asks=[
        Ask("create_key", "POST", KEYS, WRITE, values=EMPTY_LIST),
        Ask("list_keys", "GET", KEYS, READ),
        Ask("get_key", "GET", KEYS + "/{key_id}", READ),
        Ask("update_key", "PATCH", KEYS + "/{key_id}", WRITE, '{"name":"ferry"}', 204),
        Ask("delete_key", "DELETE", KEYS + "/{key_id}", WRITE, status=204),
        Ask("gate", "POST", "/access-control/gate", body='{"type":"jwt"}', open=True),
    ],
    looks={
        Code.CREDENTIALS_MISSING: error(401, UNAUTHENTICATED),
        Code.CREDENTIALS_MALFORMED: error(401, UNAUTHENTICATED),
        Code.SCHEME_UNSUPPORTED: error(401),
        Code.TOKEN_INVALID: error(401, "no token found"),
        Code.ACCOUNT_SUSPENDED: error(403, "user is suspended"),
        Code.FORBIDDEN: error(403, "credential has insufficent privileges"),
        Code.ROUTE_UNKNOWN: error(404, "not found"),
        Code.METHOD_UNKNOWN: error(404, "not found"),
        Code.KEY_UNKNOWN: error(404, "not found"),
        Code.QUERY_INVALID: error(400),
        Code.HEADER_INVALID: error(400),
        Code.BODY_MALFORMED: error(400),
        Code.BODY_INVALID: error(422),
        Code.BODY_TOO_LARGE: error(413, "request entity too large"),
        Code.TRANSFER_CODING_UNSUPPORTED: error(501),
        Code.ENCODING_UNSUPPORTED: error(415),
        Code.URI_TOO_LONG: error(414),
        Code.HEADERS_TOO_LARGE: error(431),
        Code.QUOTA_EXCEEDED: error(
            403, "user can only have up to 7 signing keys, delete some first"
        ),
        Code.RATE_LIMITED: error(429),
        Code.NOT_CONFIGURED: error(501),
        Code.POOL_EMPTY: error(503),
        Code.UNAVAILABLE: error(503),
        Code.INTERNAL: error(500, "Internal server error"),
    },
    claims=[
        Claim("bearer", lambda secrets: bearer(secrets.valid)),
        Claim("any-case", lambda secrets: {"Authorization": f"bEARER   {secrets.valid}"}),
        Claim("tab", lambda secrets: {"Authorization": f"Bearer\t{secrets.valid}"}),
        Claim("basic", lambda secrets: basic(own(secrets), secrets.valid)),
        Claim("basic-any-case", lambda secrets: basic(own(secrets), secrets.valid, "bASIC ")),
        Claim("basic-hex", lambda secrets: basic(secrets.account_id.hex, secrets.valid)),
        Claim("none", lambda _: {}, Code.CREDENTIALS_MISSING),
        Claim("empty", lambda _: {"Authorization": ""}, Code.CREDENTIALS_MISSING),
        Claim(
            "pair",
            lambda secrets: {"X-Auth-Email": secrets.email, "X-Auth-Key": secrets.valid},
            Code.CREDENTIALS_MISSING,
        ),
        Claim("no-token", lambda _: {"Authorization": "Bearer"}, Code.CREDENTIALS_MALFORMED),
        Claim(
            "no-scheme",
            lambda secrets: {"Authorization": secrets.valid},
            Code.CREDENTIALS_MALFORMED,
        ),
        Claim(
            "token-as-scheme",
            lambda secrets: {"Authorization": f"{secrets.valid} x"},
            Code.CREDENTIALS_MALFORMED,
        ),
        Claim(
            "basic-not-base64",
            lambda _: {"Authorization": "Basic ?"},
            Code.CREDENTIALS_MALFORMED,
        ),
        Claim(
            "basic-without-colon",
            lambda _: {"Authorization": "Basic " + b64encode(b"user").decode()},
            Code.CREDENTIALS_MALFORMED,
        ),
        Claim(
            "basic-of-nobody",
            lambda secrets: basic("user", secrets.valid),
            Code.CREDENTIALS_MALFORMED,
        ),
        Claim(
            "other-scheme",
            lambda secrets: {"Authorization": f"Digest {secrets.valid}"},
            Code.SCHEME_UNSUPPORTED,
            "unsupported authorization header scheme: Digest",
        ),
        Claim("unknown", lambda secrets: bearer(secrets.unknown), Code.TOKEN_INVALID),
        Claim("revoked", lambda secrets: bearer(secrets.revoked), Code.TOKEN_INVALID),
        Claim("expired", lambda secrets: bearer(secrets.expired), Code.TOKEN_INVALID),
        Claim("suspended", lambda secrets: bearer(secrets.suspended), Code.ACCOUNT_SUSPENDED),
        Claim(
            "basic-of-another-account",
            lambda secrets: basic(str(UUID(int=7)), secrets.valid),
            Code.TOKEN_INVALID,
        ),
        Claim(
            "basic-unknown",
            lambda secrets: basic(own(secrets), secrets.unknown),
            Code.TOKEN_INVALID,
        ),
    ],
    spell=str,
    created_id=lambda answer: str(answer["id"]),
    listed_ids=lambda answer: [key["id"] for key in answer],
    messages=messages,
    deleted_again=404,
    nowhere="/access-control",
    slashes=frozenset({"at-the-end", "behind-the-prefix", "both"}),
)
