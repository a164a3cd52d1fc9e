# SPDX-License-Identifier: Apache-2.0
"""Pickles and deep copies of databases and tables: all of it, of one instant, as plain data."""

from __future__ import annotations

import copy
import io
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dictdb import (
    Column,
    DictDB,
    DuplicateKeyError,
    LimitError,
    RecordNotFoundError,
    Table,
    TableNotFoundError,
    UnsupportedTypeError,
)
from helpers import sized
from samples import KEYS, VALUES, exactly, name_of

Copier = Callable[[Any], Any]
COPIERS: list[Copier] = [
    copy.deepcopy,
    *(lambda thing, p=p: pickle.loads(pickle.dumps(thing, p)) for p in range(6)),
]
COPIER_NAMES = ["deepcopy", *(f"protocol {p}" for p in range(6))]
copiers = pytest.mark.parametrize("copied", COPIERS, ids=COPIER_NAMES)


def filled() -> DictDB:
    db = DictDB(missing="raise")
    users = db.create_table(
        "users",
        schema={"name": str, "age": int | None, "tags": Column(list, default=["new"])},
        missing="ignore",
    )
    users.insert([{"name": "Ann", "age": 5}, {"name": "Bob", "age": None, "tags": [1]}])
    users.insert({"name": 7, "age": "x"}, skip_validation=True)
    users.create_index("name", unique=True)
    users.create_index(["age", "name"], "sorted")
    events = db.create_table("events", "key")
    events.insert([{"key": "x", "data": {"a": [1, None]}}, {"key": 2.5}, {"extra": True}])
    events.create_index([("data", "a", 0), "extra"])
    db.create_table("empty", "\0odd\ud800")
    return db


def assert_same(a: Any, b: Any) -> None:
    assert a.list_tables() == b.list_tables()
    for name in a:
        assert_same_table(a[name], b[name])


def assert_same_table(a: Any, b: Any) -> None:
    assert (a.table_name, a.primary_key) == (b.table_name, b.primary_key)
    assert a.schema == b.schema
    assert exactly(a.all(), b.all())
    assert a.indexes() == b.indexes()
    assert a._next_key() == b._next_key()


@copiers
def test_a_database_is_copied_whole(copied: Copier) -> None:
    db = filled()
    twin = copied(db)
    assert type(twin) is DictDB
    assert_same(db, twin)
    before = twin["users"].all()
    db["users"].delete()
    db.drop_table("events")
    assert twin["users"].all() == before
    assert twin.list_tables() == ["users", "events", "empty"]
    with pytest.raises(DuplicateKeyError):
        twin["users"].insert({"name": "Ann", "age": 1})
    with pytest.raises(RecordNotFoundError):
        twin["events"].delete(where=twin["events"].key == "none")
    assert twin["users"].delete(where=twin["users"].name == "none") == 0


@copiers
def test_a_table_is_copied_whole(copied: Copier) -> None:
    db = filled()
    for name in db:
        twin = copied(db[name])
        assert type(twin) is Table
        assert_same_table(db[name], twin)
    alone = Table("alone", missing="raise")
    alone.insert({"a": 1})
    twin = copied(alone)
    assert_same_table(alone, twin)
    with pytest.raises(RecordNotFoundError):
        twin.delete(where=twin.a == 2)


@pytest.mark.parametrize("copied", [COPIERS[0], *COPIERS[-2:]], ids=["deepcopy", "4", "5"])
def test_every_value_and_key_is_copied(copied: Copier) -> None:
    """Protocols before 4 do not keep the fold of a datetime; 4 is what pickle uses by itself."""
    table = Table("t")
    table.insert([{"v": value, "$type": [value]} for value in VALUES])
    assert_same_table(table, copied(table))
    keys = Table("k", "a")
    keys.insert([{"a": key} for key in KEYS])
    assert_same_table(keys, copied(keys))


@copiers
def test_keys_are_never_given_again(copied: Copier) -> None:
    for schema in (None, {"a": int}, {"id": int, "a": str | None}):
        table = Table("t", schema=schema)
        table.insert({"id": 40, "a": 5 if schema == {"a": int} else None})
        table.delete()
        twin = copied(copied(table))
        assert twin.count() == 0
        assert twin.insert({"a": 1}, skip_validation=True) == 41
    table = Table("t")
    table.insert({"id": 2**63 - 1})
    table.delete()
    with pytest.raises(LimitError):
        copied(table).insert({"a": 1})
    texts = Table("t", "k", {"k": str})
    texts.insert({"k": "a"})
    assert_same_table(texts, copied(texts))


