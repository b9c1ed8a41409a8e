"""`keyferry verify`: why a token plays or not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from gateway.cli.admin import administers
from gateway.cli.options import read_id

if TYPE_CHECKING:
    from gateway.cli.output import Entry
    from gateway.cli.store import Store


@click.command
@click.argument("token", metavar="TOKEN")
@click.option("--account", "account_id", type=read_id, required=True, help="Whose token it is.")
@click.option("--subject", help="What is played; the token's own subject by default.")
@click.option("--ip", help="The viewer's address, for access rules.")
@click.option("--country", help="The viewer's country, two letters, for access rules.")
@click.option("--download", is_flag=True, help="Ask about a download.")
@administers()
async def verify(store: Store, token: str, account_id: UUID, **facts: Any) -> Entry:
    """Say whether a playback token may play now, and why. Exits with 0 whatever the verdict is.

    TOKEN can be - for standard input, which keeps it out of the shell's history.

    \b
      keyferry verify eyJhbGciOi... --account ACCOUNT --subject my-video
      keyferry verify - --account ACCOUNT < token.txt
    """
    if token == "-":  # noqa: S105  where it is, not what
        token = sys.stdin.read().strip()
    return await store.judge(account_id, token, **facts)
