"""What a node can do with its database, as /readyz and the log tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import asyncpg

from gateway.errors import GatewayError
from gateway.storage.database import STATEMENTS, Database
from gateway.storage.migrate import LATEST

State: TypeAlias = Literal["ok", "read-only", "forbidden", "away"]
_LEDGER = "SELECT on schema_migrations"


@dataclass(frozen=True, slots=True)
class Condition:
    """The state of a database. `lacking` names the rights that our role does not have there.

    `version` is that of the newest migration, or None when it cannot be read.
    """

    state: State
    version: int | None = None
    lacking: tuple[str, ...] = ()

    @property
    def suffices(self) -> bool:
        """Whether a node can do all of its work."""
        return self.state == "ok" and self.version is not None and self.version >= LATEST


async def condition_of(database: Database) -> Condition:
    """Ask the database, within the deadline of every call. No table is read but the migrations'."""
    try:
        row = await database.fetchrow(STATEMENTS.condition.sql)
        lacking = tuple(row["lacking"])
        version = None
        if _LEDGER not in lacking:
            version = (await database.fetchrow(STATEMENTS.schema_version.sql))["version"]
    except GatewayError as error:
        return Condition(_state_behind(error))
    if row["read_only"]:
        return Condition("read-only", version, lacking)
    return Condition("forbidden" if lacking else "ok", version, lacking)


def _state_behind(error: GatewayError) -> State:
    """Return why no session could be had; new ones must be able to write, wherever they lead."""
    match error.__cause__:
        case asyncpg.TargetServerAttributeNotMatched():
            return "read-only"
        case asyncpg.InsufficientPrivilegeError():
            return "forbidden"
        case _:
            return "away"
