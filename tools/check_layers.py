#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when an #include crosses a layer.

base -> store -> query | io: a layer includes itself and what stands left of it. The Python
binding sees include/dictdb.h, its own headers, Python's and the system's, and nothing else.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

ALLOWED = {
    "base": {"base"},
    "store": {"base", "store"},
    "query": {"base", "store", "query"},
    "io": {"base", "store", "io"},
    "python": {"python"},
}
PYTHON_HEADERS = {"Python.h", "structmember.h", "datetime.h", "pythread.h"}
C_HEADERS = {
    f"{name}.h"
    for name in (
        "assert ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign "
        "stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads "
        "time uchar wchar wctype "
        # POSIX and Linux
        "fcntl pthread sched sys/stat sys/syscall sys/time sys/types unistd"
    ).split()
}
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def resolve(path: Path, name: str, root: Path) -> Path | None:
    """Returns the file of the project that `name`, included by `path`, means."""
    for folder in (path.parent, root / "src", root / "include"):
        candidate = (folder / name).resolve()
        if candidate.is_file():
            return candidate
    return None


def problem_of(path: Path, quoted: str | None, angled: str | None, root: Path) -> str | None:
    """Returns what is wrong with one include of `path`, or None."""
    layer = path.relative_to(root / "src").parts[0]
    name = quoted or angled or ""
    target = resolve(path, name, root)
    if target is not None and target.is_relative_to(root / "src"):
        other = target.relative_to(root / "src").parts[0]
        return None if other in ALLOWED[layer] else f"layer {layer} includes layer {other}: {name}"
    if target is not None:
        return None
    if layer == "python":
        known = name in PYTHON_HEADERS or name in C_HEADERS
        return None if known else f"the binding may not include {name}"
    if name in PYTHON_HEADERS:
        return f"the core includes Python's {name}"
    return f"no such file: {name}" if quoted else None


def problems(root: Path = ROOT) -> list[str]:
    """Returns one line per include that crosses a layer."""
    root = root.resolve()
    found = []
    for path in sorted((root / "src").rglob("*.[ch]")):
        layer = path.relative_to(root / "src").parts[0]
        where = path.relative_to(root).as_posix()
        if layer not in ALLOWED:
            found.append(f"{where}: not in one of the layers {', '.join(ALLOWED)}")
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if match:
                problem = problem_of(path, match[1], match[2], root)
                if problem:
                    found.append(f"{where}:{number}: {problem}")
    return found


def main() -> int:
    """Prints the problems; the exit status says whether there are any."""
    found = problems()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
