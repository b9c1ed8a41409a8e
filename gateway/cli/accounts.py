"""`keyferry account`: the tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import click

from gateway.cli.admin import accepted, administers, found
from gateway.cli.documents import account_document, account_entry
from gateway.cli.options import algorithm_option, quota_option, read_id, read_text

if TYPE_CHECKING:
    from gateway.cli.output import Entry
    from gateway.cli.store import Store

Pairs = tuple[tuple[str, str], ...]


@click.group
def account() -> None:
    """Create, list, change and suspend accounts."""


@account.command("create")
@click.argument("name", metavar="NAME", type=read_text)
@click.option(
    "--email", metavar="TEXT", type=read_text, required=True, help="Its address, for X-Auth-Email."
)
@click.option(
    "--id",
    "account_id",
    metavar="ID",
    type=read_id,
    help="An id of your choosing; otherwise a random one.",
)
@quota_option
@algorithm_option
@administers()
async def create(
    store: Store,
    *,
    name: str,
    email: str,
    account_id: UUID | None,
    quotas: Pairs,
    algorithms: Pairs,
) -> Entry:
    """Create an account, with a default project.

    \b
      keyferry account create "Example TV" --email ops@example.com
      keyferry account create "Example TV" --email ops@example.com \\
          --quota livepeer=50 --algorithm livepeer=ES256
    """
    wishes = store.read_wishes(quotas, algorithms)
    with accepted():
        made = await store.accounts.create(name, email, account_id)
    await store.allow(made.id, wishes)
    return await _shown(store, made.id)


@account.command("list")
@administers("id", "name", "email", "state", "created_at")
async def list_accounts(store: Store) -> list[Entry]:
    """List all accounts, oldest first.

    \b
      keyferry account list
    """
    return [account_entry(one) for one in await store.accounts.list_accounts()]


@account.command("set")
@click.argument("account_id", metavar="ACCOUNT", type=read_id)
@quota_option
@algorithm_option
@administers()
async def change(store: Store, account_id: UUID, quotas: Pairs, algorithms: Pairs) -> Entry:
    """Change what an account may have; what is not named stays.

    \b
      keyferry account set ACCOUNT --quota cloudflare=5000
      keyferry account set ACCOUNT --quota cloudflare=default
    """
    if not quotas and not algorithms:
        raise click.UsageError("Name what to change: --quota or --algorithm.")
    wishes = store.read_wishes(quotas, algorithms)
    with found(f"account {account_id}"):
        await store.accounts.get(account_id)
    await store.allow(account_id, wishes)
    return await _shown(store, account_id)


@account.command("suspend")
@click.argument("account_id", metavar="ACCOUNT", type=read_id)
@administers()
async def suspend(store: Store, account_id: UUID) -> Entry:
    """Refuse everything that the account's API tokens ask for. Nothing is lost.

    Viewers go on playing: to stop them, disable or delete the keys.

    \b
      keyferry account suspend ACCOUNT
    """
    return await _suspend(store, account_id, suspended=True)


@account.command("resume")
@click.argument("account_id", metavar="ACCOUNT", type=read_id)
@administers()
async def resume(store: Store, account_id: UUID) -> Entry:
    """Serve a suspended account again.

    \b
      keyferry account resume ACCOUNT
    """
    return await _suspend(store, account_id, suspended=False)


@account.command("rotate")
@click.argument("account_id", metavar="ACCOUNT", type=read_id)
@click.option(
    "--revoke", is_flag=True, help="Refuse the tokens of all its minting keys from now on."
)
@administers()
async def rotate(store: Store, account_id: UUID, *, revoke: bool) -> Entry:
    """Let the next token minted without id and pem be signed by a new key.

    Tokens signed by earlier ones stay good until they expire, or until --revoke.

    \b
      keyferry account rotate ACCOUNT
      keyferry account rotate ACCOUNT --revoke
    """
    old = await store.minter.rotate(account_id, "command line", revoke=revoke)
    if not old:
        raise click.ClickException(f"account {account_id} has no minting key to retire")
    return {"account_id": str(account_id), "retired": [str(key) for key in old], "revoked": revoke}


async def _suspend(store: Store, account_id: UUID, *, suspended: bool) -> Entry:
    with found(f"account {account_id}"):
        await store.accounts.suspend(account_id, suspended=suspended)
    return await _shown(store, account_id)


async def _shown(store: Store, account_id: UUID) -> Entry:
    shown = await store.accounts.get(account_id)
    return account_document(shown, await store.accounts.allowances(account_id))
