# SPDX-License-Identifier: Apache-2.0
"""Backup sets: what is in a folder of backups, and back to any moment of it.

    base --before-- delta --before-- delta        base --before-- delta ...
    |                                             |
    dictdb_backup_<sec>_<usec>.<format>           the next chain

A file is found by its name and chained by its sum (docs/file-format.md), never by its place in the
folder: what somebody else left between two deltas does no harm. Only deltas of the original, which
have no sum, go on from the full backup before them and the others since.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dictdb import _async, _core, _pickles, _plain_delta
from dictdb._core import (
    CorruptFileError,
    DictDBError,
    InvalidArgumentError,
    MissingFileError,
    StorageError,
)
from dictdb._logging import logger
from dictdb._progress import Steps, Tell, shown

if TYPE_CHECKING:
    from dictdb._database import DictDB

StrPath: TypeAlias = str | os.PathLike[str]
Progress: TypeAlias = Tell | bool

_NAME = re.compile(
    r"dictdb_(?:backup_(\d+)_(\d{6})\.(json|dictdb|pickle)|delta_(\d+)_(\d{6})\.(?:dictdb|json))"
)
_ATTEMPTS = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Backup:
    """One backup of a set: a moment that `restore` can go back to.

    Attributes:
        path: the file.
        time: when the backup was made, in UTC.
        is_delta: whether it needs the files before it.
        size: bytes of the file.
    """

    path: Path
    time: datetime
    is_delta: bool
    size: int

    @property
    def name(self) -> str:
        """The file's name: what `restore(..., at=name)` takes."""
        return self.path.name

    def __str__(self) -> str:
        return f"{self.name} ({_text(self.time)})"


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC")


def _stamp_of(name: str) -> timedelta | None:
    """When a backup of this name was made, since 1970; None: it is not one's name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        since = timedelta(seconds=int(match[1] or match[4]), microseconds=int(match[2] or match[5]))
        _ = _EPOCH + since
    except OverflowError:
        return None
    return since


def backup_of(path: Path) -> Backup | None:
    """The backup that a file's name says it is, or None: no file is one that is called so.

    Raises MissingFileError when it is gone, StorageError when it cannot be looked at.
    """
    since = _stamp_of(path.name)
    if since is None:
        return None
    try:
        state = path.stat()
    except FileNotFoundError:
        raise MissingFileError(errno.ENOENT, f"there is no file {str(path)!r}") from None
    except OSError as error:
        raise StorageError(
            error.errno, f"cannot look at {str(path)!r}: {error.strerror}"
        ) from error
    if not stat.S_ISREG(state.st_mode):
        return None
    return Backup(path, _EPOCH + since, path.name.startswith("dictdb_delta_"), state.st_size)


def newest_stamp(folder: Path) -> int:
    """The greatest time in the names of a folder's backups, in microseconds; 0: there is none."""
    stamps = [_stamp_of(path.name) for path in folder.iterdir()]
    newest = max((stamp for stamp in stamps if stamp is not None), default=timedelta(0))
    return newest // timedelta(microseconds=1)


def list_backups(backup_dir: StrPath) -> list[Backup]:
    """Return the backups in a folder, the oldest first.

    They go by the files' names; `verify` checks what is in them. Raises MissingFileError when there
    is no such folder.
    """
    if not os.fspath(backup_dir):
        raise InvalidArgumentError("no path given")
    folder = Path(backup_dir)
    found = []
    for path in _folder_files(folder):
        try:
            backup = backup_of(path)
        except FileNotFoundError:  # Removed meanwhile, as retention does.
            continue
        if backup is not None:
            found.append(backup)
    return sorted(found, key=lambda backup: (backup.time, backup.name))


