"""Which requests a journal tells of, how it shows addresses, and what it counts all the same."""

from __future__ import annotations

import time
from io import BytesIO
from uuid import UUID

import pytest

from gateway.verdicts import Reason, Verdict
from gateway.web.exchange import Trace
from gateway.web.journal import open_journal
from gateway.web.logs import Log
from gateway.web.metrics import Metrics

KEY = UUID(int=7)
GRANTED, REFUSED = Verdict(Reason.ALLOWED, KEY, "a"), Verdict(Reason.EXPIRED, KEY, "a")

# A verdict, a status, and whether something was refused.
REQUESTS = [
    (None, 200, False),
    (None, 204, False),
    (None, 304, False),
    (None, 404, True),
    (None, 503, True),
    (GRANTED, 200, False),
    (GRANTED, 302, False),
    (GRANTED, 500, True),
    (REFUSED, 401, True),
    (REFUSED, 200, True),  # a program's question
]


class Counted(Metrics):
    """Metrics of a registry of its own, whose requests can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses: list[int] = []

    def answered(self, door: str | None, route: str | None, status: int, seconds: float) -> None:
        self.statuses.append(status)
        super().answered(door, route, status, seconds)


@pytest.mark.parametrize("requests", ["all", "refused", "none"])
async def test_it_tells_of_the_requests_that_are_asked_for(requests: str) -> None:
    out, metrics = BytesIO(), Counted()
    with open_journal(Log(out, pretty=False), metrics, requests) as journal:
        for number, (verdict, status, _) in enumerate(REQUESTS):
            trace = Trace("neutral", verdict=verdict)
            journal.note(f"request-{number}", "GET", trace, status, time.perf_counter())
    wanted = {
        number
        for number, (_, _, refused) in enumerate(REQUESTS)
        if requests == "all" or (requests == "refused" and refused)
    }
    text = out.getvalue().decode()
    assert {number for number in range(len(REQUESTS)) if f'"request-{number}"' in text} == wanted
    assert metrics.statuses == [status for _, status, _ in REQUESTS]


# An address, and what is shown of it when it is truncated.
TRUNCATED = {
    "203.0.113.9": "203.0.113.0",
    "10.255.255.255": "10.255.255.0",
    "2001:db8:1:2:3::9": "2001:db8:1::",
    "fe80::1%eth0": "fe80::",
    "::ffff:203.0.113.9": "203.0.113.0",
    "::1": "::",
    "testclient": None,
}


@pytest.mark.parametrize("addresses", ["full", "truncated", "none"])
@pytest.mark.parametrize("pretty", [True, False])
async def test_it_shows_addresses_as_far_as_is_asked_for(addresses: str, pretty: bool) -> None:
    out = BytesIO()
    log = Log(out, pretty=pretty)
    for address, network in TRUNCATED.items():
        out.seek(0)
        out.truncate()
        with open_journal(log, Metrics(), "all", addresses) as journal:
            trace = Trace("neutral", address=address)
            journal.note("id", "GET", trace, 200, time.perf_counter())
        text = out.getvalue().decode()
        shown = {"full": address, "truncated": network, "none": None}[addresses]
        json = "null" if shown is None else f'"{shown}"'
        expected = f'"address":{json},' if not pretty else f"address={shown}"
        assert (expected in text) is not (pretty and shown is None)


async def test_it_shows_people_no_member_that_is_not_known() -> None:
    out = BytesIO()
    with open_journal(Log(out, pretty=True), Metrics()) as journal:
        trace = Trace("neutral", "verify", verdict=Verdict(Reason.EXPIRED, KEY, "a\x1b[2Jb"))
        journal.note("id", "GET", trace, 401, time.perf_counter())
    text = out.getvalue().decode()
    assert "reason=expired" in text
    assert f"kid={KEY.hex}" in text
    assert "subject=a\ufffd[2Jb" in text
    assert "None" not in text
    assert "\x1b" not in text
