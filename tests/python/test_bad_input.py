# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,operator,arg-type,call-overload"
"""Hostile and mistaken input: a clear error that names the culprit, or it works; nothing changed,
nothing leaked."""

from __future__ import annotations

import datetime
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dictdb import (
    And,
    BackupManager,
    DictDB,
    DictDBError,
    DuplicateKeyError,
    Field,
    InvalidArgumentError,
    LimitError,
    Order,
    PrimaryKeyError,
    SchemaValidationError,
    StdDev,
    Sum,
    Table,
    UnknownFieldError,
    UnsupportedTypeError,
    _core,
    configure_logging,
)
from helpers import in_thread, nothing_leaked, records, unchanged

# What a table may keep after a refused statement: names of fields, room to build records in.
SLACK = 16 * 1024
REPEAT = 40

deep: list[Any] = []
for _ in range(100_000):
    deep = [deep]
selfish: list[Any] = [1]
selfish.append(selfish)
selfish_dict: dict[str, Any] = {}
selfish_dict["me"] = selfish_dict
mutual: list[Any] = [{"back": None}]
mutual[0]["back"] = mutual


def refused(table: Table, error: type[Exception], call: Callable[[], Any], *culprits: str) -> None:
    """The call raises `error` naming the culprits, changes nothing and leaks nothing."""
    with unchanged(table):
        with pytest.raises(error) as caught:
            call()
    assert isinstance(caught.value, DictDBError), type(caught.value)
    for culprit in culprits:
        assert culprit in str(caught.value), f"{culprit!r} is not named in: {caught.value}"
    del caught
    with nothing_leaked(SLACK):
        for _ in range(REPEAT):
            try:
                call()
            except error:
                pass


def named(error: type[Exception], call: Callable[[], Any], text: str) -> None:
    """As refused(), of many mistakes of one kind: without looking for what leaks."""
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, DictDBError), type(caught.value)
    assert text in str(caught.value)


def writes(table: Table, record: Any) -> list[Callable[[], Any]]:
    return [
        lambda: table.insert(record),
        lambda: table.insert([{"fine": 1}, record]),
        lambda: table.insert(iter([{"fine": 1}, record])),
        lambda: table.upsert(record),
        lambda: table.update(record),
    ]


@pytest.mark.parametrize("culprit", [5, None, "text", 3.5, object(), b"x", True, {1, 2}])
def test_not_a_mapping(users: Any, culprit: Any) -> None:
    for call in (lambda: users.update(culprit), lambda: users.upsert(culprit)):
        refused(users, TypeError, call, type(culprit).__name__)
    refused(users, TypeError, lambda: users.insert([{"a": 1}, culprit]), type(culprit).__name__)
    if not isinstance(culprit, (str, bytes, set)):
        refused(users, TypeError, lambda: users.insert(culprit), type(culprit).__name__)
    else:
        refused(users, TypeError, lambda: users.insert(culprit))


def test_pairs_are_not_a_mapping(users: Any) -> None:
    refused(users, TypeError, lambda: users.insert([("name", "x"), ("age", 3)]), "tuple")


@pytest.mark.parametrize("name", [1, None, b"name", ("a",), 2.5, True])
def test_field_names_that_are_not_strings(users: Any, name: Any) -> None:
    for call in writes(users, {"a": 1, name: 2}):
        refused(users, TypeError, call, repr(name))


@pytest.mark.parametrize(
    "key", [[1], {"a": 1}, {1}, [], ([1],), ({"a": {}},)], ids=lambda key: repr(key)
)
def test_unhashable_keys(users: Any, key: Any) -> None:
    refused(users, PrimaryKeyError, lambda: users.insert({"id": key}), "id")
    refused(users, PrimaryKeyError, lambda: users.insert([{"a": 1}, {"id": key}]), "id")
    refused(users, PrimaryKeyError, lambda: users.upsert({"id": key}), "id")
    refused(users, (PrimaryKeyError, TypeError), lambda: users.get(key))


@pytest.mark.parametrize("key", [math.nan, Decimal("NaN"), (1, math.nan)], ids=repr)
def test_nan_keys(users: Any, key: Any) -> None:
    refused(users, PrimaryKeyError, lambda: users.insert({"id": key}), "id")
    refused(users, PrimaryKeyError, lambda: users.upsert({"id": key, "a": 1}), "id")
    assert users.get(key) is None
    assert key not in users


