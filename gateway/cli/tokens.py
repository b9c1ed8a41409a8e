"""`keyferry token`: the API tokens of an account."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from gateway.cli.admin import accepted, administers, found
from gateway.cli.documents import token_document
from gateway.cli.options import read_expiry, read_id, read_secret, read_text
from gateway.model import Scope

if TYPE_CHECKING:
    from gateway.cli.output import Entry
    from gateway.cli.store import Store


@click.group
def token() -> None:
    """Create, list and revoke API tokens."""


@token.command("create")
@click.argument("account_id", metavar="ACCOUNT", type=read_id)
@click.option("--name", metavar="TEXT", type=read_text, required=True, help="What it is for.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    help="What it may do; can be repeated. Everything by default.",
)
@click.option(
    "--project", "project_id", metavar="ID", type=read_id, help="Confine it to this project."
)
@click.option(
    "--expires",
    "expires_at",
    metavar="WHEN",
    type=read_expiry,
    help="30d, 12h or 2027-01-01T00:00:00Z.",
)
@click.option("--from-stdin", is_flag=True, help="Register the token read from standard input.")
@administers()
async def create(
    store: Store,
    *,
    account_id: UUID,
    name: str,
    scopes: tuple[str, ...],
    project_id: UUID | None,
    expires_at: datetime | None,
    from_stdin: bool,
) -> Entry:
    """Create an API token. It is shown this once and kept nowhere.

    \b
      keyferry token create ACCOUNT --name "web player"
      keyferry token create ACCOUNT --name report --scope keys:read --expires 30d
      keyferry token create ACCOUNT --name staging --from-stdin < token.txt
    """
    given = _read_secret() if from_stdin else None
    with found(f"account {account_id}"):
        await store.accounts.get(account_id)
    with found(f"project {project_id} in account {account_id}"), accepted():
        made, secret = await store.accounts.create_token(
            account_id,
            name=name,
            scopes=frozenset(map(Scope, scopes or Scope)),
            project_id=project_id,
            expires_at=expires_at,
            secret=given,
        )
    return token_document(made) | {"token": None if from_stdin else secret}


@token.command("list")
@click.argument("account_id", metavar="ACCOUNT", type=read_id)
@administers("id", "name", "state", "scopes", "project_id", "expires_at", "last_used_at")
async def list_tokens(store: Store, account_id: UUID) -> list[Entry]:
    """List the tokens of an account, revoked ones included, oldest first.

    \b
      keyferry token list ACCOUNT
    """
    with found(f"account {account_id}"):
        await store.accounts.get(account_id)
    return [token_document(one) for one in await store.accounts.list_tokens(account_id)]


@token.command("revoke")
@click.argument("account_id", metavar="ACCOUNT", type=read_id)
@click.argument("token_id", metavar="TOKEN_ID", type=read_id)
@administers()
async def revoke(store: Store, account_id: UUID, token_id: UUID) -> Entry:
    """Make a token useless for ever. Keys created with it stay.

    \b
      keyferry token revoke ACCOUNT TOKEN_ID
    """
    with found(f"token {token_id} in account {account_id}"):
        return token_document(await store.accounts.revoke_token(account_id, token_id))


def _read_secret() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Token", hide_input=True, err=True))
    return read_secret(sys.stdin.buffer)
