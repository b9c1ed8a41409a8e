"""What every route of every dialect refuses before it looks at anything, over TCP."""

from __future__ import annotations

import pytest

from gateway.errors import Code
from tests.conformance.case import Ask, Case, Visitor
from tests.rawhttp import Answer, Wire, request

# What is sent: headers, query, body; the code it must meet, and the core's message.
REFUSED = {
    "gzip-by-chunks": (["Transfer-Encoding: gzip, chunked"], "", b"2\r\n{}\r\n0\r\n\r\n", 501),
    "large": (["Content-Length: 65537"], "", b"", 413),
    "long": ([], "?q=" + 16384 * "a", b"", 414),
    "gzip": (["Content-Encoding: gzip", "Content-Length: 2"], "", b"{}", 415),
    "deflate-and-gzip": (["Content-Encoding: deflate, gzip", "Content-Length: 0"], "", b"", 415),
    "many-headers": ([f"X-{number}: 1" for number in range(101)], "", b"", 431),
    "large-header": (["X: " + 32768 * "a"], "", b"", 431),
}
CODES = {
    413: (Code.BODY_TOO_LARGE, "a request has at most 65536 bytes of body"),
    414: (Code.URI_TOO_LONG, "a request has at most 16384 bytes of path and query"),
    415: (Code.ENCODING_UNSUPPORTED, "a compressed body is not supported"),
    431: (
        Code.HEADERS_TOO_LARGE,
        "a request has at most 32768 bytes and 100 lines of headers",
    ),
    501: (
        Code.TRANSFER_CODING_UNSUPPORTED,
        "the only transfer coding that is supported is chunked",
    ),
}


def say(visitor: Visitor, *parts: bytes) -> Answer:
    """Put a request to the service and return its answer, whose headers are as they should be."""
    with Wire(visitor.tenant.url) as wire:
        wire.say(*parts)
        answer = wire.answer()
    assert answer.header("content-type") == "application/json"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("x-request-id")
    return answer


def looks(case: Case, code: Code, message: str = "", path: str = "") -> tuple[int, bytes]:
    status, body = case.look(code).shown(message, path)
    return status, body.encode()


@pytest.mark.parametrize("sent", REFUSED)
def test_refused_by_its_head(visitor: Visitor, ask: Ask, sent: str) -> None:
    headers, query, body, status = REFUSED[sent]
    path = visitor.case.prefix + visitor.case.fill(ask.path, account=visitor.account_id)
    bearer = f"Authorization: Bearer {visitor.token}"
    answer = say(visitor, request(ask.method, path + query, [bearer, *headers], body))
    assert (answer.status, answer.body) == looks(visitor.case, *CODES[status])
    assert visitor.live() == []


UNKNOWN = ["", "/", "{nowhere}", "{nowhere}/", "//", "/..", "{list}/a/b", "/%2e%2e{list}"]


@pytest.mark.parametrize("path", UNKNOWN)
def test_no_such_route(visitor: Visitor, path: str) -> None:
    case = visitor.case
    known = case.fill(case.ask("list_keys").path, account=visitor.account_id)
    path = case.prefix + path.replace("{nowhere}", case.nowhere).replace("{list}", known)
    answer = say(visitor, request("GET", path))
    assert (answer.status, answer.body) == looks(case, Code.ROUTE_UNKNOWN, path=path)


@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "TRACE", "PROPFIND", "FROB", "get", "G"])
def test_no_such_method(visitor: Visitor, ask: Ask, method: str) -> None:
    case = visitor.case
    path = case.prefix + case.fill(ask.path, account=visitor.account_id)
    answer = say(visitor, request(method, path))
    assert (answer.status, answer.body) == looks(case, Code.METHOD_UNKNOWN)
    methods = sorted(each.method for each in case.asks if each.path == ask.path)
    assert answer.header("allow") == (", ".join(methods) if answer.status == 405 else None)


def test_head_has_the_headers_and_no_body(visitor: Visitor) -> None:
    case = visitor.case
    path = case.prefix + case.fill(case.ask("list_keys").path, account=visitor.account_id)
    with Wire(visitor.tenant.url) as wire:
        wire.say(request("HEAD", path), request("GET", path, ["Connection: close"]))
        head, status = wire.answer("HEAD"), case.look(Code.METHOD_UNKNOWN).status
        assert (head.status, head.header("content-type")) == (status, "application/json")
        assert int(head.header("content-length") or 0) > 0
        assert wire.answer().body.startswith(b"{")
        assert wire.ended()
