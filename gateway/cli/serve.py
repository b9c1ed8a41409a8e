"""`keyferry serve` and `keyferry migrate`: production."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gateway.cli.admin import data_option
from gateway.cli.options import FOLDER, listen_options, output_option, read_share
from gateway.cli.output import show


@click.command
@listen_options
@click.option("--embedded", is_flag=True, help="Keep the database in a folder of this machine.")
@click.option(
    "--data",
    type=FOLDER,
    metavar="DIR",
    help="That folder; it goes with --embedded.  [default: .keyferry]",
)
@click.option("--migrate", is_flag=True, help="Apply pending migrations first.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that serve; they share the key pool's threads.",
)
@click.option(
    "--simulate",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Answer as slowly and as badly as FILE says, for staging; see docs/load.md.",
)
@click.option("--worker", type=read_share, hidden=True)
def serve(listens: Sequence[str], host: str | None, port: int | None, **options: Any) -> None:
    """Serve in production, behind a proxy that speaks TLS.

    The database is KEYFERRY_DATABASE_URL, or a PostgreSQL of Keyferry's own with --embedded.
    All other settings are KEYFERRY_* variables too. Logs go to standard error.

    \b
      KEYFERRY_DATABASE_URL=postgresql://keyferry@db.internal/keyferry keyferry serve
      keyferry serve --embedded --data /var/lib/keyferry --host 0.0.0.0
      keyferry serve --workers 4
      keyferry serve --listen edge=unix:/run/keyferry/edge --listen 10.0.0.5:8787
      keyferry serve --embedded --simulate staging.toml
    """
    from gateway.cli import production  # noqa: PLC0415  it is heavy
    from gateway.cli.doorway import Places  # noqa: PLC0415

    production.run(production.Wish(places=Places(listens, host, port), **options))


@click.command
@data_option
@output_option
def migrate(data: Path | None, output: str) -> None:
    """Bring the database's schema up to date. Safe to repeat, also from many nodes at once.

    \b
      KEYFERRY_DATABASE_URL=postgresql://keyferry@db.internal/keyferry keyferry migrate
    """
    from gateway.cli import store  # noqa: PLC0415  it is heavy

    show(store.migrate_now(data), output)
