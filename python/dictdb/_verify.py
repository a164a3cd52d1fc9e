# SPDX-License-Identifier: Apache-2.0
"""Checks of files: every byte of one, of a backup set, or of a database's directory."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from dictdb import _core, _pickles, _plain_delta, _set
from dictdb._core import CorruptFileError, InvalidArgumentError, MissingFileError
from dictdb._progress import Steps, Tell, shown

_ATTEMPTS = 10
_KINDS = {
    "native": "a database, native format",
    "json": "a database, JSON",
    "pickle": "a database, pickled",
    "delta": "a delta",
    "log": "a segment of a log",
}


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a file.

    Attributes:
        path: the file.
        offset: the byte at which it is wrong, or None.
        message: what is wrong.
    """

    path: Path
    offset: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.path.name}: {self.message}"


@dataclass(frozen=True)
class CheckedFile:
    """A file that was checked.

    Attributes:
        path: the file.
        kind: ``"native"``, ``"json"``, ``"pickle"``, ``"delta"``, ``"log"``, or ``"unknown"`` when
            it is damaged.
        size: its bytes.
        records: how many records it has; None for deltas and logs.
        note: what is worth knowing, though nothing is wrong; or an empty text.
    """

    path: Path
    kind: str
    size: int
    records: int | None
    note: str = ""


class Report:
    """What `verify` found. It is true when nothing is wrong."""

    __slots__ = {
        "files": "Each file that was checked, in order.",
        "kind": "'file', 'backup set' or 'database'.",
        "path": "What was checked.",
        "problems": "What is wrong, in order.",
    }

    def __init__(
        self, path: Path, kind: str, files: list[CheckedFile], problems: list[Problem]
    ) -> None:
        self.path = path
        self.kind = kind
        self.files = tuple(files)
        self.problems = tuple(problems)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        count = f"{len(self.files)} file{'' if len(self.files) == 1 else 's'}"
        state = "sound" if self.ok else f"damaged: {self.problems[0]}"
        if len(self.problems) > 1:
            state += f", and {len(self.problems) - 1} more"
        return (
            f"<Report on the {self.kind} {str(self.path)!r}: {count}, {self.size:,} bytes, {state}>"
        )

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.kind}, {'sound' if self.ok else 'damaged'}"]
        wrong = {problem.path: problem for problem in self.problems}
        for file in self.files:
            problem = wrong.pop(file.path, None)
            state = problem.message if problem else file.note or "sound"
            kind = _KINDS.get(file.kind, "not known")
            lines.append(f"  {file.path.name}: {kind}, {file.size:,} bytes: {state}")
        lines.extend(f"  {problem}" for problem in wrong.values())
        return "\n".join(lines)


def verify(path: _set.StrPath, *, progress: _set.Progress | None = None) -> Report:
    """Check every byte of a file, of a backup set, or of a database's directory.

    What holds a whole database is loaded and thrown away again, deltas behind their base; a log is
    replayed. Nothing is changed or locked: a database may be open meanwhile, and a `BackupManager`
    may run.

    Parameters:
        path: a file that `save` or a `BackupManager` made, a segment of a log, the folder of a
            `BackupManager`, or the directory of `DictDB.open`.
        progress: called now and then with the bytes read, and the bytes there are; what it raises
            ends the check. True: a bar on standard error.

    Returns:
        A `Report`. It is true when nothing is wrong.

    Raises:
        MissingFileError: there is nothing at `path`.
        InvalidArgumentError: it is a folder with neither backups nor a database.
        StorageError: it cannot be read.
    """
    if not os.fspath(path):
        raise InvalidArgumentError("no path given")
    target = Path(path)
    try:
        target.stat()
    except FileNotFoundError:
        raise MissingFileError(errno.ENOENT, f"there is nothing at {str(target)!r}") from None
    except ValueError as error:
        raise InvalidArgumentError(f"not the name of a file: {str(target)!r}") from error
    with shown("verify", target, progress) as tell:
        if not target.is_dir():
            return _verify_file(target, tell)
        if _database_files(target):
            return _verify_database(target, tell)
        for _ in range(_ATTEMPTS):
            if not (backups := _set.list_backups(target)):
                break
            report = _verify_set(target, backups, tell)
            if report.files:  # Else all of it was removed meanwhile: it says nothing.
                return report
    raise InvalidArgumentError(f"there are no backups and no database in {str(target)!r}")


def _check(path: Path, tell: Tell | None) -> CheckedFile | Problem:
    try:
        if _plain_delta.is_one(path):
            _plain_delta.read(path)
            return CheckedFile(path, "delta", path.stat().st_size, None)
        if _pickles.is_one(os.fsencode(path)):
            return _check_pickle(path, tell)
        info = _set.Info(*_core._file_verify(os.fsencode(path), tell))
    except CorruptFileError as error:
        return Problem(path, getattr(error, "offset", None), str(error))
    holds_all = info.kind in ("native", "json")
    return CheckedFile(
        path, info.kind, info.size, info.record_count if holds_all else None, _note(info)
    )


