"""What is told of every request, in the log and in the metrics, written for many at once.

A line of its own for each answer, as it goes out, costs more than reading the request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from gateway.web.exchange import Trace
from gateway.web.logs import Log, RequestLine
from gateway.web.metrics import Metrics
from gateway.web.redaction import ADDRESSES, shown_subject

_DELAY = 0.05  # seconds for which lines are gathered, and which a killed process loses


class Journal:
    """Keeps account of the requests of one process. Times are those of `time.perf_counter`.

    `requests` and `addresses` are the settings LOG_REQUESTS and LOG_ADDRESSES. Metrics count
    every request, whatever is logged.
    """

    def __init__(
        self, log: Log, metrics: Metrics, requests: str = "all", addresses: str = "full"
    ) -> None:
        self._log = log
        self._metrics = metrics
        self._requests = requests
        self._address = ADDRESSES[addresses]
        self._lines: list[RequestLine] = []

    def note(self, request_id: str, method: str, trace: Trace, status: int, started: float) -> None:
        """Take down a request that has just been answered."""
        seconds = time.perf_counter() - started
        self._metrics.answered(trace.door, trace.route, status, seconds)
        if self._requests == "none" or (self._requests == "refused" and _granted(trace, status)):
            return
        if not self._lines:
            asyncio.get_running_loop().call_later(_DELAY, self.flush)
        reason, kid, subject = _told(trace)
        self._lines.append(
            RequestLine(
                request_id,
                method,
                trace.door,
                trace.route,
                trace.account,
                status,
                round(seconds * 1000, 3),
                reason,
                kid,
                subject,
                self._address(trace.address),
                datetime.fromtimestamp(time.time(), UTC),
            )
        )

    def flush(self) -> None:
        """Write what has been taken down."""
        lines, self._lines = self._lines, []
        if lines:
            self._log.requests(lines)


@contextmanager
def open_journal(
    log: Log, metrics: Metrics, requests: str = "all", addresses: str = "full"
) -> Iterator[Journal]:
    """Open a `Journal`, and write the last of it when the block ends."""
    journal = Journal(log, metrics, requests, addresses)
    try:
        yield journal
    finally:
        journal.flush()


def _granted(trace: Trace, status: int) -> bool:
    refused = trace.verdict is not None and not trace.verdict.allowed
    return status < 400 and not refused


def _told(trace: Trace) -> tuple[str | None, str | None, str | None]:
    """Return reason, kid and subject. What failed for another reason tells that."""
    verdict = trace.verdict
    if verdict is None:
        return trace.refusal, None, None
    return (
        trace.refusal or verdict.reason,
        None if verdict.key is None else verdict.key.hex,
        None if verdict.subject is None else shown_subject(verdict.subject),
    )
