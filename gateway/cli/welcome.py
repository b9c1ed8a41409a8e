"""What `keyferry dev` says once it is ready: to a program, or to a person."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from adapters.dialect import Dialect
from gateway.cli.output import Entry
from gateway.cli.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Welcome:
    """A running `keyferry dev`, as its clients need to know it."""

    url: str
    listening: Sequence[str]
    tenant: Tenant
    folder: Path
    dialects: Sequence[Dialect]

    def document(self) -> Entry:
        """Return everything, with a `<dialect>_base_url` for each door."""
        bases = {f"{dialect.name}_base_url": self.url + dialect.prefix for dialect in self.dialects}
        return {
            "url": self.url,
            "listening": list(self.listening),
            **bases,
            "account_id": self.tenant.account.id.hex,
            "email": self.tenant.account.email,
            "token": self.tenant.token,
            "data_dir": str(self.folder),
        }

    @property
    def shell_file(self) -> Path:
        """Where `shell` is kept."""
        return self.folder / "env"

    def shell(self) -> str:
        """Return what a shell reads to know the same; a token of the operator's is not kept."""
        known = self._variables()
        return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in known.items())

    def text(self) -> str:
        """Return what a newcomer reads, with a command to paste for each door."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        facts = self._facts()
        width = max(len(name) for name, _ in facts)
        yield from ("", click.style("  Keyferry is ready.", bold=True, fg="green"), "")
        yield from (f"  {name:{width}}  {value}" for name, value in facts)
        for dialect in self.dialects:
            if sample := self._sample(dialect):
                yield from ("", f"  Create a key as {dialect.name} clients do:", "", sample)
        yield ""
        yield click.style("  This is no production set-up: no TLS, one token for all.", fg="yellow")
        yield "  For that, see: keyferry serve --help. Ctrl-C stops this one; the data stays."
        yield ""

    def _facts(self) -> list[tuple[str, str]]:
        account, kept = self.tenant.account, self.tenant.kept_in
        names = ", ".join(self._variables())
        return [
            *((dialect.name, self.url + dialect.prefix) for dialect in self.dialects),
            ("account", f"{account.id.hex} ({account.email})"),
            ("token", self.tenant.token),
            *([("kept in", f"{kept}, readable by you only")] if kept else []),
            ("data", str(self.folder)),
            ("shell", f". {shlex.quote(str(self.shell_file))}  # sets {names}"),
        ]

    def _variables(self) -> dict[str, str]:
        known = {"URL": self.url, "ACCOUNT": self.tenant.account.id.hex}
        return known if self.tenant.kept_in is None else known | {"TOKEN": self.tenant.token}

    def _sample(self, dialect: Dialect) -> str | None:
        """Return a curl that creates a key, where this takes an account and a token only."""
        account = self.tenant.account.id
        spelled = account.hex if dialect.parse_id(account.hex) else str(account)
        for operation in dialect.operations:
            path = operation.path.replace("{account_id}", spelled)
            if operation.name == "create_key" and "{" not in path:
                url = shlex.quote(self.url + dialect.prefix + path)
                bearer = shlex.quote(f"Authorization: Bearer {self.tenant.token}")
                return f"curl -X {operation.method} {url} \\\n  -H {bearer}"
        return None
