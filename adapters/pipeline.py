"""The steps that no dialect may forget: route, caps, credentials, scope, decode, operate, encode.

A `Door` is one dialect put to work. Whatever goes wrong inside it, an unexpected exception
included, leaves in the dialect's own envelope.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote
from uuid import UUID

from adapters.dialect import Call, Dialect, OpenCall, OpenOperation, Operation, Services
from gateway.accounts import Authenticator
from gateway.errors import Code, GatewayError
from gateway.model import Caller, Principal
from gateway.web.exchange import Reply, Request, Trace

ReadBody = Callable[[], Awaitable[bytes]]
Report = Callable[[Exception], None]
_TEXT = ":text"  # ends the name of a segment that is no id


@dataclass(frozen=True, slots=True)
class _Route:
    segments: tuple[str | None, ...]  # None: anything
    names: tuple[str, ...]  # of what stands there, in order
    operations: dict[str, Operation | OpenOperation]  # by method


class Door:
    """A dialect with the core behind it."""

    def __init__(self, dialect: Dialect, services: Services, authenticator: Authenticator) -> None:
        self.dialect = dialect
        self._services = services
        self._authenticator = authenticator
        self._routes = _routes(dialect)
        self._open = {
            (operation.method, operation.path): operation
            for operation in dialect.operations
            if isinstance(operation, OpenOperation)
        }

    def at_once(self, request: Request, body: bytes, trace: Trace) -> Reply | None:
        """Answer from memory alone what an open operation can, else return None."""
        path = self.dialect.routed(request.path)
        operation = self._open.get((request.method, path))
        if operation is None:
            return None
        trace.route = operation.name
        return operation.at_once(OpenCall(self._services, request, operation.decode(body)))

    async def answer(
        self, request: Request, read_body: ReadBody, trace: Trace, report: Report
    ) -> Reply:
        """Answer one request. `report` is told of exceptions that are nobody's refusal."""
        try:
            return await self._answer(request, read_body, trace)
        except GatewayError as error:
            return self.refuse(error, request, trace.route)
        except Exception as error:  # noqa: BLE001  the last line of defence
            report(error)
            return self.refuse(internal_error(), request, trace.route)

    def refuse(self, error: GatewayError, request: Request, operation: str | None = None) -> Reply:
        """Return the refusal as this dialect shows it, with the headers that HTTP asks for.

        Those are Retry-After for what passes by itself (RFC 9110 section 10.2.3) and, with a 405,
        Allow (section 15.5.6).
        """
        reply = self.dialect.render_error(error, request, operation)
        reply.reason = error.code
        if error.retry_after is not None:
            reply.headers.append((b"retry-after", b"%d" % error.retry_after))
        if reply.status == 405:
            route, _ = self._find(request)
            allowed = sorted(route.operations) if route is not None else []
            reply.headers.append((b"allow", ", ".join(allowed).encode()))
        return reply

    async def _answer(self, request: Request, read_body: ReadBody, trace: Trace) -> Reply:
        operation, texts = self._route(request)
        trace.route = operation.name
        if isinstance(operation, OpenOperation):
            body = operation.decode(await read_body())
            return await operation.handle(OpenCall(self._services, request, body))
        ids = self._ids(texts)
        principal = await self._authenticate(request)
        trace.account = principal.account_id.hex
        fault = self.dialect.query_fault(request)
        if fault is not None:
            raise fault
        _authorise(principal, operation, ids)
        known = {name: key_id for name, key_id in ids.items() if key_id is not None}
        if len(known) < len(ids):
            raise GatewayError(Code.KEY_UNKNOWN, "not found")
        body = operation.decode(await read_body()) if operation.decode is not None else None
        caller = Caller(principal, self.dialect.name, request.request_id, request.address)
        return await operation.handle(Call(self._services, request, caller, known, texts, body))

    def _route(self, request: Request) -> tuple[Operation | OpenOperation, dict[str, str]]:
        route, texts = self._find(request)
        if route is None:
            raise _route_unknown()
        operation = route.operations.get(request.method)
        if operation is None:
            raise GatewayError(Code.METHOD_UNKNOWN, "the route does not take this method")
        return operation, dict(zip(route.names, map(unquote, texts), strict=True))

    def _find(self, request: Request) -> tuple[_Route | None, list[str]]:
        """Return the route of a path and what stands at its open places."""
        segments = self.dialect.routed(request.path).split("/")[1:]
        for route in self._routes:
            texts = _match(route.segments, segments)
            if texts is not None:
                return route, texts
        return None, []

    def _ids(self, texts: dict[str, str]) -> dict[str, UUID | None]:
        """Parse what stands for ids; raises GatewayError(ROUTE_UNKNOWN) for a bad account id."""
        ids = {
            name: self.dialect.parse_id(text)
            for name, text in texts.items()
            if not name.endswith(_TEXT)
        }
        if "account_id" in ids and ids["account_id"] is None:
            raise _route_unknown()
        return ids

    async def _authenticate(self, request: Request) -> Principal:
        refusal = GatewayError(Code.TOKEN_INVALID, "the API token is not valid")
        for credential in self.dialect.credentials(request):
            try:
                principal = await self._authenticator.authenticate(credential.token)
            except GatewayError as error:
                if error.code is Code.UNAVAILABLE:
                    raise
                refusal = error
            else:
                if credential.fits(principal):
                    return principal
        raise refusal


def _route_unknown() -> GatewayError:
    return GatewayError(Code.ROUTE_UNKNOWN, "there is no such route")


def internal_error() -> GatewayError:
    """Return what is shown of a fault of ours: nothing."""
    return GatewayError(Code.INTERNAL, "Internal server error")


def _routes(dialect: Dialect) -> list[_Route]:
    routes: dict[str, _Route] = {}
    for operation in dialect.operations:
        parts = operation.path.split("/")[1:]
        names = tuple(part[1:-1] for part in parts if part.startswith("{"))
        segments = tuple(None if part.startswith("{") else part for part in parts)
        route = routes.setdefault(operation.path, _Route(segments, names, {}))
        route.operations[operation.method] = operation
    return list(routes.values())


def _match(pattern: tuple[str | None, ...], segments: list[str]) -> list[str] | None:
    """Return the segments at the open places, or None when the path is another one."""
    if len(pattern) != len(segments):
        return None
    texts = []
    for expected, segment in zip(pattern, segments, strict=True):
        if expected is None:
            texts.append(segment)
        elif expected != segment:
            return None
    return texts


def _authorise(principal: Principal, operation: Operation, ids: dict[str, UUID | None]) -> None:
    if ids.get("account_id", principal.account_id) != principal.account_id:
        raise GatewayError(Code.FORBIDDEN, "the token belongs to another account")
    if operation.scopes and operation.scopes.isdisjoint(principal.scopes):
        raise GatewayError(Code.FORBIDDEN, "the token lacks the permission")
