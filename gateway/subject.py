"""Whether a token is for what is being played: by name, or by a segment of the path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from gateway.verdicts import ANY_SUBJECT, Reason, Refused

if TYPE_CHECKING:
    from gateway.verdicts import Facts

_DOTS: Final = frozenset({".", ".."})
# A path of nothing but these needs no closer reading, and most are.
_PLAIN: Final = (
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"  # unreserved
    b"/:@!$&'()*+,="
)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# What a segment must not hold once decoded: separators, controls, or an escape of its own.
_SMUGGLED: Final = re.compile(r"[/\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")


def check_subject(subject: str, token: str, facts: Facts) -> None:
    """Raise Refused unless the token's `sub` is what is played.

    When the caller names the subject it must be equal. Otherwise a segment of the path must be
    equal to it, percent-decoded once; or a segment must be the token itself, which then stands
    in the place of the video's id, so that what plays is its `sub` by construction.
    """
    if facts.subject is not None:
        if facts.subject is not ANY_SUBJECT and facts.subject != subject:
            raise Refused(Reason.SUBJECT_MISMATCH)
        return
    if facts.path is None:
        raise Refused(Reason.NOTHING_PLAYED)
    segments = path_segments(facts.path)
    if subject not in segments and token not in segments:
        raise Refused(Reason.SUBJECT_MISMATCH)


def path_segments(path: str) -> list[str]:
    """The segments of a URL's path, percent-decoded once (RFC 3986 section 3.3).

    Whoever serves the file may resolve dot segments, decode encoded slashes, take a backslash
    for a slash, decode twice or take a leading `//` for a host, and would then play something
    else than was checked. So a path in which that matters raises Refused(PATH_AMBIGUOUS); it
    is never repaired. What follows a question mark is no part of the path.
    """
    path = path.partition("?")[0]
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
