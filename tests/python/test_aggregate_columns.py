# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="arg-type"
"""Aggregates over the columns that are kept: the same answers as from the records, to the bit."""

from __future__ import annotations

import datetime
import math
import random
from decimal import Decimal
from typing import Any

import pytest

import dictdb
from dictdb import (
    Avg,
    Collect,
    Count,
    CountDistinct,
    DictDB,
    Field,
    First,
    Last,
    Max,
    Median,
    Min,
    StdDev,
    Sum,
    Table,
)
from helpers import sized
from samples import VALUES, exactly

BLOCK = 4096
EDGES = [2**63 - 1, -(2**63), 2**63 - 2, 0, 1, -1]


def kinds_of(rng: random.Random) -> dict[str, list[Any]]:
    """Fields, and what each can hold: a column of every kind, and none."""
    return {
        "codes": ["x", "y", None, 1, 1.0, True, "long " * 9, b"x", datetime.date(2026, 1, 2)],
        "ints": [rng.randrange(-5, 5), rng.randrange(10**6), None],
        "edges": [rng.choice(EDGES), rng.choice(EDGES), None],
        "reals": [rng.random(), 0.0, -0.0, math.inf, -math.inf, math.nan, None],
        "texts": [f"text-{rng.random()}", None],
        "mixed": [rng.random(), rng.randrange(10**12), f"text-{rng.random()}", None],
        "big": [rng.randrange(2**62, 2**66), -rng.randrange(2**70), 5, None],
        "sums": [Decimal(rng.randrange(100)).scaleb(-2), rng.randrange(9), 2**70, True, None],
        "any": VALUES,
    }


NUMBERS = ["ints", "edges", "reals", "big", "sums"]
ALWAYS = [Min, Max, First, Last, Count, CountDistinct, Collect]


def pair(count: int, rng: random.Random) -> tuple[Table, Table]:
    """The same rows in a table that keeps columns and in one that does not."""
    kept, none = Table("kept"), Table("none")
    kept.column_budget, none.column_budget = 1 << 30, 0
    rows = [
        {name: rng.choice(values) for name, values in kinds_of(rng).items()} for _ in range(count)
    ]
    for row in rows[::7]:
        del row[rng.choice(list(row))]
    for table in (kept, none):
        table.insert(rows)
    return kept, none


def random_aggregates(rng: random.Random) -> dict[str, dictdb.Aggregate]:
    fields = list(kinds_of(rng))
    named: dict[str, dictdb.Aggregate] = {"n": Count()}
    for number in range(rng.randrange(4)):
        named[f"a{number}"] = rng.choice(ALWAYS)(rng.choice(fields))
    for number in range(rng.randrange(4)):
        kinds = [Sum, Avg, Sum, Avg, Median, StdDev]
        field = rng.choice(NUMBERS)
        kind = Sum if field == "sums" else rng.choice(kinds)
        named[f"s{number}"] = kind(field)
    return named


def answer(table: Table, *args: Any, **named: Any) -> Any:
    try:
        return table.aggregate(*args, **named)
    except (ValueError, TypeError, OverflowError) as error:
        return repr(error)


@pytest.mark.timeout(120)
def test_columns_do_not_change_aggregates(rng: random.Random) -> None:
    count = sized(2 * BLOCK + 800, sanitized=1500)
    kept, none = pair(count, rng)
    fields = list(kinds_of(rng))
    for step in range(sized(24, sanitized=8)):
        group = rng.choice([None, *fields, ["codes", "ints"], ["any", "nowhere"]])
        where = rng.choice([None, Field("ints") > 2, Field("codes") == "x", Field("id") % 3 == 0])
        named = random_aggregates(rng)
        answers = [answer(table, where, group, **named) for table in (kept, kept, none)]
        assert exactly(answers[0], answers[2])
        assert exactly(answers[1], answers[2])
        for _ in range(rng.choice([0, 1, 30])):
            key, field = rng.randrange(count) + 1, rng.choice(fields)
            changes = {field: rng.choice(kinds_of(rng)[field])}
            for table in (kept, none):
                table.update(changes, where=Field("id") == key)
        if step % 4 == 3:
            for table in (kept, none):
                table.delete(where=Field("id") == step * 5)
    assert kept.memory()["column_bytes"] > 0 == none.memory()["column_bytes"]


