"""Several server processes on the same sockets: started together, started again, stopped together.

Each worker is the same command again with `--worker SHARE`. On a TCP port that we keep it listens
with SO_REUSEPORT, so that the kernel shares connections out; every other socket is handed to it.
Its standard output says "ready" once, and the end of its standard input means that we are gone: a
worker never outlives its supervisor.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from gateway.addresses import Inherited, Listen
from gateway.listeners import Listener
from gateway.web.logs import Log

READY = b"ready\n"
_PAUSE = 1.0  # seconds before a worker that died is started again
_GRACE = 15.0  # seconds that a stopping worker gets


class Workers:
    """The workers of one supervisor; `command` is how one is started, its share left out.

    They listen where `listeners` do, from which nobody here takes a connection. `ended` is told
    the process id of a worker that died.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        count: int,
        listeners: Sequence[Listener],
        log: Log,
        ended: Callable[[int], None],
    ) -> None:
        self._command = [*command, *(f"--listen={_handed(listener)}" for listener in listeners)]
        self._handed = [one.socket for one in listeners if one.is_open]
        self._environ = environ
        self._count = count
        self._log = log
        self._ended = ended
        self._processes: dict[int, Process] = {}

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Keep all workers alive until cancelled, then stop them. `on_ready`: all have started.

        Raises ChildProcessError when one cannot start at all.
        """
        try:
            try:
                async with asyncio.TaskGroup() as first:
                    for number in range(self._count):
                        first.create_task(self._start(number))
            except* OSError as failures:  # ChildProcessError is one
                raise ChildProcessError(str(failures.exceptions[0])) from failures
            on_ready()
            async with asyncio.TaskGroup() as rest:
                for number in range(self._count):
                    rest.create_task(self._keep(number))
        finally:
            await self._stop()

    async def _start(self, number: int) -> None:
        share = f"{number}/{self._count}"
        process = await asyncio.create_subprocess_exec(
            *self._command,
            f"--worker={share}",
            env=self._environ,
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=[one.fileno() for one in self._handed],
            start_new_session=True,  # Ctrl-C is for us, who stop them in order
        )
        self._processes[number] = process
        if process.stdout is None or await process.stdout.readline() != READY:
            raise ChildProcessError(f"worker {share} did not start")

    async def _keep(self, number: int) -> None:
        while True:
            process = self._processes[number]
            status = await process.wait()
            self._ended(process.pid)
            self._log.warning("worker ended", worker=number, status=status)
            await asyncio.sleep(_PAUSE)
            with suppress(OSError):  # ChildProcessError is one
                await self._start(number)

    async def _stop(self) -> None:
        """End all workers, in order as long as they do it in time.

        Our own hold on their sockets goes first: nobody should wait for an answer behind them.
        """
        for one in self._handed:
            one.close()
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        ends = [asyncio.create_task(process.wait()) for process in self._processes.values()]
        if not ends:
            return
        _, late = await asyncio.wait(ends, timeout=_GRACE)
        if late:
            for process in self._processes.values():
                with suppress(ProcessLookupError):
                    process.kill()
            await asyncio.wait(late)


def _handed(listener: Listener) -> Listen:
    """Return how a worker is told to listen there."""
    if listener.is_open:
        return Listen(listener.purpose, Inherited(str(listener.socket.fileno())))
    return Listen(listener.purpose, listener.address)


async def orphaned() -> None:
    """Return when the supervisor of this worker has gone."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


def report_ready() -> None:
    """Tell the supervisor that this worker serves."""
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
