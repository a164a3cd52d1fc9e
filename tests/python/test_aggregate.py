# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""aggregate(): held against a naive evaluation in Python, and sqlite3 where SQL can say it."""

from __future__ import annotations

import datetime
import math
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dictdb
from aggregate_twin import AGGREGATES, NUMERIC, groups_of, naive, same
from dictdb import (
    Avg,
    Collect,
    Count,
    CountDistinct,
    DictDB,
    Field,
    First,
    InvalidArgumentError,
    LimitError,
    Max,
    Median,
    Min,
    Quantile,
    StdDev,
    Sum,
    Table,
    UnknownFieldError,
    UnsupportedTypeError,
)
from helpers import sized
from oracle import ordered
from samples import VALUES, exactly

# --- Property tests -------------------------------------------------------------------------

exact_numbers = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**70), 2**200),
)
float_numbers = st.one_of(
    st.none(),
    st.integers(-5, 5),
    st.integers(-(2**70), 2**70),
    st.floats(-1e6, 1e6),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1e308, 5e-324]),
)
decimal_numbers = st.one_of(
    st.none(),
    st.integers(-(2**66), 2**66),
    st.decimals(-(10**6), 10**6, places=2),
    st.decimals(-(10**30), 10**30),
    st.sampled_from([Decimal("Infinity"), Decimal("NaN"), Decimal("1E+40"), Decimal("0E-9")]),
)
# The total order among sets, UUIDs and dicts, and of the hour that comes twice, is no matter of
# this file.
OTHERS = ("{", "set(", "UUID", "sNaN", "fold=1")
any_values = st.sampled_from([v for v in VALUES if not any(word in repr(v) for word in OTHERS)])
keys = st.one_of(
    st.sampled_from([None, 1, 1.0, True, Decimal(1), 0, -0.0, "a", "b", "", math.nan, b"a"]),
    st.sampled_from(
        [[1, 2], [1.0, 2], (1, 2), [math.nan], {"a": 1}, {"a": 1.0}, 2**70, "long" * 9]
    ),
)


def make_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("t")
    table.insert(rows)
    return table


def check(rows: list[dict[str, Any]], names: list[str], fields: list[str] | None) -> None:
    table = make_table(rows)
    wanted = {name: AGGREGATES[name]("v") for name in names}
    got = table.aggregate(group_by=fields, n=Count(), **wanted)
    results = [got] if isinstance(got, dict) else got
    groups = groups_of(rows, fields) if fields else [rows]
    assert len(results) == len(groups)
    for result, group in zip(results, groups, strict=True):
        assert list(result) == [*(fields or []), "n", *names]
        assert result["n"] == len(group)
        for field in fields or []:
            assert exactly(result[field], group[0].get(field))
        for name in names:
            values = [row.get("v") for row in group]
            expected = naive(name, values)
            assert same(name, result[name], expected, values), (name, result[name], expected, group)


def rows_of(values: Any) -> Any:
    row = st.fixed_dictionaries({}, optional={"g": keys, "h": st.integers(0, 1), "v": values})
    return st.lists(row, max_size=40)


@given(rows_of(exact_numbers), st.sampled_from([None, ["g"], ["g", "h"], ["h"]]))
def test_ints_are_exact(rows: list[dict[str, Any]], fields: list[str] | None) -> None:
    check(rows, [*AGGREGATES], fields)


@given(rows_of(float_numbers), st.sampled_from([None, ["g"], ["h", "g"]]))
def test_floats(rows: list[dict[str, Any]], fields: list[str] | None) -> None:
    check(rows, [*AGGREGATES], fields)


@given(rows_of(decimal_numbers), st.sampled_from([None, ["g"], ["h"]]))
def test_decimals_are_exact(rows: list[dict[str, Any]], fields: list[str] | None) -> None:
    check(rows, ["sum", "avg", "median", "min", "max", "quantile", "count"], fields)


