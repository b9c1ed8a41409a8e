"""Minting with the account's own key: hidden, sealed, made once, and replaced by an operator."""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.crypto import unseal
from gateway.keypool import KeyPool
from gateway.keyring import FeedKeyring
from gateway.minting import Minter
from gateway.storage.feed import Feed, announcing
from tests.fleet import until
from tests.minting import MASTER_KEY, claims_of, refused, token_in
from tests.player import Player
from tests.service import House, serve

OTHER_KEY = b64encode(b"another key, of another operator").decode()
STALENESS = 2.0  # seconds, by default


@pytest.fixture(scope="module")
def twin_url(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where another server with the same master key is."""
    settings = {"KEYFERRY_MASTER_KEY": MASTER_KEY, "KEYFERRY_POOL_SIZE": "4"}
    with serve(house, tmp_path_factory.mktemp("twin") / "log", settings) as (url, _):
        yield url


@pytest.fixture(scope="module")
def alien_url(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server with another master key is."""
    settings = {"KEYFERRY_MASTER_KEY": OTHER_KEY, "KEYFERRY_POOL_SIZE": "1"}
    with serve(house, tmp_path_factory.mktemp("alien") / "log", settings) as (url, _):
        yield url


@pytest.fixture
def minting(player: Player, equipped_url: str) -> Player:
    """A new account at a server with a master key."""
    return player.other().at(equipped_url)


def hidden(player: Player) -> list[Any]:
    """The hidden keys of an account, as the database has them."""
    statement = "SELECT *, k::text AS text FROM signing_keys k WHERE account_id = $1 AND hidden"
    house = player.tenant.house
    return house.run(house.database.fetch(statement, UUID(player.tenant.account_id)))


def mint(player: Player) -> tuple[str, str]:
    """Mint a token; return it with the id of the key that signed it."""
    token = token_in(player.mint())
    return token, str(claims_of(token)["kid"])


def published(player: Player) -> list[str]:
    """The ids in the account's JWK Set."""
    answer = player.fetch(f"/accounts/{player.tenant.account_id}/jwks.json")
    return [key["kid"] for key in answer.json()["keys"]]


def test_it_is_made_once(minting: Player, twin_url: str) -> None:
    """Twenty first tokens at once, from two servers."""
    servers = [minting, minting.at(twin_url)] * 10
    with ThreadPoolExecutor(20) as pool:
        minted = list(pool.map(mint, servers))
    [row] = hidden(minting)
    assert {kid for _, kid in minted} == {row["id"].hex}
    for token, _ in minted:
        assert minting.play(token) == "allowed"
        assert minting.at(twin_url).ask(f"/{token}/manifest/video.m3u8").status_code == 200
    assert mint(minting)[1] == row["id"].hex


def test_it_outlives_the_server_that_made_it(minting: Player, twin_url: str) -> None:
    _, kid = mint(minting)
    assert mint(minting.at(twin_url))[1] == kid


def test_no_door_shows_or_changes_it(minting: Player) -> None:
    """It is no key of anybody's but the verifier's, and takes no slot from the quota."""
    token, kid = mint(minting)
    house, account = minting.tenant.house, UUID(minting.tenant.account_id)
    assert house.run(house.accounts.allowances(account)) == []
    for door in (minting.cloudflare, minting.livepeer):
        assert door.live() == []
        for operation in ("get_key", "update_key", "delete_key"):
            if operation in {ask.operation for ask in door.case.asks}:
                assert door.send(operation, UUID(kid)).status_code == 404
    assert minting.play(token) == "allowed"
    refused(minting.mint({"id": kid, "pem": minting.make()["pem"]}), 400, 10005)


def test_verifiers_elsewhere_find_it(minting: Player) -> None:
    _, kid = mint(minting)
    assert published(minting) == [kid]
    assert minting.fetch(f"/keys/{kid}/jwks.json").json()["keys"][0]["kid"] == kid
    assert minting.fetch(f"/keys/{kid}.pem").status_code == 200


def test_its_private_half_is_sealed(minting: Player) -> None:
    mint(minting)
    [row] = hidden(minting)
    account = UUID(minting.tenant.account_id)
    pem = unseal(b64decode(MASTER_KEY), row["sealed"], account.bytes + row["id"].bytes)
    private = load_pem_private_key(pem, None)
    assert isinstance(private, rsa.RSAPrivateKey)
    numbers = private.private_numbers()
    for number in (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp):
        raw = number.to_bytes(256).lstrip(b"\0")
        assert raw[:16] not in row["sealed"]
        assert raw[:16].hex() not in row["text"]
        assert b64encode(raw)[:16].decode() not in row["text"]
    for master, context in ((OTHER_KEY, account.bytes + row["id"].bytes), (MASTER_KEY, b"")):
        with pytest.raises(ValueError, match="does not open"):
            unseal(b64decode(master), row["sealed"], context)


def test_a_sealed_key_opens_in_its_own_place_only(minting: Player, twin_url: str) -> None:
    """Whoever can write the database cannot lend one account another's key."""
    other = minting.other()
    mint(minting)
    mint(other)
    [lent], [row] = hidden(other), hidden(minting)
    house = minting.tenant.house
    statement = "UPDATE signing_keys SET sealed = $2 WHERE id = $1"
    house.run(house.database.fetch(statement, row["id"], lent["sealed"]))
    refused(minting.at(twin_url).mint(), 501, 10001)


def test_another_master_key(minting: Player, alien_url: str) -> None:
    _, kid = mint(minting)
    answer = minting.at(alien_url).mint()
    message = refused(answer, 501, 10001)
    assert message.startswith("KEYFERRY_MASTER_KEY is not the one that sealed")
    assert answer.headers["x-should-retry"] == "false"  # SDKs would try again
    assert mint(minting)[1] == kid
    assert len(hidden(minting)) == 1


def test_no_master_key(player: Player, minting: Player) -> None:
    """The answer says what to configure, whether there is a key already or not."""
    mint(minting)
    for account in (minting.at(player.tenant.url), player.other()):
        answer = account.mint()
        assert refused(answer, 501, 10001).startswith("set KEYFERRY_MASTER_KEY to mint without")
        assert answer.headers["x-should-retry"] == "false"
    made = player.make()
    assert player.play(token_in(player.mint({"id": made["id"], "pem": made["pem"]}))) == "allowed"


# --- rotation ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def minter(house: House) -> Minter:
    """What an operator's command uses: a minter that listens to nothing and makes no key."""
    feed = Feed(house.dsn, announcing(house.database), staleness=STALENESS)
    pool = KeyPool(size=1, threads=1, on_error=lambda _: None)
    keyring = FeedKeyring(house.database, feed)
    return Minter(house.database, feed, keyring, pool, master_key=None, pool_wait=1)


def rotate(minter: Minter, player: Player, *, revoke: bool) -> list[UUID]:
    account = UUID(player.tenant.account_id)
    return player.tenant.house.run(minter.rotate(account, "by hand", revoke=revoke))


def mint_with_another(player: Player, kid: str) -> str:
    """Mint until another key signs, which must be so within the bound; return its id."""
    end = time.monotonic() + STALENESS
    while (found := mint(player)[1]) == kid:
        assert time.monotonic() < end
    return found


@pytest.mark.parametrize("revoke", [False, True])
def test_rotation(minter: Minter, minting: Player, twin_url: str, revoke: bool) -> None:
    twin = minting.at(twin_url)
    (token, kid), (_, same) = mint(minting), mint(twin)
    assert kid == same
    assert rotate(minter, minting, revoke=revoke) == [UUID(kid)]
    new = mint_with_another(minting, kid)
    assert mint_with_another(twin, kid) == new
    assert sorted(row["id"].hex for row in hidden(minting)) == sorted([kid, new])
    [old] = [row for row in hidden(minting) if row["id"].hex == kid]
    assert old["sealed"] is None  # nobody can sign with it again
    for server in (minting, twin):
        assert server.play(token) == ("key_deleted" if revoke else "allowed")
        assert server.play(mint(server)[0]) == "allowed"
        assert published(server) == ([new] if revoke else [new, kid])
    house = minting.tenant.house
    statement = "SELECT action FROM key_events WHERE key_id = $1 ORDER BY id"
    events = house.run(house.database.fetch(statement, UUID(kid)))
    last = "deleted" if revoke else "updated"
    assert [event["action"] for event in events] == ["created", last]


def test_a_late_revocation_reaches_earlier_keys(minter: Minter, minting: Player) -> None:
    token, kid = mint(minting)
    rotate(minter, minting, revoke=False)
    new = mint_with_another(minting, kid)
    assert {UUID(kid), UUID(new)} <= set(rotate(minter, minting, revoke=True))
    until(lambda: minting.play(token) == "key_deleted", patience=STALENESS)


def test_rotation_of_what_is_not_there(minter: Minter, player: Player) -> None:
    assert rotate(minter, player.other(), revoke=True) == []


def test_rotation_helps_when_the_master_key_is_lost(
    minter: Minter, minting: Player, alien_url: str
) -> None:
    token, kid = mint(minting)
    alien = minting.at(alien_url)
    refused(alien.mint(), 501, 10001)
    rotate(minter, minting, revoke=False)
    assert mint(alien)[1] != kid
    assert alien.play(token) == "allowed"


def test_projects_do_not_matter(minting: Player) -> None:
    """Videos belong to the account: a token confined to a project mints with the same key."""
    _, kid = mint(minting)
    confined = minting.tenant.make_token(["tokens:write"], minting.tenant.make_project("one"))
    assert claims_of(token_in(minting.mint(token=confined)))["kid"] == kid
