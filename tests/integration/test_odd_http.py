"""HTTP that is odd but allowed, broken off, or far too much of it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.bystander import Bystander, meet, refusal, unharmed
from tests.conformance.case import Case
from tests.conformance.cases import CASES
from tests.rawhttp import Wire, request
from tests.service import House, make_tenant, serve

LIVEPEER = CASES["livepeer"]
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def open_wire(bystander: Bystander) -> Wire:
    return Wire(bystander.visitor.tenant.url)


@cases
def test_http_1_0(bystander: Bystander, case: Case) -> None:
    path = bystander.path(case, "list_keys")
    with open_wire(bystander) as wire:
        wire.say(bystander.request("GET", path, version="1.0"))
        assert wire.answer().status == 200
        assert wire.ended()


@cases
def test_absolute_form(bystander: Bystander, case: Case) -> None:
    path = bystander.path(case, "list_keys")
    with open_wire(bystander) as wire:
        wire.say(bystander.request("GET", f"http://other.example{path}"))
        assert wire.answer().body == bystander.through(case.dialect).send("list_keys").content


@cases
def test_pipelined(bystander: Bystander, case: Case) -> None:
    """Answers come in order, and each in its own envelope."""
    path, wire_ids = bystander.path(case, "list_keys"), [f"X-Request-ID: {n}" for n in range(6)]
    with open_wire(bystander) as wire:
        wire.say(b"".join(bystander.request("GET", path, each) for each in wire_ids))
        assert [wire.answer().header("x-request-id") for _ in wire_ids] == list("012345")


@cases
@pytest.mark.parametrize("bad", [b"FROB {} HTTP/1.1\r\n\r\n", b"GET {} HTTP/1.1\r\nbad\r\n\r\n"])
def test_pipelined_behind_a_good_one(bystander: Bystander, case: Case, bad: bytes) -> None:
    """The good one is answered first, the bad one in its turn, and nothing behind it."""
    path = bystander.path(case, "list_keys")
    create = bystander.request("POST", bystander.path(case, "create_key"), "Content-Length: 0")
    good = bystander.request("GET", path)
    with open_wire(bystander) as wire:
        wire.say(good + good + bad.replace(b"{}", path.encode()) + create)
        assert [wire.answer().status for _ in range(2)] == [200, 200]
        assert 400 <= refusal(wire.answer(), case)[0] <= 405
        assert wire.ended()


@cases
def test_head_that_is_refused_unread(bystander: Bystander, case: Case) -> None:
    """It has no body either."""
    with open_wire(bystander) as wire:
        wire.say(bystander.request("HEAD", f"{bystander.path(case, 'list_keys')}?{70_000 * 'a'}"))
        answer = wire.answer("HEAD")
        assert (answer.status, int(answer.header("content-length") or 0) > 0) == (414, True)
        assert wire.ended()


OFFERS = {
    "h2c": ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"],
    "websocket": ["Connection: keep-alive, Upgrade", "Upgrade: websocket"],
}


@pytest.mark.parametrize("cut", [0, 1, 5])
@pytest.mark.parametrize("offer", OFFERS)
def test_offer_to_upgrade(met: Bystander, offer: str, cut: int) -> None:
    """It is ignored, and the body belongs to the request all the same (Java sends such ones)."""
    path, get = met.path(LIVEPEER, "update_key"), met.request("GET", met.path(LIVEPEER, "get_key"))
    names = [f"{offer} {cut} {number}" for number in range(3)]
    with open_wire(met) as wire:
        for name in names:
            body = json.dumps({"name": name}).encode()
            length = f"Content-Length: {len(body)}"
            head = met.request("PATCH", path, *OFFERS[offer], length) + body[:cut]
            wire.say(head, body[cut:] + get, pause=0.02)
            assert wire.answer("PATCH").status == 204
            assert json.loads(wire.answer().body)["name"] == name


def test_body_behind_an_offer_to_upgrade_is_no_request(bystander: Bystander) -> None:
    body = bystander.request("DELETE", bystander.path(LIVEPEER, "delete_key"))
    for case in CASES.values():
        create, length = bystander.path(case, "create_key"), f"Content-Length: {len(body)}"
        with open_wire(bystander) as wire:
            wire.say(bystander.request("POST", create, *OFFERS["h2c"], length), body, pause=0.02)
            assert refusal(wire.answer(), case)[0] == 400
            wire.say(bystander.request("GET", bystander.path(case, "list_keys")))
            assert wire.answer().status == 200


def test_expect_continue(met: Bystander) -> None:
    """A body is asked for only when it will be read."""
    path, expect = met.path(LIVEPEER, "update_key"), "Expect: 100-continue"
    with open_wire(met) as wire:
        wire.say(met.request("PATCH", path, expect, "Content-Length: 14"))
        assert wire.answer().status == 100
        wire.say(b'{"name":"new"}')
        assert wire.answer().status == 204
    for length, token, status in ((65_537, met.visitor.token, 413), (14, "nobody", 401)):
        headers = [f"Authorization: Bearer {token}", expect, f"Content-Length: {length}"]
        with open_wire(met) as wire:
            wire.say(request("PATCH", path, headers))
            assert wire.answer().status == status


@cases
@pytest.mark.parametrize("size", [70_000, 300_000, 3_000_000])
def test_large_body_is_answered_without_a_reset(
    bystander: Bystander, case: Case, size: int
) -> None:
    """Clients that write everything before they read still get the whole answer."""
    create = bystander.path(case, "create_key")
    for headers in ([f"Content-Length: {size}"], ["Transfer-Encoding: chunked"]):
        with open_wire(bystander) as wire:
            wire.socket.sendall(bystander.request("POST", create, *headers))
            wire.socket.sendall(b"%x\r\n" % size + b"x" * size)
            assert refusal(wire.answer(), case)[0] == 413


@cases
@pytest.mark.parametrize("part", range(5))
def test_broken_off(bystander: Bystander, case: Case, part: int) -> None:
    """A create whose client goes away before its end is no create."""
    whole = bystander.request(
        "POST", bystander.path(case, "create_key"), "Content-Length: 2", body=b"{}"
    )
    cut = [3, len(whole) // 2, len(whole) - 4, len(whole) - 2, len(whole) - 1][part]
    for pause in (0.0, 0.05):
        with open_wire(bystander) as wire:
            wire.say(whole[: cut - 1], whole[cut - 1 : cut], pause=pause)
            time.sleep(pause)
    time.sleep(0.1)


def test_change_broken_off(bystander: Bystander) -> None:
    """An empty part of a body is not taken for an empty body, nor a shorter one for all of it."""
    for length in (16, 17):
        with open_wire(bystander) as wire:
            path = bystander.path(LIVEPEER, "update_key")
            headers, body = f"Content-Length: {length}", b'{"name":"other"}'[: length - 1]
            wire.say(bystander.request("PATCH", path, headers, body=body))
    time.sleep(0.1)


def test_byte_by_byte(bystander: Bystander) -> None:
    for case in CASES.values():
        text = bystander.request("GET", bystander.path(case, "list_keys"))
        with open_wire(bystander) as wire:
            wire.say(*(text[at : at + 1] for at in range(len(text))), pause=0.0005)
            assert wire.answer().status == 200


ENDLESS = {
    "header": b"GET {} HTTP/1.1\r\nHost: x\r\nX: ",
    "header-name": b"GET {} HTTP/1.1\r\nHost: x\r\nX",
    "path": b"GET {}/",
    "query": b"GET {}?",
    "version": b"GET {} HTTP/1.1",
    "chunk": b"POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n",
    "body": b"POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n",
}


def test_endless(house: House, tmp_path: Path) -> None:
    """What never ends is refused early, in the right envelope, and takes no memory."""
    with (
        serve(house, tmp_path / "log") as (url, process),
        httpx2.Client(trust_env=False) as http,
    ):
        bystander, memory = meet(make_tenant(house, url), http), psutil.Process(process.pid)
        flood(bystander)
        before = memory.memory_info().rss
        with unharmed(bystander):
            for _ in range(3):
                flood(bystander)
        assert memory.memory_info().rss - before < 8 * 1024 * 1024


def flood(bystander: Bystander) -> None:
    """Send what never ends, 8 MiB of each kind, and read the answers."""
    for case in CASES.values():
        path = bystander.path(case, "create_key").encode()
        for begin in ENDLESS.values():
            with open_wire(bystander) as wire:
                wire.say(begin.replace(b"{}", path), *[b"a" * 65_536] * 128)
                assert refusal(wire.answer(), case)[0] in {400, 401, 413, 414, 431}
