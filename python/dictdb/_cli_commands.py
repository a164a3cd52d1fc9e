# SPDX-License-Identifier: Apache-2.0
"""What each subcommand of the command ``dictdb`` does, given its parsed arguments.

Each function's first line is its help. They return nothing: what goes wrong is raised, and `_cli`
makes a message and an exit status of it.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import dictdb
from dictdb import (
    CorruptFileError,
    DictDB,
    DuplicateKeyError,
    Field,
    InvalidArgumentError,
    PrimaryKeyError,
    Table,
)
from dictdb._cli_show import (
    Progress,
    cell,
    counted,
    need_tables,
    number,
    print_json,
    print_json_list,
    print_line,
    print_records,
    print_table,
    progress,
    size,
)
from dictdb._cli_where import Parser

ROWS_MAX = 1000  # Of a table for people, unless --limit says otherwise
FORMATS = ("dictdb", "json", "pickle", "directory")  # Of whole databases
TABLE_FORMATS = ("csv", "ndjson")  # Of one table
EXPORT_FORMATS = ("csv", "ndjson", "json")
# Those of Table.aggregate itself
_RESERVED = frozenset({"where", "group_by", "having", "order_by", "limit", "offset", "threads"})
_SUFFIXES = {
    ".dictdb": "dictdb",
    ".ddb": "dictdb",
    ".json": "json",
    ".pickle": "pickle",
    ".pkl": "pickle",
    ".csv": "csv",
    ".tsv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}


class UsageError(Exception):
    """The arguments are wrong."""


class FailedError(Exception):
    """The data is not what it should be."""


class DamagedError(Exception):
    """What was checked is damaged, which has been told."""


# --- Databases and tables ---


def load(options: argparse.Namespace) -> DictDB:
    """Load a file, the directory of an opened database, or the newest of a folder of backups."""
    path = options.path
    if not os.path.exists(path):
        raise missing(path)
    file_format = options.format or _SUFFIXES.get(Path(path).suffix.lower())
    with progress("reading", path) as tell:
        try:
            if os.path.isdir(path):
                return _load_folder(path, tell)
            if file_format in TABLE_FORMATS:
                return _load_table(Path(path), file_format, options, tell)
            return DictDB.load(path, file_format, progress=tell)
        except CorruptFileError as error:
            if file_format in TABLE_FORMATS:
                raise
            named = str(error) if os.path.basename(path) in str(error) else f"{path!r}: {error}"
            if error.offset == 0 and not os.path.isdir(path):
                words = f" in the format {file_format!r}" if file_format else ""
                raise FailedError(f"{named}: this is no file of DictDB{words}") from None
            raise FailedError(f"{named}; restore it from a backup") from None


def _load_folder(path: str, tell: Progress | None) -> DictDB:
    try:
        return DictDB.load(path, "dictdb", progress=tell)
    except InvalidArgumentError:  # It is no database's.
        if not dictdb.list_backups(path):
            words = f"there are no backups and no database in the folder {path!r}"
            raise FailedError(words) from None
    try:
        return dictdb.restore(path, progress=tell)
    except CorruptFileError as error:
        raise FailedError(f"{error}: dictdb restore --at writes that to a file") from None


def _load_table(
    path: Path, file_format: str, options: argparse.Namespace, tell: Progress | None
) -> DictDB:
    """A database with a table of the file's name, without its suffix."""
    db = DictDB()
    try:
        if file_format == "csv":
            given = _csv_options(options, path)
            db.import_csv(path, path.stem, primary_key=options.key, progress=tell, **given)
        else:
            db.import_ndjson(path, path.stem, primary_key=options.key, progress=tell)
    except (DuplicateKeyError, PrimaryKeyError) as error:
        raise FailedError(f"{error}; --key names the field that is the key") from None
    except InvalidArgumentError as error:
        if re.search(r": line \d+: ", str(error)):  # What is in the file, not the arguments.
            raise FailedError(error) from None
        raise
    return db


def _csv_options(options: argparse.Namespace, path: Path) -> dict[str, Any]:
    by_suffix = "\t" if path.suffix.lower() == ".tsv" else ","
    return {"delimiter": options.delimiter or by_suffix, "null": options.null}


