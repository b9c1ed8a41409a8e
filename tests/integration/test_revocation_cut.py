"""When the change feed or the whole database is cut off: never allowed past the bound.

Times are compared by when a question was sent, so that a slow answer proves nothing wrong.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.blackhole import Blackhole
from tests.fleet import ES256, STALENESS, Node, Watch, until
from tests.service import House, make_tenant, open_folder, serve

pytestmark = pytest.mark.alone

FEED = "FROM pg_stat_activity WHERE application_name = 'keyferry feed'"
WAIT = 1.8  # seconds for which a question to a database that is silent waits


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def house(folder: Path) -> Iterator[House]:
    with House(folder / "data") as house:
        yield house


@pytest.fixture(scope="module")
def node(house: House, folder: Path) -> Iterator[Node]:
    """A server whose feed the tests cut."""
    with serve(house, folder / "log", ES256) as (url, _), Node(url, make_tenant(house, url)) as one:
        yield one


@pytest.fixture(scope="module")
def other(house: House, folder: Path, node: Node) -> Iterator[Node]:
    """A server at which changes are made."""
    with serve(house, folder / "other", ES256) as (url, _), Node(url, node.tenant) as other:
        yield other


def feeds(house: House) -> list[int]:
    return [row["pid"] for row in house.run(house.database.fetch(f"SELECT pid {FEED}"))]


def postmaster(house: House) -> psutil.Process:
    lines = (house.folder / "postgres" / "postmaster.pid").read_text().splitlines()
    return psutil.Process(int(lines[0]))


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def reset(house: House) -> Iterator[None]:
    house.run(house.database.fetch(f"SELECT pg_terminate_backend(pid) {FEED}"))
    yield


CUTS: dict[str, Callable[[House], AbstractContextManager[None]]] = {
    "reset": reset,
    "frozen": lambda house: frozen(feeds(house)),
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_feed_is_noticed_within_the_bound(
    cut: str, house: House, node: Node, other: Node
) -> None:
    early, late, valid = (other.create() for _ in range(3))
    node.warm(early, late, valid)
    other.warm(early, late)
    with CUTS[cut](house):
        with Watch(node, early) as watch, Watch(node, valid) as player:
            time.sleep(0.1)
            deleted = other.delete(early)
            assert other.ask(early).reason == "key_deleted"  # its own feed is cut as well
            time.sleep(STALENESS + 0.1)
            node.ask(late)
            deleted_late = other.delete(late)
            with Watch(node, late) as late_watch:
                time.sleep(0.7)
        assert watch.last_allowed() < deleted + STALENESS
        assert {answer.reason for answer in watch.sent_after(deleted + STALENESS)} == {
            "key_deleted"
        }
        assert late_watch.last_allowed() < deleted_late + STALENESS
        assert all(answer.allowed for answer in player.answers)
        assert until(lambda: node.feed() == "live") < 5  # by itself, and still within the cut
    again = other.create()
    node.warm(again)
    other.delete(again)
    assert until(lambda: node.ask(again).reason == "key_deleted") < 1


def test_a_reset_does_not_wait_for_the_bound(house: House, node: Node, other: Node) -> None:
    key = other.create()
    node.warm(key)
    with Watch(node, key) as watch:
        time.sleep(0.1)
        with reset(house):
            deleted = other.delete(key)
        time.sleep(1.5)
    assert watch.last_allowed() < deleted + 1


def test_a_black_hole_between_feed_and_database(house: House, folder: Path, other: Node) -> None:
    with ExitStack() as stack:
        hole = stack.enter_context(Blackhole(house.dsn, folder / "hole"))
        settings = ES256 | {"KEYFERRY_LISTEN_URL": hole.dsn}
        url, _ = stack.enter_context(serve(house, folder / "behind", settings))
        node = stack.enter_context(Node(url, other.tenant))
        early, valid = other.create(), other.create()
        node.warm(early, valid)
        with Watch(node, early) as watch, Watch(node, valid) as player:
            hole.hold()
            deleted = other.delete(early)
            time.sleep(STALENESS + 0.5)
            for _ in range(10):  # the feed is not trusted: each question goes to the database
                late = other.create()
                assert node.ask(late).allowed
                other.delete(late)
                assert node.ask(late).reason == "key_deleted"
            assert node.feed() == "away"
            time.sleep(STALENESS)
            hole.release()
            assert until(lambda: node.feed() == "live") < 5
        assert watch.last_allowed() < deleted + STALENESS
        assert all(answer.allowed for answer in player.answers)
        other.delete(valid)
        assert until(lambda: node.ask(valid).reason == "key_deleted") < 1


def test_a_feed_that_hears_nothing_is_never_trusted(
    house: House, folder: Path, other: Node
) -> None:
    """As behind a pooler that shares sessions out: all is answered, and nothing is notified."""
    with ExitStack() as stack:
        hole = stack.enter_context(Blackhole(house.dsn, folder / "mute", mute=True))
        settings = ES256 | {"KEYFERRY_LISTEN_URL": hole.dsn}
        url, _ = stack.enter_context(serve(house, folder / "deaf", settings))
        node = stack.enter_context(Node(url, other.tenant))
        until(lambda: node.feed() == "deaf")
        for _ in range(10):
            key = other.create()
            assert node.ask(key).allowed
            other.delete(key)
            assert node.ask(key).reason == "key_deleted"
        assert "KEYFERRY_LISTEN_URL" in (folder / "deaf").read_text()


def test_a_frozen_database(house: House, node: Node, other: Node) -> None:
    key, deleted = other.create(), other.create()
    node.warm(key, deleted)
    server = postmaster(house)
    with Watch(node, key) as watch, Watch(node, deleted) as gone:
        time.sleep(0.2)
        other.delete(deleted)
        began = time.monotonic()
        with frozen([server.pid, *(child.pid for child in server.children())]):
            time.sleep(STALENESS + WAIT + 0.5)
            assert node.feed() == "away"
        back = time.monotonic()
        assert until(lambda: node.ask(key).allowed) < 5
        time.sleep(0.2)
    check_outage(watch, began, back)
    assert not any(answer.allowed for answer in gone.sent_after(began))


def test_a_stopped_database(tmp_path: Path) -> None:
    with open_folder() as folder, ExitStack() as stack:
        with House(folder / "data") as house:
            url, _ = stack.enter_context(serve(house, tmp_path / "log", ES256))
            node = stack.enter_context(Node(url, make_tenant(house, url)))
            key, deleted = node.create(), node.create()
            node.warm(key, deleted)
            watch = stack.enter_context(Watch(node, key))
            node.delete(deleted)
            time.sleep(0.2)
            began = time.monotonic()
        stopped = time.monotonic()
        time.sleep(STALENESS + 0.5)
        assert node.feed() == "away"
        assert node.ask(deleted).status == 503
        back = time.monotonic()
        with House(folder / "data"):
            assert until(lambda: node.ask(key).allowed) < 5
            assert node.ask(deleted).reason == "key_deleted"
            until(lambda: node.feed() == "live")
            watch.end()
            check_outage(watch, began, back, stopped)


def check_outage(watch: Watch, began: float, back: float, stopped: float | None = None) -> None:
    """Allowed until nearly the bound, 503 after it and nothing else, until the database is back."""
    early = [answer for answer in watch.answers if answer.sent < began + STALENESS / 2]
    assert all(answer.allowed for answer in early)
    during = watch.sent_after((stopped or began) + STALENESS)
    during = [answer for answer in during if answer.received < back]
    assert during
    assert {answer.status for answer in during} == {503}
    assert max(answer.received - answer.sent for answer in during) < WAIT + 0.5