def test_sums_of_ints_are_exact_beyond_their_kind() -> None:
    """A column of the largest ints, whose sums no int of the machine holds."""
    count = sized(2 * BLOCK, sanitized=1024)
    table = Table("t")
    table.column_budget = 1 << 30
    table.insert({"g": n % 3, "v": EDGES[n % 2] if n % 3 else 2**63 - 1} for n in range(count))
    rows = table.all()
    for _ in range(3):
        assert table.aggregate(s=Sum("v")) == {"s": sum(row["v"] for row in rows)}
        for row in table.aggregate(group_by="g", s=Sum("v"), a=Avg("v"), n=Count()):
            values = [r["v"] for r in rows if r["g"] == row["g"]]
            assert (row["s"], row["n"]) == (sum(values), len(values))
            assert row["a"] == sum(values) / len(values)
    assert table.memory()["column_bytes"] > 0


def test_a_group_keeps_the_value_that_came_first() -> None:
    """1, 1.0 and True are one group, named by the first of them, in each order of blocks."""
    for first, later in ((1, 1.0), (1.0, True), (True, 1), (0.0, -0.0), (-0.0, 0)):
        table = Table("t")
        table.column_budget = 1 << 30
        table.insert({"g": first if n < BLOCK else later, "v": 1} for n in range(BLOCK + 200))
        for _ in range(3):
            (row,) = table.aggregate(group_by="g", n=Count(), low=Min("g"), last=Last("g"))
            assert exactly(row["g"], first)
            assert exactly((row["low"], row["last"], row["n"]), (first, later, BLOCK + 200))


def test_groups_of_many_codes_and_of_dropped_rows() -> None:
    """Codes up to the last, rows that are gone, and a block that has other codes than the next."""
    table = Table("t")
    table.column_budget = 1 << 30
    table.insert({"g": f"{n % 256}" if n < BLOCK else n % 7, "v": n} for n in range(BLOCK + 500))
    table.delete(where=Field("id") % 11 == 0)
    table.delete(where=Field("g") == "255")
    expected: dict[Any, list[int]] = {}
    for row in table.all():
        expected.setdefault(row["g"], []).append(row["v"])
    for _ in range(3):
        got = table.aggregate(group_by="g", n=Count(), s=Sum("v"))
        assert got == [{"g": g, "n": len(v), "s": sum(v)} for g, v in expected.items()]
    assert table.memory()["column_bytes"] > 0


@pytest.mark.parametrize("budget", [0, 1 << 30])
def test_threads_do_not_change_answers(budget: int, rng: random.Random) -> None:
    """Sums of floats too, to the last digit."""
    count = sized(70_000, sanitized=2_000)
    db = DictDB()
    table, names = db.create_table("t"), db.create_table("names")
    table.column_budget = budget
    table.insert(
        {"g": n % 7, "v": rng.random() * 10.0 ** rng.randrange(-9, 9)} for n in range(count)
    )
    names.insert({"id": n, "name": f"name {n}"} for n in range(1, 6))
    joined = table.join(names, ("g", "id"), "left")
    named = {
        "n": Count(),
        "s": Sum("v"),
        "a": Avg("v"),
        "d": StdDev("v"),
        "first": First("v"),
        "last": Last("id"),
        "median": Median("v"),
        "kinds": CountDistinct("g"),
    }
    for where in (Field("v") < 1e3, Field("v") * 2 < 1e3, Field("id") % 3 != 0):
        alone = table.aggregate(where, threads=1, **named)
        groups = table.aggregate(where, "g", threads=1, **named)
        values = table.pluck("v", where=where, threads=1)
        pairs = joined.aggregate(where, "name", threads=1, **named)
        assert len(values) == alone["n"] > count // 3
        for threads in (2, 5, None):
            assert table.aggregate(where, threads=threads, **named) == alone
            assert table.aggregate(where, group_by="g", threads=threads, **named) == groups
            assert table.pluck("v", where=where, threads=threads) == values
            assert joined.aggregate(where, "name", threads=threads, **named) == pairs
    chosen = table.aggregate(lambda r: r["g"] == 3, threads=3, **named)
    assert chosen == table.aggregate(Field("g") == 3, threads=1, **named)


@pytest.mark.parametrize(
    ("threads", "error"), [(0, ValueError), (-1, ValueError), ("2", TypeError), (1.5, TypeError)]
)
def test_a_bad_number_of_threads_is_refused(threads: Any, error: type[Exception]) -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert({"v": 1})
    with pytest.raises(error, match="threads"):
        table.aggregate(n=Count(), threads=threads)
    with pytest.raises(error, match="threads"):
        table.pluck("v", threads=threads)
    with pytest.raises(error, match="threads"):
        table.join(table, "id", prefix="o.").aggregate(n=Count(), threads=threads)
