"""A request and a reply, as doors see them: no server, no framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from gateway.errors import Code, GatewayError
from gateway.verdicts import Verdict

Headers = list[tuple[bytes, bytes]]
MAX_QUERY_FIELDS = 50


class Request(NamedTuple):
    """One HTTP request as a door sees it."""

    method: str
    path: str  # below the door's prefix, percent-encoded as it arrived
    query_string: bytes
    headers: Sequence[tuple[bytes, bytes]]  # names in lower case
    request_id: str
    peer: str | None  # who the connection is from, None on a Unix socket
    address: str | None  # the client's, as trusted proxies tell
    base_url: Callable[[], str]  # scheme, host and the door's prefix, for links
    viewer: str | None = None  # whom an edge asks about, None when no trusted proxy says it

    def header(self, name: bytes) -> str | None:
        """Return the first header of this name (Latin-1, RFC 9110 section 5.5), stripped."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1").strip()
        return None

    def listed(self, name: bytes) -> str | None:
        """Return all headers of this name as one list (RFC 9110 section 5.3)."""
        lines = [value for key, value in self.headers if key == name]
        return b",".join(lines).decode("latin-1") if lines else None

    def query(self) -> dict[str, str]:
        """Return the query's fields, the last one of a name counting.

        Raises GatewayError(QUERY_INVALID) for bytes that are not UTF-8 and for too many fields.
        """
        try:
            fields = parse_qsl(
                self.query_string.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_QUERY_FIELDS,
            )
        except ValueError as error:
            raise GatewayError(Code.QUERY_INVALID, "the query string cannot be read") from error
        return dict(fields)


@dataclass(slots=True)
class Reply:
    """What goes back: a status, a body and headers besides content type and length.

    `reason` says in one word why something is refused, for the access log alone.
    """

    status: int
    body: bytes = b""
    content_type: bytes = b"application/json"
    headers: Headers = field(default_factory=list)
    reason: str | None = None


class Deferred(NamedTuple):
    """A reply from memory that takes some arithmetic first: `reply(work())`. Neither waits.

    Whoever has several at a time does the work of all of them first (see `tokens.Unchecked`).
    """

    work: Callable[[], Any]
    reply: Callable[[Any], Reply]


@dataclass(slots=True)
class Trace:
    """What becomes known of a request on its way, for logs and metrics.

    `address` is the viewer's, where one asks about a viewer, else the client's. `refusal` says
    why nothing was done, `verdict` what was decided about a token.
    """

    door: str | None = None
    route: str | None = None
    account: str | None = None
    address: str | None = None
    verdict: Verdict | None = None
    refusal: str | None = None
