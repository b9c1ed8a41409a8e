"""The user that the embedded server runs as, and how programs are started as that user.

PostgreSQL refuses to run as root, so under root it gets an unprivileged user; otherwise it is
the user we run as ourselves.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Prints the first path that the user who runs it may not enter or execute.
_FIND_BARRIER = 'for p; do test -x "$p" || { printf %s "$p"; exit 1; }; done'


class EmbeddedError(RuntimeError):
    """The embedded server cannot run here. The message says what a person can do about it."""


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The user that PostgreSQL runs as, which is never root: PostgreSQL itself refuses that."""

    name: str
    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        """Whether that is the user we run as ourselves."""
        return self.uid == os.geteuid()

    def give(self, path: Path) -> None:
        """Hand `path`, which we have just made, over to this user."""
        if not self.is_us:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def spawn(
        self,
        *command: str | Path,
        lock: int | None = None,
        stdin: int = subprocess.DEVNULL,
        output: int | IO[bytes] = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Start a program as this user, away from our terminal and without our environment.

        The process and its descendants keep the open file `lock` until the last of them ends.
        subprocess rather than asyncio's, because uvloop's cannot change the user.
        """
        return subprocess.Popen(  # noqa: S603 - the commands are ours
            command,
            cwd="/",  # the user need not be able to enter our working directory
            env=_environment(),
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=None if self.is_us else self.uid,
            group=None if self.is_us else self.gid,
            extra_groups=None if self.is_us else [],
            umask=0o077,
            pass_fds=() if lock is None else (lock,),
            start_new_session=True,  # Ctrl-C is for us; we then stop the server in order
        )

    def require(self, path: Path, what: str, remedy: str) -> None:
        """Raise EmbeddedError, naming the barrier, unless this user may go all the way to `path`.

        Tried as that user, so that access lists and mount options count too.
        """
        steps = [*reversed(path.parents), path]
        try:
            probe = self.spawn("/bin/sh", "-c", _FIND_BARRIER, "sh", *steps, output=subprocess.PIPE)
        except PermissionError:  # root without CAP_SETUID, as in a hardened container
            raise EmbeddedError(
                f"root may not start the database server as user {self.name} here; "
                "run keyferry as an ordinary user"
            ) from None
        barrier = os.fsdecode(probe.communicate()[0])
        if probe.returncode:
            raise EmbeddedError(
                f"the database server runs as user {self.name}, who may not enter or execute "
                f"{barrier}, and so cannot reach {what} ({path}); {remedy}"
            )


def choose_user(folder: Path) -> ServerUser:
    """Ourselves; for root, whoever owns the data already, else `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        return user_of(os.geteuid())
    for path in (folder / "postgres", folder):
        if path.exists() and (owner := path.stat().st_uid):
            return user_of(owner)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return user_of(pwd.getpwnam(name).pw_uid)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody to run it; "
        "add a user postgres, or run keyferry as an ordinary user"
    )


def user_of(uid: int) -> ServerUser:
    """The user with that number. Raises EmbeddedError if it has no name, as in some containers."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedError(
            f"user number {uid} has no name on this system, and PostgreSQL needs one; "
            "add a line for it to /etc/passwd"
        ) from None
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _environment() -> dict[str, str]:
    """Neither PG* variables nor our own settings; but where a system keeps its libraries."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"} | kept
