# SPDX-License-Identifier: Apache-2.0
"""How a query is answered: what Table.explain() returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

_Node = tuple[int, str, str, int | None, int | None, float | None]


class Plan:
    """One step of a plan, with the steps that it takes its rows from as ``children``.

    ``step`` is ``scan`` (all rows), ``key`` (look-ups of primary keys), ``index`` (ranges of an
    index), ``walk`` (an index in its order), ``union``, ``intersection``, ``nothing``,
    ``filter``, ``sort``, ``top`` (a sort that keeps few), ``distinct``, ``slice`` or
    ``callable``. Of aggregates it is ``group`` or ``aggregate``, over the steps that find the
    records, or over ``index`` and ``count`` where those tell all. Of joins it is ``join``, over
    its left side and ``hash`` (the right side, once) or ``lookup`` (of each left record).
    """

    __slots__ = {
        "actual": "The number of rows it gave; None: it was not run.",
        "children": "The steps that it takes its rows from.",
        "detail": "What it is over, in words (str).",
        "estimate": "The number of rows it is thought to give; None: not known.",
        "seconds": "The time that it took with its children; None: it was not run.",
        "step": "The name of the step (str).",
    }

    def __init__(self, nodes: list[_Node]) -> None:
        depth, step, detail, estimate, actual, seconds = nodes[0]
        self.step: Final[str] = step
        self.detail: Final[str] = detail
        self.estimate: Final[int | None] = estimate
        self.actual: Final[int | None] = actual
        self.seconds: Final[float | None] = seconds
        starts = [i for i, node in enumerate(nodes) if node[0] == depth + 1]
        ends = [*starts[1:], len(nodes)]
        self.children: Final[list[Plan]] = [
            Plan(nodes[start:end]) for start, end in zip(starts, ends, strict=False)
        ]

    def walk(self) -> Iterator[Plan]:
        """This step, then all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def to_dict(self) -> dict[str, Any]:
        """The same as dicts and lists, for json.dumps()."""
        return {
            "step": self.step,
            "detail": self.detail,
            "estimate": self.estimate,
            "actual": self.actual,
            "seconds": self.seconds,
            "children": [child.to_dict() for child in self.children],
        }

    def _lines(self, indent: int) -> Iterator[str]:
        facts = []
        if self.estimate is not None:
            facts.append(f"about {self.estimate:,}")
        if self.actual is not None:
            facts.append(f"{self.actual:,} met")
        if self.seconds is not None:
            facts.append(f"{self.seconds * 1e3:.3f} ms")
        text = " ".join(filter(None, [self.step, self.detail]))
        yield "  " * indent + text + (f"  [{', '.join(facts)}]" if facts else "")
        for child in self.children:
            yield from child._lines(indent + 1)

    def __repr__(self) -> str:
        return "\n".join(self._lines(0))
