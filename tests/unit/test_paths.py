"""Every server finds the same directories in a path that is accepted."""

from __future__ import annotations

from posixpath import normpath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.paths import path_segments
from gateway.verdicts import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ["SUB", "%53UB", "other", "a.ts", ".", "..", "%2e", "%2E%2e", "%252e", "%c0%ae", "é", "%20"]
BREAKS = ["/", "//", "%2f", "%252F", "\\", "%5c", ";", ";a", "#", "%", "%25", "%00", "%zz"]
pieces = st.sampled_from(NAMES) | st.sampled_from(BREAKS)
paths = st.lists(pieces, max_size=8).map(lambda parts: "/" + "".join(parts))


def no_matrix(path: str) -> str:
    return "/".join(segment.partition(";")[0] for segment in path.split("/"))


# How servers turn what was sent into a file: each is somebody's default.
READINGS: list[Callable[[str], str]] = [
    unquote,
    lambda path: unquote(unquote(path)),
    lambda path: unquote(path).replace("\\", "/"),
    lambda path: no_matrix(unquote(path)),
    lambda path: unquote(no_matrix(path)),
    lambda path: unquote(path).partition("\0")[0],
    lambda path: unquote(path.partition("#")[0]),
]


def directory(path: str) -> list[str]:
    return normpath(path).split("/")


def names(segments: list[str]) -> list[str]:
    """Without what a semicolon adds, and without the empty ones that servers merge."""
    return [name for name in (segment.partition(";")[0] for segment in segments) if name]


@settings(deadline=None)
@given(paths)
@example("/SUB/%2e%2e/other")
@example("/other%2f..%2fSUB")
def test_an_accepted_path_has_the_same_directories_in_every_reading(path: str) -> None:
    try:
        segments = path_segments(path)
    except Refused as refusal:
        assert refusal.reason is Reason.PATH_AMBIGUOUS  # noqa: PT017 - most are read, not refused
        return
    for reading in READINGS:
        assert names(directory(reading(path))) == names(segments)


@settings(deadline=None)
@given(st.text())
@example("/%")
@example("/\ud800")
def test_any_text_is_a_path_or_refused(path: str) -> None:
    try:
        path_segments(path)
    except Refused as refusal:
        assert refusal.reason is Reason.PATH_AMBIGUOUS  # noqa: PT017
