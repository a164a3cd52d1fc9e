# SPDX-License-Identifier: Apache-2.0
"""Every line of a ``console`` block of the documentation runs, and prints what is below it.

Sizes and times may be others; then columns are wider or narrower.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from command import SAYS_HOW_TO_DRAW, run
from helpers import ROOT
from snippets import snippets

BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documents() -> list[str]:
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        path.relative_to(ROOT).as_posix()
        for path in paths
        if BLOCK.search(path.read_text(encoding="utf-8"))
    ]


def examples(text: str) -> list[tuple[str, str]]:
    """Each command with what is printed."""
    found = []
    for block in BLOCK.findall(text):
        assert block.startswith("$ ")
        for part in block[2:].split("\n$ "):
            line, _, printed = part.partition("\n")
            found.append((line, printed.rstrip("\n")))
    return found


# What is not the same each time, and what stands for it.
VARYING = (
    (r"\b[\d,.]+ (?:bytes|[KMG]iB)", "SIZE"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", "TIME"),
    (r"_\d{10}_\d{6}\.", "_STAMP."),
    (r" {2,}", "  "),
    (r"─+", "─"),
    (r"\r\n", "\n"),  # As the lines of CSV end
)


def usual(text: str) -> str:
    """The text without what varies."""
    for pattern, stands_for in VARYING:
        text = re.sub(pattern, stands_for, text)
    return text.rstrip("\n")


@pytest.mark.parametrize("name", documents())
def test_every_command_prints_what_is_shown(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in SAYS_HOW_TO_DRAW:
        monkeypatch.delenv(variable, raising=False)
    for snippet in snippets(ROOT / name):
        snippet.run({"__name__": "__main__"})
    for line, expected in examples((ROOT / name).read_text(encoding="utf-8")):
        program, *arguments = shlex.split(line)
        assert program == "dictdb"
        done = run(*arguments)
        assert usual(done.out + done.err) == usual(expected), f"{line}\n{done.out}{done.err}"


def test_there_are_commands() -> None:
    assert "docs/command.md" in documents()


def test_what_differs_is_found() -> None:
    text = "```console\n$ dictdb a 'b c'\nx  z\n\ny\n$ dictdb d\n```\n"
    assert examples(text) == [("dictdb a 'b c'", "x  z\n\ny"), ("dictdb d", "")]
    assert usual("x   1.5 KiB\r\n──\n") == usual("x  64 bytes\n─")
    assert usual("dictdb_delta_1795443896_540881.dictdb 2026-11-23 14:24:56.537064") == (
        usual("dictdb_delta_1695443896_540882.dictdb 2026-11-24 14:24:56.537065")
    )
    assert usual("x  1\n") != usual("x  2\n")
    assert usual("x 1\n") != usual("x  1\n")
