"""A change made on one process is known to all: keys, API tokens and accounts, over TCP."""

from __future__ import annotations

import base64
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psutil
import pytest

from gateway.crypto import generate
from gateway.model import Algorithm
from tests.bench import revocation
from tests.fleet import ES256, LIVEPEER, STALENESS, Key, Node, Watch, mint, until
from tests.service import House, make_tenant, open_folder, serve

PROMPT = 1.0  # seconds; far more than it takes, so that a busy machine proves nothing wrong


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with open_folder() as folder, House(folder / "data") as house:
        yield house


@pytest.fixture(scope="module")
def fleet(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """Two servers of one process and one of two processes, on one database."""
    logs = tmp_path_factory.mktemp("logs")
    with ExitStack() as stack:
        nodes: list[Node] = []
        for name, options in (("one", ()), ("two", ()), ("three", ("--workers", "2"))):
            url, process = stack.enter_context(serve(house, logs / name, ES256, options))
            tenant = nodes[0].tenant if nodes else make_tenant(house, url)
            nodes.append(stack.enter_context(Node(url, tenant, process.pid)))
        yield nodes


@pytest.fixture
def processes(fleet: list[Node]) -> Iterator[list[Node]]:
    """A connection to each process; the kernel deals out those of the third server."""
    with ExitStack() as stack:
        nodes = [*fleet[:2], *(stack.enter_context(fleet[2].again()) for _ in range(12))]
        yield nodes


def all_answer(nodes: list[Node], key: Key, reason: str) -> Callable[[], bool]:
    return lambda: all(node.ask(key).reason == reason for node in nodes)


def test_every_process_follows(processes: list[Node]) -> None:
    maker, changer = processes[:2]
    for _ in range(5):
        key = maker.create()
        for node in processes:
            node.warm(key)
        changer.disable(key)
        assert until(all_answer(processes, key, "key_disabled")) < PROMPT
        changer.disable(key, disabled=False)
        assert until(all_answer(processes, key, "allowed")) < PROMPT
        changer.delete(key)
        assert until(all_answer(processes, key, "key_deleted")) < PROMPT


def test_who_makes_a_change_knows_it_at_once(fleet: list[Node]) -> None:
    node = fleet[0]
    for _ in range(20):
        key = node.create()
        assert node.ask(key).reason == "allowed"
        node.disable(key)
        assert node.ask(key).reason == "key_disabled"
        node.disable(key, disabled=False)
        assert node.ask(key).reason == "allowed"
        node.delete(key)
        assert node.ask(key).reason == "key_deleted"


def test_a_new_key_is_known_at_once(processes: list[Node]) -> None:
    key = processes[0].create()
    assert [node.ask(key).reason for node in processes] == ["allowed"] * len(processes)


def test_a_key_asked_for_before_it_was_made_is_known_within_a_second(
    processes: list[Node], house: House
) -> None:
    """It is inserted by hand: nobody can know a key's id before its creation is answered."""
    account = processes[0].tenant.account_id
    pair = generate(Algorithm.ES256)
    key = Key(str(pair.id), account, "", mint(pair.id.hex, pair.pkcs8_pem.decode()))
    with ExitStack() as stack:
        watches = [stack.enter_context(Watch(node, key, 0.02)) for node in processes]
        until(lambda: all(len(watch.answers) > 2 for watch in watches))
        house.run(
            house.database.fetch(
                "INSERT INTO signing_keys"
                " (id, account_id, project_id, dialect, algorithm, spki, fingerprint)"
                " SELECT $1, id, default_project_id, 'test', 'ES256', $2, $3"
                " FROM accounts WHERE id = $4",
                pair.id,
                pair.spki,
                pair.fingerprint,
                UUID(account),
            )
        )
        made = time.monotonic()
        time.sleep(1.2)
    for watch in watches:
        assert watch.answers[0].reason == "key_unknown"
        late = watch.sent_after(made + 1.0)
        assert late
        assert all(answer.allowed for answer in late)


def test_a_node_that_slept_wakes_up_knowing_that_it_knows_nothing(
    house: House, fleet: list[Node], tmp_path: Path
) -> None:
    with serve(house, tmp_path / "log", ES256) as (url, process):
        with Node(url, fleet[0].tenant) as sleeper:
            key = fleet[0].create()
            sleeper.warm(key)
            os.kill(process.pid, signal.SIGSTOP)
            try:
                acknowledged = fleet[0].delete(key)
                time.sleep(STALENESS)
                threading.Timer(0.2, os.kill, (process.pid, signal.SIGCONT)).start()
                answer = sleeper.ask(key)  # lies in the socket when the process wakes up
            finally:
                os.kill(process.pid, signal.SIGCONT)
        assert answer.sent > acknowledged + STALENESS
        assert answer.reason == "key_deleted"


def test_a_flood_of_unknown_keys_reaches_the_database_in_batches(
    fleet: list[Node], house: House
) -> None:
    """2000 questions that no process has an answer to, by 50 connections to one process."""
    statements = (
        "SELECT sum(xact_commit + xact_rollback)::bigint AS count FROM pg_stat_database"
        " WHERE datname = current_database()"
    )

    def count() -> int:
        time.sleep(1.2)  # backends report what they have done once a second
        return int(house.run(house.database.fetchrow(statements))["count"])

    before = count()
    with ExitStack() as stack:
        address = urlsplit(fleet[0].url)
        place = (address.hostname, address.port)
        lines = [stack.enter_context(socket.create_connection(place)) for _ in range(50)]
        for line in lines:
            line.sendall(b"".join(unknown(fleet[0]) for _ in range(39)))
            line.sendall(unknown(fleet[0], b"Connection: close\r\n"))
        answers = b"".join(b"".join(iter(partial(line.recv, 65536), b"")) for line in lines)
    assert answers.count(b"key_unknown") == 2000
    assert count() - before < 400


def unknown(node: Node, header: bytes = b"") -> bytes:
    """Ask about a token that looks well, of a key that nobody has."""
    parts = [f'{{"alg":"ES256","kid":"{uuid4().hex}"}}', '{"sub":"video","exp":1}']
    texts = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
    path = f"/accounts/{node.tenant.account_id}/verify/video?token={'.'.join(texts)}.{'A' * 86}"
    return b"GET %s HTTP/1.1\r\nHost: keyferry\r\n%s\r\n" % (path.encode(), header)


async def test_the_bench_sees_every_worker(fleet: list[Node]) -> None:
    maker, _, pair = fleet
    workers = [worker.pid for worker in psutil.Process(pair.pid).children()]
    assert len(workers) == 2
    keys = [maker.create() for _ in range(10)]
    place = revocation.Fleet(maker.tenant, {maker.url: [maker.pid], pair.url: workers})
    samples, asked = await revocation.measure(place, keys, 2)
    assert len(samples) == 10
    assert asked > 10 * 3
    assert all(0 <= sample.sent <= sample.answered < PROMPT for sample in samples)


def test_a_revoked_api_token_is_refused_everywhere(house: House, processes: list[Node]) -> None:
    tenant = processes[0].tenant
    account_id = UUID(tenant.account_id)
    secret = tenant.make_token()
    token_id = house.run(house.accounts.find_token(secret)).id
    assert statuses(processes, secret) == {200}
    house.run(house.accounts.revoke_token(account_id, token_id))
    assert until(lambda: statuses(processes, secret) == {401}) < PROMPT


def test_a_suspended_account_is_refused_everywhere_and_its_tokens_play(
    house: House, processes: list[Node]
) -> None:
    tenant = processes[0].tenant
    account_id = UUID(tenant.account_id)
    key = processes[0].create()
    assert statuses(processes, tenant.token) == {200}
    try:
        house.run(house.accounts.suspend(account_id, suspended=True))
        assert until(lambda: statuses(processes, tenant.token) == {403}) < PROMPT
        assert all(node.ask(key).allowed for node in processes)
    finally:
        house.run(house.accounts.suspend(account_id, suspended=False))
    assert until(lambda: statuses(processes, tenant.token) == {200}) < PROMPT


def statuses(nodes: list[Node], secret: str) -> set[int]:
    """Ask everywhere for something that an API token is needed for."""
    return {node.request("GET", LIVEPEER, token=secret)[0] for node in nodes}