def test_a_key_of_none(users: Any) -> None:
    """None is no key; it is not taken for a missing one either."""
    refused(users, PrimaryKeyError, lambda: users.insert({"id": None, "name": "x"}), "id")
    refused(users, PrimaryKeyError, lambda: users.upsert({"id": None, "name": "x"}), "id")
    assert users.get(None) is None
    assert None not in users


def test_the_key_cannot_be_updated(users: Any) -> None:
    refused(users, PrimaryKeyError, lambda: users.update({"id": 9}), "id")
    refused(users, PrimaryKeyError, lambda: users.update({"age": 1, "id": 9}), "id")


def test_large_integers(users: Any) -> None:
    for number in (2**70, -(2**70), 2**63, 2**63 - 1, -(2**63), -(2**63) - 1, 10**4000):
        key = users.insert({"id": number, "n": number, "list": [number]})
        assert key == number
        assert users.get(number) == {"id": number, "n": number, "list": [number]}
        assert users.count(where=users.n == number) == 1
        assert users.delete(where=users.id == number) == 1
    refused(users, ValueError, lambda: users.select(limit=-(2**70)), "limit")
    assert users.select(limit=2**70) == users.select()
    assert users.select(offset=2**70) == []


def test_automatic_keys_run_out() -> None:
    table = Table("t")
    table.insert({"id": 2**63 - 2})
    assert table.insert({"a": 1}) == 2**63 - 1
    refused(table, LimitError, lambda: table.insert({"a": 1}))
    refused(table, LimitError, lambda: table.insert([{"id": "x"}, {"a": 1}]))
    assert table.insert({"id": 7}) == 7


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\0", "a\0b", "\0" * 300, "\U0010ffff", ""])
def test_odd_strings_are_strings(users: Any, text: str, db: Any, tmp_path: Path) -> None:
    key = users.insert({"id": "k" + text, text: text, "nested": {text: [text]}})
    assert key == "k" + text
    assert users.get(key) == {"id": key, text: text, "nested": {text: [text]}}
    field = users.field(text)
    assert users.count(where=field == text) == 1
    assert users.count(where=And(field == text, users["id"].endswith(text))) == 1
    assert repr(field == text)
    users.create_index(text)
    assert users.has_index(text)
    assert users.select(where=field == text)[0]["id"] == key
    db.save(tmp_path / "odd.json")
    assert DictDB.load(tmp_path / "odd.json")["users"].get(key) == users.get(key)


@pytest.mark.parametrize("value", [deep, selfish, selfish_dict, mutual], ids=["deep", *"123"])
def test_nesting_without_end(users: Any, value: Any) -> None:
    for call in writes(users, {"fine": 1, "value": value}):
        refused(users, (LimitError, ValueError), call, "value")
    refused(users, ValueError, lambda: users.select(where=users.age == value))
    refused(users, ValueError, lambda: users.select(where=users.age.is_in([1, value])))
    refused(users, ValueError, lambda: users.insert({"id": ((value,),)}))


def test_deep_nesting_in_a_thread_with_a_small_stack(users: Any) -> None:
    def nest(depth: int) -> Any:
        value: Any = "leaf"
        for _ in range(depth):
            value = {"v": [value]}
        return value

    def work() -> None:
        users.insert({"id": 100, "value": nest(90)})
        assert users.get(100) == {"id": 100, "value": nest(90)}
        with pytest.raises(ValueError):
            users.insert({"value": nest(1000)})

    before = threading.stack_size(256 * 1024)
    try:
        in_thread(work)
    finally:
        threading.stack_size(before)


def test_deeply_nested_conditions(users: Any) -> None:
    def chain() -> Any:
        cond = users.age == 1
        for _ in range(100_000):
            cond = ~cond
        return cond

    try:
        cond = chain()
    except LimitError:
        pass
    else:
        assert users.count(where=cond) >= 0
    wide = users.age == -1
    try:
        for n in range(2_000):
            wide = wide | (users.age == n)
        assert users.count(where=wide) == 4
        assert repr(wide)
    except LimitError:
        pass
    assert users.count(where=users.age.is_in(range(100_000))) == 4


