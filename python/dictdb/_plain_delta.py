# SPDX-License-Identifier: Apache-2.0
"""Deltas of the original: JSON files of records by their keys.

    {"type": "delta", "timestamp": seconds,
     "tables": {name: {"upserts": [record, ...], "deletes": [key, ...]}}}

They are read, so that folders of the original can be restored, and written by
`dictdb.storage.persist.save_delta` alone: they have no checksum, do not say which file they go on
from, and tell neither tables that were dropped nor schemas or indexes. A table that was made after
the base comes without the name of its key. With ``"whole": true``, which the original passes over,
a record that has lost a field has lost it where the delta is applied.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dictdb import _core, _state
from dictdb._core import UNSET, CorruptFileError

if TYPE_CHECKING:
    from dictdb import DictDB, Table, TableView

_DEFAULT_KEY = "id"


@dataclass(frozen=True)
class Delta:
    """What such a file says: upserts and deletes of each table."""

    tables: dict[str, tuple[list[dict[str, Any]], list[Any]]]
    whole: bool


def read(path: Path) -> Delta:
    """Read a file.

    Raises CorruptFileError (it is no such delta) and StorageError (it cannot be read).
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise _core.MissingFileError(
            error.errno, f"cannot open {str(path)!r}: there is no such file"
        ) from error
    except OSError as error:
        raise _core.StorageError(
            error.errno, f"cannot read {str(path)!r}: {error.strerror}"
        ) from error
    try:
        return _changes(json.loads(data.decode(), object_pairs_hook=_object))
    except UnicodeDecodeError as error:
        _refuse(path, "it is not UTF-8", error.start, error)
    except json.JSONDecodeError as error:
        _refuse(path, error.msg, len(error.doc[: error.pos].encode()), error)
    except (ValueError, RecursionError) as error:
        _refuse(path, str(error), 0, error)


def _refuse(path: Path, problem: str, offset: int, cause: Exception) -> NoReturn:
    refusal = CorruptFileError(f"'{path.name}': damaged file (byte {offset}): {problem}")
    refusal.offset = offset
    raise refusal from cause


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _changes(root: Any) -> Delta:
    if type(root) is not dict or root.get("type") != "delta":
        raise ValueError("it is not a delta")
    tables = root.get("tables")
    if type(tables) is not dict:
        raise ValueError("it has no tables")
    changes = {name: _changes_of(name, table) for name, table in tables.items()}
    return Delta(changes, root.get("whole") is True)


