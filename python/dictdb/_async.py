# SPDX-License-Identifier: Apache-2.0
"""Work for asyncio that runs in the loop's thread pool, and can be cancelled.

A task that is cancelled stops the work soon and waits for it to end: when ``CancelledError``
arrives, nothing goes on behind the caller's back. What stops work is its progress callback
(`run`), or a wait for a lock that ends (`call`); a statement that has begun is done whole.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from dictdb import _core

StrPath: TypeAlias = str | os.PathLike[str]
Progress: TypeAlias = Callable[[int, int], object]
_Result = TypeVar("_Result")


class _CancelledError(Exception):
    """Ends the work in its thread; seen by nobody else."""


async def run(
    work: Callable[[Progress], _Result], undo: Callable[[_Result], object] | None = None
) -> _Result:
    """Run ``work(progress)`` in a thread; a cancellation makes progress() raise, and waits.

    undo: called, in a thread, with the result of work that was done when it was cancelled.
    """
    cancelled = threading.Event()

    def progress(done: int, total: int) -> None:
        if cancelled.is_set():
            raise _CancelledError

    return await _in_thread(functools.partial(work, progress), cancelled, undo)


async def call(
    function: Callable[..., _Result], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _Result:
    """Call a function of the extension in a thread; a cancellation ends its wait for a lock."""
    cancelled = threading.Event()
    work = functools.partial(_core._cancellable, cancelled.is_set, function, args, kwargs)
    return await _in_thread(work, cancelled, None)


async def _in_thread(
    work: Callable[[], _Result],
    cancelled: threading.Event,
    undo: Callable[[_Result], object] | None,
) -> _Result:
    def unless_cancelled() -> _Result:
        if cancelled.is_set():
            raise _CancelledError
        return work()

    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(None, contextvars.copy_context().run, unless_cancelled)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        cancelled.set()
        await _until_done(future)
        if not future.cancelled() and future.exception() is None and undo is not None:
            await _until_done(loop.run_in_executor(None, undo, future.result()))
        raise


async def _until_done(future: asyncio.Future[Any]) -> None:
    """Wait for the end of work that cannot be left, however often the task is cancelled."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue
    if not future.cancelled():
        future.exception()  # It is known: asyncio need not report it
