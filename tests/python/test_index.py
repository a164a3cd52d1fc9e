# SPDX-License-Identifier: Apache-2.0
"""Indexes as Python sees them: types, several fields, unique, files, threads."""

from __future__ import annotations

import datetime
import decimal
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from dictdb import (
    And,
    Condition,
    Count,
    CountDistinct,
    DictDB,
    DuplicateIndexError,
    DuplicateKeyError,
    Field,
    IndexNotFoundError,
    InvalidArgumentError,
    Max,
    Min,
    Not,
    Or,
    Order,
    Table,
    UnknownFieldError,
)
from helpers import nothing_leaked

VALUES: list[Any] = [
    None,
    True,
    -3,
    0,
    1,
    1.0,
    2.5,
    float("nan"),
    float("inf"),
    2**70,
    decimal.Decimal("2.50"),
    decimal.Decimal("0.1"),
    0.1,
    "",
    "a",
    "ab",
    "a long beginning that is shared 1",
    "a long beginning that is shared 2",
    "é",
    b"ab",
    datetime.date(2026, 11, 23),
    datetime.datetime(2026, 11, 23, 5, 0, 0, 7),
    datetime.timedelta(days=2, seconds=1),
    [1, 2],
    (1, 2),
    {"k": [1]},
    frozenset({1}),
]


def fill(table: Table, seed: int, count: int) -> None:
    source = random.Random(seed)
    records = []
    for _ in range(count):
        record = {name: source.choice(VALUES) for name in "abc" if source.random() < 0.8}
        record["n"] = source.randrange(20)
        records.append(record)
    table.insert(records)


def leaf(source: random.Random, table: Any) -> Any:
    field = table[source.choice("abcn")]
    value = source.choice([*VALUES, *range(12)])
    other = source.choice([*VALUES, *range(12)])
    kind = source.randrange(10)
    if kind < 2:
        return field == value
    if kind == 2:
        return field != value
    if kind == 3:
        return field.between(value, other)
    if kind == 4:
        return field.is_in([value, other, 3])
    if kind == 5:
        return field.is_null()
    if kind == 6:
        return field.startswith(source.choice(["", "a", "a long beginning"]))
    return source.choice([field < 3, field <= value, field > value, field >= 10])


def condition(source: random.Random, table: Any, depth: int) -> Any:
    kind = source.randrange(6) if depth else 5
    if kind < 2:
        return And(*(condition(source, table, depth - 1) for _ in range(source.randrange(2, 4))))
    if kind < 4:
        return Or(*(condition(source, table, depth - 1) for _ in range(source.randrange(2, 4))))
    return Not(condition(source, table, depth - 1)) if kind == 4 else leaf(source, table)


def random_index(source: random.Random, table: Table) -> None:
    fields = source.sample("abcn", source.choice([1, 1, 2, 3]))
    kind = source.choice(["hash", "sorted", "sorted"])
    try:
        table.create_index(fields if len(fields) > 1 else fields[0], kind)  # type: ignore[arg-type]
    except DuplicateIndexError:
        table.drop_index(fields, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6))
def test_answers_are_those_without_indexes(seed: int) -> None:
    plain, indexed = Table("t"), Table("t")
    fill(plain, seed, 150)
    fill(indexed, seed, 150)
    source = random.Random(seed)
    for step in range(250):
        if step % 12 == 0:
            random_index(source, indexed)
        if step % 40 == 39:
            seeds = source.randrange(1000)
            fill(plain, seeds, 5)
            fill(indexed, seeds, 5)
        state = source.getstate()
        where = condition(source, plain, 3)
        source.setstate(state)
        twin = condition(source, indexed, 3)
        assert repr(plain.select(where=where)) == repr(indexed.select(where=twin)), where
        assert plain.count(where) == indexed.count(twin), where
        keys = source.sample("abcn", source.choice([1, 1, 2]))
        sign = source.choice(["", "-"])
        query: dict[str, Any] = {"order_by": [sign + key for key in keys]}
        query["limit"] = source.choice([None, 1, 4, 30])
        query["offset"] = source.choice([0, 0, 3])
        query["distinct"] = source.random() < 0.2
        if source.random() < 0.5:
            where = twin = None
        expected = plain.select(where=where, **query)
        assert repr(expected) == repr(indexed.select(where=twin, **query)), (where, query)
        if step % 25 == 24:
            change = {"a": source.choice(VALUES), "n": source.randrange(20)}
            assert plain.update(change, where) == indexed.update(change, twin), where
    assert repr(plain.all()) == repr(indexed.all())


