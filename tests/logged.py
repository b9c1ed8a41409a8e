"""The access log of a running Keyferry, as tests read it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


def line_of(log: Path, request_id: str) -> dict[str, Any]:
    """Return the one line of a request, which may be written a moment after its answer."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        found = lines_with(log, request_id)
        if found:
            [line] = found
            return line
        time.sleep(0.01)
    raise AssertionError(f"nothing is logged of {request_id}")


def lines_with(log: Path, text: str) -> list[dict[str, Any]]:
    """Return all whole lines in which `text` stands."""
    with log.open("rb") as lines:
        return [
            dict(json.loads(line))
            for line in lines
            if text.encode() in line and line.endswith(b"\n")
        ]
