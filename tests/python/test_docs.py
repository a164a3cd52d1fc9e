# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""Every Python block of the documentation runs, top to bottom, one namespace for each file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers import ROOT, Watchdog, in_thread
from snippets import snippets

# These leave names open and loop for ever: test_reference.py supplies what they need.
WITH_A_HARNESS = {"docs/concurrency.md", "docs/fr/concurrence.md"}


def documents() -> list[str]:
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    names = [path.relative_to(ROOT).as_posix() for path in paths if path.exists()]
    return [name for name in names if name not in WITH_A_HARNESS]


@pytest.mark.parametrize("name", documents())
def test_every_block_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for snippet in snippets(ROOT / name):
        try:
            in_thread(lambda snippet=snippet: snippet.run(namespace), timeout=60)
        except Watchdog:
            pytest.fail(f"{name}:{snippet.line} does not end")


def test_the_readme_shows_code() -> None:
    assert list(snippets(ROOT / "README.md"))


def test_a_marked_block_is_left_out(tmp_path: Path) -> None:
    document = tmp_path / "probe.md"
    document.write_text(
        "<!-- no-run -->\n```python\nraise SystemExit\n```\n\n```python\nx = 1\n```\n"
        "- item\n\n  ```python\n  if x:\n      y = 2\n  ```\n"
    )
    found = list(snippets(document))
    assert [snippet.line for snippet in found] == [7, 12]
    namespace: dict[str, Any] = {}
    for snippet in found:
        snippet.run(namespace)
    assert namespace["y"] == 2
