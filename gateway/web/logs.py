"""Log lines: JSON for machines, plain for people in a terminal. No line holds a token or a key."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

import msgspec
import structlog

_REDACTED = "[redacted]"
_encode = msgspec.json.Encoder(enc_hook=lambda _value: _REDACTED).encode


def open_log(form: str = "auto", stream: BinaryIO | None = None) -> Any:
    """Return a structlog logger on `stream` (default: standard error).

    `form` is "json", "text", or "auto": text in a terminal, JSON elsewhere.
    """
    out = stream or sys.stderr.buffer
    processors: list[Any] = [_line]
    if form == "text" or (form == "auto" and out.isatty()):
        processors = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=out.isatty(),
                exception_formatter=structlog.dev.plain_traceback,  # rich's shows local variables
            ),
            _to_bytes,
        ]
    logger = structlog.BytesLogger(out)
    return structlog.wrap_logger(
        logger,
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )


def adopt_server_log(log: Any) -> None:
    """Send what the libraries have to say through `log`."""
    handler = _Forward(log)
    for name in ("uvicorn.error", "asyncio", "asyncpg"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING)


def describe(error: BaseException) -> dict[str, object]:
    """Return an exception as log fields: its type, text and frames, without any local variable."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": type(error).__name__,
        "text": str(error),
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


class _Forward(logging.Handler):
    def __init__(self, log: Any) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields = describe(record.exc_info[1]) if record.exc_info and record.exc_info[1] else {}
        self._log.warning("server", message=record.getMessage(), **fields)


def _line(_logger: object, method: str, event: MutableMapping[str, Any]) -> bytes:
    """Encode a log line; what is no plain value is redacted, whatever it may hold."""
    event["level"] = method
    event["timestamp"] = datetime.now(UTC).isoformat().removesuffix("+00:00") + "Z"
    return _encode(event)


def _to_bytes(_logger: object, _method: str, text: str) -> bytes:
    return text.encode()
