"""The life of signing keys: created, listed, read, changed and deleted, always in one account."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from gateway.crypto import KeyPair
from gateway.errors import Code, GatewayError
from gateway.inserts import Inserts, NewRow
from gateway.keypool import KeyPool
from gateway.lookups import Lookups, read_key
from gateway.model import (
    Algorithm,
    Caller,
    KeyChange,
    KeyEvent,
    KeyFilter,
    KeyRequest,
    KeySearch,
    ListedKey,
    Page,
    SigningKey,
    View,
)
from gateway.storage.database import STATEMENTS, Database

_REMEMBERED_FULL = 1024


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """What a deployment says about the keys created through one dialect."""

    quota: int  # live keys per account
    algorithm: Algorithm


class NewKey(NamedTuple):
    """A key just made. `pair` holds the private half, which exists nowhere else."""

    key: SigningKey
    pair: KeyPair


class _NoSlot(Exception):
    """The account has used up its quota in this dialect."""


class KeyManager:
    """Everything that happens to keys.

    Absent, foreign and deleted keys look the same: GatewayError(KEY_UNKNOWN). Every method raises
    GatewayError(UNAVAILABLE) when the database is away; a change may then have happened or not.

    `changed` is told of keys, by id or fingerprint, whose state is another than before. It learns
    of our own changes before whoever asked for them does; others come by the change feed.
    """

    def __init__(
        self,
        database: Database,
        pool: KeyPool,
        policies: Mapping[str, KeyPolicy],
        *,
        pool_wait: float,
        changed: Callable[[UUID | bytes], None] = lambda _ref: None,
    ) -> None:
        self._database = database
        self._lookups = Lookups(database)
        self._inserts = Inserts(database)
        self._pool = pool
        self._policies = policies
        self._pool_wait = pool_wait
        self._changed = changed
        # Places (account, dialect) just refused. Their next create asks before it takes a key
        # pair, so that hammering at a full account uses up nothing that others wait for.
        self._full: dict[tuple[UUID, str], None] = {}

    async def create(self, caller: Caller, request: KeyRequest) -> NewKey:
        """Create a key in the caller's project, with quota and audit event, in one commit.

        Raises GatewayError: QUOTA_EXCEEDED, POOL_EMPTY.
        """
        policy = self._policies[caller.dialect]
        principal = caller.principal
        await self._refuse_if_full(caller, request, policy.quota)
        algorithm = principal.algorithms.get(caller.dialect, policy.algorithm)
        pair = await self._pool.take(algorithm, principal.account_id, self._pool_wait)
        row = await self._insert(caller, request, pair, policy.quota)
        if row is None:
            place = (principal.account_id, caller.dialect)
            self._remember_full(place)
            reached = await self._quota_reached(place, policy.quota)
            # Refused even if a slot has come free a moment ago.
            raise _quota_exceeded(policy.quota if reached is None else reached)
        for ref in (pair.id, pair.fingerprint):
            self._changed(ref)
        key = SigningKey(
            pair.id,
            principal.account_id,
            principal.project_id,
            caller.dialect,
            row["name"],
            algorithm,
            pair.spki,
            row["created_at"],
            None,
            None,
        )
        return NewKey(key, pair)

    async def get(self, view: View, key_id: UUID) -> SigningKey:
        """Return one live key."""
        key = await self._lookups.key(key_id, *view)
        if key is None:
            raise _key_unknown()
        return key

    async def find(self, account_id: UUID, key_id: UUID) -> tuple[SigningKey, bool]:
        """Return any key an account ever had, minting keys included, and whether it is deleted.

        For operators only: no door shows these.
        """
        row = await self._database.fetchrow(STATEMENTS.find_key.sql, account_id, key_id)
        if row is None:
            raise _key_unknown()
        *columns, deleted_at = row
        return read_key(columns), deleted_at is not None

    async def of_account(self, account_id: UUID) -> list[SigningKey]:
        """Return all live keys of an account, newest first, for operators."""
        rows = await self._database.fetch(STATEMENTS.account_keys.sql, account_id)
        return [read_key(list(row)) for row in rows]

    async def all(self, view: View) -> list[ListedKey]:
        """Return all live keys that `view` shows, newest first."""
        return await self._lookups.all(*view)

    async def page(self, view: View, search: KeySearch) -> Page:
        """Return up to `search.limit` live keys of one project, behind the key `search.after`.

        Raises GatewayError(QUERY_INVALID) when `after` was never a key of this project.
        """
        if search.is_plain:
            found = await self._lookups.newest(*view, search.limit + 1)
        else:
            found = [read_key(list(row)) for row in await self._search(view, search)]
        keys = found[: search.limit]
        following = keys[-1].id if len(found) > search.limit else None
        total = await self._count(view, search.wanted) if search.with_total else None
        return Page(keys, following, total)

    async def update(self, caller: Caller, view: View, key_id: UUID, change: KeyChange) -> None:
        """Rename, disable or enable a key. A new state reaches every node by the change feed."""
        detail = {"name": change.name, "disabled": change.disabled}
        detail = {member: value for member, value in detail.items() if value is not None}
        if not detail:
            await self.get(view, key_id)
            return
        row = await self._database.fetchrow(
            STATEMENTS.update_key.sql,
            view.account_id,
            key_id,
            view.project_id,
            change.name,
            change.disabled,
            json.dumps(detail),
            caller.dialect,
            *_author(caller),
        )
        if row is None:
            raise _key_unknown()
        self._changed(key_id)

    async def delete(self, caller: Caller, view: View, key_id: UUID) -> bool:
        """Delete a key for ever; returns False when it had been deleted before."""
        row = await self._database.fetchrow(
            STATEMENTS.delete_key.sql,
            view.account_id,
            key_id,
            view.project_id,
            caller.dialect,
            *_author(caller),
        )
        if row is None:
            raise _key_unknown()
        self._changed(key_id)
        return bool(row["deleted"])

    async def history(self, account_id: UUID, key_id: UUID) -> list[KeyEvent]:
        """Return what happened to a key, deleted ones included, oldest first."""
        rows = await self._database.fetch(STATEMENTS.key_events.sql, account_id, key_id)
        return [KeyEvent(**row) for row in rows]

    async def touch(self, plays: dict[UUID, float]) -> None:
        """Write when keys were last seen in a play; never moves a moment backwards."""
        moments = [datetime.fromtimestamp(at, UTC) for at in plays.values()]
        await self._database.fetch(STATEMENTS.touch_keys.sql, list(plays), moments)

    async def _insert(self, caller: Caller, request: KeyRequest, pair: KeyPair, quota: int) -> Any:
        account_id, project_id, dialect, digest = place = _retry_place(caller, request)
        new = NewRow(
            account_id,
            project_id,
            dialect,
            quota,
            pair.id,
            request.name,
            request.label if request.name is None else None,
            pair.algorithm,
            pair.spki,
            pair.fingerprint,
            digest,
            *_author(caller),
        )
        if request.retry_key is None:
            return await self._inserts.store(new)

        async def replace(connection: Any) -> tuple[Any, list[Any]]:
            await connection.execute(STATEMENTS.lock_retry.sql, " ".join(map(str, place)))
            retired = await connection.fetch(
                STATEMENTS.retire_retried.sql, *place, *_author(caller)
            )
            row = await connection.fetchrow(STATEMENTS.create_key.sql, *new)
            if row is None:
                raise _NoSlot  # so that the earlier key is not retired for nothing
            return row, retired

        try:
            row, retired = await self._database.transaction(replace)
        except _NoSlot:
            return None
        for earlier in retired:
            self._changed(earlier["id"])
        return row

    async def _refuse_if_full(self, caller: Caller, request: KeyRequest, quota: int) -> None:
        """Let nobody wait for a key pair only to hear that there is no room, or no database."""
        place = (caller.principal.account_id, caller.dialect)
        if place not in self._full and self._pool.ready:
            return
        reached = await self._quota_reached(place, quota)
        if reached is not None and not await self._replaces(caller, request):
            raise _quota_exceeded(reached)

    async def _replaces(self, caller: Caller, request: KeyRequest) -> bool:
        """Whether a create will replace an earlier key, and so needs no room of its own."""
        if request.retry_key is None:
            return False
        row = await self._database.fetchrow(STATEMENTS.retried.sql, *_retry_place(caller, request))
        return bool(row["live"])

    async def _quota_reached(self, place: tuple[UUID, str], quota: int) -> int | None:
        """Return the quota that is used up in `place`, None when there is room."""
        row = await self._database.fetchrow(STATEMENTS.quota_of.sql, *place, quota)
        if row["reached"]:
            return int(row["quota"])
        self._full.pop(place, None)
        return None

    def _remember_full(self, place: tuple[UUID, str]) -> None:
        if len(self._full) >= _REMEMBERED_FULL:
            del self._full[next(iter(self._full))]
        self._full[place] = None

    async def _search(self, view: View, search: KeySearch) -> list[Any]:
        place = (view.account_id, view.project_id)
        if search.after is not None:
            row = await self._database.fetchrow(STATEMENTS.cursor_exists.sql, *place, search.after)
            if not row["exists"]:
                raise GatewayError(Code.QUERY_INVALID, "cursor does not belong to this listing")
        return await self._database.fetch(
            STATEMENTS.search_project_keys.sql,
            *place,
            search.limit + 1,
            search.after,
            *_bounds(search.wanted),
            search.order.name,
            search.order.created,
            search.order.id,
        )

    async def _count(self, view: View, wanted: KeyFilter) -> int:
        row = await self._database.fetchrow(
            STATEMENTS.count_project_keys.sql, view.account_id, view.project_id, *_bounds(wanted)
        )
        return int(row["count"])


def _quota_exceeded(quota: int) -> GatewayError:
    message = f"the account can have up to {quota} signing keys here, delete some first"
    return GatewayError(Code.QUOTA_EXCEEDED, message, limit=quota)


def _key_unknown() -> GatewayError:
    return GatewayError(Code.KEY_UNKNOWN, "not found")


def _retry_place(caller: Caller, request: KeyRequest) -> tuple[UUID, UUID, str, bytes | None]:
    """Where an Idempotency-Key counts, and its digest."""
    digest = None if request.retry_key is None else sha256(request.retry_key.encode()).digest()
    return (caller.principal.account_id, caller.principal.project_id, caller.dialect, digest)


def _author(caller: Caller) -> tuple[UUID, str, str | None]:
    return (caller.principal.token_id, caller.request_id, caller.address)


def _bounds(wanted: KeyFilter) -> tuple[object, ...]:
    return (wanted.id, wanted.name_part, wanted.created_from, wanted.created_before)
