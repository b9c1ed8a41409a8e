"""Log lines: JSON for machines, plain for people in a terminal. No line holds a token or a key."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from datetime import UTC, datetime
from select import PIPE_BUF
from typing import Any, BinaryIO

import msgspec
import structlog

_REDACTED = "[redacted]"
_encoder = msgspec.json.Encoder(enc_hook=lambda _value: _REDACTED)


class RequestLine(msgspec.Struct, frozen=True, gc=False):
    """What is logged of a request. `ms` is the time from its turn to its answer.

    `reason` is a verdict's, or the code of an error. `kid` names a key of the account, and
    `subject` was signed by it.
    """

    request_id: str
    method: str
    dialect: str | None
    route: str | None
    account: str | None
    status: int
    ms: float
    reason: str | None
    kid: str | None
    subject: str | None
    address: str | None
    timestamp: datetime
    event: str = "request"
    level: str = "info"


class Log:
    """Writes to `out`, in lines of JSON or, when `pretty`, as people like to read."""

    def __init__(self, out: BinaryIO, *, pretty: bool) -> None:
        self._pretty = pretty
        self._out = structlog.BytesLogger(out)
        log = structlog.wrap_logger(
            self._out,
            processors=_pretty(out) if pretty else [_line],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            cache_logger_on_first_use=True,
        )
        self.info, self.warning, self.error = log.info, log.warning, log.error

    def requests(self, lines: Sequence[RequestLine]) -> None:
        """Write the lines of many requests at once, which costs a tenth of one by one."""
        if not self._pretty:
            for piece in _pieces(map(_encoder.encode, lines)):
                self._out.msg(piece)
            return
        for line in lines:
            fields = msgspec.structs.asdict(line).items()
            self.info(**{name: value for name, value in fields if value is not None})


def open_log(form: str = "auto", stream: BinaryIO | None = None) -> Log:
    """Return a log on `stream` (default: standard error).

    `form` is "json", "text", or "auto": text in a terminal, JSON elsewhere.
    """
    out = stream or sys.stderr.buffer
    return Log(out, pretty=form == "text" or (form == "auto" and out.isatty()))


def adopt_server_log(log: Log) -> None:
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
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields = describe(record.exc_info[1]) if record.exc_info and record.exc_info[1] else {}
        self._log.warning("server", message=record.getMessage(), **fields)


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Join lines as far as a pipe takes them without mixing in those of other workers."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) + 2 > PIPE_BUF:
            yield piece
            piece = b""
        piece = piece + b"\n" + line if piece else line
    if piece:
        yield piece


def _line(_logger: object, method: str, event: MutableMapping[str, Any]) -> bytes:
    """Encode a log line; what is no plain value is redacted, whatever it may hold."""
    event["level"] = method
    event["timestamp"] = _shown(datetime.now(UTC))
    return _encoder.encode(event)


def _pretty(out: BinaryIO) -> list[Any]:
    return [
        structlog.processors.add_log_level,
        _timestamp,
        structlog.dev.ConsoleRenderer(
            colors=out.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # rich's shows local variables
        ),
        _to_bytes,
    ]


def _timestamp(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    event["timestamp"] = _shown(event.get("timestamp") or datetime.now(UTC))
    return event


def _shown(moment: datetime) -> str:
    return moment.isoformat().removesuffix("+00:00") + "Z"


def _to_bytes(_logger: object, _method: str, text: str) -> bytes:
    return text.encode()