class ChangingMapping(Mapping[str, Any]):
    """Its keys change while they are read."""

    def __init__(self) -> None:
        self.contents: dict[str, Any] = {"a": 1, "b": 2}
        self.reads = 0

    def __getitem__(self, name: str) -> Any:
        self.reads += 1
        self.contents[f"new{self.reads}"] = self.reads
        return self.contents[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.contents)

    def __len__(self) -> int:
        return len(self.contents)


class ShortMapping(ChangingMapping):
    """Names a key that it does not have."""

    def __iter__(self) -> Iterator[str]:
        return iter(["a", "ghost"])


class LyingMapping(ChangingMapping):
    def __len__(self) -> int:
        return 2**62


class TwiceMapping(ChangingMapping):
    def __iter__(self) -> Iterator[str]:
        return iter(["a", "b", "a"])


def test_a_mapping_that_changes_while_it_is_read(users: Any) -> None:
    for make in (ChangingMapping, LyingMapping):
        for call in writes(users, make()):
            before = users.count()
            try:
                call()
            except (RuntimeError, ValueError, MemoryError, OverflowError):
                assert users.count() == before


def test_a_mapping_without_the_key_it_names(users: Any) -> None:
    for call in writes(users, ShortMapping()):
        with unchanged(users), pytest.raises(KeyError, match="ghost"):
            call()


def test_a_mapping_that_names_a_key_twice(users: Any) -> None:
    """As in dict(mapping): once; or it is refused. Never a record with two fields of a name."""
    for call in writes(users, TwiceMapping()):
        before = records(users)
        try:
            call()
        except ValueError as error:
            assert "a" in str(error)
            assert records(users) == before
    assert all(len(row) == len(set(row)) for row in users.select(copy=False))


def test_a_dict_that_a_method_of_its_values_changes(users: Any) -> None:
    record: dict[str, Any] = {}

    class Clears:
        def __index__(self) -> int:
            record.clear()
            return 1

        def utcoffset(self, when: Any) -> None:
            record.clear()

    class Zone(datetime.tzinfo):
        def utcoffset(self, when: Any) -> datetime.timedelta:
            record.clear()
            nested.clear()
            return datetime.timedelta(0)

        def dst(self, when: Any) -> None:
            return None

        def tzname(self, when: Any) -> str:
            return "Z"

    nested: list[Any] = []
    for _ in range(50):
        moment = datetime.datetime(2013, 1, 1, tzinfo=Zone())
        nested[:] = [1, moment, "x" * 10, [2], moment]
        record.update({"a": moment, "b": nested, "c": {"d": [moment]}, "e": Clears()})
        for call in writes(users, record):
            try:
                call()
            except (TypeError, RuntimeError, ValueError):
                pass
            record.update({"a": moment, "b": nested, "c": {"d": [moment]}})


def test_an_iterator_that_raises_half_way(users: Any) -> None:
    class Mine(Exception):
        pass

    def produce() -> Iterator[dict[str, Any]]:
        yield {"a": 1}
        yield {"b": 2}
        raise Mine("half way")

    with nothing_leaked(SLACK):
        for _ in range(REPEAT):
            with unchanged(users), pytest.raises(Mine, match="half way"):
                users.insert(produce())
    with unchanged(users), pytest.raises(Mine):
        users.select(where=users.age.is_in(list(r) for r in produce()))


def test_a_mapping_that_raises_half_way(users: Any) -> None:
    class Raises(ChangingMapping):
        def __getitem__(self, name: str) -> Any:
            raise OSError("no such luck")

    for call in writes(users, Raises()):
        with unchanged(users), pytest.raises(OSError, match="no such luck"):
            call()


def test_a_memory_error_of_the_user_is_passed_on(users: Any) -> None:
    def produce() -> Iterator[dict[str, Any]]:
        yield {"a": 1}
        raise MemoryError

    with unchanged(users), pytest.raises(MemoryError):
        users.insert(produce())


