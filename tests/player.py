"""A tenant at work: makes keys through either door, signs tokens with them, and asks to play."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx2
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.conformance.case import Visitor
from tests.conformance.cases import CASES
from tests.service import Tenant
from tests.vectors.forge import VIDEO, TestKey, assemble, header_of

Headers = Sequence[tuple[str, str]]


def sign(key: TestKey, header: object = None, **payload: object) -> str:
    """Sign a token for `VIDEO`, good for an hour, but for what is given; `...` leaves out."""
    claims = {"sub": VIDEO, "exp": int(time.time()) + 3600, **payload}
    claims = {name: value for name, value in claims.items() if value is not ...}
    return assemble(header or header_of(key), claims, key.sign)


@dataclass(frozen=True)
class Player:
    """A client of one server that speaks for one tenant."""

    http: httpx2.Client
    tenant: Tenant

    def at(self, url: str) -> Player:
        """Return the same tenant at another server."""
        return replace(self, tenant=replace(self.tenant, url=url))

    def other(self) -> Player:
        """Return another account at the same server."""
        return replace(self, tenant=self.tenant.make_account())

    def with_new_token(self) -> Player:
        """Return the same account with an API token that no server has in its memory."""
        return replace(self, tenant=replace(self.tenant, token=self.tenant.make_token()))

    def make(self) -> dict[str, str]:
        """Create a key through Cloudflare's door and return what it hands out."""
        answer = self.cloudflare.send("create_key").raise_for_status()
        made: dict[str, str] = answer.json()["result"]
        return made

    def make_key(self) -> TestKey:
        """Create a key through Cloudflare's door."""
        made = self.make()
        return self._key(made["id"], made["pem"])

    def make_livepeer_key(self) -> TestKey:
        """Create a key through Livepeer's door."""
        made = self.livepeer.send("create_key").raise_for_status().json()
        return self._key(made["id"], made["privateKey"])

    def delete(self, key: TestKey) -> None:
        """Delete a key through Cloudflare's door, which can do so twice."""
        self.cloudflare.send("delete_key", key.id).raise_for_status()

    def disable(self, key: TestKey, *, disabled: bool = True) -> None:
        """Disable or enable a key."""
        body = json.dumps({"disabled": disabled})
        self.livepeer.send("update_key", key.id, body=body).raise_for_status()

    def get(self, key: TestKey) -> dict[str, Any]:
        """Return a key as Livepeer's door shows it."""
        shown: dict[str, Any] = self.livepeer.send("get_key", key.id).raise_for_status().json()
        return shown

    @property
    def verify_url(self) -> str:
        """Where edges and programs ask."""
        return f"{self.tenant.url}/accounts/{self.tenant.account_id}/verify"

    def ask(
        self,
        url: str | None = None,
        headers: Headers = (),
        *,
        method: str = "GET",
        rest: str = "",
        content: bytes | None = None,
    ) -> httpx2.Response:
        """Ask as an edge does; `rest` is sent as it is, `url` in X-Original-URI."""
        told = [] if url is None else [("X-Original-URI", url)]
        target = f"/accounts/{self.tenant.account_id}/verify{rest}"
        return self.http.request(
            method,
            self.tenant.url,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in (*told, *headers)],
            content=content,
            extensions={"target": target.encode()},
        )

    def play(self, token: str, headers: Headers = ()) -> str:
        """Ask to play `VIDEO` and return the reason of the answer."""
        answer = self.ask(f"/{VIDEO}/index.m3u8?token={token}", headers)
        return str(answer.headers["x-auth-reason"])

    def explain(self, **members: object) -> httpx2.Response:
        """Ask as a program does."""
        return self.http.post(self.verify_url, json=members)

    def fetch(self, path: str, method: str = "GET", **headers: str) -> httpx2.Response:
        """Ask for a file; an underscore in a header's name stands for a hyphen."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.http.request(method, self.tenant.url + path, headers=named)

    def gate(self, query: str = "", **members: object) -> httpx2.Response:
        """Ask as a media server does: without credentials."""
        url = f"{self.tenant.url}/api/access-control/gate{query}"
        return self.http.post(url, json=members)

    def mint(
        self, body: Mapping[str, object] | None = None, *, video: str = VIDEO, token: str = ""
    ) -> httpx2.Response:
        """Ask Cloudflare's door for a playback token."""
        account = f"{self.tenant.url}/client/v4/accounts/{self.tenant.account_id}"
        bearer = {"Authorization": f"Bearer {token or self.tenant.token}"}
        url = f"{account}/stream/{video}/token"
        return self.http.post(url, json=dict(body or {}), headers=bearer)

    @property
    def cloudflare(self) -> Visitor:
        """The tenant's client of Cloudflare Stream."""
        return Visitor(self.http, CASES["cloudflare"], self.tenant, self.tenant.token)

    @property
    def livepeer(self) -> Visitor:
        """The tenant's client of Livepeer Studio."""
        return Visitor(self.http, CASES["livepeer"], self.tenant, self.tenant.token)

    def _key(self, key_id: str, pem: str) -> TestKey:
        private = load_pem_private_key(b64decode(pem, validate=True), None)
        assert isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        algorithm = "RS256" if isinstance(private, rsa.RSAPrivateKey) else "ES256"
        account = self.tenant.account_id
        return TestKey(key_id, UUID(key_id), account, algorithm, "live", private)
