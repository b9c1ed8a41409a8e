"""The front of the house: gives every request an id and a cap, sends it to its door, logs it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from random import getrandbits
from time import perf_counter
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import Code, GatewayError
from gateway.web import limits
from gateway.web.client import Proxies
from gateway.web.exchange import Deferred, Headers, Reply, Request, Trace
from gateway.web.journal import Journal
from gateway.web.logs import Log, describe
from gateway.web.neutral import neutral_refusal

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")  # of an absolute-form target
_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,255}")
_METHOD_SHOWN = 15  # characters of an unknown method in a log line; an API token has at least 16
_NO_STORE = (b"cache-control", b"no-store")
_CLOSE = (b"connection", b"close")
Answer = tuple[int, Headers, bytes]
"""Status, headers and body, as they go on the wire."""

_LAST_RESORT: Answer = (500, [(b"content-length", b"0"), _NO_STORE, _CLOSE], b"")


class Door(Protocol):
    """What answers below one prefix; the dialects' is `adapters.pipeline.Door`."""

    async def answer(
        self,
        request: Request,
        read_body: Callable[[], Awaitable[bytes]],
        trace: Trace,
        report: Callable[[Exception], None],
    ) -> Reply:
        """Answer one request; never raises."""

    def at_once(self, request: Request, body: bytes, trace: Trace) -> Reply | Deferred | None:
        """Answer from memory alone, or return None: then `answer` is asked."""

    def refuse(self, error: GatewayError, request: Request, operation: str | None = None) -> Reply:
        """Return a refusal in this door's envelope."""


class Visit:
    """A request on its way through a door; `fault` is what is wrong with its head."""

    __slots__ = ("door", "fault", "request", "started", "trace")

    def __init__(
        self, door: Door, request: Request, trace: Trace, fault: GatewayError | None
    ) -> None:
        self.door = door
        self.request = request
        self.trace = trace
        self.fault = fault
        self.started = perf_counter()


