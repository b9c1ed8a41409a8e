"""The envelope of the doors that belong to no dialect: `{"error": code, "message": text}`."""

from __future__ import annotations

import msgspec

from gateway.errors import Code, GatewayError
from gateway.web.exchange import Reply

STATUSES: dict[Code, int] = {
    Code.CREDENTIALS_MISSING: 401,
    Code.CREDENTIALS_MALFORMED: 401,
    Code.SCHEME_UNSUPPORTED: 401,
    Code.TOKEN_INVALID: 401,
    Code.ACCOUNT_SUSPENDED: 403,
    Code.FORBIDDEN: 403,
    Code.ROUTE_UNKNOWN: 404,
    Code.METHOD_UNKNOWN: 405,
    Code.KEY_UNKNOWN: 404,
    Code.QUERY_INVALID: 400,
    Code.HEADER_INVALID: 400,
    Code.BODY_MALFORMED: 400,
    Code.BODY_INVALID: 422,
    Code.BODY_TOO_LARGE: 413,
    Code.TRANSFER_CODING_UNSUPPORTED: 501,
    Code.ENCODING_UNSUPPORTED: 415,
    Code.URI_TOO_LONG: 414,
    Code.HEADERS_TOO_LARGE: 431,
    Code.QUOTA_EXCEEDED: 403,
    Code.RATE_LIMITED: 429,
    Code.NOT_CONFIGURED: 501,
    Code.POOL_EMPTY: 503,
    Code.UNAVAILABLE: 503,
    Code.INTERNAL: 500,
}


def neutral_refusal(error: GatewayError) -> Reply:
    """Return `error` as the neutral doors show it."""
    body = msgspec.json.encode({"error": error.code, "message": error.message})
    reply = Reply(STATUSES[error.code], body, reason=error.code)
    if error.retry_after is not None:
        reply.headers.append((b"retry-after", b"%d" % error.retry_after))
    return reply
