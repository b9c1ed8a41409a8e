"""Where sockets are opened, and where that is refused: real ones, in this process."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateway.addresses import read_listen
from gateway.listeners import Listener, ListenError, Sharing, opened


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path leaves room in the address of a Unix socket."""
    with TemporaryDirectory(prefix="kf-") as folder:
        yield Path(folder)


def refusals(
    *texts: str, sharing: Sharing = Sharing.ALONE, environ: Mapping[str, str] | None = None
) -> list[str]:
    """Return why nothing listens at these places."""
    with (
        pytest.raises(ListenError) as refusal,
        opened([read_listen(text) for text in texts], environ or {}, sharing),
    ):
        pass
    return refusal.value.faults


def say_hello(listener: Listener) -> None:
    """Connect to a listener, through the wildcard address as well."""
    with socket.socket(listener.socket.family) as client:
        client.settimeout(5)
        client.connect(listener.socket.getsockname())
        listener.socket.accept()[0].close()


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_unix_socket_is_for_its_owner_and_group_only_and_removed_in_the_end(
    folder: Path, umask: int
) -> None:
    path = folder / "socket"
    before = os.umask(umask)
    try:
        with opened([read_listen(f"edge=unix:{path}")], {}) as (listener,):
            assert stat.S_IMODE(path.lstat().st_mode) == 0o660
            assert str(listener) == f"edge=unix:{path}"
            say_hello(listener)
            assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert not path.exists()


def test_a_dead_socket_is_replaced(folder: Path) -> None:
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with opened([read_listen(f"unix:{path}")], {}) as (listener,):
        say_hello(listener)
    assert not path.exists()


@pytest.mark.parametrize("waiting", [0, 1, 4])
def test_a_living_socket_is_refused_and_stays_however_busy_it_is(
    folder: Path, waiting: int
) -> None:
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(waiting)]
        for client in clients:
            client.settimeout(0)
            client.connect_ex(str(path))
        assert refusals(f"unix:{path}") == [f"cannot listen on unix:{path}: Address already in use"]
        assert path.is_socket()
        for client in clients:
            client.close()


@pytest.mark.parametrize("kind", ["file", "folder", "link to a file", "broken link", "pipe"])
def test_what_is_not_a_socket_is_refused_and_stays(folder: Path, kind: str) -> None:
    path = folder / "socket"
    match kind:
        case "file":
            path.write_text("precious")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to(folder / "target")
            if kind == "link to a file":
                (folder / "target").write_text("precious")
    before = path.lstat()
    assert refusals(f"unix:{path}") == [
        f"cannot listen on unix:{path}: there is a file that is not a socket"
    ]
    assert path.lstat().st_ino == before.st_ino


def test_somebody_elses_socket_is_not_removed_in_the_end(folder: Path) -> None:
    path = folder / "socket"
    with opened([read_listen(f"unix:{path}")], {}):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
    assert path.is_socket()


def test_every_place_where_nothing_can_listen_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusals(
            f"127.0.0.1:{port}",
            f"metrics=unix:{folder}/none/socket",
            "198.51.100.1:0",
            "edge=127.0.0.1:0",
            "fd:keyferry",
            "fd:987654",
        ) == [
            f"cannot listen on 127.0.0.1:{port}: Address already in use",
            f"cannot listen on unix:{folder}/none/socket: No such file or directory",
            "cannot listen on 198.51.100.1:0: Cannot assign requested address",
            "cannot listen on fd:keyferry: no service manager has passed sockets to this process",
            "cannot listen on fd:987654: Bad file descriptor",
        ]


@pytest.mark.parametrize("sharing", [Sharing.ALONE, Sharing.RESERVED])
def test_a_port_that_is_taken_is_refused(sharing: Sharing) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusals(f"127.0.0.1:{port}", f":{port}", sharing=sharing) == [
            f"cannot listen on 127.0.0.1:{port}: Address already in use",
            f"cannot listen on :{port}: Address already in use",
        ]


def test_no_address_is_for_two_purposes() -> None:
    with opened([read_listen("127.0.0.1:0")], {}) as (free,):
        port = free.socket.getsockname()[1]
    faults = refusals(
        f"edge=127.0.0.1:{port}", f"metrics=localhost:{port}", sharing=Sharing.RESERVED
    )
    assert faults == [f"127.0.0.1:{port} is to listen twice"]
    with socket.create_server(("127.0.0.1", 0)) as passed:
        number = os.dup(passed.fileno())
        port = passed.getsockname()[1]
        assert refusals(f"edge=fd:{number}", f"fd:{number}") == [
            f"127.0.0.1:{port} is to listen twice"
        ]


def test_a_host_that_does_not_exist_is_refused_with_its_name() -> None:
    (fault,) = refusals("host.invalid:0")
    assert fault.startswith("cannot listen on host.invalid:0: ")


def test_every_address_of_this_machine_means_both_families() -> None:
    with opened([read_listen(":0")], {}) as listeners:
        port = listeners[0].socket.getsockname()[1]
        assert list(map(str, listeners)) == [f"api=0.0.0.0:{port}", f"api=[::]:{port}"]
        for listener in listeners:
            say_hello(listener)


def test_a_passed_socket_is_found_by_its_name_and_by_its_number() -> None:
    me = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "one:two"}
    assert refusals("fd:three", environ=me) == [
        "cannot listen on fd:three: no socket of this name was passed, but one, two"
    ]
    assert refusals("fd:one", environ=me | {"LISTEN_PID": "1"}) == [
        "cannot listen on fd:one: no service manager has passed sockets to this process"
    ]
    assert refusals("fd:three", environ=me | {"LISTEN_FDS": "1"}) == [
        "cannot listen on fd:three: no socket of this name was passed, but one"
    ]
    del me["LISTEN_FDNAMES"]
    assert refusals("fd:three", environ=me) == [
        "cannot listen on fd:three: no socket of this name was passed, but unknown, unknown"
    ]
    for none in ("0", "", "-1", "many"):
        assert refusals("fd:three", environ=me | {"LISTEN_FDS": none}) == [
            "cannot listen on fd:three: no socket of this name was passed, but none"
        ]
    with socket.create_server(("127.0.0.1", 0)) as passed:
        number = os.dup(passed.fileno())
        with opened([read_listen(f"edge=fd:{number}")], {}) as (listener,):
            assert str(listener) == f"edge=127.0.0.1:{passed.getsockname()[1]}"
            say_hello(listener)


def test_an_abstract_socket_can_be_passed() -> None:
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(f"\0keyferry-test-{os.getpid()}")
        passed.listen()
        with opened([read_listen(f"fd:{os.dup(passed.fileno())}")], {}) as (listener,):
            assert str(listener) == f"api=unix:@keyferry-test-{os.getpid()}"
            say_hello(listener)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("pipe", "Socket operation on non-socket"),
        ("datagrams", "it is not a TCP or Unix socket"),
        ("a connection", "it does not listen for connections"),
        ("packets", "it is not a TCP or Unix socket"),
    ],
)
def test_what_cannot_take_connections_is_refused(kind: str, reason: str) -> None:
    ours: list[int] = []
    match kind:
        case "pipe":
            ours = list(os.pipe())
        case "datagrams":
            ours = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()]
        case "packets":
            ours = [one.detach() for one in socket.socketpair(type=socket.SOCK_SEQPACKET)]
        case _:
            ours = [one.detach() for one in socket.socketpair()]
    number = ours[0]
    assert refusals(f"fd:{number}") == [f"cannot listen on fd:{number}: {reason}"]
    for one in ours[1:] if kind != "pipe" else ours:
        os.close(one)
