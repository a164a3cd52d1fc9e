# SPDX-License-Identifier: Apache-2.0
"""The class of databases: the compiled DictDB, with files for asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NoReturn

from dictdb import _aio, _async, _core, _pickles, _progress, _state

if TYPE_CHECKING:
    from typing import Self


class DictDB(_core.DictDB):
    """A database: named tables of dict records, in memory, shared by threads.

    ``DictDB(missing="raise")`` lets update and delete raise RecordNotFoundError when nothing
    matches; with ``"ignore"`` they return 0.
    """

    __slots__ = ()
    __module__ = "dictdb"

    @property
    def aio(self) -> _aio.AsyncDatabase:
        """The same database for asyncio: ``await db.aio.create_table(...)``."""
        return _aio.AsyncDatabase(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the database: one instant of all tables, as plain data.

        What comes back is in memory only, also if this one is kept in a directory.
        """
        arguments = type(self), self._missing, _state.database_state(self)
        return _state.restore_database, arguments, _state.attributes_of(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a copy of one instant of all tables, in memory only."""
        return _state.copy_of(self, memo)

    def __copy__(self) -> NoReturn:
        raise _core.UnsupportedTypeError(
            "a database has no shallow copy: copy.deepcopy(db) copies all of it"
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aio.close()

    @classmethod
    async def async_open(
        cls,
        path: _async.StrPath,
        durability: Literal["commit", "interval", "none"] = "commit",
        *,
        interval: float = 1.0,
        missing: Literal["ignore", "raise"] = "ignore",
    ) -> Self:
        """Open a database in a directory, as `open` does, without blocking the event loop.

        Cancelling the task ends the reading and waits for its end: the directory is free again.
        ``async with await DictDB.async_open(path) as db:`` closes it at the end. The arguments and
        the errors are those of `open`.
        """
        return await _async.run(
            lambda progress: cls.open(
                path, durability, interval=interval, missing=missing, progress=progress
            ),
            undo=cls.close,
        )

    async def async_save(self, filename: _async.StrPath, file_format: str | None = None) -> None:
        """Save one instant of the database, as `save` does, without blocking the event loop.

        Cancelling the task ends the save and waits for its end: the file is the old one or the
        new one, whole.

        filename: the file to replace. file_format: ``"dictdb"``, ``"json"``, ``"pickle"`` or
        ``"directory"``, in any case; ``None`` goes by the file's suffix. Raises
        InvalidArgumentError (an unknown format, a directory that has files) and StorageError (the
        file could not be written; the old one is untouched).
        """
        await _async.run(lambda progress: self.save(filename, file_format, progress=progress))

    @classmethod
    async def async_load(cls, filename: _async.StrPath, file_format: str | None = None) -> Self:
        """Load a database, as `load` does, without blocking the event loop.

        Raises InvalidArgumentError (an unknown format), CorruptFileError (``.offset`` is the
        position in bytes) and StorageError (the file could not be read).
        """
        return await _async.run(lambda progress: cls.load(filename, file_format, progress=progress))


_core._register_files(_progress.Bar, _pickles.save, _pickles.load, _pickles.is_one)