def test_pickles_hold_plain_data_only() -> None:
    """But for the two functions that make databases and tables, and the classes to make."""
    db = filled()
    db["events"].insert([{"v": value} for value in VALUES])
    seen: set[str] = set()

    class Recorder(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            seen.add(f"{module}.{name}")
            return super().find_class(module, name)

    assert_same(db, Recorder(io.BytesIO(pickle.dumps(db))).load())
    ours = {name for name in seen if name.startswith("dictdb")}
    assert ours == {"dictdb._state.restore_database", "dictdb.DictDB"}
    modules = {name.split(".")[0] for name in seen - ours}
    assert modules <= {"datetime", "decimal", "uuid", "zoneinfo", "builtins", "copyreg"}


class Shop(DictDB):
    def __init__(self, where: str) -> None:
        self.where = [where]


class Stock(Table):
    def __init__(self, *args: Any, **kw: Any) -> None:
        self.__dict__["place"] = "cellar"


def test_subclasses_keep_what_is_theirs() -> None:
    shop = Shop.__new__(Shop)
    shop.__init__("here")  # type: ignore[misc]
    shop.create_table("t").insert({"a": 1})
    stock = Stock("s")
    for copied in COPIERS[:1] + COPIERS[4:]:
        twin = copied(shop)
        assert type(twin) is Shop
        assert twin.where == ["here"]
        assert twin.where is not shop.where
        assert_same(shop, twin)
        other = copied(stock)
        assert type(other) is Stock
        assert vars(other) == {"place": "cellar"}


def test_deep_copies_remember_what_they_copied() -> None:
    db = filled()
    twins = copy.deepcopy([db, db, {"again": db}])
    assert twins[0] is twins[1] is twins[2]["again"]
    assert twins[0] is not db
    shop = Shop.__new__(Shop)
    shop.__dict__["itself"] = shop
    twin: Any = copy.deepcopy(shop)
    assert twin.itself is twin


def test_there_are_no_shallow_copies() -> None:
    db = filled()
    with pytest.raises(UnsupportedTypeError, match="deepcopy"):
        copy.copy(db)
    with pytest.raises(UnsupportedTypeError, match="deepcopy"):
        copy.copy(db["users"])


def test_an_opened_database_is_copied_into_memory(tmp_path: Path) -> None:
    with DictDB.open(tmp_path / "db") as db:
        db.create_table("t").insert({"a": 1})
        twin = copy.deepcopy(db)
    assert twin["t"].all() == [{"a": 1, "id": 1}]
    twin["t"].insert({"a": 2})
    with DictDB.open(tmp_path / "db") as db:
        assert db["t"].count() == 1


def test_a_dropped_table_is_not_copied() -> None:
    db = filled()
    users = db["users"]
    db.drop_table("users")
    db.create_table("users").insert({"not": "this one"})
    for copied in COPIERS:
        with pytest.raises(TableNotFoundError, match="users"):
            copied(users)


@pytest.mark.threads
def test_copies_beside_writers_are_of_one_instant() -> None:
    db = DictDB()
    a, b = db.create_table("a"), db.create_table("b")
    a.insert([{"n": 0} for _ in range(50)])
    b.insert([{"n": 0} for _ in range(50)])
    stop = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                with db.write_lock("a", "b"):
                    a.update({"n": number})
                    b.update({"n": number})
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(sized(30, sanitized=6)):
            for copied in (COPIERS[0], COPIERS[-1]):
                twin = copied(db)
                found = {*twin["a"].pluck("n"), *twin["b"].pluck("n")}
                assert len(found) == 1
                assert len(set(copied(a).pluck("n"))) == 1
    finally:
        stop.set()
        writer.join()
    assert failures == []


@pytest.mark.parametrize("value", VALUES, ids=name_of)
def test_states_are_values_that_a_table_can_hold(value: Any) -> None:
    from dictdb import _state

    table = Table("t", schema={"v": Column(type(value), default=value)})
    table.insert({})
    state = _state.state_of(table._view())
    holder = Table("states")
    holder.insert(state)
    assert exactly(holder.all()[0] | {"id": 0}, state | {"id": 0})
