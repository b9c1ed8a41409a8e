"""Background tasks, each with an owner: a block that runs one and ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Run `work` beside the block, cancel it at the end of the block and wait for its end."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def repeating(work: Callable[[], Awaitable[None]], interval: float) -> None:
    """Do `work` every `interval` seconds until cancelled. What it raises is logged."""
    while True:
        await asyncio.sleep(interval)
        try:
            await work()
        except Exception as error:  # noqa: BLE001  the next time may go well
            context = {"message": "a background task failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
