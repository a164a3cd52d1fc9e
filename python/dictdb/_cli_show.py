# SPDX-License-Identifier: Apache-2.0
"""What the command prints: tables for people, JSON for programs, progress on the way.

Text of a database never reaches a terminal as it is: what is not printable is shown escaped. On a
terminal a table is as wide as that, by leaving columns out, which a line below tells; in a pipe or
a file nothing is cut. JSON is complete.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from dictdb import InvalidArgumentError
from dictdb._progress import Bar, printable

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[int, int], object]
PROGRESS_AFTER = 0.5  # Seconds
_CELL_MAX = 32  # Characters of a cell on a terminal
_CUT_MIN = 8  # Characters of a column that is cut to fit
_BETWEEN = 2  # Blanks between columns, one of which is the box's
_WIDTH_MAX = 1_000_000  # Of what is no terminal


class MissingLibraryError(Exception):
    """The library that draws tables is not installed."""


# --- JSON ---


def plain(value: Any) -> Any:
    """A value as JSON has it; of what it does not have, the text."""
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, int) and _is_too_long(value):
        return hex(value)
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=repr)
    return _text(value)


def _is_too_long(value: int) -> bool:
    """Whether Python refuses to write it in decimal: that takes the square of its length."""
    most = sys.get_int_max_str_digits()
    return 0 < 3 * most < value.bit_length() and abs(value) >= 10**most


def _key(key: Any) -> str:
    return key if isinstance(key, str) else _text(key)


def _text(value: Any) -> str:
    if isinstance(value, int) and _is_too_long(value):
        return hex(value)
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, (Decimal, UUID, timedelta)) else repr(value)


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    print(json.dumps(plain(value), indent=2))


def print_json_list(records: Iterable[Mapping[str, Any]]) -> None:
    """A JSON list with one record on each line, printed as it is read."""
    separator = "["
    for record in records:
        print(separator, json.dumps(plain(record)), sep="\n", end="")
        separator = ","
    print("[]" if separator == "[" else "\n]")


# --- Words ---


def cell(value: Any) -> str:
    """A value on one line, with nothing in it that a terminal would act on."""
    if isinstance(value, (dict, list, tuple)):
        text = json.dumps(plain(value), ensure_ascii=False)
    else:
        text = value if isinstance(value, str) else str(plain(value))
    return printable(text)


def number(value: int) -> str:
    """An int as people read it."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """A number of things, such as ``2 tables``."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def size(value: int) -> str:
    """A number of bytes as people read it."""
    if value < 1024:
        return counted(value, "byte")
    amount, units = value / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    return f"{amount:,.1f} {units[0]}"


def print_line(text: str) -> None:
    """A line of words, which no terminal acts on."""
    print(cell(text))


# --- Tables ---


def _console(file: Any) -> Console:
    try:
        from rich.console import Console
    except ImportError:
        raise MissingLibraryError(
            "tables are drawn by the package 'rich', which is not installed: "
            "pip install 'dictdb[cli]', or add --json"
        ) from None
    return Console(file=file, width=_columns(file), highlight=False)


def _columns(file: Any) -> int:
    """How wide tables are: in a file or a pipe nothing is cut off, unless COLUMNS says so."""
    try:
        told = int(os.environ.get("COLUMNS", ""))
    except ValueError:
        told = 0
    if told > 0:
        return told
    return (shutil.get_terminal_size().columns or 80) if file.isatty() else _WIDTH_MAX


def need_tables() -> None:
    """Raise MissingLibraryError, before there is work in vain, when tables cannot be drawn."""
    _console(sys.stdout)


def print_table(columns: list[str], rows: list[list[str]], numeric: Iterable[str] = ()) -> int:
    """Draw a table as wide as the terminal; return how many columns are in it."""
    console = _console(sys.stdout)
    from rich import box
    from rich.table import Table
    from rich.text import Text

    widths = [_width(column, index, rows, console.width) for index, column in enumerate(columns)]
    shown = _fitting(widths, console.width)
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _BETWEEN - 1, 0, 0)
    )
    for index, column in enumerate(columns[:shown]):
        table.add_column(
            Text(cell(column)),
            justify="right" if column in numeric else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=widths[index],
        )
    for row in rows:
        table.add_row(*(Text(text) for text in row[:shown]))
    with console.capture() as capture:
        console.print(table, crop=False)
    for line in capture.get().splitlines():
        print(line.rstrip())
    return shown


def _width(column: str, index: int, rows: list[list[str]], limit: int) -> int:
    from rich.cells import cell_len

    widest = max((cell_len(row[index]) for row in rows), default=0)
    most = _CELL_MAX if limit < _WIDTH_MAX else widest
    return max(1, cell_len(cell(column)), min(widest, most))


def _fitting(widths: list[int], limit: int) -> int:
    """How many columns fit side by side; the last one may be cut, the first one always fits."""
    left = limit
    for count, width in enumerate(widths):
        if width > left:
            widths[count] = max(1, left)
            return count + 1 if count == 0 or left >= _CUT_MIN else count
        left -= width + _BETWEEN
    return len(widths)


def print_records(records: list[dict[str, Any]], names: list[str], words: str = "") -> None:
    """Draw records, with words below and, if so, how many columns are left out.

    names: the columns.
    """
    numeric = {
        name
        for name in names
        if all(_is_number(record[name]) for record in records if record.get(name) is not None)
        and any(record.get(name) is not None for record in records)
    }
    rows = [[cell(record[name]) if name in record else "" for name in names] for record in records]
    shown = print_table(names, rows, numeric)
    if shown < len(names):
        left_out = f"{shown} of {len(names)} columns fit, see --columns and --json"
        words = f"{words}; {left_out}" if words else left_out
    if words:
        print()
        print_line(words)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


# --- Progress ---


@contextmanager
def progress(verb: str, path: str | os.PathLike[str]) -> Iterator[Progress | None]:
    """A bar on the terminal's error output while work goes on; None when that is no terminal.

    What ends soon draws none.
    """
    if not sys.stderr.isatty():
        yield None
        return
    try:
        bar = Bar(verb, path, after=PROGRESS_AFTER, transient=True)
    except InvalidArgumentError:  # Nothing that draws is installed.
        yield None
        return
    try:
        yield bar
    finally:
        bar.close()
