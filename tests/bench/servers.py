"""Everything that is measured, started and stopped: PostgreSQL, the rivals, Keyferry."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import httpx2

from tests.bench.cpu import Meter
from tests.bench.load import wrk_program
from tests.service import House, open_folder, serve

_MASTER_KEY = base64.b64encode(bytes(range(32))).decode()
# Quotas are checked as ever, and never reached.
SETTINGS = {
    "KEYFERRY_MASTER_KEY": _MASTER_KEY,
    "KEYFERRY_CLOUDFLARE_QUOTA": "100000000",
    "KEYFERRY_LIVEPEER_QUOTA": "100000000",
}
ES256 = {"KEYFERRY_LIVEPEER_ALGORITHM": "ES256"}


@dataclass(frozen=True)
class Server:
    """A server under load."""

    url: str
    pid: int
    meter: Meter


class Bench:
    """A scratch PostgreSQL and the servers on it, all closed with the stack that made them."""

    def __init__(self, house: House, folder: Path, stack: ExitStack) -> None:
        self.house = house
        self.folder = folder
        self._stack = stack
        self._postgres = postmaster(house)

    def rival(self, name: str) -> Server:
        """Start the control or the naive handlers."""
        command = [sys.executable, "-m", "tests.bench.rivals", name, self.house.dsn]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._stack.callback(_end, process)
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise click.ClickException(f"{name} did not start")
        return Server(url, process.pid, Meter(process.pid, self._postgres))

    @contextmanager
    def keyferry(
        self, settings: Mapping[str, str] | None = None, options: Sequence[str] = ()
    ) -> Iterator[Server]:
        """Run Keyferry until the block ends."""
        log = self.folder / "keyferry.log"
        with serve(self.house, log, {**SETTINGS, **(settings or {})}, options) as (url, process):
            yield Server(url, process.pid, Meter(process.pid, self._postgres))


@contextmanager
def open_bench() -> Iterator[Bench]:
    """Start a PostgreSQL with Keyferry's schema, and nothing else yet."""
    wrk_program()
    with ExitStack() as stack:
        folder = stack.enter_context(open_folder())
        house = stack.enter_context(House(folder / "data"))
        yield Bench(house, folder, stack)


def postmaster(house: House) -> int:
    """Return the process number of the house's PostgreSQL."""
    found = house.folder.glob("**/postmaster.pid")
    return int(next(found).read_text().split("\n", 1)[0])


def stock(url: str) -> tuple[int, int]:
    """Return how many key pairs are ready, and how many there should be."""
    answer = httpx2.get(f"{url}/readyz", trust_env=False).json()["pool"]
    return answer["ready"], answer["size"]


def filled(server: Server) -> float:
    """Wait until the stock is full and return how long it took."""
    return filled_at(server.url)


def filled_at(url: str) -> float:
    """Wait likewise for the server at `url`."""
    began = time.monotonic()
    while True:
        ready, size = stock(url)
        if ready >= size:
            return time.monotonic() - began
        click.echo(f"\r  stock: {ready} of {size} ", nl=False, err=True)
        time.sleep(0.5)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate(timeout=15)
