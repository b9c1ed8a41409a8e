"""`/accounts/{account_id}/verify`: edges and programs ask whether a token may play."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar
from urllib.parse import quote
from uuid import UUID

import msgspec
from msgspec import UNSET

from gateway.errors import Code, GatewayError
from gateway.place import AMBIGUOUS, KNOWN_PREFIXES, Place, read_place, read_prefixes
from gateway.sightings import Sightings
from gateway.tokens import Unchecked, Verifier
from gateway.verdicts import ANY_SUBJECT, Facts, Reason, Refused, Verdict
from gateway.web.carry import Carry, carry_on, wanted
from gateway.web.client import Proxies, readable_address
from gateway.web.exchange import Deferred, Reply, Request, Trace
from gateway.web.metrics import Metrics
from gateway.web.neutral import neutral_refusal
from gateway.web.playback import Found, find_token, original_url, told_urls
from schemas.verify import VerifyAnswer, VerifyRequest

_Body = TypeVar("_Body")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(VerifyRequest).decode
_PREFIX_HEADER = b"x-keyferry-prefix"
_CARRY_HEADER = b"x-keyferry-carry"

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


class _Asked(NamedTuple):
    """What an edge asks: may this token play this?"""

    token: str
    facts: Facts
    carry: Carry | None


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
        clock: Callable[[], float],
    ) -> None:
        self._verifier = verifier
        self._plays = plays
        self._metrics = metrics
        self._proxies = proxies
        self._country_header = country_header
        self._clock = clock

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
        verdict = await self._verifier.verify(account_id, asked.token, asked.facts)
        return self._reply(verdict, trace, asked)

    def at_once(
        self, account_id: UUID, rest: str, request: Request, trace: Trace
    ) -> Reply | Deferred | None:
        """Answer an edge from memory, or return None when that takes more."""
        if asks_for_verdict(request, rest):
            return None
        asked = self._asked(request, rest, trace)
        if isinstance(asked, Verdict):
            return self._reply(asked, trace)
        found = self._verifier.verify_warm(account_id, asked.token, asked.facts)
        if isinstance(found, Unchecked):
            return Deferred(
                found.check, lambda genuine: self._reply(found.verdict(genuine), trace, asked)
            )
        return None if found is None else self._reply(found, trace, asked)

    def _asked(self, request: Request, rest: str, trace: Trace) -> _Asked | Verdict:
        """Return the token and the play that an edge asks about, or why there are none."""
        trace.address = address = request.viewer
        try:
            url = original_url(request, rest)
        except Refused as refusal:
            return Verdict(refusal.reason)
        place = self._place(request, url)
        found = find_token(request, url, place)
        if found is None:
            ambiguous = place is AMBIGUOUS  # a token in its path would not have been found
            return Verdict(Reason.PATH_AMBIGUOUS if ambiguous else Reason.TOKEN_MISSING)
        facts = Facts(
            place=place,
            address=address,
            country=self._country(request),
            download=place is not None and "downloads" in place.names,
        )
        return _Asked(found.token, facts, self._carry(request, url, found, place))

    async def judge(self, account_id: UUID, token: str, facts: Facts, trace: Trace) -> Verdict:
        """Judge a token for a play that is known from elsewhere than a URL."""
        return self.note(await self._verifier.verify(account_id, token, facts), trace)

    async def _explain(self, account_id: UUID, body: bytes, trace: Trace) -> Reply:
        asked = read_json(_decode, body)
        trace.address = None if asked.ip is UNSET else readable_address(asked.ip)
        facts = Facts(
            subject=ANY_SUBJECT if asked.subject is UNSET else asked.subject,
            address=None if asked.ip is UNSET else asked.ip,
            country=None if asked.country is UNSET else asked.country,
            download=asked.download,
        )
        return Reply(200, _encode(_shown(await self.judge(account_id, asked.token, facts, trace))))

    def _reply(self, verdict: Verdict, trace: Trace, asked: _Asked | None = None) -> Reply:
        self.note(verdict, trace)
        reply = edge_reply(verdict, None if asked is None else asked.facts.place)
        carry = None if asked is None else asked.carry
        if carry is not None and verdict.allowed and verdict.expires is not None:
            carry_on(reply, carry, int(verdict.expires - self._clock()))
        return reply

    def note(self, verdict: Verdict, trace: Trace) -> Verdict:
        """Let logs, metrics and the key's last use know of a verdict, and return it."""
        trace.verdict = verdict
        self._metrics.judged(verdict.reason)
        if verdict.allowed and verdict.key is not None:
            self._plays.note(verdict.key)
        return verdict

    def _place(self, request: Request, url: str) -> Place | None:
        """Return where the id stands in `url`, by the prefixes that a trusted proxy adds."""
        if not url:
            return None
        added = request.listed(_PREFIX_HEADER)
        if added is None or not self._proxies.trusts(request.peer):
            return read_place(url, KNOWN_PREFIXES)
        try:
            return read_place(url, read_prefixes(added))
        except ValueError:  # what the edge serves cannot be known
            return AMBIGUOUS

    def _carry(self, request: Request, url: str, found: Found, place: Place | None) -> Carry | None:
        """Return how the token is to be carried on, if a trusted proxy asks for that."""
        asked = request.listed(_CARRY_HEADER)
        if asked is None or not self._proxies.trusts(request.peer):
            return None
        return wanted(asked, request.method, url, found, place)

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
    if reply.status in {500, 503}:
        reply.status = 503
    elif reply.status != 401:
        reply.status = 403
    reply.headers.append((b"x-auth-reason", error.code.encode()))
    reply.body = b""
    return reply


def read_json(decode: Callable[[str], _Body], body: bytes) -> _Body:
    """Return what `decode` makes of a body. Raises GatewayError for what is no such JSON."""
    try:
        text = body.removeprefix(BOM_UTF8).decode()  # .NET puts a byte order mark before UTF-8
        try:
            return decode(text)
        except msgspec.ValidationError as error:
            msgspec.json.decode(text)  # what is not JSON at all is told first
            raise GatewayError(Code.BODY_INVALID, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GatewayError(Code.BODY_MALFORMED, "the body is not valid JSON") from error


def edge_reply(verdict: Verdict, place: Place | None = None) -> Reply:
    """Return a verdict as edges are told it, by a status and headers."""
    headers = [(b"x-auth-reason", verdict.reason.encode())]
    if verdict.key is not None:
        headers.append((b"x-auth-kid", verdict.key.hex.encode()))
    if verdict.subject is not None:
        quoted = quote(verdict.subject, safe="")
        headers.append((b"x-auth-sub", quoted.encode()))
        if place is not None and verdict.allowed:
            headers.append((b"x-auth-path", place.named_by(quoted).encode()))
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