def _changes_of(name: str, table: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    upserts, deletes = (
        (table.get("upserts", []), table.get("deletes", []))
        if type(table) is dict
        else (None, None)
    )
    if type(upserts) is not list or type(deletes) is not list:
        raise ValueError(f"table {name!r} has no lists of upserts and deletes")
    if not all(type(record) is dict for record in upserts):
        raise ValueError(f"table {name!r} has a record that is not an object")
    return upserts, deletes


def apply(db: DictDB, path: Path) -> None:
    """Change a database that nobody else uses as the delta says.

    Raises CorruptFileError: the delta does not fit. Some of it is applied then.
    """
    for name, (upserts, deletes) in read(path).tables.items():
        try:
            table = _table_of(db, name, upserts)
            if table is not None:
                _apply(table, upserts, deletes)
        except (_core.DictDBError, TypeError, ValueError) as error:
            _refuse(path, f"table {name!r}: {error}", 0, error)


def _table_of(db: DictDB, name: str, upserts: list[dict[str, Any]]) -> Table | None:
    """The table, made if need be; None: it is not there, and gets nothing."""
    if name in db:
        return db[name]
    if not upserts:
        return None
    if not all(_DEFAULT_KEY in record for record in upserts):
        raise ValueError("it is not in the backup before, and the delta does not tell its key")
    return db.create_table(name)


def _apply(table: Table, upserts: list[dict[str, Any]], deletes: list[Any]) -> None:
    field = table.primary_key
    for key in deletes:
        table.delete(where=table[field] == key)
    for record in upserts:
        if field not in record:
            raise ValueError("a record has no primary key")
        _put(table, table.get(record[field]), record)
    _state.raise_next_key(table, _next_key(field, upserts, deletes))


def _put(table: Table, old: dict[str, Any] | None, record: dict[str, Any]) -> None:
    """Let the record take the place of `old`, which is there with its key, or None."""
    if old is None:
        table.insert(record, skip_validation=True)
    else:
        _merge(table, dict.fromkeys(old.keys() - record.keys(), UNSET) | record)


def _merge(table: Table, record: dict[str, Any]) -> None:
    field = table.primary_key
    changes = {name: value for name, value in record.items() if name != field}
    if changes:
        table.update(changes, where=table[field] == record[field])


def _next_key(field: str, upserts: list[dict[str, Any]], deletes: list[Any]) -> int:
    """The automatic key above all that are named."""
    keys = [record.get(field) for record in upserts] + deletes
    return min(max((key + 1 for key in keys if type(key) is int), default=1), _state.KEY_MAX)


def keys_raise(db: DictDB, path: Path) -> None:
    """Let automatic keys go on above what the delta has for tables of the same names."""
    for name, (upserts, deletes) in read(path).tables.items():
        if name in db:
            table = db[name]
            _state.raise_next_key(table, _next_key(table.primary_key, upserts, deletes))


# --- In a database that others use ---

# What the tables had: (table, key, record or None). Going backwards through it undoes all.
_Before = list[tuple["Table", Any, dict[str, Any] | None]]


def merge(db: DictDB, path: str) -> int:
    """Change the tables that are there as a delta says: see `persist.apply_delta`."""
    delta = read(Path(path))
    names = [name for name in delta.tables if name in db]
    if not names:
        return 0
    name = ""
    before: _Before = []
    with db.write_lock(*names):
        try:
            for name in names:
                _upsert(db[name], delta.tables[name][0], delta.whole, before)
            for name in names:  # Last: undoing it moves records to the end.
                _delete(db[name], delta.tables[name][1], before)
        except BaseException as error:
            _undo(before)
            mistake = isinstance(error, (_core.DictDBError, TypeError, ValueError))
            if not isinstance(error, Exception) or not mistake or isinstance(error, OSError):
                raise
            _refuse(Path(path), f"table {name!r}: {error}", 0, error)
    return len(before)


def _upsert(table: Table, records: list[dict[str, Any]], whole: bool, before: _Before) -> None:
    field = table.primary_key
    for record in records:
        key = record.get(field)
        if key is None:
            rest = {name: value for name, value in record.items() if name != field}
            before.append((table, table.insert(rest, skip_validation=True), None))
            continue
        old = table.get(key)
        before.append((table, key, old))
        if old is None or whole:
            _put(table, old, record)
        else:
            _merge(table, record)


def _delete(table: Table, keys: list[Any], before: _Before) -> None:
    for key in keys:
        old = table.get(key)
        if old is not None:
            before.append((table, key, old))
            table.delete(where=table[table.primary_key] == key)


def _undo(before: _Before) -> None:
    for table, key, old in reversed(before):
        now = table.get(key)
        if now is not None and old is not None:
            with contextlib.suppress(_core.SchemaValidationError):  # It was put unchecked, too.
                _put(table, now, old)
                continue
        if now is not None:
            table.delete(where=table[table.primary_key] == key)
        if old is not None:
            table.insert(old, skip_validation=True)


# --- Writing ---


def write(path: bytes, views: Iterable[TableView]) -> None:
    """Replace a file by what has changed in the tables, as `Table.get_dirty_records` says."""
    _core._replace_file(path, _pieces(views))


def _pieces(views: Iterable[TableView]) -> Iterator[bytes]:
    head = json.dumps({"type": "delta", "timestamp": time.time(), "whole": True})
    before = f'{head[:-1]}, "tables": {{\n'
    for view in views:
        name = view.table_name
        yield f'{before}{_text(name, name)}: {{"upserts": ['.encode()
        yield from _items(name, view.get_dirty_records())
        yield b'\n], "deletes": ['
        yield from _items(name, view.get_deleted_pks())
        yield b"\n]}"
        before = ",\n"
    yield b"\n}}\n"


def _items(name: str, values: list[Any]) -> Iterator[bytes]:
    before = "\n"
    for value in values:
        yield f"{before}{_text(value, name)}".encode()
        before = ",\n"


def _text(value: Any, name: str) -> str:
    """The value as plain JSON, which gives it back."""
    try:
        text = json.dumps(value)
        if repr(json.loads(text)) == repr(value):
            return text
        problem = "it would come back as something else"
    except (TypeError, ValueError) as error:
        problem = str(error)
    raise _core.UnsupportedTypeError(
        f"table {name!r}: plain JSON, which deltas of the original are, does not hold "
        f"{_shown(value)}: {problem}"
    )


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # An int that is too long.
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 100 else text[:97] + "..."


def is_one(path: str | os.PathLike[str]) -> bool:
    """Say whether a file is named as the deltas of the original are."""
    name = os.path.basename(os.fspath(path))
    return name.startswith("dictdb_delta_") and name.endswith(".json")
