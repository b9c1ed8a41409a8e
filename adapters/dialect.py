"""What a dialect declares: its routes, credentials, decoders, and how each refusal looks.

Everything that must happen on every request is done by `adapters.pipeline`; a dialect only fills
in what is its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from gateway.errors import Code, Fault, GatewayError
from gateway.gate import Gate
from gateway.keys import KeyManager
from gateway.minting import Minter
from gateway.model import Algorithm, Caller, Principal, Scope
from gateway.web.exchange import Reply, Request

T = TypeVar("T")

_NO_ADDITION = "must NOT have additional properties"
_KINDS = {"string": str, "boolean": bool, "integer": int, "array": list, "object": dict}
_MAX_FAULTS = 20  # named of one body


@dataclass(frozen=True, slots=True)
class Credential:
    """One way in which a request says who it is: a token, and what must be true of its account."""

    token: str = field(repr=False)
    account_id: UUID | None = None
    email: str | None = None

    def fits(self, principal: Principal) -> bool:
        """Whether the claims made beside the token are those of its account."""
        return (self.account_id is None or self.account_id == principal.account_id) and (
            self.email is None or self.email.casefold() == principal.email.casefold()
        )


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the core that dialects may use."""

    keys: KeyManager
    minter: Minter
    gate: Gate
    gate_cache: bytes  # Cache-Control of an open gate
    clock: Callable[[], float]  # seconds since 1970


class Call(NamedTuple):
    """An authenticated, authorised and decoded request."""

    services: Services
    request: Request
    caller: Caller
    ids: dict[str, UUID]  # from the path
    texts: dict[str, str]  # from the path, percent-decoded, by the name in the template
    body: Any  # what the operation's decoder made of the body

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return self.caller.principal


class OpenCall(NamedTuple):
    """A request to an operation that asks for no credentials."""

    services: Services
    request: Request
    body: Any


@dataclass(frozen=True, slots=True)
class OpenOperation:
    """A route without credentials, for machines that have none; `path` is literal.

    `at_once` answers what memory alone can answer, and returns None for the rest.
    """

    name: str
    method: str
    path: str
    at_once: Callable[[OpenCall], Reply | None]
    handle: Callable[[OpenCall], Awaitable[Reply]]
    decode: Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Operation:
    """One route of a dialect.

    `path` holds literal segments, `{name}` segments, which are ids, and `{name:text}` segments;
    `{account_id}` must be the caller's account. `scopes`: any one of them is enough; none means
    any valid token.
    """

    name: str
    method: str
    path: str
    handle: Callable[[Call], Awaitable[Reply]]
    scopes: frozenset[Scope] = frozenset()
    decode: Callable[[bytes], object] | None = None


class Dialect(ABC):
    """One provider's API.

    `name` is what the store remembers of a key's origin; `prefix` is the base path of every
    client; `quota` and `algorithms` are what the provider gives, the first algorithm by default.
    """

    name: str
    prefix: str
    quota: int
    algorithms: tuple[Algorithm, ...] = (Algorithm.RS256,)

    @property
    @abstractmethod
    def operations(self) -> Sequence[Operation | OpenOperation]:
        """All routes."""

    @abstractmethod
    def credentials(self, request: Request) -> Iterable[Credential]:
        """Return the credentials of a request, any valid one of which is enough.

        Raises GatewayError: CREDENTIALS_MISSING, CREDENTIALS_MALFORMED, SCHEME_UNSUPPORTED.
        """

    def query_fault(self, request: Request) -> GatewayError | None:  # noqa: ARG002
        """Return what is wrong with the query of a request whose API token is good, if anything."""
        return None

    def routed(self, path: str) -> str:
        """Return the path by which a request for `path`, below the prefix, finds its route."""
        return path

    @abstractmethod
    def parse_id(self, text: str) -> UUID | None:
        """Return the id that `text` spells in this dialect's form, None for any other text."""

    @abstractmethod
    def render_error(self, error: GatewayError, request: Request, operation: str | None) -> Reply:
        """Return how a refusal looks here; every `Code` has a look."""


