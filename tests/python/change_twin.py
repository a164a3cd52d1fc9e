# SPDX-License-Identifier: Apache-2.0
"""Statements in plain Python: random updates and deletes, as calls of a table and as what they do
to a list of records."""

from __future__ import annotations

import copy
import dataclasses
from random import Random
from typing import Any

from dictdb import UNSET, Append, Condition, Remove, Table
from query_twin import (
    FIELDS,
    Reading,
    Record,
    equal,
    ordered,
    random_cond,
    random_order,
    random_term,
    random_value,
)

CHANGED = [name for name in FIELDS if name != "one"]
ITEMS = (1, "a", 2.0, None, True, [1])


class Refused(Exception):
    """The statement raises UnsupportedTypeError and changes nothing."""


@dataclasses.dataclass
class Change:
    """One field of an update: the library's, and the kind of change with what it reads."""

    given: Any
    kind: str  # set, unset, append, remove
    read: Reading = lambda record: None

    def apply(self, new: Record, old: Record, name: str) -> None:
        if self.kind == "set":
            new[name] = copy.deepcopy(self.read(old))
        elif self.kind == "unset":
            new.pop(name, None)
        else:
            self._items(new, old.get(name), self.read(old), name)

    def _items(self, new: Record, have: Any, item: Any, name: str) -> None:
        if have is None:
            if self.kind == "append":
                new[name] = [copy.deepcopy(item)]
            return
        if not isinstance(have, (list, tuple, set, frozenset)):
            raise Refused(have)
        items = list(have)
        is_set = isinstance(have, (set, frozenset))
        if self.kind == "remove":
            items = [each for each in items if not equal(each, item)]
        elif is_set and isinstance(item, (list, dict, set)):
            raise Refused(item)
        elif not is_set or not any(equal(each, item) for each in items):
            items.append(copy.deepcopy(item))
        new[name] = type(have)(items)


def random_changes(rng: Random) -> dict[str, Change]:
    changes: dict[str, Change] = {}
    for name in rng.sample(CHANGED, rng.choice((1, 1, 2, 3))):
        roll = rng.random()
        if roll < 0.3:
            value = random_value(rng)
            changes[name] = Change(value, "set", lambda record, value=value: value)
        elif roll < 0.65:
            of, read, _ = random_term(rng, 2)
            changes[name] = Change(of, "set", read)
        elif roll < 0.75:
            changes[name] = Change(UNSET, "unset")
        else:
            kind, make = rng.choice((("append", Append), ("remove", Remove)))
            if rng.random() < 0.3:
                of, read, _ = random_term(rng, 1)
                changes[name] = Change(make(of), kind, read)
            else:
                value = rng.choice(ITEMS)
                changes[name] = Change(make(value), kind, lambda record, value=value: value)
    return changes


@dataclasses.dataclass
class Step:
    """Some records, and what becomes of them; no changes: they are deleted."""

    where: Condition | None
    holds: Reading
    changes: dict[str, Change] | None
    key: Any = None  # of the only record, when it is not None
    order_by: list[Any] = dataclasses.field(default_factory=list)
    orders: list[Any] = dataclasses.field(default_factory=list)
    limit: int | None = None

    def chosen(self, records: list[Record]) -> list[Record]:
        if self.key is not None:
            return [record for record in records if record["id"] == self.key]
        found = ordered([record for record in records if self.holds(record)], self.orders)
        return found[: self.limit]

    def apply(self, records: list[Record]) -> tuple[list[Record], list[Record]]:
        """Returns the chosen records as they were and as they are. Refused."""
        chosen = self.chosen(records)
        old = [dict(record) for record in chosen]
        if self.changes is None:
            gone = set(map(id, chosen))
            records[:] = [record for record in records if id(record) not in gone]
            return old, []
        for record, before in zip(chosen, old, strict=True):
            for name, change in self.changes.items():
                change.apply(record, before, name)
        return old, [dict(record) for record in chosen]

    def given(self) -> dict[str, Any]:
        assert self.changes is not None
        return {name: change.given for name, change in self.changes.items()}


@dataclasses.dataclass
class Statement:
    """One call of update, update_many or delete."""

    steps: list[Step]
    name: str
    returning: str

    def run(self, table: Table) -> Any:
        call: Any = getattr(table, self.name)
        step = self.steps[0]
        if self.name == "update_many":
            updates = [
                (each.given(), each.where) if each.key is None else {"id": each.key, **each.given()}
                for each in self.steps
            ]
            return call(updates, returning=self.returning)
        options = {"order_by": step.order_by or None, "limit": step.limit}
        if self.name == "delete":
            return call(step.where, returning=self.returning, **options)
        return call(step.given(), step.where, returning=self.returning, **options)

    def apply(self, records: list[Record]) -> tuple[list[Record], Any]:
        """The records afterwards, and what the call returns. Refused."""
        after = [dict(record) for record in records]
        old: list[Record] = []
        new: list[Record] = []
        for step in self.steps:
            was, became = step.apply(after)
            old += was
            new += became
        return after, {"count": len(old), "old": old, "new": new}[self.returning]


def _random_where(rng: Random, records: list[Record]) -> tuple[Condition | None, Reading]:
    if rng.random() < 0.1:
        return None, lambda record: True
    return random_cond(rng, records, 2)


def random_statement(rng: Random, records: list[Record]) -> Statement:
    roll = rng.random()
    returning = rng.choice(("count", "old", "new"))
    if roll < 0.25 and records:
        steps = []
        for _ in range(rng.choice((1, 2, 3))):
            where, holds = random_cond(rng, records, 1)
            key = rng.choice(records)["id"] if rng.random() < 0.5 else None
            steps.append(Step(where, holds, random_changes(rng), key))
        return Statement(steps, "update_many", returning)
    where, holds = _random_where(rng, records)
    step = Step(where, holds, random_changes(rng))
    if rng.random() < 0.4:
        step.limit = rng.choice((0, 1, 3, 10))
    if rng.random() < 0.4:
        for _ in range(rng.choice((1, 2))):
            item, meaning = random_order(rng)
            step.order_by.append(item)
            step.orders.append(meaning)
    if roll < 0.5 and len(step.chosen(records)) * 3 <= len(records):
        step.changes = None
        return Statement([step], "delete", "old" if returning == "new" else returning)
    return Statement([step], "update", returning)
