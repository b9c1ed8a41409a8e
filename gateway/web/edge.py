"""The doors for edges: may this token play, and which public keys are there.

| route | answer |
|---|---|
| any `/accounts/{account_id}/verify[/...]` | 200, 401, 403 or 503 with `X-Auth-*` headers |
| `POST /accounts/{account_id}/verify` with JSON, no URL said | 200 and the whole verdict |
| `POST /accounts/{account_id}/mediamtx` | 200 or 401, as MediaMTX asks |
| `GET /accounts/{account_id}/jwks.json` | the account's live and enabled keys |
| `GET /accounts/{account_id}/projects/{project_id}/jwks.json` | those of one project |
| `GET /keys/{kid}/jwks.json`, `GET /keys/{kid}.pem` | one key |
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from uuid import UUID

from gateway.errors import Code, GatewayError
from gateway.model import read_id
from gateway.web.exchange import Deferred, Reply, Request, Trace
from gateway.web.jwks import METHODS, PublishedKeys
from gateway.web.mediamtx import MediaMtx
from gateway.web.neutral import neutral_refusal
from gateway.web.verify import VerifyDoor, asks_for_verdict, refuse_edge

ReadBody = Callable[[], Awaitable[bytes]]
_PROJECT_JWKS = re.compile(r"projects/([^/]*)/jwks\.json")
_VERIFY = re.compile(r"/([^/]*)/verify(?:(/.*))?", re.DOTALL)


class NeutralDoor(ABC):
    """A door in the neutral envelope."""

    async def answer(
        self,
        request: Request,
        read_body: ReadBody,
        trace: Trace,
        report: Callable[[Exception], None],
    ) -> Reply:
        """Answer one request; never raises. `report` is told of what is nobody's refusal."""
        try:
            return await self._answer(request, read_body, trace)
        except GatewayError as error:
            return self.refuse(error, request)
        except Exception as error:  # noqa: BLE001  the last line of defence
            report(error)
            return self.refuse(GatewayError(Code.INTERNAL, "Internal server error"), request)

    def at_once(
        self,
        request: Request,  # noqa: ARG002
        body: bytes,  # noqa: ARG002
        trace: Trace,  # noqa: ARG002
    ) -> Reply | Deferred | None:
        """Answer from memory alone, if that can be done here."""
        return None

    def refuse(
        self,
        error: GatewayError,
        request: Request,
        operation: str | None = None,  # noqa: ARG002
    ) -> Reply:
        """Return a refusal."""
        reply = neutral_refusal(error)
        if reply.status == 405:
            allowed = ["POST"] if request.path.endswith("/mediamtx") else METHODS
            reply.headers.append((b"allow", ", ".join(allowed).encode()))
        return reply

    @abstractmethod
    async def _answer(self, request: Request, read_body: ReadBody, trace: Trace) -> Reply:
        """Answer one request, or raise GatewayError."""


class AccountDoor(NeutralDoor):
    """Answers below `/accounts`."""

    def __init__(self, verify: VerifyDoor, mediamtx: MediaMtx, keys: PublishedKeys) -> None:
        self._verify = verify
        self._mediamtx = mediamtx
        self._keys = keys

    def refuse(self, error: GatewayError, request: Request, operation: str | None = None) -> Reply:
        """Return a refusal; an edge that asks gets one of the statuses it understands.

        What has no method is no question, but garbage behind one.
        """
        question = _VERIFY.fullmatch(request.path)
        garbage = not request.method
        if question is None or garbage or asks_for_verdict(request, question[2] or ""):
            return super().refuse(error, request, operation)
        return refuse_edge(error)

    def at_once(
        self,
        request: Request,
        body: bytes,  # noqa: ARG002
        trace: Trace,
    ) -> Reply | Deferred | None:
        """Answer an edge whose viewer's key is in memory."""
        question = _VERIFY.fullmatch(request.path)
        account_id = None if question is None else read_id(question[1])
        if question is None or account_id is None:
            return None
        trace.route, trace.account = "verify", account_id.hex
        return self._verify.at_once(account_id, question[2] or "", request, trace)

    async def _answer(self, request: Request, read_body: ReadBody, trace: Trace) -> Reply:
        question = _VERIFY.fullmatch(request.path)
        if question is not None:
            trace.route = "verify"
            account_id = parse_id(question[1])
            trace.account = account_id.hex
            below = question[2] or ""
            return await self._verify.answer(account_id, below, request, read_body, trace)
        account, _, below = request.path[1:].partition("/")
        if below == "mediamtx":
            trace.route = "mediamtx"
            account_id = parse_id(account)
            trace.account = account_id.hex
            return await self._mediamtx.answer(account_id, request, read_body, trace)
        if below == "jwks.json":
            trace.route = "jwks"
            return await self._keys.of_account(parse_id(account), request)
        project = _PROJECT_JWKS.fullmatch(below)
        if project is not None:
            trace.route = "project_jwks"
            account_id, project_id = parse_id(account), parse_id(project[1])
            return await self._keys.of_project(account_id, project_id, request)
        raise GatewayError(Code.ROUTE_UNKNOWN, "there is no such route")


class KeyDoor(NeutralDoor):
    """Answers below `/keys`."""

    def __init__(self, keys: PublishedKeys) -> None:
        self._keys = keys

    async def _answer(self, request: Request, read_body: ReadBody, trace: Trace) -> Reply:  # noqa: ARG002
        name, slash, below = request.path[1:].partition("/")
        if below == "jwks.json":
            trace.route = "key_jwks"
            return await self._keys.of_key(parse_id(name), request)
        if name.endswith(".pem") and not slash:
            trace.route = "key_pem"
            return await self._keys.pem(parse_id(name.removesuffix(".pem")), request)
        raise GatewayError(Code.ROUTE_UNKNOWN, "there is no such route")


def parse_id(text: str) -> UUID:
    """Return an id in either spelling. Raises GatewayError(ROUTE_UNKNOWN)."""
    found = read_id(text)
    if found is None:
        raise GatewayError(Code.ROUTE_UNKNOWN, "this is not an id: 32 hexadecimal digits")
    return found
