"""What can be told of a head that the parser refused: whose envelope its refusal wears, and why."""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.errors import Code
from gateway.web.limits import too_large

_REQUEST_LINE = re.compile(rb"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+) +([^ \r\n]*)( HTTP/1\.[01]\r?\n)?")
_BEGUN_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+( +[^ \r\n]*( [^\r\n]*)?)?")
_LONGEST_LINE = 4096  # bytes of a request line that the parser has given up
_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"})


class Refusal(NamedTuple):
    """The arguments of `Front.refuse`."""

    method: str
    target: str
    code: Code
    message: str


def may_tell_more(head: bytes) -> bool:
    """Whether `head` may be the beginning of a request line whose rest will name the target."""
    return len(head) <= _LONGEST_LINE and _BEGUN_LINE.fullmatch(head) is not None


def refuse_garbled(head: bytes, seen: tuple[bytes, bytes]) -> Refusal:
    """Refuse what is not HTTP; a method that the parser does not know is one reason.

    `seen` is the method and the target as far as the parser has come, for want of a request line.
    """
    line = _REQUEST_LINE.match(head)
    if line is not None and line[3] and line[1] not in _METHODS:
        return _refusal(line, seen, Code.METHOD_UNKNOWN, "there is no such method")
    message = "this is not a valid HTTP/1.1 request"
    return _refusal(line, seen, Code.HEADER_INVALID, message)


def refuse_large(head: bytes, seen: tuple[bytes, bytes]) -> Refusal:
    """Refuse a head of which too much has come."""
    line = _REQUEST_LINE.match(head)
    in_line = line is not None and line[3] is None
    error = too_large(Code.URI_TOO_LONG if in_line else Code.HEADERS_TOO_LARGE)
    return _refusal(line, seen, error.code, error.message)


def _refusal(
    line: re.Match[bytes] | None, seen: tuple[bytes, bytes], code: Code, message: str
) -> Refusal:
    method, target = seen if line is None else (line[1], line[2])
    return Refusal(method.decode("ascii"), target.decode("latin-1"), code, message)
