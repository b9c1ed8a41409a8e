"""`keyferry edge`: configurations of web servers that ask Keyferry before they serve."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import click

from gateway.cli.options import read_id

_EDGES = ("nginx", "caddy", "traefik", "envoy", "haproxy")  # gateway.edges.EDGES, not imported
_MEDIAMTX = "mediamtx"
_LISTEN = "127.0.0.1:8080"


@click.command
@click.argument("name", metavar="EDGE", type=click.Choice((*_EDGES, _MEDIAMTX)))
@click.option("--account", type=read_id, required=True, help="Whose videos these are.")
@click.option(
    "--keyferry",
    default="http://127.0.0.1:8787",
    show_default=True,
    metavar="URL",
    help="Where Keyferry is: http[s]://host[:port], or unix:/path.",
)
@click.option("--listen", show_default=_LISTEN, default=None, help="Where the edge should listen.")
@click.option("--root", metavar="DIR", help="Folder of the videos, which nginx and caddy serve.")
@click.option("--origin", metavar="URL", help="Server of the videos, which any edge stands before.")
@click.option(
    "--prefix", multiple=True, metavar="PATH", help="What ids stand after, as /i/VOD; repeatable."
)
@click.option(
    "--allow-origin",
    multiple=True,
    metavar="ORIGIN",
    help="Pages that may play, as https://example.com; repeatable; all by default.",
)
@click.option("--cert", metavar="FILE", help="Certificate in PEM: the edge speaks HTTPS then.")
@click.option("--key", metavar="FILE", help="The certificate's private key, in PEM.")
@click.option(
    "--carry",
    type=click.Choice(["redirect", "cookie"]),
    help="How a token goes from a playlist to its segments; by default it does not.",
)
@click.option(
    "--same-site", type=click.Choice(["none", "lax", "strict"]), help="SameSite of that cookie."
)
@click.option(
    "--secure/--no-secure", default=None, help="Secure of that cookie; by default with --cert."
)
@click.option(
    "--country-header", metavar="NAME", help="Header in which a trusted peer names the country."
)
@click.option(
    "--trust",
    multiple=True,
    metavar="CIDR",
    help="Peers of the edge, as a CDN, that are believed about the viewer; repeatable.",
)
@click.option("--companion", metavar="FILE", help="Print this file, which the configuration loads.")
def edge(name: str, account: UUID, companion: str | None, **options: Any) -> None:
    """Print a configuration for EDGE: nginx, caddy, traefik, envoy, haproxy or mediamtx.

    The edge asks Keyferry before it serves anything, and serves nothing when it gets no answer.
    For mediamtx, a media server that asks by itself, these are a few lines of its configuration.

    \b
      keyferry edge nginx --account ACCOUNT --root /srv/videos > nginx.conf
      keyferry edge traefik --account ACCOUNT --origin http://127.0.0.1:9000 > traefik.yaml
      keyferry edge haproxy --account ACCOUNT --companion keyferry.lua > keyferry.lua
      keyferry edge mediamtx --account ACCOUNT --prefix /live
    """
    from gateway import edges  # noqa: PLC0415  nothing else needs it

    if companion is not None:
        files = {} if name == _MEDIAMTX else edges.companions(name)
        if companion not in files:
            known = ", ".join(files) or "none"
            raise click.ClickException(f"{name} has no file {companion}; it has {known}")
        click.echo(files[companion], nl=False)
        return
    try:
        configuration = _render(name, account.hex, options)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(configuration, nl=False)


def _render(name: str, account: str, options: dict[str, Any]) -> str:
    from gateway import edges  # noqa: PLC0415

    if name == _MEDIAMTX:
        return edges.render_mediamtx(account, **options)
    options["listen"] = options["listen"] or _LISTEN
    return edges.render(name, account=account, **options)
