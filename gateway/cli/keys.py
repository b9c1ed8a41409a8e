"""`keyferry key`: what there is and what happened to it. Keys are made through the doors."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import click

from gateway.cli.admin import administers, found
from gateway.cli.documents import event_document, key_document
from gateway.cli.options import read_id
from gateway.errors import Code, GatewayError

if TYPE_CHECKING:
    from gateway.cli.output import Entry
    from gateway.cli.store import Store


@click.group
def key() -> None:
    """List and show signing keys."""


@key.command("list")
@click.argument("account_id", metavar="ACCOUNT", type=read_id)
@administers("id", "name", "state", "dialect", "algorithm", "created_at", "last_seen_at")
async def list_keys(store: Store, account_id: UUID) -> list[Entry]:
    """List the live keys of an account, newest first.

    \b
      keyferry key list ACCOUNT
      keyferry key list ACCOUNT --output json
    """
    with found(f"account {account_id}"):
        await store.accounts.get(account_id)
    return [key_document(one) for one in await store.keys.of_account(account_id)]


@key.command("show")
@click.argument("account_id", metavar="ACCOUNT", type=read_id)
@click.argument("key_id", metavar="KEY", type=read_id)
@administers()
async def show_key(store: Store, account_id: UUID, key_id: UUID) -> Entry:
    """Show a key and everything that happened to it, deleted keys and minting keys included.

    \b
      keyferry key show ACCOUNT KEY
    """
    try:
        found_key, deleted = await store.keys.find(account_id, key_id)
    except GatewayError as error:
        if error.code is not Code.KEY_UNKNOWN:
            raise
        message = f"there is no key {key_id} in account {account_id}"
        raise click.ClickException(message) from error
    shown = key_document(found_key) | {"public_key": store.public_pem(found_key)}
    if deleted:
        shown["state"] = "deleted"
    history = await store.keys.history(account_id, key_id)
    return shown | {"history": [event_document(one) for one in history]}