def _check_pickle(path: Path, tell: Tell | None) -> CheckedFile:
    from dictdb._database import DictDB

    db = _pickles.load(DictDB, os.fsencode(path), tell)
    records = sum(table.count() for table in db.tables.values())
    return CheckedFile(path, "pickle", path.stat().st_size, records)


def _note(info: _set.Info) -> str:
    if info.kind == "log" and info.whole_size < info.size:
        rest = info.size - info.whole_size
        return (
            f"sound up to byte {info.whole_size:,}; the last {rest:,} bytes are a commit that was"
            " cut off, as by a crash: opening the database removes them"
        )
    return ""


class _Findings:
    """Files and problems, gathered."""

    def __init__(self) -> None:
        self.files: list[CheckedFile] = []
        self.problems: list[Problem] = []

    def add(self, path: Path, found: CheckedFile | Problem) -> None:
        if isinstance(found, Problem):
            self.problems.append(found)
            found = CheckedFile(path, "unknown", path.stat().st_size, None)
        self.files.append(found)


def _verify_file(path: Path, tell: Tell | None) -> Report:
    findings = _Findings()
    findings.add(path, _check(path, tell))
    return Report(path, "file", findings.files, findings.problems)


# --- Backup sets ---


def _verify_set(folder: Path, backups: list[_set.Backup], tell: Tell | None) -> Report:
    """Each file by itself, then each chain, from its last delta back."""
    findings = _Findings()
    steps = Steps(tell, 2 * sum(backup.size for backup in backups))
    for backup in backups:
        tell = steps.step(backup.size)
        try:
            findings.add(backup.path, _check(backup.path, tell))
        except FileNotFoundError:  # Removed meanwhile, as retention does.
            continue
    damaged = {problem.path for problem in findings.problems}
    seen: set[Path] = set()
    for index in range(len(backups) - 1, -1, -1):
        backup = backups[index]
        if backup.is_delta and backup.path not in seen | damaged and backup.path.exists():
            seen |= _verify_chain(backups, index, damaged, steps, findings)
    steps.end()
    return Report(folder, "backup set", findings.files, findings.problems)


def _verify_chain(
    backups: list[_set.Backup],
    index: int,
    damaged: set[Path],
    steps: Steps,
    findings: _Findings,
) -> set[Path]:
    """Whether the delta and those before it fit together: what was seen."""
    failed: list[int] = []
    chain = [backups[index]]
    try:
        chain = _set.chain_of(backups[index], backups[:index])
        if not damaged.intersection(backup.path for backup in chain):
            _set.load_chain(chain, steps.step(sum(b.size for b in chain)), failed)
    except CorruptFileError as error:
        path = chain[failed[0]].path if failed else chain[-1].path
        findings.problems.append(Problem(path, getattr(error, "offset", None), str(error)))
    except FileNotFoundError:
        pass  # Removed meanwhile, with what needed it.
    return {backup.path for backup in chain}


# --- Directories of databases ---


def _database_files(folder: Path) -> list[Path]:
    """Checkpoints, then segments, by number."""
    found = [
        path
        for pattern in ("checkpoint-*.dictdb", "log-*.ddl")
        for path in sorted(folder.glob(pattern))
    ]
    return [path for path in found if len(path.stem.rpartition("-")[2]) == 16]


def _verify_database(folder: Path, tell: Tell | None) -> Report:
    """Again when a checkpoint of the open database took files away meanwhile.

    Also when what looks damaged has grown: it was being written when it was read.
    """
    for attempt in range(_ATTEMPTS):
        before = _sizes(folder)
        try:
            report = _verify_database_once(folder, list(before), tell)
        except FileNotFoundError:
            if attempt == _ATTEMPTS - 1 or _sizes(folder) == before:
                raise
            continue
        now = _sizes(folder)
        moved = now.keys() != before.keys() or any(
            now.get(problem.path) != before.get(problem.path) for problem in report.problems
        )
        if report.ok or not moved:
            break
    return report


def _sizes(folder: Path) -> dict[Path, int]:
    """The files, in order, and their sizes. What goes meanwhile has none."""
    sizes = {}
    for path in _database_files(folder):
        try:
            sizes[path] = path.stat().st_size
        except FileNotFoundError:
            sizes[path] = -1
    return sizes


def _verify_database_once(folder: Path, files: list[Path], tell: Tell | None) -> Report:
    findings = _Findings()
    sizes = [path.stat().st_size for path in files]
    steps = Steps(tell, 2 * sum(sizes))
    for path, size in zip(files, sizes, strict=True):
        findings.add(path, _check(path, steps.step(size)))
    if not findings.problems:
        try:
            _core._directory_verify(os.fsencode(folder), steps.step(sum(sizes)))
        except CorruptFileError as error:
            path = next((path for path in files if path.name in str(error)), folder)
            findings.problems.append(Problem(path, getattr(error, "offset", None), str(error)))
    steps.end()
    return Report(folder, "database", findings.files, findings.problems)
