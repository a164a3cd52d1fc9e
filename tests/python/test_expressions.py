# SPDX-License-Identifier: Apache-2.0
"""Expressions: paths, lengths, arithmetic, comparisons of one field with another."""

from __future__ import annotations

import datetime
import gc
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dictdb
import oracle
from dictdb import Expression, Field
from helpers import sized
from oracle import Expr

NAMES = ["a", "b", "c.d", "é"]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.floats(),
    st.decimals(allow_nan=False, places=2, min_value=-9, max_value=9),
    st.text("ab\U0001f600\ud800", max_size=3),
    st.binary(max_size=2),
    st.dates(datetime.date(2020, 1, 1), datetime.date(2020, 1, 9)),
)
keys = st.one_of(st.integers(-3, 3), st.sampled_from(["a", "b", "", True, 1.0, None, (1, "a")]))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
    ),
    max_leaves=6,
)
numbers = st.one_of(
    st.booleans(),
    st.integers(-9, 9),
    st.sampled_from([2**53 + 1, 2**63 - 1, -(2**63), 2**64, 10**30, -(10**30), 10**400]),
    st.integers(),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.5, -7.5, 0.1, 1e308]),
    st.decimals(),
    st.decimals(-99, 99, places=2),
)
records = st.dictionaries(st.sampled_from(NAMES), values)
OPERATORS = ["+", "-", "*", "/", "//", "%"]


def summands(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    """Of the constants only numbers: others are refused."""
    constants = numbers.map(lambda value: Expr("value", value))
    return st.one_of(inner.filter(lambda expr: expr.name != "value"), constants)


expressions = st.recursive(
    st.one_of(
        st.sampled_from([*NAMES, "never"]).map(lambda name: Expr("field", name)),
        st.sampled_from(NAMES).map(lambda name: Expr("field", name)),
        values.map(lambda value: Expr("value", value)),
    ),
    lambda inner: st.one_of(
        st.builds(Expr, st.just("item"), inner, keys),
        st.builds(Expr, st.just("len"), inner),
        st.builds(Expr, st.sampled_from(OPERATORS), summands(inner), summands(inner)),
        st.builds(Expr, st.just("neg"), summands(inner)),
    ),
    max_leaves=4,
)
operands = st.one_of(values, expressions)
leaves = st.one_of(
    st.tuples(
        st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "contains", "startswith", "endswith"]),
        expressions,
        operands,
    ),
    st.tuples(st.just("between"), expressions, operands, operands),
    st.tuples(st.just("in"), expressions, st.lists(values, max_size=4)),
    st.tuples(st.just("null"), expressions),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), inner, inner), st.tuples(st.just("not"), inner)
    ),
    max_leaves=4,
)


@given(st.lists(records, min_size=1, max_size=6), st.lists(conditions, max_size=6))
@settings(max_examples=sized(150, longest=20_000, sanitized=40), deadline=None)
def test_conditions_mean_what_python_says(rows: list[Any], conds: list[Any]) -> None:
    table = dictdb.DictDB().create_table("t")
    table.insert(rows)
    table.create_index("a")
    stored = table.all()
    for cond in conds:
        expected = [row for row in stored if oracle.matches(cond, row)]
        where = oracle.build(cond, table)
        assert table.count(where=where) == len(expected), (cond, where)
        found = table.select(where=where)
        assert [row["id"] for row in found] == [row["id"] for row in expected], (cond, where)


@given(st.lists(st.tuples(st.sampled_from([*OPERATORS, "neg"]), numbers, numbers), min_size=30))
@settings(max_examples=sized(50, longest=5_000, sanitized=10), deadline=None)
def test_sums_are_what_python_says(sums: list[tuple[str, Any, Any]]) -> None:
    table = dictdb.DictDB().create_table("t")
    for name, a, b in sums:
        expected = oracle.compute(name, a, b)
        table.delete()
        table.insert({"a": a, "b": b})
        right = None if name == "neg" else Expr("field", "b")
        made = oracle.make(Expr(name, Expr("field", "a"), right), table)
        if expected is None:
            assert table.count(where=made.is_null()) == 1, (made, a, b)
        elif oracle.is_nan(expected):
            assert table.count(where=(made != made) & made.is_not_null()) == 1, (made, a, b)
        else:
            assert table.count(where=made == expected) == 1, (made, a, b)