def read_json(body: bytes) -> object:
    """Return the JSON value of a body (RFC 8259); an empty body means `{}`.

    A byte order mark is skipped, as RFC 8259 section 8.1 allows: .NET's `StreamWriter` puts one
    before UTF-8. Raises GatewayError(BODY_MALFORMED) for what is not JSON.
    """
    try:
        # Members that nobody asked for are decoded too: msgspec would skip them unread.
        return msgspec.json.decode(body.removeprefix(BOM_UTF8).decode() or "{}")
    except RecursionError as error:
        raise GatewayError(Code.BODY_MALFORMED, "the JSON is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GatewayError(Code.BODY_MALFORMED, "the body is not valid JSON") from error


def body_decoder(wire: type[T], *, empty_list: bool = False) -> Callable[[bytes], T]:
    """Return a decoder of JSON bodies to the msgspec Struct `wire`; an empty body means `{}`.

    With `empty_list`, so does `[]`: PHP's json_encode cannot tell an empty object from an empty
    list. The decoder raises GatewayError: BODY_MALFORMED when a body is not JSON, BODY_INVALID
    with faults when it is JSON of another shape.
    """

    def decode(body: bytes) -> T:
        value = read_json(body)
        if empty_list and value == []:
            value = {}
        try:
            return msgspec.convert(value, wire)
        except msgspec.ValidationError as error:
            faults = _faults(value, wire, error)
        message = "; ".join(f"{fault.path or 'body'} {fault.message}" for fault in faults)
        raise GatewayError(Code.BODY_INVALID, message, faults=faults)

    return decode


def _faults(body: object, wire: type, error: Exception) -> tuple[Fault, ...]:
    """Say what is wrong with `body` by comparing it with the JSON Schema of `wire`.

    Looks at the body and its members, not into them; what is wrong inside is said by `error`.
    """
    if not isinstance(body, dict):
        return (_type_fault("", "object"),)
    schema = _schema(wire)
    members = schema["properties"]
    faults = [
        Fault("", "additionalProperties", _NO_ADDITION, {"additionalProperty": name})
        for name in body
        if name not in members and schema.get("additionalProperties") is False
    ]
    for name, member in members.items():
        if name in body:
            faults += _member_faults(f"/{name}", body[name], member)
    return tuple(faults[:_MAX_FAULTS]) or (Fault("", "type", str(error)),)


def _schema(wire: type) -> dict[str, Any]:
    whole = msgspec.json.schema(wire)
    found: dict[str, Any] = whole["$defs"][wire.__name__]
    return found


def _member_faults(path: str, value: object, schema: dict[str, Any]) -> list[Fault]:
    kind = schema.get("type", "object")  # what is described elsewhere ("$ref") is an object
    if not isinstance(value, _KINDS[kind]):
        return [_type_fault(path, kind)]
    limit = schema.get("maxLength")
    if isinstance(value, str) and limit is not None and len(value) > limit:
        message = f"must NOT have more than {limit} characters"
        return [Fault(path, "maxLength", message, {"limit": limit})]
    pattern = schema.get("pattern")
    if pattern is not None and isinstance(value, str) and "\0" in value:
        message = "must not contain the character U+0000"
        return [Fault(path, "pattern", message, {"pattern": pattern})]
    return []


def _type_fault(path: str, kind: str) -> Fault:
    return Fault(path, "type", f"must be {kind}", {"type": kind})


def retry_key(call: Call) -> str | None:
    """Return the Idempotency-Key of a create; raises GatewayError(HEADER_INVALID) for a bad one."""
    value = call.request.header(b"idempotency-key")
    if value is not None and not 1 <= len(value) <= 255:
        raise GatewayError(Code.HEADER_INVALID, "Idempotency-Key should have 1 to 255 characters")
    return value
