"""The wire of Livepeer Studio's access control API, after its OpenAPI description."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

# PostgreSQL cannot hold U+0000 in text.
Name = Annotated[str, Meta(max_length=256, pattern="^[^\\x00]*$")]


class CreateSigningKey(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /access-control/signing-key; may be absent."""

    name: Name | UnsetType = UNSET
    projectId: str | UnsetType = UNSET  # noqa: N815  the wire's own name


class UpdateSigningKey(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PATCH /access-control/signing-key/{id}."""

    name: Name | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET


class SigningKey(Struct, frozen=True, rename="camel"):
    """`#/components/schemas/signing-key`: members that are not set are left out, never null."""

    id: str
    name: str | UnsetType
    user_id: str  # deprecated, still sent
    created_at: int  # milliseconds since 1970
    last_seen: int | UnsetType  # likewise
    public_key: str  # standard base64 of the SPKI PEM
    disabled: bool | UnsetType
    project_id: str
    private_key: str | UnsetType = UNSET  # standard base64 of the PKCS#8 PEM, on create only


class Errors(Struct, frozen=True):
    """`#/components/schemas/error`."""

    errors: list[str]


class ValidationError(Struct, frozen=True, rename="camel"):
    """One fault of a body, which travels JSON-encoded inside `errors`."""

    instance_path: str
    schema_path: str
    keyword: str
    params: dict[str, str | int]
    message: str


class Gate(Struct, frozen=True):
    """Body of POST /access-control/gate: what a media server says of a play."""

    type: str = "jwt"
    stream: str = ""
    pub: str = ""


class GateAnswer(Struct, frozen=True):
    """What lets a play through."""

    user_id: str
    user_viewer_limit: int = 0  # none