@pytest.mark.parametrize("where", [5, "age > 3", None.__class__, [], {}, {"age": 3}, 1.5, object()])
def test_a_where_that_is_not_a_condition(users: Any, where: Any) -> None:
    for call in (
        lambda: users.select(where=where),
        lambda: users.count(where=where),
        lambda: users.update({"age": 1}, where=where),
        lambda: users.delete(where=where),
    ):
        refused(users, TypeError, call, "where")


@pytest.mark.parametrize("where", [True, False])
def test_a_boolean_is_not_a_condition(users: Any, where: bool) -> None:
    """The result of `and`, `not` or a comparison of values, which would delete everything."""
    for call in (
        lambda: users.select(where=where),
        lambda: users.delete(where=where),
        lambda: users.update({"age": 1}, where=where),
    ):
        refused(users, TypeError, call, "where")


def test_conditions_refuse_truth_testing(users: Any) -> None:
    cond = users.age == 3
    for call in (
        lambda: bool(cond),
        lambda: not cond,
        lambda: cond and cond,
        lambda: 1 < users.age < 3,
        lambda: 3 if cond else 4,
    ):
        refused(users, TypeError, call, "&")


def test_fields_are_not_conditions(users: Any) -> None:
    refused(users, TypeError, lambda: users.select(where=users.age))
    refused(users, TypeError, lambda: And(users.age == 1, 5))
    refused(users, TypeError, lambda: (users.age == 1) & True)


@pytest.mark.parametrize("number", [-1, -(2**63), 1.5, "3", True, [], math.nan])
@pytest.mark.parametrize("name", ["limit", "offset"])
def test_wrong_limits_and_offsets(users: Any, name: str, number: Any) -> None:
    error = ValueError if isinstance(number, int) and number is not True else TypeError
    refused(users, error, lambda: users.select(**{name: number}), name)


@pytest.mark.parametrize("name", ["limit", "offset", "copy", "distinct"])
def test_mistakes_beside_columns_and_orders(users: Any, name: str) -> None:
    """What was made of the arguments before the wrong one goes once."""
    good: dict[str, Any] = {"columns": ["é", ("x", users.age + 1)], "order_by": ["-é", users.age]}
    wrong = {name: "3"}
    refused(users, TypeError, lambda: users.iter(**good, **wrong), name)
    refused(users, TypeError, lambda: users.select(**good, **wrong), name)


def test_unknown_formats(users: Any, db: Any, tmp_path: Path) -> None:
    for form in ("xml", "", "js on", "\0", "é"):
        save = lambda f=form: db.save(tmp_path / "x.json", f)  # noqa: E731
        refused(users, InvalidArgumentError, save, repr(form))
        refused(users, InvalidArgumentError, lambda f=form: DictDB.load(tmp_path / "x.json", f))
    refused(users, InvalidArgumentError, lambda: db.save(tmp_path / "x.csv"), "csv", "export_csv")
    refused(users, TypeError, lambda: db.save(5, "json"))
    refused(users, TypeError, lambda: db.save(tmp_path / "x", 5))
    assert list(tmp_path.iterdir()) == []


def test_unknown_index_types(users: Any) -> None:
    for kind in ("btree", "", "HASHED", "\ud800"):
        refused(users, InvalidArgumentError, lambda k=kind: users.create_index("age", k))
    refused(users, (TypeError, ValueError), lambda: users.create_index("age", 5))
    refused(users, TypeError, lambda: users.create_index(5))
    assert users.indexed_fields() == []


def test_unknown_conflict_modes(users: Any) -> None:
    for mode in ("replace", "", "UPDATE!"):
        refused(users, ValueError, lambda m=mode: users.upsert({"id": 1}, on_conflict=m), mode)


def test_unknown_arguments(users: Any, db: Any) -> None:
    for call in (
        lambda: users.select(wehre=users.age == 1),
        lambda: users.insert({"a": 1}, validate=True),
        lambda: db.create_table("x", key="id"),
        lambda: users.update({"a": 1}, users.age == 1, 5),
    ):
        with unchanged(users), pytest.raises(TypeError):
            call()
    assert "x" not in db


@pytest.fixture
def typed(db: Any) -> Any:
    table = db.create_table("typed", schema={"name": str, "age": int, "city": str | None})
    table.insert({"name": "Ann", "age": 3, "city": None})
    return table


