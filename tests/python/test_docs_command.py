# SPDX-License-Identifier: Apache-2.0
"""Every line of a ``console`` block of the documentation runs, and prints what is below it.

In what it prints ``...`` stands for anything on a line.
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


def matches(expected: str, printed: str) -> bool:
    pattern = ".*".join(map(re.escape, expected.split("...")))
    printed = printed.replace("\r\n", "\n").rstrip("\n")  # As the lines of CSV end
    return re.fullmatch(pattern, printed) is not None


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
        assert matches(expected, done.out + done.err), f"{line}\n{done.out}{done.err}"


def test_there_are_commands() -> None:
    assert "docs/command.md" in documents()


def test_what_differs_is_found() -> None:
    text = "```console\n$ dictdb a 'b c'\nx ... z\n\ny\n$ dictdb d\n```\n"
    assert examples(text) == [("dictdb a 'b c'", "x ... z\n\ny"), ("dictdb d", "")]
    assert matches("x ... z\n\ny", "x 1 z\n\ny\n")
    assert not matches("x ... z\n\ny", "x 1\n z\n\ny\n")
    assert not matches("x.z", "xyz")
