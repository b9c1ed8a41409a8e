"""The `keyferry` command as a person or a script runs it: real processes, real databases."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import click
import httpx2
import pytest

from gateway.cli.group import main
from gateway.storage.migrate import LATEST

REPOSITORY = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "gateway"]
ENVIRONMENT = {"PATH": os.defpath, "PYTHONPATH": str(REPOSITORY)}
DEV = ("dev", "--port", "0", "--output", "json")
ABSENT = str(uuid.UUID(int=1))


def keyferry(
    *arguments: str | Path, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=ENVIRONMENT | environment,
        cwd="/",
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Running:
    """A server that was started by a command; `said` is the first line of its standard output."""

    def __init__(self, process: subprocess.Popen[str], said: str) -> None:
        self.process = process
        self.said = said

    @property
    def document(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.said)
        return shown

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; return the exit status and the rest of its standard output."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=30)
        return self.process.returncode, rest


@contextmanager
def launched(
    command: Sequence[str | Path], *, stderr: int | IO[str] | None = None, **extra: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a command beside the test, and end it with the test at the latest."""
    with subprocess.Popen(
        [*COMMAND, *map(str, command)],
        env=ENVIRONMENT | extra,
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def started(*arguments: str | Path, **extra: str) -> Iterator[Running]:
    """Run `keyferry dev`, from the first line of its standard output on."""
    with launched([*DEV, *arguments], stderr=None, **extra) as process:
        assert process.stdout is not None
        yield Running(process, process.stdout.readline())


def left_over(folder: Path) -> list[str]:
    """Every process that has to do with `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            title = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if str(folder) in title or (process / "cwd").readlink().is_relative_to(folder):
                found.append(f"{process.name} {title}")
    return found


def is_free(folder: Path) -> bool:
    """Whether neither a keyferry nor a PostgreSQL holds `folder`."""
    for name in ("lock", "postgres.lock"):
        with suppress(FileNotFoundError), (folder / name).open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's own are not when root runs them."""
    folder = Path(tempfile.mkdtemp(prefix="keyferry-cli-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


class First:
    """What the very first `keyferry dev` in a folder said and left, ended by Ctrl-C."""

    def __init__(self, folder: Path) -> None:
        began = time.monotonic()
        with started("--data", folder, "--email", "me@example.com") as running:
            self.seconds = time.monotonic() - began
            self.document = running.document
            self.pid = running.process.pid
            self.status, self.rest = running.end(signal.SIGINT)
        self.left_over = left_over(folder)


@pytest.fixture(scope="module")
def first(base: Path) -> First:
    return First(base / "data")


@pytest.fixture(scope="module")
def dev(base: Path, first: First) -> Iterator[dict[str, Any]]:
    """A running `keyferry dev`, the second one in its folder; most tests share it."""
    assert first.status == 0
    with started("--data", base / "data", KEYFERRY_METRICS_PORT=str(free_port())) as running:
        yield running.document


@pytest.fixture(scope="module")
def ask(dev: dict[str, Any]) -> Callable[..., Any]:
    """Run an administrator's command on the running folder and return its JSON document."""

    def ask(*arguments: str, stdin: str = "") -> Any:
        ended = keyferry(*arguments, "--data", dev["data_dir"], "--output", "json", stdin=stdin)
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
        return json.loads(ended.stdout)

    return ask


@pytest.fixture(scope="module")
def account(ask: Callable[..., Any]) -> str:
    """The id of an account with nothing in it."""
    made: str = ask("account", "create", "Example TV", "--email", "tv@example.com")["id_hex"]
    return made


def call(
    dev: dict[str, Any], token: str, method: str = "GET", path: str = "", body: Any = None
) -> Any:
    """Ask the Livepeer door about signing keys."""
    url = f"{dev['livepeer_base_url']}/access-control/signing-key{path}"
    bearer = {"Authorization": f"Bearer {token}"}
    return httpx2.request(method, url, headers=bearer, json=body, trust_env=False, timeout=30)


def when_known(dev: dict[str, Any], token: str, status: int) -> Any:
    """Ask until the answer has `status`, which a running server may learn a moment later."""
    end = time.monotonic() + 5
    while (answer := call(dev, token)).status_code != status:
        assert time.monotonic() < end, answer.text
        time.sleep(0.05)
    return answer.json()


def refused(ended: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """Return the error of a command that says one thing, on standard error only."""
    assert (ended.returncode, ended.stdout) == (status, ""), ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


# --- dev


def test_dev_says_one_json_object(base: Path, first: First) -> None:
    said = dict(first.document)
    url = said.pop("url")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    assert re.fullmatch(r"[0-9a-f]{32}", said.pop("account_id"))
    assert re.fullmatch(r"kf_[\w-]{43}", said.pop("token"))
    assert said == {
        "listening": [f"api={url.removeprefix('http://')}"],
        "cloudflare_base_url": f"{url}/client/v4",
        "livepeer_base_url": f"{url}/api",
        "email": "me@example.com",
        "data_dir": str(base / "data"),
        "pid": first.pid,
    }
    assert first.rest == ""
    assert first.seconds < 15


def test_ctrl_c_leaves_nothing_behind(base: Path, first: First) -> None:
    assert first.status == 0
    assert first.left_over == []
    assert (base / "data" / "dev.json").stat().st_mode & 0o777 == 0o600


def test_a_second_start_finds_account_and_token(first: First, dev: dict[str, Any]) -> None:
    same = ("account_id", "email", "token", "data_dir")
    assert {name: dev[name] for name in same} == {name: first.document[name] for name in same}
    assert call(dev, dev["token"]).status_code == 200


def test_dev_shows_metrics_on_a_port_of_their_own(dev: dict[str, Any]) -> None:
    everything, metrics = dev["listening"]
    assert everything.removeprefix("api=") in dev["url"]
    address = metrics.removeprefix("metrics=")
    assert "keyferry_pool_ready" in httpx2.get(f"http://{address}/metrics", timeout=30).text


def test_a_shell_can_read_what_dev_knows(dev: dict[str, Any]) -> None:
    program = '. "$0"; echo "$URL $ACCOUNT $TOKEN"'
    file = Path(dev["data_dir"]) / "env"
    assert file.stat().st_mode & 0o777 == 0o600
    said = subprocess.check_output(["/bin/sh", "-c", program, file], text=True)
    assert said.split() == [dev["url"], dev["account_id"], dev["token"]]


@pytest.mark.parametrize("after", [0.5, 1.0])
def test_a_signal_during_the_start_leaves_nothing_behind(base: Path, after: float) -> None:
    folder = base / "own"  # begun here, and used by the tests that follow
    with launched([*DEV, "--data", folder]) as process:
        time.sleep(after)
        process.terminate()
        assert process.wait(30) in {0, -signal.SIGTERM, 128 + signal.SIGTERM}
    assert left_over(folder) == []
    assert is_free(folder)


@pytest.fixture(scope="module")
def own(base: Path) -> Path:
    """A file with a token of the operator's choosing."""
    file = base / "token.txt"
    file.write_text("a-token-of-my-own-choosing\n")
    return file


def read_welcome(stream: IO[str]) -> str:
    """Return what `keyferry dev` tells a person on standard error, up to its last line."""
    lines = []
    for line in stream:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    return "".join(lines)


def test_dev_tells_people_what_to_paste(base: Path, own: Path) -> None:
    folder = base / "own"
    reader, writer = os.pipe()
    command: list[str | Path] = ["dev", "--port", "0", "--data", folder, "--token-file", own]
    with os.fdopen(reader) as stream, launched(command, stderr=writer) as process:
        os.close(writer)
        told = read_welcome(stream)
        answers = [run_curl(line) for line in re.findall(r"^curl (?:.*\\\n)*.*$", told, re.M)]
        process.terminate()
        assert (process.communicate(timeout=30)[0], process.returncode) == ("", 0)
    assert left_over(folder) == []
    assert is_free(folder)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert "no production set-up" in told
    assert str(folder) in told
    assert "a-token-of-my-own-choosing" in told
    assert not (folder / "dev.json").exists()
    assert "TOKEN" not in (folder / "env").read_text()


def run_curl(line: str) -> httpx2.Response:
    """Do what a pasted curl does, on machines that may not have it."""
    program, option, method, url, header, bearer = shlex.split(line.replace("\\\n", ""))
    assert (program, option, header) == ("curl", "-X", "-H")
    name, _, value = bearer.partition(": ")
    return httpx2.request(method, url, headers={name: value}, trust_env=False, timeout=30)


def test_a_token_belongs_to_one_account(base: Path, own: Path) -> None:
    """The token was registered for the account of the first start in this folder."""
    folder = base / "own"
    with started("--data", folder, "--token-file", own) as running:
        owner = running.document["account_id"]
        assert running.document["token"] == "a-token-of-my-own-choosing"
        running.end(signal.SIGTERM)
    other = uuid.uuid4()
    with started("--data", folder, "--account-id", str(other)) as running:
        assert running.document["account_id"] == other.hex
        running.end(signal.SIGTERM)
    ended = keyferry(*DEV, "--data", folder, "--account-id", other.hex, "--token-file", own)
    assert f"belongs to account {owner}" in refused(ended)
    assert left_over(folder) == []


def test_a_weak_token_is_refused(base: Path) -> None:
    weak = base / "weak.txt"
    weak.write_text("secret\n")
    ended = keyferry(*DEV, "--data", base / "own", "--token-file", weak)
    assert "16 to 512 characters" in refused(ended)


NO_URL = "dev prints a URL, so it has to listen on some HOST:PORT for everything"
NOWHERE = [
    ("--listen 127.0.0.1:0 --port 0", 2, ["--listen and --host or --port exclude each other"]),
    ("--host localhost --listen :0", 2, ["--listen and --host or --port exclude each other"]),
    ("--listen 80 --listen tcp:x", 2, ["'80' should be HOST", "'tcp:x' should be", "POOL_SIZE"]),
    ("--listen fd:web --listen 192.0.2.1:0", 1, ["on fd:web: no serv", "on 192.0.2.1:0: Cannot"]),
]


@pytest.mark.parametrize("command", ["dev --data /nowhere/never", "serve --embedded"])
@pytest.mark.parametrize(("options", "status", "reasons"), NOWHERE)
def test_places_where_it_cannot_listen_are_all_named(
    command: str, options: str, status: int, reasons: list[str]
) -> None:
    size = "0" if "POOL_SIZE" in reasons else "1"
    ended = keyferry(*command.split(), *options.split(), KEYFERRY_POOL_SIZE=size)
    error = refused(ended, status)
    assert all(reason in error for reason in reasons), error


@pytest.mark.parametrize("purpose", ["", "edge=", "metrics="])
def test_dev_wants_an_address_to_print(base: Path, purpose: str) -> None:
    place = f"{purpose}127.0.0.1:0" if purpose else f"unix:{base}/socket"
    ended = keyferry("dev", "--data", base / "never", "--listen", place)
    assert NO_URL in refused(ended)
    assert not (base / "never").exists()


def test_a_taken_port_is_named_before_anything_is_started(base: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = keyferry("dev", "--port", port, "--data", base / "never")
    assert refused(ended) == (f"Error: cannot listen on 127.0.0.1:{port}: Address already in use\n")
    assert not (base / "never").exists()


def test_a_folder_in_use_is_refused(dev: dict[str, Any]) -> None:
    ended = keyferry(*DEV, "--data", dev["data_dir"])
    assert f"another keyferry (process {dev['pid']})" in refused(ended)
    assert call(dev, dev["token"]).status_code == 200


def test_a_damaged_token_file_is_named(base: Path) -> None:
    kept = base / "own" / "dev.json"
    kept.write_text("{")
    assert f"{kept} is damaged" in refused(keyferry(*DEV, "--data", base / "own"))
    kept.unlink()


# --- serve and migrate


@pytest.fixture(scope="module")
def dsn(dev: dict[str, Any]) -> str:
    """An empty database on the server of `dev`, as an external one."""
    sockets = quote(str(Path(dev["data_dir"]) / "run"))
    name = "external"
    program = (
        "import asyncio, asyncpg, sys\n"
        "async def main():\n"
        "    connection = await asyncpg.connect(sys.argv[1])\n"
        "    await connection.execute('CREATE DATABASE external')\n"
        "    await connection.close()\n"
        "asyncio.run(main())\n"
    )
    url = f"postgresql://keyferry@/{{}}?host={sockets}"
    subprocess.run([sys.executable, "-c", program, url.format("keyferry")], check=True)
    return url.format(name)


def test_serve_names_every_fault_at_once() -> None:
    ended = keyferry(
        "serve",
        "--data",
        "/nowhere",
        KEYFERRY_POOL_SIZE="many",
        KEYFERRY_LIVEPEER_ALGORITHM="HS256",
        KEYFERRY_POOLSIZE="4",
        KEYFERRY_LOG_REQUESTS="some",
        KEYFERRY_LOG_ADDRESSES="half",
    )
    said = refused(ended, 2)
    for name in (
        "KEYFERRY_POOL_SIZE should be",
        "KEYFERRY_LIVEPEER_ALGORITHM should be",
        "KEYFERRY_POOLSIZE is not a setting",
        "KEYFERRY_LOG_REQUESTS should be all, refused or none",
        "KEYFERRY_LOG_ADDRESSES should be full, truncated or none",
        "set KEYFERRY_DATABASE_URL, or",
        "--data goes with --embedded",
    ):
        assert name in said


def test_serve_takes_one_database_only() -> None:
    url = "postgresql://u:hidden@127.0.0.1:1/db"
    ended = keyferry("serve", "--embedded", KEYFERRY_DATABASE_URL=url)
    assert "KEYFERRY_DATABASE_URL and --embedded exclude each other" in refused(ended, 2)


@pytest.mark.parametrize(
    ("command", "url", "reason"),
    [
        ("serve --port 0", "u:hidden@127.0.0.1:1/db", "at 127.0.0.1:1: .*Connection refused"),
        ("serve --port 0", "u:hidden@127.0.0.1:1,127.0.0.1:2/db", "127.0.0.1:2: .*refused"),
        ("serve --port 0", "u:hid/hidden@127.0.0.1/db", "percent-encoded"),
        ("serve --port 0 --migrate", "u:hidden@127.0.0.1:1/db?sslmode=hope", "sslmode"),
        ("migrate", "u:hidden@127.0.0.1:1/db", "at 127.0.0.1:1: .*Connection refused"),
        ("account list", "u:hidden@127.0.0.1:1/db", "at 127.0.0.1:1: .*Connection refused"),
    ],
)
def test_an_unreachable_database_is_one_line(command: str, url: str, reason: str) -> None:
    said = refused(keyferry(*command.split(), KEYFERRY_DATABASE_URL=f"postgresql://{url}"))
    assert re.fullmatch(f"Error: .*{reason}.*\n", said), said
    assert "hid" not in said


def test_production_from_nothing_to_serving(base: Path, dsn: str) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return keyferry(*arguments, KEYFERRY_DATABASE_URL=dsn)

    for command in (["serve", "--port", "0"], ["account", "list"]):
        assert "lacks migration 1" in refused(run(*command))
        assert "keyferry migrate" in refused(run(*command))
    versions = [*range(1, LATEST + 1)]
    migrated = run("migrate")
    assert (migrated.returncode, migrated.stderr) == (0, "")
    assert migrated.stdout == f"version  {LATEST}\napplied  {', '.join(map(str, versions))}\n"
    assert run("migrate").stdout == f"version  {LATEST}\n"
    assert json.loads(run("migrate", "--output", "json").stdout)["applied"] == []
    made = run("account", "create", "A", "--email", "a@example.com", "--output", "json")
    account = json.loads(made.stdout)["id"]
    token = run("token", "create", account, "--name", "one").stdout.strip()
    with (base / "log").open("w+") as log:
        ready = serving(["serve", "--port", "0"], log, KEYFERRY_DATABASE_URL=dsn)
        with ready as url:
            assert call({"livepeer_base_url": f"{url}/api"}, token).json() == []
        log.seek(0)
        assert token not in log.read()


@contextmanager
def serving(command: Sequence[str | Path], log: IO[str], **extra: str) -> Iterator[str]:
    """Run `keyferry serve`, which tells its address in its log only; yield that address."""
    with launched(command, stderr=log, **extra) as process:
        end = time.monotonic() + 30
        while not (ready := [line for line in read_log(log) if line["event"] == "ready"]):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        yield ready[0]["url"]
        process.terminate()
        assert process.wait(30) == 0


def read_log(log: IO[str]) -> list[dict[str, Any]]:
    text = Path(log.name).read_text()
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def test_serve_with_a_database_of_its_own(base: Path) -> None:
    folder = base / "own"
    with (
        (base / "embedded.log").open("w") as log,
        serving(["serve", "--embedded", "--data", folder, "--port", "0"], log) as url,
    ):
        assert httpx2.get(f"{url}/readyz", trust_env=False).json()["database"] == "ok"
    assert left_over(folder) == []
    listed = keyferry("account", "list", "--data", folder, "--output", "json")
    assert [account["name"] for account in json.loads(listed.stdout)] == ["dev", "dev"]
    assert is_free(folder)


# --- administration


MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_accounts(ask: Callable[..., Any]) -> None:
    chosen = uuid.uuid4()
    made = ask(
        *("account", "create", "Münchner Fernsehen", "--email", "m@example.com"),
        *("--id", chosen.hex, "--quota", "livepeer=3", "--algorithm", "livepeer=ES256"),
    )
    assert MOMENT.fullmatch(made.pop("created_at"))
    allowance = {"dialect": "livepeer", "live_keys": 0, "quota": 3, "algorithm": "ES256"}
    assert made == {
        "id": str(chosen),
        "id_hex": chosen.hex,
        "name": "Münchner Fernsehen",
        "email": "m@example.com",
        "state": "active",
        "suspended_at": None,
        "allowances": [allowance],
    }
    assert str(chosen) in [account["id"] for account in ask("account", "list")]
    changed = ask("account", "set", str(chosen), "--quota", "cloudflare=7")
    assert changed["allowances"] == [
        {"dialect": "cloudflare", "live_keys": 0, "quota": 7, "algorithm": None},
        allowance,
    ]
    changed = ask("account", "set", chosen.hex, "--quota", "livepeer=default")
    assert changed["allowances"][1] == allowance | {"quota": None}
    changed = ask("account", "set", chosen.hex, "--algorithm", "livepeer=default")
    assert changed["allowances"][1] == allowance | {"quota": None, "algorithm": None}


def test_a_suspended_account_is_refused_until_it_is_resumed(
    dev: dict[str, Any], ask: Callable[..., Any]
) -> None:
    account = ask("account", "create", "Late", "--email", "late@example.com")["id"]
    token = ask("token", "create", account, "--name", "one")["token"]
    when_known(dev, token, 200)
    shown = ask("account", "suspend", account)
    assert shown["state"] == "suspended"
    assert MOMENT.fullmatch(shown["suspended_at"])
    assert when_known(dev, token, 403) == {"errors": ["user is suspended"]}
    assert ask("account", "resume", account)["state"] == "active"
    when_known(dev, token, 200)


def test_projects(dev: dict[str, Any], ask: Callable[..., Any], account: str) -> None:
    made = ask("project", "create", account, "staging")
    assert (made["name"], made["default"], uuid.UUID(made["account_id"]).hex) == (
        "staging",
        False,
        account,
    )
    assert [one["name"] for one in ask("project", "list", account)] == ["default", "staging"]
    token = ask("token", "create", account, "--name", "in it", "--project", made["id"])
    assert token["project_id"] == made["id"]
    created = call(dev, token["token"], "POST")
    assert created.json()["projectId"] == made["id"]


def test_tokens(dev: dict[str, Any], ask: Callable[..., Any], account: str) -> None:
    made = ask(
        *("token", "create", account, "--name", "report", "--scope", "keys:read"),
        *("--expires", "30d"),
    )
    assert (made["scopes"], made["state"]) == (["keys:read"], "active")
    assert MOMENT.fullmatch(made["expires_at"])
    assert call(dev, made["token"]).status_code == 200
    assert call(dev, made["token"], "POST").status_code == 403
    listed = {token["id"]: token for token in ask("token", "list", account)}
    assert listed[made["id"]]["name"] == "report"
    assert "token" not in listed[made["id"]]
    assert ask("token", "revoke", account, made["id"])["state"] == "revoked"
    when_known(dev, made["token"], 401)


def test_a_token_from_standard_input(
    dev: dict[str, Any], ask: Callable[..., Any], account: str
) -> None:
    secret = "chosen-by-the-operator/4711"
    arguments = ("token", "create", account, "--name", "staging", "--from-stdin")
    made = ask(*arguments, stdin=f"{secret}\n")
    assert made["token"] is None
    assert made["scopes"] == ["keys:read", "keys:write", "media:publish", "tokens:write"]
    assert call(dev, secret).status_code == 200
    again = keyferry(*arguments, "--data", dev["data_dir"], stdin=secret)
    assert refused(again) == "Error: this token is registered already\n"


def test_the_secret_stands_alone_on_standard_output(dev: dict[str, Any], account: str) -> None:
    made = keyferry("token", "create", account, "--name", "shell", "--data", dev["data_dir"])
    assert call(dev, made.stdout.removesuffix("\n")).status_code == 200
    assert made.stdout.strip() not in made.stderr


def test_keys(dev: dict[str, Any], ask: Callable[..., Any]) -> None:
    account = ask("account", "create", "Keys", "--email", "keys@example.com")["id_hex"]
    token = ask("token", "create", account, "--name", "one")["token"]
    assert ask("key", "list", account) == []
    created = call(dev, token, "POST").json()
    (listed,) = ask("key", "list", account)
    assert (listed["id"], listed["id_hex"]) == (created["id"], uuid.UUID(created["id"]).hex)
    assert (listed["name"], listed["state"]) == (created["name"], "active")
    shown = ask("key", "show", account, listed["id_hex"])
    assert shown.pop("public_key").startswith("-----BEGIN PUBLIC KEY-----\n")
    (event,) = shown.pop("history")
    assert shown == listed
    assert (event["action"], event["dialect"], event["address"]) == (
        "created",
        "livepeer",
        "127.0.0.1",
    )
    assert call(dev, token, "DELETE", f"/{created['id']}").status_code == 204
    shown = ask("key", "show", account, listed["id"])
    assert (shown["state"], [event["action"] for event in shown["history"]]) == (
        "deleted",
        ["created", "deleted"],
    )
    assert ask("key", "list", account) == []


def test_a_key_cannot_speak_to_the_terminal(dev: dict[str, Any]) -> None:
    body = {"name": "red \x1b[31m \x9b31m\nnext"}
    key = call(dev, dev["token"], "POST", body=body).json()
    for command in (
        ["key", "list", dev["account_id"]],
        ["key", "show", dev["account_id"], key["id"]],
    ):
        shown = keyferry(*command, "--data", dev["data_dir"]).stdout
        assert key["id"] in shown
        assert "red" in shown
        assert not {"\x1b", "\x9b"} & set(shown)


@pytest.mark.parametrize(
    "command",
    [
        f"account set {ABSENT} --quota livepeer=1",
        f"account suspend {ABSENT}",
        f"account resume {ABSENT}",
        f"project create {ABSENT} name",
        f"project list {ABSENT}",
        f"token create {ABSENT} --name x",
        f"token list {ABSENT}",
        f"token revoke {ABSENT} {ABSENT}",
        f"key list {ABSENT}",
        f"key show {ABSENT} {ABSENT}",
    ],
)
def test_an_absent_account_is_one_line(dev: dict[str, Any], command: str) -> None:
    ended = keyferry(*command.split(), "--data", dev["data_dir"])
    assert re.fullmatch(r"Error: there is no (account|token|key) .*\n", refused(ended))


def test_text_is_a_table(dev: dict[str, Any]) -> None:
    listed = keyferry("account", "list", "--data", dev["data_dir"])
    head, *rows = listed.stdout.splitlines()
    assert head.split() == ["id", "name", "email", "state", "created_at"]
    (row,) = (row for row in rows if " dev " in row)
    assert row.split()[0] == str(uuid.UUID(dev["account_id"]))
    assert row.index("me@example.com") == head.index("email")


def test_no_folder_is_made_by_a_wrong_name(base: Path) -> None:
    ended = keyferry("account", "list", "--data", base / "typo")
    assert refused(ended) == f"Error: there is no database in {base / 'typo'}\n"
    assert not (base / "typo").exists()
    assert "Which database?" in refused(keyferry("account", "list"), 2)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["account", "suspend", "xyz"], "is no id"),
        (["account", "create", "a\tb", "--email", "e"], "printable characters"),
        (["account", "set", ABSENT, "--quota", "livepeer"], "DIALECT=VALUE"),
        (["token", "create", ABSENT, "--name", "x", "--expires", "soon"], "30d, 12h or"),
        (["token", "create", ABSENT, "--name", "x", "--expires", "2027-01-01"], "30d, 12h or"),
        (["token", "create", ABSENT, "--name", "x", "--expires", "2001-01-01T00:00:00Z"], "over"),
        (["token", "create", ABSENT, "--name", "x", "--scope", "all"], "keys:read"),
    ],
)
def test_usage_errors(arguments: list[str], reason: str) -> None:
    assert reason in refused(keyferry(*arguments), 2)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--quota=vimeo=1", "no dialect 'vimeo'"),
        ("--quota=livepeer=-1", "whole number"),
        ("--quota=livepeer=9999999999", "whole number"),
        ("--algorithm=cloudflare=ES256", "RS256, default"),
    ],
)
def test_what_no_account_can_have(dev: dict[str, Any], option: str, reason: str) -> None:
    account = dev["account_id"]
    ended = keyferry("account", "set", account, option, "--data", dev["data_dir"])
    assert reason in refused(ended, 2)


# --- help


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", list(commands(main)), ids=" ".join)
def test_help_of_a_command_has_an_example(path: tuple[str, ...]) -> None:
    context = click.Context(main, info_name="keyferry")
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
        context = click.Context(command, context, info_name=name)
    if not isinstance(command, click.Group):
        assert re.search(rf"^ .*keyferry {' '.join(path)}", command.get_help(context), re.M)


def test_help_answers_at_once() -> None:
    program = (
        "import sys; from gateway.cli.group import main; main(['--help'], standalone_mode=False);"
        "print(*(name for name in sys.modules if '.' not in name), file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert "keyferry dev" in ended.stdout
    heavy = {"asyncio", "asyncpg", "cryptography", "msgspec", "rich", "starlette", "structlog"}
    assert heavy.isdisjoint(ended.stderr.split())


def test_version() -> None:
    assert re.fullmatch(r"keyferry \d+\.\d+\.\d+\S*\n", keyferry("--version").stdout)