def test_unknown_fields_of_a_table_with_a_schema(typed: Any) -> None:
    for call in (
        lambda: typed.select(columns=["name", "agee"]),
        lambda: typed.select(order_by="-agee"),
        lambda: typed.select(where=typed["agee"] == 3),
        lambda: typed.select(columns={"alias": "agee"}),
        lambda: typed.select(columns=[("alias", "agee")]),
        lambda: typed.count(where=~(typed["agee"] == 3)),
        lambda: typed.delete(where=(typed.age == 99) & (typed["agee"] == 3)),
        lambda: typed.update({"age": 1}, where=typed["agee"] == 3),
        lambda: typed.create_index("agee"),
    ):
        refused(typed, UnknownFieldError, call, "agee", "age")


def test_records_that_break_a_schema(typed: Any) -> None:
    for record, field, expected, given in (
        ({"name": "Bob", "age": "old", "city": "x"}, "age", "int", "str"),
        ({"name": "Bob", "age": True, "city": "x"}, "age", "int", "bool"),
        ({"name": "Bob", "age": 1.0, "city": "x"}, "age", "int", "float"),
        ({"name": None, "age": 1, "city": "x"}, "name", "str", "None"),
        ({"name": "Bob", "age": 1, "city": 5}, "city", "str", "int"),
        ({"name": "Bob", "city": "x"}, "age", "int", "missing"),
        ({"name": "Bob", "age": 1, "city": "x", "extra": 2}, "extra", "", ""),
    ):
        refused(typed, SchemaValidationError, lambda r=record: typed.insert(r), field, "typed")
        refused(typed, ValueError, lambda r=record: typed.insert([typed.get(1) | {"id": 8}, r]))
        with pytest.raises(SchemaValidationError) as caught:
            typed.insert(record)
        assert caught.value.table == "typed"
        assert caught.value.field == field
        assert expected in caught.value.expected
        assert given in caught.value.given
    refused(typed, SchemaValidationError, lambda: typed.update({"age": "x"}), "age", "int", "str")
    refused(typed, SchemaValidationError, lambda: typed.update({"agee": 1}), "agee")


@pytest.mark.parametrize(
    "value",
    [object(), int, len, range(3), 1j, memoryview(b"x"), bytearray(b"x"), ..., NotImplemented],
    ids=lambda value: type(value).__name__,
)
def test_values_of_other_types(users: Any, value: Any) -> None:
    name = type(value).__name__
    calls = writes(users, {"fine": 1, "odd": value})
    if value is len:  # An update calls it; what that returns is the value.
        calls[-1] = lambda: users.update({"fine": 1, "odd": lambda record: value})
    for call in calls:
        refused(users, UnsupportedTypeError, call, "odd", name)
    refused(users, TypeError, lambda: users.insert({"a": [1, {"b": (value,)}]}), "a", name)
    refused(users, TypeError, lambda: users.select(where=users.age == value), name)
    refused(users, TypeError, lambda: users.get(value), name)


def test_duplicates_within_and_without(users: Any) -> None:
    refused(users, DuplicateKeyError, lambda: users.insert({"id": 1}), "1", "users")
    refused(users, DuplicateKeyError, lambda: users.insert([{"id": 9}, {"a": 1}, {"id": 9}]), "9")
    refused(users, DuplicateKeyError, lambda: users.insert([{"id": 9}, {"id": 9.0}]), "9")
    refused(users, DuplicateKeyError, lambda: users.insert({"id": True}))
    refused(users, DuplicateKeyError, lambda: users.insert({"id": Decimal(1)}))
    assert users.insert({"n": 1}) == 5


def test_what_fails_late_keeps_nothing() -> None:
    """All records are changed before the last duplicate is found, again and again."""
    table = Table("t")
    table.insert([{"n": n} for n in range(1_000)])
    table.create_index("n", unique=True)
    refused(table, DuplicateKeyError, lambda: table.update({"n": 1}), "n")


def test_too_many_fields() -> None:
    table = Table("wide")
    wide = {f"f{n}": n for n in range(70_000)}
    with unchanged(table), pytest.raises(LimitError):
        table.insert(wide)
    assert table.insert(dict(list(wide.items())[:2_000])) == 1
    assert len(table.get(1) or {}) == 2_001


