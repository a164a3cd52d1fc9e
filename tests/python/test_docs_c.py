# SPDX-License-Identifier: Apache-2.0
"""Every C block of the documentation compiles against the header: programs as they are, statements
in a function that has the names of the page's first program.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers import ROOT

COMPILER = shutil.which(os.environ.get("CC", "cc"))
BLOCK = re.compile(r"^```c\n(.*?)^```", re.MULTILINE | re.DOTALL)
AROUND = """#include <dictdb.h>
void statements(ddb_db *db, ddb_table *users);
void statements(ddb_db *db, ddb_table *users) {{
  ddb_error err;
  (void)db;
{}
}}
"""


def blocks() -> list[tuple[str, str]]:
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        (f"{path.relative_to(ROOT)}-{number}", code)
        for path in paths
        for number, code in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")), 1)
    ]


def compile_block(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    source = folder / "block.c"
    source.write_text(code if "int main(" in code else AROUND.format(code), encoding="utf-8")
    command = [str(COMPILER), "-std=c17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    command += [f"-I{ROOT / 'include'}", str(source)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
@pytest.mark.parametrize(("name", "code"), blocks(), ids=lambda value: value[:40])
def test_every_c_block_compiles(name: str, code: str, tmp_path: Path) -> None:
    done = compile_block(code, tmp_path)
    assert done.returncode == 0, f"{name}\n{done.stderr}"


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_a_wrong_block_does_not(tmp_path: Path) -> None:
    assert len(blocks()) >= 3
    assert compile_block("ddb_table_insert(users);\n", tmp_path).returncode != 0
