"""Where the video's id stands in a URL's path.

One rule says where: the id is the first segment after the longest known prefix, without a leading
`video+` (Livepeer's media servers), and without its suffix when it is the last segment. A token
may stand in its place. No other segment is compared with anything, so that a path names one video.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias
from urllib.parse import quote

from gateway.paths import path_segments
from gateway.verdicts import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_PREFIXES: Final = 16

_TOKEN: Final = re.compile(r"ey[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_MARK: Final = "video+"
_PREFIX: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+){1,8}")
_SUFFIX_SAFE: Final = "!$&'()*+,;=:@"  # what may stand in a segment as it is (RFC 3986 section 3.3)

# Prefixes, as the segments they have: by the first one, the longest of each before the others.
Prefixes: TypeAlias = "Mapping[str, tuple[tuple[str, ...], ...]]"


def _index(prefixes: Iterable[str]) -> Prefixes:
    index: dict[str, tuple[tuple[str, ...], ...]] = {}
    for prefix in sorted(set(prefixes), key=lambda text: -text.count("/")):
        segments = tuple(prefix[1:].split("/"))
        index[segments[0]] = (*index.get(segments[0], ()), segments)
    return index


_KNOWN: Final = ("/hls", "/asset/hls", "/recordings")
KNOWN_PREFIXES: Final = _index(_KNOWN)


@lru_cache(maxsize=64)
def read_prefixes(text: str) -> Prefixes:
    """Return the known prefixes and those that `text` adds, separated by commas.

    Raises ValueError for more than 16, and for one that is not made of one to eight segments of
    letters, digits, `.`, `_`, `~` and `-`.
    """
    added = [item.strip() for item in text.split(",") if item.strip()]
    if len(added) > MAX_PREFIXES:
        raise ValueError(f"more than {MAX_PREFIXES} prefixes")
    for prefix in added:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"{prefix!r} is not a prefix of paths, such as /vod")
    return _index([*_KNOWN, *added])


class Place(NamedTuple):
    """The place of the id in a path: `prefix`, a segment, `rest`, each as the viewer sent it.

    `id` and `suffix` are the segment's, percent-decoded once, and `names` are all segments,
    decoded alike.
    """

    prefix: str
    segment: str
    rest: str
    id: str
    suffix: str
    names: list[str]
    prefixes: Prefixes

    @property
    def token(self) -> str | None:
        """The token that stands in the id's place, if one does. An escaped one is none."""
        if self.id.startswith("ey") and self.id in self.segment and _TOKEN.fullmatch(self.id):
            return self.id
        return None

    def named(self, subject: str) -> str:
        """Return the path with `subject` in the id's place, percent-encoded: what is served."""
        return self.named_by(quote(subject, safe=""))

    def named_by(self, quoted: str) -> str:
        """Return the same for a subject that is percent-encoded already."""
        suffix = quote(self.suffix, safe=_SUFFIX_SAFE) if self.suffix else ""
        return f"{self.prefix}/{quoted}{suffix}{self.rest}"


AMBIGUOUS: Final = Place("", "", "", "", "", [], KNOWN_PREFIXES)
"""A path that can be read in two ways. It has no id, so that nothing plays there."""


def read_place(path: str, prefixes: Prefixes = KNOWN_PREFIXES) -> Place:
    """Return where the id stands in `path`, which is AMBIGUOUS if that depends on the reader.

    Some servers leave out empty segments, and what follows a semicolon: the id has to stand in
    the same place for them. What follows a question mark is no part of the path.
    """
    path = path.partition("?")[0]
    try:
        names = path_segments(path)
    except Refused:
        return AMBIGUOUS
    at, subject, suffix = _find(names, prefixes)
    if "//" in path or path.endswith("/") or ";" in path or "%3" in path:
        shorter = [name.partition(";")[0] for name in names]
        if _find(["", *filter(None, shorter)], prefixes)[:2] != (at, subject):
            return AMBIGUOUS
    parts = path.split("/", at + 1)
    segment = parts[at] if at < len(parts) else ""
    rest = "/" + parts[-1] if at + 1 < len(parts) else ""
    return Place("/".join(parts[:at]), segment, rest, subject, suffix, names, prefixes)


def read_stream(path: str, prefixes: Prefixes) -> str:
    """Return the id in the path of a live stream, "" where none is left behind a prefix.

    Such a path is percent-decoded and begins without a slash, and nobody maps it to another: so
    the whole segment is the id, and streams called `a`, `a.m3u8` and `video+a` stay apart. Raises
    Refused(PATH_AMBIGUOUS) as paths of URLs do.
    """
    names = path_segments("/" + quote(path))
    at = _behind_prefix(names, prefixes)
    return names[at] if at < len(names) else ""


def _behind_prefix(names: list[str], prefixes: Prefixes) -> int:
    """Return which of the segments is the first one after the longest known prefix."""
    for prefix in prefixes.get(names[1], ()) if len(names) > 1 else ():
        if tuple(names[1 : 1 + len(prefix)]) == prefix:
            return 1 + len(prefix)
    return 1


def _find(names: list[str], prefixes: Prefixes) -> tuple[int, str, str]:
    """Return which of the segments has the id, the id, and its suffix."""
    at = _behind_prefix(names, prefixes)
    if at >= len(names):
        return at, "", ""
    found = names[at].removeprefix(_MARK)
    if at == len(names) - 1 and "." in found and not _TOKEN.fullmatch(found):
        found, _, suffix = found.rpartition(".")
        return at, found, "." + suffix
    return at, found, ""
