"""Cloudflare Stream: signing keys as its SDKs and documentation know them.

Routes below `/client/v4`:

| route | scopes | answer |
|---|---|---|
| `POST /accounts/{account_id}/stream/keys` | write | the new key with `pem` and `jwk`, once |
| `GET /accounts/{account_id}/stream/keys` | read | all keys, newest first |
| `DELETE /accounts/{account_id}/stream/keys/{key_id}` | write | `"Revoked"`; again: the same |
| `POST /accounts/{account_id}/stream/{video_id}/token` | `tokens:write` | a playback token |
| `GET /accounts/{account_id}/tokens/verify` | any | the API token's state |
| `GET /user/tokens/verify` | any | the same |

Scopes: "write" is `keys:write`, "read" is `keys:read` or `keys:write`.
Ids are 32 lower-case hexadecimal digits; a key's id is its `kid`. Credentials are
`Authorization: Bearer TOKEN`, or `X-Auth-Email` with `X-Auth-Key: TOKEN`; when both arrive, either
valid one is enough. The whole account is visible, unless the token is confined to one project.
The contract of create defines no body: any JSON is let pass there.
An `Idempotency-Key` header on create makes repeats safe for 24 hours.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from adapters._cloudflare_token import supplied_key, token_claims
from adapters.dialect import (
    Call,
    Credential,
    Dialect,
    OpenOperation,
    Operation,
    body_decoder,
    read_json,
    retry_key,
)
from gateway.errors import Code, GatewayError
from gateway.keys import NewKey
from gateway.model import KeyRequest, Scope
from gateway.web.exchange import Reply, Request
from schemas import cloudflare as wire

_READ = frozenset({Scope.KEYS_READ, Scope.KEYS_WRITE})
_WRITE = frozenset({Scope.KEYS_WRITE})
_ID = re.compile(r"[0-9a-f]{32}")
_VIDEO_ID = re.compile(r"(?!\.+\Z)[^\x00-\x20\x7f/]{1,256}")
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)
_MINTING = frozenset({Scope.TOKENS_WRITE})
_MINT = "/accounts/{account_id}/stream/{video_id:text}/token"
_encode = msgspec.json.Encoder().encode

_AUTHENTICATION = (10000, "Authentication error")
_NOT_FOUND = "Not Found: The requested resource or operation was not found."

# Status, code and message of each refusal; None stands for the core's own message.
_LOOKS: dict[Code, tuple[int, int, str | None]] = {
    Code.CREDENTIALS_MISSING: (
        400,
        9106,
        "Missing X-Auth-Key, X-Auth-Email or Authorization headers",
    ),
    Code.CREDENTIALS_MALFORMED: (400, 6003, "Invalid request headers"),
    Code.SCHEME_UNSUPPORTED: (400, 6003, "Invalid request headers"),
    Code.TOKEN_INVALID: (401, *_AUTHENTICATION),
    Code.ACCOUNT_SUSPENDED: (403, *_AUTHENTICATION),
    Code.FORBIDDEN: (403, *_AUTHENTICATION),
    Code.ROUTE_UNKNOWN: (404, 7003, None),
    Code.METHOD_UNKNOWN: (405, 10405, "Method not allowed for this authentication scheme"),
    Code.KEY_UNKNOWN: (404, 10003, _NOT_FOUND),
    Code.QUERY_INVALID: (400, 10005, None),
    Code.HEADER_INVALID: (400, 10005, None),
    Code.BODY_MALFORMED: (400, 10005, None),
    Code.BODY_INVALID: (400, 10005, None),
    Code.BODY_TOO_LARGE: (413, 10005, None),
    Code.TRANSFER_CODING_UNSUPPORTED: (501, 10005, None),
    Code.ENCODING_UNSUPPORTED: (415, 10005, None),
    Code.URI_TOO_LONG: (414, 10005, None),
    Code.HEADERS_TOO_LARGE: (431, 10005, None),
    Code.QUOTA_EXCEEDED: (400, 10005, None),
    Code.RATE_LIMITED: (
        429,
        971,
        "Please wait and consider throttling your request speed",
    ),
    Code.NOT_CONFIGURED: (501, 10001, None),
    Code.POOL_EMPTY: (503, 10001, None),
    Code.UNAVAILABLE: (503, 10001, None),
    Code.INTERNAL: (500, 10001, None),
}
_MALFORMED_HEADER = [wire.ChainedError(6111, "Invalid format for Authorization header")]
_ACTIVE = wire.Message(10000, "This API Token is valid and active")  # scripts search for it
_PATH_SHOWN = 200  # characters of a path that an error message repeats


class Adapter(Dialect):
    """The dialect of `cloudflare` SDKs."""

    name = "cloudflare"
    prefix = "/client/v4"
    quota = 1000

    @property
    def operations(self) -> Sequence[Operation | OpenOperation]:
        """All routes."""
        keys = "/accounts/{account_id}/stream/keys"
        mint = body_decoder(wire.MintToken, empty_list=True)
        return (
            Operation("create_key", "POST", keys, create_key, _WRITE, read_json),
            Operation("list_keys", "GET", keys, list_keys, _READ),
            Operation("delete_key", "DELETE", keys + "/{key_id}", delete_key, _WRITE),
            Operation("mint_token", "POST", _MINT, mint_token, _MINTING, mint),
            Operation("verify_token", "GET", "/user/tokens/verify", verify_token),
            Operation("verify_token", "GET", "/accounts/{account_id}/tokens/verify", verify_token),
        )

    def credentials(self, request: Request) -> Iterable[Credential]:
        """Return the bearer token and the X-Auth pair, as far as they were sent."""
        header = request.header(b"authorization")
        email, key = request.header(b"x-auth-email"), request.header(b"x-auth-key")
        found = []
        bearer = _BEARER.fullmatch(header) if header is not None else None
        if bearer is not None:
            found.append(Credential(bearer[1]))
        if email and key:
            found.append(Credential(key, email=email))
        if not found and header is not None:
            raise GatewayError(Code.CREDENTIALS_MALFORMED, "Authorization should be: Bearer TOKEN")
        if not found:
            raise GatewayError(Code.CREDENTIALS_MISSING, "no credentials were sent")
        return found

    def parse_id(self, text: str) -> UUID | None:
        """Return the id spelled by 32 lower-case hexadecimal digits."""
        return UUID(text) if _ID.fullmatch(text) else None

    def render_error(self, error: GatewayError, request: Request, operation: str | None) -> Reply:
        """Return the error envelope; see the table of looks above."""
        status, code, message = _LOOKS[error.code]
        if error.code is Code.TOKEN_INVALID and operation == "verify_token":
            code, message = 1000, "Invalid API Token"
        if error.code is Code.ROUTE_UNKNOWN:
            path = (self.prefix + request.path)[:_PATH_SHOWN]
            message = f"Could not route to {path}, perhaps your object identifier is invalid?"
        shown = wire.Error(code, error.message if message is None else message)
        if code == 6003:
            shown = wire.Error(code, shown.message, error_chain=_MALFORMED_HEADER)
        if error.faults:
            pointer = wire.Source(error.faults[0].path)
            shown = wire.Error(code, shown.message, source=pointer)
        reply = Reply(status, _encode(wire.Envelope(None, success=False, errors=[shown])))
        if error.code is Code.NOT_CONFIGURED:
            reply.headers.append((b"x-should-retry", b"false"))
        return reply


async def create_key(call: Call) -> Reply:
    """POST stream/keys: the only answer that ever holds this key's private half."""
    made = await call.services.keys.create(call.caller, KeyRequest(retry_key=retry_key(call)))
    return _success(
        wire.CreatedKey(
            id=made.key.id.hex,
            pem=b64encode(made.pair.traditional_pem).decode(),
            jwk=b64encode(_private_jwk(made)).decode(),
            created=_rfc3339(made.key.created_at)[:-1] + "000Z",
        )
    )