def test_names_of_tables(db: Any) -> None:
    for wrong in (5, None, b"t", ["t"]):
        with pytest.raises(TypeError):
            db.create_table(wrong)
        with pytest.raises(TypeError):
            db.get_table(wrong)
    with pytest.raises(InvalidArgumentError):
        db.create_table("")
    with pytest.raises((InvalidArgumentError, TypeError)):
        db.create_table("t", primary_key="")
    for name in ("\0", "\ud800", "x" * 10_000, "a/b", "été", "count"):
        db.create_table(name).insert({"a": 1})
        assert db[name].table_name == name
        assert name in db
    assert len(db) == 6
    assert 5 not in db


def test_damaged_arguments_of_a_schema(db: Any) -> None:
    for schema in (5, "name", {"name": "str"}, {"name": complex}, {5: int}, {"a": 1}, [("a",)]):
        with pytest.raises((TypeError, ValueError)):
            db.create_table("t", schema=schema)
    assert db.list_tables() == []


def test_the_statement_after_a_failed_one_is_sound(users: Any) -> None:
    """An error must not leave half a record in what the next statement builds in."""
    for _ in range(3):
        damaged: list[Any] = [{"a": [1, [2, object()]]}, {"a": 1, 5: 2}, {"id": []}]
        for record in damaged:
            with pytest.raises((TypeError, ValueError)):
                users.insert([{"x": 1}, record])
        key = users.insert({"whole": [1, {"a": 2}]})
        assert users.get(key) == {"id": key, "whole": [1, {"a": 2}]}


def test_process_memory_is_a_count() -> None:
    assert isinstance(_core.process_memory(), int)
    table = Table("t")
    before = _core.process_memory()
    table.insert([{"text": "x" * 100} for _ in range(1000)])
    assert _core.process_memory() - before > 100_000


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_wrong_numbers_of_threads(users: Any, threads: Any) -> None:
    error = ValueError if isinstance(threads, int) and threads is not True else TypeError
    refused(users, error, lambda: users.count(threads=threads), "threads")
    refused(users, error, lambda: users.select(threads=threads), "threads")
    assert users.select(threads=2**70) == users.select()


WORDS: dict[str, tuple[Callable[[Table, Any], Any], str, str]] = {
    "index_type": (lambda t, word: t.create_index("age", word), "sortd", "sorted"),
    "on_conflict": (lambda t, word: t.upsert({"id": 1}, word), "updat", "update"),
    "returning": (lambda t, word: t.update({"x": 1}, returning=word), "cuont", "count"),
    "returning (insert)": (lambda t, word: t.insert({"x": 1}, returning=word), "kye", "key"),
    "returning (upsert)": (lambda t, word: t.upsert({}, returning=word), "acton", "action"),
    "returning (update_many)": (lambda t, word: t.update_many([], returning=word), "olld", "old"),
    "returning (delete)": (lambda t, word: t.delete(returning=word), "Count", "count"),
    "missing": (lambda t, word: t.update({"x": 1}, missing=word), "rais", "raise"),
    "nulls": (lambda t, word: Order("age", nulls=word), "frist", "first"),
    "how": (lambda t, word: t.join(t, "id", word, prefix="x"), "iner", "inner"),
    "durability": (lambda t, word: DictDB.open("none.db", word), "comit", "commit"),
    "file_format": (lambda t, word: DictDB().save("none.db", word), "jsn", "json"),
    "file_format (load)": (lambda t, word: DictDB.load("none.db", word), "dictb", "dictdb"),
    "format": (
        lambda t, word: BackupManager(DictDB(), "none", file_format=word),
        "pickel",
        "pickle",
    ),
    "level": (lambda t, word: configure_logging(level=word), "inof", "INFO"),
}


