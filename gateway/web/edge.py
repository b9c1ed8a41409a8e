"""The doors for edges: may this token play, and which public keys are there.

| route | answer |
|---|---|
| any `/accounts/{account_id}/verify[/...]` | 200, 401, 403 or 503 with `X-Auth-*` headers |
| `POST /accounts/{account_id}/verify` with JSON | 200 and the whole verdict |
| `GET /accounts/{account_id}/jwks.json` | the account's live and enabled keys |
| `GET /keys/{kid}/jwks.json`, `GET /keys/{kid}.pem` | one key |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from uuid import UUID

from gateway.errors import Code, GatewayError
from gateway.web.exchange import Reply, Request, Trace
from gateway.web.jwks import PublishedKeys
from gateway.web.neutral import neutral_refusal
from gateway.web.verify import VerifyDoor, asks_for_verdict, edge_status

ReadBody = Callable[[], Awaitable[bytes]]


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

    def refuse(
        self,
        error: GatewayError,
        request: Request,  # noqa: ARG002  other doors look at it
        operation: str | None = None,  # noqa: ARG002
    ) -> Reply:
        """Return a refusal."""
        return neutral_refusal(error)

    @abstractmethod
    async def _answer(self, request: Request, read_body: ReadBody, trace: Trace) -> Reply:
        """Answer one request, or raise GatewayError."""


class AccountDoor(NeutralDoor):
    """Answers below `/accounts`."""

    def __init__(self, verify: VerifyDoor, keys: PublishedKeys) -> None:
        self._verify = verify
        self._keys = keys

    def refuse(self, error: GatewayError, request: Request, operation: str | None = None) -> Reply:
        """Return a refusal; an edge that asks gets one of the statuses it understands."""
        reply = super().refuse(error, request, operation)
        if request.path.split("/", 3)[2:3] == ["verify"] and not asks_for_verdict(request):
            reply.status = edge_status(reply.status)
        return reply

    async def _answer(self, request: Request, read_body: ReadBody, trace: Trace) -> Reply:
        account, _, below = request.path[1:].partition("/")
        name, slash, rest = below.partition("/")
        if name == "verify":
            trace.route = name
            account_id = parse_id(account)
            trace.account = account_id.hex
            return await self._verify.answer(account_id, slash + rest, request, read_body)
        if below == "jwks.json":
            trace.route = "jwks"
            return await self._keys.of_account(parse_id(account), request)
        raise GatewayError(Code.ROUTE_UNKNOWN, "there is no such route")


class KeyDoor(NeutralDoor):
    """Answers below `/keys`."""

    def __init__(self, keys: PublishedKeys) -> None:
        self._keys = keys

    async def _answer(self, request: Request, read_body: ReadBody, trace: Trace) -> Reply:  # noqa: ARG002
        name, _, below = request.path[1:].partition("/")
        if below == "jwks.json":
            trace.route = "key_jwks"
            return await self._keys.of_key(parse_id(name), request)
        if name.endswith(".pem") and not below:
            trace.route = "key_pem"
            return await self._keys.pem(parse_id(name.removesuffix(".pem")), request)
        raise GatewayError(Code.ROUTE_UNKNOWN, "there is no such route")


def parse_id(text: str) -> UUID:
    """Return an id in either spelling, 32 hexadecimal digits or with dashes."""
    digits = text.replace("-", "")
    if len(digits) == 32 and len(text) in {32, 36}:
        try:
            return UUID(text)
        except ValueError:
            pass
    raise GatewayError(Code.ROUTE_UNKNOWN, "this is not an id: 32 hexadecimal digits")
