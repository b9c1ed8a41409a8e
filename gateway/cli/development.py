"""How `keyferry dev` runs."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import click

from adapters import find_dialects
from gateway import server
from gateway.accounts import Accounts
from gateway.app import open_gateway
from gateway.cli import running
from gateway.cli.doorway import Places, listening, local_url, start_log
from gateway.cli.tenant import (
    Tenant,
    find_account,
    kept_master_key,
    with_given_token,
    with_own_token,
    write_private,
)
from gateway.cli.welcome import Welcome
from gateway.listeners import Listener
from gateway.settings import Settings
from gateway.storage.embedded import embedded_postgres
from gateway.storage.migrate import migrate
from gateway.web.logs import Log

_NO_URL = "dev prints a URL, so it has to listen on some HOST:PORT for everything"


@dataclass(frozen=True, slots=True)
class Wish:
    """The options of `keyferry dev`."""

    data: Path
    places: Places
    account_id: UUID | None
    email: str | None
    token: str | None = field(repr=False)
    output: str


def run(wish: Wish) -> None:
    """Serve until a signal ends it. Raises click.ClickException when it cannot start."""
    settings, faults = running.read_settings()
    listens, wrong = wish.places.read(settings.metrics_port)
    if faults + wrong:
        raise running.Misconfigured(faults + wrong)
    with listening(listens) as listeners:
        url = local_url(listeners)
        if url is None:
            raise click.ClickException(_NO_URL)
        running.run(_serve(wish, settings, listeners, url))


async def _serve(wish: Wish, settings: Settings, listeners: Sequence[Listener], url: str) -> None:
    log = start_log(settings)
    if settings.database_url is not None:
        log.warning("KEYFERRY_DATABASE_URL is left alone: dev has a database of its own")
    folder = wish.data.resolve()
    async with embedded_postgres(folder, log=log.info) as dsn:
        await migrate(dsn)
        master_key = settings.master_key or kept_master_key(folder)
        own = replace(settings, database_url=dsn, listen_url=None, master_key=master_key)
        async with open_gateway(own, log) as gateway:
            tenant = await _settle(gateway.accounts, wish, folder, log)
            places = [str(listener) for listener in listeners]
            welcome = Welcome(url, places, tenant, folder, find_dialects())
            await server.serve(gateway.apps, listeners, lambda: _tell(welcome, wish.output))


async def _settle(accounts: Accounts, wish: Wish, folder: Path, log: Log) -> Tenant:
    """Return the account and token to serve, and say what is unexpected about them."""
    account = await find_account(accounts, wish.account_id, wish.email)
    if wish.email not in {None, account.email}:
        log.warning("the account keeps its e-mail address; --email is for a new one")
    if account.suspended_at is not None:
        log.warning("the account is suspended; to resume it: keyferry account resume")
    if wish.token is not None:
        return await with_given_token(accounts, account, wish.token)
    return await with_own_token(accounts, account, folder)


def _tell(welcome: Welcome, output: str) -> None:
    write_private(welcome.shell_file, welcome.shell())
    if output == "json":
        click.echo(json.dumps(welcome.document() | {"pid": os.getpid()}))
    else:
        click.echo(welcome.text(), err=True)
