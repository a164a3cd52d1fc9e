# SPDX-License-Identifier: Apache-2.0
"""Joins in plain Python: random joins of tables, and the rows that they have."""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any, Literal

from dictdb import Join, Table
from query_twin import FIELDS, Record, equal, ordering

KEYS = ("id", "u", *FIELDS, "a", "b", "never")


@dataclasses.dataclass
class Joining:
    """One join with another table: how it is asked for, and the pairs that it means."""

    on: list[tuple[str, str]]
    how: Literal["inner", "left"]
    prefix: str | None

    def of(self, left: Table, right: Table) -> Join:
        on: Any = [a if a == b and self.prefix is None else (a, b) for a, b in self.on]
        return left.join(right, on[0] if len(on) == 1 else on, self.how, prefix=self.prefix)

    def names(self, left: Table, right: Table) -> dict[str, tuple[bool, str]]:
        """Of the rows, in order: is it the right side's, and which field."""
        shared = {b for a, b in self.on if a == b}
        names = {name: (False, name) for name in left.columns() or ["id"]}
        taken = set(names)
        for field in right.columns() or ["id"]:
            if self.prefix is not None:
                names[self.prefix + field] = (True, field)
            elif field not in shared:
                names[f"{right.table_name}.{field}" if field in taken else field] = (True, field)
        return names

    def pairs(self, left: list[Record], right: list[Record]) -> list[tuple[Record, Record]]:
        """In the order of the left side, then of the right one."""
        known: dict[Any, list[Record]] = {}
        for record in right:
            key = tuple(ordering(record.get(b)) for _, b in self.on)
            known.setdefault(key, []).append(record)
        pairs = []
        for record in left:
            values = [record.get(a) for a, _ in self.on]
            found = known.get(tuple(map(ordering, values)), ())
            found = [
                other
                for other in found
                if all(
                    value is not None and equal(value, other.get(b))
                    for value, (_, b) in zip(values, self.on, strict=True)
                )
            ]
            if found or self.how == "left":
                pairs += [(record, other) for other in found or [{}]]
        return pairs

    def rows(
        self, left: list[Record], right: list[Record], names: dict[str, tuple[bool, str]]
    ) -> list[Record]:
        return [
            {name: pair[is_right].get(field) for name, (is_right, field) in names.items()}
            for pair in self.pairs(left, right)
        ]


def random_joining(rng: Random, size: int) -> Joining:
    """Of few fields where there are few records: else there would be too many rows."""
    keys = [name for name in KEYS if size < 60 or name in ("id", "u", "never")]
    on = []
    for _ in range(1 if rng.random() < 0.7 else 2):
        a = rng.choice(keys)
        on.append((a, a if rng.random() < 0.6 else rng.choice(keys)))
    if size >= 60 and rng.random() < 0.7:
        on.append(("a", rng.choice(("a", "b"))))
    how: Literal["inner", "left"] = "left" if rng.random() < 0.5 else "inner"
    return Joining(list(dict.fromkeys(on)), how, rng.choice((None, None, "r.")))
