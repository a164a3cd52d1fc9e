# SPDX-License-Identifier: Apache-2.0
"""Statements for asyncio: ``await table.aio.select(...)``.

    call --> is it sure to be short?  --yes--> here, if no lock has to be waited for
                  |                                  |
                  +----------------no----------------+--> a thread of the loop's executor

Invariants:
 1. The event loop waits for no lock and no disk: a statement that would have to is refused by the
    extension before it has begun (`_core._without_waiting`), and made again in a thread; writes to
    an opened database go there at once.
 2. What runs in the loop is bounded by `_ROWS_READ`, `_ROWS_WRITTEN`, `_BYTES` and `_WEIGHT`, about
    a millisecond each, from the plan's numbers: exact for keys, indexes and whole tables.
 3. Callables, regular expressions and iterables, whose time nobody knows, run in a thread.
 4. A thread that holds the table's lock makes its statements itself: another one would wait for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from dictdb import _async, _core

if TYPE_CHECKING:
    from dictdb import DictDB, Table

_ROWS_READ = 500
_ROWS_WRITTEN = 100  # Of rows, each counted once and once more for each index
_BYTES = 1 << 20
_WEIGHT = 20_000  # Comparisons: rows by the weight of a condition


def _arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a method's arguments that may be given by position."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind in kinds)[1:]


class _Weigher:
    """Tells of calls on one table whether they are sure to be short."""

    __slots__ = ("_table",)

    def __init__(self, table: Table) -> None:
        self._table = table

    def _ask(self, function: Callable[..., Any], **kwargs: Any) -> Any:
        return _core._without_waiting(self._table, function, (), kwargs)

    def rows(self, where: object, most: int | None = None) -> int | None:
        """How many rows a query looks at; None: too many or not known. most: without a where."""
        weight = _core._weight(where)
        if weight is None:
            return None
        rows: int = self._ask(self._table.size)
        if where is None and most is not None:
            rows = min(rows, most)
        elif rows > _ROWS_READ and where is not None:
            rows = min(rows, self._planned(where))
        too_many = rows > _ROWS_READ or rows * (weight + 1) > _WEIGHT
        return None if too_many or not self._fits(rows) else rows

    def _planned(self, where: object) -> int:
        """The most rows that a step of the plan takes; without a number, those of its children."""
        steps = self._ask(self._table.explain, where=where).walk()
        return max(
            step.estimate or 0 if step.estimate is not None or step.children else _ROWS_READ + 1
            for step in steps
        )

    def _fits(self, rows: int) -> bool:
        """Are so many rows of average size few bytes?"""
        total: int = self._table.memory()["total_bytes"]
        return total <= _BYTES or rows * (total // max(self._ask(self._table.size), 1)) <= _BYTES

    def writes(self, rows: int) -> bool:
        """May so many rows be written in the loop?"""
        if rows <= 1:
            return True
        return rows * (1 + len(self._ask(self._table.indexes))) <= _ROWS_WRITTEN


_PLAIN = {bool, float, type(None), date, datetime, time, timedelta, UUID}
_PLAIN |= {_core.Expression, _core.Field}


def _is_small(value: Any, left: int = 200) -> int:
    """What is left of a budget after the parts of a value; 0 or less: it is not sure to be small.

    Only exact types are looked into: others may run code of the caller's.
    """
    kind = type(value)
    if kind in _PLAIN:
        return left - 1
    if kind is str or kind is bytes:
        return left - 1 - len(value) // 1000
    if kind is int:
        return left - 1 - value.bit_length() // 10_000
    if kind not in (dict, list, tuple) or len(value) > left:
        return 0
    for item in value.values() if kind is dict else value:
        left = _is_small(item, left)
        if left <= 0:
            return 0
    return left - 1


# --- Is a call short? One function for each kind of method ---


def _never(weigher: _Weigher, given: dict[str, Any]) -> bool:
    return False


def _always(weigher: _Weigher, given: dict[str, Any]) -> bool:
    return True


def _key(weigher: _Weigher, given: dict[str, Any]) -> bool:
    return _is_small(given.get("pk")) > 0 and weigher._fits(1)


def _query(weigher: _Weigher, given: dict[str, Any]) -> bool:
    return _is_known(given.get("columns")) and weigher.rows(given.get("where")) is not None


def _limited(weigher: _Weigher, given: dict[str, Any]) -> bool:
    """Is a query short that, without order and condition, looks at the rows it gives alone?"""
    limit, offset = given.get("limit"), given.get("offset", 0)
    is_sorted = given.get("order_by") is not None or given.get("distinct", False) is not False
    most = None
    if type(limit) is int and type(offset) is int and not is_sorted:
        most = max(limit, 0) + max(offset, 0)
    where = given.get("where")
    return _is_known(given.get("columns")) and weigher.rows(where, most) is not None


def _first(weigher: _Weigher, given: dict[str, Any]) -> bool:
    return _limited(weigher, {**given, "limit": 1})


def _count(weigher: _Weigher, given: dict[str, Any]) -> bool:
    return weigher.rows(given.get("where"), 0) is not None


def _is_known(columns: object) -> bool:
    """Is it no iterable of the caller's, whose code would run?"""
    return columns is None or type(columns) in (list, tuple, dict)


