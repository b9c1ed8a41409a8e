"""An operator's first hour: README's commands on a fresh PostgreSQL, and roles that lack rights."""

from __future__ import annotations

import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from uuid import UUID

import click
import pytest
from click.testing import CliRunner

from gateway.cli.group import main
from tests.outage import unreachable
from tests.postgres import Postgres

README = Path(__file__).parents[2] / "README.md"
ANY = str(UUID(int=1))
# Every command that works on a database, with what it cannot do without.
COMMANDS = {
    "migrate": (),
    "account create": ("Example TV", "--email", "ops@example.com"),
    "account list": (),
    "account set": (ANY, "--quota", "livepeer=3"),
    "account suspend": (ANY,),
    "account resume": (ANY,),
    "account rotate": (ANY, "--revoke"),
    "project create": (ANY, "films"),
    "project list": (ANY,),
    "token create": (ANY, "--name", "web player"),
    "token list": (ANY,),
    "token revoke": (ANY, ANY),
    "key list": (ANY,),
    "key show": (ANY, ANY),
    "verify": ("a.b.c", "--account", ANY),
    "serve": ("--port", "0"),
    "serve --migrate": ("--port", "0"),
    "serve --workers 2": ("--port", "0"),
}
WITHOUT_DATABASE = {"dev", "edge"}  # dev has one of its own
SERVES = {"serve", "migrate"}
READS = {"account list", "project list", "token list", "key list", "key show", "verify"}


def environment(dsn: str) -> dict[str, str]:
    settings = {"KEYFERRY_DATABASE_URL": dsn, "KEYFERRY_LOG_FORMAT": "json"}
    return {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", **settings}


def leaves(command: click.Command, name: str = "") -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield name
        return
    for each, below in command.commands.items():
        yield from leaves(below, f"{name} {each}".strip())


def refusals(dsn: str, commands: Sequence[str]) -> dict[str, str]:
    """Run commands that must fail, and return the sentence that each of them says."""
    told = {}
    for command in commands:
        arguments = [*command.split(), *COMMANDS[command]]
        done = CliRunner(env=environment(dsn)).invoke(main, arguments)
        assert isinstance(done.exception, SystemExit), (command, done.exception)
        assert done.exit_code == (2 if command == "verify" else 1), (command, done.output)
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert "<" not in done.stderr, done.stderr  # of an object's own name
        told[command] = done.stderr.removeprefix("Error: ").strip()
    return told


@pytest.fixture(autouse=True)
def libraries_log_as_before() -> Iterator[None]:
    """Take back what serve, run in this process, does to the loggers of libraries."""
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "asyncio", "asyncpg")]
    before = [(one.handlers, one.propagate, one.level) for one in loggers]
    yield
    for one, (handlers, propagate, level) in zip(loggers, before, strict=True):
        one.handlers, one.propagate = handlers, propagate
        one.setLevel(level)


@pytest.fixture(scope="module")
def fresh(postgres: Postgres) -> Postgres:
    """The server with an ordinary role that owns an empty database, and others that may less."""
    for role in ("keyferry", "reader", "stranger", "cautious", "stopped"):
        postgres.add_role(role)
    postgres.run(
        "CREATE DATABASE keyferry OWNER keyferry",
        "CREATE DATABASE bare",  # where an ordinary role may not make tables
        "CREATE DATABASE closed OWNER keyferry",
        "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
        "CREATE DATABASE cautious OWNER cautious",
        "ALTER ROLE cautious SET default_transaction_read_only = on",
        "ALTER ROLE stopped NOLOGIN",
    )
    return postgres


@pytest.fixture(scope="module")
def migrated(fresh: Postgres) -> Postgres:
    """The same after README's commands; `reader` may look at everything and change nothing."""
    dsn = fresh.dsn("keyferry")
    for command in printed():
        if "migrate" in command:
            run_in_shell(command, dsn)
    fresh.run(
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
        database="keyferry",
        role="keyferry",
    )
    return fresh


