# SPDX-License-Identifier: Apache-2.0
"""The command ``dictdb``: looks into files of databases, asks them, converts them.

    arguments --> _cli_commands, _cli_backups --> _cli_show --> standard output
                       |
                   _cli_where (conditions as text)

It changes nothing that it reads. An error is one line on the error output, which says what to do
next; the exit status is 0 (done), 1 (the data is damaged or missing, or cannot be read or written),
2 (the arguments are wrong), 130 (Ctrl-C) or 141 (the reader of the output has gone).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn

import dictdb
from dictdb import _cli_backups, _cli_commands, _cli_show
from dictdb._cli_commands import DamagedError, FailedError, UsageError
from dictdb._cli_where import WhereError

OK, FAILED, WRONG, INTERRUPTED, CLOSED = 0, 1, 2, 130, 141
_COMPRESSION_MAX = 19

_DESCRIPTION = "Look into databases of DictDB; ask, convert, export, verify and restore them."
_EPILOG = """\
PATH is a file that was saved, in the format dictdb, json or pickle; the
directory of an opened database, open or not; a folder of backups, of which the
newest is read; or one table in a csv or ndjson file. It is not changed.

exit status:
  0  done
  1  the data is damaged or missing, or cannot be read or written
  2  the arguments are wrong

examples:
  dictdb info shop.dictdb
  dictdb head shop.dictdb users -n 5
  dictdb query shop.dictdb users --where 'age >= 18 and city in ("Oslo", "Rome")'
  dictdb convert shop.json shop.dictdb --compression 3
  dictdb export shop.dictdb users users.csv
  dictdb verify backups
  dictdb restore backups shop.dictdb --at '2024-05-01 12:30'
"""
_INFO_EPILOG = """\
examples:
  dictdb info shop.dictdb
  dictdb info shop.dictdb users    its fields, their least and greatest values
"""
_HEAD_EPILOG = """\
example:
  dictdb head shop.dictdb users -n 5 --columns 'name, age'
"""
_QUERY_EPILOG = """\
conditions are a small part of Python:
  age >= 18 and not name.startswith("A")     18 <= age < 65
  city in ("Oslo", "Rome")                   "admin" in tags
  address["city"] == "Oslo"                  email is None
  joined >= date("2024-05-01")               price * stock > 1000
  name.ilike("%smith%")                      field("any name") == 1
functions: field len date datetime time decimal uuid
methods: like ilike matches startswith endswith contains between is_in iequals
  icontains istartswith iendswith has_any has_all is_null is_not_null exists
aggregates: count count_distinct sum avg min max median stddev quantile first
  last collect

examples:
  dictdb query shop.dictdb users --where 'age >= 18' --order-by=-age --limit 10
  dictdb query shop.dictdb users --columns 'name, years=age' --json
  dictdb query shop.dictdb users --group-by city --aggregate 'mean=avg(age)'
  dictdb query shop.dictdb users --where 'email is None' --count
"""
_EXPORT_EPILOG = """\
examples:
  dictdb export shop.dictdb users users.csv --where 'city == "Oslo"'
  dictdb export shop.dictdb users - --to ndjson --columns 'id, name' | head

csv and ndjson files can be read back, json is a list of the same objects. See
the manual for how values are written.
"""
_VERIFY_EPILOG = """\
The exit status is 0 if all is sound, 1 if not. A database may be open meanwhile.

examples:
  dictdb verify shop.dictdb
  dictdb verify backups && rsync -a backups elsewhere:
"""
_RESTORE_EPILOG = """\
examples:
  dictdb restore backups --list
  dictdb restore backups shop.dictdb
  dictdb restore backups shop.json --at '2024-05-01 12:30'    the newest until then
  dictdb restore backups shop.dictdb --at -2                  the last but one
"""
_CONVERT_EPILOG = """\
examples:
  dictdb convert shop.json shop.dictdb --compression 3
  dictdb convert shop.dictdb shop.json --force