@given(rows_of(any_values), st.sampled_from([None, ["g"], ["v"], ["v", "h"]]))
def test_values_of_any_kind(rows: list[dict[str, Any]], fields: list[str] | None) -> None:
    check(rows, [name for name in AGGREGATES if name not in NUMERIC], fields)


@given(rows_of(exact_numbers), st.data())
def test_having_order_limit_and_offset(rows: list[dict[str, Any]], data: Any) -> None:
    table = make_table(rows)
    whole = table.aggregate(group_by="g", n=Count(), total=Sum("v"), least=Min("v"))
    assert isinstance(whole, list)
    names = st.sampled_from(["n", "-n", "total", "-total", "g", "-g", "least"])
    order = data.draw(st.lists(names, max_size=3))
    bound = data.draw(st.integers(0, 3))
    limit = data.draw(st.one_of(st.none(), st.integers(0, 4)))
    offset = data.draw(st.integers(0, 3))
    expected = [row for row in whole if row["n"] > bound]
    expected = ordered(expected, order)[offset:][: limit if limit is not None else len(whole)]
    got = table.aggregate(
        group_by=[table.g],
        having=Field("n") > bound,
        order_by=order,
        limit=limit,
        offset=offset,
        n=Count(),
        total=Sum(table.v),
        least=Min("v"),
    )
    assert exactly(got, expected)


# --- SQL --------------------------------------------------------------------------------------


def test_what_sql_can_say(rng: random.Random) -> None:
    rows = [
        {
            "id": i,
            "g": rng.choice(["a", "b", "c", None]),
            "h": rng.randrange(3),
            "x": rng.choice([None, rng.randrange(-1000, 1000)]),
            "y": rng.choice([None, rng.uniform(-5, 5)]),
        }
        for i in range(2000)
    ]
    table = make_table(rows)
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (id, g, h, x, y)")
    connection.executemany("insert into t values (:id, :g, :h, :x, :y)", rows)
    query = (
        "select g, h, count(*), count(x), sum(x), avg(x), min(y), max(y), count(distinct x) from t"
        " where h > 0 group by g, h having count(*) > 10 order by sum(x) desc, g, h limit 5"
    )
    expected = connection.execute(query).fetchall()
    got = table.aggregate(
        where=table.h > 0,
        group_by=["g", "h"],
        having=Field("n") > 10,
        order_by=["-total", "g", "h"],
        limit=5,
        n=Count(),
        given=Count("x"),
        total=Sum("x"),
        mean=Avg("x"),
        least=Min("y"),
        most=Max("y"),
        distinct=CountDistinct("x"),
    )
    assert [tuple(row.values()) for row in got] == [
        (*row[:5], pytest.approx(row[5]), *row[6:]) for row in expected
    ]
    connection.close()


# --- One by one -------------------------------------------------------------------------------


def test_nothing_to_aggregate() -> None:
    table = Table("t")
    wanted = {name: make("v") for name, make in AGGREGATES.items()}
    nothing = table.aggregate(n=Count(), **wanted)
    assert nothing.pop("n") == nothing.pop("count") == nothing.pop("distinct") == 0
    assert nothing.pop("collect") == []
    assert set(nothing.values()) == {None}
    assert table.aggregate(group_by="g", **wanted) == []


def test_the_results_are_the_callers_own() -> None:
    table = make_table([{"v": [1, {"a": [2]}]}])
    got = table.aggregate(all=Collect("v"), first=First("v"))
    got["all"][0][1]["a"].append(3)
    got["first"].clear()
    assert table.get(1)["v"] == [1, {"a": [2]}]


def test_group_by_aliases_and_fields() -> None:
    table = make_table([{"a b": 1, "count": 2}, {"a b": 1.0}, {"": 5}])
    assert table.aggregate(group_by={"key": table["a b"]}, n=Count()) == [
        {"key": 1, "n": 2},
        {"key": None, "n": 1},
    ]
    assert table.aggregate(group_by=[("x", "count"), "a b"], n=Count()) == [
        {"x": 2, "a b": 1, "n": 1},
        {"x": None, "a b": 1.0, "n": 1},
        {"x": None, "a b": None, "n": 1},
    ]
    assert table.aggregate(group_by=table[""], n=Count(""))[-1] == {"": 5, "n": 1}
    assert table.aggregate(group_by="count") == [{"count": 2}, {"count": None}]


