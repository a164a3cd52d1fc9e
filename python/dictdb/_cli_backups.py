# SPDX-License-Identifier: Apache-2.0
"""The subcommands ``verify`` and ``restore``, of files, backups and directories of databases."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import dictdb
from dictdb import Backup, InvalidArgumentError, Report
from dictdb._cli_commands import DamagedError, FailedError, UsageError, missing, save
from dictdb._cli_show import (
    cell,
    counted,
    need_tables,
    number,
    print_json,
    print_line,
    print_table,
    progress,
    size,
)
from dictdb._progress import printable
from dictdb._set import find

_KINDS = {
    "native": "database",
    "json": "database, JSON",
    "pickle": "database, pickle",
    "delta": "delta",
    "log": "log",
    "unknown": "?",
}


# --- verify ---


def verify(options: argparse.Namespace) -> None:
    """Check every byte of a file, of a folder of backups, or of a database's directory."""
    path = Path(options.path)
    if not os.path.exists(options.path):
        raise missing(options.path)
    if not options.json:
        need_tables()
    with progress("checking", path) as tell:
        try:
            report = dictdb.verify(path, progress=tell)
        except InvalidArgumentError as error:
            raise FailedError(error) from None
    if options.json:
        print_json(_report_facts(report))
    else:
        _print_report(report)
    if not report.ok:
        raise DamagedError


def _report_facts(report: Report) -> dict[str, Any]:
    return {
        "path": str(report.path),
        "kind": report.kind,
        "sound": report.ok,
        "stored_bytes": report.size,
        "files": [
            {
                "path": str(file.path),
                "kind": file.kind,
                "stored_bytes": file.size,
                "records": file.records,
                "note": file.note,
            }
            for file in report.files
        ],
        "problems": [
            {"path": str(problem.path), "offset": problem.offset, "message": problem.message}
            for problem in report.problems
        ],
    }


def _print_report(report: Report) -> None:
    damaged = {problem.path for problem in report.problems}
    rows = [
        [
            cell(file.path.name),
            _KINDS[file.kind],
            size(file.size),
            "" if file.records is None else number(file.records),
            "damaged" if file.path in damaged else "sound",
        ]
        for file in report.files
    ]
    print_table(["file", "kind", "size", "records", "state"], rows, {"size", "records"})
    print()
    for problem in report.problems:
        print_line(str(problem))
    for file in report.files:
        if file.note and file.path not in damaged:
            print_line(f"{file.path.name}: {file.note}")
    state = "sound" if report.ok else counted(len(report.problems), "problem")
    words = f"{counted(len(report.files), 'file')}, {size(report.size)}"
    kind = "" if report.kind == "file" else f"{report.kind}, "
    print_line(f"{report.path}: {kind}{words}: {state}")


# --- restore ---


def restore(options: argparse.Namespace) -> None:
    """Write the database as it was at a backup to a file, or list the backups."""
    if not os.path.exists(options.path):
        raise missing(options.path)
    if not Path(options.path).is_dir():
        raise FailedError(f"{options.path!r} is no folder of backups: dictdb convert reads a file")
    backups = dictdb.list_backups(options.path)
    if not backups:
        raise FailedError(f"there is no backup in {options.path!r}")
    if options.list:
        if options.target is not None or options.at is not None:
            raise UsageError("--list goes with no TARGET and no --at")
        _list(options, backups)
        return
    if options.target is None:
        raise UsageError("name the file to write, or add --list to see the backups")
    backup = backups[find(backups, _moment(options.at))]

    def read() -> dictdb.DictDB:
        with progress("restoring", backup.name) as tell, _warnings_shown():
            return dictdb.restore(options.path, backup.name, progress=tell)

    save(options, read, {"backup": backup.name, "time": backup.time})


def _moment(text: str | None) -> datetime | int | str | None:
    """A number of the list, a time, or else a name."""
    if text is None:
        return None
    if re.fullmatch(r"-?\d{1,7}", text):
        return int(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """What the library warns of goes to the error output."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print(f"dictdb: {printable(record.getMessage())}", file=sys.stderr)

    handler = Handler(logging.WARNING)
    logger = logging.getLogger("dictdb")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _local(moment: datetime) -> datetime:
    try:
        return moment.astimezone()
    except (OverflowError, ValueError):  # At the end of all time, ahead of UTC.
        return moment


def _list(options: argparse.Namespace, backups: list[Backup]) -> None:
    if options.json:
        listed = [
            {
                "name": backup.name,
                "time": backup.time,
                "kind": "delta" if backup.is_delta else "full",
                "stored_bytes": backup.size,
            }
            for backup in backups
        ]
        print_json({"path": options.path, "backups": listed})
        return
    rows = [
        [
            str(index),
            _local(backup.time).strftime("%Y-%m-%d %H:%M:%S.%f"),
            "delta" if backup.is_delta else "full",
            size(backup.size),
            cell(backup.name),
        ]
        for index, backup in enumerate(backups)
    ]
    print_table(["number", "time", "kind", "size", "name"], rows, {"number", "size"})
    print()
    stored = sum(backup.size for backup in backups)
    print_line(f"{counted(len(backups), 'backup')}, {size(stored)}")