def test_the_comparison_with_python_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is wrong about one thing differs."""
    table = dictdb.DictDB().create_table("t")
    table.insert({"a": "xyz"})
    cond = ("==", Expr("len", Expr("field", "a")), 3)
    assert oracle.matches(cond, table.all()[0])
    monkeypatch.setattr(oracle, "len", lambda value: 4, raising=False)
    assert not oracle.matches(cond, table.all()[0])
    assert table.count(where=oracle.build(cond, table)) == 1


# --- Examples ---


@pytest.fixture
def people() -> dictdb.Table:
    table = dictdb.DictDB().create_table("people")
    table.insert(
        [
            {"name": "Ada", "low": 1, "high": 5, "address": {"city": "Rome", "a.b": 1}},
            {"name": "Ben", "low": 5, "high": 1, "address": {"city": None}, "tags": ["x", "y"]},
            {"name": "Cleo", "low": 2, "high": 2.0, "address": ["Rome"], "a.b": 7},
            {"name": "Dan"},
        ]
    )
    return table


def names(table: dictdb.Table, where: dictdb.Condition) -> str:
    return "".join(row["name"][0] for row in table.select(where=where))


def test_fields_compare_with_fields(people: dictdb.Table) -> None:
    assert names(people, people.low < people.high) == "A"
    assert names(people, people.low == people.high) == "CD"  # Missing is null, as in Python
    assert names(people, people.low != people.high) == "AB"
    assert names(people, people.low >= people["high"]) == "BC"
    assert names(people, people.low.between(people.high, 9)) == "BC"
    assert names(people, people.low.between(0, people.high)) == "AC"


def test_paths(people: dictdb.Table) -> None:
    city = people.address["city"]
    assert names(people, city == "Rome") == "A"
    assert names(people, city.is_null()) == "BCD"
    assert names(people, city.is_not_null()) == "A"
    assert names(people, city.startswith("R")) == "A"
    assert names(people, city.is_in(["Rome", "Oslo"])) == "A"
    assert names(people, people.address["a.b"] == 1) == "A"
    assert names(people, people["a.b"] == 7) == "C"
    assert names(people, people.address[0] == "Rome") == "C"
    assert names(people, people.tags[-1] == "y") == "B"
    assert names(people, people.tags[2] == "y") == ""
    assert names(people, people.name[0] == "A") == ""  # A str has no items


def test_lengths(people: dictdb.Table) -> None:
    assert names(people, people.name.len_() == 3) == "ABD"
    assert names(people, people.address.len_() == 2) == "A"
    assert names(people, people.tags.len_() > 1) == "B"
    assert names(people, people.low.len_().is_null()) == "ABCD"
    people.insert({"name": "\U0001f600\ud800e\u0301"})
    assert people.count(where=people.name.len_() == len("\U0001f600\ud800e\u0301")) == 2  # And Cleo


def test_arithmetic(people: dictdb.Table) -> None:
    assert names(people, people.low + people.high == 6) == "AB"
    assert names(people, 2 * people.low > people.high) == "BC"
    assert names(people, 1 - people.low == -1) == "C"
    assert names(people, -people.low < -1) == "BC"
    assert names(people, (people.high - people.low) % 2 == 0) == "ABC"
    assert names(people, 7 // people.low == 3) == "C"
    assert names(people, people.low / 0 == 1) == ""  # Null
    assert names(people, (people.low / 0).is_null()) == "ABCD"
    assert names(people, (people.name + people.low).is_null()) == "ABCD"
    assert names(people, people.low * 2**70 == 5 * 2**70) == "B"
    assert names(people, people.name.len_() + people.tags.len_() == 5) == "B"
    assert names(people, people.low + Decimal("0.5") == Decimal("1.5")) == "A"
    assert names(people, (people.high + Decimal("0.5")).is_null()) == "CD"  # A float, and none


def test_an_expression_can_be_read(people: dictdb.Table) -> None:
    assert repr(people.address["city"][0]) == "address['city'][0]"
    assert repr(people["first name"].len_()) == "['first name'].len_()"
    assert repr(people.low < people.high) == "low < high"
    assert repr(people.address["x"].is_in([1])) == "address['x'].is_in([1])"
    assert repr(people.low.between(0, people.high)) == "(low >= 0 & low <= high)"
    assert repr(Expression(3) < people.low) == "low > 3"
    assert repr(people.address["x" * 500]) == f"address[{'x' * 500!r}]"
    assert repr(people.low) == "Field('low')"
    assert repr(1 - people.low * (people.high + 2)) == "1 - low * (high + 2)"
    assert repr(-people.low // 2 >= people.high % 3) == "-low // 2 >= high % 3"
    assert repr((people.low / 2).is_null()) == "(low / 2).is_null()"


def test_an_expression_is_an_object_of_its_own(people: dictdb.Table) -> None:
    path = people.address["city"]
    assert isinstance(people.low, Expression)
    assert isinstance(path, Expression)
    assert not isinstance(path, Field)
    assert {path: 1, people.low: 2}[path] == 1
    assert hash(people.low) == hash("low")
    assert Expression(path) is path
    assert isinstance(path == path, dictdb.Condition)


def test_mistakes_raise(people: dictdb.Table) -> None:
    path = people.address["city"]

    def subclass() -> object:
        class Mine(Expression):
            pass

        return Mine(1)

    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: bool(path), "truth value"),
        (lambda: "x" in people.tags, "contains"),
        (lambda: len(people.tags), "len_"),
        (lambda: iter(people.tags), "iterable"),
        (lambda: people.tags[[1]], "list"),
        (lambda: people.tags[1:2], "slice"),
        (lambda: people.tags[people.low], "Field"),
        (lambda: people.tags[object()], "object"),
        (lambda: people.low.is_in([people.high]), "high"),
        (lambda: people.low + "x", "str"),
        (lambda: "x" + people.low, "str"),
        (lambda: people.low - None, "None"),
        (lambda: people.low * object(), "object"),
        (lambda: people.low**2, "unsupported operand"),  # type: ignore[operator]
        (lambda: people.low.is_in(people.high), "is_in"),
        (lambda: people.count(where=path), "city"),  # type: ignore[arg-type]
        (lambda: path & (people.low == 1), "is not a condition"),  # type: ignore[operator]
        (lambda: people.select(where=path < object()), "object"),
        (subclass, "subclassed"),
    ]
    for call, culprit in wrong:
        with pytest.raises(TypeError, match=culprit):
            call()
    deep: Any = people.low
    with pytest.raises(dictdb.LimitError, match="levels deep"):
        for _ in range(300):
            deep = deep["x"]


def test_a_typo_in_any_part_is_named() -> None:
    table = dictdb.DictDB().create_table("t", schema={"address": dict, "low": int, "high": int})
    conditions: list[dictdb.Condition] = [
        Field("adress")["city"] == 1,
        Field("adress").len_() == 1,
        table.low < Field("hihg"),
        Field("hihg") < table.low,
        ~(Field("lowe")["x"].is_null()),
        (table.low == 1) & (table.address["x"].len_() < Field("higg")["y"]),
    ]
    for condition in conditions:
        with pytest.raises(dictdb.UnknownFieldError, match="did you mean"):
            table.count(where=condition)
    with pytest.raises(dictdb.UnknownFieldError, match="adress"):
        _ = table.adress["city"]


def test_statements_take_them(people: dictdb.Table) -> None:
    assert people.update({"seen": True}, where=people.address["city"] == "Rome") == 1
    assert people.delete(where=people.low > people.high) == 1
    assert "".join(row["name"][0] for row in people) == "ACD"
    with people.lock.write_lock():
        assert people.count(where=people.address["city"] == "Rome") == 1


def test_no_memory_is_kept() -> None:
    def work() -> None:
        table = dictdb.DictDB().create_table("t")
        table.insert({"a": {"b": [1]}})
        for _ in range(100):
            assert table.count(where=(table.a["b"][0] == 1) & (table.a.len_() == 1)) == 1

    work()
    gc.collect()
    before = dictdb._core.process_memory()
    work()
    gc.collect()
    assert dictdb._core.process_memory() <= before
