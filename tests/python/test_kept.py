# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,no-untyped-def,comparison-overlap"
"""What is kept between calls so as not to make it again: nobody can tell but by the time."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from random import Random
from typing import Any

import pytest

from dictdb import Condition, DictDB, Field, Table, UnknownFieldError
from helpers import SANITIZER, check_python


def test_a_field_is_the_one_that_was_asked_for() -> None:
    """Of more names than are kept, in any order, by any way to ask."""
    table, random = Table("t"), Random(7)
    names = [f"field_{i}" for i in range(60)] + ["count", "__len__", "é", "a b"]
    for _ in range(2_000):
        name = random.choice(names)
        name = random.choice([name, "".join(list(name)), str(name.encode(), "utf-8")])
        for field in (table[name], table.field(name), table.field(Field(name))):
            assert type(field) is Field
            assert field.field_name == name
            assert hash(field) == hash(name)
    for name in names[:60]:
        assert getattr(table, name).field_name == name


def test_attributes_come_before_fields() -> None:
    class Mine(Table):
        __slots__ = ()
        constant = 7

        @property
        def doubled(self) -> int:
            return 2 * len(self)

        @property
        def lacking(self) -> int:
            raise AttributeError("not this one")

        @property
        def broken(self) -> int:
            raise KeyError("broken")

    class Open(Mine):
        pass

    for kind in (Mine, Open):
        table = kind("t")
        table.insert({"id": 1})
        assert (table.constant, table.doubled, table.count()) == (7, 2, 1)
        assert isinstance(table.lacking, Field)
        assert isinstance(table["constant"], Field)
        with pytest.raises(KeyError):
            _ = table.broken
        with pytest.raises(AttributeError):
            _ = table.__nothing__
        _ = table["__nothing__"]
        with pytest.raises(AttributeError):
            _ = table.__nothing__
    opened = Open("t")
    assert isinstance(opened.own, Field)
    opened.own = 5
    assert opened.own == 5
    Mine.added = 6
    assert opened.added == Mine("t").added == 6


def test_a_schema_is_asked_each_time() -> None:
    table = Table("t", schema={"id": int, "age": int})
    for _ in range(3):
        assert table.age.field_name == "age"
        with pytest.raises(UnknownFieldError):
            _ = table.agee
        with pytest.raises(UnknownFieldError):
            _ = table["agee"]


def test_a_field_outlives_its_table() -> None:
    tables = [DictDB().create_table("t", primary_key="key") for _ in range(3)]
    fields = [table.key for table in tables]
    other = Table("other", primary_key="key")
    other.insert([{"key": i} for i in range(10)])
    del tables
    gc.collect()
    for field in fields:
        assert repr(field == 5) == "key == 5"
        assert other.select(where=field == 5) == [{"key": 5}]


def test_the_field_of_a_key_that_is_no_longer_kept() -> None:
    table = Table("t")
    table.insert([{"id": i, "a": 0} for i in range(100)])
    field = table.id
    for i in range(200):
        assert table[f"other_{i}"].field_name == f"other_{i}"
    assert table.update({"a": 1}, where=field == 7) == 1
    assert table.get(7) == {"id": 7, "a": 1}


def test_a_name_may_refer_to_the_table() -> None:
    class Name(str):
        table: Table

    table = Table("t")
    name = Name("a")
    name.table = table
    assert table[name].field_name == "a"
    gone = weakref.ref(table)
    del table, name
    gc.collect()
    assert gone() is None


def test_updates_by_key_while_the_record_is_expected() -> None:
    """Keys that are there or not, of all kinds; with views open, and of a dropped table."""
    db = DictDB()
    table = db.create_table("t")
    table.insert([{"id": i, "a": 0} for i in range(1, 300)])
    table.insert({"id": "x", "a": 0})
    keys: list[Any] = [1, 299, 300, -1, 2**70, 5.0, 5.5, True, "x", "y", None, b"x", (1,), [1], {}]
    for key in keys:
        there = sum(record["id"] == key for record in table.select())
        assert table.update({"a": 1}, where=table.id == key) == there, key
    with db.snapshot() as snapshot:
        assert snapshot["t"].count(where=snapshot["t"]["id"] == 5) == 1
    for _ in table.iter(where=table.a == 0):
        assert table.update({"a": 0}, where=table.id == 9) == 1
    field = table.id
    db.drop_table("t")
    assert repr(field == 5) == "id == 5"
    for _ in range(2):
        with pytest.raises(Exception, match="'t'"):
            table.update({"a": 1}, where=table.id == 5)


def test_conditions_share_no_memory() -> None:
    """Made and let go of in any order, with and without code, each says what it is about."""
    table, random = Table("t"), Random(11)
    kept: list[tuple[Condition, str]] = []
    for i in range(3_000):
        condition = table.a == i
        text = f"a == {i}"
        if i % 3 == 1:
            condition, text = condition & (table.b < i), f"(a == {i} & b < {i})"
        kept.append((condition, text))
        if i % 5 == 0:
            kept.append((Condition(len), "<built-in function len>"))
        while len(kept) > random.randrange(60):
            kept.pop(random.randrange(len(kept)))
        assert all(text in repr(condition) or repr(condition) == text for condition, text in kept)


def test_a_condition_that_refers_to_itself_is_collected() -> None:
    class Holds:
        condition: Condition

        def __call__(self, record: object) -> bool:
            return True

    table = Table("t")
    seen = []
    for _ in range(40):
        holds = Holds()
        holds.condition = (table.a == 1) & Condition(holds)
        seen.append(weakref.ref(holds))
        del holds
    gc.collect()
    assert not any(ref() for ref in seen)
    assert repr(table.a == 2) == "a == 2"


@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="there is no GIL")
@pytest.mark.parametrize("count", [0, 40])
def test_a_module_that_is_collected(count: int) -> None:
    """With the memory that it keeps, and before Conditions that refer to themselves are."""
    check_python(
        f"""
        import gc, importlib.util, weakref
        import dictdb._core as first
        class Holder:
            def __call__(self, record):
                return True
        def make():
            spec = importlib.util.spec_from_file_location("dictdb._core", first.__file__)
            core = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(core)
            holder = Holder()
            holder.at = [core.Condition(holder) for _ in range({count})]
            assert not isinstance(core.Field("a") == 1, first.Condition)
            return weakref.ref(core), weakref.ref(holder)
        gc.collect()
        gc.disable()
        core, holder = make()
        gc.collect()
        gc.collect()
        assert core() is holder() is None
        """.replace("\n        ", "\n"),
        env={} if SANITIZER else {"PYTHONMALLOC": "debug"},  # Writes over what is freed
    )


def test_texts_are_not_mixed_up() -> None:
    """Texts that differ in one place, or in their length alone, from statement to statement."""
    random, table = Random(13), Table("t")
    texts = ["", "a", "é", "ab"]
    for size in (3, 4, 5, 7, 8, 9, 15, 16, 17, 18, 63, 64, 65, 70):
        base = "".join(random.choice("ab") for _ in range(size))
        texts += [base, base[:-1] + "é", base[:-1] + "\0"]
        texts += [base[:i] + "X" + base[i + 1 :] for i in range(size)]
    records = [{"id": i, "a": text, "b": random.choice(texts)} for i, text in enumerate(texts)]
    table.insert(records)
    table.create_index("a")
    for _ in range(3):
        for record in random.sample(records, 200):
            assert table.select(where=table.a == record["a"]) == [record]
            assert table.pluck("b", where=table.a == record["a"]) == [record["b"]]
        assert table.select() == table.all() == list(table.copy().values()) == records
    other = Table("other")
    other.insert(records[::-1])
    assert other.select() == records[::-1]
    assert table.select(order_by="-id") == records[::-1]


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 32, 33, 40])
def test_records_of_many_fields(count: int) -> None:
    """Plain values and others in any mixture, before and after a pattern of their names is made."""
    random, table = Random(count), Table("t")
    values: list[Any] = [None, True, 5, 2**70, 1.5, "text", "", [1], {"a": [2]}, (3,), {4}, b"x"]
    records = [
        {"id": i, **{f"f{k}": random.choice(values) for k in range(count)}} for i in range(150)
    ]
    table.insert(records)
    for _ in range(2):
        got = table.select()
        assert got == records
        assert [[*map(type, r.values())] for r in got] == [
            [*map(type, r.values())] for r in records
        ]
        got[0]["more"] = got
        got[1].clear()
        assert [table.get(i) for i in range(150)] == records


@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="there is no GIL")
def test_only_long_selects_let_other_threads_run() -> None:
    """A thread waits for the interpreter all the time, and gets it only where it is given up."""
    table = Table("t")
    table.insert([{"id": i, "a": i // 10, "b": i} for i in range(30_000)])
    table.create_index("a")
    turns, stop, began = [0], threading.Event(), threading.Event()

    def take_turns() -> None:
        began.set()
        while not stop.is_set():
            turns[0] += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=take_turns)
    sys.setswitchinterval(1_000)
    try:
        thread.start()
        began.wait()
        gc.collect()  # Else what other tests left, such as files, may be closed in between
        before = turns[0]
        for i in range(50):
            assert len(table.select(where=table.a == i)) == 10
            assert len(table.select(where=table.id == i)) == 1
            assert len(table.select(limit=5)) == 5
        assert turns[0] == before
        while turns[0] == before:
            assert table.select(where=table.b == -1) == []
    finally:
        stop.set()
        sys.setswitchinterval(interval)
        thread.join()
