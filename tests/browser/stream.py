"""A real stream, made by ffmpeg: four seconds, two renditions and sound, as HLS and as DASH."""

from __future__ import annotations

import subprocess
from shlex import split
from typing import TYPE_CHECKING, Final

from tests.browser.programs import ffmpeg

if TYPE_CHECKING:
    from pathlib import Path

SECONDS: Final = 4  # and as many segments of each rendition
RENDITIONS: Final = ("160x90", "320x180")
_PICTURES: Final = f"testsrc2=size={RENDITIONS[-1]}:rate=10:duration={SECONDS}"
_SOUND: Final = f"sine=frequency=440:duration={SECONDS - 0.1}"  # no segment of a few milliseconds
_VIDEO: Final = split("""
    -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 10 -sc_threshold 0
""")
_FORMAT: Final = split("""
    -f dash -seg_duration 1 -use_timeline 0 -hls_playlist 1 -hls_master_name index.m3u8
    -init_seg_name init$RepresentationID$.mp4
    -media_seg_name seg$RepresentationID$-$Number$.m4s
""")


def make_stream(root: Path, video_id: str) -> None:
    """Write a video under `root`: it plays as `/<id>/index.m3u8` and `/<id>/manifest.mpd`.

    It also plays as `/<id>/manifest/video.m3u8`, whose addresses begin with `../`.
    """
    folder = root / video_id
    folder.mkdir(parents=True)
    sources = ["-f", "lavfi", "-i", _PICTURES, "-f", "lavfi", "-i", _SOUND]
    streams = ["-map", "0:v", "-map", "0:v", "-map", "1:a", *_VIDEO, "-c:a", "aac", "-b:a", "32k"]
    for number, size in enumerate(RENDITIONS):
        streams += [f"-s:v:{number}", size, f"-b:v:{number}", f"{100 + 100 * number}k"]
    sets = ["-adaptation_sets", "id=0,streams=v id=1,streams=a"]
    subprocess.run(
        [ffmpeg(), "-v", "error", *sources, *streams, *_FORMAT, *sets, "manifest.mpd"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    index = (folder / "index.m3u8").read_text()
    (folder / "manifest").mkdir()
    (folder / "manifest" / "video.m3u8").write_text(index.replace("media_", "../media_"))
