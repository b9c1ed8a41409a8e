"""What client programs run in: made once beside the suite's own environment, and kept there."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent


def python_with(name: str) -> Path:
    """Return the Python of a virtual environment with what `requirements/<name>.txt` says."""
    requirements = HERE / "requirements" / f"{name}.txt"

    def install(home: Path) -> None:
        python = home / "bin" / "python"
        arguments = ["install", "-q", "--disable-pip-version-check", "-r", str(requirements)]
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        subprocess.run([str(python), "-m", "pip", *arguments], check=True)

    return _made(name, [requirements], install) / "bin" / "python"


def node() -> Path:
    """Return a Node that comes as a wheel."""
    return python_with("node").with_name("node")


def node_modules(folder: Path = HERE / "node") -> Path:
    """Return the folder of the packages that `package-lock.json` in `folder` names."""
    programs = node().parent
    files = [folder / name for name in ("package.json", "package-lock.json")]

    def install(home: Path) -> None:
        for file in files:
            shutil.copy(file, home)
        command = [str(programs / "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            [*command, "--loglevel=error"], cwd=home, env=os.environ | {"PATH": path}, check=True
        )

    return _made("node-modules", files, install) / "node_modules"


def _made(name: str, files: list[Path], install: Callable[[Path], None]) -> Path:
    """Return a folder that `install` has filled, now or once before from the same files."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    home = Path(sys.prefix) / "clients" / f"{name}-{digest}"
    home.mkdir(parents=True, exist_ok=True)
    with (home.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until closed: suites may run side by side
        if not (home / "finished").exists():
            install(home)
            (home / "finished").touch()
    return home
