"""Connections to PostgreSQL, the named statements, and the one place that reads driver errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiosql
import asyncpg

from gateway.errors import Code, GatewayError
from gateway.storage.hosts import connect_to_any

STATEMENTS: Any = aiosql.from_path(
    Path(__file__).parent / "sql", "asyncpg", mandatory_parameters=False
)
"""Every named statement in sql/*.sql; `STATEMENTS.create_key.sql` is its text."""

DEADLINE = 1.6
"""Seconds until a database that does not answer is reported as away, waiting included."""

PLANNING = "SET jit = off; SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan"
"""How our sessions let PostgreSQL plan.

Every statement has one good plan, whatever its values, so it is planned once; and none should
read a whole table: chosen while that was small, such a plan would be kept when it is large.
"""

_STATEMENT_TIMEOUT = int((DEADLINE - 0.1) * 1000)  # milliseconds

_EARLY = 6  # connections opened at the start

# The driver asks the server about array types, once per connection: not while a client waits.
_LEARN_TYPES = "SELECT $1::uuid[], $2::text[], $3::bytea[], $4::int[]"

Row = Any  # asyncpg.Record, which has no type hints
T = TypeVar("T")

# The line to the server is dead or does not answer; a TimeoutError is an OSError.
_CUT_OFF = (OSError, asyncpg.PostgresConnectionError)

# What the driver and the operating system say when the server is away, starting, stopping,
# full, failing, being restored, or has become a standby; or when it has ended a transaction that
# another one stood in the way of; or that our role lacks a right, which /readyz names. The
# statement may or may not have been carried out.
_AWAY = (
    *_CUT_OFF,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InternalClientError,
)
_TEXT_REFUSED = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)


# What the server gave up by itself, and has undone: one statement, while others may go well.
_GIVEN_UP = (asyncpg.QueryCanceledError, asyncpg.TransactionRollbackError)


class ConstraintViolated(Exception):
    """The database refused a change; `constraint` is the name of the rule it broke."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class Database:
    """A pool of connections on which every call is bounded by `DEADLINE`.

    Each method raises GatewayError(UNAVAILABLE) when the database is away, GatewayError
    (BODY_INVALID) for text that PostgreSQL cannot hold, and ConstraintViolated.
    """

    def __init__(self, dsn: str, *, connections: int = 16, statement_cache: int = 100) -> None:
        self._dsn = dsn
        self._connections = connections
        self._statement_cache = statement_cache
        self._pool: Any = None
        self._distrusted = False

    async def open(self) -> None:
        """Connect once, so that a wrong address is found at start and not by the first request."""
        self._pool = asyncpg.create_pool(
            self._dsn,
            connect=connect_to_any,
            min_size=0,  # the pool's own upkeep of a minimum logs tracebacks while we are cut off
            init_size=1,
            max_size=self._connections,
            patience=DEADLINE / 2,
            init=_prepare_session,
            reset=_keep_session,
            statement_cache_size=self._statement_cache,
            target_session_attrs="read-write",
            server_settings={"application_name": "keyferry"},
        )
        with our_errors():
            await self._pool
        with contextlib.suppress(GatewayError):  # one is enough to begin with
            await self._open_early(min(_EARLY, self._connections))

    async def _open_early(self, count: int) -> None:
        """Have connections ready that the first requests would have to wait for."""
        held: list[Any] = []
        try:
            with our_errors():
                async with asyncio.timeout(DEADLINE):
                    while len(held) < count:
                        held.append(await self._pool.acquire())
        finally:
            for connection in held:
                await self._pool.release(connection)

    async def close(self) -> None:
        """Let statements under way finish for a moment, then cut the connections."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(DEADLINE):
                await self._pool.close()
        except (TimeoutError, *_AWAY):
            self._pool.terminate()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return 0 if self._pool is None else int(self._pool.get_size())

    @property
    def busy(self) -> int:
        """How many connections run a statement."""
        return self.connections - (0 if self._pool is None else int(self._pool.get_idle_size()))

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        """Run one statement, which commits by itself, and return its rows."""
        return await self._bounded(lambda connection: connection.fetch(sql, *args))

    async def fetchrow(self, sql: str, *args: object) -> Row:
        """Run one statement, which commits by itself, and return its first row or None."""
        return await self._bounded(lambda connection: connection.fetchrow(sql, *args))

    async def transaction(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run `work` on one connection inside one transaction: all of it or nothing."""

        async def run(connection: Any) -> T:
            transaction = connection.transaction()
            await transaction.start()
            try:
                result = await work(connection)
            except Exception:  # not when cancelled: a rollback would wait for the server too
                await transaction.rollback()
                raise
            await transaction.commit()
            return result

        return await self._bounded(run)

    def distrust(self) -> None:
        """Use no connection again that nobody uses now: the line may be dead without our knowing.

        What follows connects anew, instead of waiting on each of them for an answer in vain.
        """
        self._distrusted = True

    async def _bounded(self, call: Callable[[Any], Awaitable[T]]) -> T:
        with our_errors():
            async with asyncio.timeout(DEADLINE):
                return await self._on_connection(call)

    async def _on_connection(self, call: Callable[[Any], Awaitable[T]]) -> T:
        if self._distrusted:
            self._distrusted = False
            await self._drop_idle()
        connection = await self._pool.acquire()  # waiting for one says nothing about the line
        try:
            return await call(connection)
        except asyncio.CancelledError:
            # A polite cancel would wait for the server that is not answering.
            self.distrust()
            connection.terminate()
            raise
        except _CUT_OFF:
            self.distrust()
            raise
        finally:
            await self._pool.release(connection)

    async def _drop_idle(self) -> None:
        while self._pool.get_idle_size():
            connection = await self._pool.acquire()  # at once, since there are idle ones
            connection.terminate()
            await self._pool.release(connection)


def was_undone(error: Exception) -> bool:
    """Whether a statement failed so that it has changed nothing, and at once."""
    if isinstance(error, GatewayError) and error.code is Code.UNAVAILABLE:
        return isinstance(error.__cause__, asyncpg.TransactionRollbackError)
    return True


def is_away(error: Exception) -> bool:
    """Whether a statement failed as any other would have, and not by itself."""
    if isinstance(error, GatewayError) and error.code is Code.UNAVAILABLE:
        return not isinstance(error.__cause__, _GIVEN_UP)
    return False


async def connect(dsn: str, *, name: str = "keyferry") -> Any:
    """Open a connection outside any pool, for LISTEN and for migrations.

    `name` is what the server's views and logs call it. Raises GatewayError(UNAVAILABLE).
    """
    with our_errors():
        return await connect_to_any(
            dsn,
            patience=DEADLINE,
            target_session_attrs="read-write",
            statement_cache_size=0,  # a pooler may stand between
            server_settings={"application_name": name},
        )


@contextlib.contextmanager
def our_errors() -> Any:
    """Turn what the driver raises into what the core understands."""
    try:
        yield
    except _TEXT_REFUSED as error:  # before DataError, which they are too
        message = "text must not contain the character U+0000"
        raise GatewayError(Code.BODY_INVALID, message) from error
    except asyncpg.DataError:  # a value of the wrong type is a fault of ours
        raise
    except asyncpg.IntegrityConstraintViolationError as error:
        raise ConstraintViolated(error.constraint_name or "") from error
    except _AWAY as error:
        message = "the key store does not answer; try again"
        raise GatewayError(Code.UNAVAILABLE, message, retry_after=1) from error


async def _prepare_session(connection: Any) -> None:
    """Let the server give up a statement when we do: it must not be carried out later.

    Sent as a statement, since poolers refuse startup parameters that they do not know.
    """
    await connection.execute(f"SET statement_timeout = {_STATEMENT_TIMEOUT}; {PLANNING}")
    await connection.fetchrow(_LEARN_TYPES, [], [], [], [])


async def _keep_session(_connection: object) -> None:
    """Skip the reset that asyncpg sends at each release: no statement here alters its session."""


@asynccontextmanager
async def open_database(
    dsn: str, *, connections: int, statement_cache: int
) -> AsyncIterator[Database]:
    """Open a `Database` and close it again."""
    database = Database(dsn, connections=connections, statement_cache=statement_cache)
    await database.open()
    try:
        yield database
    finally:
        await database.close()
