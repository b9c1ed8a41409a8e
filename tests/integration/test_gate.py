"""Livepeer's gate: a media server asks, without credentials, whether a public key may play."""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import pytest

from gateway.model import Algorithm
from tests.player import Player
from tests.service import House, make_tenant, open_folder, serve
from tests.vectors.forge import KEYS, TestKey

REQUIRED = "Content is gated and requires a public key"
UNKNOWN = "Content is gated and corresponding public key not found"
REVOKED = "The public key is disabled or deleted"
FOREIGN = "Content not found"
NOBODY = KEYS["rsa"].pub  # a public key of no account


@pytest.fixture(scope="module")
def owner(player: Player) -> Player:
    """An account whose new keys in Livepeer's door are P-256 ones, as with the provider."""
    owner = player.other()
    house, account = owner.tenant.house, UUID(owner.tenant.account_id)
    house.run(house.accounts.set_allowance(account, "livepeer", None, Algorithm.ES256))
    return owner


@pytest.fixture(scope="module")
def p256(owner: Player) -> TestKey:
    return owner.make_livepeer_key()


@pytest.fixture(scope="module")
def here(owner: Player) -> str:
    return f"?account={owner.tenant.account_id}"


def refused(answer: httpx2.Response, status: int, text: str) -> None:
    assert (answer.status_code, answer.json()) == (status, {"errors": [text]})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def opened(answer: httpx2.Response, owner: Player) -> None:
    user = str(UUID(owner.tenant.account_id))
    assert answer.text == f'{{"user_id":"{user}","user_viewer_limit":0}}'
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


def test_live_keys_of_both_doors(owner: Player, p256: TestKey, here: str) -> None:
    for key in (p256, owner.make_key()):
        assert owner.get(key)["publicKey"] == key.pub
        answer = owner.gate(here, type="jwt", stream="video+abc", pub=key.pub)
        opened(answer, owner)
        assert answer.headers["cache-control"] == "max-age=1,stale-while-revalidate=1"


def test_cache_control_is_a_setting(
    owner: Player, equipped_url: str, p256: TestKey, here: str
) -> None:
    answer = owner.at(equipped_url).gate(here, pub=p256.pub)
    assert answer.headers["cache-control"] == "max-age=120,stale-while-revalidate=600"
    refused(owner.at(equipped_url).gate(here, pub=NOBODY), 403, UNKNOWN)


def test_what_media_servers_send(owner: Player, p256: TestKey, here: str) -> None:
    """Unused members are empty strings or null, and there may be members we do not know."""
    body = {
        "type": "jwt",
        "pub": p256.pub,
        "accessKey": "",
        "stream": "video+f5eese9wwl88k4g8",
        "webhookPayload": None,
        "webhookHeaders": {"user-agent": "VLC"},
        "origin": "https://example.com",
        "timestamp": 1760000000,
    }
    opened(owner.gate(here, **body), owner)
    url = f"{owner.tenant.url}/api/access-control/gate{here}"
    for headers in ({"Authorization": "Bearer no one's"}, {"Content-Type": "text/plain"}):
        opened(owner.http.post(url, json=body, headers=headers), owner)


@pytest.mark.parametrize(
    "body",
    [{}, {"type": "jwt"}, {"type": "jwt", "pub": ""}, {"type": "accessKey", "accessKey": "secret"}],
)
def test_no_public_key(owner: Player, here: str, body: dict[str, str]) -> None:
    refused(owner.gate(here, **body), 403, REQUIRED)
    url = f"{owner.tenant.url}/api/access-control/gate{here}"
    refused(owner.http.post(url), 403, REQUIRED)


def private_pem(key: TestKey) -> str:
    return b64encode(b64decode(key.pub).replace(b"PUBLIC", b"PRIVATE")).decode()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: NOBODY,
        lambda _: "x",
        lambda _: "x" * 60_000,
        lambda _: "\0🎬",
        lambda _: "../../etc",
        lambda key: key.pub[:-8],
        lambda key: key.pub + "=",
        lambda key: f" {key.pub}",
        lambda key: key.kid,
        lambda key: b64decode(key.pub).decode(),
        lambda key: b64encode(b64decode(key.pub) * 2).decode(),
        private_pem,
    ],
)
def test_unknown_or_malformed_public_keys(
    owner: Player, p256: TestKey, here: str, spoil: object
) -> None:
    assert callable(spoil)
    refused(owner.gate(here, pub=spoil(p256)), 403, UNKNOWN)


