"""Compact JWS in and out (RFC 7515 section 7.1): text to parts and parts to text.

Nothing here decides whom to trust: `parse` says what a token says, in exactly one reading,
or refuses it. Whatever two verifiers could read differently has no reading here.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gateway.verdicts import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_TOKEN: Final = 8 * 1024  # characters of a whole token, whatever it holds
# Opening brackets of one part, those within strings included: so nothing nests deeper than the
# parsers go on every Python, and the same token is not read on one and refused on another.
MAX_BRACKETS: Final = 256

# To the standard alphabet, with the characters that base64url lacks made invalid.
_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
# By length modulo 4: what completes the last group, and the characters that may end it
# because the bits they leave over are zero. One character alone encodes nothing.
_PADDING: Final = (b"", b"", b"==", b"=")
_ENDINGS: Final = (b"", b"", b"AQgw", b"AEIMQUYcgkosw048")

# crit and b64 change how a token is read (RFC 7515 section 4.1.11, RFC 7797); the others bring
# or point to a key of the token's own choice (RFC 7515 sections 4.1.2, 4.1.3, 4.1.5, 4.1.6).
_REFUSED_MEMBERS: Final = frozenset({"crit", "b64", "jwk", "jku", "x5c", "x5u"})

_OBJECT: Final = msgspec.json.Decoder(dict[str, object])

_SHORT: Final = 512  # characters of a header that is worth remembering


class ParsedToken(NamedTuple):
    """A token taken apart, not yet believed: anybody can have written all of it."""

    header: Mapping[str, object]
    payload: dict[str, object]
    signing_input: bytes
    signature: bytes


def wire(token: str) -> bytes:
    """The token's own characters as bytes, at most `MAX_TOKEN` of them.

    Raises Refused when it is longer or not ASCII; costs nothing that grows with a longer one.
    """
    if len(token) > MAX_TOKEN:
        raise Refused(Reason.TOKEN_TOO_LARGE)
    try:
        return token.encode("ascii")
    except UnicodeEncodeError:
        raise Refused(Reason.TOKEN_MALFORMED) from None


def parse(raw: bytes) -> ParsedToken:
    """Take a token from `wire` apart. Raises Refused, and no other exception.

    Accepted are three non-empty segments of canonical unpadded base64url (RFC 7515 section 2),
    the first two each one JSON object in UTF-8 with at most `MAX_BRACKETS`, in which no object,
    at any depth, repeats a member name. Header members that change the reading or bring a key
    are refused; any other unknown member is ignored, as RFC 7515 section 4 demands.
    """
    segments = raw.split(b".")
    if len(segments) != 3 or not all(segments):
        raise Refused(Reason.TOKEN_MALFORMED)
    header, payload, signature = segments
    return ParsedToken(
        _known_header(header) if len(header) <= _SHORT else _header(header),
        _object(b64url_decode(payload)),
        raw[: -1 - len(signature)],
        b64url_decode(signature),
    )


def encode(
    header: Mapping[str, object],
    payload: Mapping[str, object],
    sign: Callable[[bytes], bytes],
) -> str:
    """A compact JWS over compact JSON, members in the order given.

    `sign` takes the signing input and returns the signature as RFC 7518 section 3 encodes it.
    """
    signing_input = b".".join(
        b64url_encode(msgspec.json.encode(part)) for part in (header, payload)
    )
    return b".".join((signing_input, b64url_encode(sign(signing_input)))).decode("ascii")


def b64url_encode(data: bytes) -> bytes:
    """Base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=")


def b64url_decode(text: bytes) -> bytes:
    """The one byte string whose `b64url_encode` is `text`. Raises Refused when there is none."""
    last_group = len(text) % 4
    if last_group and text[-1] not in _ENDINGS[last_group]:
        raise Refused(Reason.BASE64_MALFORMED)
    try:
        return a2b_base64(text.translate(_TO_STANDARD) + _PADDING[last_group], strict_mode=True)
    except Base64Error:
        raise Refused(Reason.BASE64_MALFORMED) from None


def _header(segment: bytes) -> Mapping[str, object]:
    header = _object(b64url_decode(segment))
    if not _REFUSED_MEMBERS.isdisjoint(header):
        raise Refused(Reason.HEADER_REFUSED)
    return MappingProxyType(header)


_known_header = lru_cache(maxsize=1024)(_header)  # a signer's tokens share one, as a rule


def _object(raw: bytes) -> dict[str, object]:
    if raw.count(b"[") + raw.count(b"{") > MAX_BRACKETS:
        raise Refused(Reason.JSON_MALFORMED)
    try:
        members = _OBJECT.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(Reason.JSON_MALFORMED) from None
    # The decoder keeps the last of two equal names, and silently. Every member, at any depth,
    # has one literal colon, so as many colons as members found means that none was lost. More
    # of them (a nested object, a colon within a string, a repeated name) needs a closer look.
    if raw.count(b":") != len(members):
        _refuse_repeats(raw)
    return members


def _refuse_repeats(raw: bytes) -> None:
    # The standard library's parser is slower, but shows each object's names after unescaping.
    try:
        json.loads(raw.decode(), object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        raise Refused(Reason.JSON_MALFORMED) from None


def _distinct(members: list[tuple[str, object]]) -> None:
    if len({name for name, _ in members}) != len(members):
        raise Refused(Reason.MEMBER_REPEATED)
