"""How a connection ends: half-closed behind its last answer, and never kept open for good.

A connection closed while its client writes is reset, and the answer is lost with it. So what the
client still sends is ignored for a moment (RFC 9112 section 9.6), bounded in time and in bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.web.limits import LINGER, MAX_IGNORED, PATIENCE, UNREAD

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class EndingProtocol(HttpToolsProtocol):
    """A connection with one deadline at a time: of a head that is awaited, or of its end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ended = False  # we have said our last word
        self._hung_up = False  # the client has
        self._ignored = 0  # bytes that came too late
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None  # until when answers must be read

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._clear_deadline()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self.resume_writing()

    def pause_writing(self) -> None:
        """Wait for a client to read its answers, but not for ever."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(UNREAD, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it has read some."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _set_deadline(self, seconds: float, act: Callable[[], object]) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(seconds, act)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _half_close(self) -> None:
        """Say that we have said our last word, and listen for a moment longer."""
        self._ended = True
        self._unset_keepalive_if_required()
        if self._hung_up or not self.transport.can_write_eof():
            self._close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._set_deadline(LINGER, self._close)

    def _ignore(self, size: int) -> None:
        """Count what comes too late."""
        self._ignored += size
        if self._ignored > MAX_IGNORED:
            self._close()

    def _close(self) -> None:
        """Close as soon as everything has gone out, which must not take for ever."""
        self._clear_deadline()
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._set_deadline(PATIENCE, self.transport.abort)