def test_the_facts_of_indexes() -> None:
    people = Table("people")
    people.insert([{"name": "Ada", "team": "core"}, {"name": "Bob", "team": "docs"}])
    people.create_index("team")
    people.create_index(people.team, "sorted")
    people.create_index(["team", people["name"]], "sorted", unique=True)
    assert people.indexed_fields() == ["team"]
    assert people.indexes() == [
        {"fields": ["team"], "index_type": "hash", "unique": False, "entries": 2},
        {"fields": ["team"], "index_type": "sorted", "unique": False, "entries": 2},
        {"fields": ["team", "name"], "index_type": "sorted", "unique": True, "entries": 2},
    ]
    assert people.has_index(("team", "name"))
    assert not people.has_index(["name", "team"])
    assert not people.has_index("name")
    with pytest.raises(DuplicateIndexError, match=r"sorted index on \('team', 'name'\)"):
        people.create_index(["team", "name"], "sorted")
    people.drop_index("team", "hash")
    with pytest.raises(IndexNotFoundError, match="no hash index on 'team'"):
        people.drop_index("team", "hash")
    people.drop_index("team")
    people.drop_index(["team", "name"])
    with pytest.raises(IndexNotFoundError, match=r"no index on \('team', 'name'\)"):
        people.drop_index(["team", "name"])
    assert people.indexes() == []


def test_mistakes_raise_and_leave_nothing() -> None:
    people = Table("people")
    people.insert([{"name": "Ada", "team": 1}, {"name": "Ada", "team": 2}])
    with pytest.raises(InvalidArgumentError, match="did you mean 'sorted'"):
        people.create_index("name", "sortd")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="needs a field"):
        people.create_index([])
    with pytest.raises(InvalidArgumentError, match="a field twice: 'name'"):
        people.create_index(["name", "name"])
    with pytest.raises(DuplicateKeyError, match="'Ada' twice under the unique index on 'name'"):
        people.create_index("name", unique=True)
    with pytest.raises(TypeError):
        people.create_index(["name", 5])  # type: ignore[list-item]
    assert people.indexes() == []


@pytest.mark.parametrize("kind", ["hash", "sorted"])
def test_unique(kind: Any) -> None:
    users = Table("users")
    users.create_index("email", kind, unique=True)
    users.insert([{"email": "a@example.org"}, {"email": None}, {"email": None}, {}])
    with pytest.raises(DuplicateKeyError, match=r"'a@example\.org' twice") as caught:
        users.insert([{"email": "b@example.org"}, {"email": "a@example.org"}])
    assert caught.value.field == "email"
    assert len(users) == 4
    with pytest.raises(DuplicateKeyError):
        users.update({"email": "c@example.org"})
    assert users.update({"email": "c@example.org"}, users.id == 2) == 1
    users.delete(users.id == 1)
    users.insert({"email": "a@example.org"})


@pytest.mark.parametrize("name", ["db.json", "db.dictdb"])
def test_files_keep_indexes(tmp_path: Path, name: str) -> None:
    db = DictDB()
    table = db.create_table("t")
    fill(table, 3, 50)
    table.create_index("a", "sorted")
    table.create_index("n")
    table.create_index(["n", "id"], "sorted", unique=True)
    with db.snapshot() as snapshot:
        table.drop_index("n")
        assert [index["fields"] for index in snapshot["t"].indexes()] == [
            ["a"],
            ["n"],
            ["n", "id"],
        ]
        snapshot.save(tmp_path / name)
    table.create_index("n")
    loaded = DictDB.load(tmp_path / name).get_table("t")
    key = repr
    assert sorted(loaded.indexes(), key=key) == sorted(table.indexes(), key=key)
    with pytest.raises(DuplicateKeyError):
        loaded.insert({"n": table.get(1)["n"], "id": 1})


