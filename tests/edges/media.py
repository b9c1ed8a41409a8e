"""A real HLS stream, small enough to be made anew: 3.6 seconds of silence, AAC in MPEG-TS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_MAP_PID: Final = 0x1000
_AUDIO_PID: Final = 0x100
_AAC: Final = 0x0F
# ADTS header (AAC-LC, 44.1 kHz, mono, 13 bytes) and a silent frame of 1,024 samples.
_SILENCE: Final = bytes.fromhex("fff1504001bffc 00c800802380")
_FRAMES: Final = 154  # fill eleven packets to the last byte, so none needs stuffing
_CLOCK: Final = bytes.fromhex("07 50 000000007e00")  # adaptation field: random access, PCR 0

PLAYLIST: Final = b"""#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXTINF:3.576,
seg0.ts
#EXT-X-ENDLIST
"""


@dataclass(frozen=True)
class Video:
    """A video that plays as `/<id>/index.m3u8` and as `/<id>/manifest/video.m3u8`."""

    id: str
    segment: bytes  # unlike any other video's


def make_video(root: Path, video_id: str, program: int) -> Video:
    """Write a video under `root`, in both layouts; `program` is its number within MPEG-TS."""
    video = Video(video_id, _segment(program))
    for folder, playlist in (("", "index.m3u8"), ("manifest", "video.m3u8")):
        place = root / video_id / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / playlist).write_bytes(PLAYLIST)
        (place / "seg0.ts").write_bytes(video.segment)
    return video


def _segment(program: int) -> bytes:
    """ISO 13818-1: a program association, a program map, and one PES packet of audio."""
    association = _pair(program) + _pair(0xE000 | _MAP_PID)
    stream = bytes([_AAC]) + _pair(0xE000 | _AUDIO_PID) + _pair(0xF000)
    program_map = _pair(0xE000 | _AUDIO_PID) + _pair(0xF000) + stream
    tables = _table(0, 0x00, 1, association) + _table(_MAP_PID, 0x02, program, program_map)
    return tables + _audio(_SILENCE * _FRAMES)


def _table(pid: int, kind: int, number: int, content: bytes) -> bytes:
    head = bytes([kind]) + _pair(0xB000 | len(content) + 9) + _pair(number) + b"\xc1\0\0"
    section = head + content + _crc(head + content).to_bytes(4, "big")
    return (b"\x47" + _pair(0x4000 | pid) + b"\x10\0" + section).ljust(188, b"\xff")


def _audio(frames: bytes) -> bytes:
    presented_at_0 = bytes.fromhex("2100010001")
    pes = b"\0\0\1\xc0" + _pair(len(frames) + 8) + b"\x80\x80\x05" + presented_at_0 + frames
    room = 184 - len(_CLOCK)
    packets = b"\x47" + _pair(0x4000 | _AUDIO_PID) + b"\x30" + _CLOCK + pes[:room]
    for count, start in enumerate(range(room, len(pes), 184), 1):
        packets += b"\x47" + _pair(_AUDIO_PID) + bytes([0x10 | count % 16])
        packets += pes[start : start + 184]
    return packets


def _crc(data: bytes) -> int:
    """CRC-32/MPEG-2: not reflected, not inverted at the end."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def _pair(number: int) -> bytes:
    return number.to_bytes(2, "big")
