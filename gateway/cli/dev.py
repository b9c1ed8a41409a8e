"""`keyferry dev`: everything on this machine, ready in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click

from gateway.cli.options import (
    FOLDER,
    listen_options,
    output_option,
    read_id,
    read_secret,
    read_text,
)


@click.command
@click.option(
    "--data",
    type=FOLDER,
    metavar="DIR",
    default=Path(".keyferry"),
    show_default=True,
    help="Folder of all data; made if absent.",
)
@listen_options
@click.option(
    "--account-id", metavar="ID", type=read_id, help="Serve this account; it is made if absent."
)
@click.option(
    "--email",
    metavar="TEXT",
    type=read_text,
    help="Address of a new account.  [default: dev@example.invalid]",
)
@click.option(
    "--token-file",
    type=click.File("rb"),
    help="Take the API token in this file, - for standard input.",
)
@output_option
def dev(
    token_file: BinaryIO | None,
    listens: Sequence[str],
    host: str | None,
    port: int | None,
    **options: Any,
) -> None:
    """Try Keyferry on this machine, ready in seconds.

    Starts a database of its own, makes an account and an API token, opens every door and prints
    what clients need. A second start finds all of it again. Ctrl-C leaves nothing behind but the
    folder. This is no production set-up.

    \b
      keyferry dev
      keyferry dev --port 0 --data /tmp/keys --output json
    """
    from gateway.cli import development  # noqa: PLC0415  it is heavy
    from gateway.cli.doorway import Places  # noqa: PLC0415

    token = None
    if token_file is not None:
        token = read_secret(token_file)
    development.run(development.Wish(places=Places(listens, host, port), token=token, **options))
