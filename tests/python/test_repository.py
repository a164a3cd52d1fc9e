# SPDX-License-Identifier: Apache-2.0
"""The repository's own rules: layers, style, source lists. Each checker must also find a fault."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["check_layers", "check_sources", "check_style"])
def test_the_repository_keeps_the_rules(name: str) -> None:
    assert tool(name).problems() == []


@pytest.mark.parametrize(
    ("layer", "include", "crosses"),
    [
        ("base", '"store/rows.h"', True),
        ("store", '"base/lock.h"', False),
        ("query", '"io/json.h"', True),
        ("io", '"../query/plan.h"', True),
        ("io", '"store/rows.h"', False),
        ("store", '"nowhere.h"', True),
        ("store", "<Python.h>", True),
        ("python", "<Python.h>", False),
        ("python", '"dictdb.h"', False),
        ("python", '"base/lock.h"', True),
        ("python", "<xxhash.h>", True),
    ],
)
def test_the_layer_checker_finds(tmp_path: Path, layer: str, include: str, crosses: bool) -> None:
    headers = ("base/lock.h", "store/rows.h", "query/plan.h", "io/json.h", "python/glue.h")
    for header in headers:
        (tmp_path / "src" / header).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / header).touch()
    (tmp_path / "include").mkdir()
    (tmp_path / "include/dictdb.h").touch()
    (tmp_path / "src" / layer / "probe.c").write_text(f"#include {include}\n")
    assert bool(tool("check_layers").problems(tmp_path)) is crosses


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("int a;\n", "no line"),
        ("{spdx}\n" + "int a;\n" * 801, "lines, more than 800"),
        ("{spdx}\nint f(void) {{\n" + "  a();\n" * 100 + "}}\n", "f() has 102 lines"),
        ("{spdx}\n// TO" + "DO: all\n", "work left to do"),
        ("{spdx}\n// see /ro" + "ot/x\n", "a path of one machine"),
        ("{spdx}\n// see iss" + "ue 7\n", "an issue's number"),
    ],
)
def test_the_style_checker_finds(tmp_path: Path, text: str, complaint: str) -> None:
    spdx = "// SPDX-License-Identifier: Apache-2.0"
    (tmp_path / "probe.c").write_text(text.format(spdx=spdx))
    found = tool("check_style").problems(tmp_path)
    assert len(found) == 1
    assert complaint in found[0]


def test_the_style_checker_accepts_a_clean_file(tmp_path: Path) -> None:
    lines = ["// SPDX-License-Identifier: Apache-2.0", "#define F(x) {", "struct s { int a; };"]
    lines += ["static int f(int a) {", *["  a++;"] * 97, "  return a;", "}", ""]
    (tmp_path / "probe.c").write_text("\n".join(lines))
    assert tool("check_style").problems(tmp_path) == []


def test_one_version_is_named_everywhere() -> None:
    patterns = {
        "meson.build": r"version: '([^']+)'",
        "pyproject.toml": r'^version = "([^"]+)"',
        "include/dictdb.h": r'#define DDB_VERSION +"([^"]+)"',
    }
    versions = set()
    for name, pattern in patterns.items():
        match = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        assert match, name
        versions.add(match[1])
    assert len(versions) == 1


def functions_of(header: str) -> set[str]:
    """The functions that a C header declares for its users, inline ones too."""
    code = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    declared = re.findall(r"\bDDB_API\b[^;{]*?\b(ddb_\w+)\s*\(", code)
    inline = re.findall(r"\bstatic inline\b[^;{]*?\b(ddb_\w+)\s*\(", code)
    return {*declared, *inline}


def words(*texts: str) -> set[str]:
    return {word for text in texts for word in re.findall(r"\w+", text)}


def test_every_function_of_the_header_is_documented_and_tested() -> None:
    functions = functions_of((ROOT / "include" / "dictdb.h").read_text(encoding="utf-8"))
    assert {"ddb_db_new", "ddb_snapshot_close", "ddb_text", "ddb_status_name"} <= functions
    assert len(functions) > 150
    documented = words((ROOT / "docs" / "c-api.md").read_text(encoding="utf-8"))
    assert functions - documented == set()
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "c").glob("*.[ch]")]
    code = [re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL) for source in sources]
    assert functions - words(*code) == set()
    gone = {word for word in documented if re.fullmatch(r"ddb_\w+", word)} - words(
        (ROOT / "include" / "dictdb.h").read_text(encoding="utf-8")
    )
    assert gone == set(), "documented, and not there"


def test_the_functions_of_a_header() -> None:
    header = """
    /* DDB_API void ddb_not_one(void); */
    DDB_API const char *ddb_one(int a); /* static, never NULL */
    DDB_API void
    ddb_two(ddb_one_t *a, void (*call)(int)); DDB_API bool ddb_three (void);
    static inline ddb_value ddb_four(bool b) {
      return ddb_value_of(b);
    }
    typedef int (*ddb_callback)(void *context);
    """
    assert functions_of(header) == {"ddb_one", "ddb_two", "ddb_three", "ddb_four"}