def printed() -> list[str]:
    """Return the commands of README's production part, the variable for the database left out."""
    text = README.read_text(encoding="utf-8")
    block = re.search(r"\n## In production\n\n```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None
    lines = block[1].splitlines()
    assert lines[0].startswith("export KEYFERRY_DATABASE_URL=postgresql://keyferry@")
    return lines[1:]


def run_in_shell(command: str, dsn: str) -> str:
    done = subprocess.run(
        ["sh", "-euc", command],
        env=environment(dsn),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (command, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout


def test_every_command_that_needs_a_database_is_known_here() -> None:
    known = {command.partition(" --")[0] for command in COMMANDS}
    assert known == set(leaves(main)) - WITHOUT_DATABASE


def test_the_commands_of_readme_work_for_the_owner_of_a_fresh_database(fresh: Postgres) -> None:
    dsn = fresh.dsn("keyferry")
    *commands, last = printed()
    assert [shlex.split(command)[1] for command in commands] == ["migrate", "account", "token"]
    migrate, create_account, create_token = commands
    assert re.search(r"applied +1, 2", run_in_shell(migrate, dsn))
    account = re.search(r"^id +(\S+)$", run_in_shell(create_account, dsn), re.MULTILINE)
    assert account is not None
    said = run_in_shell(create_token.replace("ACCOUNT", account[1]), dsn)
    assert re.fullmatch(r"\S{20,}\n", said)
    assert last == "keyferry serve --host 0.0.0.0"
    serve = [*shlex.split(last)[:2], "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(serve, env=environment(dsn), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        assert any(b'"event":"ready"' in line for line in lines)
        process.send_signal(signal.SIGTERM)
        assert b"Traceback" not in process.communicate(timeout=30)[1]
    assert process.returncode == 0


def test_commands_on_an_empty_database_say_what_to_do(fresh: Postgres) -> None:
    dsn = fresh.dsn("cautious", "bare")
    fresh.run("ALTER ROLE cautious RESET default_transaction_read_only")
    commands = [name for name in COMMANDS if "migrate" not in name]
    try:
        told = refusals(dsn, commands)
    finally:
        fresh.run("ALTER ROLE cautious SET default_transaction_read_only = on")
    assert set(told.values()) == {"the database lacks migration 1, 2; run: keyferry migrate"}


def test_a_role_that_may_not_make_tables_is_told_so(fresh: Postgres) -> None:
    told = refusals(fresh.dsn("stranger", "bare"), ["migrate", "serve --migrate"])
    assert set(told.values()) == {"the database refuses: permission denied for schema public"}


@pytest.mark.parametrize(
    ("role", "database", "password", "sentence"),
    [
        ("stranger", "closed", None, 'permission denied for database "closed"'),
        ("stopped", "keyferry", None, 'role "stopped" is not permitted to log in'),
        ("keyferry", "absent", None, 'database "absent" does not exist'),
        ("keyferry", "keyferry", "wrong", 'password authentication failed for user "keyferry"'),
        ("nobody", "keyferry", None, 'password authentication failed for user "nobody"'),
        ("cautious", "cautious", None, "it takes no writes; it is a standby, or default_"),
    ],
)
def test_a_role_that_is_not_let_in_is_told_why(
    fresh: Postgres, role: str, database: str, password: str | None, sentence: str
) -> None:
    dsn = fresh.dsn(role, database) if password is None else fresh.dsn(role, database, password)
    place = f"cannot use the database at 127.0.0.1:{fresh.port}: {sentence}"
    for command, said in refusals(dsn, list(COMMANDS)).items():
        assert said.startswith(place), command


def test_a_role_without_rights_on_the_tables_is_told_so(migrated: Postgres) -> None:
    told = refusals(migrated.dsn("stranger"), list(COMMANDS))
    for command, said in told.items():
        assert said == "the database refuses: permission denied for table schema_migrations", (
            command
        )


def test_a_role_that_may_only_read_is_told_what_it_may_not_do(migrated: Postgres) -> None:
    dsn = migrated.dsn("reader")
    writes = [name for name in COMMANDS if name not in READS and name.split()[0] not in SERVES]
    told = refusals(dsn, writes)
    for command, said in told.items():
        assert "permission denied for table" in said or "there is no account" in said, command
    assert "permission denied for table accounts" in told["account create"]
    assert "permission denied for table signing_keys" in told["account rotate"]
    done = CliRunner(env=environment(dsn)).invoke(main, ["migrate"])
    assert (done.exit_code, done.stderr) == (0, "")  # there is nothing to apply


@contextmanager
def web_server() -> Iterator[int]:
    """Yield a port where something answers that is no PostgreSQL."""
    with create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(100)
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(2)
    thread.join(5)


@pytest.mark.parametrize("kind", ["refuses", "silent", "web server"])
def test_a_server_that_is_away_or_another_is_told_of(kind: str) -> None:
    @contextmanager
    def refusing() -> Iterator[int]:
        yield 1

    where = {"refuses": refusing, "silent": unreachable, "web server": web_server}[kind]
    commands = list(COMMANDS) if kind == "refuses" else ["migrate", "account list", "serve"]
    with where() as port:
        dsn = f"postgresql://keyferry:pw@127.0.0.1:{port}/keyferry"
        for said in refusals(dsn, commands).values():
            assert said.startswith(f"cannot use the database at 127.0.0.1:{port}: ")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?sslmode=require", "rejected SSL upgrade"),
        ("?sslmode=perhaps", "`sslmode` parameter must be one of"),
        ("?sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "No such file or directory"),
        ("?colour=green", 'unrecognized configuration parameter "colour"'),
    ],
)
def test_a_parameter_that_does_not_fit_is_told_of(
    fresh: Postgres, query: str, sentence: str
) -> None:
    told = refusals(fresh.dsn("keyferry", query=query), ["migrate", "account list", "serve"])
    for said in told.values():
        assert sentence in said
