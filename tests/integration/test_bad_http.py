"""What is hardly HTTP: a clear 4xx in the envelope of the door it was sent to, nothing changed."""

from __future__ import annotations

import json

import pytest

from gateway.errors import Code
from gateway.web.neutral import STATUSES
from tests.bystander import Bystander, refusal
from tests.conformance.case import Case
from tests.conformance.cases import CASES
from tests.rawhttp import Answer, Wire, request

CRLF = b"\r\n"
CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"
BAD = (Code.HEADER_INVALID, "this is not a valid HTTP/1.1 request")
CODING = (
    Code.TRANSFER_CODING_UNSUPPORTED,
    "the only transfer coding that is supported is chunked",
)
BODY = (Code.BODY_MALFORMED, "the body ended early, or its chunks are malformed")
LARGE = (Code.BODY_TOO_LARGE, "a request has at most 65536 bytes of body")
HEADERS = (Code.HEADERS_TOO_LARGE, "a request has at most 32768 bytes and 100 lines of headers")
LONG = (Code.URI_TOO_LONG, "a request has at most 16384 bytes of path and query")
NO_METHOD = (Code.METHOD_UNKNOWN, "")
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)

# Header lines of a create, and what follows them.
HEADS: dict[str, tuple[list[str], bytes, tuple[Code, str]]] = {
    "length-negative": (["Content-Length: -2"], b"{}", BAD),
    "length-signed": (["Content-Length: +2"], b"{}", BAD),
    "length-hexadecimal": (["Content-Length: 0x2"], b"{}", BAD),
    "length-a-fraction": (["Content-Length: 2.0"], b"{}", BAD),
    "length-a-word": (["Content-Length: two"], b"{}", BAD),
    "length-empty": (["Content-Length:"], b"", BAD),
    "length-two-words": (["Content-Length: 2 2"], b"{}", BAD),
    "length-a-list": (["Content-Length: 2, 2"], b"{}", BAD),
    "length-over-64-bit": (["Content-Length: 18446744073709551617"], b"{}", BAD),
    "length-of-5000-digits": (["Content-Length: " + 5000 * "9"], b"{}", BAD),
    "length-huge": (["Content-Length: 9223372036854775807"], b"{}", LARGE),
    "length-twice": (["Content-Length: 2", "Content-Length: 2"], b"{}", BAD),
    "lengths-differ": (["Content-Length: 2", "Content-Length: 0"], b"{}", BAD),
    "length-then-chunked": (["Content-Length: 2", "Transfer-Encoding: chunked"], CHUNKS, BAD),
    "chunked-then-length": (["Transfer-Encoding: chunked", "Content-Length: 2"], CHUNKS, BAD),
    "no-length-then-chunked": (["Content-Length: 0", "Transfer-Encoding: chunked"], CHUNKS, BAD),
    "length-then-gzip": (["Content-Length: 2", "Transfer-Encoding: gzip, chunked"], CHUNKS, BAD),
    "identity-then-length": (["Transfer-Encoding: identity", "Content-Length: 2"], b"{}", BAD),
    "chunked-quoted": (['Transfer-Encoding: "chunked"'], CHUNKS, CODING),
    "chunked-with-a-parameter": (["Transfer-Encoding: chunked;q=1"], CHUNKS, CODING),
    "chunked-gzip": (["Transfer-Encoding: gzip, chunked"], CHUNKS, CODING),
    "chunked-gzip-in-two-lines": (
        ["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
        CHUNKS,
        CODING,
    ),
    "identity-then-chunked": (
        ["Transfer-Encoding: identity", "Transfer-Encoding: chunked"],
        CHUNKS,
        CODING,
    ),
    "chunked-behind-a-comma": (["Transfer-Encoding: ,chunked"], CHUNKS, CODING),
    "chunked-before-a-comma": (["Transfer-Encoding: chunked,"], CHUNKS, BAD),
    "chunked-before-a-tab": (["Transfer-Encoding: chunked\t"], CHUNKS, BODY),
    "chunked-behind-a-vertical-tab": (["Transfer-Encoding: \x0bchunked"], CHUNKS, BAD),
    "chunked-twice-in-a-line": (["Transfer-Encoding: chunked, chunked"], CHUNKS, BAD),
    "coding-empty": (["Transfer-Encoding:"], CHUNKS, BAD),
    "coding-unknown": (["Transfer-Encoding: foo"], CHUNKS, CODING),
    "chunked-then-gzip": (["Transfer-Encoding: chunked, gzip"], CHUNKS, BAD),
    "chunked-twice": (2 * ["Transfer-Encoding: chunked"], CHUNKS, BAD),
    "chunked-and-identity": (
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        CHUNKS,
        BAD,
    ),
    "identity": (["Transfer-Encoding: identity"], b"", CODING),
    "nearly-chunked": (["Transfer-Encoding: xchunked"], CHUNKS, CODING),
    "space-before-colon": (["Transfer-Encoding : chunked"], CHUNKS, BAD),
    "tab-before-colon": (["Transfer-Encoding\t: chunked"], CHUNKS, BAD),
    "folded": (["Transfer-Encoding:", " chunked"], CHUNKS, BAD),
    "chunk-endless": (["Transfer-Encoding: chunked"], b"ffffff\r\n" + bytes(200_000), LARGE),
    "coding-unknown-with-an-upgrade": (
        ["Transfer-Encoding: foo", "Connection: Upgrade", "Upgrade: h2c"],
        CHUNKS,
        CODING,
    ),
    "no-colon": (["Accept"], b"", BAD),
    "no-name": ([": x"], b"", BAD),
    "name-with-a-space": (["Acc ept: x"], b"", BAD),
    "name-not-ascii": (["Äccept: x"], b"", BAD),
    "nul-in-a-value": (["Accept: a\0b"], b"", BAD),
    "delete-in-a-name": (["Acc\x7fept: x"], b"", BAD),
    "bare-carriage-return": (["Accept: a\rb"], b"", BAD),
    "bare-line-feed": (["Accept: a\nTransfer-Encoding: chunked"], CHUNKS, BAD),
    "two-hosts": (["Host: elsewhere"], b"", (Code.HEADER_INVALID, "send one Host header")),
    "101-headers": ([f"X-{n}: 1" for n in range(99)], b"", HEADERS),
    "header-of-40-kib": (["X: " + 40_960 * "a"], b"", HEADERS),
    "name-of-40-kib": ([40_960 * "a" + ": x"], b"", HEADERS),
    "header-of-a-megabyte": (["X: " + 1_000_000 * "a"], b"", HEADERS),
    "100000-headers": (100_000 * ["a: b"], b"", HEADERS),
}


def look(case: Case, code: Code, message: str) -> tuple[int, str]:
    return case.look(code).shown(message)


def shown(answer: Answer, case: Case) -> tuple[int, str]:
    assert refusal(answer, case)
    return answer.status, answer.body.decode()


@cases
@pytest.mark.parametrize("head", HEADS)
def test_head(bystander: Bystander, case: Case, head: str) -> None:
    """One answer, and then the connection is closed before anything else is taken for a request."""
    headers, body, wanted = HEADS[head]
    create = case.ask("create_key")
    smuggled = bystander.request("POST", bystander.path(case, create), "Content-Length: 0")
    with Wire(bystander.visitor.tenant.url) as wire:
        path = bystander.path(case, create)
        wire.say(bystander.request("POST", path, *headers, body=body))
        assert shown(wire.answer(), case) == look(case, *wanted)
        if head != "two-hosts":
            wire.say(smuggled)
            wire.hang_up()
            assert wire.ended()


# Whole requests; PATH is that of a list.
LINES: dict[str, tuple[bytes, tuple[Code, str]]] = {
    "method-unknown": (b"FROB PATH HTTP/1.1", NO_METHOD),
    "method-in-lower-case": (b"get PATH HTTP/1.1", NO_METHOD),
    "method-in-mixed-case": (b"Get PATH HTTP/1.1", NO_METHOD),
    "method-of-60-kib": (60_000 * b"A" + b" PATH HTTP/1.1", NO_METHOD),
    "method-unknown-in-absolute-form": (b"FROB http://x.example:80PATH HTTP/1.1", NO_METHOD),
    "version-0.9": (b"GET PATH", BAD),
    "version-1.2": (b"GET PATH HTTP/1.2", BAD),
    "version-2": (b"GET PATH HTTP/2.0", BAD),
    "version-9": (b"GET PATH HTTP/9.9", BAD),
    "version-1": (b"GET PATH HTTP/1", BAD),
    "version-1.10": (b"GET PATH HTTP/1.10", BAD),
    "protocol-unknown": (b"GET PATH HTTQ/1.1", BAD),
    "protocol-in-lower-case": (b"GET PATH http/1.1", BAD),
    "two-targets": (b"GET PATH PATH HTTP/1.1", BAD),
    "space-in-the-target": (b"GET PATH/a b HTTP/1.1", BAD),
    "nul-in-the-target": (b"GET PATH/a\0b HTTP/1.1", BAD),
    "delete-in-the-target": (b"GET PATH/a\x7fb HTTP/1.1", BAD),
    "bytes-in-the-target": (b"GET PATH/\xff\xfe HTTP/1.1", BAD),
    "bytes-in-the-query": (b"GET PATH?limit=\xff HTTP/1.1", BAD),
    "absolute-form-with-a-bad-header": (b"GET http://x.examplePATH HTTP/1.1\r\nbad", BAD),
    "query-of-20-kib": (b"GET PATH?" + 20_000 * b"a" + b" HTTP/1.1", LONG),
    "query-of-a-megabyte": (b"GET PATH?" + 1_000_000 * b"a" + b" HTTP/1.1", LONG),
}


@cases
@pytest.mark.parametrize("line", LINES)
def test_request_line(bystander: Bystander, case: Case, line: str) -> None:
    text, wanted = LINES[line]
    text = text.replace(b"PATH", bystander.path(case, "list_keys").encode())
    for parts in ([text + CRLF + CRLF], [text[:5], text[5:20], text[20:] + CRLF + CRLF]):
        with Wire(bystander.visitor.tenant.url) as wire:
            wire.say(*parts, pause=0.01)
            assert shown(wire.answer(), case) == look(case, *wanted)


GARBAGE = {
    "empty-lines": CRLF * 10 + b"x" + CRLF * 2,
    "all-bytes": bytes(range(256)) * 10,
    "nul-bytes": bytes(1000),
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no-slash": b"GET api/access-control/signing-key HTTP/1.1\r\n\r\n",
    "only-a-host": b"GET http://example.com HTTP/1.1\r\n\r\n",
    "endless-word": b"A" * 200_000,
    "endless-space": b" " * 200_000,
    "endless-lines": CRLF * 100_000 + b"x" * 70_000,
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage(bystander: Bystander, garbage: str) -> None:
    """What is sent to no door is refused in the envelope of none."""
    with Wire(bystander.visitor.tenant.url) as wire:
        wire.say(GARBAGE[garbage])
        answer = wire.answer()
        assert 400 <= answer.status < 500
        assert list(json.loads(answer.body)) == ["error", "message"]
        assert wire.ended()


@pytest.mark.parametrize(
    "target", ["*", "/", "//", "/API/", "/apiary", "/client/v40/x", "/%61pi/x"]
)
def test_target_of_no_door(bystander: Bystander, target: str) -> None:
    with Wire(bystander.visitor.tenant.url) as wire:
        wire.say(request("OPTIONS", target))
        answer = wire.answer()
    assert (answer.status, list(json.loads(answer.body))) == (404, ["error", "message"])


@pytest.mark.parametrize("path", ["/keys/x.pem", "/accounts/x/jwks.json", "/healthz", "/nowhere"])
@pytest.mark.parametrize("head", ["length-twice", "length-then-chunked", "no-colon", "identity"])
def test_head_sent_to_a_neutral_door(bystander: Bystander, path: str, head: str) -> None:
    headers, body, (code, message) = HEADS[head]
    with Wire(bystander.visitor.tenant.url) as wire:
        wire.say(request("GET", path, headers, body))
        answer = wire.answer()
    assert json.loads(answer.body) == {"error": code, "message": message}
    assert answer.status == STATUSES[code]
    assert answer.header("x-request-id")