"""


# --- Arguments ---


class _ArgumentParser(argparse.ArgumentParser):
    """Raises what is wrong, in one line."""

    def error(self, message: str) -> NoReturn:
        if message.endswith("expected one argument"):
            message += "; one that begins with - is written behind =, as in --order-by=-age"
        raise UsageError(f"{message} (see {self.prog} --help)")


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"not a number from 0 on: {text!r}")
    return value


def _level(text: str) -> int:
    value = int(text) if text.isdecimal() and len(text) < 3 else -1
    if not 1 <= value <= _COMPRESSION_MAX:
        raise argparse.ArgumentTypeError(f"not a level from 1 to {_COMPRESSION_MAX}: {text!r}")
    return value


def _delimiter(text: str) -> str:
    text = "\t" if text == r"\t" else text
    if len(text) != 1:
        raise argparse.ArgumentTypeError(f"not one character: {text!r}")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = _ArgumentParser(
        prog="dictdb",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"dictdb {dictdb.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def begin(run: Callable[[argparse.Namespace], None], epilog: str) -> argparse.ArgumentParser:
        words = (run.__doc__ or "").strip()
        command: argparse.ArgumentParser = commands.add_parser(
            run.__name__,
            help=words[0].lower() + words[1:].rstrip("."),
            description=words,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", help="print JSON, for programs")
        return command

    def add(
        run: Callable[[argparse.Namespace], None], epilog: str, *, table: bool = False
    ) -> argparse.ArgumentParser:
        command = begin(run, epilog)
        command.add_argument("path", metavar="PATH", help="a file or folder of a database")
        if table:
            words = "may be left out if there is only one"
            command.add_argument("table", metavar="TABLE", nargs="?", help=words)
        words = "of PATH: dictdb, json, pickle, csv, ndjson (default: by its name and content)"
        formats = _cli_commands.FORMATS + _cli_commands.TABLE_FORMATS
        command.add_argument("--format", metavar="FORMAT", choices=formats, help=words)
        words = "the key's field, of csv and ndjson files (default: id)"
        command.add_argument("--key", metavar="FIELD", default="id", help=words)
        words = "of csv files (default: a comma; a tab in .tsv files)"
        command.add_argument("--delimiter", metavar="CHAR", type=_delimiter, help=words)
        words = "what stands for None in csv files (default: nothing)"
        command.add_argument("--null", metavar="TEXT", default="", help=words)
        return command

    command = add(_cli_commands.info, _INFO_EPILOG)
    command.add_argument("table", metavar="TABLE", nargs="?", help="tell of its fields")
    command = add(_cli_commands.head, _HEAD_EPILOG, table=True)
    words = "so many records (default: 10)"
    command.add_argument("-n", "--lines", metavar="N", type=_count, default=10, help=words)
    words = "fields and expressions, with commas"
    command.add_argument("--columns", metavar="LIST", help=words)
    _add_query_options(add(_cli_commands.query, _QUERY_EPILOG, table=True))
    _add_convert_options(add(_cli_commands.convert, _CONVERT_EPILOG))
    _add_export_options(add(_cli_commands.export, _EXPORT_EPILOG))
    command = begin(_cli_backups.verify, _VERIFY_EPILOG)
    command.add_argument("path", metavar="PATH", help="a file, or a folder of either kind")
    _add_restore_options(begin(_cli_backups.restore, _RESTORE_EPILOG))
    return parser


def _add_query_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--where", metavar="CONDITION", help="only records that it holds for")
    add("--columns", metavar="LIST", help="fields and expressions, with commas: a, total=b * c")
    add("--order-by", metavar="LIST", help="the same, descending behind a -: --order-by=-a,b")
    add("--limit", metavar="N", type=_count, help="so many at most (default: 1000, --json: all)")
    add("--offset", metavar="N", type=_count, default=0, help="without the first N")
    add("--distinct", action="store_true", help="equal rows once")
    add("--group-by", metavar="LIST", help="one row for each group, with --aggregate")
    words = "such as total=sum(price); may be repeated (default: count=count())"
    add("--aggregate", metavar="AGGREGATE", action="append", default=[], help=words)
    add("--having", metavar="CONDITION", help="only groups that it holds for")
    add("--count", action="store_true", help="print only how many records there are")
    add("--explain", action="store_true", help="print how the records would be found")


def _add_restore_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("path", metavar="BACKUPS", help="the folder of a BackupManager")
    add("target", metavar="TARGET", nargs="?", help="the file to write")
    words = "a time, a name or a number of --list (default: the newest backup)"
    add("--at", metavar="BACKUP", help=words)
    add("--list", action="store_true", help="list the backups, the oldest first")
    _add_save_options(command)


def _add_convert_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("target", metavar="TARGET", help="the file to write")
    _add_save_options(command)


def _add_save_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    formats = _cli_commands.FORMATS
    words = "its format: dictdb, json, pickle or directory (default: by its suffix)"
    add("--to", metavar="FORMAT", choices=formats, help=words)
    words = "1 to 19, for the formats dictdb and directory (default: none)"
    add("--compression", metavar="LEVEL", type=_level, default=0, help=words)
    add("--force", action="store_true", help="replace TARGET if it is there")


def _add_export_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("table", metavar="TABLE", nargs="?", help="may be left out if there is only one")
    add("target", metavar="TARGET", help="the file to write; - is the standard output")
    formats = _cli_commands.EXPORT_FORMATS
    words = "its format: csv, ndjson or json (default: by its suffix)"
    add("--to", metavar="FORMAT", choices=formats, help=words)
    add("--where", metavar="CONDITION", help="only records that it holds for")
    add("--columns", metavar="LIST", help="fields and expressions, with commas")
    add("--order-by", metavar="LIST", help="the same, descending behind a -: --order-by=-a,b")
    add("--limit", metavar="N", type=_count, help="so many at most")
    add("--force", action="store_true", help="replace TARGET if it is there")


# --- The command ---


def _fail(message: object, status: int) -> int:
    _flush()
    text = " ".join(str(message).split())
    print(f"dictdb: {_cli_show.cell(text)}", file=sys.stderr)
    return status


def _flush() -> None:
    """Write out what was printed, if that can be done."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        _forget_output()


def _forget_output() -> None:
    """Let Python's own flush at its end not fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _system_words(error: OSError) -> str:
    words = error.strerror or str(error)
    return f"{error.filename}: {words}" if error.filename else f"cannot write the output: {words}"


def _do(arguments: list[str] | None) -> int:
    """Do what is asked, and write it out: errors are raised."""
    status = OK
    try:
        options = _parser().parse_args(arguments)
        options.run(options)
    except SystemExit:  # How --help and --version end.
        pass
    except DamagedError:
        status = FAILED
    sys.stdout.flush()
    return status


def _run(arguments: list[str] | None) -> int:
    try:
        return _do(arguments)
    except (UsageError, WhereError, _cli_show.MissingLibraryError) as error:
        return _fail(error, WRONG)
    except (dictdb.InvalidArgumentError, dictdb.UnknownFieldError) as error:
        return _fail(error, WRONG)
    except (dictdb.DictDBError, FailedError) as error:
        return _fail(error, FAILED)
    except BrokenPipeError:
        raise
    except OSError as error:
        return _fail(_system_words(error), FAILED)
    except MemoryError:
        return _fail("there is not enough memory for this database", FAILED)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    # Python has None for streams that were closed before it began.
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
    if sys.stdout is None:
        print("dictdb: the standard output is closed", file=sys.stderr)
        return FAILED
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("dictdb: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return CLOSED
