"""What commands tell of accounts, projects, tokens and keys: documents made of plain values.

Ids are UUIDs with dashes; where a dialect shows 32 digits, `id_hex` has them too. Moments are
RFC 3339 in UTC.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.cli.output import Entry
    from gateway.model import Account, Allowance, ApiToken, KeyEvent, Project, SigningKey
    from gateway.verdicts import Verdict


def account_entry(account: Account) -> Entry:
    """One line of a list of accounts."""
    return {
        "id": str(account.id),
        "id_hex": account.id.hex,
        "name": account.name,
        "email": account.email,
        "state": "active" if account.suspended_at is None else "suspended",
        "created_at": moment(account.created_at),
        "suspended_at": moment(account.suspended_at),
    }


def account_document(account: Account, allowances: Iterable[Allowance]) -> Entry:
    """One account with what it has, and may have, in each dialect."""
    rows = [
        {
            "dialect": allowance.dialect,
            "live_keys": allowance.live_keys,
            "quota": allowance.quota,
            "algorithm": allowance.algorithm,
        }
        for allowance in allowances
    ]
    return account_entry(account) | {"allowances": rows}


def project_document(project: Project) -> Entry:
    """One project."""
    return {
        "id": str(project.id),
        "id_hex": project.id.hex,
        "account_id": str(project.account_id),
        "name": project.name,
        "default": project.is_default,
        "created_at": moment(project.created_at),
    }


def token_document(token: ApiToken) -> Entry:
    """One API token, without its secret."""
    return {
        "id": str(token.id),
        "id_hex": token.id.hex,
        "account_id": str(token.account_id),
        "project_id": _id(token.project_id),
        "name": token.name,
        "scopes": sorted(token.scopes),
        "state": _token_state(token),
        "created_at": moment(token.created_at),
        "expires_at": moment(token.expires_at),
        "last_used_at": moment(token.last_used_at),
        "revoked_at": moment(token.revoked_at),
    }


def key_document(key: SigningKey) -> Entry:
    """One live key, without its public half."""
    return {
        "id": str(key.id),
        "id_hex": key.id.hex,
        "account_id": str(key.account_id),
        "project_id": str(key.project_id),
        "name": key.name,
        "state": "disabled" if key.disabled else "active",
        "dialect": key.dialect,
        "algorithm": key.algorithm,
        "created_at": moment(key.created_at),
        "last_seen_at": moment(key.last_seen_at),
    }


def event_document(event: KeyEvent) -> Entry:
    """One line of a key's history."""
    return {
        "at": moment(event.at),
        "action": event.action,
        "detail": None if event.detail is None else json.loads(event.detail),
        "dialect": event.dialect,
        "token_id": _id(event.token_id),
        "request_id": event.request_id,
        "address": event.address,
    }


def _token_state(token: ApiToken) -> str:
    if token.revoked_at is not None:
        return "revoked"
    if token.expires_at is not None and token.expires_at <= datetime.now(UTC):
        return "expired"
    return "active"


def _id(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def moment(value: datetime | None) -> str | None:
    """Return a moment in RFC 3339, in UTC."""
    return None if value is None else f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def verdict_document(verdict: Verdict) -> Entry:
    """Return a verdict; what is not known of the token is null."""
    expires = verdict.expires
    return {
        "allowed": verdict.allowed,
        "reason": verdict.reason.value,
        "message": verdict.message,
        "key": None if verdict.key is None else str(verdict.key),
        "subject": verdict.subject,
        "expires_at": None if expires is None else moment(datetime.fromtimestamp(expires, UTC)),
    }
