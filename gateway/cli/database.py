"""Which database a command works on, and how it gets to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import click

from gateway.cli.running import reason_of
from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.storage.embedded import EmbeddedError, embedded_postgres
from gateway.storage.migrate import pending

HERE = Path(".keyferry")


def choose_database(settings: Settings, data: Path | None) -> str | Path:
    """Return the DSN or the embedded folder that an operator means."""
    if data is None and settings.database_url is not None:
        return settings.database_url
    folder = HERE if data is None else data
    if (folder / "postgres").is_dir():
        return folder
    if data is None:
        raise click.UsageError("Which database? Set KEYFERRY_DATABASE_URL, or name a --data DIR.")
    raise click.ClickException(f"there is no database in {data}")


async def check_schema(dsn: str) -> list[int]:
    """Return the migrations that are not applied yet, at the first contact with `dsn`.

    Raises click.ClickException when it cannot be reached, or the DSN not be taken apart.
    """
    try:
        return await pending(dsn)
    except GatewayError as error:
        hosts = urlsplit(dsn).netloc.rpartition("@")[2]
        raise click.ClickException(reason_of(error, hosts)) from error
    except (ValueError, OverflowError):  # its message may quote a part of the password
        raise click.ClickException(
            "KEYFERRY_DATABASE_URL cannot be read; "
            "is every special character of user name and password percent-encoded?"
        ) from None


async def require_current_schema(dsn: str) -> None:
    """Refuse to work on a database whose schema is behind this program."""
    if missing := await check_schema(dsn):
        names = ", ".join(map(str, missing))
        raise click.ClickException(f"the database lacks migration {names}; run: keyferry migrate")


@asynccontextmanager
async def reached(choice: str | Path) -> AsyncIterator[str]:
    """Yield the DSN of a database; an embedded one is run for as long, unless it runs already."""
    async with AsyncExitStack() as stack:
        if isinstance(choice, str):
            yield choice
            return
        try:
            dsn = await stack.enter_async_context(embedded_postgres(choice, log=_tell))
        except EmbeddedError:
            sockets = (choice / "run").resolve()
            if not (sockets / ".s.PGSQL.5432").exists():
                raise
            dsn = f"postgresql://keyferry@/keyferry?host={quote(str(sockets))}&sslmode=disable"
        yield dsn


def _tell(sentence: str) -> None:
    click.echo(sentence, err=True)
