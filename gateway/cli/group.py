"""`keyferry` itself: its help, its version, and all commands in the order of a first day."""

from __future__ import annotations

import click

from gateway.cli.accounts import account
from gateway.cli.dev import dev
from gateway.cli.edge import edge
from gateway.cli.keys import key
from gateway.cli.playback import verify
from gateway.cli.projects import project
from gateway.cli.serve import migrate, serve
from gateway.cli.tokens import token


class _InOrder(click.Group):
    """Lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="keyferry", message="keyferry %(version)s")
def main() -> None:
    """Keep the signing keys of video platforms on a machine of your own.

    Code written for Cloudflare Stream or for Livepeer Studio works against it as it is.

    \b
    To try it, here and now:
      keyferry dev

    \b
    To run it, on a PostgreSQL of yours:
      export KEYFERRY_DATABASE_URL=postgresql://keyferry@db.internal/keyferry
      keyferry migrate
      keyferry account create "Example TV" --email ops@example.com
      keyferry token create ACCOUNT --name "web player"
      keyferry serve

    Commands about accounts, projects, tokens and keys work on KEYFERRY_DATABASE_URL, or on the
    folder of an embedded database: the one named by --data, else .keyferry in this directory.
    """


for _command in (dev, serve, migrate, account, project, token, key, verify, edge):
    main.add_command(_command)
