#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the source lists of the meson.build files to the files that exist.

A source that no list names would not be built, and a test that no list names would not run.
With --write the lists are renewed instead.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def expected_lists() -> dict[str, dict[str, list[str]]]:
    """Returns {meson.build: {variable: sorted file names relative to that meson.build}}."""

    def names(folder: str, *patterns: str, relative_to: str) -> list[str]:
        base = ROOT / relative_to
        found = {path for pattern in patterns for path in (ROOT / folder).glob(pattern)}
        return sorted(path.relative_to(base).as_posix() for path in found)

    layers = ("base", "store", "query", "io")
    source_lists = {
        f"{layer}_sources": names(f"src/{layer}", "*.c", relative_to="src") for layer in layers
    }
    source_lists["extension_sources"] = names("src/python", "*.c", relative_to="src")
    tests = names("tests/c", "*.c", relative_to="tests/c")
    fuzz = names("tests/fuzz", "*.c", relative_to="tests/fuzz")
    package_patterns = ("dictdb/*.py", "dictdb/*.pyi", "dictdb/py.typed")
    return {
        "src/meson.build": source_lists,
        "tests/c/meson.build": {
            "c_tests": [name for name in tests if name.startswith("test_")],
            "c_test_support": [name for name in tests if not name.startswith("test_")],
        },
        "tests/fuzz/meson.build": {
            "fuzz_targets": [name for name in fuzz if name.startswith("fuzz_")],
            "fuzz_support": [name for name in fuzz if not name.startswith(("fuzz_", "seeds"))],
        },
        "benchmarks/meson.build": {
            "c_benchmarks": names("benchmarks", "*.c", relative_to="benchmarks")
        },
        "python/meson.build": {
            "python_sources": names("python", *package_patterns, relative_to="python"),
            "storage_sources": names("python/dictdb/storage", "*.py", relative_to="python"),
        },
    }


def renewed(text: str, variable: str, names: list[str]) -> str:
    """Returns `text` with the list of `variable` replaced by `names`."""
    body = "".join(f"  '{name}',\n" for name in names)
    pattern = re.compile(rf"^{variable} = files\(\n.*?^\)$", re.MULTILINE | re.DOTALL)
    result, count = pattern.subn(lambda _: f"{variable} = files(\n{body})", text)
    if count != 1:
        raise SystemExit(f"check_sources: error: no list {variable} = files(...)")
    return result


def problems(write: bool = False) -> list[str]:
    """Returns one line per list that differs from the files; renews it when `write`."""
    found = []
    for build_file, lists in expected_lists().items():
        path = ROOT / build_file
        before = text = path.read_text(encoding="utf-8")
        for variable, names in lists.items():
            after = renewed(text, variable, names)
            if after != text:
                found.append(f"{build_file}: {variable} does not list the files that exist")
            text = after
        if write and text != before:
            path.write_text(text, encoding="utf-8")
    return found


def main() -> int:
    """Runs the check, or renews the lists."""
    write = sys.argv[1:] == ["--write"]
    if sys.argv[1:] and not write:
        print("usage: tools/check_sources.py [--write]", file=sys.stderr)
        return 2
    found = problems(write)
    for line in found:
        print(f"{line}{' (renewed)' if write else ''}")
    if found and not write:
        print("check_sources: run tools/check_sources.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