def test_timedeltas_are_added() -> None:
    delta = datetime.timedelta
    table = make_table(
        [{"d": delta(1, 5)}, {"d": delta(-3, 0, 1)}, {"d": None}, {"d": delta(0, 1)}]
    )
    got = table.aggregate(total=Sum("d"), mean=Avg("d"))
    total = delta(1, 5) + delta(-3, 0, 1) + delta(0, 1)
    assert got == {"total": total, "mean": total / 3}
    table.insert([{"d": delta.max}, {"d": delta.max}])
    with pytest.raises(LimitError, match=r"field .d..*too large for a timedelta"):
        table.aggregate(total=Sum("d"))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["x"], "Sum of field 'v': a str cannot be added"),
        ([1, [1]], "Sum of field 'v': a list cannot be added"),
        ([1.5, Decimal(1)], "Sum of field 'v': a float and a Decimal cannot be added"),
        ([1, datetime.timedelta(1)], "Sum of field 'v': a timedelta and a number cannot be added"),
        ([datetime.date(2020, 1, 1)], "Sum of field 'v': a date cannot be added"),
    ],
)
def test_what_cannot_be_added(values: list[Any], text: str) -> None:
    table = make_table([{"v": value} for value in values])
    with pytest.raises(UnsupportedTypeError, match=text) as caught:
        table.aggregate(s=Sum("v"))
    assert caught.value.field == "v"


@pytest.mark.parametrize("make", [Median, StdDev, lambda f: Quantile(f, 0.5)])
def test_what_is_not_a_number(make: Callable[[str], dictdb.Aggregate]) -> None:
    table = make_table([{"v": 1}, {"v": "x"}])
    with pytest.raises(UnsupportedTypeError, match="of field 'v': a str is not a number"):
        table.aggregate(s=make("v"))


def test_numbers_beyond_their_kind() -> None:
    table = make_table([{"v": 10**400}, {"v": 1.5}])
    with pytest.raises(LimitError, match="too large for a float"):
        table.aggregate(s=Sum("v"))
    with pytest.raises(LimitError, match="too large for a float"):
        table.aggregate(s=StdDev("v"))
    table = make_table([{"v": 10**400}])
    assert table.aggregate(s=Sum("v")) == {"s": 10**400}
    with pytest.raises(LimitError, match="too large for a float"):
        table.aggregate(s=Avg("v"))
    table = make_table([{"v": Decimal("1E+30000")}, {"v": Decimal("1E-30000")}])
    with pytest.raises(LimitError, match="20000 digits apart"):
        table.aggregate(s=Sum("v"))


