"""`/accounts/{account_id}/verify`: edges and programs ask whether a token may play."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote
from uuid import UUID

import msgspec
from msgspec import UNSET

from gateway.errors import Code, GatewayError
from gateway.sightings import Sightings
from gateway.tokens import Unchecked, Verifier
from gateway.verdicts import ANY_SUBJECT, Facts, Reason, Refused, Verdict
from gateway.web.client import Proxies, readable_address
from gateway.web.exchange import Deferred, Reply, Request, Trace
from gateway.web.metrics import Metrics
from gateway.web.neutral import neutral_refusal
from gateway.web.playback import find_token, original_url, play_facts, told_urls
from schemas.verify import VerifyAnswer, VerifyRequest

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(VerifyRequest).decode
_TOKEN_MISSING = Verdict(Reason.TOKEN_MISSING)

# What a genuine token is refused for is 403; what makes it no token of ours is 401.
_FORBIDDEN = frozenset(
    {
        Reason.KEY_DISABLED,
        Reason.KEY_DELETED,
        Reason.ACTION_REFUSED,
        Reason.LIFETIME_TOO_LONG,
        Reason.NOTHING_PLAYED,
        Reason.PATH_AMBIGUOUS,
        Reason.SUBJECT_MISMATCH,
        Reason.DOWNLOAD_REFUSED,
        Reason.ADDRESS_UNKNOWN,
        Reason.COUNTRY_UNKNOWN,
        Reason.BLOCKED_ADDRESS,
        Reason.BLOCKED_COUNTRY,
        Reason.BLOCKED,
    }
)


class VerifyDoor:
    """Answers edges by status and headers, and programs by a whole verdict.

    Answers to edges have no body: nginx and Caddy do not read it, and have to open a new
    connection for the next question because of that.
    """

    def __init__(
        self,
        verifier: Verifier,
        plays: Sightings,
        metrics: Metrics,
        proxies: Proxies,
        country_header: bytes | None,
    ) -> None:
        self._verifier = verifier
        self._plays = plays
        self._metrics = metrics
        self._proxies = proxies
        self._country_header = country_header

    async def answer(
        self,
        account_id: UUID,
        rest: str,
        request: Request,
        read_body: Callable[[], Awaitable[bytes]],
        trace: Trace,
    ) -> Reply:
        """Answer one question. Raises GatewayError(UNAVAILABLE), which fails closed as 503."""
        if asks_for_verdict(request, rest):
            return await self._explain(account_id, await read_body(), trace)
        asked = self._asked(request, rest, trace)
        if isinstance(asked, Verdict):
            return self._reply(asked, trace)
        return self._reply(await self._verifier.verify(account_id, *asked), trace)

    def at_once(
        self, account_id: UUID, rest: str, request: Request, trace: Trace
    ) -> Reply | Deferred | None:
        """Answer an edge from memory, or return None when that takes more."""
        if asks_for_verdict(request, rest):
            return None
        asked = self._asked(request, rest, trace)
        if isinstance(asked, Verdict):
            return self._reply(asked, trace)
        found = self._verifier.verify_warm(account_id, *asked)
        if isinstance(found, Unchecked):
            return Deferred(found.check, lambda genuine: self._reply(found.verdict(genuine), trace))
        return None if found is None else self._reply(found, trace)

    def _asked(self, request: Request, rest: str, trace: Trace) -> tuple[str, Facts] | Verdict:
        """Return the token and the play that an edge asks about, or why there are none."""
        trace.address = address = self._proxies.viewer(request.peer, request.headers)
        try:
            url = original_url(request, rest)
        except Refused as refusal:
            return Verdict(refusal.reason)
        token = find_token(request, url)
        if token is None:
            return _TOKEN_MISSING
        return token, play_facts(url, address, self._country(request))

    async def _explain(self, account_id: UUID, body: bytes, trace: Trace) -> Reply:
        asked = _read_question(body)
        trace.address = None if asked.ip is UNSET else readable_address(asked.ip)
        facts = Facts(
            subject=ANY_SUBJECT if asked.subject is UNSET else asked.subject,
            address=None if asked.ip is UNSET else asked.ip,
            country=None if asked.country is UNSET else asked.country,
            download=asked.download,
        )
        verdict = await self._verifier.verify(account_id, asked.token, facts)
        self._note(verdict, trace)
        return Reply(200, _encode(_shown(verdict)))

    def _reply(self, verdict: Verdict, trace: Trace) -> Reply:
        self._note(verdict, trace)
        return _edge_reply(verdict)

    def _note(self, verdict: Verdict, trace: Trace) -> None:
        trace.verdict = verdict
        self._metrics.judged(verdict.reason)
        if verdict.allowed and verdict.key is not None:
            self._plays.note(verdict.key)

    def _country(self, request: Request) -> str | None:
        """Believe the country header of a trusted proxy, which is who speaks to us."""
        if self._country_header is None or not self._proxies.trusts(request.peer):
            return None
        return request.header(self._country_header)


def asks_for_verdict(request: Request, rest: str) -> bool:
    """Whether a program asks, by POST, and not an edge about a viewer's POST of some URL."""
    return request.method == "POST" and not rest and not told_urls(request)


def refuse_edge(error: GatewayError) -> Reply:
    """Return a refusal that is no verdict, in one of the statuses that every edge understands."""
    reply = neutral_refusal(error)
    if reply.status >= 500:
        reply.status = 503
    elif reply.status != 401:
        reply.status = 403
    reply.headers.append((b"x-auth-reason", error.code.encode()))
    reply.body = b""
    return reply


def _read_question(body: bytes) -> VerifyRequest:
    try:
        text = body.decode()
        try:
            return _decode(text)
        except msgspec.ValidationError as error:
            msgspec.json.decode(text)  # what is not JSON at all is told first
            raise GatewayError(Code.BODY_INVALID, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GatewayError(Code.BODY_MALFORMED, "the body is not valid JSON") from error


def _edge_reply(verdict: Verdict) -> Reply:
    headers = [(b"x-auth-reason", verdict.reason.encode())]
    if verdict.key is not None:
        headers.append((b"x-auth-kid", verdict.key.hex.encode()))
    if verdict.subject is not None:
        headers.append((b"x-auth-sub", quote(verdict.subject, safe="").encode()))
    if verdict.expires is not None:
        headers.append((b"x-auth-exp", b"%d" % verdict.expires))
    return Reply(_status(verdict), headers=headers)


def _status(verdict: Verdict) -> int:
    if verdict.allowed:
        return 200
    return 403 if verdict.reason in _FORBIDDEN else 401


def _shown(verdict: Verdict) -> VerifyAnswer:
    return VerifyAnswer(
        allowed=verdict.allowed,
        reason=verdict.reason,
        message=verdict.message,
        kid=UNSET if verdict.key is None else verdict.key.hex,
        subject=UNSET if verdict.subject is None else verdict.subject,
        expires=UNSET if verdict.expires is None else int(verdict.expires),
    )
