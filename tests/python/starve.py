# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="no-untyped-call"
"""Statements whose allocations fail, one after another: a program for a process that may crash.

    python starve.py library|interpreter [planted fault]

Each statement runs until none of its allocations is left to fail, those of the library or those of
the interpreter. Whenever one fails, either MemoryError comes and nothing has changed, or the
statement did without and gave what it gives. Nothing is leaked. Only when the interpreter has no
memory for the answer, which is made when the statement is done, all of it has happened.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import dictdb
from dictdb import Append, Avg, Collect, Count, DictDB, Max, Sum, Table, _core

ROWS = 40
# Bytes: names of fields, columns kept; one list of what is replaced, larger in the release build
SLACK = 4096 if hasattr(_core, "_test_starve") else 12 * 1024
STATEMENTS: dict[str, Callable[[Table, Table], Any]] = {
    "select": lambda u, o: u.select(
        ["name", ("twice", u.age * 2)],
        where=(u.age > 3) & ~(u.name == "user 7") | u.address["city"].is_in(["c1", "c2"]),
        order_by=["-age", "name"],
        limit=7,
        offset=1,
        distinct=True,
    ),
    "patterns": lambda u, o: u.count(
        u.name.like("user%1") | u.name.icontains("SER 2") | u.name.matches("r [3-5]$")
    ),
    "lists": lambda u, o: u.count(u.tags.has_any(["t1", 3]) | u.tags.contains("t2")),
    "order_by": lambda u, o: u.pluck("name", order_by=[u.age % 7, "-name"]),
    "index": lambda u, o: u.select(where=u.age.between(5, 15), order_by="age"),
    "union": lambda u, o: u.count((u.age < 5) | (u.city == "c1") | (u.id == 9)),
    "callable": lambda u, o: u.select(where=(u.age > 3) & (lambda row: row["age"] % 2 == 0)),
    "views": lambda u, o: [dict(row) for row in u.select(copy=False, limit=3)],
    "cursor": lambda u, o: list(u.iter(u.age > 3, batch_size=5)),
    "ordered cursor": lambda u, o: list(u.iter(order_by="-name", batch_size=5)),
    "first, one, exists": lambda u, o: (u.first(order_by="-age"), u.one(u.id == 3), u.exists()),
    "aggregate": lambda u, o: u.aggregate(
        u.age > 3,
        ["city"],
        having=dictdb.Field("n") > 1,
        order_by="-n",
        n=Count(),
        mean=Avg("age"),
        most=Max(u.age + 1),
        names=Collect("name"),
    ),
    "total": lambda u, o: u.aggregate(n=Count("age"), total=Sum(u.age * 3)),
    "join": lambda u, o: u.join(o, ("id", "user_id"), "left").select(
        ["name", "amount"], where=dictdb.Field("age") > 3, order_by="amount", limit=9
    ),
    "grouped join": lambda u, o: u.join(o, ("id", "user_id")).aggregate(
        group_by="city", n=Count(), total=Sum("amount")
    ),
    "explain": lambda u, o: u.explain((u.age > 3) & (u.city == "c1"), order_by="age").to_dict(),
    "explain, aggregate": lambda u, o: u.explain(
        group_by="city", n=Count(), having=dictdb.Field("n") > 1, limit=3
    ).to_dict(),
    "explain, join": lambda u, o: (
        u.join(o, ("id", "user_id")).join(u, ("user_id", "id"), prefix="x.").explain().to_dict()
    ),
    "insert": lambda u, o: u.insert({"name": "new", "address": {"city": ["a", {"b": (1, 2)}]}}),
    "insert many": lambda u, o: u.insert([{"name": f"new {n}", f"f{n}": n} for n in range(12)]),
    "upsert": lambda u, o: u.upsert({"id": 3, "age": 99}, returning="old"),
    "upsert, new": lambda u, o: u.upsert({"id": 300, "age": 1, "more": [1, "two"]}),
    "update": lambda u, o: u.update({"age": u.age + 1, "name": "x"}, where=u.age > 10),
    "update, lists": lambda u, o: u.update({"tags": Append("more")}, returning="new", limit=5),
    "update, callable": lambda u, o: u.update(
        {"age": lambda row: row["age"] * 2}, where=lambda row: row["age"] > 30
    ),
    "update_many": lambda u, o: u.update_many([{"id": n, "age": u.age + n} for n in range(1, 9)]),
    "delete": lambda u, o: u.delete(u.age > 3, order_by="-age", limit=5, returning="old"),
    "create_index": lambda u, o: u.create_index(["city", "name"], "sorted"),
    "drop_index": lambda u, o: u.drop_index("age"),
}
# Changes, and answers with more than a number.
ANSWERING = {"insert", "insert many", "upsert", "upsert, new", "update, lists", "delete"}


def make() -> tuple[Table, Table]:
    db = DictDB()
    users = db.create_table("users")
    orders = db.create_table("orders", schema={"user_id": int, "amount": float})
    users.insert(
        [
            {
                "name": f"user {n}",
                "age": n,
                "city": f"c{n % 5}",
                "address": {"city": f"c{n % 7}"},
                "tags": ["t1", n] if n % 3 else ["t2"],
            }
            for n in range(ROWS)
        ]
    )
    orders.insert([{"user_id": n % 17 + 1, "amount": n / 4} for n in range(ROWS)])
    users.create_index("age", "sorted")
    users.create_index("city")
    orders.create_index("user_id")
    return users, orders


def contents(tables: tuple[Table, Table]) -> Any:
    return [(table.select(), table.indexes()) for table in tables]


def held(tables: tuple[Table, Table]) -> int:
    return sum(table.memory()["total_bytes"] for table in tables)


def plan_library(count: int) -> None:
    _core._test_starve(count)


def end_library() -> bool:
    return not _core._test_starve(0)


def plan_interpreter(count: int) -> None:
    import _testcapi

    _testcapi.set_nomemory(count - 1, count)


def end_interpreter() -> bool:
    import _testcapi

    _testcapi.remove_mem_hooks()
    return True


def attempt(
    function: Callable[[Table, Table], Any],
    tables: tuple[Table, Table],
    count: int,
    plan: Callable[[int], None],
    end: Callable[[], bool],
) -> tuple[Any, BaseException | None, bool]:
    """The statement with its count-th allocation failing: result, error, did one fail?"""
    result, error = None, None
    users, orders = tables
    plan(count)
    try:
        result = function(users, orders)
    except BaseException as caught:
        error = caught
    happened = end()
    if error is not None:
        error.__traceback__ = None
        error.__context__ = None
    return result, error, happened


def starve(name: str, kind: str) -> int:
    """Returns how many times an allocation failed."""
    function = STATEMENTS[name]
    plan, end = {
        "library": (plan_library, end_library),
        "interpreter": (plan_interpreter, end_interpreter),
    }[kind]
    tables = make()
    expected = function(*make())
    after = make()
    function(*after)
    changed = contents(after)
    del after
    before = contents(tables)
    failures = quiet = bytes_held = 0
    for count in range(1, 5000):
        result, error, happened = attempt(function, tables, count, plan, end)
        now = contents(tables)
        if error is not None:
            failures += 1
            quiet = 0
            bytes_held = bytes_held or held(tables)
            leaked = held(tables) - bytes_held
            assert leaked <= SLACK, (name, count, leaked, "leaked")
            assert isinstance(error, MemoryError), (name, count, repr(error))
            done = kind == "interpreter" and name in ANSWERING and now == changed
            assert now == before or done, (name, count, "something has changed")
            if now != before:
                tables, bytes_held = make(), 0
            continue
        if not isinstance(expected, Table):
            assert result == expected, (name, count, "another result")
        assert now == changed, (name, count, "another change")
        del result
        if now != before:
            tables, bytes_held = make(), 0
        # The interpreter does not say whether it failed: many attempts without an error tell.
        quiet += 1
        if not happened or (kind == "interpreter" and quiet == 60):
            return failures
    raise AssertionError(f"{name}: no end")


def main(kind: str, fault: str | None = None) -> None:
    if kind == "library":
        _core._test_starve(0)
    if fault:
        _core._test_fault(fault)
    for name in STATEMENTS:
        sizes, failures = [], 0
        for _ in range(2 if kind == "library" else 1):
            failures = starve(name, kind)
            gc.collect()
            sizes.append(_core.process_memory())
        assert failures > 0, name
        assert sizes[-1] <= sizes[0] + SLACK, (name, sizes, "leaked")
        print(f"{name}: {failures}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
