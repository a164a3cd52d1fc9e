# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""Every type that can be inserted comes out equal, with the same type; saved and loaded too."""

from __future__ import annotations

import collections
import datetime
import enum
import math
import string
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dictdb import DictDB, Table
from helpers import nothing_leaked
from samples import KEYS, UTC, VALUES, exactly, name_of


@pytest.mark.parametrize("value", VALUES, ids=name_of)
def test_in_and_out(value: Any) -> None:
    table = Table("t")
    record = {"id": 1, "first": value, "list": [value], "dict": {"x": value}, "last": 5}
    table.insert(record)
    got = table.get(1)
    assert exactly(got, record), (got, record)
    assert exactly(table.select(), [record])
    assert exactly(table.select(columns=["first"]), [{"first": value}])
    view = table.select(copy=False)[0]
    assert exactly(view["first"], value)
    assert exactly(dict(view), record)
    table.update({"first": 0, "last": value})
    assert exactly(table.get(1), {**record, "first": 0, "last": value})
    assert exactly(table.copy(), {1: {**record, "first": 0, "last": value}})


@pytest.mark.parametrize("value", VALUES, ids=name_of)
def test_saved_and_loaded(value: Any, tmp_path: Path) -> None:
    db = DictDB()
    record = {"id": 1, "first": value, "list": [value, [value]], "dict": {"x": value}}
    db.create_table("t").insert(record)
    db.save(tmp_path / "a.json")
    loaded = DictDB.load(tmp_path / "a.json")
    assert exactly(loaded["t"].get(1), record), loaded["t"].get(1)
    loaded.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_all_together(tmp_path: Path) -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert([{"value": value} for value in VALUES])
    table.create_index("value")
    got = [record["value"] for record in table.select()]
    assert all(exactly(a, b) for a, b in zip(got, VALUES, strict=True))
    db.save(tmp_path / "all.json")
    loaded = [record["value"] for record in DictDB.load(tmp_path / "all.json")["t"].select()]
    assert all(exactly(a, b) for a, b in zip(loaded, VALUES, strict=True))


@pytest.mark.parametrize("key", KEYS, ids=name_of)
def test_keys(key: Any, tmp_path: Path) -> None:
    db = DictDB()
    table = db.create_table("t", primary_key="k")
    assert exactly(table.insert({"k": key, "v": 1}), key)
    assert exactly(table.get(key), {"k": key, "v": 1})
    assert key in table
    assert exactly(list(table.copy()), [key])
    assert table.count(where=table.k == key) == 1
    assert table.update({"v": 2}, where=table.k == key) == 1
    db.save(tmp_path / "k.json")
    assert exactly(DictDB.load(tmp_path / "k.json")["t"].get(key), {"k": key, "v": 2})
    assert table.upsert({"k": key, "v": 3}) == (key, "updated")
    assert table.delete(where=table.k == key) == 1
    assert key not in table


def test_equality_is_pythons() -> None:
    table = Table("t")
    # Python takes two folds of one zone for equal although they are an hour apart: left out.
    values = [v for v in VALUES if not isinstance(v, Decimal) and v == v]
    values = [v for v in values if not (getattr(v, "fold", 0) and v.tzinfo)]
    values += [Decimal("1.10"), Decimal(1), Decimal("0.1"), Decimal("0.5"), 0.5]
    for n, value in enumerate(values):
        table.insert({"id": n, "v": value})
    for wanted in values:
        expected = [n for n, value in enumerate(values) if value == wanted]
        got = [record["id"] for record in table.select(where=table.v == wanted)]
        assert got == expected, (wanted, got, expected)
        others = [n for n, value in enumerate(values) if value != wanted]
        assert [record["id"] for record in table.select(where=table.v != wanted)] == others


def test_nan_equals_nothing() -> None:
    table = Table("t")
    table.insert([{"v": math.nan}, {"v": Decimal("NaN")}, {"v": 1}])
    assert table.count(where=table.v == math.nan) == 0
    assert table.count(where=table.v != math.nan) == 3
    assert table.count(where=table.v.is_in([math.nan, 1])) == 1
    assert table.count(where=table.v < math.nan) == table.count(where=table.v >= math.nan) == 0


def is_nan(value: Any) -> bool:
    return value.is_nan() if isinstance(value, Decimal) else value != value


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Pair(NamedTuple):
    x: int
    y: int