def test_the_word_that_was_probably_meant(
    users: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments that are one of some words: those are named, and the near one; nothing is done."""
    monkeypatch.chdir(tmp_path)
    for name, (call, misspelt, word) in WORDS.items():
        for given, hint in ((misspelt, f"; did you mean {word!r}?"), ("zzzzzzz", "")):
            with unchanged(users), pytest.raises(InvalidArgumentError) as caught:
                call(users, given)
            text = str(caught.value)
            assert name.split(" (")[0] in text
            assert word in text
            assert repr(given) in text
            assert text.endswith(hint)
            assert ("did you mean" in text) == bool(hint)
    assert list(tmp_path.iterdir()) == []


def test_every_word_is_tried() -> None:
    """Each parameter that the stubs say to be one of some words stands in the list above."""
    stubs = Path(_core.__file__).with_name("_core.pyi").read_text()
    aliases = "_IndexType|_Nulls|_Missing"
    found = re.findall(rf"(\w+): (?:Literal\[\"|{aliases})", stubs)
    assert set(found) == {name.split(" (")[0] for name in WORDS} - {
        "file_format",
        "format",
        "level",
    }


SWITCHES: dict[str, Callable[[Table, Any], Any]] = {
    "copy": lambda t, wrong: t.select(copy=wrong),
    "distinct": lambda t, wrong: t.select(distinct=wrong),
    "analyze": lambda t, wrong: t.explain(analyze=wrong),
    "unique": lambda t, wrong: t.create_index("age", unique=wrong),
    "skip_validation": lambda t, wrong: t.insert({"id": 99}, skip_validation=wrong),
    "Order: descending": lambda t, wrong: Order("age", descending=wrong),
    "StdDev(): population": lambda t, wrong: StdDev("age", population=wrong),
    "blocking": lambda t, wrong: t.lock.acquire_read(wrong),
    "has_header": lambda t, wrong: DictDB().import_csv("none.csv", "t", has_header=wrong),
    "infer_types": lambda t, wrong: DictDB().import_csv("none.csv", "t", infer_types=wrong),
}


@pytest.mark.parametrize("wrong", ["no", "", 0, 1, None, [], 0.0], ids=repr)
def test_switches_are_true_or_false(users: Any, wrong: Any) -> None:
    """A "no" is not taken for yes, nor a time to wait for a switch."""
    calls = SWITCHES | {
        "distinct (pluck)": lambda t, wrong: t.pluck("age", distinct=wrong),
        "distinct (explain)": lambda t, wrong: t.explain(distinct=wrong),
        "distinct (iter)": lambda t, wrong: t.iter(distinct=wrong),
        "copy (iter)": lambda t, wrong: t.iter(copy=wrong),
        "copy (first)": lambda t, wrong: t.first(copy=wrong),
        "copy (one)": lambda t, wrong: t.one(t.id == 1, copy=wrong),
        "distinct (join)": lambda t, wrong: t.join(t, "id", prefix="x").select(distinct=wrong),
        "blocking (write)": lambda t, wrong: t.lock.acquire_write(wrong, 1),
        "analyze (join)": lambda t, wrong: t.join(t, "id", prefix="x").explain(analyze=wrong),
        "incremental": lambda t, wrong: BackupManager(DictDB(), "none", incremental=wrong),
        "skip_validation (csv)": lambda t, wrong: DictDB().import_csv(
            "none.csv", "t", skip_validation=wrong
        ),
    }
    for name, call in calls.items():
        text = f"{name.split(' (')[0]} must be True or False, not {wrong!r}"
        with unchanged(users):
            named(UnsupportedTypeError, lambda c=call: c(users, wrong), text)
    assert users.indexes() == []


def test_a_refused_switch_leaks_nothing(users: Any) -> None:
    for name, call in SWITCHES.items():
        refused(users, UnsupportedTypeError, lambda c=call: c(users, "no"), name, "'no'")


def test_every_switch_is_tried() -> None:
    """Each parameter that the stubs say to be a bool stands in the list above."""
    stubs = Path(_core.__file__).with_name("_core.pyi").read_text()
    private = {"is_on", "is_left"}
    named = set(re.findall(r"(\w+): bool\b", stubs)) - private
    assert named == {name.split()[-1] for name in SWITCHES} - {"population"}


@pytest.mark.parametrize("wrong", [3, None, 2.5, object(), True], ids=lambda wrong: repr(wrong)[:7])
@pytest.mark.parametrize("name", ["is_in", "has_any", "has_all"])
def test_values_that_are_no_iterable(users: Any, name: str, wrong: Any) -> None:
    call = lambda: getattr(users.age, name)(wrong)  # noqa: E731
    kind = type(wrong).__name__
    text = f"Field('age'): {name}() takes an iterable of values, not {kind!r}"
    named(TypeError, call, text)


class Sequence:
    """Iterable by __getitem__ alone."""

    def __getitem__(self, index: int) -> int:
        return [3, 4][index]


def test_any_iterable_gives_values(users: Any) -> None:
    for values in (Sequence(), (n for n in (3, 4)), {3: 0, 4: 0}, {3, 4}, range(3, 5)):
        assert repr(users.age.is_in(values)) == "age.is_in([3, 4])"


@pytest.mark.parametrize("wrong", [3, None, ("a", "b"), ["a"], 2.5], ids=repr)
@pytest.mark.parametrize("name", ["startswith", "endswith"])
def test_what_no_text_starts_with(users: Any, name: str, wrong: Any) -> None:
    part = "prefix" if name == "startswith" else "suffix"
    text = f"Field('age').{name}(): {part} must be str, bytes or an Expression"
    named(
        TypeError, lambda: getattr(users.age, name)(wrong), f"{text}, not {type(wrong).__name__!r}"
    )
    for right in ("", "x", b"", b"x", users.name, users.name[0]):
        assert users.count(where=getattr(users.age, name)(right)) == 0


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("naem", "name"), ("ciyt", "city"), ("aeg", "age"), ("agee", "age"), ("nam", "name")],
)
def test_the_name_that_was_probably_meant(typed: Any, misspelt: str, meant: str) -> None:
    """Neighbours that changed places are one mistake; also in what is written."""
    given = {"name": "Bob", "age": 1, "city": None}
    value = given.pop(meant)
    hint = f"table 'typed' has no field {misspelt!r}; did you mean {meant!r}?"
    for call in (
        lambda: typed.insert(given | {misspelt: value}),
        lambda: typed.insert([given | {misspelt: value}]),
        lambda: typed.upsert(given | {misspelt: value}),
        lambda: typed.update({misspelt: value}),
        lambda: typed.update({misspelt: value}, where=typed.id == 1),
        lambda: typed.update({misspelt: typed.age + 1}),
        lambda: typed.update({misspelt: lambda record: value}),
        lambda: typed.update_many([{"id": 1, misspelt: value}]),
    ):
        with unchanged(typed):
            named(SchemaValidationError, call, hint)
    for call in (
        lambda: typed.select([misspelt]),
        lambda: typed.select(order_by=f"-{misspelt}"),
        lambda: typed.pluck(misspelt),
        lambda: typed.create_index(misspelt),
        lambda: typed.aggregate(n=Sum(misspelt)),
        lambda: typed.count(where=Field(misspelt) == 1),
    ):
        named(UnknownFieldError, call, hint)


def test_no_name_is_near(typed: Any) -> None:
    """A name that shares nothing with another is not thought to be it."""
    for far in ("x", "quantity", "eman", "x" * 200):
        with pytest.raises(UnknownFieldError) as caught:
            typed.select([far])
        assert "did you mean" not in str(caught.value)


def test_names_of_arguments_may_be_of_a_subclass(users: Any) -> None:
    class Name(str):
        __slots__ = ()

    assert users.select(**{Name("limit"): 1}) == users.select(limit=1)
    with pytest.raises(TypeError, match="multiple values for argument 'columns'"):
        users.select(None, **{Name("columns"): None})
    with pytest.raises(TypeError, match="unexpected keyword argument 'lim\u0131t'"):
        users.select(limıt=1)


@pytest.mark.parametrize("wrong", ["x", True, [], 1j], ids=repr)
def test_timeouts_are_numbers(users: Any, db: Any, wrong: Any) -> None:
    for call in (
        lambda: users.lock.acquire_read(timeout=wrong),
        lambda: users.lock.acquire_write(timeout=wrong),
        lambda: users.lock.write_lock(timeout=wrong),
        lambda: db.write_lock("users", timeout=wrong),
    ):
        named(TypeError, call, f"timeout must be a number, not {wrong!r}")
