"""The wire of Cloudflare Stream's signing keys, after its API description."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from msgspec import UNSET, Struct, UnsetType

T = TypeVar("T")


class Source(Struct, frozen=True):
    """Where in a request an error is."""

    pointer: str  # JSON pointer (RFC 6901)


class ChainedError(Struct, frozen=True):
    """What is behind an error."""

    code: int
    message: str


class Error(Struct, frozen=True):
    """One entry of `errors`."""

    code: int
    message: str
    source: Source | UnsetType = UNSET
    error_chain: list[ChainedError] | UnsetType = UNSET


class Message(Struct, frozen=True):
    """One entry of `messages`."""

    code: int
    message: str


class Envelope(Struct, Generic[T], frozen=True):
    """What every answer is wrapped in, members in this order."""

    result: T
    success: bool = True
    errors: list[Error] = []
    messages: list[Message] = []


class CreatedKey(Struct, frozen=True):
    """The only answer that carries a private half."""

    id: str  # 32 hexadecimal digits, the kid
    pem: str  # standard base64 of the PKCS#1 PEM
    jwk: str  # standard base64 of the private JWK (RFC 7517)
    created: str  # RFC 3339, UTC, nine digits


class ListedKey(Struct, frozen=True):
    """A key as listed."""

    id: str
    key_id: str  # the same
    created: str  # RFC 3339, UTC, six digits


class PrivateJwk(Struct, frozen=True):
    """An RSA private key (RFC 7518 section 6.3), members in the provider's order."""

    use: str
    kty: str
    kid: str
    alg: str
    n: str
    e: str
    d: str
    p: str
    q: str
    dp: str
    dq: str
    qi: str


class TokenStatus(Struct, frozen=True):
    """Answer to the verification of an API token."""

    id: str
    status: str


class Flags(Struct, frozen=True):
    """What else a token allows."""

    original: bool | UnsetType = UNSET


class MintToken(Struct, frozen=True):
    """Body of POST stream/{video_id}/token; may be absent. Times are seconds since 1970."""

    id: str | UnsetType = UNSET
    pem: str | UnsetType = UNSET  # as handed out: standard base64 of the PKCS#1 PEM
    exp: int | UnsetType = UNSET
    nbf: int | UnsetType = UNSET
    downloadable: bool | UnsetType = UNSET
    accessRules: list[dict[str, Any]] | UnsetType = UNSET  # noqa: N815  the wire's own name
    flags: Flags | UnsetType = UNSET


class MintedToken(Struct, frozen=True):
    """A playback token."""

    token: str
