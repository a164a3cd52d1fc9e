# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""The account of bytes: what is released is gone, what old versions hold is told."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from dictdb import Count, DictDB, Field, Table, _core
from helpers import accounted, nothing_leaked, run_threads, wait_until

# A table may keep this much for the records to come.
KEPT = 3 << 20
N = Field("n")


def row(n: int) -> dict[str, Any]:
    return {"n": n, "text": f"text {n}" * 5, "list": [n, {"a": n}]}


def total(thing: Any) -> int:
    return int(thing.memory()["total_bytes"])


def old(thing: Any) -> int:
    return int(thing.memory()["old_bytes"])


def test_a_database_gives_everything_back() -> None:
    def use() -> None:
        db = DictDB()
        table = db.create_table("t")
        table.create_index("n")
        table.insert([row(n) for n in range(5000)])
        table.update({"text": "new"}, where=table.n > 100)
        table.delete(where=table.n < 50)
        with db.snapshot() as snapshot:
            table.delete()
            assert len(snapshot["t"]) == 4950

    use()  # What the process keeps to build records in.
    with nothing_leaked():
        use()


def test_bytes_of_a_table_and_in_all() -> None:
    db = DictDB()
    before = total(db)
    a, b = db.create_table("a"), db.create_table("b")
    a.insert([row(n) for n in range(1000)])
    assert total(a) > 100 * 1000
    assert total(b) < total(a) / 5
    assert total(db) >= before + total(a) + total(b)
    assert _core.process_memory() >= total(db)


def test_deleted_rows_give_their_bytes_back() -> None:
    table = Table("t")
    table.insert({"id": "one"})
    empty = total(table)
    left = []
    for _ in range(6):
        table.insert([row(n) for n in range(3000)])
        full = total(table)
        table.delete(where=table.id != "one")
        table.insert({"id": "other"})
        table.delete(where=table.id == "other")
        left.append(total(table) - empty)
        assert left[-1] < (full - empty) / 2 + KEPT
    assert left[-1] <= 3 * left[0] + KEPT, "what is kept for later grows with each round"


def test_updates_do_not_grow_a_table() -> None:
    table = Table("t")
    table.insert([row(n) for n in range(500)])
    table.create_index("n")
    for n in range(20):
        table.update({"n": n})
    settled = total(table)
    for n in range(300):
        table.update({"n": n, "text": f"{n:010}"}, where=table.id == n % 500)
        table.update({"n": n % 20})
    assert total(table) < settled * 1.2 + 100_000


def test_old_versions_are_told_and_released() -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert([row(n) for n in range(2000)])
    table.update({"n": 1})
    small = old(table)
    snapshot = db.snapshot()
    table.update({"n": 2})
    held = old(table)
    assert held > small + 100_000
    assert old(db) >= held
    snapshot.close()
    table.insert({})
    wait_until(lambda: (table.update({"n": 3}, where=table.id == 1), old(table) < held / 10)[1])


def test_a_long_snapshot_keeps_only_what_it_can_see() -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert([row(n) for n in range(300)])
    with db.snapshot() as snapshot:
        for n in range(30):
            table.update({"n": n})
        settled = total(table)
        for n in range(300):
            table.update({"n": n})
        assert total(table) < settled * 1.5
        assert snapshot["t"].get(5)["n"] == 4


def test_views_own_their_bytes() -> None:
    table = Table("t")
    table.insert([row(n) for n in range(1000)])
    views = table.select(copy=False)
    table.delete()
    table.insert({})
    assert views[7]["n"] == 7
    before = accounted()
    del views
    assert before - accounted() > 50_000


def test_objects_left_open_are_released_with_their_last_reference() -> None:
    with nothing_leaked():
        db = DictDB()
        table = db.create_table("t")
        table.insert([row(n) for n in range(100)])
        snapshot = db.snapshot()
        iterator = iter(table)
        next(iterator)
        seen = snapshot["t"]
        cycle: list[Any] = [db, table, snapshot, iterator, seen, table.n == 1, table.lock]
        cycle.append(cycle)
        del db, table, snapshot, iterator, seen, cycle
        gc.collect()


def test_threads_that_ended_leave_nothing() -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert([row(n) for n in range(50)])

    def work() -> None:
        table.select()
        table.insert(row(5))
        table.delete(where=table.id > 50)
        with db.snapshot() as snapshot:
            assert snapshot["t"].get(1) is not None

    for _ in range(10):
        run_threads([work] * 8)
    before = accounted()
    for _ in range(40):
        run_threads([work] * 8)
    assert accounted() - before < 32_768


