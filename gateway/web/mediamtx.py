"""`POST /accounts/{account_id}/mediamtx`: MediaMTX asks before it lets read or publish.

It opens for any 2xx, so there is one, 200, and what is refused for whatever reason is 401. Both
have an empty body. A question that cannot be read, or not be answered, is an error with a message,
which MediaMTX writes into its log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec

from gateway.accounts import Authenticator
from gateway.errors import Code, GatewayError
from gateway.model import Scope
from gateway.place import (
    AMBIGUOUS,
    KNOWN_PREFIXES,
    Prefixes,
    read_prefixes,
    read_stream,
)
from gateway.verdicts import Facts, Reason, Refused, Verdict
from gateway.web.client import Proxies, readable_address
from gateway.web.exchange import Reply, Request, Trace
from gateway.web.playback import token_in_query
from gateway.web.verify import VerifyDoor, edge_reply, read_json
from schemas.mediamtx import MediaMtxRequest

_decode = msgspec.json.Decoder(MediaMtxRequest).decode
_PLAYS = frozenset({"read", "playback"})


class MediaMtx:
    """Answers MediaMTX: playback tokens may read, and API tokens with the scope may publish."""

    def __init__(self, verify: VerifyDoor, authenticator: Authenticator, proxies: Proxies) -> None:
        self._verify = verify
        self._authenticator = authenticator
        self._proxies = proxies

    async def answer(
        self,
        account_id: UUID,
        request: Request,
        read_body: Callable[[], Awaitable[bytes]],
        trace: Trace,
    ) -> Reply:
        """Answer one question. Raises GatewayError for what is none, and when none can be given."""
        if request.method != "POST":
            raise GatewayError(Code.METHOD_UNKNOWN, "MediaMTX asks by POST")
        prefixes = _prefixes(request)
        asked = read_json(_decode, await read_body())
        trusted = self._proxies.trusts(request.peer)
        trace.address = readable_address(asked.ip) if trusted else None
        if asked.action not in _PLAYS:
            return await self._publish(account_id, asked)
        reply = edge_reply(await self._play(account_id, asked, prefixes, trace))
        if reply.status != 200:
            reply.status = 401
        return reply

    async def _play(
        self, account_id: UUID, asked: MediaMtxRequest, prefixes: Prefixes, trace: Trace
    ) -> Verdict:
        token = asked.token or asked.password or token_in_query(asked.query)
        if not token:
            return self._verify.note(Verdict(Reason.TOKEN_MISSING), trace)
        facts = _facts(asked.path, prefixes)._replace(address=trace.address)
        return await self._verify.judge(account_id, token, facts, trace)

    async def _publish(self, account_id: UUID, asked: MediaMtxRequest) -> Reply:
        """Answer whoever wants to publish, and refuse every other action."""
        try:
            if asked.action != "publish":
                raise GatewayError(Code.FORBIDDEN, "nobody may do that")
            if not asked.password:
                raise GatewayError(Code.CREDENTIALS_MISSING, "publishing needs an API token")
            principal = await self._authenticator.authenticate(asked.password)
            if principal.account_id != account_id or Scope.MEDIA_PUBLISH not in principal.scopes:
                raise GatewayError(Code.FORBIDDEN, "the token may not publish here")
        except GatewayError as error:
            if error.code is Code.UNAVAILABLE:
                raise
            return _told(401, error.code)
        return _told(200, Reason.ALLOWED)


def _facts(path: str, prefixes: Prefixes) -> Facts:
    """Return what plays: a stream is played under its own name, so that its id decides alone."""
    if not path:
        return Facts()
    try:
        subject = read_stream(path, prefixes)
    except Refused:
        return Facts(place=AMBIGUOUS)
    return Facts(subject=subject, download="downloads" in path.split("/"))


def _prefixes(request: Request) -> Prefixes:
    """Return the known prefixes and those in the query of the address that MediaMTX was given."""
    added = request.query().get("prefix", "")
    try:
        return read_prefixes(added) if added else KNOWN_PREFIXES
    except ValueError as error:
        raise GatewayError(Code.QUERY_INVALID, f"prefix cannot be read: {error}") from error


def _told(status: int, reason: Code | Reason) -> Reply:
    return Reply(status, headers=[(b"x-auth-reason", reason.encode())], reason=reason)