def mistakes(table: Table) -> Iterator[tuple[type[Exception], str, Callable[[], object]]]:
    yield InvalidArgumentError, "needs an aggregate", table.aggregate
    yield InvalidArgumentError, "names no field", lambda: table.aggregate(group_by=[], n=Count())
    yield InvalidArgumentError, "occurs twice", lambda: table.aggregate(group_by="g", g=Count())
    yield InvalidArgumentError, "occurs twice", lambda: table.aggregate(group_by=["g", "g"])
    for name in ("having", "order_by", "limit", "offset"):
        value = {"having": Field("n") > 1, "order_by": "n"}.get(name, 1)
        given = {name: value, "n": Count()}
        yield InvalidArgumentError, f"{name} needs group_by", lambda g=given: table.aggregate(**g)
    yield InvalidArgumentError, "negative", lambda: table.aggregate(group_by="g", limit=-1)
    yield UnknownFieldError, "'m'", lambda: table.aggregate(group_by="g", m2=Count(), order_by="m")
    yield (
        UnknownFieldError,
        "did you mean 'total'",
        lambda: table.aggregate(group_by="g", total=Count(), having=Field("totl") > 1),
    )
    yield UnsupportedTypeError, "must be an aggregate", lambda: table.aggregate(n=3)
    yield UnsupportedTypeError, "must be an aggregate", lambda: table.aggregate(n=Count)
    yield UnsupportedTypeError, "group_by", lambda: table.aggregate(group_by=3)
    yield UnsupportedTypeError, "group_by", lambda: table.aggregate(group_by=[3])
    yield UnsupportedTypeError, "alias", lambda: table.aggregate(group_by={3: "g"})
    yield UnsupportedTypeError, "order_by", lambda: table.aggregate(group_by="g", order_by=3)
    yield UnsupportedTypeError, "having must be", lambda: table.aggregate(group_by="g", having=True)
    asked = dictdb.And(Field("n") > 1, lambda r: True)
    yield UnsupportedTypeError, "having", lambda: table.aggregate(group_by="g", having=asked)
    yield UnsupportedTypeError, "boolean", lambda: table.aggregate(True, n=Count())
    yield TypeError, "multiple values", lambda: table.aggregate(None, where=None, n=Count())
    yield TypeError, "at most 2", lambda: table.aggregate(None, None, None, n=Count())
    yield UnsupportedTypeError, "Sum", lambda: Sum(None)  # type: ignore[arg-type]
    yield UnsupportedTypeError, "Sum", lambda: Sum(3)  # type: ignore[arg-type]
    yield InvalidArgumentError, "0 to 1", lambda: Quantile("v", 1.5)
    yield InvalidArgumentError, "0 to 1", lambda: Quantile("v", math.nan)
    for wrong in ("x", None, True, 1j, [0.5]):
        yield (
            UnsupportedTypeError,
            re.escape(f"Quantile(): q must be a number, not {wrong!r}"),
            lambda q=wrong: Quantile("v", q),
        )
    yield UnsupportedTypeError, "population", lambda: StdDev("v", population="no")  # type: ignore[arg-type]
    yield (
        UnsupportedTypeError,
        "groupby must be an aggregate.*; did you mean 'group_by'",
        lambda: table.aggregate(groupby="g", n=Count()),
    )
    yield InvalidArgumentError, "no such aggregate", lambda: dictdb._core.Aggregate("Total", "v")


def test_mistakes_raise() -> None:
    table = make_table([{"g": 1, "v": 2}])
    for error, text, function in mistakes(table):
        with pytest.raises(error, match=text):
            function()


def test_an_unknown_field_of_a_schema() -> None:
    table = Table("t", schema={"name": str, "age": int})
    table.insert({"name": "Ann", "age": 3})
    for function in (
        lambda: table.aggregate(n=Sum("agee")),
        lambda: table.aggregate(group_by="nam", n=Count()),
    ):
        with pytest.raises(UnknownFieldError, match="has no field"):
            function()


def test_having_and_order_say_what_a_group_is_of(rng: random.Random) -> None:
    """As by the name that it has in the result."""
    table = make_table(
        [
            {"a": rng.choice([None, 3, -2, 2.5, "x"]), "d": rng.choice([{"k": [n % 4]}, {}, None])}
            for n in range(300)
        ]
    )
    a, path = table.a, table.d["k"]
    for of in (a, a * 2 % 5, path, path[0], path.len_(), -(a + 1), a["k"][0]):
        named = Field("x")
        for made in (
            lambda x: x > 1,
            lambda x: ~(x == 2),
            lambda x: (x + 1).is_in([1, 2, 3.5]),
            lambda x: x.is_null() | x.between(0, 3),
            lambda x: (Field("n") > 20) & (x != None),  # noqa: E711
            lambda x: x[0] == 1,
            lambda x: x < Field("n"),
        ):
            for keys in (
                lambda x: [x],
                lambda x: [x.desc(nulls="first"), "n"],
                lambda x: [x * -1, "n"],
            ):
                got, expected = (
                    table.aggregate(group_by={"x": of}, having=made(x), order_by=keys(x), n=Count())
                    for x in (of, named)
                )
                assert exactly(got, expected), (of, made(of), keys(of))
    assert table.aggregate(group_by=a.len_(), order_by=a.len_().desc(), n=Count()) == (
        table.aggregate(group_by=a.len_(), order_by="-a.len_()", n=Count())
    )
    joined = table.join(table, "id", prefix="o.")
    sums = joined["a"] + joined["o.a"]
    assert joined.aggregate(group_by={"s": sums}, order_by=sums.desc(), having=sums > 0) == [
        {"s": 6},
        {"s": 5.0},
    ]


