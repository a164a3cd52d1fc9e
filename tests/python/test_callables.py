# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,operator"
"""Callables as conditions: what they mean next to native conditions, and what they may do."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import oracle
from dictdb import And, Condition, DictDB, LimitError, Not, Or, RecordView, Table, UnknownFieldError
from helpers import in_thread, run_threads, sized

pytestmark = pytest.mark.timeout(120)

FIELDS = ["a", "b", "c"]


def fill(table: Table, rng: random.Random, count: int) -> list[dict[str, Any]]:
    for _ in range(count):
        names = rng.sample(FIELDS, rng.randrange(4))
        table.insert({name: rng.choice([None, 0, 1, 2, 3, "x"]) for name in names})
    return table.select()


@pytest.fixture
def table(db: DictDB) -> Table:
    made = db.create_table("t")
    made.insert([{"n": n, "parity": "odd" if n % 2 else "even"} for n in range(20)])
    return made


class Twin:
    """A random condition with callables at its leaves, and what it means in Python."""

    def __init__(self, table: Table, rng: random.Random, depth: int) -> None:
        roll = rng.random()
        if depth == 0 or roll < 0.25:
            self.leaf(table, rng)
            return
        parts = [Twin(table, rng, depth - 1) for _ in range(1 if roll < 0.4 else 2)]
        self.has_code = any(part.has_code for part in parts)
        built = [part.built for part in parts]
        if len(parts) == 1:
            self.means: Callable[[dict[str, Any]], bool] = lambda r: not parts[0].means(r)
            self.built: Any = (
                Not(built[0])
                if rng.random() < 0.5 or not isinstance(built[0], Condition)
                else ~built[0]
            )
            return
        combine, together = (all, And) if roll < 0.7 else (any, Or)
        self.means = lambda r: combine(part.means(r) for part in parts)
        if rng.random() < 0.5 or not any(isinstance(part, Condition) for part in built):
            self.built = together(*built)
        else:
            self.built = built[0] & built[1] if together is And else built[0] | built[1]

    def leaf(self, table: Table, rng: random.Random) -> None:
        field, value = rng.choice(FIELDS), rng.choice([0, 1, 2, "x"])
        op = rng.choice(["==", "!=", "<", ">="])
        cond = (op, field, value)
        self.means = lambda r: oracle.matches(cond, r)
        self.has_code = rng.random() < 0.5
        if self.has_code:
            self.built = lambda r: self.means(dict(r))
        else:
            self.built = oracle.build(cond, table)


@pytest.mark.parametrize("indexes", [(), ("a",), ("a", "b", "c")])
def test_any_mixture_means_what_it_says(rng: random.Random, indexes: tuple[str, ...]) -> None:
    table = Table("t")
    for name in indexes:
        table.create_index(name)
    rows = fill(table, rng, 60)
    coded = 0
    for _ in range(sized(400)):
        twin = Twin(table, rng, 3)
        coded += twin.has_code
        expected = [row for row in rows if twin.means(row)]
        assert table.select(where=twin.built) == expected, repr(twin.built)
        assert table.count(where=twin.built) == len(expected)
        order = rng.choice([None, "a", "-b"])
        ordered = oracle.ordered(expected, [order] if order else [])
        limit, offset = rng.randrange(6), rng.randrange(3)
        got = table.select(where=twin.built, order_by=order, limit=limit, offset=offset)
        assert got == ordered[offset : offset + limit], (repr(twin.built), order, limit, offset)
        got = table.select(["a"], where=twin.built, distinct=True, limit=limit, offset=offset)
        values: list[Any] = []
        for row in expected:
            if row.get("a") not in values:
                values.append(row.get("a"))
        assert [row["a"] for row in got] == values[offset : offset + limit]
    assert coded > sized(400) / 4


def test_native_conditions_run_first(table: Table) -> None:
    seen: list[int] = []

    def odd(record: RecordView) -> bool:
        seen.append(record["n"])
        return record["parity"] == "odd"

    few = table.n.is_in([3, 4, 5])
    for cond in (few & odd, odd & few, And(odd, few), And(few, odd), Condition(odd) & few):
        seen.clear()
        assert [row["n"] for row in table.select(where=cond)] == [3, 5]
        assert seen == [3, 4, 5]
    seen.clear()
    assert table.count(where=few | odd) == 11
    assert len(seen) == 17, "an `or` asks a callable only where the rest does not hold"
    seen.clear()
    assert table.count(where=Or(few & odd, table.n == 7)) == 3
    assert seen == [3, 4, 5], "candidates by both parts, and the native one decides alone"
    seen.clear()
    assert table.select(where=odd, limit=2, offset=1) == [table.get(4), table.get(6)]
    assert seen == [0, 1, 2, 3, 4, 5], "asked no further than the limit"
    seen.clear()
    assert table.select(where=odd, limit=0) == []
    assert seen == []


def test_what_a_callable_may_be(table: Table) -> None:
    class Asks:
        def __call__(self, record: RecordView) -> object:
            return [] if record["n"] else [1]

        def method(self, record: RecordView) -> object:
            return record["n"] == 1

    assert table.count(where=Asks()) == 1
    assert table.count(where=Asks().method) == 1
    assert table.count(where=len) == 20
    assert table.count(Condition(lambda r: r["n"] < 3)) == 3
    assert table.count(where=~Condition(lambda r: r["n"] < 3)) == 17
    with pytest.raises(TypeError, match="Condition"):
        table.count(where="n < 3")
    with pytest.raises(TypeError, match="boolean"):
        table.count(where=True)
    with pytest.raises(TypeError, match="compare it"):
        table.count(where=table.n)
    with pytest.raises(TypeError, match="takes 0 positional"):
        table.count(where=lambda: True)
    with pytest.raises(TypeError, match="truth value"):
        table.count(where=lambda r: table.n > 3)


def test_a_record_view_is_what_is_given(table: Table) -> None:
    given: list[RecordView] = []
    assert table.count(where=lambda r: given.append(r)) == 0
    assert [type(view) for view in given] == [RecordView] * 20

    def assign(record: Any) -> None:
        record["n"] = 1

    with pytest.raises(TypeError, match="item assignment"):
        table.count(where=assign)
    table.delete()
    assert [view["n"] for view in given] == list(range(20))


def test_repr(table: Table) -> None:
    def odd(record: RecordView) -> bool:
        return bool(record["n"] % 2)

    text = repr((table.n > 3) & odd)
    assert text.startswith(("(n > 3 & <function", "((n > 3) & <function"))
    assert "| <function" in repr((table.n > 3) | odd)
    assert repr(~Condition(odd)).startswith("~<function")


def test_exceptions_pass_through(table: Table) -> None:
    class Stop(BaseException):
        pass

    def stop(record: RecordView) -> bool:
        if record["n"] == 11:
            raise Stop
        return True

    for call in (
        lambda: table.select(where=stop),
        lambda: table.count(where=stop),
        lambda: table.select(where=(table.n > 5) & stop, order_by="-n", distinct=True),
    ):
        with pytest.raises(Stop):
            call()
    assert table.count(where=lambda r: r["n"] < 11) == 11


def test_names_are_checked_whatever_is_asked() -> None:
    table = Table("t", schema={"name": str})
    for cond in (
        (table.name == "x") | (lambda r: True) | (Table("u").nmae == 1),
        Or(lambda r: True, Table("u").nmae == 1),
        Not(Or(lambda r: True, Table("u").nmae == 1)),
        And(lambda r: True, Table("u").nmae == 1),
    ):
        with pytest.raises(UnknownFieldError, match="nmae"):
            table.select(where=cond)
        with pytest.raises(UnknownFieldError, match="nmae"):
            table.count(where=cond)


def test_nesting_has_a_limit(table: Table) -> None:
    chain: Any = Condition(lambda r: True)
    for _ in range(1000):
        chain = chain & (lambda r: True)
    assert table.count(where=chain) == 20
    with pytest.raises(LimitError, match="nested deeper"):
        for _ in range(1000):
            chain = ~(chain & (lambda r: True))


def test_conditions_with_callables_are_collected() -> None:
    class Callable:
        def __call__(self, record: RecordView) -> bool:
            return True

    made = Callable()
    made.cond = Not(Or(Condition(made), Table("t").n > 3))  # type: ignore[attr-defined]
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None


def test_the_callable_may_use_the_table(table: Table) -> None:
    def busy(record: RecordView) -> bool:
        table.insert({"n": -1})
        table.update({"n": 100}, where=table.n == record["n"])
        assert table.count(where=lambda r: r["n"] == 100) == 1
        table.delete(where=table.n.is_in([-1, 100]))
        with table.lock.write_lock():
            return bool(table.count() >= 0)

    assert [row["n"] for row in table.select(where=busy)] == list(range(20)), "one version"
    assert table.count() == 0


def test_no_lock_is_held(table: Table) -> None:
    def other_writes(record: RecordView) -> bool:
        in_thread(lambda: table.update({"seen": True}, where=table.n == record["n"]))
        return "seen" not in record

    assert table.count(where=other_writes) == 20
    assert table.count(where=table.seen == True) == 20  # noqa: E712


def test_of_a_snapshot(db: DictDB, table: Table) -> None:
    snapshot = db.snapshot()
    table.delete(where=table.n < 10)
    view = snapshot["t"]
    assert view.count(where=lambda r: r["n"] < 10) == 10
    assert [row["n"] for row in view.select(where=(table.n < 10) & (lambda r: r["n"] > 7))] == [
        8,
        9,
    ]

    def close(record: RecordView) -> bool:
        snapshot.close()
        return True

    assert view.count(where=close) == 20


@pytest.mark.threads
def test_each_answer_is_of_one_version() -> None:
    table = Table("t")
    table.insert([{"v": 0} for _ in range(8)])
    stop = threading.Event()

    def write() -> None:
        for n in range(sized(300)):
            table.update({"v": n})
        stop.set()

    def read() -> None:
        while not stop.is_set():
            values = {row["v"] for row in table.select(where=lambda r: r["v"] >= 0)}
            assert len(values) == 1

    run_threads([write, read, read])
