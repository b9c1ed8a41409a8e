"""Minting with a private half that is sent along: it must be that of the key named with it."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, PrivateFormat

from gateway.model import Algorithm
from tests.minting import pem, refused, texts_of, token_in
from tests.player import Player
from tests.vectors.forge import KEYS, TestKey

MISMATCH = "pem is not the private half of the key id"
PKCS8 = PrivateFormat.PKCS8
WEAK = pem(rsa.generate_private_key(65537, 1024))  # noqa: S505  to be refused


@pytest.fixture(scope="module")
def made(player: Player) -> dict[str, str]:
    """A key as Cloudflare's door handed it out."""
    return player.make()


@pytest.fixture(scope="module")
def p256(player: Player) -> TestKey:
    """A P-256 key of the same account, made through Livepeer's door."""
    house, account = player.tenant.house, UUID(player.tenant.account_id)
    house.run(house.accounts.set_allowance(account, "livepeer", None, Algorithm.ES256))
    return player.with_new_token().make_livepeer_key()


@pytest.mark.parametrize("form", [PrivateFormat.TraditionalOpenSSL, PKCS8])
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_keys_of_both_doors_in_every_form(
    player: Player, key: TestKey, p256: TestKey, algorithm: str, form: PrivateFormat
) -> None:
    used = key if algorithm == "RS256" else p256
    for spelled in (used.kid, str(used.id), used.kid.upper()):
        token = token_in(player.mint({"id": spelled, "pem": pem(used.private, form)}))
        header = {"alg": algorithm, "kid": used.kid}
        assert texts_of(token)[0] == json.dumps(header, separators=(",", ":"))
        assert player.play(token) == "allowed"


# What is sent as `pem`, by the key's own private half, and what is said about it.
BAD_PEMS: dict[str, tuple[object, str]] = {
    "another key's": (pem(KEYS["rsa"].private), MISMATCH),
    "another algorithm's": (pem(KEYS["ec"].private), MISMATCH),
    "too short a key's": (WEAK, "pem is neither an RSA key of 2048 to 4096 bits"),
    "another curve's": (pem(ec.generate_private_key(ec.SECP384R1())), "pem is neither"),
    "garbage": (b64encode(b"garbage").decode(), "pem is not a private key in PEM"),
    "nothing": ("", "pem is not a private key in PEM"),
    "not base64": ("-----BEGIN RSA PRIVATE KEY-----", "pem should be base64"),
    "not even ASCII": ("Fähre", "pem should be base64"),
    "base64 in lines": ("LS0t\nLS1C", "pem should be base64"),
    "very long": (b64encode(b"x" * 9000).decode(), "pem is not a private key in PEM"),
}


@pytest.mark.parametrize("name", BAD_PEMS)
def test_bad_pems(player: Player, made: dict[str, str], name: str) -> None:
    bad, said = BAD_PEMS[name]
    message = refused(player.mint({"id": made["id"], "pem": bad}), 400, 10005)
    assert message.startswith(said)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda key: pem(key.private, PKCS8, BestAvailableEncryption(b"x")),
            "pem is not a private",
        ),
        (lambda key: b64encode(key.pem).decode(), "pem is not a private key"),
        (lambda key: pem(key.private)[:-400], "pem is not a private key"),
        (lambda key: pem(key.private)[:-1], "pem should be base64"),
        (lambda key: b64decode(pem(key.private)).decode(), "pem should be base64"),
    ],
)
def test_spoiled_pems(
    player: Player, key: TestKey, spoil: Callable[[TestKey], str], said: str
) -> None:
    message = refused(player.mint({"id": key.kid, "pem": spoil(key)}), 400, 10005)
    assert message.startswith(said)


def test_one_needs_the_other(player: Player, made: dict[str, str]) -> None:
    for name in ("id", "pem"):
        assert refused(player.mint({name: made[name]}), 400, 10005) == "id and pem go together"
    for bad in ("", "x", made["id"][:-1], f"{{{made['id']}}}", f"urn:uuid:{made['id']}"):
        message = refused(player.mint({"id": bad, "pem": made["pem"]}), 400, 10005)
        assert message == "id should be a key's id, as it was handed out"


def test_the_state_of_the_key(player: Player) -> None:
    key = player.make_key()
    own = {"id": key.kid, "pem": pem(key.private)}
    token_in(player.mint(own))
    player.disable(key)
    refused(player.mint(own), 404, 10003)
    player.disable(key, disabled=False)
    token = token_in(player.mint(own))
    player.delete(key)
    refused(player.mint(own), 404, 10003)
    assert player.play(token) == "key_deleted"


def test_only_the_accounts_own_keys(player: Player, made: dict[str, str]) -> None:
    refused(player.other().mint({"id": made["id"], "pem": made["pem"]}), 404, 10003)
    refused(player.mint({"id": uuid4().hex, "pem": made["pem"]}), 404, 10003)


@pytest.mark.parametrize(
    ("scopes", "granted"),
    [
        (["tokens:write"], True),
        (["keys:read", "keys:write"], False),
        (["keys:read"], False),
        ([], False),
    ],
)
def test_the_permission(
    player: Player, made: dict[str, str], scopes: list[str], granted: bool
) -> None:
    own = {"id": made["id"], "pem": made["pem"]}
    answer = player.mint(own, token=player.tenant.make_token(scopes))
    if granted:
        assert player.play(token_in(answer)) == "allowed"
    else:
        refused(answer, 403, 10000)
        refused(
            player.mint({"exp": "nonsense"}, token=player.tenant.make_token(scopes)), 403, 10000
        )


def test_whose_api_token(player: Player, made: dict[str, str]) -> None:
    refused(player.mint(made, token=player.other().tenant.token), 403, 10000)
    refused(player.mint(made, token="kf_nobody"), 401, 10000)


def test_it_is_forgotten_at_once(player: Player, service_log: Path) -> None:
    """Neither the log nor the database holds any part of what was sent."""
    made = player.make()
    own = {"id": made["id"], "pem": made["pem"]}
    token_in(player.mint(own))
    refused(player.mint({**own, "exp": 1}), 400, 10005)
    refused(player.mint({"id": uuid4().hex, "pem": made["pem"]}), 404, 10003)
    database = player.tenant.house.database
    statement = "SELECT k::text AS text FROM signing_keys k WHERE id = $1"
    row = player.tenant.house.run(database.fetchrow(statement, UUID(made["id"])))
    for place in (service_log.read_text(), row["text"]):
        assert made["pem"][200:260] not in place
        assert "PRIVATE" not in place
