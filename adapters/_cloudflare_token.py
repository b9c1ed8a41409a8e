"""The claims of a token minted by Cloudflare's `POST stream/{video_id}/token`."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from uuid import UUID

import msgspec
from msgspec import UNSET

from gateway.errors import Code, GatewayError
from gateway.minting import SuppliedKey
from gateway.model import read_id
from schemas import cloudflare as wire

_LIFE = 3600  # seconds, without `exp`
_LONGEST_LIFE = 24 * 3600
_BACKDATED = 3600  # seconds by which `nbf` lies in the past, without one


def token_claims(
    body: wire.MintToken, video_id: str, now: float
) -> Callable[[UUID], Mapping[str, object]]:
    """Return the payload by key id, members in the provider's order, times as it writes them.

    Raises GatewayError(BODY_INVALID) for times that no verifier would accept.
    """
    expires = int(now) + _LIFE if body.exp is UNSET else body.exp
    not_before = int(now) - _BACKDATED if body.nbf is UNSET else body.nbf
    if not now < expires <= now + _LONGEST_LIFE:
        raise _invalid("exp should be a time in seconds, at most 24 hours ahead")
    if not 0 <= not_before < expires:
        raise _invalid("nbf should be a time in seconds before exp")
    optional = {
        "downloadable": body.downloadable,
        "accessRules": body.accessRules,
        "flags": UNSET if body.flags is UNSET else msgspec.to_builtins(body.flags),
    }
    given = {name: value for name, value in optional.items() if value is not UNSET}

    def payload(key_id: UUID) -> Mapping[str, object]:
        # The provider writes these two times as strings.
        times = {"exp": str(expires), "nbf": str(not_before)}
        return {"sub": video_id, "kid": key_id.hex, **times, **given}

    return payload


def supplied_key(body: wire.MintToken) -> SuppliedKey | None:
    """Return the key sent along, None without one.

    Raises GatewayError(BODY_INVALID) when one of `id` and `pem` is missing or cannot be read.
    """
    if body.id is UNSET and body.pem is UNSET:
        return None
    if body.id is UNSET or body.pem is UNSET:
        raise _invalid("id and pem go together")
    key_id = read_id(body.id)
    if key_id is None:
        raise _invalid("id should be a key's id, as it was handed out")
    try:
        return SuppliedKey(key_id, b64decode(body.pem, validate=True))
    except ValueError:
        raise _invalid("pem should be base64, as it was handed out") from None


def _invalid(message: str) -> GatewayError:
    return GatewayError(Code.BODY_INVALID, message)
