# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""Tables of a database: made, found, listed, dropped; races included."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from dictdb import (
    DictDB,
    DuplicateTableError,
    InvalidArgumentError,
    Table,
    TableNotFoundError,
)
from helpers import PATIENCE, background, in_thread, join_all, nothing_leaked, run_threads


def test_create_get_list_drop(db: DictDB) -> None:
    table = db.create_table("users")
    assert isinstance(table, Table)
    assert table.table_name == "users"
    assert table.primary_key == "id"
    table.insert({"a": 1})
    assert db.get_table("users").select() == db["users"].select() == [{"id": 1, "a": 1}]
    other = db.create_table("things", primary_key="key", schema=None)
    assert other.primary_key == other.primary_key_name() == "key"
    assert db.list_tables() == ["users", "things"]
    assert "users" in db
    assert "ghost" not in db
    assert len(db) == 2
    assert list(db) == ["users", "things"]
    db.drop_table("users")
    assert db.list_tables() == ["things"]
    assert "users" not in db


def test_errors_name_the_table(db: DictDB) -> None:
    db.create_table("users")
    with pytest.raises(DuplicateTableError, match="users"):
        db.create_table("users")
    for call in (db.get_table, db.drop_table, db.__getitem__):
        with pytest.raises(TableNotFoundError, match="ghost"):
            call("ghost")
    assert issubclass(DuplicateTableError, KeyError)
    assert issubclass(TableNotFoundError, KeyError)


def test_the_same_table_by_every_way(db: DictDB) -> None:
    """Two objects or one: they are the same table, and say so."""
    made = db.create_table("t")
    assert made == db["t"] == db.get_table("t")
    assert hash(made) == hash(db["t"])
    assert made != Table("t")
    assert made.lock is db["t"].lock or made.lock == db["t"].lock
    with db["t"].lock.write_lock():
        assert in_thread(lambda: made.lock.acquire_read(blocking=False)) is False


def test_a_dropped_table(db: DictDB) -> None:
    table = db.create_table("t")
    table.insert([{"a": 1}, {"a": 2}])
    view = table.select(copy=False)[0]
    iterator = iter(table)
    assert next(iterator) == {"id": 1, "a": 1}
    snapshot = db.snapshot()
    db.drop_table("t")
    for call in (
        lambda: table.insert({"a": 3}),
        lambda: table.upsert({"id": 1}),
        lambda: table.update({"a": 3}),
        lambda: table.delete(),
        lambda: table.select(),
        lambda: table.get(1),
        lambda: table.count(),
        lambda: table.copy(),
        lambda: len(table),
        lambda: 1 in table,
        lambda: table.create_index("a"),
        lambda: list(table),
    ):
        with pytest.raises(TableNotFoundError, match="t"):
            call()
    assert view["a"] == 1
    assert snapshot["t"].count() == 2
    snapshot.close()
    again = db.create_table("t")
    assert again.insert({"a": 5}) == 1
    with pytest.raises(TableNotFoundError):
        table.select()
    assert "t" in repr(table)


def test_a_name_can_be_used_again_and_again(db: DictDB) -> None:
    db.create_table("t")
    db.drop_table("t")
    with nothing_leaked(16_384):
        for n in range(500):
            table = db.create_table("t")
            table.create_index("a")
            table.insert([{"a": n}] * 5)
            db.drop_table("t")
            del table
    assert db.list_tables() == []


def test_one_of_many_creates(db: DictDB) -> None:
    made, refused = [], []

    def work() -> None:
        for n in range(100):
            try:
                made.append(db.create_table(f"t{n}").table_name)
            except DuplicateTableError:
                refused.append(n)

    run_threads([work] * 4)
    assert sorted(made) == sorted(f"t{n}" for n in range(100))
    assert len(refused) == 300
    assert sorted(db.list_tables()) == sorted(made)


def test_one_of_many_drops(db: DictDB) -> None:
    for n in range(100):
        db.create_table(f"t{n}")
    dropped = []

    def work() -> None:
        for n in range(100):
            try:
                db.drop_table(f"t{n}")
                dropped.append(n)
            except TableNotFoundError:
                pass

    run_threads([work] * 4)
    assert sorted(dropped) == list(range(100))
    assert len(db) == 0