def _record(weigher: _Weigher, given: dict[str, Any]) -> bool:
    record = given.get("record")
    if type(record) is dict:
        return _is_small(record) > 0
    if type(record) is not list or len(record) > _ROWS_WRITTEN:
        return False
    return _is_small(record, 1000) > 0 and weigher.writes(len(record))


def _update(weigher: _Weigher, given: dict[str, Any]) -> bool:
    changes = given.get("changes")
    return type(changes) is dict and _is_small(changes) > 0 and _delete(weigher, given)


def _delete(weigher: _Weigher, given: dict[str, Any]) -> bool:
    rows = weigher.rows(given.get("where"))
    return rows is not None and weigher.writes(rows)


def _updates(weigher: _Weigher, given: dict[str, Any]) -> bool:
    updates = given.get("updates")
    if type(updates) is not list or len(updates) > _ROWS_WRITTEN:
        return False
    if any(type(item) is not dict for item in updates):
        return False
    return _is_small(updates, 1000) > 0 and weigher.writes(len(updates))


_IsShort = Callable[[_Weigher, dict[str, Any]], bool]
_READS: dict[str, _IsShort] = {
    **dict.fromkeys(("one", "aggregate", "all", "copy", "columns"), _query),
    **dict.fromkeys(("select", "pluck"), _limited),
    **dict.fromkeys(("first", "exists"), _first),
    "count": _count,
    "get": _key,
    "size": _always,
    "explain": _never,
    **dict.fromkeys(("has_changes", "get_dirty_records", "get_deleted_pks"), _never),
    **dict.fromkeys(("clear_dirty_tracking", "stop_dirty_tracking"), _never),
}
_WRITES: dict[str, _IsShort] = {
    "insert": _record,
    "upsert": _record,
    "update": _update,
    "update_many": _updates,
    "delete": _delete,
    "create_index": _never,
    "drop_index": _never,
}


async def _make(
    table: Table,
    function: Callable[..., Any],
    is_short: _IsShort,
    names: tuple[str, ...],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    is_write: bool,
) -> Any:
    """Call a method of the table where it belongs: here, or in a thread."""
    if _core._is_locked(table):
        return function(*args, **kwargs)
    if not (is_write and _core._is_kept(table)):
        try:
            if is_short(_Weigher(table), {**dict(zip(names, args, strict=False)), **kwargs}):
                return _core._without_waiting(table, function, args, kwargs)
        except _core.WaitRefusedError:
            pass
    return await _async.call(function, args, kwargs)


def _method(name: str, is_short: _IsShort, is_write: bool) -> Any:
    original = getattr(_core.Table, name)
    names = _arguments(original)

    async def method(self: AsyncTable, *args: Any, **kwargs: Any) -> Any:
        table = self._table
        function = getattr(table, name)
        return await _make(table, function, is_short, names, args, kwargs, is_write)

    method.__name__ = name
    method.__qualname__ = f"AsyncTable.{name}"
    method.__doc__ = f"What `Table.{name}` does, without holding the event loop up."
    method.__signature__ = inspect.signature(original)
    return method


def _streamed(original: Any, owner: str, result: str) -> Any:
    """A method that reads or writes a file, and is ended by a cancellation: without progress=."""
    name = original.__name__

    async def method(self: AsyncTable | AsyncDatabase, *args: Any, **kwargs: Any) -> Any:
        function = getattr(self._table if isinstance(self, AsyncTable) else self._db, name)
        if isinstance(self, AsyncTable) and _core._is_locked(self._table):
            return function(*args, **kwargs)
        return await _async.run(lambda progress: function(*args, progress=progress, **kwargs))

    method.__name__ = name
    method.__qualname__ = f"{owner}.{name}"
    method.__doc__ = f"What `{owner[5:]}.{name}` does; cancellable: {result}."
    signature = inspect.signature(original)
    kept = [each for each in signature.parameters.values() if each.name != "progress"]
    method.__signature__ = signature.replace(parameters=kept)
    return method


class AsyncTable:
    """The methods of a table for asyncio, with the same arguments: what `Table.aio` is.

    A call that is sure to take less than about a millisecond, and waits for nobody, is made at
    once; any other in a thread of the loop's executor. A task that is cancelled waits no longer for
    a lock; a statement that has begun is done whole, and `CancelledError` comes after its end.
    Callables and iterables that are given run in that thread.
    """

    __slots__ = ("_table",)

    def __init__(self, table: Table) -> None:
        self._table = table

    def __repr__(self) -> str:
        return f"<AsyncTable {self._table.table_name!r}>"

    def __aiter__(self) -> AsyncCursor:
        return self.iter()

    def iter(self, *args: Any, batch_size: int = 256, **kwargs: Any) -> AsyncCursor:
        """Return a cursor for ``async for``; the arguments are those of `Table.iter`.

        It reads from one instant, taken when the first record is asked for, a batch at a time.
        """
        return AsyncCursor(self._table, args, {**kwargs, "batch_size": batch_size})


