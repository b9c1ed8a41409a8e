"""Public keys as files: what is in them, who can use them, and how they are cached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import joserfc.jwk
import joserfc.jwt
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateway.model import Algorithm
from tests.conformance.case import compact
from tests.player import Player, sign
from tests.vectors.forge import PLAYBACK, TestKey, b64

SET, PEM = "application/jwk-set+json", "application/x-pem-file"


@pytest.fixture(scope="module")
def publisher(player: Player) -> Player:
    """An account with two keys, an RSA and then a P-256 one."""
    return player.other()


@pytest.fixture(scope="module")
def rsa(publisher: Player) -> TestKey:
    return publisher.make_key()


@pytest.fixture(scope="module")
def p256(publisher: Player, rsa: TestKey) -> TestKey:  # noqa: ARG001  made before
    house, account = publisher.tenant.house, UUID(publisher.tenant.account_id)
    house.run(house.accounts.set_allowance(account, "livepeer", None, Algorithm.ES256))
    return publisher.with_new_token().make_livepeer_key()


def of_account(player: Player) -> str:
    return f"/accounts/{player.tenant.account_id}/jwks.json"


def keys_in(player: Player, path: str) -> list[dict[str, str]]:
    keys: list[dict[str, str]] = player.fetch(path).raise_for_status().json()["keys"]
    return keys


def jwk(key: TestKey) -> dict[str, str]:
    """A key as RFC 7517 and RFC 7518 write it, members in this order."""
    about = {"use": "sig", "kid": key.kid, "alg": key.algorithm}
    if key.algorithm == "RS256":
        numbers = key.rsa.public_key().public_numbers()
        return about | {"kty": "RSA", "n": b64(numbers.n.to_bytes(256)), "e": "AQAB"}
    point = key.ec.public_key().public_numbers()
    x, y = (b64(number.to_bytes(32)) for number in (point.x, point.y))
    return about | {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def test_the_set_of_an_account(publisher: Player, rsa: TestKey, p256: TestKey) -> None:
    answer = publisher.fetch(of_account(publisher))
    assert (answer.status_code, answer.headers["content-type"]) == (200, SET)
    assert answer.text == compact({"keys": [jwk(p256), jwk(rsa)]})
    spelled = str(UUID(publisher.tenant.account_id)).upper()
    assert publisher.fetch(f"/accounts/{spelled}/jwks.json").content == answer.content


@pytest.mark.parametrize("spell", [lambda key: key.kid, lambda key: str(key.id)])
def test_one_key(
    publisher: Player, rsa: TestKey, p256: TestKey, spell: Callable[[TestKey], str]
) -> None:
    for key in (rsa, p256):
        answer = publisher.fetch(f"/keys/{spell(key)}/jwks.json")
        assert (answer.text, answer.headers["content-type"]) == (compact({"keys": [jwk(key)]}), SET)
        answer = publisher.fetch(f"/keys/{spell(key)}.pem")
        assert (answer.content, answer.headers["content-type"]) == (key.pem, PEM)
        assert load_pem_public_key(answer.content) == key.private.public_key()


def test_the_set_of_a_project(publisher: Player, rsa: TestKey, p256: TestKey) -> None:
    """It has the keys of that project of that account only, whatever else is asked for."""
    tenant = publisher.tenant
    project = tenant.make_project("a project")
    confined = replace(tenant, token=tenant.make_token(project=project))
    own = replace(publisher, tenant=confined)
    key = own.make_key()
    path = f"/accounts/{tenant.account_id}/projects/{{}}/jwks.json"
    for spelled in (project, UUID(project).hex, project.upper()):
        answer = publisher.fetch(path.format(spelled))
        assert (answer.status_code, answer.headers["content-type"]) == (200, SET)
        assert answer.text == compact({"keys": [jwk(key)]})
    assert answer.headers["etag"]
    everything = [found["kid"] for found in keys_in(publisher, of_account(publisher))]
    assert everything == [key.kid, p256.kid, rsa.kid]
    stranger = publisher.other().tenant.account_id
    for foreign in (f"/accounts/{stranger}/projects/{project}/jwks.json", path.format(uuid4())):
        assert keys_in(publisher, foreign) == []
    for nothing in ("nobody", "", f"{project}/keys"):
        assert publisher.fetch(path.format(nothing)).status_code == 404
    own.delete(key)
    assert keys_in(publisher, path.format(project)) == []


def test_nobody_else_is_in_it(publisher: Player, rsa: TestKey) -> None:
    for account in (publisher.other().tenant.account_id, uuid4().hex):
        assert keys_in(publisher, f"/accounts/{account}/jwks.json") == []
    assert rsa.kid in [key["kid"] for key in keys_in(publisher, of_account(publisher))]


# --- libraries that fetch or read them ---------------------------------------------------------


@pytest.mark.parametrize("place", [of_account, None])
def test_pyjwt(
    monkeypatch: pytest.MonkeyPatch,
    publisher: Player,
    rsa: TestKey,
    p256: TestKey,
    place: Callable[[Player], str] | None,
) -> None:
    monkeypatch.setenv("no_proxy", "*")  # its client fetches by urllib
    for key in (rsa, p256):
        path = f"/keys/{key.kid}/jwks.json" if place is None else place(publisher)
        client, token = jwt.PyJWKClient(publisher.tenant.url + path), sign(key, sub=PLAYBACK)
        found = client.get_signing_key_from_jwt(token)
        assert found.key_id == key.kid
        assert jwt.decode(token, found, [key.algorithm])["sub"] == PLAYBACK
        pem = publisher.fetch(f"/keys/{key.kid}.pem").content
        assert jwt.decode(token, pem, [key.algorithm])["sub"] == PLAYBACK


def test_joserfc(publisher: Player, rsa: TestKey, p256: TestKey) -> None:
    whole: Any = publisher.fetch(of_account(publisher)).json()
    every = joserfc.jwk.KeySet.import_key_set(whole)
    for key in (rsa, p256):
        decoded = joserfc.jwt.decode(sign(key, sub=PLAYBACK), every, [key.algorithm])
        assert decoded.claims["sub"] == PLAYBACK


# --- revocation ----------------------------------------------------------------------------------


def test_keys_that_do_not_verify_are_absent(player: Player) -> None:
    player = player.other()
    kept, changed = player.make_key(), player.make_key()
    single = [f"/keys/{changed.kid}/jwks.json", f"/keys/{changed.kid}.pem"]

    def published() -> Iterator[bool]:
        found = {key["kid"] for key in keys_in(player, of_account(player))}
        assert kept.kid in found
        yield changed.kid in found
        for path in single:
            answer = player.fetch(path)
            assert answer.status_code in {200, 404}
            yield answer.status_code == 200

    assert list(published()) == [True] * 3
    player.disable(changed)
    assert list(published()) == [False] * 3
    player.disable(changed, disabled=False)
    assert list(published()) == [True] * 3
    player.delete(changed)
    assert list(published()) == [False] * 3


# --- HTTP ----------------------------------------------------------------------------------------


@pytest.fixture(params=["account", "set", "pem"])
def path(request: pytest.FixtureRequest, publisher: Player, rsa: TestKey) -> str:
    """Each kind of file."""
    paths = {"set": f"/keys/{rsa.kid}/jwks.json", "pem": f"/keys/{rsa.kid}.pem"}
    return paths.get(request.param, of_account(publisher))


def test_headers(publisher: Player, equipped_url: str, path: str) -> None:
    answer = publisher.fetch(path)
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["etag"].strip('"').isalnum()
    assert publisher.fetch(path).headers["etag"] == answer.headers["etag"]
    configured = publisher.at(equipped_url).fetch(path)
    assert configured.headers["cache-control"] == "public, max-age=5, stale-if-error=60"
    assert configured.headers["etag"] == answer.headers["etag"]  # any node's will do


def test_head(publisher: Player, path: str) -> None:
    full, head = publisher.fetch(path), publisher.fetch(path, "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    varying = {"date", "x-request-id"}
    assert [pair for pair in head.headers.items() if pair[0] not in varying] == [
        pair for pair in full.headers.items() if pair[0] not in varying
    ]


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("{etag}", True),
        ("W/{etag}", True),
        ("*", True),
        ('"other", {etag}', True),
        ('W/"other" ,W/{etag} , "more"', True),
        ('"other"', False),
        ('W/"other"', False),
        ("{bare}", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_if_none_match(
    publisher: Player, path: str, method: str, condition: str, matches: bool
) -> None:
    etag = publisher.fetch(path).headers["etag"]
    condition = condition.format(etag=etag, bare=etag.strip('"'))
    answer = publisher.fetch(path, method, If_None_Match=condition)
    assert answer.status_code == (304 if matches else 200)
    assert answer.headers["etag"] == etag
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["access-control-allow-origin"] == "*"
    if matches:
        assert answer.content == b""
        assert "content-type" not in answer.headers


def test_the_etag_changes_with_the_keys(player: Player) -> None:
    player = player.other()
    player.make_key()
    before = player.fetch(of_account(player)).headers["etag"]
    player.make_key()
    answer = player.fetch(of_account(player), If_None_Match=before)
    assert (answer.status_code, len(answer.json()["keys"])) == (200, 2)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods(publisher: Player, path: str, method: str) -> None:
    answer = publisher.fetch(path, method)
    assert (answer.status_code, answer.json()["error"]) == (405, "method_unknown")
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.headers["cache-control"] == "no-store"


UNKNOWN = "0" * 31 + "1"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/keys/{UNKNOWN}/jwks.json", "key_unknown"),
        (f"/keys/{UNKNOWN}.pem", "key_unknown"),
        ("/keys/x/jwks.json", "route_unknown"),
        ("/keys/x.pem", "route_unknown"),
        ("/keys/.pem", "route_unknown"),
        (f"/keys/{UNKNOWN}", "route_unknown"),
        (f"/keys/{UNKNOWN}/", "route_unknown"),
        (f"/keys/{UNKNOWN}.pem/", "route_unknown"),
        (f"/keys/{UNKNOWN}.pem/jwks.json", "route_unknown"),
        (f"/keys/{UNKNOWN}/jwks.json/", "route_unknown"),
        ("/keys", "route_unknown"),
        ("/accounts/x/jwks.json", "route_unknown"),
        (f"/accounts/{UNKNOWN}", "route_unknown"),
        (f"/accounts/{UNKNOWN}/", "route_unknown"),
        (f"/accounts/{UNKNOWN}/jwks.json/x", "route_unknown"),
        (f"/accounts/{UNKNOWN}/keys", "route_unknown"),
        ("/accounts", "route_unknown"),
    ],
)
def test_what_is_not_there(player: Player, path: str, code: str) -> None:
    answer = player.fetch(path)
    assert (answer.status_code, answer.json()["error"]) == (404, code)
    assert answer.headers["cache-control"] == "no-store"
    assert player.fetch(path, "HEAD").status_code == 404
