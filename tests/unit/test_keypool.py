"""The key pool: every key pair is handed out once, in turn, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from gateway import crypto
from gateway.crypto import KeyPair
from gateway.errors import Code, GatewayError
from gateway.keypool import MAX_WAITING, KeyPool, Prepare, Render
from gateway.model import Algorithm

ME = UUID(int=1)
RSA = Algorithm.RS256


def instantly(_algorithm: Algorithm) -> Render:
    """Make a cheap key pair: the arithmetic is not the point here."""
    return crypto.prepare(Algorithm.ES256)


class Kiln:
    """Makes key pairs only when told to."""

    def __init__(self) -> None:
        self.permits = threading.Semaphore(0)

    def __call__(self, algorithm: Algorithm) -> Render:
        self.permits.acquire()
        return instantly(algorithm)


@asynccontextmanager
async def open_pool(
    size: int = 4, threads: int = 2, prepare: Prepare = instantly
) -> AsyncIterator[KeyPool]:
    faults: list[Exception] = []
    pool = KeyPool(size=size, threads=threads, on_error=faults.append, prepare=prepare)
    pool.start()
    try:
        yield pool
    finally:
        if isinstance(prepare, Kiln):
            prepare.permits.release(1000)
        await pool.close()


async def until_ready(pool: KeyPool, ready: int) -> None:
    async with asyncio.timeout(20):
        while pool.ready < ready:
            await asyncio.sleep(0.005)


@asynccontextmanager
async def full_pool(size: int) -> AsyncIterator[KeyPool]:
    async with open_pool(size) as pool:
        await until_ready(pool, size)
        yield pool


async def test_no_key_pair_is_handed_out_twice() -> None:
    async with open_pool(size=8) as pool:
        takes = [pool.take(RSA, uuid4(), 10) for _ in range(300)]
        pairs = await asyncio.gather(*takes)
    assert len({pair.id for pair in pairs}) == len({pair.spki for pair in pairs}) == 300


async def test_real_rsa_keys_come_out() -> None:
    async with open_pool(size=1, prepare=crypto.prepare) as pool:
        pair = await pool.take(RSA, ME, 20)
    assert pair.algorithm is RSA
    assert pair.traditional_pem.startswith(b"-----BEGIN RSA PRIVATE KEY-----\n")


async def test_an_ec_key_does_not_wait_for_the_stock() -> None:
    async with open_pool(prepare=Kiln()) as pool:
        pair = await pool.take(Algorithm.ES256, ME, 0)
    assert pair.algorithm is Algorithm.ES256


async def test_the_stock_fills_and_stays_at_its_size() -> None:
    async with full_pool(5) as pool:
        await pool.take(RSA, ME, 1)
        await until_ready(pool, 5)
        await asyncio.sleep(0.05)
        assert (pool.ready, pool.generated, pool.waits) == (5, 6, 0)


async def test_in_a_rush_nothing_is_made_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.keypool._MOMENT", 1.0)
    async with full_pool(100) as pool:
        for _ in range(41):
            await pool.take(RSA, ME, 0)
        await asyncio.sleep(0.3)
        assert pool.generated <= 100 + 2, "no more than was under way"
        await until_ready(pool, 100)


async def test_who_waits_in_a_rush_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.keypool._MOMENT", 30.0)
    async with full_pool(60) as pool:
        pairs = await asyncio.gather(*(pool.take(RSA, uuid4(), 10) for _ in range(200)))
        assert len({pair.id for pair in pairs}) == 200


async def test_few_takes_are_made_good_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.keypool._MOMENT", 30.0)
    async with full_pool(60) as pool:
        for _ in range(40):
            await pool.take(RSA, ME, 0)
        await until_ready(pool, 60)


async def test_a_dry_pool_refuses_in_time_and_says_when_to_come_again() -> None:
    async with open_pool(prepare=Kiln()) as pool:
        began = time.monotonic()
        with pytest.raises(GatewayError) as refusal:
            await pool.take(RSA, ME, 0.1)
        assert 0.1 <= time.monotonic() - began < 5
    assert refusal.value.code is Code.POOL_EMPTY
    assert refusal.value.retry_after == 1


async def test_accounts_take_turns_and_each_waits_in_order() -> None:
    kiln = Kiln()
    served: list[str] = []

    async def create(pool: KeyPool, who: UUID, name: str) -> None:
        await pool.take(RSA, who, 10)
        served.append(name)

    async with open_pool(size=1, threads=1, prepare=kiln) as pool, asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(create(pool, ME, f"noisy {number}"))
        await asyncio.sleep(0.01)
        group.create_task(create(pool, UUID(int=2), "quiet"))
        for expected in range(1, 5):
            await asyncio.sleep(0.01)
            kiln.permits.release()
            async with asyncio.timeout(5):
                while len(served) < expected:
                    await asyncio.sleep(0.002)
    assert served == ["noisy 0", "quiet", "noisy 1", "noisy 2"]


async def test_one_account_can_have_only_so_many_waiting() -> None:
    kiln = Kiln()
    async with open_pool(size=1, prepare=kiln) as pool:
        takes = [asyncio.create_task(pool.take(RSA, ME, 20)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0.01)
        with pytest.raises(GatewayError) as refusal:
            await pool.take(RSA, ME, 20)
        assert refusal.value.code is Code.RATE_LIMITED
        kiln.permits.release(MAX_WAITING + 10)
        assert len({pair.id for pair in await asyncio.gather(*takes)}) == MAX_WAITING


async def test_who_gives_up_waiting_costs_nobody_a_turn() -> None:
    kiln = Kiln()
    async with open_pool(size=1, threads=1, prepare=kiln) as pool:
        impatient = asyncio.create_task(pool.take(RSA, ME, 20))
        await asyncio.sleep(0.01)
        patient = asyncio.create_task(pool.take(RSA, ME, 20))
        await asyncio.sleep(0.01)
        impatient.cancel()
        kiln.permits.release()
        assert isinstance(await asyncio.wait_for(patient, 5), KeyPair)


async def test_overload_leaves_no_backlog_of_orders() -> None:
    kiln = Kiln()
    async with open_pool(size=2, threads=1, prepare=kiln) as pool:
        for _ in range(5):
            takes = [pool.take(RSA, ME, 0.01) for _ in range(MAX_WAITING)]
            results = await asyncio.gather(*takes, return_exceptions=True)
            assert all(isinstance(result, GatewayError) for result in results)
        kiln.permits.release(10_000)
        await asyncio.sleep(0.5)
        assert (pool.ready, pool.generated) == (2, 2)


async def test_a_failing_generation_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.keypool._PAUSE", 0.01)
    faults: list[Exception] = []
    failures = iter([True, True])

    def fail_twice(algorithm: Algorithm) -> Render:
        if next(failures, False):
            raise RuntimeError("no entropy")
        return instantly(algorithm)

    pool = KeyPool(size=2, threads=1, on_error=faults.append, prepare=fail_twice)
    pool.start()
    try:
        await until_ready(pool, 2)
    finally:
        await pool.close()
    assert [str(fault) for fault in faults] == ["no entropy"] * 2


async def test_a_failing_rendering_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.keypool._PAUSE", 0.01)
    faults: list[Exception] = []
    failures = iter([True, True])

    def prepare(algorithm: Algorithm) -> Render:
        render = instantly(algorithm)

        def fail_twice() -> KeyPair:
            if next(failures, False):
                raise MemoryError
            return render()

        return fail_twice

    pool = KeyPool(size=2, threads=1, on_error=faults.append, prepare=prepare)
    pool.start()
    try:
        await until_ready(pool, 2)
    finally:
        await pool.close()
    assert len(faults) == 2


async def test_a_closed_pool_refuses_at_once_and_can_be_started_again() -> None:
    pool = KeyPool(size=2, threads=1, on_error=lambda _: None, prepare=instantly)
    for _ in range(2):
        pool.start()
        await until_ready(pool, 2)
        await pool.close()
        async with asyncio.timeout(5):
            with pytest.raises(GatewayError):
                await pool.take(RSA, ME, 60)


async def test_closing_ends_every_thread_and_everybody_who_waits() -> None:
    kiln = Kiln()
    pool = KeyPool(size=3, threads=3, on_error=lambda _: None, prepare=kiln)
    pool.start()
    threads = list(pool._running)
    waiting = [asyncio.create_task(pool.take(RSA, ME, 60)) for _ in range(9)]
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0.01)
    kiln.permits.release(3)  # the three under way
    await asyncio.wait_for(closing, 10)
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert all(isinstance(result, GatewayError) for result in results)
    assert not any(thread.is_alive() for thread in threads)
    assert pool.ready == 0


async def test_threads_run_at_the_lowest_priority() -> None:
    async with open_pool(size=1, threads=2) as pool:
        await until_ready(pool, 1)
        for thread in pool._running:
            stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_text()
            assert int(stat.rpartition(")")[2].split()[16]) == 19


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
async def test_a_forked_child_has_no_key_pair_of_its_parent() -> None:
    async with open_pool(size=3) as pool:
        await until_ready(pool, 3)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, bytes([pool.ready]))
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read, 1) == b"\0"
        os.close(read)
        os.close(write)
        assert pool.ready == 3


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_forked_amid_the_filling_fills_a_stock_of_its_own() -> None:
    kiln = Kiln()
    pool = KeyPool(size=1, threads=1, on_error=lambda _: None, prepare=kiln)

    async def fill() -> bytes:
        pool.start()
        kiln.permits.release()
        await until_ready(pool, 1)
        pair = await pool.take(RSA, ME, 0)
        kiln.permits.release()
        await pool.close()
        return pair.id.bytes

    with asyncio.Runner() as runner:

        async def begin() -> None:
            pool.start()

        runner.run(begin())
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, asyncio.run(fill()))
            os._exit(0)
        kiln.permits.release()
        runner.run(pool.close())
        assert os.waitpid(child, 0)[1] == 0
        assert len(os.read(read, 16)) == 16
        os.close(read)
        os.close(write)


def test_a_key_pair_shows_nothing_of_its_private_half() -> None:
    pair = crypto.generate(RSA)
    shown = f"{pair} {pair!r} {partial(print, pair)!r}"
    assert all(number not in shown for _, number in pair.jwk)
    assert "PRIVATE" not in shown
