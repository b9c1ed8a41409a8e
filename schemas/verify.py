"""The wire of the neutral verification door."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType


class VerifyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /accounts/{account_id}/verify. Without `subject` the token's own is taken."""

    token: str
    subject: str | UnsetType = UNSET
    ip: str | UnsetType = UNSET
    country: str | UnsetType = UNSET
    download: bool = False


class VerifyAnswer(Struct, frozen=True, omit_defaults=True):
    """A whole verdict. Members that are not known are left out."""

    allowed: bool
    reason: str
    message: str
    kid: str | UnsetType = UNSET
    subject: str | UnsetType = UNSET
    expires: int | UnsetType = UNSET  # seconds since 1970
