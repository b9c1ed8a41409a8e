"""Load from wrk: prepared requests in turn over kept-open connections, and what it measured."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
import httpx2

_SCRIPT = Path(__file__).with_name("requests.lua")


@dataclass(frozen=True)
class Ask:
    """One request; `target` is its path and query, `body` is JSON."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    def render(self, host: str) -> bytes:
        """Return the request as it goes over the wire."""
        lines = [f"{self.method} {self.target} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body or self.method in {"POST", "PATCH", "PUT"}:
            lines.append(f"Content-Length: {len(self.body)}")
        if self.body:
            lines.append("Content-Type: application/json")
        return "\r\n".join([*lines, "", self.body]).encode()


@dataclass(frozen=True)
class Load:
    """What wrk saw. Latencies are microseconds."""

    requests: int
    seconds: float
    p50: int
    p99: int
    max: int
    refused: int  # answers with a status from 400
    broken: int  # connections refused or cut, timeouts

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def good(self) -> bool:
        """Whether every request was answered as it should be."""
        return self.requests > 0 and not self.refused and not self.broken


class Wave:
    """Prepared requests to one server, cycled through; each run goes on where the last ended."""

    def __init__(self, url: str, asks: Iterable[Ask], folder: Path, status: int = 200) -> None:
        self.url = url
        self._status = status
        host = urlsplit(url).netloc
        rendered = [ask.render(host) for ask in asks]
        self.count = len(rendered)
        self._first = rendered[0]
        self._file = folder / f"asks-{id(self)}"
        self._file.write_bytes(b"".join(b"%d\n%s" % (len(one), one) for one in rendered))
        self._position = 0

    def probe(self, ask: Ask) -> httpx2.Response:
        """Ask once and insist on the status that wrk is not able to tell from others."""
        with httpx2.Client(trust_env=False, timeout=30) as client:
            answer = client.request(
                ask.method,
                self.url + ask.target,
                headers=[*ask.headers, ("Content-Type", "application/json")],
                content=ask.body,
            )
        if answer.status_code != self._status:
            told = f"{ask.method} {ask.target[:80]}: {answer.status_code} {answer.text[:200]}"
            raise click.ClickException(told)
        return answer

    def run(self, seconds: int, connections: int = 32, limit: int = 0) -> Load:
        """Load for some seconds, or until `limit` requests were sent if that is sooner."""
        with self.running(seconds, connections, limit) as wrk:
            load = outcome(wrk)
        self._position = (self._position + load.requests + connections) % self.count
        return load

    @contextmanager
    def running(
        self, seconds: int, connections: int, limit: int = 0
    ) -> Iterator[subprocess.Popen[str]]:
        """Load in the background; ended with the block."""
        command = [wrk_program(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
        command += ["-s", str(_SCRIPT), self.url, "--", str(self._file)]
        command += [str(self._position), str(limit)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as wrk:
            try:
                yield wrk
            finally:
                if wrk.poll() is None:
                    wrk.kill()


def outcome(wrk: subprocess.Popen[str]) -> Load:
    """Wait for wrk to end and return what it saw. Raises click.ClickException when it failed."""
    output, _ = wrk.communicate()
    if wrk.returncode:
        raise click.ClickException(f"wrk failed:\n{output}")
    return Load(**json.loads(output.strip().splitlines()[-1]))


def wrk_program() -> str:
    """Return the path of wrk. Raises click.ClickException that says how to get it."""
    found = shutil.which("wrk")
    if found is None:
        raise click.ClickException(
            "this needs wrk, the load generator, and it is not on the PATH.\n"
            "  Debian, Ubuntu: apt-get install wrk\n"
            "  macOS:          brew install wrk\n"
            "  elsewhere:      https://github.com/wg/wrk"
        )
    return found