def test_the_list_is_one_instant(db: DictDB) -> None:
    """b is only ever there together with a."""
    db.create_table("a")

    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            db.create_table("b")
            db.drop_table("b")

    with background(work, stop=stop):
        for _ in range(2000):
            names = db.list_tables()
            assert names in (["a"], ["a", "b"])


def test_drop_waits_for_the_tables_writers(db: DictDB) -> None:
    table = db.create_table("t")
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with table.lock.write_lock():
            held.set()
            end.wait(60)
            table.insert({"a": 1})

    with background(hold):
        held.wait(20)
        thread = threading.Thread(target=lambda: db.drop_table("t"), daemon=True)
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
        end.set()
        join_all([thread])
    assert "t" not in db


def test_waiting_statements_learn_of_the_drop(db: DictDB) -> None:
    table = db.create_table("t")
    outcomes: list[str] = []

    def write() -> None:
        try:
            table.insert({"a": 1})
            outcomes.append("inserted")
        except TableNotFoundError:
            outcomes.append("gone")

    def read() -> None:
        try:
            table.select()
            outcomes.append("read")
        except TableNotFoundError:
            outcomes.append("gone")

    table.lock.acquire_write()
    threads = [threading.Thread(target=work, daemon=True) for work in (write, read)]
    for thread in threads:
        thread.start()
        thread.join(0.05)
    db.drop_table("t")
    table.lock.release_write()
    join_all(threads)
    assert outcomes == ["gone", "gone"]


def test_the_lock_of_a_dropped_table_does_not_hang(db: DictDB) -> None:
    table = db.create_table("t")
    table.lock.acquire_read()
    table.lock.release_read()
    with table.lock.write_lock():
        db.drop_table("t")
        with pytest.raises(TableNotFoundError):
            table.insert({"a": 1})
    for make in (table.lock.read_lock, table.lock.write_lock):
        try:
            with make(timeout=5 * PATIENCE):
                pass
        except TableNotFoundError:
            pass


def test_a_table_without_a_database() -> None:
    table = Table("alone", primary_key="k", schema={"n": int})
    assert table.insert({"n": 1}) == 1
    assert table.get(1) == {"k": 1, "n": 1}
    assert table.table_name == "alone"
    with table.lock.write_lock():
        table.update({"n": 2})
    assert table.copy() == {1: {"k": 1, "n": 2}}
    with pytest.raises(InvalidArgumentError):
        Table("")


def test_databases_are_apart() -> None:
    one, two = DictDB(), DictDB()
    one.create_table("t").insert({"a": 1})
    assert "t" not in two
    two.create_table("t")
    assert two["t"].count() == 0


def test_a_table_outlives_its_database() -> None:
    table = DictDB().create_table("t")
    gc.collect()
    assert table.insert({"a": 1}) == 1
    assert table.select() == [{"id": 1, "a": 1}]


def test_objects_are_released() -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert({"a": 1})
    refs = [weakref.ref(db), weakref.ref(table)]
    del db, table
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_databases_have_no_attributes_by_accident(db: DictDB) -> None:
    with pytest.raises(AttributeError):
        db.users  # type: ignore[attr-defined]  # noqa: B018


def test_an_unknown_table_is_told_with_the_one_that_was_meant(db: DictDB) -> None:
    db.create_table("users")
    db.create_table("orders")
    with db.snapshot() as snapshot:
        for ask in (
            lambda: db["usres"],
            lambda: db.get_table("usres"),
            lambda: db.drop_table("usres"),
            lambda: snapshot["usres"],
        ):
            with pytest.raises(TableNotFoundError, match="'usres'; did you mean 'users'"):
                ask()
        for unknown in (lambda: db["ghost"], lambda: snapshot["ghost"], lambda: db[""]):
            with pytest.raises(TableNotFoundError) as caught:
                unknown()
            assert "mean" not in str(caught.value)
        db.drop_table("users")
        with pytest.raises(TableNotFoundError) as caught:
            db["usres"]
        assert "mean" not in str(caught.value)
        with pytest.raises(TableNotFoundError, match="did you mean 'users'"):
            snapshot["usres"]
        assert "usres" not in db
