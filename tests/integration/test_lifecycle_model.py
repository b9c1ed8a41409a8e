"""The life of keys through both doors against a model: two accounts, one with two projects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import httpx2
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    multiple,
    rule,
    run_state_machine_as_test,
)

from gateway.errors import Code
from tests.conformance.cases import CASES
from tests.doors import Door, Question
from tests.service import House, Tenant, make_tenant, serve
from tests.store import wrong_counters

EXAMPLES = 60
STEPS = 30
QUOTAS = {"livepeer": 5, "cloudflare": 2}  # few of the keys that take long to make
SETTINGS = {
    **{f"KEYFERRY_{name.upper()}_QUOTA": str(quota) for name, quota in QUOTAS.items()},
    "KEYFERRY_LIVEPEER_ALGORITHM": "ES256",
    "KEYFERRY_POOL_WAIT": "60",
}
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
RETRY_KEYS = st.sampled_from([None, None, None, "one", "two"])
CHANGES = st.fixed_dictionaries({}, optional={"name": NAMES, "disabled": st.booleans()})


@dataclass(eq=False)
class Key:
    """A key as it should be."""

    id: UUID
    viewer: Viewer  # who created it
    dialect: str
    retry_key: str | None
    shown: dict[str, Any]  # by Livepeer's door
    deleted: bool = False


@dataclass(frozen=True)
class Viewer:
    """Somebody with a token: of an account, or of one project in it."""

    tenant: Tenant
    confined: bool = False

    def door(self, dialect: str) -> Door:
        return Door(CASES[dialect], self.tenant, self.tenant.token)

    def sees(self, key: Key, dialect: str) -> bool:
        """Cloudflare's door shows a whole account, Livepeer's a project."""
        if dialect == "cloudflare" and not self.confined:
            return key.viewer.tenant.account_id == self.tenant.account_id
        return key.viewer is self


class Lifecycle(RuleBasedStateMachine):
    """Does what clients do, and expects what the model says."""

    house: ClassVar[House]
    url: ClassVar[str]
    http: ClassVar[httpx2.Client]

    keys = Bundle("keys")
    dialects = st.sampled_from(sorted(QUOTAS))
    who = st.integers(0, 2)

    def __init__(self) -> None:
        super().__init__()
        one, two = (make_tenant(self.house, self.url) for _ in range(2))
        other = replace(one, token=one.make_token(project=one.make_project("other")))
        self.viewers = [Viewer(one), Viewer(other, confined=True), Viewer(two)]
        self.all: list[Key] = []  # in the order of their creation
        self.names: set[tuple[Viewer, str]] = set()  # default names ever given

    def ask(self, question: Question) -> httpx2.Response:
        return self.http.request(**question)

    def visible(self, viewer: Viewer, dialect: str) -> list[Key]:
        """Return the live keys that a door shows, newest first."""
        return [key for key in self.all[::-1] if not key.deleted and viewer.sees(key, dialect)]

    def has_room(self, viewer: Viewer, dialect: str) -> bool:
        live = [
            key
            for key in self.all
            if not key.deleted
            and key.dialect == dialect
            and key.viewer.tenant.account_id == viewer.tenant.account_id
        ]
        return len(live) < QUOTAS[dialect]

    @rule(target=keys, who=who, dialect=dialects, name=NAMES, retry_key=RETRY_KEYS)
    def create(self, who: int, dialect: str, name: str, retry_key: str | None) -> Any:
        viewer, case = self.viewers[who], CASES[dialect]
        replaced = self.retried(viewer, dialect, retry_key)
        body = {"name": name} if dialect == "livepeer" else None
        door = viewer.door(dialect)
        answer = self.ask(door.ask("create_key", body=body, retry_key=retry_key))
        if not replaced and not self.has_room(viewer, dialect):
            assert answer.status_code == case.look(Code.QUOTA_EXCEEDED).status
            return multiple()
        for key in replaced:
            key.deleted = True
        key = Key(door.id_in(answer), viewer, dialect, retry_key, {})
        self.all.append(key)
        key.shown = self.ask(viewer.door("livepeer").ask("get_key", key.id)).json()
        assert key.shown.keys().isdisjoint({"disabled", "lastSeen", "privateKey"})
        if dialect == "cloudflare":
            assert "name" not in key.shown
        elif name:
            assert key.shown["name"] == name
        else:
            assert (viewer, key.shown["name"]) not in self.names
            self.names.add((viewer, key.shown["name"]))
        return key

    def retried(self, viewer: Viewer, dialect: str, retry_key: str | None) -> list[Key]:
        """Return the live key that was made by the same create, if there is one."""
        return [
            key
            for key in self.all
            if retry_key is not None
            and not key.deleted
            and (key.viewer, key.dialect, key.retry_key) == (viewer, dialect, retry_key)
        ]

    @rule(who=who, key=keys)
    def get(self, who: int, key: Key) -> None:
        viewer = self.viewers[who]
        answer = self.ask(viewer.door("livepeer").ask("get_key", key.id))
        if key.deleted or not viewer.sees(key, "livepeer"):
            assert answer.status_code == 404
        else:
            assert answer.json() == key.shown

    @rule(who=who, key=keys, change=CHANGES)
    def update(self, who: int, key: Key, change: dict[str, Any]) -> None:
        viewer = self.viewers[who]
        answer = self.ask(viewer.door("livepeer").ask("update_key", key.id, body=change))
        if key.deleted or not viewer.sees(key, "livepeer"):
            assert answer.status_code == 404
        else:
            assert (answer.status_code, answer.content) == (204, b"")
            key.shown |= change

    @rule(who=who, dialect=dialects, key=keys)
    def delete(self, who: int, dialect: str, key: Key) -> None:
        viewer, case = self.viewers[who], CASES[dialect]
        answer = self.ask(viewer.door(dialect).ask("delete_key", key.id))
        if not viewer.sees(key, dialect):
            assert answer.status_code == 404
        elif key.deleted:
            assert answer.status_code == case.deleted_again
        else:
            assert answer.status_code == case.ask("delete_key").status
            key.deleted = True

    @rule(who=who, dialect=dialects)
    def list(self, who: int, dialect: str) -> None:
        viewer = self.viewers[who]
        door = viewer.door(dialect)
        answer = self.ask(door.listing())
        expected = self.visible(viewer, dialect)
        assert door.ids_in(answer) == [key.id for key in expected]
        if dialect == "livepeer":
            assert answer.json() == [key.shown for key in expected]

    def teardown(self) -> None:
        for who in range(len(self.viewers)):
            for dialect in QUOTAS:
                self.list(who, dialect)


@pytest.fixture
def model(house: House, tmp_path: Path) -> Iterator[type[Lifecycle]]:
    with (
        serve(house, tmp_path / "log", SETTINGS) as (Lifecycle.url, _),
        httpx2.Client(trust_env=False, timeout=90) as Lifecycle.http,
    ):
        Lifecycle.house = house
        yield Lifecycle


async def test_lifecycle(house: House, model: type[Lifecycle]) -> None:
    bounds = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(model, settings=bounds)
    assert await wrong_counters(house.dsn) == []
