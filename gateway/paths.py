"""A URL's path as segments, refused when servers would read it in different ways."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.verdicts import Reason, Refused

_DOTS: Final = frozenset({".", ".."})
# A path of nothing but these needs no closer reading, and most are.
_PLAIN: Final = (
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"  # unreserved
    b"/:@!$&'()*+,="
)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# What a segment must not hold once decoded: separators, controls, or an escape of its own.
_SMUGGLED: Final = re.compile(r"[/\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")


def path_segments(path: str) -> list[str]:
    """The segments of a URL's path, percent-decoded once (RFC 3986 section 3.3).

    Whoever serves the file may resolve dot segments, decode encoded slashes, take a backslash
    for a slash, decode twice or take a leading `//` for a host, and would then play something
    else than was checked. So a path in which that matters raises Refused(PATH_AMBIGUOUS); it
    is never repaired.
    """
    if not path.startswith("/") or path.startswith("//") or not path.isascii():
        raise Refused(Reason.PATH_AMBIGUOUS)
    segments = path.split("/")
    if path.encode().translate(None, _PLAIN):
        segments = [_decoded(segment) for segment in segments]
    if not _DOTS.isdisjoint(segments):
        raise Refused(Reason.PATH_AMBIGUOUS)
    return segments


def _decoded(segment: str) -> str:
    if "#" in segment or _BAD_ESCAPE.search(segment):
        raise Refused(Reason.PATH_AMBIGUOUS)
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise Refused(Reason.PATH_AMBIGUOUS) from None
    # Some servers drop what follows a semicolon before they resolve dots.
    if _SMUGGLED.search(text) or text.partition(";")[0] in _DOTS:
        raise Refused(Reason.PATH_AMBIGUOUS)
    return text
