"""The sockets that we listen on: opened before anything else, and put away in the end."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import assert_never

from gateway.addresses import Address, Inherited, Listen, Purpose, Tcp, Unix

BACKLOG = 2048
_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
_FIRST_FD = 3  # of those that a service manager passes (sd_listen_fds)
_FAMILIES = {socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}
_UNIX_UMASK = 0o117  # leaves 0660


class Sharing(Enum):
    """How a TCP port is taken."""

    ALONE = auto()
    SHARED = auto()  # beside those of other workers; the kernel shares connections out
    RESERVED = auto()  # kept for shared ones; takes no connection itself


class ListenError(Exception):
    """Somewhere we cannot listen; `faults` is a sentence for each such place."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Listener:
    """An open socket, and what it is for."""

    purpose: Purpose
    socket: socket.socket

    @property
    def address(self) -> Tcp | Unix:
        """Where it really listens; the name of an abstract Unix socket begins with @."""
        name = self.socket.getsockname()
        if isinstance(name, tuple):
            return Tcp(name[0], name[1])
        return Unix(os.fsdecode(name).replace("\0", "@"))

    @property
    def is_open(self) -> bool:
        """Whether connections can be made, which a reserved port does not allow."""
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))

    def __str__(self) -> str:
        return str(Listen(self.purpose, self.address))


@contextmanager
def opened(
    listens: Sequence[Listen], environ: Mapping[str, str], sharing: Sharing = Sharing.ALONE
) -> Iterator[list[Listener]]:
    """Listen everywhere until the block ends. Raises ListenError that names every fault.

    `environ` tells which sockets a service manager has passed.
    """
    with ExitStack() as stack:
        listeners: list[Listener] = []
        faults = []
        for listen in listens:
            try:
                sockets = _open(stack, listen.address, environ, sharing)
                listeners += [Listener(listen.purpose, one) for one in sockets]
            except (OSError, ValueError) as error:  # UnicodeError, of a host, is a ValueError
                faults.append(f"cannot listen on {listen.address}: {_reason(error)}")
        faults += _repeated(listeners)
        if faults:
            raise ListenError(faults)
        yield listeners


def _open(
    stack: ExitStack, address: Address, environ: Mapping[str, str], sharing: Sharing
) -> list[socket.socket]:
    match address:
        case Tcp():
            return [stack.enter_context(one) for one in _tcp_sockets(address, sharing)]
        case Unix():
            return [stack.enter_context(_unix_socket(address.path))]
        case Inherited():
            numbers = _inherited(address.name, environ)
            return [stack.enter_context(_adopted(number)) for number in numbers]
        case _:
            assert_never(address)


def _repeated(listeners: Sequence[Listener]) -> list[str]:
    """Return a sentence for each address that would answer for two purposes by turns."""
    counts = Counter(str(listener.address) for listener in listeners)
    return [f"{address} is to listen twice" for address, count in counts.items() if count > 1]


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None) or 0  # below 0: a name that does not resolve
    return os.strerror(number) if number > 0 else str(error)


def _tcp_sockets(address: Tcp, sharing: Sharing) -> list[socket.socket]:
    """Return one socket, or one for each of IPv4 and IPv6 when every address is meant.

    One for both would tell IPv4 addresses in the clothes of IPv6.
    """
    if address.host:
        return [_tcp_socket(address.host, address.port, sharing)]
    first = _tcp_socket("0.0.0.0", address.port, sharing)  # noqa: S104  it is asked for
    try:
        return [first, _tcp_socket("::", first.getsockname()[1], sharing)]
    except OSError as error:
        if error.errno in _NO_IPV6:
            return [first]
        first.close()
        raise


def _tcp_socket(host: str, port: int, sharing: Sharing) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if sharing is not Sharing.RESERVED:
        shared = sharing is Sharing.SHARED
        return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=shared)
    keeper = socket.socket(family, socket.SOCK_STREAM)
    try:
        with socket.create_server((host, port), family=family) as probe:
            port = probe.getsockname()[1]  # nobody else listens there
        if family == socket.AF_INET6:
            keeper.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeper.bind((host, port))
    except OSError:
        keeper.close()
        raise
    return keeper


@contextmanager
def _unix_socket(path: str) -> Iterator[socket.socket]:
    """Listen on `path` and remove it in the end, unless it is somebody else's by then."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        with _alone_in(Path(path).parent):
            _bind_unix(listener, path)
            made = os.lstat(path)
        try:
            yield listener
        finally:
            with suppress(OSError):
                if os.path.samestat(os.lstat(path), made):
                    Path(path).unlink()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let no other Keyferry look for a dead socket in `folder` while we do."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _bind_unix(listener: socket.socket, path: str) -> None:
    if os.path.lexists(path):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ValueError("there is a file that is not a socket")
        _refuse_living(path)
        Path(path).unlink()
    before = os.umask(_UNIX_UMASK)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(BACKLOG)


def _refuse_living(path: str) -> None:
    """Raise OSError unless the process behind the socket at `path` is dead."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return
        except BlockingIOError:  # its queue is full, so somebody listens
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _inherited(name: str, environ: Mapping[str, str]) -> list[int]:
    """Return the descriptors that are meant; a service manager may give several one name."""
    if name.isdecimal():
        return [int(name)]
    if environ.get("LISTEN_PID") != str(os.getpid()):
        raise ValueError("no service manager has passed sockets to this process")
    names = _passed_names(environ)
    numbers = [_FIRST_FD + place for place, known in enumerate(names) if known == name]
    if not numbers:
        raise ValueError(f"no socket of this name was passed, but {', '.join(names) or 'none'}")
    return numbers


def _passed_names(environ: Mapping[str, str]) -> list[str]:
    """Return the name of each descriptor that was passed; "unknown" without names, as systemd."""
    count = environ.get("LISTEN_FDS", "")
    passed = int(count) if count.isdecimal() else 0
    names = environ.get("LISTEN_FDNAMES", "")
    return (names.split(":") if names else ["unknown"] * passed)[:passed]


@contextmanager
def _adopted(number: int) -> Iterator[socket.socket]:
    """Listen on the stream socket that descriptor `number` is."""
    adopted = socket.socket(fileno=number)
    try:
        stream = adopted.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        if adopted.family not in _FAMILIES or not stream:
            raise ValueError("it is not a TCP or Unix socket")
        if not adopted.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError("it does not listen for connections")
        adopted.set_inheritable(False)
        yield adopted
    finally:
        with suppress(OSError):  # named twice, it is closed already
            adopted.close()
