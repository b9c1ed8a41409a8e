"""The embedded server, on real processes: start, stop, kill, and who is let in."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from gateway.storage import embedded, embedded_home
from gateway.storage.embedded import EmbeddedError, embedded_postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

REPOSITORY = Path(__file__).parents[2]
NOBODY = pwd.getpwnam("nobody").pw_uid
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take on other users")

# A keyferry reduced to its database, on the loop that the real one uses. It takes on the other
# user only when everything is imported: that user may be unable to reach this interpreter.
GATEWAY = """
import asyncio, os, sys
from pathlib import Path
import asyncpg, uvloop
from gateway.storage.embedded import EmbeddedError, embedded_postgres

async def main():
    try:
        async with embedded_postgres(Path(sys.argv[1])) as dsn:
            connection = await asyncpg.connect(dsn)
            await connection.close()
            print(dsn, flush=True)
            await asyncio.Event().wait()
    except EmbeddedError as fault:
        print(fault, flush=True)

if uid := int(sys.argv[2]):
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
uvloop.run(main())
"""

# Somebody else on this machine who has learned the DSN.
INTRUDER = """
import asyncio, os, sys
import asyncpg
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
try:
    asyncio.run(asyncpg.connect(sys.argv[1]))
    print("let in")
except Exception as fault:
    print(type(fault).__name__)