def _folder_files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        raise MissingFileError(errno.ENOENT, f"there is no folder {str(folder)!r}") from None
    except OSError as error:
        raise StorageError(
            error.errno, f"cannot list the folder {str(folder)!r}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise InvalidArgumentError(f"not the name of a folder: {str(folder)!r}") from error


@dataclass(frozen=True)
class Info:
    """What `ddb_file_info` of the library says; see include/dictdb.h."""

    kind: str
    size: int
    sum: int
    commit: int
    number: int
    base: int
    before: int
    table_count: int
    record_count: int
    operation_count: int
    whole_size: int


def describe(path: Path) -> Info:
    """Say what a file is, by little reading."""
    return Info(*_core._file_describe(os.fsencode(path)))


def chain_of(backup: Backup, older: list[Backup]) -> list[Backup]:
    """The files that make `backup`, its base first. `older`: what is before it, in order.

    Raises CorruptFileError when one of them is not there.
    """
    if is_plain_delta(backup):
        return _plain_chain(backup, older)
    chain = [backup]
    before = _before(backup)
    for candidate in reversed(older):
        if before is None:
            break
        if _sum(candidate) == before:
            chain.append(candidate)
            before = _before(candidate)
    if before is not None:
        raise _gap(chain[-1], older)
    return chain[::-1]


def is_plain_delta(backup: Backup) -> bool:
    """Whether it is a delta of the original, which has no sum."""
    return backup.is_delta and _plain_delta.is_one(backup.path)


def is_pickle(backup: Backup) -> bool:
    """Whether it is a full backup that no delta can name by a sum."""
    return backup.path.suffix == ".pickle"


def _plain_chain(backup: Backup, older: list[Backup]) -> list[Backup]:
    chain = [backup]
    for candidate in reversed(older):
        if not candidate.is_delta or is_plain_delta(candidate):
            chain.append(candidate)
        if not candidate.is_delta:
            return chain[::-1]
    raise CorruptFileError(f"{backup.name!r} goes on from a full backup that is not there")


def _gap(delta: Backup, older: list[Backup]) -> CorruptFileError:
    """The file before `delta` is missing, or so damaged that it is not known any more."""
    for candidate in reversed(older):
        if (
            candidate.time < delta.time
            and not is_pickle(candidate)
            and not is_plain_delta(candidate)
        ):
            try:
                _core._file_verify(os.fsencode(candidate.path), None)
            except CorruptFileError as error:
                refusal = CorruptFileError(f"{candidate.name!r}: {error}")
                refusal.offset = getattr(error, "offset", 0)
                return refusal
            if not candidate.is_delta:
                break
    return CorruptFileError(f"{delta.name!r} goes on from a file that is not there")


def _before(backup: Backup) -> int | None:
    return describe(backup.path).before if backup.is_delta else None


def _sum(backup: Backup) -> int | None:
    try:
        return describe(backup.path).sum or None
    except (DictDBError, OSError):
        return None


def load_chain(chain: list[Backup], tell: Tell | None, failed: list[int]) -> DictDB:
    """Load a base and its deltas. On errors `failed` gets the index of the file to blame."""
    from dictdb._database import DictDB

    plain = is_pickle(chain[0]) or is_plain_delta(chain[-1])
    native = chain[:1] if plain else chain
    steps = Steps(tell, sum(backup.size for backup in chain))
    at = 0
    try:
        step = steps.step(sum(backup.size for backup in native))
        if is_pickle(chain[0]):
            db = _pickles.load(DictDB, os.fsencode(chain[0].path), step)
        else:
            db = DictDB._load_chain(tuple(os.fsencode(b.path) for b in native), step, failed)
        for at in range(len(native), len(chain)):
            _plain_delta.apply(db, chain[at].path)
            if (step := steps.step(chain[at].size)) is not None:
                step(1, 1)
    except CorruptFileError:
        if not failed:
            failed.append(at)
        raise
    return db


def _keys_raise(db: DictDB, later: Backup) -> None:
    """Let automatic keys go on above those of a later backup."""
    if is_plain_delta(later):
        _plain_delta.keys_raise(db, later.path)
    elif is_pickle(later):
        _pickles.keys_raise(db, os.fsencode(later.path))
    else:
        db._keys_raise(os.fsencode(later.path))


# --- restore ---


def restore(
    backup_dir: StrPath,
    at: Backup | datetime | int | str | os.PathLike[str] | None = None,
    *,
    progress: Progress | None = None,
) -> DictDB:
    """Return a new database as it was at a backup of the folder.

    Automatic keys go on above the greatest that any later backup of the folder has seen for a table
    of the same name, so that no key is given out twice.

    Parameters:
        backup_dir: the folder of a `BackupManager`.
        at: ``None``: the newest backup. A datetime (naive: local time): the newest one made at or
            before it. An int: the one with this index in ``list_backups(backup_dir)``. One of
            those itself; a text or a path: the file's name.
        progress: called now and then with the bytes read, and the bytes there are; what it raises
            ends the restore. True: a bar on standard error.

    Raises:
        CorruptFileError: a file is damaged or missing: the message says which one and where, and
            what can be restored instead.
        MissingFileError: there is no such folder, or no backup in it, or what is read is removed
            again and again meanwhile.
        InvalidArgumentError: `at` names no backup.
        StorageError: a file cannot be read.
    """
    for _ in range(_ATTEMPTS):
        backups = list_backups(backup_dir)
        try:
            return _restore(backup_dir, backups, at, progress)
        except FileNotFoundError:  # Again if it was removed meanwhile, as retention does.
            if list_backups(backup_dir) == backups:
                raise
    raise MissingFileError(
        errno.ENOENT, f"backups in {os.fspath(backup_dir)!r} are removed while they are read"
    )


def _restore(
    backup_dir: StrPath, backups: list[Backup], at: object, progress: Progress | None
) -> DictDB:
    if not backups:
        raise MissingFileError(errno.ENOENT, f"there is no backup in {os.fspath(backup_dir)!r}")
    index = find(backups, at)
    with shown("restore", backups[index].path, progress) as tell:
        db = _load(backups, index, tell)
    for later in backups[index + 1 :]:
        try:
            _keys_raise(db, later)
        except (DictDBError, OSError) as error:
            logger.warning("restore: automatic keys of %s are not known: %s", later.name, error)
    return db


async def async_restore(
    backup_dir: StrPath, at: Backup | datetime | int | str | os.PathLike[str] | None = None
) -> DictDB:
    """Restore as `restore` does, without blocking the event loop.

    Cancelling the task ends the reading and waits for its end.
    """
    return await _async.run(lambda progress: restore(backup_dir, at, progress=progress))


def find(backups: list[Backup], at: object) -> int:
    """The index of the backup that `at` names, as `restore` takes it."""
    if isinstance(at, Backup):
        at = at.name
    if at is None:
        return len(backups) - 1
    if isinstance(at, datetime):
        return _find_time(backups, at)
    if isinstance(at, int) and not isinstance(at, bool):
        if -len(backups) <= at < len(backups):
            return at % len(backups)
        raise InvalidArgumentError(f"there are {len(backups)} backups, none has the index {at}")
    if isinstance(at, (str, os.PathLike)):
        return _find_name(backups, os.path.basename(os.fsdecode(at)))
    raise InvalidArgumentError(
        f"at must be a datetime, the index or the name of a backup, not {at!r}"
    )


def _find_time(backups: list[Backup], at: datetime) -> int:
    try:
        moment = at.astimezone(UTC)
    except (OverflowError, ValueError):  # At an end of what there is, some hours off UTC.
        moment = (datetime.max if at.year > 5000 else datetime.min).replace(tzinfo=UTC)
    found = [index for index, backup in enumerate(backups) if backup.time <= moment]
    if not found:
        raise InvalidArgumentError(
            f"no backup is as old as {_text(moment)}: the oldest is {backups[0]}"
        )
    return found[-1]


def _find_name(backups: list[Backup], name: str) -> int:
    for index, backup in enumerate(backups):
        if name in (backup.name, backup.path.stem):
            return index
    raise InvalidArgumentError(f"there is no backup {name!r}: the newest is {backups[-1].name!r}")


def _load(backups: list[Backup], index: int, tell: Tell | None) -> DictDB:
    wanted = backups[index]
    failed: list[int] = []
    chain: list[Backup] = []
    try:
        chain = chain_of(wanted, backups[:index])
        return load_chain(chain, tell, failed)
    except CorruptFileError as error:
        good = chain[: failed[0]] if failed else []
        instead = good[-1] if good else _newest_good(backups[:index])
        text = f"{wanted.name!r} cannot be restored: {error}"
        text += f"; what can be is {instead}" if instead else "; nor can any backup before it"
        refusal = CorruptFileError(text)
        refusal.offset = getattr(error, "offset", 0)
        raise refusal from error


def _newest_good(backups: list[Backup]) -> Backup | None:
    """The newest backup that loads."""
    for index in range(len(backups) - 1, -1, -1):
        try:
            load_chain(chain_of(backups[index], backups[:index]), None, [])
        except (DictDBError, OSError):
            continue
        return backups[index]
    return None
