# SPDX-License-Identifier: Apache-2.0
"""Plans of aggregates and joins: what they say is what happens."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from dictdb import (
    UNSET,
    Count,
    CountDistinct,
    DictDB,
    Field,
    InvalidArgumentError,
    Max,
    Min,
    Plan,
    Sum,
    Table,
    UnsupportedTypeError,
)


def steps(plan: Plan) -> list[str]:
    return [node.step for node in plan.walk()]


def node_of(plan: Plan, step: str) -> Plan:
    return next(node for node in plan.walk() if node.step == step)


def make() -> tuple[Table, Table]:
    db = DictDB()
    users = db.create_table("users")
    orders = db.create_table("orders")
    users.insert([{"name": f"u{i}", "age": i % 50, "city": f"c{i % 5}"} for i in range(2000)])
    orders.insert([{"user_id": i % 300, "amount": i} for i in range(5000)])
    return users, orders


def test_what_indexes_tell() -> None:
    users, _ = make()
    asked: dict[str, Any] = {
        "n": Count(),
        "ages": Count("age"),
        "low": Min("age"),
        "high": Max(users.age),
        "different": CountDistinct("age"),
    }
    assert steps(users.explain(**asked)) == ["aggregate", "scan"]
    users.create_index("age", "sorted")
    plan = users.explain(**asked)
    assert sorted(steps(plan)) == ["aggregate", "count", "index", "index", "index", "index"]
    assert sorted(child.detail for child in plan.children) == [
        "of all records",
        "sorted (age): the count of values",
        "sorted (age): the first of each value",
        "sorted (age): the greatest",
        "sorted (age): the least",
    ]
    assert {child.actual for child in plan.walk()} == {None}
    told = users.explain(**asked, analyze=True)
    assert (told.actual, told.estimate) == (1, 1)
    assert told.seconds is not None
    assert {child.detail: child.actual for child in told.children} == {
        "of all records": 2000,
        "sorted (age): the count of values": 2000,
        "sorted (age): the first of each value": 50,
        "sorted (age): the greatest": 1,
        "sorted (age): the least": 1,
    }
    plan = users.explain(total=Sum("age"), low=Min("age"), analyze=True)
    assert steps(plan) == ["aggregate", "scan"]
    assert plan.detail == "total = Sum(age), low = Min(age)"


def test_groups() -> None:
    users, _ = make()
    users.create_index("age", "sorted")
    asked: dict[str, Any] = {
        "having": Field("n") > 30,
        "order_by": "-n",
        "limit": 2,
        "n": Count(),
        "older": Sum(users.age + 1),
    }
    plan = users.explain(users.age > 45, "city", **asked)
    assert steps(plan) == ["slice", "sort", "filter", "group", "filter", "index"]
    group = node_of(plan, "group")
    assert group.detail == "by city: n = Count(), older = Sum(age + 1)"
    plan = users.explain(users.age > 45, group_by=["city"], **asked, analyze=True)
    found = users.aggregate(users.age > 45, group_by=["city"], **asked)
    assert plan.actual == len(found) == 2
    assert node_of(plan, "group").actual == 4
    assert [node.actual for node in plan.walk() if node.step == "filter"] == [4, 160]
    assert repr(plan).splitlines()[0].startswith("slice limit 2  [about 2, 2 met, ")
    assert users.explain(group_by={"of": users.age % 2}, analyze=True).actual == 2


def test_groups_of_what_callables_choose() -> None:
    users, _ = make()
    users.create_index("age", "sorted")

    def is_even(record: Any) -> bool:
        return bool(record["age"] % 2 == 0)

    where = (users.age > 45) & is_even
    assert steps(users.explain(where, "city", n=Count())) == [
        "group",
        "callable",
        "filter",
        "index",
    ]
    plan = users.explain(where, "city", n=Count(), analyze=True)
    assert [node.actual for node in plan.walk()] == [2, 80, 160, 160]
    asked: dict[str, Any] = {"having": Field("n") > 10, "order_by": "-n", "limit": 3, "n": Count()}
    plan = users.explain(where, "age", **asked, analyze=True)
    assert [(node.step, node.actual) for node in plan.walk()] == [
        ("slice", 2),
        ("sort", None),
        ("filter", 2),
        ("group", 2),
        ("callable", 80),
        ("filter", 160),
        ("index", 160),
    ]
    plan = users.explain(where, "city", **{**asked, "having": Field("n") > 99}, analyze=True)
    assert [node.actual for node in plan.walk()] == [0, None, 0, 2, 80, 160, 160]
    plan = users.explain(where, "age", **asked)
    assert {node.actual for node in plan.walk()} == {None}
    plan = users.explain(is_even, low=Min("age"))
    assert steps(plan) == ["aggregate", "callable", "scan"]  # No index tells of some records


def test_sides_of_joins() -> None:
    users, orders = make()
    joined = users.join(orders, ("id", "user_id"))
    assert steps(joined.explain()) == ["join", "scan", "hash", "scan"]
    plan = joined.explain(analyze=True)
    assert plan.detail == "inner on id = user_id"
    assert plan.actual == joined.count()
    assert [node.actual for node in plan.walk()] == [4983, 2000, 5000, 5000]
    users.create_index("age", "sorted")
    orders.create_index("user_id")
    young = joined["age"] == 1
    assert steps(joined.explain(young)) == ["join", "filter", "index", "lookup", "index"]
    plan = joined.explain(young, analyze=True)
    assert node_of(plan, "lookup").detail == "by user_id"
    assert node_of(plan, "lookup").children[0].detail == "hash (user_id)"
    assert node_of(plan, "lookup").actual == plan.actual == joined.count(young)
    assert node_of(plan, "filter").actual == 40
    other_way = orders.join(users, ("user_id", "id"))
    plan = other_way.explain(limit=3, analyze=True)
    assert steps(plan) == ["slice", "join", "scan", "lookup", "key"]
    assert plan.actual == 3
    assert steps(other_way.explain()) == ["join", "scan", "hash", "scan"]


def test_what_is_done_with_pairs() -> None:
    users, orders = make()
    joined = users.join(orders, ("id", "user_id"), "left")
    both = joined["amount"] > joined["age"] * 100
    plan = joined.explain(
        both, columns=["name"], order_by="-amount", distinct=True, limit=3, analyze=True
    )
    assert steps(plan)[:5] == ["slice", "distinct", "sort", "filter", "join"]
    assert plan.actual == 3
    assert node_of(plan, "filter").actual == node_of(plan, "sort").actual == joined.count(both)
    assert node_of(plan, "join").detail == "left on id = user_id"
    plan = joined.explain(group_by="city", n=Count("amount"), having=Field("n") > 0, analyze=True)
    assert steps(plan) == ["filter", "group", "join", "scan", "hash", "scan"]
    assert plan.actual == len(joined.aggregate(group_by="city", n=Count("amount")))
    plan = joined.explain(n=Count())
    assert (plan.step, plan.actual) == ("aggregate", None)


def test_joins_of_joins() -> None:
    users, orders = make()
    chain = users.join(orders, ("id", "user_id")).join(users, ("user_id", "id"), prefix="again.")
    plan = chain.explain(analyze=True)
    assert steps(plan) == ["join", "join", "scan", "hash", "scan", "hash", "scan"]
    assert [child.step for child in plan.children] == ["join", "hash"]
    assert plan.children[0].actual == plan.actual == chain.count()
    grouped = chain.explain(group_by="city", n=Count())
    assert steps(grouped) == ["group", *steps(plan)]
    assert "rows" not in steps(chain.explain(chain["age"] == 3, limit=2))


def test_mistakes() -> None:
    users, orders = make()
    joined = users.join(orders, ("id", "user_id"))
    with pytest.raises(InvalidArgumentError, match="having needs group_by"):
        users.explain(having=Field("n") > 1)
    with pytest.raises(InvalidArgumentError, match="limit needs group_by"):
        users.explain(n=Count(), limit=3)
    with pytest.raises(UnsupportedTypeError, match="columns must be an aggregate"):
        users.explain(n=Count(), columns=["name"])
    with pytest.raises(InvalidArgumentError, match="do not go with aggregates"):
        joined.explain(n=Count(), columns=["name"])
    with pytest.raises(InvalidArgumentError, match="do not go with aggregates"):
        joined.explain(n=Count(), distinct=True)
    with pytest.raises(TypeError, match="did you mean 'limit'"):
        joined.explain(limt=3)
    for source in (users, joined):
        with pytest.raises(UnsupportedTypeError, match="analyze must be"):
            source.explain(n=Count(), analyze="yes")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="at least 1"):
        users.explain(threads=0)
    with pytest.raises(UnsupportedTypeError, match="callables"):
        joined.explain((joined["age"] > 3) & (lambda record: True))


def test_plans_of_snapshots() -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert([{"n": i} for i in range(100)])
    table.create_index("n", "sorted")
    with db.snapshot() as snapshot:
        table.insert([{"n": 100}])
        seen = snapshot["t"]
        assert steps(seen.explain(high=Max("n"))) == ["aggregate", "index"]
        assert seen.explain(n=Count(), analyze=True).children[0].actual == 100
        assert seen.join(seen, "id").explain(analyze=True).actual == 100


VALUES = [None, 0, 1, True, 1.0, -2.5, float("nan"), "a", "b", b"x", [1], 2**70, Decimal("0.5")]


def test_ends_of_some_records() -> None:
    """With a condition, an index tells what looking at all records does."""
    rng = random.Random(4)
    for size in (0, 3, 40, 400):
        plain, table = Table("plain"), Table("t")
        rows = [{"v": rng.choice(VALUES), "n": n % 20} for n in range(size)]
        rows += [{"n": n} for n in range(size // 4)]
        for each in (plain, table):
            each.insert(rows)
        table.create_index("v", "sorted")
        table.create_index(["n", "v"], "sorted")
        for where in (
            table.n == 3,
            (table.n == 3) & (table.id != 4),
            (table.n == 3) & table.v.is_null(),
            (table.n == 99) & (table.id != 4),
            table.n.is_in([3, 4]),
            table.v > 0,
            table.v.between(0, 1),
            table.v <= "a",
            table.v != 1,
            table.n != 3,
            table.n > 18,
            table.n > 99,
            (table.v >= 1) & (table.n < 19),
            table.v.is_null(),
            ~(table.v > 0),
            table.v.is_null() | (table.v == 1),
        ):
            for asked in (
                {"low": Min("v")},
                {"high": Max(table.v)},
                {"low": Min("v"), "n": Count(), "high": Max("v"), "again": Count()},
            ):
                got, wanted = (each.aggregate(where, **asked) for each in (table, plain))
                assert repr(got) == repr(wanted), (size, where, asked)


def test_explain_tells_of_ends_of_some_records() -> None:
    users, _ = make()
    users.create_index("age", "sorted")
    plan = users.explain(users.age.between(10, 20), low=Min("age"), n=Count(), analyze=True)
    assert steps(plan) == ["aggregate", "filter", "walk", "count"]
    assert [child.actual for child in plan.children] == [1, 440]
    plan = users.explain(users.name != "u49", high=Max("age"), analyze=True)
    assert steps(plan) == ["aggregate", "filter", "walk"]
    assert node_of(plan, "walk").detail == "sorted (age), without null, backwards"
    for where in (users.id == 3, users.name.matches("u")):
        assert "walk" not in steps(users.explain(where, low=Min("age")))
    assert "walk" not in steps(users.explain(users.age > 3, low=Min("age"), total=Sum("age")))


def test_the_least_of_some_records_is_not_sought_among_null() -> None:
    table = Table("t")
    table.insert([{"n": i % 2, "v": i if i > 900 else None} for i in range(1000)])
    table.create_index("v", "sorted")
    plan = table.explain(table.n == 0, low=Min("v"), analyze=True)
    walk = node_of(plan, "walk")
    assert walk.detail == "sorted (v), without null"
    assert walk.actual is not None
    assert walk.actual < 100
    assert table.aggregate(table.n == 0, low=Min("v")) == {"low": 902}
    table.update({"v": UNSET})
    assert table.aggregate(table.n == 0, low=Min("v"), high=Max("v")) == {"low": None, "high": None}


def test_different_values_that_indexes_tell() -> None:
    """With conditions, orders and limits, of several fields too: what looking at all rows gives."""
    rng = random.Random(5)
    values = [None, 0, 1, True, 1.0, -2.5, float("nan"), "a", "b", [1], 2**70, Decimal("1")]
    told = 0
    for size in (0, 3, 60, 400):
        rows = [{"v": rng.choice(values), "n": rng.choice((1, 2, 3))} for _ in range(size)]
        rows += [{"n": rng.choice((1, 2.0, None))} for _ in range(size // 4)]
        plain, table = Table("t"), Table("t")
        for each in (plain, table):
            each.insert(rows)
        for fields in ("v", ["n", "v"], ["v", "n"]):
            table.create_index(fields, "sorted")
            for where in (
                None,
                table.v > 0,
                ~(table.v > 0),
                table.v != 1,
                table.v.is_not_null(),
                table.v.is_in([1]),
                table.n == 2,
                table.n == float("nan"),
                (table.n == 2) & (table.v != 1),
                (table.n >= 2) & (table.n < 3),
                (table.n == 1) | (table.v == "a"),
                table.id > 30,
                table.id == 2,
            ):
                for columns in (["v"], ["n"], ["v", "n"], {"x": "n", "y": "v"}, ["v", "id"]):
                    for order_by in (None, "v", "-v", ["n", "v"], ["-n", "-v"], ["-v", "n"]):
                        limit, offset = rng.choice(((None, 0), (None, 2), (1, 0), (3, 2), (0, 1)))
                        asked: dict[str, Any] = {
                            "where": where,
                            "order_by": order_by,
                            "distinct": True,
                            "limit": limit,
                            "offset": offset,
                        }
                        got, wanted = (each.select(columns, **asked) for each in (table, plain))
                        assert repr(got) == repr(wanted), (size, fields, columns, asked)
                    if rng.random() < 0.5:
                        plan = table.explain(columns=columns, **asked)
                        told += any("first of each" in node.detail for node in plan.walk())
                for name in ("v", "n", "id"):
                    got, wanted = (
                        each.aggregate(where, a=CountDistinct(name), n=Count())
                        for each in (table, plain)
                    )
                    assert got == wanted, (size, fields, where)
    assert told > 20, told


def test_plans_of_different_values() -> None:
    table = Table("t")
    table.insert([{"a": i % 3, "b": i % 7, "c": i} for i in range(4000)])
    table.create_index(["a", "b"], "sorted")
    table.create_index("c", "sorted")

    def found(where: Any, columns: list[str], **asked: Any) -> str:
        plan = table.explain(where, columns=columns, distinct=True, analyze=True, **asked)
        assert plan.actual in (None, len(table.select(columns, where, distinct=True, **asked)))
        last = list(plan.walk())[-1]
        return f"{last.step} {last.detail}: {last.actual}"

    assert found(None, ["a", "b"]) == "index sorted (a, b): the first of each value: 21"
    assert found(table.a == 1, ["b"]) == "index sorted (a, b): a == 1: the first of each value: 7"
    assert found(table.a > 0, ["b", "a"], order_by="-b") == (
        "index sorted (a, b): a > 0: the first of each value: 14"
    )
    assert found(None, ["c"], order_by="c", limit=3, offset=2) == (
        "index sorted (c): the first of each value: 5"
    )
    assert found(table.c < 3000, ["c"], order_by="-c", limit=2) == (
        "index sorted (c): c < 3000: the first of each value: 2"
    )
    for where, columns in (
        (None, ["a"]),  # No index has just that
        (table.b == 1, ["a"]),
        ((table.a == 1) & (table.c > 5), ["b"]),
        (None, ["a", "b", "c"]),
        (None, ["c"]),  # As many as there are records
    ):
        assert "first of each" not in found(where, columns)
    assert "first of each" not in found(None, ["a", "b"], order_by="c")
    plan = table.explain(table.a == 2, kinds=CountDistinct("b"), n=Count(), analyze=True)
    assert [f"{node.step} {node.detail}: {node.actual}" for node in plan.children] == [
        "index sorted (a, b): a == 2: the first of each value: 7",
        "count a == 2: 1333",
    ]