SUBCLASSES: list[tuple[Any, Any]] = [
    (Level.LOW, 1),
    (Pair(1, 2), (1, 2)),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.defaultdict(int, a=1), {"a": 1}),
    (type("Text", (str,), {})("x"), "x"),
    (type("Float", (float,), {})(1.5), 1.5),
    (type("Items", (list,), {})([1]), [1]),
    (type("Moment", (datetime.datetime,), {})(2013, 1, 1), datetime.datetime(2013, 1, 1)),
]


@pytest.mark.parametrize(("value", "plain"), SUBCLASSES, ids=lambda v: type(v).__name__)
def test_subclasses_are_refused_or_plain(value: Any, plain: Any) -> None:
    """Never stored as something else without a word: plain, or a TypeError that names the type."""
    table = Table("t")
    try:
        table.insert({"v": value})
    except TypeError as error:
        assert type(value).__name__ in str(error)
        assert len(table) == 0
    else:
        assert exactly(table.select()[0]["v"], plain)


def test_an_enum_is_refused() -> None:
    table = Table("t")
    with pytest.raises(TypeError, match="Color"):
        table.insert({"v": Color.RED})


def test_a_record_keeps_the_order_of_its_fields() -> None:
    table = Table("t")
    names = list(string.ascii_lowercase)
    table.insert(dict.fromkeys(reversed(names), 1))
    record = table.select()[0]
    assert [name for name in record if name != "id"] == names[::-1]


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(alphabet=st.characters(exclude_categories=[])),
    st.binary(),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.times(),
    st.timedeltas(),
    st.uuids(),
)
hashables = scalars.filter(lambda v: not is_nan(v))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=5), inner, max_size=4),
        st.dictionaries(hashables, inner, max_size=3),
        st.sets(hashables, max_size=3),
        st.frozensets(hashables, max_size=3),
    ),
    max_leaves=12,
)
names = st.text(alphabet=st.characters(exclude_categories=[]), max_size=8)


@given(st.lists(st.dictionaries(names.filter(lambda n: n != "id"), values, max_size=5), max_size=5))
def test_any_record_in_out_save_load(tmp_path_factory: Any, rows: list[dict[str, Any]]) -> None:
    path = tmp_path_factory.mktemp("any") / "any.json"
    db = DictDB()
    table = db.create_table("t")
    keys = table.insert(rows)
    for key, row in zip(keys, rows, strict=True):
        got = table.get(key)
        assert got is not None
        assert got.pop("id") == key
        assert exactly(got, row), (got, row)
    db.save(path)
    loaded = DictDB.load(path)["t"]
    assert exactly(loaded.select(), table.select())


@given(st.lists(values, max_size=12), values)
def test_an_index_changes_no_answer(stored: list[Any], wanted: Any) -> None:
    plain, indexed = Table("plain"), Table("indexed")
    indexed.create_index("v")
    rows = [{"v": value} for value in [*stored, wanted]] + [{}]
    plain.insert(rows)
    indexed.insert(rows)
    for make in (
        lambda t: t.v == wanted,
        lambda t: t.v != wanted,
        lambda t: t.v.is_in([wanted, None, *stored[:2]]),
        lambda t: (t.v == wanted) | t.v.is_null(),
        lambda t: ~(t.v == wanted),
    ):
        assert exactly(plain.select(where=make(plain)), indexed.select(where=make(indexed)))


@given(st.lists(values, min_size=1, max_size=10))
def test_the_order_is_total(stored: list[Any]) -> None:
    table = Table("t")
    table.insert([{"v": value, "n": n} for n, value in enumerate(stored)])
    up = [r["n"] for r in table.select(order_by="v")]
    assert sorted(up) == list(range(len(stored)))
    shuffled = Table("s")
    shuffled.insert([{"v": stored[n], "n": n} for n in reversed(range(len(stored)))])
    assert [r["n"] for r in shuffled.select(order_by=["v", "n"])] == [
        r["n"] for r in table.select(order_by=["v", "n"])
    ]
    down = [r["n"] for r in table.select(order_by=["-v", "-n"])]
    assert down == [r["n"] for r in table.select(order_by=["v", "n"])][::-1]


def test_values_give_their_memory_back() -> None:
    with nothing_leaked(4096):
        table = Table("t")
        for value in VALUES:
            table.insert({"v": value})
            table.update({"v": [value]})
        table.delete()
        del table