@pytest.mark.threads
def test_readers_go_on_while_indexes_come_and_go() -> None:
    table = Table("t")
    table.insert([{"n": i % 10, "text": f"a long beginning {i % 7}"} for i in range(600)])
    stop = threading.Event()
    failures: list[object] = []

    def read() -> None:
        while not stop.is_set():
            for where, count in (
                (table.n == 3, 60),
                (table.n.between(8, 9), 120),
                (table.text.startswith("a long beginning 6"), 85),
                ((table.n == 3) & (table.text == "a long beginning 3"), 9),
            ):
                found = table.count(where), len(table.select(where=where))
                if found != (count, count):
                    failures.append((where, found))

    def write() -> None:
        while not stop.is_set():
            table.update({"other": 1}, table.n == 5)
            key = table.insert({"n": 99, "text": "new"})
            table.delete(table.id == key)

    threads = [threading.Thread(target=read) for _ in range(3)] + [threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    for _ in range(25):
        table.create_index("n", "sorted")
        table.create_index(["n", "text"], "sorted")
        table.create_index("text", "sorted")
        table.drop_index("n")
        table.create_index("n")
        table.drop_index(["n", "text"])
        table.drop_index("text")
        table.drop_index("n")
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def steps(plan: Any) -> list[str]:
    return [node.step for node in plan.walk()]


def test_explain_tells_the_plan() -> None:
    table = Table("t")
    table.insert([{"n": i, "kind": i % 5, "name": f"name {i}"} for i in range(1000)])
    assert steps(table.explain()) == ["scan"]
    assert steps(table.explain(table.n == 3)) == ["filter", "scan"]
    assert steps(table.explain(table.id == 3)) == ["filter", "key"]
    table.create_index("n", "sorted")
    table.create_index("kind")
    table.create_index(["kind", "name"], "sorted")
    plan = table.explain(table.n.between(10, 19), analyze=True)
    assert steps(plan) == ["filter", "index"]
    assert plan.detail == "n.between(10, 19)"
    index = plan.children[0]
    assert index.detail == "sorted (n): n.between(10, 19)"
    assert (index.estimate, index.actual, plan.estimate, plan.actual) == (10, 10, 10, 10)
    assert plan.seconds is not None
    assert plan.to_dict()["children"][0]["step"] == "index"
    lines = repr(plan).splitlines()
    assert lines[0].startswith("filter n.between(10, 19)  [about 10, 10 met, ")
    assert lines[1].startswith("  index sorted (n): n.between(10, 19)  [about 10, 10 met, ")
    either = table.explain((table.n < 10) | (table.n > 990) | (table.id == 5))
    assert steps(either) == ["filter", "union", "key", "index", "index"]
    both = table.explain((table.kind == 3) & (table.name == "name 8"))
    assert both.children[0].detail == "sorted (kind, name): kind == 3 & name == 'name 8'"
    assert both.children[0].estimate == 1
    assert steps(table.explain(table.n < 900)) == ["filter", "scan"]
    assert steps(table.explain(lambda record: True)) == ["callable", "scan"]
    with pytest.raises(TypeError, match="did you mean 'limit'"):
        table.explain(limt=3)  # type: ignore[call-arg]


TEXTS = [
    "",
    "a",
    "ab",
    "abc",
    "a%c",
    "a_c",
    "abcdefgh",
    "abcdefghi",
    "abcdefgi",
    "b",
    "\ud800",
    "aé",
]
OTHERS = [None, 1, 2.5, b"ab", b"", ["ab"], True, float("nan"), datetime.date(2020, 1, 1)]
PATTERNS = (
    *("", "%", "_", "a", "ab", "a%", "ab%", "abc%", "abcdefgh%", "abcdefghi%", "a_", "a_c", "a%c"),
    *(
        "a!%c",
        "a!_%",
        "!!",
        "%b",
        "_b%",
        "ab%c%",
        "\ud800%",
        "aé",
        "aé%",
        "\U0010ffff%",
        "a%%",
        "z%",
    ),
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_like_through_an_index_is_what_a_scan_says(pattern: str) -> None:
    rows = [{"v": value, "g": n % 3} for n, value in enumerate([*TEXTS, *OTHERS] * 3)]
    rows.append({"g": 1})
    plain = Table("plain")
    plain.insert(rows)
    for fields, kind in (
        ("v", "hash"),
        ("v", "sorted"),
        (["g", "v"], "sorted"),
        (["v", "g"], "sorted"),
    ):
        table = Table("t")
        table.insert(rows)
        table.create_index(fields, kind)  # type: ignore[arg-type]
        for ask in (Field("v").like, Field("v").ilike):
            cond = ask(pattern, "!")
            either = cond | (Field("v") == "b")
            for where in (cond, ~cond, cond & (Field("g") == 1), either, ~either):
                assert table.count(where) == plain.count(where), (kind, fields, where)
                assert repr(table.select(where=where)) == repr(plain.select(where=where))
                ordered = table.select(where=where, order_by="v", limit=5)
                assert repr(ordered) == repr(plain.select(where=where, order_by="v", limit=5))


def test_explain_tells_of_a_like() -> None:
    table = Table("t")
    table.insert([{"name": f"name {i}", "n": i % 7} for i in range(1000)])
    table.create_index("name", "sorted")
    plan = table.explain(table.name.like("name 12_"), analyze=True)
    assert steps(plan) == ["filter", "index"]
    assert plan.children[0].detail == "sorted (name): name.like('name 12_')"
    assert (plan.children[0].estimate, plan.actual) == (11, 10)
    assert steps(table.explain(table.name.like("name 12%"))) == ["filter", "index"]
    assert steps(table.explain(table.name.like("name 12"))) == ["filter", "index"]
    assert steps(table.explain(~table.name.like("name%"))) == ["filter", "index"]
    for where in (
        table.name.like("%12"),
        table.name.ilike("name 12%"),
        ~table.name.like("name 12_"),
    ):
        assert steps(table.explain(where)) == ["filter", "scan"]
    table.drop_index("name")
    table.create_index("name")
    plan = table.explain(table.name.like("name 12"))
    assert plan.children[0].detail == "hash (name): name.like('name 12')"
    assert steps(table.explain(table.name.like("name 12%"))) == ["filter", "scan"]
    table.create_index(["n", "name"], "sorted")
    plan = table.explain((table.n == 3) & table.name.like("name 1%"))
    assert plan.children[0].detail == "sorted (n, name): n == 3 & name.like('name 1%')"
    assert plan.children[0].estimate == 17


def check_ends(rows: list[dict[str, Any]], deep: bool = False) -> None:
    """What an index of `v` tells of all rows is what looking at them tells."""
    plain, table = Table("plain"), Table("t")
    plain.insert(rows)
    table.insert(rows)
    field: Any = table.v["x"] if deep else table.v
    table.create_index(field, "sorted")
    kinds = {"records": Count(), "n": Count(field), "low": Min(field), "high": Max(field)}
    for ask in (kinds, {"different": CountDistinct(field)}, {**kinds, "d": CountDistinct(field)}):
        assert repr(table.aggregate(**ask)) == repr(plain.aggregate(**ask)), ask
    for columns in (["v"], {"it": field}, {"it": field, "id": "id"}):
        for order in (None, field, field.desc(), Order(field, nulls="last"), "id", "-id"):
            for options in ({}, {"offset": 2}, {"limit": 3}, {"where": field != 1}):
                asked: dict[str, Any] = {"distinct": True, "order_by": order, **options}
                got, wanted = (each.select(columns, **asked) for each in (table, plain))
                assert repr(got) == repr(wanted), (columns, asked)
                cursor = table.iter(columns=columns, **asked)
                assert repr(list(cursor)) == repr(wanted)


@pytest.mark.parametrize("few", [True, False])
def test_an_index_tells_of_all_rows_what_they_tell(few: bool, rng: random.Random) -> None:
    for count in (0, 1, 7, 200):
        values = rng.sample(VALUES, 4) if few else VALUES
        rows = [{"v": rng.choice(values)} for _ in range(count)]
        check_ends(rows + [{}] * rng.choice((0, 2)))
        check_ends([{"v": {"x": row["v"]}} for row in rows], deep=True)


@pytest.mark.parametrize(
    "values", [[None], [float("nan"), 1, None], [1, True, 1.0], [0.0, -0.0, 0]]
)
def test_ends_of_an_index_are_the_first_of_equal_values(values: list[Any]) -> None:
    check_ends([{"v": value} for value in values])
    check_ends([{"v": value} for value in values[::-1] * 30])


def test_explain_tells_of_the_first_of_each_value() -> None:
    table = Table("t")
    table.insert([{"kind": i % 5, "n": i} for i in range(2000)])
    table.create_index("kind", "sorted")
    table.create_index("n", "sorted")
    plan = table.explain(columns=["kind"], distinct=True, analyze=True)
    assert steps(plan) == ["distinct", "index"]
    assert plan.children[0].detail == "sorted (kind): the first of each value"
    assert (plan.children[0].estimate, plan.children[0].actual) == (5, 5)
    plan = table.explain(columns=["kind"], distinct=True, order_by="-kind")
    assert steps(plan) == ["distinct", "sort", "index"]
    for options in (
        {"columns": ["n"]},  # As many values as rows
        {"columns": ["kind", "n"]},
        {"columns": ["kind"], "limit": 3},
    ):
        assert "index" not in steps(table.explain(distinct=True, **options))  # type: ignore[arg-type]


def test_explain_tells_the_order() -> None:
    table = Table("t")
    table.insert([{"n": i * 7 % 1000, "kind": i % 5} for i in range(1000)])
    assert steps(table.explain(order_by="n", limit=3)) == ["slice", "top", "scan"]
    assert steps(table.explain(order_by="-n")) == ["sort", "scan"]
    table.create_index("n", "sorted")
    plan = table.explain(order_by="-n", limit=3, analyze=True)
    assert steps(plan) == ["slice", "walk"]
    assert plan.detail == "limit 3"
    assert plan.actual == 3
    assert plan.children[0].detail == "sorted (n), backwards"
    assert plan.children[0].actual is not None
    assert plan.children[0].actual < 10
    assert [record["n"] for record in table.select(order_by="-n", limit=3)] == [999, 998, 997]
    nowhere = (table.kind == 3) & (table.kind == 4)
    plan = table.explain(nowhere, order_by="n", limit=3, analyze=True)
    assert "given up" in repr(plan)
    assert steps(plan) == ["slice", "top", "filter", "walk", "scan"]
    table.create_index(["kind", "n"], "sorted")
    plan = table.explain(table.kind == 3, order_by="n", limit=5, distinct=True, analyze=True)
    assert steps(plan) == ["slice", "distinct", "filter", "walk"]
    assert plan.children[0].children[0].children[0].detail == "sorted (kind, n): kind == 3"
    assert plan.actual == 5


def test_explain_tells_of_callables() -> None:
    table = Table("t")
    table.insert([{"n": i, "m": i} for i in range(100)])
    table.create_index("n", "sorted")
    asked: list[int] = []

    def odd(record: Any) -> bool:
        asked.append(record["n"])
        return bool(record["n"] % 2)

    where = (table.n >= 40) & (table.n < 60) & odd
    wanted = {"order_by": "-m", "offset": 1, "limit": 3, "distinct": True}
    assert steps(table.explain(where, order_by="-m")) == ["callable", "sort", "filter", "index"]
    assert asked == []  # Only to analyze it
    plan = table.explain(where, order_by="-m", offset=1, limit=3, analyze=True)
    assert steps(plan) == ["slice", "callable", "sort", "filter", "index"]
    got = [(step.step, step.actual) for step in plan.walk()]
    assert got == [("slice", 3), ("callable", 4), ("sort", 20), ("filter", 20), ("index", 20)]
    assert asked == [59, 58, 57, 56, 55, 54, 53]  # Until there are enough
    assert plan.detail == "limit 3, offset 1"
    asking = plan.children[0]
    assert "odd" in asking.detail
    assert plan.seconds is not None
    assert asking.seconds is not None
    assert 0 < asking.seconds <= plan.seconds
    plan = table.explain(where, analyze=True, **wanted)
    assert steps(plan)[:3] == ["slice", "distinct", "callable"]
    assert (plan.actual, plan.children[0].children[0].actual) == (3, 10)
    assert len(table.select(where=where, **wanted)) == 3
    for whole in (lambda record: True, ~Condition(odd), (table.n == 3) | Condition(odd)):
        plan = table.explain(whole, analyze=True)
        assert steps(plan)[0] == "callable"
        assert plan.actual == table.count(whole)
        assert plan.children[0].actual == 100 or plan.children[0].actual is None
    asked.clear()
    assert table.explain(odd, limit=0, analyze=True).actual == 0
    assert asked == []


def test_explain_passes_on_what_a_callable_raises() -> None:
    table, unasked = (Table("t", schema={"n": int}) for _ in range(2))
    for each in (table, unasked):
        each.insert([{"n": i} for i in range(10)])
    with nothing_leaked(4096):
        for _ in range(20):
            with pytest.raises(ZeroDivisionError):
                table.explain(lambda record: 1 // 0, analyze=True)
            with pytest.raises(UnknownFieldError):
                table.explain((Field("m") == 1) & (lambda record: True), limit=3, analyze=True)
    for each in (table, unasked):
        for n in range(200):
            each.insert({"n": n})
    # No view was left open: it would keep what it can see.
    assert table.memory()["old_bytes"] == unasked.memory()["old_bytes"]