@pytest.mark.parametrize("what", ["insert", "select", "get", "cond", "snapshot", "views", "iter"])
def test_a_loop_of_statements_does_not_grow_the_process(what: str) -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert([row(n) for n in range(100)])

    def snapshot() -> None:
        with db.snapshot() as seen:
            seen["t"].select(where=table.n == 5)

    calls: dict[str, Any] = {
        "insert": lambda: (table.insert(row(5)), table.delete(where=table.id > 100)),
        "select": lambda: table.select(["n", "text"], table.n > 50, order_by="-n", distinct=True),
        "get": lambda: (table.get(5), table.get("ghost"), 5 in table, len(table)),
        "cond": lambda: repr((table.n == [1, "x"]) & ~table.text.is_in(["a"]) | table.n.is_null()),
        "snapshot": snapshot,
        "views": lambda: [dict(view) for view in table.select(copy=False)],
        "iter": lambda: next(iter(table)),
    }

    def least() -> int:
        """What old versions hold grows until some are freed together."""
        held = []
        for _ in range(50):
            calls[what]()
            held.append(accounted())
        return min(held)

    # Until the segments of the key index, which split by the hashes of the keys, have split.
    for _ in range(600):
        calls[what]()
    before = least()
    blocks = len(gc.get_objects())
    for _ in range(500):
        calls[what]()
    objects = len(gc.get_objects()) - blocks
    grown = least() - before
    assert grown < 8192, f"{grown} bytes more than before"
    assert objects < 200, f"{objects} objects more than before"


def test_columns_are_kept_within_their_budget() -> None:
    table = Table("t")
    table.insert([{"n": n, "city": f"city-{n % 7}"} for n in range(20_000)])
    assert table.column_budget > 0

    def count() -> None:
        assert table.count(where=table.n.between(100, 199)) == 100
        assert table.count(where=(table.city == "city-3") & (table.n < 70)) == 10

    for _ in range(3):
        count()
    kept = table.memory()["column_bytes"]
    assert 20_000 < kept <= table.column_budget
    assert kept < total(table)
    table.column_budget = 0
    assert table.column_budget == 0
    assert table.memory()["column_bytes"] == 0
    for _ in range(3):
        count()
    assert table.memory()["column_bytes"] == 0
    table.column_budget = 40_000
    for _ in range(3):
        count()
    assert 0 < table.memory()["column_bytes"] <= 40_000
    table.column_budget = None
    assert table.column_budget > 40_000
    table.column_budget = 2**64 - 1
    assert table.column_budget == 2**64 - 2


def test_columns_that_are_not_asked_for_give_way() -> None:
    table = Table("t")
    rows = [{"a": n / 3, "b": n / 7} for n in range(9000)]
    table.insert(rows)
    table.column_budget = 1 << 20
    for _ in range(3):
        assert table.count(where=table.a < 100, threads=1) == 300
    kept = table.memory()["column_bytes"]
    assert kept > 0
    table.column_budget = kept
    for limit in range(100):  # At first there is no room for b; a is cold then
        assert table.count(where=table.b < limit, threads=1) == limit * 7
        assert table.memory()["column_bytes"] <= kept
        assert table.aggregate(where=table.b < limit, n=Count()) == {"n": limit * 7}
    table.column_budget = None
    for _ in range(3):
        assert table.count(where=table.a < 100, threads=1) == 300
        assert table.count(where=table.b < 100, threads=1) == 700
    assert table.select() == [{"id": n + 1, **row} for n, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("budget", "error"),
    [(-1, ValueError), (2**64, ValueError), (True, TypeError), (1.5, TypeError), ("1", TypeError)],
)
def test_a_bad_column_budget_is_refused(budget: Any, error: type[Exception]) -> None:
    table = Table("t")
    before = table.column_budget
    with pytest.raises(error, match="column_budget"):
        table.column_budget = budget
    assert table.column_budget == before
    with pytest.raises(AttributeError, match="column_budget"):
        del table.column_budget


def test_columns_of_a_snapshot_are_given_back_after_it() -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert([{"n": n} for n in range(20_000)])
    with db.snapshot() as snapshot:
        for step in range(4):
            assert snapshot["t"].count(where=N < 10) == 10
            assert table.count(where=N < 10) == 10 - step
            table.update({"n": 50_000}, where=table.n == step)
        table.column_budget = 0
        assert snapshot["t"].count(where=N < 10) == 10
    table.update({"n": 50_001}, where=table.n == 50_000)
    assert table.memory()["column_bytes"] == 0
