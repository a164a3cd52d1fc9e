# SPDX-License-Identifier: Apache-2.0
"""Deltas of the original: JSON files of records by their keys.

    {"type": "delta", "timestamp": seconds,
     "tables": {name: {"upserts": [record, ...], "deletes": [key, ...]}}}

They are read, so that folders of the original can be restored, and not written: they have no
checksum, do not say which file they go on from, and tell neither tables that were dropped nor
schemas or indexes. A table that was made after the base comes without the name of its key.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dictdb import _core, _state
from dictdb._core import UNSET, CorruptFileError

if TYPE_CHECKING:
    from dictdb import DictDB, Table

_DEFAULT_KEY = "id"

Changes = dict[str, tuple[list[dict[str, Any]], list[Any]]]


def read(path: Path) -> Changes:
    """Return the upserts and the deletes of each table.

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


def _changes(root: Any) -> Changes:
    if type(root) is not dict or root.get("type") != "delta":
        raise ValueError("it is not a delta")
    tables = root.get("tables")
    if type(tables) is not dict:
        raise ValueError("it has no tables")
    return {name: _changes_of(name, table) for name, table in tables.items()}


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
    for name, (upserts, deletes) in read(path).items():
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
        old = table.get(record[field])
        if old is None:
            table.insert(record, skip_validation=True)
        else:
            gone = dict.fromkeys(old.keys() - record.keys(), UNSET)
            new = {name: value for name, value in record.items() if name != field}
            if gone or new:
                table.update(gone | new, where=table[field] == record[field])
    _state.raise_next_key(table, _next_key(field, upserts, deletes))


def _next_key(field: str, upserts: list[dict[str, Any]], deletes: list[Any]) -> int:
    """The automatic key above all that are named."""
    keys = [record.get(field) for record in upserts] + deletes
    return min(max((key + 1 for key in keys if type(key) is int), default=1), _state.KEY_MAX)


def keys_raise(db: DictDB, path: Path) -> None:
    """Let automatic keys go on above what the delta has for tables of the same names."""
    for name, (upserts, deletes) in read(path).items():
        if name in db:
            table = db[name]
            _state.raise_next_key(table, _next_key(table.primary_key, upserts, deletes))


def is_one(path: str | os.PathLike[str]) -> bool:
    """Say whether a file is named as the deltas of the original are."""
    name = os.path.basename(os.fspath(path))
    return name.startswith("dictdb_delta_") and name.endswith(".json")
