"""Every way in which Keyferry says no: one closed set of codes, one exception.

The core raises `GatewayError`; each door decides how a `Code` looks on its wire
(`adapters.dialect.Dialect.render_error`). This module imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Code(StrEnum):
    """A refusal by kind. A door maps every member to a status and its own envelope."""

    # Who is asking
    CREDENTIALS_MISSING = "credentials_missing"
    CREDENTIALS_MALFORMED = "credentials_malformed"
    SCHEME_UNSUPPORTED = "scheme_unsupported"
    TOKEN_INVALID = "token_invalid"  # noqa: S105  unknown, expired or revoked: one answer for all three
    ACCOUNT_SUSPENDED = "account_suspended"
    FORBIDDEN = "forbidden"  # a valid token without the scope, or of another account or project

    # What is asked for
    ROUTE_UNKNOWN = "route_unknown"
    METHOD_UNKNOWN = "method_unknown"
    KEY_UNKNOWN = "key_unknown"  # absent, foreign or deleted: indistinguishable

    # What was sent
    QUERY_INVALID = "query_invalid"
    HEADER_INVALID = "header_invalid"
    BODY_MALFORMED = "body_malformed"  # not JSON
    BODY_INVALID = "body_invalid"  # JSON of the wrong shape
    BODY_TOO_LARGE = "body_too_large"
    TRANSFER_CODING_UNSUPPORTED = "transfer_coding_unsupported"
    ENCODING_UNSUPPORTED = "encoding_unsupported"
    URI_TOO_LONG = "uri_too_long"
    HEADERS_TOO_LARGE = "headers_too_large"

    # What cannot be given now
    QUOTA_EXCEEDED = "quota_exceeded"
    RATE_LIMITED = "rate_limited"
    NOT_CONFIGURED = "not_configured"
    POOL_EMPTY = "pool_empty"
    UNAVAILABLE = "unavailable"  # the database does not answer
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a body, in the terms of JSON Schema validation output."""

    path: str  # JSON pointer (RFC 6901) to the value, "" for the whole body
    keyword: str  # the JSON Schema keyword that failed, such as "type"
    message: str
    params: Mapping[str, str | int] = field(default_factory=dict)


class GatewayError(Exception):
    """A refusal with a message its reader can act on.

    `message` never holds a token, a key or an internal detail: it is shown as it is.
    `retry_after` is in whole seconds, for refusals that pass by themselves.
    `faults` names each thing wrong with a body, for doors that list them; `limit` is the number
    that a refusal of too many or too large is about.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        retry_after: int | None = None,
        faults: tuple[Fault, ...] = (),
        limit: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.faults = faults
        self.limit = limit
