# SPDX-License-Identifier: Apache-2.0
"""Files of the format "pickle".

Ours are pickles of plain data, one after another: a head, then for each table its properties and
its records in lists of at most BATCH, then an end with the number of tables and of records and the
SHA-256 of all bytes before it. So they are written and read a list at a time. The original's are
one pickle, of an object of its class DictDB.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from dictdb import _core, _schema, _state, _unpickle

if TYPE_CHECKING:
    from dictdb import DictDB, Table

    Progress = Callable[[int, int], object]

BATCH: Final = 1000
_BATCH_SIZE: Final = 1 << 19  # Bytes: lists of larger records are shorter.
_PROTOCOL: Final = 4
_VERSION: Final = 1
# What statements raise for what a hostile file brings. ArithmeticError: it is compared with a NaN
# that signals; RecursionError: a message would show it.
_MISTAKES: Final = (
    *(_core.DictDBError, TypeError, ValueError),
    *(KeyError, ArithmeticError, RecursionError),
)
_PROPERTIES: Final = {"name": str, "primary_key": str, "next_key": int, "indexes": list}

# ---- Saving ------------------------------------------------------------------------------------


def save(snapshot: _core.Snapshot, path: bytes, progress: Progress | None) -> None:
    """Replace a file by one of what the snapshot sees."""
    _core._replace_file(path, _pieces(snapshot, progress))


def _pieces(snapshot: _core.Snapshot, progress: Progress | None) -> Iterator[bytes]:
    digest = hashlib.sha256()
    views = [snapshot[name] for name in snapshot]
    total = sum(view.count() for view in views)
    done = 0

    def piece(value: object) -> bytes:
        data = pickle.dumps(value, _PROTOCOL)
        digest.update(data)
        return data

    yield piece({"format": "dictdb", "version": _VERSION})
    for view in views:
        yield piece(_state.properties_of(view))
        size = 16
        records = iter(view)
        while batch := list(islice(records, size)):
            data = piece(batch)
            size = max(size // 2, 1) if len(data) > _BATCH_SIZE else min(2 * size, BATCH)
            done += len(batch)
            yield data
            if progress is not None:
                progress(done, total)
    end = {"tables": len(views), "records": total, "sha256": digest.hexdigest()}
    yield pickle.dumps(end, _PROTOCOL)
    if progress is not None:
        progress(total, total)


# ---- Loading -----------------------------------------------------------------------------------


def is_one(path: bytes) -> bool:
    """Say whether a file begins as pickles do."""
    with _opened(path) as file:
        start = file.read(2)
    return len(start) == 2 and start[0] == 0x80 and start[1] <= 5


def load(cls: type[DictDB], path: bytes, progress: Progress | None) -> DictDB:
    """Return a database of what a file of pickles holds."""
    name = os.fsdecode(path)
    with _opened(path) as file:
        try:
            return _load(cls, file, name, progress)
        except (_core.CorruptFileError, _core.StorageError):
            raise
        except OSError as error:
            raise _storage_error("read", path, error) from error


def keys_raise(db: DictDB, path: bytes) -> None:
    """Let automatic keys go on above what a file of pickles has for tables of the same names."""
    from dictdb._database import DictDB

    with load(DictDB, path, None).snapshot() as seen:
        for name in seen:
            if name in db:
                _state.raise_next_key(db[name], seen[name]._next_key())


def _opened(path: bytes) -> BinaryIO:
    try:
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise _storage_error("open", path, error) from error


def _storage_error(action: str, path: bytes, error: OSError) -> _core.StorageError:
    class_ = _core.MissingFileError if isinstance(error, FileNotFoundError) else _core.StorageError
    return class_(error.errno, f"cannot {action} '{os.fsdecode(path)}': {error.strerror}")


def _load(cls: type[DictDB], file: BinaryIO, name: str, progress: Progress | None) -> DictDB:
    size = os.fstat(file.fileno()).st_size
    reader = _unpickle.Reader(file, size, name)
    root = reader.load()
    if isinstance(root, _unpickle.Instance):
        return _original(cls, root, reader)
    if not isinstance(root, dict) or root.get("format") != "dictdb":
        raise reader.corrupt("neither a file of ours nor of the original", 0)
    version = root.get("version")
    if type(version) is not int or version != _VERSION:
        raise reader.corrupt(
            f"version {_told(version)} of the format is not known here: this is {_VERSION}"
        )
    return _Loader(cls, reader, size, progress).run()


def _told(value: object) -> str:
    """What a message says of a value that may be of any type and size."""
    if isinstance(value, str):
        return repr(value[:80])
    if isinstance(value, int) and value.bit_length() < 64:
        return repr(value)
    return f"of the type {type(value).__name__!r}"


class _Loader:
    """Reads the rest of a file of ours into a new database."""

    def __init__(
        self,
        cls: type[DictDB],
        reader: _unpickle.Reader,
        size: int,
        progress: Progress | None,
    ) -> None:
        self.db: DictDB = cls.__new__(cls)
        self.reader = reader
        self.size = size
        self.progress = progress
        self.table: Table | None = None
        self.state: _state.State = {}
        self.records = 0

    def run(self) -> DictDB:
        """Return the database."""
        while True:
            begin = self.reader.offset
            sum_ = self.reader.checksum()
            value = self.reader.load()
            try:
                if isinstance(value, list):
                    self.insert(value, begin)
                elif not isinstance(value, dict):
                    raise self.reader.corrupt("neither a table nor records", begin)
                elif "sha256" in value:
                    self.end(value, sum_, begin)
                    return self.db
                else:
                    self.begin(value, begin)
            except _core.CorruptFileError:
                raise
            except _MISTAKES as error:
                raise self.reader.corrupt(str(error), begin) from error
            if self.progress is not None:
                self.progress(self.reader.offset, self.size)

    def begin(self, state: _state.State, offset: int) -> None:
        """Make the next table."""
        self.finish()
        if not all(type(state.get(key)) is kind for key, kind in _PROPERTIES.items()):
            raise self.reader.corrupt("a table without its properties", offset)
        self.state = state
        self.table = self.db.create_table(
            state["name"], state["primary_key"], _state.schema_of(state)
        )

    def insert(self, records: list[Any], offset: int) -> None:
        """Fill the table."""
        if self.table is None:
            raise self.reader.corrupt("records of no table", offset)
        _insert(self.table, records)
        self.records += len(records)

    def finish(self) -> None:
        """Give the table its indexes."""
        if self.table is not None:
            _state.finish(self.table, self.state)

    def end(self, value: dict[Any, Any], sum_: str, offset: int) -> None:
        """Check the end against what was read."""
        self.finish()
        found = {"tables": len(self.db), "records": self.records, "sha256": sum_}
        if value != found:
            raise self.reader.corrupt("the checksum or the counts at its end differ", offset)
        if not self.reader.ended():
            raise self.reader.corrupt("something follows the end")
        if self.progress is not None:
            self.progress(self.size, self.size)


def _insert(table: Table, records: list[Any]) -> None:
    for record in records:
        if type(record) is not dict:
            raise _core.UnsupportedTypeError(f"a record is a dict, not {type(record).__name__!r}")
        if table.primary_key not in record:
            raise _core.PrimaryKeyError("a record has no primary key")
    table.insert(records, skip_validation=True)


# ---- The original's ----------------------------------------------------------------------------


def _original(cls: type[DictDB], root: _unpickle.Instance, reader: _unpickle.Reader) -> DictDB:
    if not reader.ended():
        raise reader.corrupt("something follows the database")
    tables = (root.state or {}).get("tables")
    if root.kind != "DictDB" or not isinstance(tables, dict):
        raise reader.corrupt("no database of the original", 0)
    db: DictDB = cls.__new__(cls)
    for name, table in tables.items():
        try:
            _original_table(db, name, table)
        except _MISTAKES as error:
            raise reader.corrupt(f"table {_told(name)}: {error}", 0) from error
    return db


def _original_table(db: DictDB, name: Any, table: Any) -> None:
    if not isinstance(table, _unpickle.Instance) or table.kind != "Table" or not table.state:
        raise _core.InvalidArgumentError("it is no table of the original")
    state = table.state
    records, schema, next_key = state["records"], state.get("schema"), state.get("_next_pk", 1)
    if type(records) is not dict or type(next_key) is not int:
        raise _core.InvalidArgumentError("it has no records")
    made = db.create_table(name, state["primary_key"], _original_schema(schema))
    _insert(made, list(records.values()))
    _state.finish(made, {"indexes": [], "next_key": min(next_key, _state.KEY_MAX)})


def _original_schema(schema: Any) -> dict[str, Any] | None:
    if schema is None:
        return None
    if type(schema) is not dict or not all(
        isinstance(kind, _unpickle.Named) for kind in schema.values()
    ):
        raise _core.InvalidArgumentError("its schema is no dict of types")
    return _schema.from_names(
        {"name": field, "types": [kind.kind]} for field, kind in schema.items()
    )