class Front:
    """The ASGI application. `doors` maps a prefix to its door; `rest` answers everything else."""

    def __init__(
        self,
        doors: Mapping[str, tuple[str, Door]],
        rest: ASGIApp,
        log: Log,
        *,
        journal: Journal,
        proxies: Proxies,
        public_url: str | None = None,
    ) -> None:
        self._doors = doors
        self._rest = rest
        self._log = log
        self._journal = journal
        self._proxies = proxies
        self._public_url = public_url
        self._due: list[tuple[Visit, Deferred, Callable[[Answer], object]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request by ASGI 3, as any server can; ours asks the methods below."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        visit = self.visit(scope)
        if visit is None:
            await self._serve_rest(scope, receive, send)
            return
        status, headers, body = await self.answer(visit, lambda: limits.read_body(receive))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def visit(self, scope: Scope) -> Visit | None:
        """Return a request to one of the doors; None is for everything else: call me."""
        path = scope["raw_path"].decode("latin-1")
        prefix, door = self._door(path)
        if door is None:
            return None
        peer = scope["client"][0] if scope["client"] else None
        address, told = self._proxies.last_hop(peer, scope["headers"])
        request = Request(
            scope["method"],
            path[len(prefix) :],
            scope["query_string"],
            scope["headers"],
            _request_id(scope),
            peer,
            address,
            lambda: self._base_url(scope) + prefix,
            address if told else None,
        )
        return Visit(door[1], request, Trace(door[0], address=address), _fault(scope))

    def at_once(self, visit: Visit, body: bytes, send: Callable[[Answer], object]) -> bool:
        """Answer a request that needs no waiting, or return False: then `answer` is asked.

        `send` is called behind all requests that have arrived: who waits for many answers is
        woken once for all of them, and that is most of what sending one costs.
        """
        if visit.fault is not None:
            return False
        try:
            reply = visit.door.at_once(visit.request, body, visit.trace)
        except Exception:  # noqa: BLE001  it will happen again where it is answered and reported
            return False
        if isinstance(reply, Deferred):
            if not self._due:
                asyncio.get_running_loop().call_soon(self._send_due)
            self._due.append((visit, reply, send))
        elif reply is not None:
            asyncio.get_running_loop().call_soon(send, self._answered(visit, reply))
        return reply is not None

    async def answer(self, visit: Visit, read_body: Callable[[], Awaitable[bytes]]) -> Answer:
        """Answer a request, reading its body when its time has come. Never raises."""
        request, trace = visit.request, visit.trace
        if visit.fault is not None:
            reply = visit.door.refuse(visit.fault, request)
            reply.headers.append(_CLOSE)
        else:
            report = self._reporter(request.request_id)
            reply = await visit.door.answer(request, read_body, trace, report)
        return self._answered(visit, reply)

    def refuse(
        self, method: str, target: str, code: Code, message: str, peer: str | None = None
    ) -> Answer:
        """Answer something that is not HTTP enough to be served."""
        authority = _AUTHORITY.match(target)
        path = target[authority.end() if authority else 0 :].partition("?")[0]
        prefix, door = self._door(path)
        request = Request(method, path[len(prefix) :], b"", (), _new_id(), None, None, str)
        error = GatewayError(code, message)
        reply = neutral_refusal(error) if door is None else door[1].refuse(error, request)
        headers = [*_headers(reply, request.request_id), _CLOSE]
        address = self._proxies.client(peer, ())
        trace = Trace(door[0] if door is not None else None, address=address, refusal=code)
        started = perf_counter()
        self._journal.note(request.request_id, method[:_METHOD_SHOWN], trace, reply.status, started)
        return reply.status, headers, b"" if method == "HEAD" else reply.body

    def _send_due(self) -> None:
        """Answer what has arrived and takes some work: the same step for all, then the next."""
        due, self._due = self._due, []
        results = [_attempt(deferred.work) for _, deferred, _ in due]
        answers = [
            _attempt(self._worked_out, visit, deferred, result)
            for (visit, deferred, _), result in zip(due, results, strict=True)
        ]
        for (_, _, send), answer in zip(due, answers, strict=True):
            send(_LAST_RESORT if isinstance(answer, Exception) else answer)

    def _worked_out(self, visit: Visit, deferred: Deferred, result: Any) -> Answer:
        failed = isinstance(result, Exception)
        reply = result if failed else _attempt(deferred.reply, result)
        if isinstance(reply, Exception):
            self._reporter(visit.request.request_id)(reply)
            reply = visit.door.refuse(_internal(), visit.request)
        return self._answered(visit, reply)

    def _answered(self, visit: Visit, reply: Reply) -> Answer:
        request, trace = visit.request, visit.trace
        trace.refusal = reply.reason
        self._journal.note(request.request_id, request.method, trace, reply.status, visit.started)
        return reply.status, _headers(reply, request.request_id), reply.body

    async def _serve_rest(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, started, request_id = 0, perf_counter(), _request_id(scope)
        peer = scope["client"][0] if scope["client"] else None
        trace = Trace(address=self._proxies.client(peer, scope["headers"]))

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                id_header = (b"x-request-id", request_id.encode())
                message["headers"] = [*message["headers"], id_header]
                trace.refusal = scope.get("state", {}).get("refusal")
            await send(message)

        fault = _fault(scope)
        try:
            if fault is not None:
                raise fault
            await self._rest(scope, receive, send_with_id)
        except Exception as error:  # noqa: BLE001  the last line of defence
            if not isinstance(error, GatewayError):
                self._reporter(request_id)(error)
                error = _internal()
            if status == 0:
                reply = neutral_refusal(error)
                reply.headers += [] if fault is None else [_CLOSE]
                status, headers = reply.status, _headers(reply, request_id)
                trace.refusal = reply.reason
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": reply.body})
        self._journal.note(request_id, scope["method"], trace, status, started)

    def _door(self, path: str) -> tuple[str, tuple[str, Door] | None]:
        for prefix, door in self._doors.items():
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in {"", "/"}:
                return prefix, door
        return "", None

    def _base_url(self, scope: Scope) -> str:
        if self._public_url is not None:
            return self._public_url
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if not _HOST.fullmatch(host):
            host = _server(scope).encode()
        return f"{scope['scheme']}://{host.decode()}"

    def _reporter(self, request_id: str) -> Callable[[Exception], None]:
        def report(error: Exception) -> None:
            self._log.error("fault", request_id=request_id, **describe(error))

        return report


def _attempt(call: Callable[..., Any], *args: Any) -> Any:
    """Return what `call` returns, or the exception that it raises: the last line of defence."""
    try:
        return call(*args)
    except Exception as error:  # noqa: BLE001
        return error


def _internal() -> GatewayError:
    return GatewayError(Code.INTERNAL, "Internal server error")


def _headers(reply: Reply, request_id: str) -> Headers:
    headers = [(b"x-request-id", request_id.encode()), *reply.headers]
    if reply.status not in {204, 304}:
        if reply.body:
            headers.append((b"content-type", reply.content_type))
        headers.append((b"content-length", b"%d" % len(reply.body)))
    if not any(name == b"cache-control" for name, _ in reply.headers):
        headers.append(_NO_STORE)
    if reply.status == 413 and _CLOSE not in headers:
        headers.append(_CLOSE)
    return headers


def _fault(scope: Scope) -> GatewayError | None:
    """Return what is wrong with a head, before anything else is looked at."""
    if scope["http_version"] != "1.1" and not _is_http_1_0(scope):
        return GatewayError(Code.HEADER_INVALID, "this is not a valid HTTP/1.1 request")
    target = len(scope["raw_path"]) + len(scope["query_string"])
    try:
        limits.check_head(target, scope["headers"])
    except GatewayError as error:
        return error
    return limits.malformed_body() if "malformed" in scope else None


def _is_http_1_0(scope: Scope) -> bool:
    """Whether it is, and not 0.9 or 2.0, which the parser lets pass; 1.0 knows no chunks."""
    names = (name for name, _ in scope["headers"])
    return scope["http_version"] == "1.0" and b"transfer-encoding" not in names


def _server(scope: Scope) -> str:
    """Return the address that was connected to; that of a Unix socket is no host's."""
    host, port = scope["server"] or ("", None)
    if port is None:
        return "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return _new_id()


def _new_id() -> str:
    return f"{getrandbits(128):032x}"
