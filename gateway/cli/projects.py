"""`keyferry project`: parts of an account that do not see each other's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import click

from gateway.cli.admin import accepted, administers, found
from gateway.cli.documents import project_document
from gateway.cli.options import read_id, read_text

if TYPE_CHECKING:
    from gateway.cli.output import Entry
    from gateway.cli.store import Store


@click.group
def project() -> None:
    """Create and list the projects of an account."""


@project.command("create")
@click.argument("account_id", metavar="ACCOUNT", type=read_id)
@click.argument("name", metavar="NAME", type=read_text)
@administers()
async def create(store: Store, account_id: UUID, name: str) -> Entry:
    """Create a project, for tokens that see nothing outside it.

    \b
      keyferry project create ACCOUNT staging
    """
    with found(f"account {account_id}"), accepted():
        return project_document(await store.accounts.create_project(account_id, name))


@project.command("list")
@click.argument("account_id", metavar="ACCOUNT", type=read_id)
@administers("id", "name", "default", "created_at")
async def list_projects(store: Store, account_id: UUID) -> list[Entry]:
    """List the projects of an account, oldest first.

    \b
      keyferry project list ACCOUNT
    """
    with found(f"account {account_id}"):
        await store.accounts.get(account_id)
    return [project_document(one) for one in await store.accounts.list_projects(account_id)]