async def list_keys(call: Call) -> Reply:
    """GET stream/keys: every key of the account, whichever door it was created through."""
    keys = await call.services.keys.all(call.principal.account_view)
    return _success(
        [wire.ListedKey(key.id.hex, key.id.hex, _rfc3339(key.created_at)) for key in keys]
    )


async def delete_key(call: Call) -> Reply:
    """DELETE stream/keys/{key_id}: repeating it is no error, since SDKs repeat by themselves."""
    view = call.principal.account_view
    await call.services.keys.delete(call.caller, view, call.ids["key_id"])
    return _success("Revoked")


async def mint_token(call: Call) -> Reply:
    """POST stream/{video_id}/token: signed with `id` and `pem`, else with the account's own key."""
    body: wire.MintToken = call.body
    minter, account_id = call.services.minter, call.principal.account_id
    video_id = call.texts["video_id:text"]
    if not _VIDEO_ID.fullmatch(video_id):
        raise GatewayError(Code.ROUTE_UNKNOWN, "there is no such video")
    claims = token_claims(body, video_id, call.services.clock())
    supplied = supplied_key(body)
    if supplied is not None:
        token = await minter.mint_with(account_id, supplied, claims)
    else:
        token = await minter.mint(account_id, call.request.request_id, claims)
    return _success(wire.MintedToken(token))


async def verify_token(call: Call) -> Reply:
    """GET tokens/verify: clients call it to test their credentials."""
    status = wire.TokenStatus(call.principal.token_id.hex, "active")
    return Reply(200, _encode(wire.Envelope(status, messages=[_ACTIVE])))


def _success(result: object) -> Reply:
    return Reply(200, _encode(wire.Envelope(result)))


def _private_jwk(made: NewKey) -> bytes:
    return _encode(
        wire.PrivateJwk(
            use="sig", kty="RSA", kid=made.key.id.hex, alg=made.key.algorithm, **dict(made.pair.jwk)
        )
    )


def _rfc3339(moment: datetime) -> str:
    """Return a moment in UTC with six digits, even when they are zero (RFC 3339)."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