def test_names_of_the_result_come_before_what_groups_are_of() -> None:
    table = make_table([{"a": 1, "b": 5}, {"a": 1, "b": 6}, {"a": 2, "b": 7}])
    got = table.aggregate(group_by={"x": table.a + 1}, order_by=table.a + 1, a=Count())
    assert got == [{"x": 3, "a": 1}, {"x": 2, "a": 2}]
    got = table.aggregate(group_by={"x": "a"}, order_by="a", having=table.a < 2, a=Count())
    assert got == [{"x": 2, "a": 1}]
    got = table.aggregate(group_by={"a": "b", "b": "a"}, order_by=["b", "-a"])
    assert [row["a"] for row in got] == [6, 5, 7]
    for other in (table.a * 2, 1 + table.a, table.a + 1.0, table.b):
        with pytest.raises(UnknownFieldError, match=r"no field '[ab]'"):
            table.aggregate(group_by={"x": table.a + 1}, order_by=other)
        with pytest.raises(UnknownFieldError, match=r"no field '[ab]'"):
            table.aggregate(group_by={"x": table.a + 1}, having=other > 1)


def test_an_unknown_name_of_the_result() -> None:
    """Of what the result is, and not of a table that nobody made."""
    table = make_table([{"g": 1, "v": 2}])
    for options in ({"order_by": "toatl"}, {"having": Field("toatl") > 1}):
        with pytest.raises(UnknownFieldError) as caught:
            table.aggregate(group_by="g", total=Count(), **options)
        assert str(caught.value) == (
            f"the result of aggregating table {table.table_name!r} has no field 'toatl'; "
            "did you mean 'total'?"
        )
        assert caught.value.table == table.table_name


def test_reprs() -> None:
    assert repr(Count()) == "Count()"
    assert repr(Count(Field("a"))) == "Count('a')"
    assert repr(StdDev("a", population=True)) == "StdDev('a', population=True)"
    assert repr(Quantile("a", 0.25)) == "Quantile('a', 0.25)"
    assert repr(CountDistinct("a")) == "CountDistinct('a')"


def test_expressions() -> None:
    table = make_table(
        [
            {"address": {"city": "Paris"}, "tags": ["a", "b"], "text": "x" * n, "v": n}
            for n in range(300)
        ]
    )
    table.insert([{"address": {"city": "Rome"}, "tags": []}, {"address": None}])
    got = table.aggregate(
        group_by={"city": table.address["city"]},
        first=First(table.tags[0]),
        tags=Sum(table.tags.len_()),
        longest=Max(table.text.len_()),
        kinds=CountDistinct(table.tags[-1]),
        every=Collect(table.tags[1]),
    )
    assert got == [
        {
            "city": "Paris",
            "first": "a",
            "tags": 600,
            "longest": 299,
            "kinds": 1,
            "every": ["b"] * 300,
        },
        {"city": "Rome", "first": None, "tags": 0, "longest": None, "kinds": 0, "every": []},
        {"city": None, "first": None, "tags": None, "longest": None, "kinds": 0, "every": []},
    ]
    assert table.aggregate(group_by=[("size", table.tags.len_()), "v"], limit=1, n=Count()) == [
        {"size": 2, "v": 0, "n": 1}
    ]
    for path in (table.address["city"], [table.address["city"]]):
        assert table.aggregate(group_by=path, n=Count(), order_by="address['city']", limit=2) == [
            {"address['city']": None, "n": 1},
            {"address['city']": "Paris", "n": 300},
        ]
    with pytest.raises(InvalidArgumentError, match="occurs twice"):
        table.aggregate(group_by=[table.v + 1, ("v + 1", "v")], n=Count())
    with pytest.raises(UnsupportedTypeError, match=r"city.*: a str cannot be added"):
        table.aggregate(n=Sum(table.address["city"]))


