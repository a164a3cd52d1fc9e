# SPDX-License-Identifier: Apache-2.0
"""Saving and loading for asyncio: the work runs in the loop's thread pool.

A task that is cancelled stops the work soon and waits for it to end: when ``CancelledError``
arrives, nothing runs behind the caller's back and the target file is the old one or the new one,
whole.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from dictdb import DictDB

    StrPath = str | os.PathLike[str]
    Progress = Callable[[int, int], object]
    Result = TypeVar("Result")
    Database = TypeVar("Database", bound="DictDB")


class _Cancelled(Exception):
    """Raised by the progress callback in the worker thread; seen by nobody else."""


async def _run(work: Callable[[Progress], Result]) -> Result:
    """Runs `work(progress)` in a thread; a cancellation ends both."""
    cancelled = threading.Event()

    def progress(done: int, total: int) -> None:
        if cancelled.is_set():
            raise _Cancelled

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


async def async_save(db: DictDB, filename: StrPath, file_format: str | None = None) -> None:
    """Save one instant of the database, as `DictDB.save` does, without blocking the event loop.

    Parameters:
        filename: the file to replace, atomically.
        file_format: ``"json"``, in any case; ``None`` goes by the file's suffix.

    Raises:
        InvalidArgumentError: an unknown format.
        StorageError: the file could not be written; the old one is untouched.
    """
    await _run(lambda progress: db.save(filename, file_format, progress=progress))


async def async_load(
    cls: type[Database], filename: StrPath, file_format: str | None = None
) -> Database:
    """Load a database, as `DictDB.load` does, without blocking the event loop.

    Raises:
        InvalidArgumentError: an unknown format.
        CorruptFileError: the file is damaged; ``.offset`` is the position in bytes.
        StorageError: the file could not be read.
    """
    return await _run(lambda progress: cls.load(filename, file_format, progress=progress))
