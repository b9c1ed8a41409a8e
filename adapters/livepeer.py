"""Livepeer Studio: access control signing keys as its SDKs and documentation know them.

Routes below `/api`:

| route | scopes | answer |
|---|---|---|
| `POST /access-control/signing-key` | write | 200, the new key with `privateKey`, once |
| `GET /access-control/signing-key` | read | an array, newest first |
| `GET /access-control/signing-key/{key_id}` | read | the key |
| `PATCH /access-control/signing-key/{key_id}` | write | 204; `name` and `disabled` |
| `DELETE /access-control/signing-key/{key_id}` | write | 204; again: 404 |
| `POST /access-control/gate?account=ID` | none | 200 plays, 403 and 404 do not |

A slash at the end of a path, or one more behind `/api`, changes nothing. `projectId` in a query is
refused: an API token's project is its own.
Scopes: "write" is `keys:write`, "read" is `keys:read` or `keys:write`.
Ids are lower-case UUIDs with dashes. Credentials are `Authorization: Bearer TOKEN` or `Basic` with
the account id and the token. A token sees its project; one without sees the account's default
project. The list takes `limit`, `cursor`, `order`, `filters` and `count`. An `Idempotency-Key`
header on create makes repeats safe for 24 hours.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from msgspec import UNSET

from adapters._livepeer_listing import next_link, read_search
from adapters.dialect import (
    Call,
    Credential,
    Dialect,
    OpenCall,
    OpenOperation,
    Operation,
    body_decoder,
    retry_key,
)
from gateway.crypto import spki_pem
from gateway.errors import Code, Fault, GatewayError
from gateway.gate import GateVerdict
from gateway.model import Algorithm, KeyChange, KeyRequest, Scope, SigningKey, read_id
from gateway.web.exchange import Reply, Request
from schemas import livepeer as wire

_READ = frozenset({Scope.KEYS_READ, Scope.KEYS_WRITE})
_WRITE = frozenset({Scope.KEYS_WRITE})
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST_SCHEME = 15  # characters; an API token has at least 16
_encode = msgspec.json.Encoder().encode

# Status and text of each refusal; None stands for the core's own message.
_LOOKS: dict[Code, tuple[int, str | None]] = {
    Code.CREDENTIALS_MISSING: (401, "request is not authenticated"),
    Code.CREDENTIALS_MALFORMED: (401, "request is not authenticated"),
    Code.SCHEME_UNSUPPORTED: (401, None),
    Code.TOKEN_INVALID: (401, "no token found"),
    Code.ACCOUNT_SUSPENDED: (403, "user is suspended"),
    Code.FORBIDDEN: (403, "credential has insufficent privileges"),  # the provider's spelling
    Code.ROUTE_UNKNOWN: (404, "not found"),
    Code.METHOD_UNKNOWN: (404, "not found"),
    Code.KEY_UNKNOWN: (404, "not found"),
    Code.QUERY_INVALID: (400, None),
    Code.HEADER_INVALID: (400, None),
    Code.BODY_MALFORMED: (400, None),
    Code.BODY_INVALID: (422, None),
    Code.BODY_TOO_LARGE: (413, "request entity too large"),
    Code.TRANSFER_CODING_UNSUPPORTED: (501, None),
    Code.ENCODING_UNSUPPORTED: (415, None),
    Code.URI_TOO_LONG: (414, None),
    Code.HEADERS_TOO_LARGE: (431, None),
    Code.QUOTA_EXCEEDED: (403, None),
    Code.RATE_LIMITED: (429, None),
    Code.NOT_CONFIGURED: (501, None),
    Code.POOL_EMPTY: (503, None),
    Code.UNAVAILABLE: (503, None),
    Code.INTERNAL: (500, "Internal server error"),
}


class Adapter(Dialect):
    """The dialect of `livepeer` SDKs."""

    name = "livepeer"
    prefix = "/api"
    quota = 10
    algorithms = (Algorithm.RS256, Algorithm.ES256)

    @property
    def operations(self) -> Sequence[Operation | OpenOperation]:
        """All routes."""
        keys = "/access-control/signing-key"
        one = keys + "/{key_id}"
        # Of the bodies whose members are all optional, the provider's description gives only the
        # one of create no type: there `[]` passes, and PATCH asks for an object.
        create = body_decoder(wire.CreateSigningKey, empty_list=True)
        update = body_decoder(wire.UpdateSigningKey)
        return (
            Operation("create_key", "POST", keys, create_key, _WRITE, create),
            Operation("list_keys", "GET", keys, list_keys, _READ),
            Operation("get_key", "GET", one, get_key, _READ),
            Operation("update_key", "PATCH", one, update_key, _WRITE, update),
            Operation("delete_key", "DELETE", one, delete_key, _WRITE),
            OpenOperation(
                "gate", "POST", "/access-control/gate", gate_at_once, gate, body_decoder(wire.Gate)
            ),
        )

    def credentials(self, request: Request) -> Iterable[Credential]:
        """Return the token of a Bearer or Basic header, in any case and spacing."""
        header = request.header(b"authorization")
        if not header:
            raise GatewayError(Code.CREDENTIALS_MISSING, "no credentials were sent")
        # What has no second word may be a bare token, which an answer must not repeat.
        scheme, *rest = header.split(None, 1)
        match scheme.lower(), rest:
            case "bearer", [token]:
                return [Credential(token)]
            case "basic", [encoded]:
                return [_basic(encoded)]
            case _, [_] if len(scheme) <= _LONGEST_SCHEME:
                message = f"unsupported authorization header scheme: {scheme}"
                raise GatewayError(Code.SCHEME_UNSUPPORTED, message)
        raise GatewayError(Code.CREDENTIALS_MALFORMED, "Authorization should be: Bearer TOKEN")

    def query_fault(self, request: Request) -> GatewayError | None:
        """Refuse `projectId`, as the provider does: a token's project cannot be chosen by a query.

        Ignored, it would show or change another project's keys than the caller believes.
        """
        for name, _ in parse_qsl(request.query_string.decode("latin-1")):  # without empty values
            if name.partition("[")[0] == "projectId":
                return GatewayError(Code.QUERY_INVALID, "projectId as query param not supported")
        return None

    def routed(self, path: str) -> str:
        """Drop a slash too many at the end or behind the prefix, as Express does by default.

        So a client may end its base URL in a slash, or an address.
        """
        if path.startswith("//"):
            path = path[1:]
        return path.removesuffix("/")

    def parse_id(self, text: str) -> UUID | None:
        """Return the id spelled by a lower-case UUID with dashes."""
        return UUID(text) if _ID.fullmatch(text) else None

    def render_error(self, error: GatewayError, request: Request, operation: str | None) -> Reply:  # noqa: ARG002
        """Return `{"errors": [...]}`, one entry per fault of a body."""
        status, text = _LOOKS[error.code]
        texts = [error.message if text is None else text]
        if error.faults:
            texts = [_fault(fault) for fault in error.faults]
        if error.code is Code.QUOTA_EXCEEDED:
            texts = [f"user can only have up to {error.limit} signing keys, delete some first"]
        return Reply(status, _encode(wire.Errors(texts)))


async def create_key(call: Call) -> Reply:
    """POST signing-key: the only answer that ever holds this key's private half."""
    body: wire.CreateSigningKey = call.body
    if body.projectId is not UNSET and body.projectId != str(call.principal.project_id):
        raise GatewayError(Code.FORBIDDEN, "the token belongs to another project")
    request = KeyRequest(body.name or None, label="Signing Key", retry_key=retry_key(call))
    made = await call.services.keys.create(call.caller, request)
    return Reply(200, _encode(_shown(made.key, made.pair.pkcs8_pem)))