def missing(path: str) -> FailedError:
    """What to say of a path where nothing is."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        pass
    except OSError as error:
        return FailedError(f"cannot look at {path!r}: {error.strerror}")
    if os.path.islink(path):
        return FailedError(f"{path!r} is a link to what is not there")
    folder, name = os.path.split(path)
    words = f"there is no file {path!r}"
    try:
        near = difflib.get_close_matches(name, os.listdir(folder or "."), n=1)
    except OSError:
        return FailedError(f"{words}: there is no folder {folder!r} either")
    if near:
        words += f": did you mean {os.path.join(folder, near[0])!r}?"
    return FailedError(words)


def table_of(db: DictDB, name: str | None, path: str) -> Table:
    """The table of a name, or the only one."""
    names = db.list_tables()
    if not names:
        raise FailedError(f"the database {path!r} has no tables")
    if name is None and len(names) == 1:
        return db[names[0]]
    there = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    if name is None:
        raise UsageError(f"name one of the {len(names)} tables behind the file: {there}")
    if name in db:
        return db[name]
    near = difflib.get_close_matches(name, names, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"there are: {there}"
    raise UsageError(f"there is no table {name!r} in {path!r}; {advice}")


def _open_table(options: argparse.Namespace) -> tuple[Table, Parser]:
    table = table_of(load(options), options.table, options.path)
    # Of an empty table without a schema nothing is known: any field may be asked for.
    is_known = table.schema is not None or table.count() > 0
    return table, Parser(table.columns() if is_known else None)


# --- info ---


def info(options: argparse.Namespace) -> None:
    """Tell what is in a database, or in one of its tables."""
    if not options.json:
        need_tables()
    db = load(options)
    names = db.list_tables()
    if options.table is not None:
        names = [table_of(db, options.table, options.path).table_name]
    tables = [_facts(db[name]) for name in names]
    stored = _stored(Path(options.path))
    memory = db.memory()["total_bytes"]
    if options.table is not None:
        tables[0]["values"] = _values(db[names[0]], tables[0]["fields"])
    if options.json:
        facts = {"path": options.path, "stored_bytes": stored, "memory_bytes": memory}
        print_json({**facts, "tables": tables})
    elif options.table is not None:
        _print_table_facts(tables[0])
    else:
        words = f"{options.path}: {counted(len(tables), 'table')}, {size(stored)}"
        print_line(f"{words} stored, {size(memory)} in memory")
        if tables:
            print()
            _print_tables(tables)


def _stored(path: Path) -> int:
    """The bytes of a file, or of the files of a folder, which may go meanwhile."""
    if not path.is_dir():
        return path.stat().st_size
    total = 0
    for each in path.iterdir():
        try:
            total += each.stat().st_size if each.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def _facts(table: Table) -> dict[str, Any]:
    """What `--json` tells of a table."""
    schema = table.schema
    return {
        "name": table.table_name,
        "records": table.count(),
        "primary_key": table.primary_key,
        "fields": table.columns(),
        "schema": None if schema is None else {k: _type_name(v) for k, v in schema.items()},
        "indexes": [
            {"fields": i["fields"], "type": i["index_type"], "unique": i["unique"]}
            for i in table.indexes()
        ],
        "memory_bytes": table.memory()["total_bytes"],
    }


def _type_name(kind: Any) -> str:
    if isinstance(kind, dictdb.Column):
        return _type_name(kind.type)
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _values(table: Table, fields: Iterable[str]) -> dict[str, dict[str, Any]]:
    """For each field how many values it has, the least and the greatest."""
    fields = list(fields)
    asked: dict[str, Any] = {}
    for index, field in enumerate(fields):
        asked[f"count_{index}"] = dictdb.Count(Field(field))
        asked[f"min_{index}"] = dictdb.Min(Field(field))
        asked[f"max_{index}"] = dictdb.Max(Field(field))
    found = table.aggregate(**asked) if fields else {}
    return {
        field: {kind: found[f"{kind}_{index}"] for kind in ("count", "min", "max")}
        for index, field in enumerate(fields)
    }


def _print_tables(tables: list[dict[str, Any]]) -> None:
    rows = [
        [
            cell(table["name"]),
            number(table["records"]),
            cell(table["primary_key"]),
            number(len(table["fields"])),
            "yes" if table["schema"] is not None else "no",
            cell(", ".join(map(_index_name, table["indexes"])) or "none"),
        ]
        for table in tables
    ]
    headings = ["table", "records", "key", "fields", "schema", "indexes"]
    print_table(headings, rows, {"records", "fields"})


def _print_table_facts(table: dict[str, Any]) -> None:
    schema = table["schema"]
    words = f"{table['name']}: {counted(table['records'], 'record')}, key {table['primary_key']}"
    print_line(f"{words}, {size(table['memory_bytes'])} in memory")
    indexes = ", ".join(map(_index_name, table["indexes"]))
    print_line(f"indexes: {indexes or 'none'}")
    if not table["values"]:
        return
    print()
    rows = []
    for field, values in table["values"].items():
        shown = [cell(values[kind]) if values["count"] else "" for kind in ("min", "max")]
        types = [cell(schema.get(field, ""))] if schema is not None else []
        rows.append([cell(field), *types, number(values["count"]), *shown])
    types = ["type"] if schema is not None else []
    print_table(["field", *types, "values", "least", "greatest"], rows, {"values"})


def _index_name(index: dict[str, Any]) -> str:
    fields = "+".join(map(_path_name, index["fields"]))
    return f"{fields} ({'unique ' if index['unique'] else ''}{index['type']})"


def _path_name(field: Any) -> str:
    if isinstance(field, str):
        return field
    return str(field[0]) + "".join(f"[{step!r}]" for step in field[1:])


# --- head and query ---


def head(options: argparse.Namespace) -> None:
    """Show the first records of a table."""
    if not options.json:
        need_tables()
    table, parser = _open_table(options)
    columns = parser.columns(options.columns)
    records = table.select(columns or None, limit=options.lines)
    if options.json:
        print_json_list(records)
    elif not records:
        print_line("no records")
    else:
        total = table.count()
        words = f"{number(len(records))} of {counted(total, 'record')}"
        print_records(records, _names(columns, table), words)


def query(options: argparse.Namespace) -> None:
    """Show the records that a condition holds for, or aggregates of them."""
    _check_query(options)
    if not (options.json or options.count or options.explain):
        need_tables()
    table, parser = _open_table(options)
    where = parser.condition(options.where) if options.where is not None else None
    if options.count:
        print(table.count(where))
    elif options.group_by or options.aggregate:
        _query_groups(options, table, parser, where)
    else:
        _query_records(options, table, parser, where)


def _check_query(options: argparse.Namespace) -> None:
    grouped = bool(options.group_by or options.aggregate)
    given = {
        "--count": options.count,
        "--explain": options.explain,
        "--columns": options.columns,
        "--distinct": options.distinct,
        "--order-by": options.order_by,
        "--limit": options.limit is not None,
        "--offset": options.offset > 0,
    }
    rows = ("--order-by", "--limit", "--offset")
    refused: tuple[str, ...] = ()
    if options.count:
        refused, subject = ("--explain", "--columns", "--distinct", *rows), "--count"
    elif grouped:
        refused, subject = ("--explain", "--columns", "--distinct"), "--group-by and --aggregate"
        refused += () if options.group_by else rows
    if options.count and grouped:
        raise UsageError("--count goes with --where alone: write --aggregate 'count()'")
    for name in refused:
        if given[name]:
            raise UsageError(f"{name} does not go with {subject}")
    if options.having is not None and not options.group_by:
        raise UsageError("--having is about groups: add --group-by")


def _query_groups(options: argparse.Namespace, table: Table, parser: Parser, where: Any) -> None:
    named = dict(parser.aggregate(text) for text in options.aggregate or ["count=count()"])
    if len(named) < len(options.aggregate):
        raise UsageError("two aggregates have the same name: write such as --aggregate 'n=count()'")
    for name in _RESERVED.intersection(named):
        raise UsageError(f"an aggregate cannot be called {name!r}: write such as {name}_=count()")
    groups = parser.columns(options.group_by)
    names = [*(name for name, _ in groups), *named]
    limit = options.limit
    asked: dict[str, Any] = dict(named)
    if groups:
        of_groups = Parser(names)
        having = options.having
        asked["group_by"] = groups
        asked["having"] = of_groups.condition(having) if having is not None else None
        asked["order_by"] = of_groups.order(options.order_by) or None
        asked["limit"] = ROWS_MAX + 1 if limit is None and not options.json else limit
        asked["offset"] = options.offset
    made = table.aggregate(where, **asked)
    found = made if groups else [made]
    if options.json:
        print_json_list(found)
    elif groups:
        _print_first(found, names, limit, "group")
    else:
        print_records(found, names)


def _print_first(
    found: list[dict[str, Any]], names: list[str], limit: int | None, noun: str
) -> None:
    """Draw records, no more than a person wants to see unless a limit was given."""
    if limit is None and len(found) > ROWS_MAX:
        words = f"the first {number(ROWS_MAX)} {noun}s: --limit says how many, --json gives all"
        print_records(found[:ROWS_MAX], names, words)
    elif found:
        print_records(found, names, counted(len(found), noun))
    else:
        print_line(f"no {noun}s")


def _query_records(options: argparse.Namespace, table: Table, parser: Parser, where: Any) -> None:
    columns = parser.columns(options.columns)
    limit = options.limit
    asked: dict[str, Any] = {
        "order_by": parser.order(options.order_by) or None,
        "offset": options.offset,
        "distinct": options.distinct,
    }
    if options.explain:
        plan = table.explain(where, columns=columns, limit=limit, **asked)
        if options.json:
            print_json(plan.to_dict())
        else:
            for line in str(plan).splitlines():
                print_line(line)
    elif options.json:
        with table.iter(where, columns=columns or None, limit=limit, **asked) as records:
            print_json_list(records)
    else:
        most = ROWS_MAX + 1 if limit is None else limit
        found = table.select(columns or None, where, limit=most, **asked)
        _print_first(found, _names(columns, table), limit, "record")


def _names(columns: list[tuple[str, Any]], table: Table) -> list[str]:
    """The columns of a table for people: those asked for, else all fields."""
    return [name for name, _ in columns] or table.columns()


# --- convert ---


def convert(options: argparse.Namespace) -> None:
    """Write a database to a file of another format."""
    save(options, lambda: load(options), {})


def save(options: argparse.Namespace, read: Callable[[], DictDB], facts: dict[str, Any]) -> None:
    """Write what `read` gives to the target, and tell of it; facts: what `--json` tells, too."""
    target = Path(options.target)
    if not options.target:
        raise UsageError("TARGET is empty: name the file to write")
    file_format = options.to or _SUFFIXES.get(target.suffix.lower())
    if options.to is None and options.target.endswith(os.sep):
        file_format = "directory"
    if file_format in TABLE_FORMATS:
        raise UsageError(f"{file_format} holds one table: use dictdb export")
    if file_format is None:
        raise UsageError(
            f"the suffix of {target.name!r} says no format: add --to FORMAT,"
            " or a / at its end for a directory"
        )
    if options.compression and file_format not in ("dictdb", "directory"):
        raise UsageError("--compression is for the formats dictdb and directory")
    if file_format == "directory":
        _refuse_to_fill(target)
    else:
        refuse_to_replace(target, options.force)
    db = read()
    with progress("writing", target) as tell:
        db.save(target, file_format, compression=options.compression, progress=tell)
    records = sum(table.count() for table in db.tables.values())
    stored = target.stat().st_size
    if target.is_dir():
        stored = sum(file.stat().st_size for file in target.iterdir())
    if options.json:
        facts = {"path": options.target, "format": file_format, **facts, "tables": len(db)}
        print_json({**facts, "records": records, "stored_bytes": stored})
    else:
        words = f"{counted(len(db), 'table')}, {counted(records, 'record')}, {size(stored)}"
        print_line(f"{target}: {words}")


def _refuse_to_fill(target: Path) -> None:
    """Raise FailedError when no directory can be made: --force does not empty one."""
    if target.is_dir():
        if any(file.name != "LOCK" for file in target.iterdir()):
            raise FailedError(f"the folder {str(target)!r} is not empty: name another one")
    elif target.exists():
        raise FailedError(f"{str(target)!r} is there already, and no folder")
    if not target.parent.is_dir():
        raise FailedError(f"there is no folder {str(target.parent)!r}: make it first")


def refuse_to_replace(target: Path, force: bool) -> None:
    """Raise FailedError when something is there already."""
    if target.is_dir():
        raise FailedError(f"{str(target)!r} is a folder: name a file to write")
    if target.exists() and not target.is_file():
        raise FailedError(f"{str(target)!r} is a device or a pipe: name a file to write")
    if os.path.lexists(target) and not force:
        raise FailedError(f"{str(target)!r} is there already: add --force to replace it")
    if not target.parent.is_dir():
        raise FailedError(f"there is no folder {str(target.parent)!r}: make it first")


# --- export ---


def export(options: argparse.Namespace) -> None:
    """Write records of a table to a CSV, NDJSON or JSON file."""
    is_piped = options.target == "-"
    target = Path(options.target)
    file_format = options.to or _SUFFIXES.get(target.suffix.lower())
    if is_piped and options.to is None:
        raise UsageError("the standard output has no suffix: add --to csv, ndjson or json")
    if is_piped and options.json:
        raise UsageError("--json would print to the standard output as well: name a file")
    if file_format not in EXPORT_FORMATS:
        known = ", ".join(EXPORT_FORMATS)
        raise UsageError(f"the suffix of {target.name!r} is of no table: add --to {known}")
    if not is_piped:
        refuse_to_replace(target, options.force)
    table, parser = _open_table(options)
    if not is_piped and file_format != "json":
        count = _export(options, table, parser, target, file_format)
    else:
        beside = None if is_piped else target.parent
        with tempfile.TemporaryDirectory(prefix=".dictdb-", dir=beside) as folder:
            written = Path(folder, "records")
            count = _export(options, table, parser, written, file_format)
            if is_piped:
                _copy_to_output(written, as_list=file_format == "json")
                return
            _replace(target, _as_list(written))
    stored = target.stat().st_size
    if options.json:
        facts = {"path": options.target, "format": file_format}
        print_json({**facts, "records": count, "stored_bytes": stored})
    else:
        print_line(f"{target}: {counted(count, 'record')}, {size(stored)}")


def _export(
    options: argparse.Namespace,
    table: Table,
    parser: Parser,
    path: Path,
    file_format: str,
) -> int:
    where = parser.condition(options.where) if options.where is not None else None
    columns = parser.columns(options.columns)
    order = parser.order(options.order_by)
    given: dict[str, Any] = {}
    if columns or file_format == "csv":
        given["columns"] = _names(columns, table)
    if file_format == "csv":
        given.update(_csv_options(options, Path(options.target)))
    if columns or order or options.limit is not None:
        asked: dict[str, Any] = {"order_by": order or None, "limit": options.limit}
        chosen = table.select(columns or None, where, **asked)
        where = None
        if columns:
            given["records"] = chosen
        else:  # What a record does not have stays missing.
            table = Table(table.table_name, primary_key=table.primary_key)
            table.insert(chosen)
    write = table.export_csv if file_format == "csv" else table.export_ndjson
    with progress("writing", options.target) as tell:
        return write(path, where=where, progress=tell, **given)


def _as_list(path: Path) -> Iterator[bytes]:
    """The lines of an NDJSON file as one JSON list."""
    separator = b"[\n"
    with path.open("rb") as lines:
        for line in lines:
            yield separator + line.rstrip(b"\n")
            separator = b",\n"
    yield b"[]\n" if separator == b"[\n" else b"\n]\n"


def _copy_to_output(path: Path, *, as_list: bool) -> None:
    sys.stdout.flush()
    output = sys.stdout.buffer
    if as_list:
        output.writelines(_as_list(path))
    else:
        with path.open("rb") as lines:
            shutil.copyfileobj(lines, output)
    output.flush()


def _replace(target: Path, parts: Iterable[bytes]) -> None:
    """Write a file as a whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".dictdb-", delete=False) as file:
        try:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(file.name, 0o666 & ~umask)
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise
