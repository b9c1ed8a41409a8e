"""The id stands at one place: no token plays what another video's id, or a server, reads there."""

from __future__ import annotations

from posixpath import normpath
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.place import AMBIGUOUS, KNOWN_PREFIXES, Place, read_place, read_prefixes
from gateway.subject import check_subject
from gateway.verdicts import Facts, Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

ADDED = ["/i/VOD", "/i", "/vod", "/a/b/c"]
PREFIXES = read_prefixes(",".join(ADDED))
KNOWN = ["/hls", "/asset/hls", "/recordings"]
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"

# Ids of which one reads as another, as a prefix or as a token, and ids that are no folder.
IDS = [
    "a", "a.m3u8", "a.m3u8.m3u8", "video+a", "video+video+a", "video+", "hls", "asset",
    "recordings", "i", "VOD", "vod", "b", "a b", "é", "a/b", "a\\b", "%2F", "..;", ".a", "a.",
    "seg", "seg.ts", "hls.m3u8", "a;b", TOKEN, "x.y", "downloads",
]  # fmt: skip
pieces = st.sampled_from(
    [*IDS, "%61", "%2Em3u8", ".m3u8", "video%2B", "%68ls", "VOD", "%20", "%C3%A9", "c"]
) | st.sampled_from(["/", "/", "/", "//", ";", ";v=1", "%2f", "%3b", "..", ".", "%2e"])
paths = st.lists(pieces, max_size=8).map(lambda parts: "/" + "".join(parts))


def plays(subject: str, place: Place) -> bool:
    try:
        check_subject(subject, TOKEN, Facts(place=place))
    except Refused as refusal:
        assert refusal.reason in {Reason.PATH_AMBIGUOUS, Reason.SUBJECT_MISMATCH}  # noqa: PT017
        return False
    return True


def without_parameters(path: str) -> str:
    return "/".join(name.partition(";")[0] for name in path.split("/"))


# How media servers turn a path into names; each is somebody's default.
SERVERS: list[Callable[[str], str]] = [
    unquote,
    lambda path: normpath(unquote(path)),
    lambda path: unquote(unquote(path)),
    lambda path: unquote(path).replace("\\", "/"),
    lambda path: unquote(without_parameters(path)),
    lambda path: normpath(without_parameters(unquote(path))),
]


def video(path: str) -> str:
    """Return the video that a media server finds in a path that it has decoded."""
    names = [name for name in path.split("/") if name]
    for prefix in sorted([*KNOWN, *ADDED], key=len, reverse=True):
        segments = prefix[1:].split("/")
        if names[: len(segments)] == segments:
            names = names[len(segments) :]
            break
    name = names[0].removeprefix("video+")
    return name.rpartition(".")[0] if len(names) == 1 and "." in name else name


@settings(deadline=None, max_examples=1500)
@given(paths)
@example("/hls/seg.ts")
@example("/i//VOD/a/seg.ts")
@example("/asset/hls;v=1/seg.ts")
@example(f"/{TOKEN}/hls/seg.ts")
@example(f"/{TOKEN}.m3u8")
@example(f"/{TOKEN}")
@example("/video+video+/seg.ts")
def test_what_is_served_is_the_video_of_the_token(path: str) -> None:
    place = read_place(path, PREFIXES)
    for subject in IDS:
        if plays(subject, place):
            served = place.named(subject)
            assert {video(server(served)) for server in SERVERS} == {subject}


@settings(deadline=None, max_examples=500)
@given(paths)
def test_a_path_names_at_most_one_video(path: str) -> None:
    place = read_place(path, PREFIXES)
    if place.id != TOKEN:
        assert len([subject for subject in IDS if plays(subject, place)]) <= 1


@settings(deadline=None)
@given(st.text(), st.sampled_from(IDS))
@example("/%", "a")
@example("/\ud800", "a")
def test_any_text_has_a_place_or_none(path: str, subject: str) -> None:
    place = read_place(path)
    if plays(subject, place):
        assert read_place(place.named(subject)).id == subject


@pytest.mark.parametrize(
    ("path", "served"),
    [
        ("/a", "/S"),
        ("/a/", "/S/"),
        ("/a.m3u8", "/S.m3u8"),
        ("/a%2Em3u8", "/S.m3u8"),
        ("/a.m3u8;v=1", "/S.m3u8;v=1"),
        ("/%61/seg%20%C3%A9.ts?x=y", "/S/seg%20%C3%A9.ts"),
        ("/video+a//seg.ts", "/S//seg.ts"),
        ("/hls/video%2Ba/720p/seg.ts", "/hls/S/720p/seg.ts"),
        ("/%68ls/a.m3u8", "/%68ls/S.m3u8"),
        ("/asset/hls/a/seg.ts", "/asset/hls/S/seg.ts"),
        ("/i/VOD/a.mp4", "/i/VOD/S.mp4"),
        (f"/{TOKEN}", "/S"),
        (f"/{TOKEN}.m3u8", "/S.m3u8"),
        (f"/vod/video+{TOKEN}/a/{TOKEN}.ts", f"/vod/S/a/{TOKEN}.ts"),
    ],
)
def test_the_path_to_serve_has_the_subject_in_the_place_of_the_id(path: str, served: str) -> None:
    assert read_place(path, PREFIXES).named("S") == served
    escaped = served.replace("S", "Zo%C3%AB%20%2F", 1)
    assert read_place(path, PREFIXES).named("Zoë /") == escaped


@pytest.mark.parametrize("path", [f"/{TOKEN}/a", f"/{TOKEN}", f"/hls/video+{TOKEN}.m3u8"])
def test_a_token_is_found_in_the_place_of_the_id(path: str) -> None:
    assert read_place(path).token == TOKEN


@pytest.mark.parametrize(
    "path", [f"/a/{TOKEN}", f"/hls/a/{TOKEN}/b", f"/x{TOKEN}/a", f"/%65{TOKEN[1:]}/a", "/eyA/b"]
)
def test_a_token_is_found_nowhere_else(path: str) -> None:
    assert read_place(path).token is None


SIXTEEN = ",".join(f"/p{number}" for number in range(16))
GOOD = ["", " , ", "/vod", "/i/VOD,/vod ,, /x", "/hls", "/a/b/c/d/e/f/g/h", "/.a/..b/~", "/a-b_c.d"]
BAD = [
    "vod", "/", "/vod/", "//vod", "/a//b", "/..", "/a/../b", "/.", "/a/.", "/a b", "/a%20b", "/é",
    "/a;b", "/a?b", "/video+a", "/a/b/c/d/e/f/g/h/i", "/a\nb", "http://a/b", "/vod /live",
]  # fmt: skip


@pytest.mark.parametrize("text", [*GOOD, SIXTEEN])
def test_prefixes_that_an_edge_may_add(text: str) -> None:
    prefixes = read_prefixes(text)
    assert set(KNOWN_PREFIXES) <= set(prefixes)
    for prefix in filter(None, (item.strip() for item in text.split(","))):
        assert read_place(f"{prefix}/a/seg.ts", prefixes).prefix == prefix


@pytest.mark.parametrize("text", [*BAD, f"{SIXTEEN},/more"])
def test_prefixes_that_no_edge_may_add(text: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        read_prefixes(text)


def test_an_ambiguous_path_has_no_id() -> None:
    for path in ("", "a", "//a/b", "/a/../b", "/a%2fb/c", "/hls//a/b", "/a.b/"):
        assert read_place(path) is AMBIGUOUS
