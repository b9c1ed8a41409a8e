"""How `keyferry dev` runs."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import click

from adapters import find_dialects
from gateway import server
from gateway.accounts import Accounts
from gateway.app import open_gateway
from gateway.cli import running
from gateway.cli.doorway import listening, local_url, start_log
from gateway.cli.tenant import (
    Tenant,
    find_account,
    kept_master_key,
    with_given_token,
    with_own_token,
    write_private,
)
from gateway.cli.welcome import Welcome
from gateway.settings import Settings
from gateway.storage.embedded import embedded_postgres
from gateway.storage.migrate import migrate
from gateway.web.logs import Log


@dataclass(frozen=True, slots=True)
class Wish:
    """The options of `keyferry dev`."""

    data: Path
    host: str
    port: int
    account_id: UUID | None
    email: str | None
    token: str | None = field(repr=False)
    output: str


def run(wish: Wish) -> None:
    """Serve until a signal ends it. Raises click.ClickException when it cannot start."""
    settings = running.settings_or_refusal()
    with listening(wish.host, wish.port) as listener:
        running.run(_serve(wish, settings, listener))


async def _serve(wish: Wish, settings: Settings, listener: socket.socket) -> None:
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
            welcome = Welcome(local_url(wish.host, listener), tenant, folder, find_dialects())
            await server.serve(gateway.app, listener, lambda: _tell(welcome, wish.output))


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
