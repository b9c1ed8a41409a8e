"""`keyferry verify` and `keyferry edge`: why a token plays or not, and who asks that question."""

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

_EDGES = ("nginx", "caddy", "traefik", "envoy", "haproxy")  # gateway.edges.EDGES, not imported


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


@click.command
@click.argument("name", metavar="EDGE", type=click.Choice(_EDGES))
@click.option(
    "--account", "account_id", type=read_id, required=True, help="Whose videos these are."
)
@click.option(
    "--keyferry",
    default="http://127.0.0.1:8787",
    show_default=True,
    metavar="URL",
    help="Where Keyferry is.",
)
@click.option(
    "--listen", default="127.0.0.1:8080", show_default=True, help="Where the edge should listen."
)
@click.option("--root", metavar="DIR", help="Folder of the videos: nginx and caddy serve files.")
@click.option("--origin", metavar="URL", help="Server of the videos: the others stand before one.")
@click.option("--companion", metavar="FILE", help="Print this file, which the configuration loads.")
def edge(
    name: str,
    account_id: UUID,
    keyferry: str,
    listen: str,
    root: str | None,
    origin: str | None,
    companion: str | None,
) -> None:
    """Print a configuration for EDGE: nginx, caddy, traefik, envoy or haproxy.

    The edge asks Keyferry before it serves anything, and serves nothing when it gets no answer.

    \b
      keyferry edge nginx --account ACCOUNT --root /srv/videos > nginx.conf
      keyferry edge traefik --account ACCOUNT --origin http://127.0.0.1:9000 > traefik.yaml
      keyferry edge haproxy --account ACCOUNT --companion keyferry.lua > keyferry.lua
    """
    from gateway import edges  # noqa: PLC0415  nothing else needs it

    if companion is not None:
        files = edges.companions(name)
        if companion not in files:
            known = ", ".join(files) or "none"
            raise click.ClickException(f"{name} has no file {companion}; it has {known}")
        click.echo(files[companion], nl=False)
        return
    try:
        configuration = edges.render(
            name,
            keyferry_url=keyferry,
            account_id=account_id.hex,
            listen=listen,
            root=root,
            origin=origin,
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(configuration, nl=False)
