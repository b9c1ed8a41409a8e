"""Configurations that make a web server ask Keyferry before it serves: one template per edge."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final, NamedTuple, Unpack

from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.edges.site import Options, Site, read_site


class _Edge(NamedTuple):
    template: str
    serves_files: bool  # from a folder, or else from an origin
    companions: tuple[str, ...] = ()
    asks_over_sockets: bool = True


# Traefik loads a plugin from this folder below the one it is started in, and from nowhere else.
_TRAEFIK_PLUGIN: Final = tuple(
    f"plugins-local/src/keyferry/{name}" for name in (".traefik.yml", "go.mod", "keyferry.go")
)
_EDGES: Final = {
    "nginx": _Edge("nginx.conf", serves_files=True),
    "caddy": _Edge("Caddyfile", serves_files=True),
    "traefik": _Edge(
        "traefik.yaml", serves_files=False, companions=_TRAEFIK_PLUGIN, asks_over_sockets=False
    ),
    "envoy": _Edge("envoy.yaml", serves_files=False),
    "haproxy": _Edge("haproxy.cfg", serves_files=False, companions=("keyferry.lua",)),
}
EDGES: Final = tuple(_EDGES)


def render(edge: str, **options: Unpack[Options]) -> str:
    """Return the configuration of `edge`, complete: it can be started as it is.

    nginx and Caddy serve the folder `root` or stand before the `origin`; the others stand before
    the `origin`. Raises ValueError, in words for whoever gave a value that does not fit.
    """
    if edge not in _EDGES:
        raise ValueError(f"there is no edge {edge!r}; choose one of {', '.join(EDGES)}")
    site = read_site(options)
    _check_place(edge, site)
    if site.keyferry.socket and not _EDGES[edge].asks_over_sockets:
        raise ValueError(f"{edge} cannot ask over a Unix socket: Keyferry should have a URL")
    return _environment().get_template(_EDGES[edge].template).render(vars(site))


def render_mediamtx(account: str, keyferry: str, prefix: Sequence[str], **others: object) -> str:
    """Return the lines with which MediaMTX asks Keyferry.

    It serves viewers by itself, so no option of an edge fits but these. Raises ValueError as
    `render` does.
    """
    for name, value in others.items():
        if value is not None and value != ():
            raise ValueError(
                f"mediamtx takes no {name.replace('_', '-')}: only account, keyferry and prefix"
            )
    site = read_site({"account": account, "keyferry": keyferry, "listen": "1", "prefix": prefix})
    if site.keyferry.socket:
        raise ValueError("mediamtx cannot ask over a Unix socket: Keyferry should have a URL")
    query = f"?prefix={','.join(site.prefixes)}" if site.prefixes else ""
    return _environment().get_template("mediamtx.yml").render(vars(site), query=query)


def companions(edge: str) -> dict[str, str]:
    """Return the files that the configuration of `edge` loads from its own folder, by name."""
    names = _EDGES[edge].companions
    return {name: resources.files(__name__).joinpath(name).read_text() for name in names}


def _check_place(edge: str, site: Site) -> None:
    if not _EDGES[edge].serves_files:
        if site.origin is None or site.root is not None:
            raise ValueError(
                f"{edge} serves no files: give the origin it stands before, and no folder"
            )
    elif (site.root is None) is (site.origin is None):
        raise ValueError(f"{edge} serves files: give the folder they are in, or else an origin")


@cache
def _environment() -> Environment:
    """Return the templates, in a notation that no edge uses: `@{name}`, and lines `@@ if …`."""
    return Environment(
        loader=PackageLoader(__name__, ""),
        variable_start_string="@{",
        variable_end_string="}",
        block_start_string="@%",
        block_end_string="%@",
        comment_start_string="@(",
        comment_end_string=")@",
        line_statement_prefix="@@",
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  these are no pages, and no value needs escaping
    )