for _name, _short in {**_READS, **_WRITES}.items():
    setattr(AsyncTable, _name, _method(_name, _short, _name in _WRITES))
for _exporter in (_core.Table.export_csv, _core.Table.export_ndjson):
    _made = _streamed(_exporter, "AsyncTable", "the file is the old one or the new one, whole")
    setattr(AsyncTable, _made.__name__, _made)


class AsyncCursor:
    """An asynchronous iterator over records of one instant: what `AsyncTable.iter` returns.

    Use it with ``async with`` when it may not be read to its end: until it is closed, the instant
    stays in memory. One task uses it at a time.
    """

    __slots__ = ("_args", "_batch", "_closed", "_cursor", "_is_short", "_kwargs", "_table")

    def __init__(self, table: Table, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._table, self._args, self._kwargs = table, args, kwargs
        self._cursor: _core.Cursor[Any] | None = None
        self._batch: list[Any] = []
        self._is_short = False
        self._closed = False

    def __repr__(self) -> str:
        return f"<AsyncCursor of {self._table.table_name!r}>"

    def __aiter__(self) -> AsyncCursor:
        return self

    async def __anext__(self) -> Any:
        if not self._batch:
            self._batch = await self._read(self._kwargs["batch_size"])
            self._batch.reverse()
        if not self._batch:
            raise StopAsyncIteration
        return self._batch.pop()

    async def __aenter__(self) -> AsyncCursor:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def fetch(self, count: int | None = None) -> list[Any]:
        """Return the next records, at most `count` (None: batch_size), as a list; [] at the end."""
        wanted = self._kwargs["batch_size"] if count is None else count
        if wanted < 0:
            raise _core.InvalidArgumentError(f"count must not be negative: {wanted}")
        kept = self._batch[: -wanted - 1 : -1]
        found = await self._read(wanted - len(kept)) if wanted > len(kept) else []
        self._batch = self._batch[: len(self._batch) - len(kept)]
        return kept + found

    async def close(self) -> None:
        """Let go of the instant. Reading goes on with nothing; a second time does nothing."""
        self._closed = True
        self._batch = []
        if self._cursor is not None:
            await _async.call(self._cursor.close, (), {})

    @property
    def closed(self) -> bool:
        """Whether it was closed (bool)."""
        return self._closed

    async def _read(self, count: int) -> list[Any]:
        if self._closed:
            return []
        if self._cursor is None:
            names = _arguments(_core.Table.iter)
            call = (self._table, self._table.iter, self._note, names, self._args, self._kwargs)
            self._cursor = await _make(*call, is_write=False)
        if self._is_short and count <= _ROWS_READ:
            return self._cursor.fetch(count)
        return await _async.call(self._cursor.fetch, (count,), {})

    def _note(self, weigher: _Weigher, given: dict[str, Any]) -> bool:
        """Is all of it short? Then batches are, too."""
        self._is_short = _limited(weigher, given)
        return self._is_short


class AsyncDatabase:
    """The methods of a database that may take long, for asyncio: what `DictDB.aio` is."""

    __slots__ = ("_db",)

    def __init__(self, db: DictDB) -> None:
        self._db = db

    def __repr__(self) -> str:
        return f"<AsyncDatabase {self._db!r}>"

    def __getitem__(self, table_name: str) -> AsyncTable:
        return AsyncTable(self._db[table_name])

    async def create_table(self, *args: Any, **kwargs: Any) -> Table:
        """What `DictDB.create_table` does; in a thread, for the disk may be waited for."""
        return await _async.call(self._db.create_table, args, kwargs)

    async def drop_table(self, table_name: str) -> None:
        """What `DictDB.drop_table` does; in a thread, for the table's writers are waited for."""
        await _async.call(self._db.drop_table, (table_name,), {})

    async def save(
        self, filename: _async.StrPath, file_format: str | None = None, *, compression: int = 0
    ) -> None:
        """What `DictDB.save` does; cancellable: the file is the old one or the new one, whole."""
        await _async.run(
            lambda progress: self._db.save(
                filename, file_format, compression=compression, progress=progress
            )
        )

    async def sync(self) -> None:
        """What `DictDB.sync` does."""
        await _async.call(self._db.sync, (), {})

    async def checkpoint(self) -> None:
        """What `DictDB.checkpoint` does; cancellable: the log goes on."""
        await _async.run(lambda progress: self._db.checkpoint(progress=progress))

    async def close(self) -> None:
        """What `DictDB.close` does."""
        await _async.call(self._db.close, (), {})


for _importer in (_core.DictDB.import_csv, _core.DictDB.import_ndjson):
    _made = _streamed(_importer, "AsyncDatabase", "the table is there whole, or not at all")
    setattr(AsyncDatabase, _made.__name__, _made)
