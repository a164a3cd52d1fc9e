# SPDX-License-Identifier: Apache-2.0
"""What queries give: orders with a place for nulls, one record, values, cursors."""

from __future__ import annotations

import gc
import itertools
import random
import threading
import weakref
from typing import Any

import pytest

import dictdb
from dictdb import (
    DictDB,
    Field,
    InvalidArgumentError,
    MultipleRecordsError,
    Order,
    RecordNotFoundError,
    Table,
    UnknownFieldError,
    UnsupportedTypeError,
)
from helpers import accounted, check_python, in_thread, nothing_leaked, run_threads, sized


@pytest.fixture
def table(db: DictDB) -> Table:
    made = db.create_table("t")
    made.insert([{"a": 2, "b": "x"}, {"b": "y"}, {"a": None, "b": "x"}, {"a": 1.5}, {"a": "s"}])
    return made


# --- Order ---


def ids(table: Any, order_by: Any, **options: Any) -> list[Any]:
    found = [record["id"] for record in table.select(order_by=order_by, **options)]
    assert table.pluck("id", order_by=order_by, **options) == found
    assert [record["id"] for record in table.iter(order_by=order_by, **options)] == found
    return found


def test_where_nulls_go(table: Table) -> None:
    assert ids(table, "a") == [2, 3, 4, 1, 5]
    assert ids(table, "-a") == [5, 1, 4, 2, 3]
    assert ids(table, Order("a", nulls="last")) == [4, 1, 5, 2, 3]
    assert ids(table, Order("-a", nulls="first")) == [2, 3, 5, 1, 4]
    assert ids(table, table.a.desc(nulls="first")) == [2, 3, 5, 1, 4]
    assert ids(table, table.a.desc(nulls="last")) == ids(table, "-a")
    assert ids(table, table.a.asc(nulls="first")) == ids(table, table.a.asc()) == ids(table, "a")
    assert ids(table, [table.b.asc(nulls="last"), "-a"]) == [1, 3, 2, 5, 4]
    assert ids(table, (Order("b", descending=True, nulls="first"), Field("a"))) == [4, 5, 2, 3, 1]
    assert ids(table, Order("never", nulls="last")) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("nulls", [None, "first", "last"])
def test_the_first_few_are_those_of_the_whole_order(
    rng: random.Random, nulls: Any, descending: bool
) -> None:
    """Few rows of many come from a heap, all of them from a sort."""
    table = Table("t")
    values = [None, 1, 2.5, -3, "x", True, 10**30, float("nan"), b"", [1], 2**53, 2.0**53]
    table.insert([{"a": rng.choice(values), "b": rng.random()} for _ in range(400)])
    order = [Order("a", descending=descending, nulls=nulls), "-b"]
    everything = ids(table, order)
    for limit, offset in itertools.product((0, 1, 7, 20), (0, 1, 25)):
        assert ids(table, order, limit=limit, offset=offset) == everything[offset : offset + limit]
    where = [record["a"] is None for record in table.select(order_by=order)]
    first = nulls == "first" or (nulls is None and not descending)
    assert where == sorted(where, reverse=first)


