"""The providers' own SDKs as clients, each in a virtual environment of its own, and what follows.

The programs beside this file assert what the SDKs see and leave one live key. Tokens are then
signed with what they returned, by three libraries, and verified with the public half that the
doors show.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import subprocess
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import httpx2
import joserfc.jwk
import joserfc.jwt
import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.clients.environments import HERE, python_with

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = int(time.time())
VIDEO = "ea95132c15732412d22c1476fa83f27a"


class Service(Protocol):
    """A running Keyferry, seen by one account of it."""

    url: str
    account_id: str
    email: str
    token: str

    def make_token(self, scopes: list[str]) -> str: ...
    def make_account(self) -> Service: ...


class Made(NamedTuple):
    """An account and the one live key that a client program left in it."""

    account: Service
    key: dict[str, str]


def ask(account: Service, path: str, method: str = "GET") -> Any:
    """Call a door as curl would: a token, no body, no content type."""
    bearer = {"Authorization": f"Bearer {account.token}"}
    with httpx2.Client(trust_env=False, timeout=30) as client:
        return client.request(method, account.url + path, headers=bearer).raise_for_status().json()


def cloudflare_keys(account: Service) -> str:
    return f"/client/v4/accounts/{account.account_id}/stream/keys"


def livepeer_public_half(account: Service, kid: str) -> bytes:
    """Return the public key, in PEM, that the Livepeer door shows under the id `kid`."""
    shown = ask(account, f"/api/access-control/signing-key/{uuid.UUID(kid)}")
    return base64.b64decode(shown["publicKey"], validate=True)


@pytest.fixture(scope="session")
def sdk_python() -> Callable[[str], Path]:
    """Give the Python of an SDK's virtual environment, which is made once and kept."""
    return functools.cache(python_with)


def run(python: Path, program: str, account: Service, base: str) -> Made:
    """Run a client program on a fresh `account`, with nothing else in its environment."""
    target = {
        "KEYFERRY_URL": account.url + base,
        "KEYFERRY_TOKEN": account.token,
        "KEYFERRY_READONLY_TOKEN": account.make_token(["keys:read"]),
        "KEYFERRY_ACCOUNT": account.account_id,
        "KEYFERRY_EMAIL": account.email,
    }
    ended = subprocess.run(
        [python, "-I", HERE / program],
        env={"PATH": os.environ["PATH"], **target},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    [key] = json.loads(ended.stdout)["created"]
    return Made(account, key)


@pytest.fixture(scope="module", params=["cloudflare-4", "cloudflare-5"])
def by_cloudflare(
    request: pytest.FixtureRequest, sdk_python: Callable[[str], Path], service: Service
) -> Made:
    python = sdk_python(request.param)
    return run(python, "cloudflare_keys.py", service.make_account(), "/client/v4")


@pytest.fixture(scope="module")
def by_livepeer(sdk_python: Callable[[str], Path], service: Service) -> Made:
    return run(sdk_python("livepeer"), "livepeer_keys.py", service.make_account(), "/api")


def sign_with_pyjwt(header: dict[str, Any], claims: dict[str, Any], pem: bytes) -> str:
    return jwt.encode(claims, pem, "RS256", header)


def sign_with_joserfc(header: dict[str, Any], claims: dict[str, Any], pem: bytes) -> str:
    key = joserfc.jwk.RSAKey.import_key(pem)
    return joserfc.jwt.encode({"alg": "RS256", **header}, claims, key)


def sign_by_hand(header: dict[str, Any], claims: dict[str, Any], pem: bytes) -> str:
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", **header}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return f"{signed.decode()}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def verify(token: str, public: bytes) -> dict[str, Any]:
    """Return the claims of `token` if PyJWT and joserfc both find it signed by `public`."""
    claims: dict[str, Any] = jwt.decode(token, public, ["RS256"])
    assert joserfc.jwt.decode(token, joserfc.jwk.RSAKey.import_key(public)).claims == claims
    return claims


signers = pytest.mark.parametrize("sign", [sign_with_pyjwt, sign_with_joserfc, sign_by_hand])


@signers
def test_key_of_the_cloudflare_sdk(by_cloudflare: Made, sign: Callable[..., str]) -> None:
    account, key = by_cloudflare
    claims = {"sub": VIDEO, "kid": key["id"], "exp": NOW + 3600, "nbf": NOW - 3600}
    token = sign({"kid": key["id"]}, claims, base64.b64decode(key["pem"]))
    assert verify(token, livepeer_public_half(account, key["id"])) == claims


@signers
def test_key_of_the_livepeer_sdk(by_livepeer: Made, sign: Callable[..., str]) -> None:
    account, key = by_livepeer
    [listed] = ask(account, "/api/access-control/signing-key")
    assert (listed["id"], listed["publicKey"]) == (key["id"], key["public_key"])
    claims = {"action": "pull", "iss": "us", "pub": listed["publicKey"], "sub": VIDEO}
    claims |= {"video": "none", "iat": NOW, "exp": NOW + 3600}
    token = sign({"typ": "JWT"}, claims, base64.b64decode(key["private_key"]))
    assert verify(token, base64.b64decode(listed["publicKey"])) == claims


def test_cloudflare_lists_the_key_of_the_livepeer_sdk(by_livepeer: Made) -> None:
    account, key = by_livepeer
    [listed] = ask(account, cloudflare_keys(account))["result"]
    assert listed["id"] == listed["key_id"] == uuid.UUID(key["id"]).hex


def python_sample(key: dict[str, str]) -> str:
    pem = base64.b64decode(key["pem"])
    claims = {"sub": VIDEO, "kid": key["id"], "exp": NOW + 3600}
    return jwt.encode(claims, pem, algorithm="RS256", headers={"kid": key["id"]})


def node_and_php_sample(key: dict[str, str]) -> str:
    """These put the key id into the payload only."""
    claims = {"sub": VIDEO, "kid": key["id"], "exp": NOW + 3600}
    return jwt.encode(claims, base64.b64decode(key["pem"]), algorithm="RS256")


def webcrypto_sample(key: dict[str, str]) -> str:
    imported = joserfc.jwk.RSAKey.import_key(json.loads(base64.b64decode(key["jwk"])))
    claims = {"sub": VIDEO, "kid": key["id"], "exp": NOW + 3600}
    return joserfc.jwt.encode({"alg": "RS256", "kid": key["id"]}, claims, imported)


@pytest.mark.parametrize("sample", [python_sample, node_and_php_sample, webcrypto_sample])
def test_samples_of_the_documentation(
    service: Service, sample: Callable[[dict[str, str]], str]
) -> None:
    account = service.make_account()
    key = ask(account, cloudflare_keys(account), "POST")["result"]
    assert verify(sample(key), livepeer_public_half(account, key["id"]))["kid"] == key["id"]
