# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,operator,arg-type,call-overload"
"""Names, signatures, docstrings and reprs; what each method gives back."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import dictdb
from dictdb import (
    And,
    BackupManager,
    Condition,
    DictDB,
    DictDBError,
    Not,
    Or,
    RecordNotFoundError,
    RWLock,
    Table,
    TableNotFoundError,
)
from helpers import TESTING_BUILD

EXCEPTIONS: dict[str, tuple[type[Exception], ...]] = {
    "DuplicateKeyError": (KeyError,),
    "DuplicateTableError": (KeyError,),
    "DuplicateIndexError": (KeyError,),
    "RecordNotFoundError": (KeyError,),
    "MultipleRecordsError": (ValueError,),
    "TableNotFoundError": (KeyError,),
    "IndexNotFoundError": (KeyError,),
    "UnknownFieldError": (KeyError,),
    "SchemaValidationError": (ValueError,),
    "InvalidArgumentError": (ValueError,),
    "UnsupportedTypeError": (TypeError,),
    "PrimaryKeyError": (ValueError,),
    "DeadlockError": (RuntimeError,),
    "LockTimeoutError": (TimeoutError,),
    "LockOwnershipError": (RuntimeError,),
    "ForkedProcessError": (RuntimeError,),
    "LimitError": (ValueError, OverflowError),
    "CorruptFileError": (ValueError,),
    "StorageError": (OSError,),
    "DatabaseInUseError": (OSError,),
    "ReadOnlyDatabaseError": (OSError,),
}
PUBLIC = [
    *("DictDB", "Table", "Condition", "And", "Or", "Not", "RWLock", "Column", "BackupManager"),
    *("logger", "DictDBError", "__version__", *EXCEPTIONS),
]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names(name: str) -> None:
    assert hasattr(dictdb, name)
    assert name in dictdb.__all__


def test_all_is_what_is_there() -> None:
    assert len(set(dictdb.__all__)) == len(dictdb.__all__)
    for name in dictdb.__all__:
        getattr(dictdb, name)


@pytest.mark.parametrize("name", list(EXCEPTIONS))
def test_exceptions(name: str) -> None:
    kind = getattr(dictdb, name)
    assert issubclass(kind, DictDBError)
    for base in EXCEPTIONS[name]:
        assert issubclass(kind, base)
    assert kind.__module__ == "dictdb"
    assert kind.__doc__
    error = kind("some text")
    assert "some text" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert repr(error).startswith(name)


def test_a_key_errors_text_is_readable(db: DictDB) -> None:
    """Not the quoted repr of the text, as with KeyError."""
    with pytest.raises(TableNotFoundError) as caught:
        db.get_table("ghost")
    assert not str(caught.value).startswith(("'", '"'))
    assert issubclass(RecordNotFoundError, LookupError)


SIGNATURES: list[tuple[Any, str]] = [
    (DictDB, "(missing='ignore')"),
    (DictDB.create_table, "(self, table_name, primary_key='id', schema=None, *, missing=None)"),
    (DictDB.drop_table, "(self, table_name)"),
    (DictDB.get_table, "(self, table_name)"),
    (DictDB.list_tables, "(self)"),
    (DictDB.save, "(self, filename, file_format=None, *, compression=0, progress=None)"),
    (DictDB.load, "(filename, file_format=None, *, progress=None)"),
    (DictDB.async_save, "(self, filename, file_format=None)"),
    (DictDB.async_load, "(filename, file_format=None)"),
    (DictDB.snapshot, "(self)"),
    (DictDB.write_lock, "(self, *tables, timeout=None)"),
    (DictDB.memory, "(self)"),
    (DictDB.log_info, "(self)"),
    (Table, "(name, primary_key='id', schema=None, *, missing='ignore')"),
    (Table.insert, "(self, record, *, batch_size=None, skip_validation=False, returning='key')"),
    (Table.upsert, "(self, record, on_conflict='update', *, returning='action')"),
    (Table.get, "(self, pk, default=None)"),
    (
        Table.select,
        "(self, columns=None, where=None, *, order_by=None, limit=None, offset=0,"
        " copy=True, distinct=False, threads=None)",
    ),
    (
        Table.update,
        "(self, changes, where=None, *, limit=None, order_by=None, returning='count',"
        " missing=None)",
    ),
    (Table.update_many, "(self, updates, *, returning='count', missing=None)"),
    (
        Table.delete,
        "(self, where=None, *, limit=None, order_by=None, returning='count', missing=None)",
    ),
    (
        Table.iter,
        "(self, where=None, *, columns=None, order_by=None, limit=None, offset=0, copy=True,"
        " distinct=False, batch_size=256)",
    ),
    (
        Table.first,
        "(self, where=None, *, columns=None, order_by=None, offset=0, default=None, copy=True)",
    ),
    (Table.one, "(self, where=None, *, columns=None, copy=True)"),
    (Table.exists, "(self, where=None)"),
    (
        Table.pluck,
        "(self, field, *fields, where=None, order_by=None, limit=None, offset=0, distinct=False,"
        " threads=None)",
    ),
    (dictdb.Cursor.fetch, "(self, count=None)"),
    (dictdb.Cursor.close, "(self)"),
    (dictdb.Order, "(key, *, descending=False, nulls=None)"),
    (dictdb.Field.asc, "(self, *, nulls=None)"),
    (dictdb.Field.desc, "(self, *, nulls=None)"),
    (Table.count, "(self, where=None, *, threads=None)"),
    (Table.copy, "(self)"),
    (Table.all, "(self)"),
    (Table.create_index, "(self, field, index_type='hash', *, unique=False)"),
    (Table.drop_index, "(self, field, index_type=None)"),
    (Table.has_index, "(self, field)"),
    (Table.indexed_fields, "(self)"),
    (Table.indexes, "(self)"),
    (
        Table.explain,
        "(self, where=None, group_by=None, *, having=None, order_by=None, limit=None, offset=0,"
        " distinct=False, analyze=False, columns=None, threads=None, **named)",
    ),
    (Table.columns, "(self)"),
    (Table.size, "(self)"),
    (Table.schema_fields, "(self)"),
    (Table.primary_key_name, "(self)"),
    (Table.field, "(self, name)"),
    (RWLock.acquire_read, "(self, blocking=True, timeout=-1)"),
    (RWLock.acquire_write, "(self, blocking=True, timeout=-1)"),
    (RWLock.release_read, "(self)"),
    (RWLock.release_write, "(self)"),
    (RWLock.read_lock, "(self, timeout=None)"),
    (RWLock.write_lock, "(self, timeout=None)"),
    (RWLock.stats, "(self)"),
    (
        BackupManager,
        "(db, backup_dir, backup_interval=300, file_format='json', min_backup_interval=5.0,"
        " on_backup_failure=None, incremental=False, max_deltas_before_full=10, *,"
        " compression=0, keep=None)",
    ),
    (BackupManager.start, "(self)"),
    (BackupManager.stop, "(self)"),
    (BackupManager.backup_now, "(self, *, progress=None)"),
    (BackupManager.notify_change, "(self)"),
]


def plain(signature: inspect.Signature) -> str:
    """The signature without annotations and without the mark of positional-only parameters."""
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            parameter = parameter.replace(kind=parameter.POSITIONAL_OR_KEYWORD)
        parameters.append(parameter.replace(annotation=parameter.empty))
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


@pytest.mark.parametrize(
    ("function", "expected"), SIGNATURES, ids=lambda x: getattr(x, "__qualname__", "")
)
def test_signatures(function: Any, expected: str) -> None:
    assert plain(inspect.signature(function)) == expected


@pytest.mark.parametrize(
    "function", [f for f, _ in SIGNATURES], ids=lambda f: getattr(f, "__qualname__", "")
)
def test_docstrings(function: Any) -> None:
    text = inspect.getdoc(function)
    assert text
    assert len(text) > 20


def test_everything_public_has_a_docstring() -> None:
    assert dictdb.__doc__
    for name in dictdb.__all__:
        thing = getattr(dictdb, name)
        if not inspect.isclass(thing):
            continue
        assert thing.__doc__, name
        if issubclass(thing, Exception):
            continue
        for attribute in vars(thing):
            if not attribute.startswith("_"):
                assert inspect.getdoc(getattr(thing, attribute)), f"{name}.{attribute}"


def test_arguments_by_name(db: DictDB) -> None:
    table = db.create_table(table_name="t", primary_key="id", schema=None)
    assert db.get_table(table_name="t") == table
    assert table.insert(record={"n": 1}) == 1
    assert table.upsert(record={"id": 1, "n": 2}, on_conflict="ignore") == (1, "ignored")
    assert table.get(pk=1, default=None) == {"id": 1, "n": 1}
    assert table.update(changes={"n": 3}, where=table.n == 1) == 1
    assert table.select(columns=["n"], where=table.n == 3) == [{"n": 3}]
    assert table.count(where=None) == 1
    table.create_index(field="n", index_type="hash")
    assert table.has_index(field="n")
    table.drop_index(field="n")
    assert table.delete(where=None) == 1
    db.drop_table(table_name="t")


def test_positional_arguments_as_in_the_original(users: Any) -> None:
    assert users.select(["name"], users.age == 25) == [{"name": "Bob"}]
    assert users.select(None, Condition(users.age == 25))[0]["name"] == "Bob"
    assert users.update({"age": 26}, users.name == "Bob") == 1
    assert users.delete(users.name == "Bob") == 1
    assert users.count(users.name == "Bob") == 0


def test_insert_gives_keys(db: DictDB) -> None:
    t = db.create_table("t")
    assert t.insert({"a": 1}) == 1
    assert t.insert([{"a": 1}, {"a": 2}]) == [2, 3]
    assert t.insert({"a": n} for n in range(2)) == [4, 5]
    assert t.insert(({"a": 1},)) == [6]
    assert t.insert([]) == []
    assert t.insert({"id": "x"}) == "x"
    assert t.insert({}) == 7
    assert t.insert([{"a": n} for n in range(10)], batch_size=3) == list(range(8, 18))


def test_batch_size_does_not_break_a_statement_up(db: DictDB) -> None:
    t = db.create_table("t")
    with pytest.raises(dictdb.DuplicateKeyError):
        t.insert([{"id": 1}, {"id": 2}, {"id": 3}, {"id": 1}], batch_size=1)
    assert len(t) == 0
    for size in (0, -1):
        with pytest.raises(ValueError, match="batch_size"):
            t.insert([{"a": 1}], batch_size=size)


def test_upsert(users: Any) -> None:
    assert users.upsert({"id": 1, "age": 32}) == (1, "updated")
    assert users.get(1) == {"id": 1, "name": "Ann", "age": 32, "city": "Paris"}
    assert users.upsert({"name": "Eve"}) == (5, "inserted")
    assert users.upsert({"id": "x", "name": "Xa"}) == ("x", "inserted")
    assert users.upsert({"id": 1, "age": 1}, on_conflict="ignore") == (1, "ignored")
    assert users.get(1)["age"] == 32


def test_get_and_in(users: Any) -> None:
    assert users.get(2) == {"id": 2, "name": "Bob", "age": 25, "city": None}
    assert users.get(99) is None
    assert users.get(99, "none") == "none"
    assert 2 in users
    assert 99 not in users
    assert "2" not in users


def test_sizes(users: Any) -> None:
    assert len(users) == users.count() == users.size() == users.len() == 4
    assert users.count(where=users.city == "Paris") == 2
    assert bool(Table("empty")) in (True, False)


def test_iteration(users: Any) -> None:
    rows = list(users)
    assert rows == users.select() == users.all()
    assert all(type(row) is dict for row in rows)
    iterator = iter(users)
    next(iterator)
    users.delete()
    users.insert({"name": "new"})
    assert [row["name"] for row in iterator] == ["Bob", "Cid", "Dee"], "one state, from its start"
    assert [row["name"] for row in users] == ["new"]


def test_copy_of_a_table(users: Any) -> None:
    copied = users.copy()
    assert list(copied) == [1, 2, 3, 4]
    assert copied[3] == {"id": 3, "name": "Cid", "age": 31}
    assert type(copied) is dict


def test_columns(users: Any) -> None:
    assert users.columns() == ["id", "name", "age", "city", "tags"]
    assert Table("t").columns() in ([], ["id"])


def test_select_columns(users: Any) -> None:
    assert users.select(columns=["name", "age"], limit=1) == [{"name": "Ann", "age": 31}]
    assert users.select(columns=("age", "name"), limit=1) == [{"age": 31, "name": "Ann"}]
    assert users.select(columns={"who": "name"}, limit=1) == [{"who": "Ann"}]
    assert users.select(columns=[("who", "name"), ("n", "age")], limit=1) == [
        {"who": "Ann", "n": 31}
    ]
    assert users.select(columns={"a": "name", "b": "name"}, limit=1) == [{"a": "Ann", "b": "Ann"}]
    assert users.select(columns={"who": users.name}, limit=1) == [{"who": "Ann"}]
    assert users.select(columns=[users.name], limit=1) == [{"name": "Ann"}]
    assert users.select(columns=["name", "tags"], limit=1) == [{"name": "Ann", "tags": None}]
    assert users.select(columns=[]) in ([{}] * 4, users.select())
    assert list(users.select(columns=["age", "name"])[0]) == ["age", "name"]


def test_select_order_limit_offset(users: Any) -> None:
    def names(**options: Any) -> list[str]:
        return [row["name"] for row in users.select(**options)]

    assert names(order_by="age") == ["Bob", "Ann", "Cid", "Dee"]
    assert names(order_by="-age") == ["Dee", "Ann", "Cid", "Bob"]
    assert names(order_by=["-age", "-name"]) == ["Dee", "Cid", "Ann", "Bob"]
    assert names(order_by=["city", "name"]) == ["Bob", "Cid", "Ann", "Dee"]
    assert names(order_by="-age", limit=2) == ["Dee", "Ann"]
    assert names(order_by="-age", limit=2, offset=1) == ["Ann", "Cid"]
    assert names(limit=0) == names(offset=4) == []
    assert names(limit=None, offset=3) == ["Dee"]
    assert names(order_by=None) == names(order_by=[]) == ["Ann", "Bob", "Cid", "Dee"]


def test_select_distinct(users: Any) -> None:
    assert users.select(columns=["age"], distinct=True) == [{"age": 31}, {"age": 25}, {"age": 40}]
    assert users.select(columns=["city"], distinct=True) == [{"city": "Paris"}, {"city": None}]
    assert users.select(columns=["age"], distinct=True, limit=1, offset=1) == [{"age": 25}]
    assert users.select(columns=["age"], distinct=True, order_by="-age", limit=2) == [
        {"age": 40},
        {"age": 31},
    ]
    assert len(users.select(distinct=True)) == 4
    users.insert({"age": 40.0, "name": "float"})
    assert len(users.select(columns=["age"], distinct=True)) == 3


def test_views(users: Any) -> None:
    views = users.select(copy=False)
    assert isinstance(views, list)
    view = views[0]
    assert isinstance(view, Mapping)
    assert not isinstance(view, dict)
    assert view == {"id": 1, "name": "Ann", "age": 31, "city": "Paris"}
    assert {"id": 1, "name": "Ann", "age": 31, "city": "Paris"} == view
    assert view != views[1]
    assert view["name"] == "Ann"
    assert view.get("ghost", 5) == 5
    with pytest.raises(KeyError):
        view["ghost"]
    assert list(view) == list(view.keys()) == ["name", "age", "city", "id"]
    assert list(view.values()) == ["Ann", 31, "Paris", 1]
    assert dict(view.items()) == dict(view) == {**view}
    assert len(view) == 4
    assert "name" in view
    assert "ghost" not in view
    assert "Ann" in repr(view)
    projected = users.select(columns={"who": "name"}, copy=False)
    assert dict(projected[0]) == {"who": "Ann"}


def test_fields_and_conditions(users: Any) -> None:
    def names(where: Any) -> list[str]:
        return [row["name"] for row in users.select(where=where)]

    assert names(users.age == 31) == ["Ann", "Cid"]
    assert names(users.age != 31) == ["Bob", "Dee"]
    assert names(users.age < 31) == ["Bob"]
    assert names(users.age <= 31) == ["Ann", "Bob", "Cid"]
    assert names(users.age > 31) == names(31 < users.age) == ["Dee"]
    assert names(users.age >= 40) == ["Dee"]
    assert names(users.age.is_in([25, 40])) == ["Bob", "Dee"]
    assert names(users.age.is_in({25})) == names(users.age.is_in(range(25, 26))) == ["Bob"]
    assert names(users.age.is_in([])) == []
    assert names(users.age.between(25, 31)) == ["Ann", "Bob", "Cid"]
    assert names(users.name.startswith("A")) == ["Ann"]
    assert names(users.name.endswith("d")) == ["Cid"]
    assert names(users.name.contains("e")) == ["Dee"]
    assert names(users.tags.contains("a")) == ["Dee"]
    assert names(users.city.is_null()) == ["Bob", "Cid"]
    assert names(users.city.is_not_null()) == ["Ann", "Dee"]
    assert names((users.age == 31) & (users.city == "Paris")) == ["Ann"]
    assert names((users.age == 25) | (users.age == 40)) == ["Bob", "Dee"]
    assert names(~(users.age == 31)) == ["Bob", "Dee"]
    assert names(And(users.age == 31, users.name == "Cid")) == ["Cid"]
    assert names(And(users.age == 31, users.name == "Cid", users.city == "x")) == []
    assert names(Or(users.age == 25, users.name == "Cid")) == ["Bob", "Cid"]
    assert names(Not(users.age == 31)) == ["Bob", "Dee"]
    assert names(Condition(Condition(users.age == 25))) == ["Bob"]
    assert names(Condition(users.age == 25) | Condition(users.age == 40)) == ["Bob", "Dee"]


def test_a_condition_is_of_no_table(users: Any) -> None:
    """It names fields: it can be made with one table and used with another."""
    other = Table("other")
    other.insert({"age": 31})
    assert other.count(where=users.age == 31) == 1


def test_repr_of_conditions(users: Any) -> None:
    for cond, expected in (
        (users.age >= 18, "age >= 18"),
        (users.name == "Bob", "name == 'Bob'"),
        ((users.age >= 18) & ~(users.name == "Bob"), "(age >= 18 & ~(name == 'Bob'))"),
        (users.age.is_in([1, 2]), "age"),
        (users.city.is_null(), "city"),
    ):
        assert expected in repr(cond)
    assert len(repr(users.age == "x" * 10_000)) < 20_000


def test_repr_of_the_rest(db: DictDB, users: Table) -> None:
    assert "users" in repr(users)
    assert "Table" in repr(users)
    assert "DictDB" in repr(db)
    assert "age" in repr(users.age)
    with db.snapshot() as snapshot:
        assert "napshot" in repr(snapshot)


def test_table_attributes(users: Any) -> None:
    assert users.table_name == "users"
    assert users.primary_key == users.primary_key_name() == "id"
    assert users.schema is None
    assert users.lock is users._lock
    assert isinstance(users.lock, RWLock)
    for name in ("table_name", "lock", "primary_key"):
        with pytest.raises(AttributeError):
            setattr(users, name, 5)
    with pytest.raises(AttributeError):
        users.age = 5


def test_indexes(users: Any) -> None:
    assert users.indexed_fields() == []
    users.create_index("age")
    users.create_index("city", index_type="hash")
    users.create_index("never", "hash")
    assert sorted(users.indexed_fields()) == ["age", "city", "never"]
    assert users.has_index("age")
    assert not users.has_index("name")
    with pytest.raises(dictdb.DuplicateIndexError, match="age"):
        users.create_index("age")
    users.drop_index("age")
    with pytest.raises(dictdb.IndexNotFoundError, match="age"):
        users.drop_index("age")


def test_snapshots(db: DictDB, users: Table) -> None:
    snapshot = db.snapshot()
    users.delete(where=users.id > 1)
    users.update({"age": 0})
    seen = snapshot["users"]
    assert seen.get(4)["name"] == "Dee"
    assert seen.get(99) is None
    assert seen.get(99, 5) == 5
    assert len(seen) == seen.count() == 4
    assert seen.count(where=users.age == 31) == 2
    assert [r["name"] for r in seen.select(where=users.age == 31, order_by="-name")] == [
        "Cid",
        "Ann",
    ]
    assert list(seen.copy()) == [1, 2, 3, 4]
    assert [r["id"] for r in seen] == [1, 2, 3, 4]
    assert "users" in snapshot
    assert "ghost" not in snapshot
    assert list(snapshot) == snapshot.list_tables() == ["users"]
    with pytest.raises(TableNotFoundError):
        snapshot["ghost"]
    for name in ("insert", "update", "delete", "upsert"):
        assert not hasattr(seen, name) or not callable(getattr(seen, name, None))
    snapshot.close()
    snapshot.close()
    with pytest.raises((ValueError, RuntimeError)):
        snapshot["users"]
    with pytest.raises((ValueError, RuntimeError)):
        seen.get(1)


def test_a_snapshot_may_go_to_another_thread(db: DictDB, users: Table) -> None:
    from helpers import in_thread

    snapshot = in_thread(db.snapshot)
    users.delete()
    assert in_thread(lambda: len(snapshot["users"].select())) == 4
    in_thread(snapshot.close)


def test_what_belongs_to_a_version_is_not_copied_or_pickled(db: DictDB, users: Table) -> None:
    with db.snapshot() as snapshot:
        view = snapshot["users"]
    for thing in (db.snapshot(), iter(users), view):
        for call in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                call(thing)


def stub_names(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    names: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = node
    return names


def test_the_stub_has_every_name_of_the_extension() -> None:
    path = Path(dictdb.__file__).parent / "_core.pyi"
    stubs = stub_names(ast.parse(path.read_text(encoding="utf-8")).body)
    extension = {name for name in vars(dictdb._core) if not name.startswith("__")}
    public = {name for name in stubs if not name.startswith("_")}
    tests = {name for name in stubs if name.startswith("_test")} if TESTING_BUILD else set()
    assert (public | tests) - extension == set(), "not in the extension"
    assert extension - set(stubs) == set(), "not in the stub"
    for name in public:
        node, thing = stubs[name], getattr(dictdb._core, name)
        if not isinstance(node, ast.ClassDef) or issubclass(thing, Exception):
            continue
        typed = set(stub_names(node.body))
        for base in node.bases:
            if isinstance(base, ast.Name) and isinstance(stubs.get(base.id), ast.ClassDef):
                typed |= set(stub_names(stubs[base.id].body))  # type: ignore[attr-defined]
        real = {attribute for attribute in vars(thing) if not attribute.startswith("__")}
        assert real - typed == set(), f"{name}: not in the stub"
        for attribute in typed - {"__getattr__", "__new__"}:
            assert hasattr(thing, attribute), f"{name}.{attribute} is not in the extension"


def test_the_package_is_typed() -> None:
    assert (Path(dictdb.__file__).parent / "py.typed").exists()


def test_the_version() -> None:
    assert dictdb.__version__ == "0.1.0"