@pytest.mark.parametrize("kind", list(AGGREGATES))
def test_each_kind_takes_an_expression(kind: str) -> None:
    rows = [{"g": n % 3, "v": [float(n)]} for n in range(100)]
    table = make_table(rows)
    got = table.aggregate(group_by="g", made=AGGREGATES[kind](table.v[0] * 2))
    assert isinstance(got, list)
    for row, group in zip(got, groups_of(rows, ["g"]), strict=True):
        values = [record["v"][0] * 2 for record in group]
        assert same(kind, row["made"], naive(kind, values), values)


def test_callables_choose_the_records() -> None:
    table = make_table([{"v": n} for n in range(500)])
    got = table.aggregate(lambda r: r["v"] % 2 == 0, n=Count(), total=Sum("v"))
    assert got == {"n": 250, "total": sum(range(0, 500, 2))}
    both = (table.v >= 100) & (lambda r: r["v"] < 110)
    assert table.aggregate(both, group_by="v", n=Count(), limit=2) == [
        {"v": 100, "n": 1},
        {"v": 101, "n": 1},
    ]
    with pytest.raises(ZeroDivisionError):
        table.aggregate(lambda r: 1 / 0, n=Count())


def test_an_index_does_not_change_the_answer() -> None:
    rows = [{"v": n % 17, "g": n % 3} for n in range(600)]
    table, indexed = make_table(rows), make_table(rows)
    indexed.create_index("v")
    for where in (table.v == 5, table.v.is_in([1, 16, 99]), ~(table.v == 5), None):
        wanted = {"n": Count(), "s": Sum("v"), "c": Collect("id")}
        assert table.aggregate(where, "g", **wanted) == indexed.aggregate(where, "g", **wanted)


def test_a_snapshot_keeps_its_answer(db: DictDB) -> None:
    table = db.create_table("t")
    table.insert([{"g": n % 2, "v": n} for n in range(10)])
    with db.snapshot() as snapshot:
        before = snapshot["t"].aggregate(group_by="g", s=Sum("v"))
        table.delete(table.v > 3)
        assert snapshot["t"].aggregate(group_by="g", s=Sum("v")) == before
        assert table.aggregate(s=Sum("v")) == {"s": 6}


def test_many_groups() -> None:
    count = sized(100_000, sanitized=5_000)
    table = make_table([{"g": n * 7 % count, "t": f"k{n % count}", "v": n} for n in range(count)])
    got = table.aggregate(group_by=["g", "t"], n=Count(), s=Sum("v"), c=Collect("v"))
    assert len(got) == count
    assert all(row["n"] == 1 and row["c"] == [row["s"]] for row in got)
    assert [row["s"] for row in got] == list(range(count))


@pytest.mark.slow
def test_a_million_groups(db: DictDB) -> None:
    count = sized(1_000_000, sanitized=20_000)
    table = db.create_table("t")
    table.insert({"g": n, "v": n} for n in range(count))
    table.insert({"g": float(n), "v": 1} for n in range(count))
    got = table.aggregate(group_by="g", having=Field("n") == 2, n=Count(), s=Sum("v"), limit=count)
    assert len(got) == count
    assert got[count // 2] == {"g": count // 2, "n": 2, "s": count // 2 + 1}


def test_every_aggregate_of_values_that_do_not_last() -> None:
    """Computed values, and those of joined rows, are copied where they are kept."""
    table = make_table([{"v": n * 1.5 + 1e9, "t": f"text {n}"} for n in range(200)])
    for name, make in AGGREGATES.items():
        plain = table.aggregate(x=make("v"))
        assert exactly(table.aggregate(x=make(table.v + 0)), plain), name  # type: ignore[arg-type]
        assert exactly(table.join(table, "id", prefix="o.").aggregate(x=make("v")), plain), name