async def list_keys(call: Call) -> Reply:
    """GET signing-key: one page of the project's keys."""
    search = read_search(call.request.query(), call.principal)
    page = await call.services.keys.page(call.principal.project_view, search)
    reply = Reply(200, _encode([_shown(key) for key in page.keys]))
    if page.next is not None:
        reply.headers.append((b"link", next_link(call.request, page.next)))
    if page.total is not None:
        reply.headers.append((b"x-total-count", b"%d" % page.total))
    return reply


async def get_key(call: Call) -> Reply:
    """GET signing-key/{key_id}: the key without its private half."""
    key = await call.services.keys.get(call.principal.project_view, call.ids["key_id"])
    return Reply(200, _encode(_shown(key)))


async def update_key(call: Call) -> Reply:
    """PATCH signing-key/{key_id}: 204 without a body, which is what the SDKs expect."""
    body: wire.UpdateSigningKey = call.body
    change = KeyChange(
        name=None if body.name is UNSET else body.name,
        disabled=None if body.disabled is UNSET else body.disabled,
    )
    view = call.principal.project_view
    await call.services.keys.update(call.caller, view, call.ids["key_id"], change)
    return Reply(204)


async def delete_key(call: Call) -> Reply:
    """DELETE signing-key/{key_id}: 204 once, 404 from then on."""
    view = call.principal.project_view
    if not await call.services.keys.delete(call.caller, view, call.ids["key_id"]):
        raise GatewayError(Code.KEY_UNKNOWN, "not found")
    return Reply(204)


