"""What a token's payload says, read once and strictly: its key, its times, its subject."""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.model import read_id
from gateway.rules import Rule, read_rules
from gateway.verdicts import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

_SECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_LATEST: Final = 253_402_300_799  # the last second of the year 9999; milliseconds are past it
_PEM: Final = re.compile(
    rb"\s*-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/][A-Za-z0-9+/=\s]*)-----END PUBLIC KEY-----\s*"
)


class Claims(NamedTuple):
    """The claims of a token whose signature held. Times are seconds since 1970.

    A `nbf` or `iat` that is absent is 0, a time that is always past.
    """

    subject: str
    expires: float
    not_before: float
    issued_at: float
    downloadable: bool
    rules: tuple[Rule, ...]


def key_reference(header: Mapping[str, object], payload: Mapping[str, object]) -> UUID | bytes:
    """Which key the token names: header `kid`, else payload `kid`, else payload `pub`.

    A kid gives the key's id; a pub the SHA-256 of its SubjectPublicKeyInfo in DER. The first
    that is present decides, even when it names nothing: a later one is never a second chance.
    Raises Refused when none is present or when the one that decides is ill-formed.
    """
    for part in (header, payload):
        if "kid" in part:
            return _key_id(part["kid"])
    if "pub" in payload:
        return fingerprint(payload["pub"])
    raise Refused(Reason.KEY_UNNAMED)


def fingerprint(pub: object) -> bytes:
    """SHA-256 of the DER within `pub`: standard padded base64 of a PEM `PUBLIC KEY`.

    Line ends and line lengths of the PEM are free, since copying alters them; text around it,
    other labels and non-canonical base64 are not. So two spellings of `pub` that are accepted
    name the same key, and only the exact bytes of a stored key name it.
    """
    try:
        pem = _PEM.fullmatch(_b64_decode(_text(pub).encode("ascii")))
        if pem is None:
            raise ValueError("not a PEM of a public key")
        return sha256(_b64_decode(b"".join(pem[1].split()))).digest()
    except ValueError:
        raise Refused(Reason.PUB_MALFORMED) from None


def read_claims(payload: Mapping[str, object]) -> Claims:
    """Read what a play is judged by. Raises Refused for a claim that is missing or ill-formed.

    Members that are not ours, `flags`, `iss` and `custom` among them, are ignored.
    """
    subject = payload.get("sub")
    # A server behind an edge might take "." or ".." for a folder of its own.
    if not isinstance(subject, str) or subject in {"", ".", ".."}:
        raise Refused(Reason.SUB_MALFORMED)
    if "exp" not in payload:
        raise Refused(Reason.EXP_MISSING)
    claims = Claims(
        subject=subject,
        expires=_seconds(payload["exp"], Reason.EXP_MALFORMED),
        not_before=_seconds(payload.get("nbf", 0), Reason.NBF_MALFORMED),
        issued_at=_seconds(payload.get("iat", 0), Reason.IAT_MALFORMED),
        downloadable=payload.get("downloadable") is True,
        rules=read_rules(payload["accessRules"]) if "accessRules" in payload else (),
    )
    # Livepeer's tokens say what they are for. Its own verifier lets every action play, but one
    # made for anything else than playing was not meant to.
    if payload.get("action", "pull") != "pull":
        raise Refused(Reason.ACTION_REFUSED)
    return claims


def _seconds(value: object, malformed: Reason) -> float:
    """A NumericDate (RFC 7519 section 2), or the same in decimal digits as a string.

    Cloudflare's minting writes strings. bool is an int to Python and no time to anybody.
    """
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(malformed)
    if not 0 <= value <= _LATEST:  # false for NaN as well
        raise Refused(malformed)
    return float(value)


def _key_id(kid: object) -> UUID:
    key_id = read_id(kid) if isinstance(kid, str) else None
    if key_id is None:
        raise Refused(Reason.KID_MALFORMED)
    return key_id


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")  # noqa: TRY004 - one kind of refusal for the caller
    return value


def _b64_decode(text: bytes) -> bytes:
    """Standard padded base64 (RFC 4648 section 4), canonical only. Raises ValueError."""
    try:
        data = a2b_base64(text, strict_mode=True)
    except Base64Error as error:
        raise ValueError("not base64") from error
    if b2a_base64(data, newline=False) != text:
        raise ValueError("not canonical base64")
    return data
