"""Key pairs made ahead of demand: on background threads, at the lowest priority, used once.

An RSA key pair takes tens of milliseconds of pure arithmetic, which OpenSSL does without the
interpreter lock. Rendering its encodings needs that lock, and is done on the event loop: a thread
of low priority that waits for a core while it holds the lock would stop everybody. An EC key pair
takes a twentieth of a millisecond and is made when it is asked for.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from uuid import UUID

from gateway import crypto
from gateway.crypto import KeyPair
from gateway.errors import Code, GatewayError
from gateway.model import Algorithm

MAX_WAITING = 64  # creates of one account that wait at once
_STOCKED = Algorithm.RS256
_LOWEST_PRIORITY = 19
_PAUSE = 1.0  # seconds after a failed generation
_MOMENT = 0.1  # seconds over which takes are counted
_RUSH = 20  # takes in a moment, per thread: ten times what it makes meanwhile

Render = Callable[[], KeyPair]
Prepare = Callable[[Algorithm], Render]
_Orders = SimpleQueue[Algorithm | None]  # None: stop


class KeyPool:
    """A stock of RSA key pairs, each handed out once and never taken back.

    Each thread has one order as long as the stock lacks any, and two while creates wait, so that
    it need not wait for the next; however many creates wait, one that gives up leaves no more than
    that behind. In a rush, when creates come ten times as fast as key pairs can be made, the stock
    serves them and nothing is made: that would slow them down and hardly lengthen it.
    Belongs to one event loop, the one that calls `start`.
    """

    def __init__(
        self,
        *,
        size: int,
        threads: int,
        on_error: Callable[[Exception], None],
        prepare: Prepare = crypto.prepare,
    ) -> None:
        self.size = size
        self.generated = 0  # key pairs made since the start
        self.waits = 0  # creates that found the stock empty
        self.waited = 0.0  # seconds that they waited in all
        self._threads = threads
        self._on_error = on_error
        self._prepare = prepare
        self._stock: deque[KeyPair] = deque()
        self._queues: OrderedDict[UUID, deque[asyncio.Future[KeyPair]]] = OrderedDict()
        self._orders: _Orders = SimpleQueue()
        self._ordered = 0  # key pairs ordered and not yet delivered
        self._taken = 0  # out of the stock, in this moment
        self._rush = False
        self._moment: asyncio.TimerHandle | None = None  # runs while there is something to count
        self._running: list[threading.Thread] = []
        self._stopping = threading.Event()
        _forget_in_child(self)

    @property
    def ready(self) -> int:
        """How many key pairs are in stock."""
        return len(self._stock)

    @property
    def waiting(self) -> int:
        """How many creates wait for a key pair now."""
        return sum(map(len, self._queues.values()))

    @property
    def is_full(self) -> bool:
        """Whether there is nothing to make."""
        return len(self._stock) >= self.size

    def start(self) -> None:
        """Begin to fill the stock: once, after a `close`, or in a forked child."""
        loop = asyncio.get_running_loop()
        shared = (loop, self._orders, self._stopping)
        self._running = [
            threading.Thread(target=self._work, args=shared, name=f"keypool-{number}", daemon=True)
            for number in range(self._threads)
        ]
        for thread in self._running:
            thread.start()
        self._order()

    async def close(self) -> None:
        """Stop the threads, wait for the key pairs under way, and drop everything.

        Creates that still wait get GatewayError(POOL_EMPTY).
        """
        running, queues = self._running, list(self._queues.values())
        self._stopping.set()
        for _ in running:
            self._orders.put(None)
        self._forget()
        for queue in queues:
            for waiter in queue:
                if not waiter.done():
                    waiter.set_exception(_empty())
        for thread in running:
            if thread.ident is not None:  # else it could not be started
                await asyncio.to_thread(thread.join)

    async def take(self, algorithm: Algorithm, who: UUID, patience: float) -> KeyPair:
        """Hand out a key pair, waiting up to `patience` seconds when the stock is empty.

        Whoever waits is served in turn, account by account (`who`), so that one that asks for too
        many delays itself. Raises GatewayError: POOL_EMPTY after `patience`, RATE_LIMITED when
        the account has `MAX_WAITING` creates waiting already.
        """
        if algorithm is not _STOCKED:
            return crypto.generate(algorithm)
        if not self._stock:
            return await self._wait(who, patience)
        pair = self._stock.popleft()
        self._count()
        self._order()
        return pair

    def _count(self) -> None:
        self._taken += 1
        self._rush = self._rush or self._taken > _RUSH * self._threads
        if self._moment is None:
            self._moment = asyncio.get_running_loop().call_later(_MOMENT, self._end_moment)

    def _end_moment(self) -> None:
        self._rush = self._taken > _RUSH * self._threads
        self._taken = 0
        self._moment = None
        if self._rush:
            self._moment = asyncio.get_running_loop().call_later(_MOMENT, self._end_moment)
        self._order()

    def _order(self) -> None:
        """Order what is lacking, as far as the threads have nothing to do."""
        if self._rush and not self._queues:
            return
        each, wanted = (2, max(self.size, 2 * self._threads)) if self._queues else (1, self.size)
        lacking = min(wanted - len(self._stock), each * self._threads) - self._ordered
        for _ in range(lacking):
            self._ordered += 1
            self._orders.put(_STOCKED)

    async def _wait(self, who: UUID, patience: float) -> KeyPair:
        if not self._running:
            raise _empty()
        queue = self._queues.setdefault(who, deque())
        if len(queue) >= MAX_WAITING:
            message = "too many creates of this account are waiting for a key pair"
            raise GatewayError(Code.RATE_LIMITED, message, retry_after=1)
        waiter: asyncio.Future[KeyPair] = asyncio.get_running_loop().create_future()
        queue.append(waiter)
        self._order()
        began = time.monotonic()
        try:
            async with asyncio.timeout(patience):
                return await waiter
        except TimeoutError:
            raise _empty() from None
        finally:
            self.waits += 1
            self.waited += time.monotonic() - began
            self._leave(who, queue, waiter)

    def _leave(
        self, who: UUID, queue: deque[asyncio.Future[KeyPair]], waiter: asyncio.Future[KeyPair]
    ) -> None:
        with suppress(ValueError):  # served: taken out already
            queue.remove(waiter)
        if not queue and self._queues.get(who) is queue:
            del self._queues[who]

    def _deliver(self, orders: _Orders, render: Render) -> None:
        """Take in what a thread made, and order the next. On the loop."""
        if orders is not self._orders:  # made before a close or a fork
            return
        self._ordered -= 1
        try:
            pair = render()
        except Exception as error:  # noqa: BLE001  the stock must be filled all the same
            self._on_error(error)
            asyncio.get_running_loop().call_later(_PAUSE, self._order)
            return
        self.generated += 1
        self._hand_over(pair)
        self._order()

    def _hand_over(self, pair: KeyPair) -> None:
        """Give a new key pair to whoever's turn it is, else put it into stock."""
        while self._queues:
            who, queue = self._queues.popitem(last=False)
            waiter = queue.popleft()
            if queue:
                self._queues[who] = queue  # behind the others
            if not waiter.done():
                waiter.set_result(pair)
                return
        self._stock.append(pair)

    def _work(
        self, loop: asyncio.AbstractEventLoop, orders: _Orders, stopping: threading.Event
    ) -> None:
        """Run on each thread: carry out orders until told to stop."""
        with suppress(AttributeError, OSError):  # where threads have no priority of their own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
        with suppress(RuntimeError):  # the loop has closed
            while (algorithm := orders.get()) is not None and not stopping.is_set():
                try:
                    render = self._prepare(algorithm)
                except Exception as error:  # noqa: BLE001  the thread must live on
                    # On the loop, where a fault of the callback itself ends no thread either.
                    loop.call_soon_threadsafe(self._on_error, error)
                    orders.put(algorithm)
                    stopping.wait(_PAUSE)
                else:
                    loop.call_soon_threadsafe(self._deliver, orders, render)

    def _forget(self) -> None:
        self._stock.clear()
        self._queues.clear()
        self._running = []
        self._orders = SimpleQueue()
        self._ordered = self._taken = 0
        self._rush = False
        if self._moment is not None:
            self._moment.cancel()
            self._moment = None
        self._stopping = threading.Event()


def _empty() -> GatewayError:
    return GatewayError(Code.POOL_EMPTY, "no key pair is ready; try again", retry_after=1)


def _forget_in_child(pool: KeyPool) -> None:
    """After a fork the child owns no key pair: each belongs to the process that made it."""
    forget = weakref.WeakMethod(pool._forget)  # noqa: SLF001  this module's own

    def drop() -> None:
        method = forget()
        if method is not None:
            method()

    os.register_at_fork(after_in_child=drop)
