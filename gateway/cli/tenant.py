"""The account and the API token of a `keyferry dev` folder: made once, found again."""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import click

from gateway.accounts import Accounts, new_token
from gateway.model import Account, ApiToken, Scope
from gateway.storage.embedded_home import open_ours

NAME = "dev"
DEFAULT_EMAIL = "dev@example.invalid"


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whom `keyferry dev` serves. `kept_in` is the file that holds the token, if one does."""

    account: Account
    token: str = field(repr=False)
    kept_in: Path | None


async def find_account(accounts: Accounts, account_id: UUID | None, email: str | None) -> Account:
    """Return the account of that id, or the folder's first one called dev; made if absent."""
    for account in await accounts.list_accounts():
        if account.id == account_id or (account_id is None and account.name == NAME):
            return account
    return await accounts.create(NAME, email or DEFAULT_EMAIL, account_id or uuid4())


async def with_own_token(accounts: Accounts, account: Account, folder: Path) -> Tenant:
    """Return the account with the token that `folder` keeps for it; made if absent or revoked."""
    kept = _Kept(folder / "dev.json")
    token = kept.tokens.get(account.id.hex)
    known = None if token is None else await _find(accounts, token)
    if token is None or (known is not None and not _serves(known, account)):
        token, known = new_token(), None
        kept.keep(account.id.hex, token)  # first, so that no registered token is ever lost
    if known is None:
        await _register(accounts, account, token)
    return Tenant(account, token, kept.path)


async def with_given_token(accounts: Accounts, account: Account, token: str) -> Tenant:
    """Return the account with a token of the operator's, registered if it is not.

    Raises click.ClickException when the token cannot speak for this account.
    """
    known = await _find(accounts, token)
    if known is None:
        await _register(accounts, account, token)
    elif known.account_id != account.id:
        raise click.ClickException(
            f"the token of --token-file belongs to account {known.account_id.hex}, "
            f"not to {account.id.hex}; name the one you mean with --account-id"
        )
    elif not _serves(known, account):
        raise click.ClickException("the token of --token-file is revoked or expired")
    return Tenant(account, token, None)


async def _find(accounts: Accounts, token: str) -> ApiToken | None:
    try:
        return await accounts.find_token(token)
    except LookupError:
        return None


def _serves(token: ApiToken, account: Account) -> bool:
    in_time = token.expires_at is None or token.expires_at > datetime.now(UTC)
    return token.account_id == account.id and token.revoked_at is None and in_time


async def _register(accounts: Accounts, account: Account, token: str) -> None:
    try:
        await accounts.create_token(account.id, name=NAME, scopes=frozenset(Scope), secret=token)
    except ValueError as error:
        raise click.ClickException(f"the token of --token-file cannot be used: {error}") from error


def kept_master_key(folder: Path) -> bytes:
    """Return the folder's master key, with which minting keys are sealed; made if absent."""
    path = folder / "master.key"
    if not path.exists():
        write_private(path, b64encode(os.urandom(32)).decode() + "\n")
    return b64decode(path.read_text(encoding="ascii"))


class _Kept:
    """The tokens of a folder, by account, in a file that only its owner can read.

    The store has no more than their digests, and a second start must print them again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tokens: dict[str, str] = {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            self.tokens = {str(name): str(token) for name, token in content["tokens"].items()}
        except FileNotFoundError:
            pass
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise click.ClickException(
                f"{path} is damaged; remove it to get a new token"
            ) from error

    def keep(self, name: str, token: str) -> None:
        """Add one."""
        self.tokens[name] = token
        write_private(self.path, json.dumps({"tokens": self.tokens}, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, replacing an old one in one step."""
    new = path.with_name(f"{path.name}.new")
    with open_ours(new, os.O_WRONLY | os.O_TRUNC) as fd:
        os.write(fd, text.encode())
        os.fsync(fd)
    new.replace(path)