def gate_at_once(call: OpenCall) -> Reply | None:
    """POST gate, when the account is named and its key in memory."""
    account_id = read_id(call.request.query().get("account", ""))
    play: wire.Gate = call.body
    if account_id is None or not play.pub:
        return None
    verdict = call.services.gate.judge_warm(account_id, play.pub, play=play.type == "jwt")
    return None if verdict is None else _gate_reply(call, account_id, verdict)


async def gate(call: OpenCall) -> Reply:
    """POST gate: whether a media server may play, which has checked the signature itself."""
    account_id = await _gated_account(call)
    play: wire.Gate = call.body
    if not play.pub:
        return _gated(403, "Content is gated and requires a public key", "key_unnamed")
    verdict = await call.services.gate.judge(account_id, play.pub, play=play.type == "jwt")
    return _gate_reply(call, account_id, verdict)


def _gate_reply(call: OpenCall, account_id: UUID, verdict: GateVerdict) -> Reply:
    match verdict:
        case GateVerdict.OPEN:
            body = _encode(wire.GateAnswer(user_id=str(account_id)))
            return Reply(200, body, headers=[(b"cache-control", call.services.gate_cache)])
        case GateVerdict.UNKNOWN:
            text = "Content is gated and corresponding public key not found"
            return _gated(403, text, "key_unknown")
        case GateVerdict.REVOKED:
            return _gated(403, "The public key is disabled or deleted", "key_revoked")
        case GateVerdict.FOREIGN:
            return _gated(404, "Content not found", "key_foreign")


async def _gated_account(call: OpenCall) -> UUID:
    text = call.request.query().get("account", "")
    if not text:
        return await call.services.gate.only_account()
    account_id = read_id(text)
    if account_id is None:
        raise GatewayError(Code.QUERY_INVALID, "account should be an account's id")
    return account_id


def _gated(status: int, text: str, reason: str) -> Reply:
    return Reply(status, _encode(wire.Errors([text])), reason=reason)


def _basic(encoded: str) -> Credential:
    """Return the account id and token of `Basic` (RFC 7617)."""
    try:
        user, colon, token = b64decode(encoded, validate=True).decode().partition(":")
        if not colon:
            raise ValueError("no colon")
        return Credential(token, account_id=UUID(user))
    except (ValueError, binascii.Error) as error:
        raise GatewayError(Code.CREDENTIALS_MALFORMED, "Basic takes account id:token") from error


def _fault(fault: Fault) -> str:
    schema_path = f"#{fault.path and '/properties' + fault.path}/{fault.keyword}"
    return _encode(
        wire.ValidationError(
            fault.path, schema_path, fault.keyword, dict(fault.params), fault.message
        )
    ).decode()


def _shown(key: SigningKey, private_pem: bytes | None = None) -> wire.SigningKey:
    return wire.SigningKey(
        id=str(key.id),
        name=UNSET if key.name is None else key.name,
        user_id=str(key.account_id),
        created_at=_milliseconds(key.created_at),
        last_seen=UNSET if key.last_seen_at is None else _milliseconds(key.last_seen_at),
        public_key=_public_key(key.spki),
        disabled=UNSET if key.disabled is None else key.disabled,
        project_id=str(key.project_id),
        private_key=UNSET if private_pem is None else b64encode(private_pem).decode(),
    )


@lru_cache(maxsize=4096)  # it never changes, and every list shows it
def _public_key(spki: bytes) -> str:
    return b64encode(spki_pem(spki)).decode()


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000) // 1000