def test_an_order_can_be_read(table: Table) -> None:
    order = table.a.desc(nulls="first")
    assert isinstance(order, Order)
    assert order.descending is True
    assert order.nulls == "first"
    assert isinstance(order.key, Field)
    assert repr(order) == "Order(Field('a'), descending=True, nulls='first')"
    assert repr(Order("-a")) == "Order('a', descending=True)"
    assert repr(Order("a", nulls="last")) == "Order('a', nulls='last')"
    assert Order("-a").key == "a"
    assert Order("a").nulls is None
    # A field whose name begins so is named by a Field.
    assert Order(Field("-a")).descending is False


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda t: Order("a", nulls="lst"), InvalidArgumentError, "'first' or 'last', not 'lst'"),
        (lambda t: t.a.asc(nulls=1), InvalidArgumentError, "nulls must be"),
        (lambda t: t.a.desc("first"), TypeError, "positional"),
        (lambda t: Order("-a", descending=False), InvalidArgumentError, "not both"),
        (lambda t: Order(5), UnsupportedTypeError, "a str or an Expression"),
        (lambda t: Order("a", null="last"), TypeError, "did you mean 'nulls'"),
        (lambda t: t.select(order_by=Order), UnsupportedTypeError, "order_by"),
        (lambda t: t.select(order_by=[["a"]]), UnsupportedTypeError, "order_by"),
        (lambda t: t.select(ordr_by="a"), TypeError, "did you mean 'order_by'"),
        (lambda t: t.select(colums=["a"]), TypeError, "did you mean 'columns'"),
        (lambda t: t.iter(bathc_size=5), TypeError, "did you mean 'batch_size'"),
        (lambda t: t.first(defualt=5), TypeError, "did you mean 'default'"),
    ],
)
def test_mistakes_are_named(table: Table, make: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        make(table)


def test_names_that_are_far_are_not_suggested(table: Table) -> None:
    for name in ("x", "colour_of_the_rows_that_are_wanted_here", "é", "\udc80"):
        with pytest.raises(TypeError) as caught:
            table.select(**{name: 1})
        assert "did you mean" not in str(caught.value)


def test_a_schema_checks_what_is_ordered_and_plucked() -> None:
    table = Table("t", schema={"price": float})
    for call in (
        lambda: table.select(order_by=Order("prise")),
        lambda: table.iter(order_by=[Order("-prise", nulls="last")]),
        lambda: table.pluck("price", "prise"),
        lambda: table.first(columns=["prise"]),
    ):
        with pytest.raises(UnknownFieldError, match="price"):
            call()


# --- first, one, exists, pluck ---


def test_first(table: Table) -> None:
    assert table.first() == {"id": 1, "a": 2, "b": "x"}
    assert table.first(table.b == "y") == {"id": 2, "b": "y"}
    assert table.first(order_by=table.a.desc()) == {"id": 5, "a": "s"}
    assert table.first(where=table.b == "x", offset=1)["id"] == 3  # type: ignore[index]
    assert table.first(columns={"key": "id"}, order_by="-id") == {"key": 5}
    assert table.first(table.b == "z") is None
    assert table.first(table.b == "z", default=[]) == []
    assert table.first(offset=5) is None
    view = table.first(copy=False)
    assert isinstance(view, dictdb.RecordView)
    with pytest.raises(UnsupportedTypeError, match="where"):
        table.first(["a"])  # type: ignore[call-overload]


def test_one(table: Table) -> None:
    assert table.one(table.b == "y") == {"id": 2, "b": "y"}
    assert table.one(table.id == 4, columns=["a"]) == {"a": 1.5}
    assert isinstance(table.one(table.id == 4, copy=False), dictdb.RecordView)
    with pytest.raises(RecordNotFoundError, match="table 't': no record matches b == 'z'"):
        table.one(table.b == "z")
    with pytest.raises(MultipleRecordsError, match="table 't': several records match b == 'x'"):
        table.one(table.b == "x")
    with pytest.raises(MultipleRecordsError, match="table 't' has more than one record"):
        table.one()
    with pytest.raises(RecordNotFoundError, match="table 'empty' has no record"):
        Table("empty").one()
    with pytest.raises(ValueError, match="several"):
        table.one(table.b == "x")


def test_exists(table: Table) -> None:
    assert table.exists() is True
    assert table.exists(table.b == "y") is True
    assert table.exists(where=table.b == "z") is False
    assert Table("empty").exists() is False


def test_pluck(table: Table) -> None:
    assert table.pluck("a") == [2, None, None, 1.5, "s"]
    assert table.pluck(table.b, where=table.a.is_null()) == ["y", "x"]
    assert table.pluck("id", "b") == [(1, "x"), (2, "y"), (3, "x"), (4, None), (5, None)]
    assert table.pluck("b", distinct=True) == ["x", "y", None]
    assert table.pluck("b", "b", distinct=True, offset=1, limit=1) == [("y", "y")]
    assert table.pluck("never") == [None] * 5
    with pytest.raises(TypeError, match="'field'"):
        table.pluck()  # type: ignore[call-overload]
    with pytest.raises(UnsupportedTypeError, match="pluck"):
        table.pluck(["a"])  # type: ignore[call-overload]


def test_a_snapshot_answers_the_same(db: DictDB, table: Table) -> None:
    with db.snapshot() as snapshot:
        seen = snapshot["t"]
        table.delete()
        assert seen.first(order_by="-id") == {"id": 5, "a": "s"}
        assert seen.one(table.b == "y")["id"] == 2
        assert seen.exists(table.b == "y")
        assert seen.pluck("id", order_by=Order("a", nulls="last")) == [4, 1, 5, 2, 3]
        cursor = seen.iter(table.b == "x")
    assert [record["id"] for record in cursor] == [1, 3]  # It holds its version by itself
    assert not table.exists()


# --- Cursors ---


def numbered(count: int) -> Table:
    table = Table("t")
    table.insert([{"n": n} for n in range(count)])
    return table


@pytest.mark.parametrize("batch_size", [1, 2, 7, 1000, 10**9])
def test_a_cursor_gives_what_select_gives(batch_size: int) -> None:
    table = numbered(300)
    options: list[dict[str, Any]] = [
        {},
        {"where": table.n > 100},
        {"order_by": "-n", "limit": 20},
        {"columns": {"x": "n"}, "offset": 280},
        {"columns": ["never"], "distinct": True},
        {"where": table.n < 0},
        {"limit": 0},
    ]
    for option in options:
        expected = table.select(**option)
        assert list(table.iter(batch_size=batch_size, **option)) == expected
        cursor = table.iter(batch_size=batch_size, **option)
        fetched: list[Any] = []
        while rows := cursor.fetch(11):
            assert len(rows) <= 11
            fetched += rows
        assert fetched == expected


def test_the_version_does_not_change(table: Table) -> None:
    cursors = [iter(table), table.iter(order_by="-id"), table.iter(copy=False, batch_size=1)]
    seen: list[list[Any]] = [[next(cursor)] for cursor in cursors]
    table.update({"a": 0})
    table.delete(where=table.id > 2)
    table.insert([{"id": 90 + i} for i in range(30)])
    for rows, cursor in zip(seen, cursors, strict=True):
        rows += cursor
    assert [[record["id"] for record in rows] for rows in seen] == [
        [1, 2, 3, 4, 5],
        [5, 4, 3, 2, 1],
        [1, 2, 3, 4, 5],
    ]
    assert dict(seen[2][4]) == {"id": 5, "a": "s"}


def test_closing(table: Table) -> None:
    cursor = table.iter()
    assert not cursor.closed
    next(cursor)
    cursor.close()
    cursor.close()
    assert cursor.closed
    for call in (lambda: next(cursor), cursor.fetch):
        with pytest.raises(InvalidArgumentError, match="the cursor is closed"):
            call()
    with table.iter() as cursor:
        assert len(cursor.fetch(5)) == 5
        assert not cursor.closed  # Nobody knows yet that this was all
        assert cursor.fetch() == []
        assert cursor.closed
    assert list(cursor) == []
    assert cursor.fetch(3) == []
    with pytest.raises(ZeroDivisionError), table.iter() as cursor:
        raise ZeroDivisionError
    assert cursor.closed


def test_bad_sizes(table: Table) -> None:
    with pytest.raises(InvalidArgumentError, match="batch_size"):
        table.iter(batch_size=0)
    with pytest.raises(InvalidArgumentError, match="batch_size"):
        table.iter(batch_size=-1)
    with pytest.raises(UnsupportedTypeError, match="batch_size"):
        table.iter(batch_size=2.5)  # type: ignore[call-overload]
    with pytest.raises(InvalidArgumentError, match="count"):
        table.iter().fetch(-1)
    assert table.iter().fetch(0) == []


def test_the_number_left_is_known_where_it_can_be(table: Table) -> None:
    assert table.iter().__length_hint__() == 5
    assert table.iter(offset=3).__length_hint__() == 2
    assert table.iter(offset=9).__length_hint__() == 0
    assert table.iter(limit=4, order_by="a").__length_hint__() == 4
    assert table.iter(table.a == 1).__length_hint__() is NotImplemented
    cursor = iter(table)
    next(cursor)
    assert cursor.__length_hint__() == 4
    cursor.close()
    assert cursor.__length_hint__() == 0


def test_what_a_cursor_holds_goes_with_it() -> None:
    table = numbered(2000)
    for end in ("close", "exhaust", "collect", "another thread"):
        table.update({"n": -1})
        cursor: Any = table.iter(batch_size=10)
        next(cursor)
        table.update({"n": 1})
        assert table.memory()["old_bytes"] > 50_000
        if end == "close":
            cursor.close()
        elif end == "exhaust":
            assert sum(1 for _ in cursor) == 1999
        elif end == "collect":
            cycle = [cursor]
            cycle.append(cycle)  # type: ignore[arg-type]
            seen = weakref.ref(cursor)
            del cursor, cycle
            gc.collect()
            assert seen() is None
        else:
            in_thread(cursor.close)
        assert table.memory()["old_bytes"] == 0, end


def test_memory_does_not_grow_with_the_table() -> None:
    table = numbered(20_000)
    before = accounted()
    cursor = table.iter(where=table.n >= 0)
    for _ in itertools.islice(cursor, 15_000):
        pass
    assert accounted() - before < 16_384
    cursor.close()
    assert accounted() - before < 1024


@pytest.mark.threads
def test_threads_share_a_cursor() -> None:
    """Each record goes to one of them; each thread may find it closed."""
    table = numbered(sized(5000, sanitized=500))
    for option in ({}, {"order_by": "-n"}, {"columns": ["n"]}, {"batch_size": 1}):
        cursor = table.iter(**option)  # type: ignore[call-overload]
        parts: list[list[Any]] = [[] for _ in range(4)]

        def work(part: list[Any], cursor: Any = cursor) -> None:
            for number, record in enumerate(cursor):
                part.append(record["n"])
                if number % 50 == 0:
                    part += [row["n"] for row in cursor.fetch(5)]

        run_threads([lambda part=part: work(part) for part in parts])
        assert sorted(itertools.chain(*parts)) == list(range(len(table)))


@pytest.mark.threads
def test_one_thread_closes_what_others_use() -> None:
    table = numbered(3000)
    for _ in range(sized(20, sanitized=4)):
        cursor = table.iter(batch_size=16)
        begun = threading.Event()

        def work(cursor: Any = cursor, begun: threading.Event = begun) -> None:
            try:
                for record in cursor:
                    assert record["n"] == record["id"] - 1
                    begun.set()
            except InvalidArgumentError as error:
                assert "closed" in str(error)

        def close(cursor: Any = cursor, begun: threading.Event = begun) -> None:
            begun.wait(10)
            table.update({"m": 1})
            cursor.close()

        run_threads([work, work, close])
        assert table.memory()["old_bytes"] == 0


def test_a_cursor_under_a_write_lock(table: Table) -> None:
    with table.lock.write_lock():
        table.insert({"id": 6})
        cursor = table.iter(order_by="-id")
        assert next(cursor)["id"] == 6
        table.delete()
        table.insert({"id": 7})
    assert [record["id"] for record in cursor] == [5, 4, 3, 2, 1]


def test_a_cursor_in_a_forked_child() -> None:
    check_python(
        """
        import os, dictdb
        table = dictdb.Table("t")
        table.insert([{"n": n} for n in range(1000)])
        cursor = table.iter(batch_size=10)
        assert next(cursor)["n"] == 0
        child = os.fork()
        if child == 0:
            rows = list(cursor)
            again = list(table.iter(order_by="-n"))
            os._exit(0 if len(rows) == 999 and len(again) == 1000 and cursor.closed else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        table.delete()
        assert len(list(cursor)) == 999
        """.replace("\n        ", "\n")
    )


def test_user_code_in_the_arguments(table: Table) -> None:
    """Columns may be any iterable, which may use the table and fail."""

    def columns() -> Any:
        yield "id"
        table.insert({"late": 1})
        yield "late"

    assert table.iter(columns=columns()).fetch()[-1] == {"id": 6, "late": 1}

    def failing() -> Any:
        yield "id"
        raise ZeroDivisionError

    with nothing_leaked():
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                table.iter(columns=failing(), order_by="a")


# --- Callables ---


def test_callables(table: Table) -> None:
    def even(record: Any) -> bool:
        return bool(record["id"] % 2 == 0)

    assert table.first(even) == {"id": 2, "b": "y"}
    assert table.first(even, order_by="-id") == {"id": 4, "a": 1.5}
    assert table.first(even, offset=2) is None
    assert table.exists(even)
    assert not table.exists(lambda record: record["id"] > 9)
    assert table.one((table.b == "y") & even)["id"] == 2
    assert table.pluck("id", where=even) == [2, 4]
    with pytest.raises(MultipleRecordsError, match=r"several records match .*even"):
        table.one(even)
    with pytest.raises(RecordNotFoundError, match="no record matches"):
        table.one(lambda record: False)
    for batch_size in (1, 2, 256):
        assert [r["id"] for r in table.iter(even, batch_size=batch_size)] == [2, 4]
        assert list(table.iter(even, columns=["id"], order_by="-id")) == [{"id": 4}, {"id": 2}]
        cursor = table.iter(even, limit=1, offset=1, batch_size=batch_size)
        assert cursor.__length_hint__() == 1
        assert [r["id"] for r in cursor] == [4]
        cursor = table.iter((table.id > 1) & even, distinct=True, columns=["never"])
        assert cursor.fetch() == [{"never": None}]
        assert cursor.closed


def test_a_cursor_asks_callables_as_it_goes(table: Table) -> None:
    asked: list[Any] = []
    cursor = table.iter(lambda record: asked.append(record["id"]) or True)
    assert asked == []
    next(cursor)
    assert asked == [1]
    table.delete()
    assert [record["id"] for record in cursor] == [2, 3, 4, 5]
    assert asked == [1, 2, 3, 4, 5]


def test_a_callable_that_fails_or_uses_the_cursor(table: Table) -> None:
    def fail(record: Any) -> bool:
        if record["id"] == 3:
            raise ZeroDivisionError
        return True

    cursor = table.iter(fail)
    assert [next(cursor)["id"] for _ in range(2)] == [1, 2]
    with pytest.raises(ZeroDivisionError):
        next(cursor)
    assert [record["id"] for record in cursor] == [4, 5]
    with pytest.raises(ZeroDivisionError):
        table.iter(fail, limit=3)

    inner: Any = None
    inner = table.iter(lambda record: record["id"] != 2 or bool(next(inner)))
    assert [record["id"] for record in inner] == [1, 2, 4, 5]  # 3 went to the callable
    cursor = table.iter(lambda record: cursor.close() or True)
    assert next(cursor)["id"] == 1
    with pytest.raises(InvalidArgumentError, match="closed"):
        next(cursor)


def test_a_cursor_in_a_cycle_with_its_callable(table: Table) -> None:
    for n in range(100):  # what a table keeps for statements grows with the first of them
        table.update({"a": -n})
    with nothing_leaked():
        for n in range(5):
            holder: list[Any] = []
            cursor = table.iter(lambda record, holder=holder: not holder)  # type: ignore[misc]
            holder.append(cursor)
            table.update({"a": n + 1})
            del cursor, holder
        gc.collect()
        assert table.memory()["old_bytes"] == 0


# --- Expressions ---


@pytest.fixture
def nested(db: DictDB) -> Table:
    made = db.create_table("nested")
    made.insert(
        [
            {"name": "Ann", "home": {"city": "Rome", "zip": [1, 2]}},
            {"name": "Bo", "home": {"city": "Bari"}},
            {"name": "Cleo", "home": None},
            {"name": "Di", "home": {"city": "Rome"}},
            {"name": None},
        ]
    )
    return made


def test_computed_columns(nested: Table) -> None:
    city, length = nested.home["city"], nested.name.len_()
    assert nested.select({"city": city, "n": length, "who": "name"}, nested.id <= 3) == [
        {"city": "Rome", "n": 3, "who": "Ann"},
        {"city": "Bari", "n": 2, "who": "Bo"},
        {"city": None, "n": 4, "who": "Cleo"},
    ]
    assert nested.select(["id", city, ("n", length)], limit=1) == [
        {"id": 1, "home['city']": "Rome", "n": 3}
    ]
    assert nested.select([city], distinct=True) == [
        {"home['city']": value} for value in ("Rome", "Bari", None)
    ]
    assert nested.pluck(city) == ["Rome", "Bari", None, "Rome", None]
    assert nested.pluck(city, "id", where=length == 2) == [("Bari", 2), ("Rome", 4)]
    assert nested.pluck(length, distinct=True) == [3, 2, 4, None]
    assert nested.first(columns=[nested.home["zip"][-1]]) == {"home['zip'][-1]": 2}
    assert nested.one(nested.id == 2, columns={"c": city}) == {"c": "Bari"}
    assert list(nested.iter(columns={"c": city}, batch_size=2))[3] == {"c": "Rome"}
    assert nested.pluck(dictdb.Expression("x"), limit=1) == ["x"]


def test_ordered_by_expressions(nested: Table) -> None:
    city, length = nested.home["city"], nested.name.len_()
    assert ids(nested, city) == [3, 5, 2, 1, 4]
    assert ids(nested, city.asc(nulls="last")) == [2, 1, 4, 3, 5]
    assert ids(nested, [city.desc(nulls="first"), length]) == [5, 3, 4, 1, 2]
    assert ids(nested, Order(length, descending=True)) == [3, 1, 2, 4, 5]
    assert ids(nested, [length, "-id"], limit=2) == [5, 4]
    assert ids(nested, [dictdb.Expression(2**80), "-id"]) == [5, 4, 3, 2, 1]
    assert Order(city).key is city


def test_an_expression_whose_text_is_taken(nested: Table) -> None:
    city = nested.home["city"]
    with pytest.raises(InvalidArgumentError, match="occurs twice"):
        nested.select([city, nested.home["city"]])
    with pytest.raises(UnsupportedTypeError, match="columns"):
        nested.select(city)  # type: ignore[call-overload]


def test_a_schema_checks_expressions() -> None:
    table = Table("t", schema={"tags": list})
    wrong = Field("tagz")[0]
    for call in (
        lambda: table.select([wrong]),
        lambda: table.select(order_by=wrong),
        lambda: table.pluck(wrong, distinct=True),
        lambda: table.iter(columns=[wrong]),
        lambda: table.iter(order_by=[wrong.desc()]),
    ):
        with pytest.raises(UnknownFieldError, match="tags"):
            call()


def test_a_cursor_keeps_its_expressions(nested: Table) -> None:
    cursor = nested.iter(
        columns=[nested.home["city"]], order_by=nested.home["city"].desc(), distinct=True
    )
    gc.collect()
    rows = [row["home['city']"] for row in cursor]
    assert rows == ["Rome", "Bari", None]