"""

FOREIGN_ENVIRONMENT = {
    "PATH": "",
    "LANG": "xx_YY.bogus",
    "LC_ALL": "xx_YY.bogus",
    "PGDATA": "/nonexistent",
    "PGHOST": "db.example.com",
    "PGOPTIONS": "-c fsync=off",
    "PGPASSWORD": "wrong",
    "PGPORT": "1",
    "PGSSLMODE": "verify-full",
    "PGSSLNEGOTIATION": "direct",
    "PGTARGETSESSIONATTRS": "standby",
    "PGUSER": "somebody",
}


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's own are not when root runs them."""
    folder = Path(tempfile.mkdtemp(prefix="keyferry-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def base() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
async def used() -> AsyncIterator[Path]:
    """A data folder whose first start is behind it and which holds a committed 42."""
    with open_folder() as base:
        async with embedded_postgres(base / "data") as dsn:
            await query(dsn, "CREATE TABLE kept AS SELECT 42 AS n")
        yield base / "data"


async def start(folder: Path) -> None:
    async with embedded_postgres(folder):
        pass


async def query(dsn: str, sql: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@asynccontextmanager
async def gateway(folder: Path, uid: int = 0) -> AsyncIterator[tuple[subprocess.Popen[bytes], str]]:
    """A process of its own with its database in `folder`, and the first line that it prints."""
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", GATEWAY, str(folder), str(uid)],
        env=FOREIGN_ENVIRONMENT | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        try:
            line = await asyncio.to_thread(process.stdout.readline)
            assert line, "it ended without a word"
            yield process, line.decode().strip()
        finally:
            process.kill()
            await ended(folder)


def processes(folder: Path) -> dict[int, str]:
    """Every process of the embedded server in `folder`, watcher included, by its number."""
    found = {}
    for proc in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            title = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if f"keyferry {folder} " in title or (proc / "cwd").readlink() == folder / "postgres":
                found[int(proc.name)] = title
    return found


def is_locked(folder: Path) -> bool:
    """Whether a process of PostgreSQL still runs in `folder`."""
    with suppress(FileNotFoundError), (folder / "postgres.lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


async def until(true: Callable[[], object], pause: float = 0.02) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(pause)


async def ended(folder: Path) -> None:
    await until(lambda: not processes(folder) and not is_locked(folder))


def postmaster(folder: Path) -> int:
    return int((folder / "postgres" / "postmaster.pid").read_text().split("\n")[0])


def watcher(folder: Path) -> int:
    (found,) = (pid for pid, title in processes(folder).items() if "kill -INT" in title)
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def set_mode(path: Path, mode: int) -> None:
    path.chmod(mode)


@contextmanager
def sleeper(uid: int) -> Iterator[int]:
    """The number of a live process of that user."""
    user = None if uid == os.geteuid() else uid
    with subprocess.Popen(["/bin/sleep", "60"], user=user) as process:
        yield process.pid
        process.kill()


# --- starting and stopping


async def test_first_start_makes_a_database_that_the_second_finds(base: Path) -> None:
    folder, told = base / "new" / "data", list[str]()
    began = time.monotonic()
    async with embedded_postgres(folder, log=told.append) as dsn:
        assert time.monotonic() - began < 10
        await query(dsn, "CREATE TABLE kept AS SELECT 42 AS n")
    assert told == [f"making a new database in {folder}/postgres"]
    assert not processes(folder)
    assert not is_locked(folder)

    async with embedded_postgres(folder, log=told.append) as dsn:
        assert await query(dsn, "SELECT n FROM kept") == 42
    assert len(told) == 1


async def test_settings(used: Path) -> None:
    expected = {
        "server_encoding": "UTF8",
        "data_checksums": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "is_superuser": "off",
        "TimeZone": "UTC",
    }
    async with embedded_postgres(used) as dsn:
        shown = {name: await query(dsn, f"SHOW {name}") for name in expected}
        assert (await query(dsn, "SHOW server_version")).startswith("18.")
    assert shown == expected


async def test_a_second_keyferry_is_refused(used: Path) -> None:
    async with gateway(used) as (first, dsn):
        with pytest.raises(EmbeddedError, match=rf"another keyferry \(process {first.pid}\)"):
            await start(used)
        assert await query(dsn, "SELECT n FROM kept") == 42


async def test_an_odd_environment_changes_nothing(
    used: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in FOREIGN_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LANG")
    async with embedded_postgres(used) as dsn:
        assert await query(dsn, "SHOW fsync") == "on"


async def test_an_interrupted_first_start_is_begun_again(base: Path) -> None:
    starting = asyncio.create_task(start(base / "data"))
    await until((base / "data/postgres.new/base").exists)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not (base / "data/postgres").exists()
    (base / "data/postgres.new").mkdir(exist_ok=True)
    (base / "data/postgres.new/half").touch()
    async with embedded_postgres(base / "data") as dsn:
        assert await query(dsn, "SELECT 1") == 1
    assert not (base / "data/postgres.new").exists()


async def test_ctrl_c_in_a_terminal_stops_it_in_order(used: Path) -> None:
    began = (used / "postgres.log").stat().st_size
    async with gateway(used) as (process, _):
        os.killpg(process.pid, signal.SIGINT)
        await asyncio.to_thread(process.wait, 10)
        assert not processes(used)
    log = (used / "postgres.log").read_bytes()[began:].decode()
    assert "received fast shutdown request" in log
    assert "not properly shut down" not in log
    assert log.rstrip().endswith("database system is shut down")


async def test_a_server_that_does_not_stop_is_stopped_at_once(
    used: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_PATIENCE", 0.2)
    async with embedded_postgres(used):
        (stuck,) = (pid for pid, title in processes(used).items() if "checkpointer" in title)
        os.kill(stuck, signal.SIGSTOP)
    assert not processes(used)
    assert "received immediate shutdown request" in (used / "postgres.log").read_text()


# --- being killed


async def test_a_killed_server_is_started_again(used: Path) -> None:
    told = list[str]()
    async with embedded_postgres(used, log=told.append) as dsn:
        for _ in range(2):
            killed = postmaster(used)
            await query(dsn, "UPDATE kept SET n = n + 1")
            os.kill(killed, signal.SIGKILL)
            assert await when_back(dsn, "SELECT n FROM kept") > 42
            assert postmaster(used) != killed
        assert await query(dsn, "UPDATE kept SET n = 42 RETURNING n") == 42
    assert [line.split(";")[0] for line in told].count("PostgreSQL ended unexpectedly") == 2
    assert not processes(used)


async def test_the_server_ends_with_a_killed_keyferry(used: Path) -> None:
    async with gateway(used) as (process, _):
        process.kill()
        await ended(used)
    assert (used / "postgres.log").read_text().rstrip().endswith("database system is shut down")


async def test_a_server_that_outlived_its_keyferry_is_replaced(used: Path) -> None:
    told = list[str]()
    async with gateway(used) as (process, _):
        os.kill(watcher(used), signal.SIGKILL)
        process.kill()
        process.wait()
        orphan = postmaster(used)
        async with embedded_postgres(used, log=told.append) as dsn:
            assert postmaster(used) != orphan
            assert await query(dsn, "SELECT n FROM kept") == 42
    assert told == [f"ending the PostgreSQL that still runs in {used}/postgres"]


async def test_everything_killed_then_a_recovery_that_takes_long(
    used: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile, as when a container restarts, other processes have got the old numbers."""
    monkeypatch.setattr(embedded, "_NOTICE", 0.3)
    async with gateway(used) as (process, dsn):
        await query(dsn, "CREATE TABLE many AS SELECT generate_series(1, 200000) AS n")
        kill_everything(process, used)
        await ended(used)

    told = list[str]()
    with sleeper((used / "postgres").stat().st_uid) as other:
        for stale in (used / "postgres/postmaster.pid", used / "run/.s.PGSQL.5432.lock"):
            _, rest = stale.read_text().split("\n", 1)
            stale.write_text(f"{other}\n{rest}")
        began, frozen = time.monotonic(), asyncio.create_task(freeze_new_postmaster(used, other))
        async with embedded_postgres(used, log=told.append) as dsn:
            assert time.monotonic() - began > 1
            await frozen
            assert await query(dsn, "SELECT count(*) FROM many") == 200000
            await query(dsn, "DROP TABLE many")
    assert told == ["PostgreSQL is still starting: after a crash it replays its log first"]


def kill_everything(process: subprocess.Popen[bytes], folder: Path) -> None:
    os.kill(watcher(folder), signal.SIGKILL)
    process.kill()
    for pid in processes(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


async def freeze_new_postmaster(folder: Path, old: int) -> None:
    """Hold it for a second before it is ready, as a long recovery would."""
    pid = old
    while pid == old:
        with suppress(FileNotFoundError, ValueError):
            pid = postmaster(folder)
        await asyncio.sleep(0.001)
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(1)
    os.kill(pid, signal.SIGCONT)


async def when_back(dsn: str, sql: str) -> Any:
    async with asyncio.timeout(20):
        while True:
            with suppress(OSError, asyncpg.PostgresError):
                return await query(dsn, sql)
            await asyncio.sleep(0.02)


# --- who is let in


@as_root
async def test_no_other_user_gets_in(used: Path) -> None:
    async with embedded_postgres(used) as dsn:
        run, data = used / "run", used / "postgres"
        assert (mode(run), mode(data)) == (0o700, 0o700)
        assert mode(used) & 0o007 == 0
        assert await intrude(dsn) == "PermissionError"

        # Were the folders open, there would still be the peer check.
        for path in (used, run, run / ".s.PGSQL.5432"):
            set_mode(path, 0o777)
        assert await intrude(dsn) == "InvalidAuthorizationSpecificationError"
        superuser = dsn.replace("//keyferry@/keyferry", "//postgres@/postgres")
        assert await intrude(superuser) == "InvalidAuthorizationSpecificationError"
        set_mode(used, 0o710)


async def intrude(dsn: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", INTRUDER, dsn, str(NOBODY)],
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.strip()


async def test_a_path_that_no_socket_can_have(base: Path) -> None:
    folder = base / ("spaces, commas, ümläute" + "x" * 100)
    async with embedded_postgres(folder) as dsn:
        assert await query(dsn, "SELECT 1") == 1
        sockets = (folder / "run").readlink()
        assert mode(sockets) == 0o700
        assert sockets.stat().st_uid == (folder / "postgres").stat().st_uid
        if os.geteuid() == 0:
            assert await intrude(dsn) == "PermissionError"
    assert not sockets.exists()
    assert not (folder / "run").is_symlink()


async def test_a_socket_folder_left_by_a_killed_keyferry_is_removed(used: Path) -> None:
    left = Path(tempfile.mkdtemp())
    (left / ".s.PGSQL.5432").touch()
    (used / "run").symlink_to(left)
    async with embedded_postgres(used):
        assert not Path.exists(left)


async def test_the_log_is_private_bounded_and_has_no_values(
    used: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_home, "_LOG_MAX", 1)
    log, secret = used / "postgres.log", "s3cret-value"
    async with embedded_postgres(used) as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TEMP TABLE t (v text UNIQUE)")
        await connection.execute("INSERT INTO t VALUES ($1)", secret)
        for sql in ("INSERT INTO t VALUES ($1)", "SELECT $1::text::uuid", "SELECT $1 FROM nowhere"):
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute(sql, secret)
        (pid,) = await connection.fetchrow("SELECT pg_backend_pid()")
        os.kill(pid, signal.SIGKILL)  # PostgreSQL reports a crash with the last statement
        connection.terminate()
        assert await when_back(dsn, "SELECT 1") == 1
    text = log.read_text()
    assert "terminated by signal 9" in text
    assert secret not in text
    assert "INSERT" not in text
    assert text.count("starting PostgreSQL") == 1, "the log before is put aside"
    assert log.with_name("postgres.log.1").exists()
    assert mode(log) == 0o600


# --- users and folders


@as_root
async def test_as_an_ordinary_user(base: Path) -> None:
    os.chown(base, NOBODY, -1)
    folder = base / "data"
    for _ in range(2):
        async with gateway(folder, NOBODY) as (process, dsn):
            assert dsn.startswith("postgresql://keyferry@/keyferry?host=")
            assert (folder / "postgres").stat().st_uid == NOBODY
            process.send_signal(signal.SIGINT)
            await asyncio.to_thread(process.wait, 10)
            assert not processes(folder)
    assert mode(folder) == 0o700

    async with embedded_postgres(folder) as dsn:  # root takes it over as that user
        assert await query(dsn, "SELECT 1") == 1
        assert (folder / "postgres").stat().st_uid == NOBODY


@as_root
async def test_a_user_without_a_name(base: Path) -> None:
    set_mode(base, 0o777)
    async with gateway(base / "data", 54321) as (_, line):
        assert "user number 54321 has no name" in line


@as_root
@pytest.mark.parametrize("exists", [True, False])
async def test_a_data_folder_out_of_reach(base: Path, exists: bool) -> None:
    closed = base / "closed"
    (closed / "data").mkdir(parents=True)
    if not exists:
        (closed / "data").rmdir()
    closed.chmod(0o700)
    with pytest.raises(EmbeddedError, match=rf"enter or execute {closed}, .*choose a data folder"):
        await start(closed / "data")
    assert mode(closed) == 0o700
    assert mode(base) == 0o755


@as_root
async def test_programs_out_of_reach(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = base / "closed" / "bin"
    programs.mkdir(parents=True)
    (programs / "postgres").touch(mode=0o755)
    (base / "closed").chmod(0o700)
    monkeypatch.setattr(embedded_home, "_find_programs", lambda: programs)
    with pytest.raises(EmbeddedError, match=rf"enter or execute {base}/closed, .*such as /opt"):
        await start(base / "data")
    assert not (base / "data").exists()


async def test_programs_missing(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EmbeddedError, match="pip install"):
        await start(base / "data")


async def test_a_folder_that_all_may_write_to(base: Path) -> None:
    (base / "somebody's").touch()
    set_mode(base, 0o777)
    with pytest.raises(EmbeddedError, match="every user may write"):
        await start(base)


async def test_a_folder_that_cannot_be_made(base: Path) -> None:
    (base / "file").touch()
    with pytest.raises(EmbeddedError, match=r"cannot keep a database in .*/file/data"):
        await start(base / "file/data")


async def test_a_database_of_another_version_says_so(used: Path) -> None:
    (used / "postgres/PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedError, match="incompatible with server"):
        await start(used)
    (used / "postgres/PG_VERSION").write_text("18\n")
    assert not processes(used)
