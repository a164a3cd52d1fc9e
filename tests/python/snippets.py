# SPDX-License-Identifier: Apache-2.0
"""Python blocks of Markdown files, compiled so that a traceback names the document's line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

_BLOCK = re.compile(
    r"(?P<mark><!--\s*no-run\s*-->\s*\n\s*)?^(?P<indent> *)```python[^\n]*\n(?P<code>.*?)^ *```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Snippet:
    """One block: its text as written, and where it is."""

    path: Path
    line: int
    source: str

    @property
    def code(self) -> CodeType:
        return compile("\n" * (self.line - 1) + self.source, str(self.path), "exec")

    def run(self, namespace: dict[str, Any]) -> None:
        exec(self.code, namespace)

    def defines(self, name: str) -> bool:
        return re.search(rf"^(?:async )?def {name}\(", self.source, re.MULTILINE) is not None


def snippets(path: Path) -> Iterator[Snippet]:
    text = path.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        if match["mark"]:
            continue
        indent = match["indent"]
        source = "".join(
            line.removeprefix(indent) for line in match["code"].splitlines(keepends=True)
        )
        yield Snippet(path, text.count("\n", 0, match.start("code")) + 1, source)
