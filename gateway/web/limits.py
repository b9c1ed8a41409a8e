"""What a request may weigh. Everything here is decided before a body is read or parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from gateway.errors import Code, GatewayError

MAX_BODY = 64 * 1024
MAX_BODY_SENT = 8 * MAX_BODY  # with its chunk sizes, of which single bytes need 5 bytes each
MAX_TARGET = 16 * 1024  # path and query; a token in a path has up to 8 KiB
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024
MAX_HEAD = 64 * 1024  # request line and headers, as far as they are read at all
PATIENCE = 10.0  # seconds that a head, and then a body, may take to arrive
LINGER = 1.0  # seconds that a client may go on sending behind our last word
MAX_IGNORED = 16 * 1024 * 1024  # bytes of it
UNREAD = 30.0  # seconds that answers may wait for a client to read

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


def check_head(target: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse what need not be read; `target` is the length of path and query in bytes.

    Raises GatewayError: URI_TOO_LONG, HEADERS_TOO_LARGE, BODY_TOO_LARGE,
    TRANSFER_CODING_UNSUPPORTED, ENCODING_UNSUPPORTED, HEADER_INVALID.
    """
    if target > MAX_TARGET:
        raise too_large(Code.URI_TOO_LONG)
    count = size = hosts = 0
    for name, value in headers:
        count += 1
        size += len(name) + len(value)
        if name == b"content-length":
            _check_length(value)
        elif name == b"transfer-encoding" and value.strip(b" \t").lower() != b"chunked":
            message = "the only transfer coding that is supported is chunked"
            raise GatewayError(Code.TRANSFER_CODING_UNSUPPORTED, message)
        elif name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
            message = "a compressed body is not supported"
            raise GatewayError(Code.ENCODING_UNSUPPORTED, message)
        elif name == b"host":
            hosts += 1
    if hosts > 1:
        raise GatewayError(Code.HEADER_INVALID, "send one Host header")
    if count > MAX_HEADERS or size > MAX_HEADER_BYTES:
        raise too_large(Code.HEADERS_TOO_LARGE)


async def read_body(receive: Receive) -> bytes:
    """Read the whole body.

    Raises GatewayError: BODY_TOO_LARGE, BODY_MALFORMED when the client went away before its end or
    takes longer than `PATIENCE` for it.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            return await _whole_body(receive)
    except TimeoutError as error:
        raise GatewayError(Code.BODY_MALFORMED, "the body did not arrive in time") from error


async def _whole_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise malformed_body()
        body = check_body(body + message.get("body", b""))
        more = message.get("more_body", False)
    return body


def check_body(body: bytes) -> bytes:
    """Return a body as it is. Raises GatewayError(BODY_TOO_LARGE): one sent by chunks may be."""
    if len(body) > MAX_BODY:
        raise too_large(Code.BODY_TOO_LARGE)
    return body


def malformed_body() -> GatewayError:
    """Return the refusal of a body that cannot be read to its end."""
    return GatewayError(Code.BODY_MALFORMED, "the body ended early, or its chunks are malformed")


def too_large(code: Code) -> GatewayError:
    """Return the refusal of something over its cap."""
    limit, what = {
        Code.URI_TOO_LONG: (MAX_TARGET, "bytes of path and query"),
        Code.HEADERS_TOO_LARGE: (MAX_HEADER_BYTES, f"bytes and {MAX_HEADERS} lines of headers"),
        Code.BODY_TOO_LARGE: (MAX_BODY, "bytes of body"),
    }[code]
    return GatewayError(code, f"a request has at most {limit} {what}", limit=limit)


def _check_length(value: bytes) -> None:
    # The parser has checked the digits; int() refuses absurdly many of them.
    if len(value) > 18 or int(value) > MAX_BODY:
        raise too_large(Code.BODY_TOO_LARGE)
