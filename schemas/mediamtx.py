"""The wire of MediaMTX's question (its `authMethod: http`)."""

from __future__ import annotations

from msgspec import Struct


class MediaMtxRequest(Struct, frozen=True):
    """Body of POST /accounts/{account_id}/mediamtx, as every release sends it.

    Members that later releases added have a default, and what the next one adds is ignored: an
    upgrade of the media server must not stop all plays.
    """

    user: str
    password: str
    ip: str
    action: str
    path: str  # of the stream, percent-decoded
    protocol: str
    id: str | None  # of the session
    query: str  # of the viewer's URL
    token: str = ""
