"""A PostgreSQL that asks for passwords on TCP, as one in production does, and its roles."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from gateway.storage.embedded_home import Home, open_home

PASSWORD = "correct horse"
_FAST = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=40")


@dataclass
class Postgres:
    """A server on a port of 127.0.0.1. Every role has the same password."""

    home: Home
    port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def dsn(
        self, role: str, database: str = "keyferry", password: str = PASSWORD, query: str = ""
    ) -> str:
        """Return where a role finds a database."""
        password = password.replace(" ", "%20")
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}{query}"

    def run(self, *statements: str, database: str = "postgres", role: str = "postgres") -> None:
        """Run statements one after another, outside a transaction."""

        async def work() -> None:
            connection = await asyncpg.connect(self.dsn(role, database))
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(work())

    def add_role(self, name: str) -> None:
        """Add a role that may log in, and nothing else."""
        self.run(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")

    def make(self) -> None:
        """Make its files. Its only role is the superuser, postgres."""
        password = self.home.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        new = self.home.new_data()
        options = ("--username=postgres", "--auth=scram-sha-256", f"--pwfile={password}")
        program = self.home.programs / "initdb"
        with self.home.opened_log() as log:
            made = self.home.user.spawn(program, f"--pgdata={new}", *options, "-N", output=log)
        assert made.wait() == 0, self.home.log_end()
        self.home.adopt_data(new)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        settings = (f"port={self.port}", "unix_socket_directories=", *_FAST)
        options = [part for setting in settings for part in ("-c", setting)]
        program = self.home.programs / "postgres"
        with self.home.opened_log() as log:
            self._process = self.home.user.spawn(
                program, "-D", self.home.data, *options, output=log
            )
        end = time.monotonic() + 30
        while not self._takes_connections():
            assert self._process.poll() is None, self.home.log_end()
            assert time.monotonic() < end, self.home.log_end()
            time.sleep(0.05)

    def _takes_connections(self) -> bool:
        """Whether it does so; a standby has another word for it."""
        pid_file = self.home.data / "postmaster.pid"
        lines = pid_file.read_text().splitlines() if pid_file.exists() else []
        return [line.strip() for line in lines[7:8]] == ["ready"]

    def stop(self) -> None:
        """Stop it in order, cutting its connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)

    @contextmanager
    def as_standby(self) -> Iterator[None]:
        """Let it be a standby for a while, from which one can read and to which nobody writes."""
        mark = self.home.data / "standby.signal"
        self.stop()
        mark.touch()
        self.start()
        try:
            yield
        finally:
            self.stop()
            mark.unlink()
            self.start()


@contextmanager
def fresh_postgres(folder: Path) -> Iterator[Postgres]:
    """Run a new server, without any database or role of ours."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = Postgres(open_home(folder), port)
    server.make()
    try:
        server.start()
        yield server
    finally:
        server.stop()
