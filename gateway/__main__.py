"""The `keyferry` command; see `gateway.cli`."""

from __future__ import annotations

from gateway.cli.group import main

if __name__ == "__main__":
    main(prog_name="keyferry")
