"""Several processes of Keyferry seen from outside: keys, plays, and watchers that never sleep."""

from __future__ import annotations

import base64
import http.client
import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import jwt

from tests.service import Tenant

STALENESS = 2.0  # seconds, KEYFERRY_STALENESS's default
LIVEPEER = "/api/access-control/signing-key"
_IDLE = 3.0  # seconds
ES256 = {"KEYFERRY_LIVEPEER_ALGORITHM": "ES256", "KEYFERRY_LIVEPEER_QUOTA": "2000"}


@dataclass(frozen=True)
class Key:
    """A signing key and one token of it, good for an hour."""

    id: str
    account_id: str
    pem: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """What an edge was told. `sent` and `received` are of `time.monotonic`."""

    sent: float
    received: float
    status: int
    reason: str | None

    @property
    def allowed(self) -> bool:
        return self.status == 200


def mint(key_id: str, pem: str) -> str:
    """Sign a token for the video "video"."""
    payload = {"sub": "video", "exp": int(time.time()) + 3600, "jti": uuid4().hex}
    return jwt.encode(payload, pem, algorithm="ES256", headers={"kid": key_id})


class Node:
    """One server as one client sees it, on one connection that is kept open."""

    def __init__(self, url: str, tenant: Tenant, pid: int = 0) -> None:
        self.url = url
        self.tenant = tenant
        self.pid = pid
        self._http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=15)
        self._used = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def again(self) -> Node:
        """Return the same server on another connection."""
        return Node(self.url, self.tenant)

    def request(
        self, method: str, path: str, body: object = None, *, token: str | None = None
    ) -> tuple[int, Any]:
        """Ask as the tenant; return status and decoded body."""
        headers = {"Authorization": f"Bearer {token or self.tenant.token}"}
        content = None if body is None else json.dumps(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        response, answer = self._exchange(method, path, content, headers)
        return response.status, json.loads(answer) if answer else None

    def create(self) -> Key:
        """Create a key through the Livepeer door."""
        status, made = self.request("POST", LIVEPEER)
        assert status == 200
        key_id, pem = made["id"], base64.b64decode(made["privateKey"]).decode()
        return Key(key_id, self.tenant.account_id, pem, mint(key_id, pem))

    def delete(self, key: Key) -> float:
        """Delete a key and return when that was acknowledged."""
        status, answer = self.request("DELETE", f"{LIVEPEER}/{key.id}")
        acknowledged = time.monotonic()
        assert status == 204, answer
        return acknowledged

    def disable(self, key: Key, *, disabled: bool = True) -> float:
        """Disable or enable a key and return when that was acknowledged."""
        status, answer = self.request("PATCH", f"{LIVEPEER}/{key.id}", {"disabled": disabled})
        acknowledged = time.monotonic()
        assert status == 204, answer
        return acknowledged

    def ask(self, key: Key) -> Answer:
        """Ask as an edge does whether the key's token may play."""
        path = f"/accounts/{key.account_id}/verify"
        headers = {"X-Original-URI": f"/video/index.m3u8?token={key.token}"}
        sent = time.monotonic()
        response, _ = self._exchange("GET", path, None, headers)
        reason = response.headers.get("X-Auth-Reason")
        return Answer(sent, time.monotonic(), response.status, reason)

    def feed(self) -> str:
        """Return what the server says of its change feed."""
        return str(self.request("GET", "/readyz")[1]["feed"])

    def warm(self, *keys: Key) -> None:
        """Let the server know the keys and trust what it knows."""
        until(lambda: self.feed() == "live")
        for key in keys:
            assert self.ask(key).allowed

    def _exchange(
        self, method: str, path: str, content: str | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        if time.monotonic() > self._used + _IDLE:
            self._http.close()  # before the server does; it is opened again by itself
        self._http.request(method, path, content, headers)
        response = self._http.getresponse()
        answer = response.read()
        self._used = time.monotonic()
        return response, answer


class Watch:
    """Asks a node about one key all the time, on a connection and in a thread of its own."""

    def __init__(self, node: Node, key: Key, pause: float = 0.004) -> None:
        self.answers: list[Answer] = []
        self._node = node.again()
        self._key = key
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Stop asking."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._node as node:
            while not self._stop.wait(self._pause):
                self.answers.append(node.ask(self._key))

    def last_allowed(self) -> float:
        """Return when the last question was sent that was answered with yes."""
        return max((answer.sent for answer in self.answers if answer.allowed), default=-math.inf)

    def sent_after(self, moment: float) -> list[Answer]:
        """Return the answers to what was asked after a moment."""
        return [answer for answer in self.answers if answer.sent > moment]


def until(true: Callable[[], object], patience: float = 15, pause: float = 0.02) -> float:
    """Wait for something to become true and return for how long."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + patience, "it did not happen in time"
        time.sleep(pause)
    return time.monotonic() - began
