#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the style rules that a formatter and a compiler do not see.

Every source file has an SPDX line; .c, .h and .py files have at most 800 lines (but for the public
header, which is one contract) and C functions at most 100; no file names a place of one machine, a
package host, an issue's number, or work left to do.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SPDX = "SPDX-License-Identifier: Apache-2.0"
FILE_LINES_MAX = 800
PUBLIC_HEADER = "include/dictdb.h"
FUNCTION_LINES_MAX = 100
SOURCE_SUFFIXES = {".c", ".h", ".py", ".pyi", ".build", ".options", ".toml", ".sh", ".supp"}
SOURCE_NAMES = {"Makefile", ".clang-format", ".clang-tidy", ".editorconfig"}
# This file has to spell out what it forbids.
SELF = "tools/check_style.py"

FORBIDDEN = (
    (re.compile(r"\b(?:TODO|FIXME|XXX)\b"), "work left to do belongs elsewhere"),
    (re.compile(r"(?<![\w.}])/(?:work|root|home/\w+|Users/\w+)(?:/|\b)"), "a path of one machine"),
    (re.compile(r"\bissues?\s+#?\d+\b|(?<![\w&%#/'\"])#\d{1,5}\b", re.I), "an issue's number"),
    (re.compile(r"deb\.debian\.org|pypi\.org|pythonhosted\.org", re.I), "a package host"),
)
LITERALS = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)


def files(root: Path) -> Iterator[Path]:
    """Yields the project's files: what git tracks, and what it would add."""
    command = ["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        names = sorted(filter(None, listing.split("\0")))
    except (OSError, subprocess.CalledProcessError):
        skipped = re.compile(r"^(?:\.git|\.venv[^/]*|build)/|/__pycache__/")
        every = (path.relative_to(root).as_posix() for path in root.rglob("*"))
        names = sorted(name for name in every if not skipped.search(name))
    for name in names:
        path = root / name
        if path.is_file() and not path.is_symlink():
            yield path


def functions(text: str) -> Iterator[tuple[int, int, str]]:
    """Yields (first line, lines, name) of each C function body in `text`."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    plain = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, LITERALS.sub(blank, text), flags=re.M)
    depth, statement, start = 0, 0, 0
    name: str | None = None
    for token in re.finditer(r"[{};]", plain):
        at, symbol = token.start(), token[0]
        if symbol == "{":
            if depth == 0:
                head = plain[statement:at]
                call = re.search(r"(\w+)\s*\(", head)
                is_function = call and head.rstrip().endswith(")") and "=" not in head
                name = call[1] if call and is_function else None
                start = at
            depth += 1
        elif symbol == "}":
            depth = max(0, depth - 1)
            if plain[at - 1 : at] == "\n":
                depth = 0  # A brace in the first column closes the function: found in step again.
            if depth == 0:
                if name:
                    first = plain.count("\n", 0, start) + 1
                    yield first, plain.count("\n", start, at) + 1, name
                name, statement = None, at + 1
        elif depth == 0:
            statement = at + 1


def problems_of(path: Path, where: str) -> Iterator[str]:
    """Yields one line per rule that the file breaks."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    lines = text.splitlines()
    is_script = text.startswith("#!")
    if path.suffix in SOURCE_SUFFIXES or path.name in SOURCE_NAMES or is_script:
        if not any(SPDX in line for line in lines[:5]):
            yield f"{where}:1: no line {SPDX!r} at the top"
    limited = path.suffix in {".c", ".h", ".py"} and where != PUBLIC_HEADER
    if limited and len(lines) > FILE_LINES_MAX:
        yield f"{where}:1: {len(lines)} lines, more than {FILE_LINES_MAX}"
    if path.suffix in {".c", ".h"}:
        for first, count, name in functions(text):
            if count > FUNCTION_LINES_MAX:
                yield f"{where}:{first}: {name}() has {count} lines, more than {FUNCTION_LINES_MAX}"
    if where != SELF:
        for number, line in enumerate(lines, 1):
            for pattern, meaning in FORBIDDEN:
                if pattern.search(line):
                    yield f"{where}:{number}: {meaning}: {line.strip()[:80]}"


def problems(root: Path = ROOT) -> list[str]:
    """Returns one line per rule that a file of the project breaks."""
    return [
        line
        for path in files(root)
        for line in problems_of(path, path.relative_to(root).as_posix())
    ]


def main() -> int:
    """Prints the problems; the exit status says whether there are any."""
    found = problems()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
