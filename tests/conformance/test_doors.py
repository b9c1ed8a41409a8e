"""One keystore behind all doors: what is made through one is there through the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from tests.conformance.case import Visitor, compact
from tests.conformance.cases import CASES
from tests.service import make_tenant, serve

PAIRS = [(one, other) for one in CASES for other in CASES]


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]}-then-{pair[1]}")
def doors(request: pytest.FixtureRequest, cloudflare: Visitor) -> tuple[Visitor, Visitor]:
    """Two clients of one account: the first makes keys, the second finds them."""
    one, other = request.param
    return replace(cloudflare, case=CASES[one]), replace(cloudflare, case=CASES[other])


def test_made_here_deleted_there(doors: tuple[Visitor, Visitor]) -> None:
    here, there = doors
    keys = [here.create(), here.create()]
    assert there.live() == here.live() == keys[::-1]
    assert there.delete(keys[0]) == there.case.ask("delete_key").status
    assert there.live() == here.live() == [keys[1]]
    assert here.delete(keys[0]) == here.case.deleted_again
    assert there.delete(keys[0]) == there.case.deleted_again


def test_made_anywhere_read_and_changed_through_livepeer(doors: tuple[Visitor, Visitor]) -> None:
    here, there = doors
    if there.case.dialect != "livepeer":
        return
    key = here.create()
    shown = there.send("get_key", key).json()
    assert (UUID(shown["id"]), UUID(shown["userId"])) == (key, here.account_id)
    assert ("name" in shown) == (here.case.dialect == "livepeer")
    for change in ({"name": "Fähre"}, {"disabled": True}, {"disabled": False}):
        assert there.send("update_key", key, body=compact(change)).status_code == 204
        shown |= change
        assert there.send("get_key", key).json() == shown
        assert there.send("list_keys").json() == [shown]
        assert here.live() == [key]  # disabled is not deleted


def test_every_door_counts_its_own_keys(cloudflare: Visitor, livepeer: Visitor) -> None:
    """A full door does not shut another one, and deletes free the slot of the door of origin."""
    livepeer = replace(livepeer, tenant=cloudflare.tenant, token=cloudflare.token)
    house, account = cloudflare.tenant.house, cloudflare.account_id
    for dialect in CASES:
        house.run(house.accounts.set_allowance(account, dialect, 1, None))
    first = {door.case.dialect: door.create() for door in (cloudflare, livepeer)}
    for door in (cloudflare, livepeer):
        assert door.send("create_key").status_code in {400, 403}
    livepeer.delete(first["cloudflare"])
    assert livepeer.send("create_key").status_code == 403
    cloudflare.create()
    cloudflare.delete(first["livepeer"])
    assert cloudflare.send("create_key").status_code == 400
    livepeer.create()
    assert len(cloudflare.live()) == 2


def test_door_opened_for_one_account_only(cloudflare: Visitor, tmp_path: Path) -> None:
    """An account's own quota counts, also where the deployment gives none."""
    house, settings = cloudflare.tenant.house, {"KEYFERRY_CLOUDFLARE_QUOTA": "0"}
    house.run(house.accounts.set_allowance(cloudflare.account_id, "cloudflare", 1, None))
    with serve(house, tmp_path / "log", settings) as (url, _):
        opened = replace(cloudflare, tenant=replace(cloudflare.tenant, url=url))
        other = make_tenant(house, url)
        assert (
            replace(opened, tenant=other, token=other.token).send("create_key").status_code == 400
        )
        opened.create()
        assert opened.send("create_key").status_code == 400


def test_projects(cloudflare: Visitor, livepeer: Visitor) -> None:
    """Cloudflare sees the account, a Livepeer token its project, a confined token only that."""
    livepeer = replace(livepeer, tenant=cloudflare.tenant, token=cloudflare.token)
    inner = cloudflare.tenant.make_token(project=cloudflare.tenant.make_project("inner"))
    keys = [door.create() for door in (cloudflare, livepeer)]
    inside = [door.of(inner).create() for door in (cloudflare, livepeer)]
    assert cloudflare.live() == [*inside[::-1], *keys[::-1]]
    assert livepeer.live() == keys[::-1]
    assert cloudflare.of(inner).live() == livepeer.of(inner).live() == inside[::-1]
    assert livepeer.delete(inside[0]) == 404
    assert livepeer.of(inner).delete(keys[0]) == cloudflare.of(inner).delete(keys[1]) == 404
    assert livepeer.of(inner).delete(inside[0]) == 204
    assert cloudflare.delete(inside[1]) == 200
    assert cloudflare.live() == keys[::-1]
