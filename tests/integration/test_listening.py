"""One Keyferry on many sockets: what each of them is for, with one process and with workers."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pytest

from tests.integration.test_workers import workers
from tests.service import PROGRAM, House, Tenant, make_tenant, places, serve_alone

# Becomes a command whose descriptors from 3 on are the ones named, as systemd starts a service.
ACTIVATION = """
import os, sys
numbers, names, *command = sys.argv[1:]
for place, number in enumerate(numbers.split(",")):
    os.dup2(int(number), 3 + place)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(place + 1)}
os.environ["LISTEN_FDNAMES"] = names
os.execv(command[0], command)
"""
KINDS = (socket.AF_UNIX, socket.AF_UNIX, socket.AF_INET)  # of the sockets that are passed
HIGH = 60  # a descriptor that the ones from 3 on do not overwrite


def ask(place: str, path: str, **headers: str) -> httpx2.Response:
    """Ask one of the places that `--listen` names, on a connection of its own."""
    kind, _, rest = place.partition("=")[2].partition(":")
    uds = rest if kind == "unix" else None
    base = "http://localhost" if uds else f"http://{place.partition('=')[2]}"
    transport = httpx2.HTTPTransport(uds=uds, verify=False)
    with httpx2.Client(transport=transport, base_url=base, timeout=20) as client:
        return client.get(path, headers=headers)


@dataclass(frozen=True)
class Open:
    """A Keyferry that listens in several ways."""

    tenant: Tenant
    process: subprocess.Popen[bytes]
    where: list[str]

    def at(self, beginning: str) -> str:
        """Return the place that begins so."""
        return next(place for place in self.where if place.startswith(beginning))


@contextmanager
def activated(house: House, folder: Path, count: int) -> Iterator[Open]:
    """Run Keyferry on sockets of each kind, some of which it is passed as by systemd."""
    with ExitStack() as stack:
        passed = [stack.enter_context(socket.socket(kind)) for kind in KINDS]
        for number, each in enumerate(passed):
            if each.family is socket.AF_UNIX:
                each.bind(str(folder / f"passed-{number}"))
            each.listen()
        numbers = [fcntl.fcntl(each, fcntl.F_DUPFD, HIGH) for each in passed]
        names = "keyferry-edge:keyferry.socket:keyferry.socket"
        activation = [sys.executable, "-c", ACTIVATION, ",".join(map(str, numbers)), names]
        listens = [
            "edge=[::1]:0",
            "127.0.0.1:0",
            "metrics=127.0.0.1:0",
            f"edge=unix:{folder}/edge",
            "edge=fd:keyferry-edge",
            "fd:keyferry.socket",
        ]
        options = [part for listen in listens for part in ("--listen", listen)]
        served = serve_alone(
            folder / "log",
            {"KEYFERRY_DATABASE_URL": house.dsn},
            [*options, "--workers", str(count)],
            program=[*activation, *PROGRAM],
            pass_fds=numbers,
        )
        url, process = stack.enter_context(served)
        for number in numbers:
            os.close(number)
        yield Open(make_tenant(house, url), process, places(folder / "log"))


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def everywhere(house: House, request: pytest.FixtureRequest) -> Iterator[Open]:
    """A Keyferry that takes its own socket away in the end, and no other."""
    with TemporaryDirectory(prefix="kf-") as name:  # short, as addresses of Unix sockets are
        folder = Path(name)
        with activated(house, folder, request.param) as served:
            yield served
        assert {path.name for path in folder.iterdir()} == {"log", "passed-0", "passed-1"}


def test_it_says_where_it_listens(everywhere: Open) -> None:
    kinds = [re.sub(r"\d+$|/.*/", "", place) for place in everywhere.where]
    assert kinds == [
        "edge=[::1]:",
        "api=127.0.0.1:",
        "metrics=127.0.0.1:",
        "edge=unix:edge",
        "edge=unix:passed-",
        "api=unix:passed-",
        "api=0.0.0.0:",
    ]
    assert everywhere.tenant.url == f"http://{everywhere.at('api=')[4:]}"


@pytest.mark.parametrize(
    ("path", "api", "edge", "metrics"),
    [
        ("/healthz", 200, 200, 200),
        ("/readyz", 200, 200, 200),
        ("/metrics", 404, 404, 200),
        ("/accounts/{id}/verify/video/index.m3u8", 401, 401, 404),
        ("/accounts/{id}/mediamtx", 405, 405, 404),
        ("/accounts/{id}/jwks.json", 200, 200, 404),
        ("/accounts/{id}/projects/{id}/jwks.json", 200, 200, 404),
        ("/keys/{id}/jwks.json", 404, 404, 404),
        ("/client/v4/accounts/{id}/stream/keys", 200, 404, 404),
        ("/client/v4/user/tokens/verify", 200, 404, 404),
        ("/api/access-control/signing-key", 200, 404, 404),
        ("/", 404, 404, 404),
    ],
)
def test_each_socket_answers_what_it_is_for(
    everywhere: Open, path: str, api: int, edge: int, metrics: int
) -> None:
    tenant = everywhere.tenant
    bearer = f"Bearer {tenant.token}"
    for place in everywhere.where:
        expected = {"api": api, "edge": edge, "metrics": metrics}[place.partition("=")[0]]
        answer = ask(place, path.format(id=tenant.account_id), Authorization=bearer)
        assert answer.status_code == expected, place


def test_its_own_unix_socket_is_for_owner_and_group(everywhere: Open) -> None:
    path = Path(everywhere.at("edge=unix:").removeprefix("edge=unix:"))
    assert stat.S_IMODE(path.lstat().st_mode) == 0o660


@pytest.mark.parametrize(
    ("host", "base"), [("bad host", "localhost"), ("example.net:99", "example.net:99")]
)
def test_a_link_on_a_unix_socket_needs_no_address(everywhere: Open, host: str, base: str) -> None:
    tenant = everywhere.tenant
    bearer = {"Authorization": f"Bearer {tenant.token}"}
    keys = "/api/access-control/signing-key"
    for _ in range(2):
        made = httpx2.post(tenant.url + keys, headers=bearer, timeout=20)
        assert made.status_code == 200
    answer = ask(everywhere.at("api=unix:"), f"{keys}?limit=1", Host=host, **bearer)
    assert f"<http://{base}{keys}?" in answer.headers["link"]


def test_workers_that_died_listen_everywhere_again(everywhere: Open) -> None:
    first = {worker.pid for worker in workers(everywhere.process)}
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 30
    for place in everywhere.where:
        while first and not answers(place):
            assert time.monotonic() < end
            time.sleep(0.1)
    assert not first & {worker.pid for worker in workers(everywhere.process)}


def answers(place: str) -> bool:
    try:
        return ask(place, "/healthz").status_code == 200
    except httpx2.TransportError:  # of a port that nobody listens on, or a connection of the dead
        return False
