# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,operator,call-overload,arg-type,list-item"
"""Updates and deletes beyond plain values: expressions of the old record, items, UNSET, callables,
limits, what they return, many at once. Against a twin in plain Python, and under threads."""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

import oracle
from dictdb import (
    UNSET,
    Append,
    Change,
    DictDB,
    InvalidArgumentError,
    PrimaryKeyError,
    RecordNotFoundError,
    RecordView,
    Remove,
    SchemaValidationError,
    Table,
    UnknownFieldError,
)
from helpers import in_thread, run_threads, sized, unchanged
from samples import exactly

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def table(db: DictDB) -> Table:
    made = db.create_table("t")
    made.insert([{"n": n, "tags": [n % 3]} for n in range(10)])
    return made


def numbers(table: Table) -> list[Any]:
    return [row.get("n") for row in table]


# ---- The twin -----------------------------------------------------------------------------------


class Twin:
    """What update and delete mean, in plain Python."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = copy.deepcopy(rows)

    def chosen(
        self, matches: Callable[[dict[str, Any]], bool], order: Any, limit: int | None
    ) -> list[dict[str, Any]]:
        found = [row for row in self.rows if matches(row)]
        if order:
            found = oracle.ordered(found, order)
        return found[:limit]

    @staticmethod
    def change(row: dict[str, Any], changes: dict[str, Any]) -> None:
        old = copy.deepcopy(row)
        for name, (kind, value) in changes.items():
            if kind == "plain":
                row[name] = copy.deepcopy(value)
            elif kind == "field":
                row[name] = copy.deepcopy(old.get(value))
            elif kind == "code":
                row[name] = value(old)
            elif kind == "unset":
                row.pop(name, None)
            elif kind == "append":
                row[name] = [*(old.get(name) or []), value]
            elif name in old:
                kept = old[name]
                row[name] = None if kept is None else [v for v in kept if v != value]


def random_changes(rng: random.Random, table: Table) -> tuple[dict[str, Any], dict[str, Any]]:
    """For the table, and for the twin."""
    given: dict[str, Any] = {}
    means: dict[str, Any] = {}
    for name in rng.sample(["a", "b", "c"], rng.randrange(1, 4)):
        kind = rng.choice(["plain", "field", "code", "unset"])
        value: Any = rng.choice([None, 0, 1, 2, "text", [1, "x"]])
        if kind == "plain":
            given[name] = value
        elif kind == "field":
            value = rng.choice(["a", "b", "c", "tags", "ghost"])
            given[name] = table[value]
        elif kind == "code":
            other = rng.choice("abc")
            value = lambda row, other=other: str(row.get(other))  # noqa: E731
            given[name] = value
        else:
            given[name] = UNSET
        means[name] = (kind, value)
    if rng.random() < 0.6:
        value = rng.randrange(3)
        kind, made = rng.choice(
            [("append", Append(value)), ("remove", Remove(value)), ("unset", UNSET)]
        )
        given["tags"], means["tags"] = made, (kind, value)
    return given, means


@pytest.mark.parametrize("indexes", [(), ("a", "b")])
def test_any_statement_does_what_the_twin_does(
    rng: random.Random, indexes: tuple[str, ...]
) -> None:
    table = Table("t")
    for name in indexes:
        table.create_index(name)
    table.insert([{"a": n % 4, "b": n % 3} for n in range(24)])
    twin = Twin(table.all())
    for _ in range(sized(600)):
        if len(twin.rows) < 12:
            made = [{"a": rng.randrange(4), "b": rng.randrange(3)} for _ in range(12)]
            twin.rows += [
                {**row, "id": key} for row, key in zip(made, table.insert(made), strict=True)
            ]
        cond = (rng.choice(["==", "<", "!="]), rng.choice("ab"), rng.choice([0, 1, 2, "1"]))
        where: Any = oracle.build(cond, table)
        matches = lambda row, cond=cond: oracle.matches(cond, row)  # noqa: E731
        if rng.random() < 0.4:
            native, bound = where, rng.randrange(30)
            where = native & (lambda row, bound=bound: row["id"] < bound)
            matches = lambda row, m=matches, bound=bound: m(row) and row["id"] < bound  # noqa: E731
        order = rng.choice([None, "-id", "b"])
        limit = rng.choice([None, None, 0, 1, 5])
        chosen = twin.chosen(matches, order, limit)
        old = copy.deepcopy(chosen)
        returning = rng.choice(["count", "old", "new"])
        rest = {"where": where, "order_by": order, "limit": limit}
        if rng.random() < 0.05 and returning != "new":
            got = table.delete(returning=returning, **rest)
            twin.rows = [row for row in twin.rows if row not in chosen]
        else:
            given, means = random_changes(rng, table)
            if rng.random() < 0.2:
                whole = given
                given = lambda row, whole=whole: {  # type: ignore[assignment]  # noqa: E731
                    name: value(row) if callable(value) else value for name, value in whole.items()
                }
            got = table.update(given, returning=returning, **rest)
            for row in chosen:
                Twin.change(row, means)
        expected = {"count": len(chosen), "old": old, "new": chosen}[returning]
        assert got == expected, (cond, order, limit, returning)
        assert table.all() == twin.rows
        for name in indexes:
            for value in (0, 1, 2, None):
                same = [row for row in twin.rows if oracle.matches(("==", name, value), row)]
                assert table.select(where=table[name] == value) == same
    assert twin.rows


# ---- Expressions, items, UNSET ------------------------------------------------------------------


def test_all_is_worked_out_on_the_old_record(db: DictDB) -> None:
    table = db.create_table("swap")
    table.insert({"a": 1, "b": 2})
    assert table.update({"a": table.b, "b": table.a, "c": table.a, "d": 4}) == 1
    assert table.get(1) == {"id": 1, "a": 2, "b": 1, "c": 1, "d": 4}
    table.update({"a": 7, "e": table.a, "f": table["missing"], "list": Append(table.a)})
    assert table.get(1) == {"id": 1, "a": 7, "b": 1, "c": 1, "d": 4, "e": 2, "f": None, "list": [2]}


def test_arithmetic(db: DictDB) -> None:
    table = db.create_table("stock")
    table.insert([{"stock": n, "price": 2.5} for n in range(4)])
    assert table.update({"stock": table.stock - 1}, where=table.stock > 0) == 3
    assert [row["stock"] for row in table] == [0, 0, 1, 2]
    table.update(
        {"total": table.stock * table.price, "stock": -table.stock, "bad": table.stock / 0}
    )
    assert [row["total"] for row in table] == [0, 0, 2.5, 5]
    assert [row["stock"] for row in table] == [0, 0, -1, -2]
    assert all(row["bad"] is None for row in table)
    table.update({"stock": 2**63 - table.stock, "total": table.total + table.ghost, "bad": UNSET})
    assert table.get(4) == {"id": 4, "stock": 2**63 + 2, "price": 2.5, "total": None}
    strict = db.create_table("strict", schema={"n": int, "name": str})
    strict.insert([{"n": 1, "name": "a"}, {"n": 3, "name": "b"}])
    assert strict.update({"n": strict.n * 2 + 1}) == 2
    with unchanged(strict):
        for changes in ({"n": strict.n / 2}, {"n": strict.n / 0}, {"n": strict.name - 1}):
            with pytest.raises(SchemaValidationError):
                strict.update(changes)
    assert [row["n"] for row in strict] == [3, 7]


def test_items(db: DictDB) -> None:
    table = db.create_table("items")
    kinds: list[Any] = [[1, 2, 1], (1, 2, 1), {1, 2}, frozenset({1, 2}), None]
    table.insert([{"x": kind} for kind in kinds])
    table.insert({})
    table.update({"x": Append(1)})
    expected: list[Any] = [[1, 2, 1, 1], (1, 2, 1, 1), {1, 2}, frozenset({1, 2}), [1], [1]]
    assert exactly([row["x"] for row in table], expected)
    table.update({"x": Remove(1.0)})
    assert exactly([row["x"] for row in table], [[2], (2,), {2}, frozenset({2}), [], []])
    table.update({"x": Append({"deep": [1]})}, where=table.x.contains(2), limit=1)
    assert table.get(1)["x"] == [2, {"deep": [1]}]
    with unchanged(table), pytest.raises(TypeError, match="unhashable"):
        table.update({"x": Append([1])})
    table.delete()
    table.insert([{"x": None}, {}])
    table.update({"x": Remove(1)})
    assert table.all() == [{"x": None, "id": 7}, {"id": 8}]
    for bad in ("text", 5, {"a": 1}):
        table.update({"x": bad})
        for change in (Append(1), Remove(1)):
            with unchanged(table), pytest.raises(TypeError, match="field 'x' of record 7"):
                table.update({"x": change, "y": 1})


def test_unset(table: Table) -> None:
    assert table.update({"n": UNSET}, where=table.n < 5) == 5
    assert table.get(1) == {"id": 1, "tags": [0]}
    assert table.update({"n": UNSET, "ghost": UNSET, "m": 1}) == 10
    assert table.get(9) == {"id": 9, "tags": [2], "m": 1}
    with unchanged(table), pytest.raises(PrimaryKeyError):
        table.update({"id": UNSET})


def test_changes_are_values() -> None:
    change = Append([1])
    assert isinstance(change, Change)
    assert repr(change) == "Append([1])"
    assert repr(Remove("x")) == "Remove('x')"
    assert repr(UNSET) == "UNSET"
    with pytest.raises(TypeError):
        Change()
    items: list[Any] = []
    items.append(Append(items))
    assert "..." in repr(items)
    with pytest.raises(TypeError, match="Change"):
        Table("t").insert({"x": UNSET})


def test_with_a_schema() -> None:
    from dictdb import Column

    table = Table(
        "t",
        schema={"n": int, "name": str | None, "tags": list, "state": Column(str, default="new")},
    )
    table.insert([{"n": n, "name": str(n), "tags": []} for n in range(3)])
    with unchanged(table):
        for changes in (
            {"n": table.name},
            {"name": table.n},
            {"n": UNSET},
            {"n": table["tags"]},
            {"tags": Append(1), "n": None},
            {"n": lambda row: "x"},
            lambda row: {"n": "x"},
            lambda row: {"nope": 1},
        ):
            with pytest.raises(SchemaValidationError):
                table.update(changes)
    with pytest.raises((UnknownFieldError, SchemaValidationError), match="stat"):
        table.update({"stat": UNSET}, where=table.n > 99)
    with pytest.raises(PrimaryKeyError):
        table.update({"id": table.n}, where=table.n > 99)
    table.update({"state": "old", "name": table.state, "tags": Append(table.n)})
    table.update({"state": UNSET}, where=table.n == 1)
    assert table.get(2) == {"id": 2, "n": 1, "name": "new", "tags": [1], "state": "new"}
    assert table.get(3) == {"id": 3, "n": 2, "name": "new", "tags": [2], "state": "old"}


# ---- limit, order_by, returning -----------------------------------------------------------------


def test_limits_and_what_is_returned(table: Table) -> None:
    assert table.update({"n": -1}, limit=3) == 3
    assert numbers(table) == [-1, -1, -1, 3, 4, 5, 6, 7, 8, 9]
    old = table.update({"n": 0}, where=table.n > 0, order_by="-n", limit=2, returning="old")
    assert [row["n"] for row in old] == [9, 8]
    new = table.update({"n": 1}, order_by=table.n.desc(), limit=1, returning="new")
    assert new == [{"id": 8, "n": 1, "tags": [1]}]
    assert table.delete(where=table.n <= 0, limit=4) == 4
    gone = table.delete(order_by="n", limit=1, returning="old")
    assert [row["n"] for row in gone] == [0]
    assert table.delete(limit=0) == 0
    assert table.update({"n": 5}, limit=0, returning="new") == []
    for call in (
        lambda: table.update({"n": 1}, limit=-1),
        lambda: table.update({"n": 1}, returning="all"),
        lambda: table.update({"n": 1}, returning=None),
        lambda: table.delete(returning="new"),
        lambda: table.delete(limit=1.5),
        lambda: table.update({"n": 1}, order_by=5),
    ):
        with unchanged(table), pytest.raises((ValueError, TypeError)):
            call()
    for keywords in ({"returning": "old"}, {"limit": 1}, {}):
        with pytest.raises(RecordNotFoundError):
            table.update({"n": table.n}, where=table.n > 99, missing="raise", **keywords)
        with pytest.raises(RecordNotFoundError):
            table.delete(where=lambda row: False, missing="raise", **keywords)


def test_compare_and_set(table: Table) -> None:
    assert table.update({"n": 100}, where=(table.id == 1) & (table.n == 0)) == 1
    assert table.update({"n": 200}, where=(table.id == 1) & (table.n == 0)) == 0


# ---- update_many --------------------------------------------------------------------------------


def test_many_updates_are_one_statement(table: Table) -> None:
    updates: list[Any] = [
        {"id": 1, "n": 10},
        {"id": 2, "n": table.id, "tags": Append("x")},
        ({"n": 20}, table.n == 2),
        ({"m": table.n}, table.n >= 10),  # Sees those before it
        {"n": UNSET, "id": 9},
        {"id": 999, "n": 1},
    ]
    assert table.update_many(iter(updates)) == 8
    assert table.get(1) == {"id": 1, "n": 10, "tags": [0], "m": 10}
    assert table.get(2) == {"id": 2, "n": 20, "tags": [1, "x"], "m": 20}
    assert table.get(3) == {"id": 3, "n": 20, "tags": [2], "m": 20}
    assert table.get(9) == {"id": 9, "tags": [2]}
    new = table.update_many([{"id": 1, "n": 1}, {"id": 1, "n": 2}], returning="new")
    assert [row["n"] for row in new] == [1, 2]
    assert table.update_many([]) == 0
    with unchanged(table):
        for bad, error in (
            ([{"id": 1, "n": 5}, {"n": 5}], PrimaryKeyError),
            ([{"id": 1, "n": 5}, 5], TypeError),
            ([{"id": 1, "n": 5}, ({"n": 5}, None)], TypeError),
            ([{"id": 1, "n": 5}, {"id": 2, "n": Append(1)}], TypeError),
            ([{"id": 1, "n": 5}, ({"id": 5}, table.n == 5)], PrimaryKeyError),
            ([{"id": 1, "n": 5}, {"id": [2], "n": 5}], ValueError),
            ("text", TypeError),
            (5, TypeError),
        ):
            with pytest.raises(error):
                table.update_many(bad)
        with pytest.raises(RecordNotFoundError, match="999"):
            table.update_many([{"id": 1, "n": 5}, {"id": 999, "n": 1}], missing="raise")


# ---- Callables ----------------------------------------------------------------------------------


def test_callables_in_changes(table: Table) -> None:
    assert table.update({"n": lambda row: row["n"] * 2, "m": 1}, where=table.n < 2) == 2
    assert numbers(table)[:3] == [0, 2, 2]
    assert table.update(lambda row: {"n": row["n"] + 1, "tags": Append(row["n"])}) == 10
    assert table.get(1) == {"id": 1, "n": 1, "tags": [0, 0], "m": 1}
    assert table.update({"m": lambda row: UNSET, "k": lambda row: table.n}, limit=1) == 1
    assert table.get(1) == {"id": 1, "n": 1, "tags": [0, 0], "k": 1}
    assert table.update({"n": 5}, where=lambda row: row["id"] == 3) == 1
    assert table.delete(where=(table.n == 5) & (lambda row: row["id"] == 3)) == 1
    assert table.update({}, where=lambda row: True) == 9
    with unchanged(table):
        for changes in (lambda row: 5, {"n": lambda row: print}, {"n": lambda: 1}, {"n": int}):
            with pytest.raises(TypeError):
                table.update(changes)
        with pytest.raises(PrimaryKeyError):
            table.update(lambda row: {"id": 5})


def test_a_callable_that_raises_changes_nothing(table: Table) -> None:
    def late(row: RecordView) -> int:
        if row["n"] == 7:
            raise ZeroDivisionError
        return 1

    with unchanged(table):
        for call in (
            lambda: table.update({"n": late}),
            lambda: table.update({"n": 1}, where=late),
            lambda: table.delete(where=late),
            lambda: table.update(lambda row: {"n": late(row)}, returning="new"),
        ):
            with pytest.raises(ZeroDivisionError):
                call()
    table.lock.acquire_write(timeout=1)
    table.lock.release_write()


def test_only_what_changed_meanwhile_is_asked_again(table: Table) -> None:
    asked: list[int] = []

    def slow(row: RecordView) -> int:
        asked.append(row["id"])
        if len(asked) == 10:
            in_thread(lambda: table.update({"n": 50}, where=table.id == 4))
            in_thread(lambda: table.delete(where=table.id == 5))
            in_thread(lambda: table.insert({"n": 60}))
        return int(row["n"]) + 1

    assert table.update({"n": slow}) == 10
    assert asked == [*range(1, 11), 4, 11]
    assert numbers(table) == [1, 2, 3, 51, 6, 7, 8, 9, 10, 61]


def test_three_rounds_then_the_lock(table: Table) -> None:
    """A writer that comes between each time is waited out in the fourth round."""
    rounds: list[bool] = []

    def probe() -> bool:
        got = table.lock.acquire_write(blocking=False)
        if got:
            table.lock.release_write()
        return got

    def counted(row: RecordView) -> int:
        if row["id"] == 1:
            rounds.append(in_thread(probe))
            if rounds[-1]:
                in_thread(lambda: table.update({"n": len(rounds)}, where=table.id == 1))
        return int(row["n"]) + 100

    assert table.update({"n": counted}) == 10
    assert rounds == [True, True, True, False]
    assert table.get(1)["n"] == 103
    assert in_thread(probe), "the lock is released"


def test_a_callable_that_changes_its_own_table(table: Table) -> None:
    def once(row: RecordView) -> int:
        if row["n"] < 100:
            table.update({"n": 100 + row["id"]}, where=table.id == row["id"])
        return int(row["n"])

    assert table.update({"m": once}) == 10
    assert [row["m"] for row in table] == [row["n"] for row in table]

    def for_ever(row: RecordView) -> int:
        table.update({"n": table.id, "count": row.get("count", 0) + 1}, where=table.id == row["id"])
        return 1

    with pytest.raises(InvalidArgumentError, match="each time they are asked"):
        table.update({"m": for_ever}, where=table.id == 2)
    assert table.get(2)["m"] != 1
    assert in_thread(lambda: table.update({"m": 1})) == 10, "no lock is held"


def test_callables_may_lock_and_insert(table: Table) -> None:
    def busy(row: RecordView) -> bool:
        with table.lock.write_lock():
            table.upsert({"id": 1000, "n": 0})
        with table.lock.read_lock():
            return bool(table.get(1000) and row["n"] > 7)

    assert table.update({"m": 1}, where=busy) == 2
    assert table.delete(where=busy) == 2
    with table.lock.write_lock():
        assert table.update({"m": lambda row: row["n"]}) == 9


# ---- Threads ------------------------------------------------------------------------------------


@pytest.mark.threads
@pytest.mark.parametrize(
    "how", ["expression", "callable", "function", "where", "update_many"], ids=lambda how: how
)
def test_two_hundred_threads_count(how: str) -> None:
    table = Table("t")
    table.insert({"n": 0, "log": []})
    threads, each = 200 if sized(10) >= 10 else 20, 3

    def count(thread: int) -> None:
        for _ in range(each):
            if how == "expression":
                table.update({"n": table.n + 1}, where=table.n >= 0)
            elif how == "callable":
                table.update({"n": lambda row: row["n"] + 1})
            elif how == "function":
                table.update(lambda row: {"n": row["n"] + 1, "log": Append(thread)})
            elif how == "where":  # Compare and set
                while True:
                    seen = table.get(1)["n"]
                    if table.update({"n": seen + 1}, where=table.n == seen):
                        break
            else:
                table.update_many([{"id": 1, "log": Append(thread), "n": 0}])

    run_threads([lambda n=n: count(n) for n in range(threads)])  # type: ignore[misc]
    row = table.get(1)
    if how != "update_many":
        assert row["n"] == threads * each
    if how in ("function", "update_many"):
        assert sorted(row["log"]) == sorted([*range(threads)] * each)


@pytest.mark.threads
def test_moves_between_records_keep_the_sum() -> None:
    table = Table("t")
    table.insert([{"n": 100} for _ in range(8)])
    stop = threading.Event()

    def move(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(sized(60)):
            one, two = dice.sample(range(1, 9), 2)
            table.update(
                lambda row, one=one: {"n": row["n"] + (1 if row["id"] == one else -1)},
                where=table.id.is_in([one, two]),
            )
        stop.set()

    def check() -> None:
        while not stop.is_set():
            assert sum(row["n"] for row in table.select()) == 800

    run_threads([lambda s=s: move(s) for s in range(4)] + [check])  # type: ignore[misc]
    assert sum(row["n"] for row in table) == 800
