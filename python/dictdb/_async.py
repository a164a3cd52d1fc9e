# SPDX-License-Identifier: Apache-2.0
"""Work for asyncio that runs in the loop's thread pool, and can be cancelled.

A task that is cancelled stops the work soon and waits for it to end: when ``CancelledError``
arrives, nothing goes on behind the caller's back.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TypeAlias, TypeVar

StrPath: TypeAlias = str | os.PathLike[str]
Progress: TypeAlias = Callable[[int, int], object]
_Result = TypeVar("_Result")


class _CancelledError(Exception):
    """Raised by the progress callback in the worker thread; seen by nobody else."""


async def run(work: Callable[[Progress], _Result]) -> _Result:
    """Run ``work(progress)`` in a thread; a cancellation makes progress() raise, and waits."""
    cancelled = threading.Event()

    def progress(done: int, total: int) -> None:
        if cancelled.is_set():
            raise _CancelledError

    future = asyncio.get_running_loop().run_in_executor(None, work, progress)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        cancelled.set()
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue
        if not future.cancelled():
            future.exception()
        raise
