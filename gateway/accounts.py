"""Tenants, their projects and API tokens: who may ask, and what an operator can change."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from gateway.errors import Code, GatewayError
from gateway.model import (
    Account,
    Algorithm,
    Allowance,
    ApiToken,
    Principal,
    Project,
    Scope,
)
from gateway.sightings import Sightings
from gateway.storage.database import STATEMENTS, ConstraintViolated, Database
from gateway.storage.feed import Feed
from gateway.storage.memory import Memory

TOKEN_PREFIX = "kf_"  # noqa: S105  a prefix, not a secret
_REMEMBERED_TOKENS = 10_000


@dataclass(frozen=True, slots=True)
class _Credential:
    principal: Principal
    expires_at: datetime | None
    suspended: bool


class Authenticator:
    """Tells whose API token it is.

    A revocation or suspension is known to every node as soon as the change feed brings it, and
    at the latest after the staleness bound.
    """

    def __init__(
        self, database: Database, feed: Feed, clock: Callable[[], float], uses: Sightings
    ) -> None:
        self._database = database
        self._clock = clock
        self._uses = uses
        self._memory: Memory[bytes, _Credential] = Memory(
            feed, self._find, kinds=frozenset({"account"}), entries=_REMEMBERED_TOKENS
        )

    async def authenticate(self, token: str) -> Principal:
        """Return whom `token` speaks for.

        Raises GatewayError: TOKEN_INVALID for an unknown, expired or revoked token,
        ACCOUNT_SUSPENDED, UNAVAILABLE.
        """
        credential = await self._memory.get(token_digest(token))
        if credential is None or self._expired(credential):
            raise GatewayError(Code.TOKEN_INVALID, "the API token is not valid")
        if credential.suspended:
            raise GatewayError(Code.ACCOUNT_SUSPENDED, "the account is suspended")
        self._uses.note(credential.principal.token_id)
        return credential.principal

    def _expired(self, credential: _Credential) -> bool:
        expiry = credential.expires_at
        return expiry is not None and expiry.timestamp() <= self._clock()

    async def _find(self, digest: bytes) -> _Credential | None:
        row = await self._database.fetchrow(STATEMENTS.find_principal.sql, digest)
        if row is None:
            return None
        principal = Principal(
            token_id=row["id"],
            account_id=row["account_id"],
            email=row["email"],
            project_id=row["project_id"],
            confined=row["confined"],
            scopes=frozenset(map(Scope, row["scopes"])),
            algorithms={dialect: Algorithm(name) for dialect, name in row["algorithms"]},
        )
        return _Credential(principal, row["expires_at"], row["suspended"])


class Accounts:
    """What an operator does to accounts, projects and tokens.

    Every method raises GatewayError(UNAVAILABLE) when the database is away, and LookupError when
    the account, project or token named is not there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, email: str, account_id: UUID | None = None) -> Account:
        """Create an account together with its default project.

        Raises ValueError when an account with this id exists.
        """
        try:
            row = await self._one("create_account", account_id or uuid4(), name, email, uuid4())
        except ConstraintViolated as error:
            raise ValueError("an account with this id exists already") from error
        return Account(**row)

    async def get(self, account_id: UUID) -> Account:
        """Return one account."""
        return Account(**await self._one("get_account", account_id))

    async def list_accounts(self) -> list[Account]:
        """Return all accounts, oldest first."""
        rows = await self._database.fetch(STATEMENTS.list_accounts.sql)
        return [Account(**row) for row in rows]

    async def suspend(self, account_id: UUID, *, suspended: bool) -> Account:
        """Refuse, or take up again, everything that the account's tokens ask for."""
        row = await self._one("suspend_account", account_id, suspended)
        return Account(**_without_notify(row))

    async def set_allowance(
        self, account_id: UUID, dialect: str, quota: int | None, algorithm: Algorithm | None
    ) -> None:
        """Let an account differ from the deployment in one dialect; None takes that back."""
        try:
            await self._one("set_allowance", account_id, dialect, quota, algorithm)
        except ConstraintViolated as error:
            raise LookupError("not found") from error

    async def allowances(self, account_id: UUID) -> list[Allowance]:
        """Return what the account has and may have in each dialect it has used."""
        rows = await self._database.fetch(STATEMENTS.list_allowances.sql, account_id)
        return [Allowance(**row) for row in rows]

    async def create_project(self, account_id: UUID, name: str) -> Project:
        """Add a project. Raises ValueError when the account has one of that name."""
        try:
            row = await self._one("create_project", uuid4(), account_id, name)
        except ConstraintViolated as error:
            if error.constraint == "projects_name_key":
                raise ValueError("the account has a project of this name") from error
            raise LookupError("not found") from error
        return Project(**row)

    async def list_projects(self, account_id: UUID) -> list[Project]:
        """Return the account's projects, oldest first."""
        rows = await self._database.fetch(STATEMENTS.list_projects.sql, account_id)
        return [Project(**row) for row in rows]

    async def create_token(
        self,
        account_id: UUID,
        *,
        name: str,
        scopes: frozenset[Scope],
        project_id: UUID | None = None,
        expires_at: datetime | None = None,
        secret: str | None = None,
    ) -> tuple[ApiToken, str]:
        """Add an API token and return it with its secret, which is kept nowhere.

        `secret` registers a value of the operator's choosing. Raises ValueError for one that is
        registered already or cannot travel in a header.
        """
        secret = new_token() if secret is None else checked_token(secret)
        digest = token_digest(secret)
        names = sorted(scopes)
        try:
            row = await self._one(
                "create_token", uuid4(), account_id, project_id, name, digest, names, expires_at
            )
        except ConstraintViolated as error:
            if error.constraint == "api_tokens_digest_key":
                raise ValueError("this token is registered already") from error
            raise LookupError("not found") from error
        return _token(row), secret

    async def list_tokens(self, account_id: UUID) -> list[ApiToken]:
        """Return the account's tokens, revoked ones included, oldest first."""
        rows = await self._database.fetch(STATEMENTS.list_tokens.sql, account_id)
        return [_token(row) for row in rows]

    async def find_token(self, secret: str) -> ApiToken:
        """Return what is known of the token that `secret` is, whosever it is, revoked or not."""
        return _token(await self._one("find_token", token_digest(secret)))

    async def revoke_token(self, account_id: UUID, token_id: UUID) -> ApiToken:
        """Make a token useless, on every node within the staleness bound. Can be repeated."""
        row = await self._one("revoke_token", account_id, token_id)
        return _token(_without_notify(row))

    async def touch_tokens(self, uses: dict[UUID, float]) -> None:
        """Write when tokens were last used; never moves a moment backwards."""
        moments = [datetime.fromtimestamp(at, UTC) for at in uses.values()]
        await self._database.fetch(STATEMENTS.touch_tokens.sql, list(uses), moments)

    async def _one(self, statement: str, *args: object) -> Any:
        row = await self._database.fetchrow(getattr(STATEMENTS, statement).sql, *args)
        if row is None:
            raise LookupError("not found")
        return row


def new_token() -> str:
    """Return an API token of 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def checked_token(secret: str) -> str:
    """Return `secret`, or raise ValueError when it is too weak or cannot travel in a header."""
    if not 16 <= len(secret) <= 512:
        raise ValueError("a token has 16 to 512 characters")
    if not all("!" <= character <= "~" for character in secret):
        raise ValueError("a token is made of printable ASCII characters without spaces")
    return secret


def token_digest(token: str) -> bytes:
    """Return the SHA-256 under which a token is kept (32 bytes)."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def _token(row: Any) -> ApiToken:
    return ApiToken(**{**row, "scopes": frozenset(map(Scope, row["scopes"]))})


def _without_notify(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "pg_notify"}
