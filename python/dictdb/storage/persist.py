# SPDX-License-Identifier: Apache-2.0
"""The original's functions for files, under the names that it has them.

New programs have methods for most of it: `DictDB.save` and `load`; and `BackupManager` with
`restore`, whose deltas hold every type, schemas, indexes and dropped tables, have checksums and say
which file they go on from. A delta of these functions has records and keys, as plain JSON:

    {"type": "delta", "timestamp": seconds, "whole": true,
     "tables": {name: {"upserts": [record, ...], "deletes": [key, ...]}}}

`allowed_dir`: a file that is not within this directory is refused with InvalidArgumentError, a
ValueError. Links are followed first, on both sides. The path is looked at before the file is
opened: who can put links into the directory between the two is not kept out.
"""

from __future__ import annotations

import os
from typing import TypeAlias

from dictdb import _plain_delta
from dictdb._core import InvalidArgumentError, UnsupportedTypeError
from dictdb._database import DictDB

StrPath: TypeAlias = str | os.PathLike[str]


def _resolved(filename: StrPath, allowed_dir: StrPath | None) -> str:
    path = _real(filename, "filename")
    if allowed_dir is not None:
        allowed = _real(allowed_dir, "allowed_dir")
        if path != allowed and not path.startswith(os.path.join(allowed, "")):
            raise InvalidArgumentError(
                f"path {os.fspath(filename)!r} is outside the allowed directory "
                f"{os.fspath(allowed_dir)!r}"
            )
    return path


def _real(path: StrPath, name: str) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise UnsupportedTypeError(
            f"{name} must be str or os.PathLike, not {type(path).__name__!r}"
        )
    if not os.fsdecode(path):
        raise InvalidArgumentError(f"{name}: no path given")
    try:
        return os.path.realpath(os.fsdecode(path))
    except ValueError as error:
        raise InvalidArgumentError(f"{name}: {os.fspath(path)!r} is no path: {error}") from error


def save(
    db: DictDB,
    filename: StrPath,
    file_format: str | None = None,
    allowed_dir: StrPath | None = None,
) -> None:
    """Save one instant of the database, as `DictDB.save` does; where a link leads, there."""
    db.save(_resolved(filename, allowed_dir), file_format)


def load(
    filename: StrPath,
    file_format: str | None = None,
    allowed_dir: StrPath | None = None,
) -> DictDB:
    """Load a database, as `DictDB.load` does."""
    return DictDB.load(_resolved(filename, allowed_dir), file_format)


def has_changes(db: DictDB) -> bool:
    """Say whether `Table.has_changes` is true of a table, all at one instant."""
    with db.snapshot() as snapshot:
        return any(snapshot[name].has_changes() for name in snapshot)


def save_delta(
    db: DictDB,
    filename: StrPath,
    allowed_dir: StrPath | None = None,
    clear_tracking: bool = True,
) -> bool:
    """Save what has changed in the tables since `Table.clear_dirty_tracking`, at one instant.

    The file is replaced whole, or left as it was. `clear_tracking`: then tracking goes on
    from that instant, so that what changes meanwhile is in the next delta.

    Returns False, and writes nothing, if nothing has changed. Tables that were dropped, schemas and
    indexes are not in it. Raises UnsupportedTypeError, naming table and record, for a value that
    plain JSON lacks, and StorageError.
    """
    path = _resolved(filename, allowed_dir)
    with db.snapshot() as snapshot:
        views = [view for name in snapshot if (view := snapshot[name]).has_changes()]
        if not views:
            return False
        _plain_delta.write(os.fsencode(path), views)
        if clear_tracking:
            for view in views:
                view._mark()
    return True


def apply_delta(db: DictDB, filename: StrPath, allowed_dir: StrPath | None = None) -> int:
    """Change the tables as a delta says; return how many records were put or deleted.

    Tables that are not there are passed over. Others see all of it at one instant. After an error
    the tables have the records that they had, if not all at their places.

    A record of a delta that `save_delta` of this package wrote takes the place of the one with its
    key; as the original wrote them, its fields are merged into that one. Records are put without
    validation where none was, else a schema is kept to. Raises CorruptFileError, a ValueError,
    naming the table: the delta is none, or does not fit.
    """
    return _plain_delta.merge(db, _resolved(filename, allowed_dir))