def test_revoked_keys(owner: Player, here: str) -> None:
    for key in (owner.make_livepeer_key(), owner.make_key()):
        opened(owner.gate(here, pub=key.pub), owner)
        owner.disable(key)
        refused(owner.gate(here, pub=key.pub), 403, REVOKED)
        owner.disable(key, disabled=False)
        opened(owner.gate(here, pub=key.pub), owner)
        owner.delete(key)
        refused(owner.gate(here, pub=key.pub), 403, REVOKED)


def test_accounts(owner: Player, p256: TestKey, here: str) -> None:
    account = UUID(owner.tenant.account_id)
    for text in (account.hex, str(account), account.hex.upper(), str(account).upper()):
        opened(owner.gate(f"?account={text}", pub=p256.pub), owner)
    other = owner.other()
    for stranger in (other.tenant.account_id, str(uuid4())):
        refused(owner.gate(f"?account={stranger}", pub=p256.pub), 404, FOREIGN)
        refused(owner.gate(f"?account={stranger}", pub=NOBODY), 403, UNKNOWN)
        refused(owner.gate(f"?account={stranger}"), 403, REQUIRED)
    revoked = other.make_key()
    other.delete(revoked)
    refused(owner.gate(here, pub=revoked.pub), 404, FOREIGN)


def test_the_account_has_to_be_named(owner: Player, p256: TestKey) -> None:
    for query in ("", "?account=", "?other=x"):
        refused(owner.gate(query, pub=p256.pub), 400, "name the account: ?account=ID")
    for query in ("x", "0" * 31, "0x" + "1" * 30, owner.tenant.email):
        answer = owner.gate(f"?account={query}", pub=p256.pub)
        refused(answer, 400, "account should be an account's id")


def test_a_suspended_account_still_plays(player: Player) -> None:
    suspended = player.other()
    key, house = suspended.make_key(), suspended.tenant.house
    house.run(house.accounts.suspend(UUID(suspended.tenant.account_id), suspended=True))
    opened(suspended.gate(f"?account={suspended.tenant.account_id}", pub=key.pub), suspended)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 60_000, 400),
        (b"[]", 422),
        (b'"pub"', 422),
        (b'{"pub":null}', 422),
        (b'{"pub":["x"]}', 422),
        (b'{"type":7}', 422),
        (b'{"stream":{}}', 422),
        (b'{"pub":"' + b"x" * 70_000 + b'"}', 413),
    ],
)
def test_bad_bodies(owner: Player, here: str, body: bytes, status: int) -> None:
    url = f"{owner.tenant.url}/api/access-control/gate{here}"
    answer = owner.http.post(url, content=body)
    assert (answer.status_code, list(answer.json())) == (status, ["errors"])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods(owner: Player, here: str, method: str) -> None:
    refused(owner.fetch(f"/api/access-control/gate{here}", method), 404, "not found")


def test_a_deployment_with_one_account(http: httpx2.Client, tmp_path: Path) -> None:
    """The account need not be named while there is just one, and must be named after that."""
    settings = {"KEYFERRY_POOL_SIZE": "2"}
    with (
        open_folder() as folder,
        House(folder / "data") as house,
        serve(house, tmp_path / "log", settings) as (url, _),
    ):
        nobody = f"{url}/api/access-control/gate"
        refused(http.post(nobody, json={"pub": NOBODY}), 400, "name the account: ?account=ID")
        only = Player(http, make_tenant(house, url))
        key = only.make_key()
        opened(only.gate(pub=key.pub), only)
        opened(only.gate(f"?account={only.tenant.account_id}", pub=key.pub), only)
        refused(only.gate(pub=NOBODY), 403, UNKNOWN)
        refused(only.gate(), 403, REQUIRED)
        refused(only.gate(f"?account={uuid4()}", pub=key.pub), 404, FOREIGN)
        only.other()
        refused(only.gate(pub=key.pub), 400, "name the account: ?account=ID")
        opened(only.gate(f"?account={only.tenant.account_id}", pub=key.pub), only)
