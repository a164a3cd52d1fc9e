# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""Joins: held against a naive evaluation in Python, and against sqlite3 where SQL can say it."""

from __future__ import annotations

import math
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dictdb
from dictdb import (
    Collect,
    Count,
    DictDB,
    Field,
    InvalidArgumentError,
    Last,
    Sum,
    Table,
    TableNotFoundError,
    UnknownFieldError,
    UnsupportedTypeError,
)
from helpers import background, sized
from oracle import Expr, build, distinct, matches, ordered
from samples import exactly

KEYS = st.sampled_from(
    [
        *(None, 1, 1.0, True, Decimal(1), 2, 2**70, float(2**70), "1", "a", b"a", math.nan, -0.0),
        *(0, [1, 2], [1.0, 2], (1, 2), [math.nan], {"a": 1}, "long text " * 5),
    ]
)
COUNT = st.integers(0, 3)
LEFT = st.lists(
    st.fixed_dictionaries({}, optional={"k": KEYS, "m": COUNT, "v": COUNT}), max_size=15
)
RIGHT = st.lists(
    st.fixed_dictionaries({}, optional={"k": KEYS, "m": COUNT, "w": COUNT, "x": KEYS}), max_size=15
)


def naive_join(
    left: list[dict[str, Any]],
    right: list[dict[str, Any]],
    keys: list[tuple[str, str]],
    *,
    outer: bool,
    names: dict[str, str],
) -> list[dict[str, Any]]:
    """names: of right's fields in the rows."""
    fields = list(dict.fromkeys(f for row in left for f in row)) or ["id"]
    rows = []
    for a in left:
        found = [
            b
            for b in right
            if all(a.get(x) is not None and bool(a.get(x) == b.get(y)) for x, y in keys)
        ]
        for b in found or ([{}] if outer else []):
            row = {field: a.get(field) for field in fields}
            rows.append({**row, **{name: b.get(field) for field, name in names.items()}})
    return rows


def make(left: Any, right: Any) -> tuple[Table, Table, list[dict[str, Any]], list[dict[str, Any]]]:
    db = DictDB()
    a, b = db.create_table("a"), db.create_table("b")
    a.insert(left)
    b.insert(right)
    return a, b, a.all(), b.all()


def check(left: Any, right: Any, on: Any, how: Any, index: str | None) -> None:
    a, b, left_rows, right_rows = make(left, right)
    if index:
        b.create_index(index)
    joined = a.join(b, on, how)
    pairs = [(x, x) if isinstance(x, str) else x for x in (on if isinstance(on, list) else [on])]
    shared = {y for x, y in pairs if x == y}
    taken = a.columns() or ["id"]
    names = {f: f"b.{f}" if f in taken else f for f in b.columns() or ["id"] if f not in shared}
    expected = naive_join(left_rows, right_rows, pairs, outer=how == "left", names=names)
    assert joined.columns() == [*taken, *names.values()]
    assert joined.count() == len(expected)
    assert exactly(joined.select(), [{n: r.get(n) for n in joined.columns()} for r in expected])


@given(LEFT, RIGHT, st.sampled_from(["k", ("k", "x"), [("m", "w")], ["k", ("v", "w")]]), st.data())
def test_pairs_are_those_of_equal_fields(left: Any, right: Any, on: Any, data: Any) -> None:
    how = data.draw(st.sampled_from(["inner", "left"]))
    check(left, right, on, how, data.draw(st.sampled_from([None, "k", "x", "w"])))


@given(RIGHT, st.sampled_from(["inner", "left"]), st.sampled_from([None, "k"]), KEYS)
def test_few_left_records_are_looked_up(right: Any, how: Any, index: Any, key: Any) -> None:
    many = [*right, *({"k": n % 50, "w": n} for n in range(100, 200))]
    check([{"k": key}, {"k": 7}], many, "k", how, index)
    check([{"v": 3}, {"v": 99}], many, ("v", "id"), how, index)


parts = st.sampled_from(
    [
        ("==", "m", 1),
        (">", "b.m", 0),
        ("null", "b.m"),
        ("null", "w"),
        ("!=", "w", 2),
        ("in", "b.m", [1, None]),
        ("in", "v", [0, 2]),
        ("between", "b.id", 2, 5),
        ("contains", "k", "a"),
        ("contains", "b.k", 1),
        ("endswith", "b.k", "a"),
        (">=", "v", 1),
        ("==", "x", 1),
        ("==", Expr("field", "v"), Expr("field", "w")),
        (">", Expr("+", Expr("field", "w"), Expr("field", "b.m")), 1),
        ("null", Expr("len", Expr("field", "x"))),
        ("null", "nowhere"),
        ("==", "nowhere", 1),
    ]
)
conditions = st.none() | st.recursive(
    parts,
    lambda inner: st.one_of(
        st.tuples(st.just("and"), inner, inner),
        st.tuples(st.just("and"), inner, inner),
        st.tuples(st.just("or"), inner, inner),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=5,
)


@given(LEFT, RIGHT, conditions, st.data())
def test_queries_over_the_rows(left: Any, right: Any, cond: Any, data: Any) -> None:
    how = data.draw(st.sampled_from(["inner", "left"]))
    a, b, _, _ = make(left, right)
    joined = a.join(b, ("m", "m"), how) if data.draw(st.booleans()) else a.join(b, ("v", "w"), how)
    for table in (a, b):
        for field in data.draw(st.lists(st.sampled_from("mvwxk"), max_size=2, unique=True)):
            table.create_index(field, data.draw(st.sampled_from(["hash", "sorted"])))
    where = build(cond, b)
    rows = [row for row in joined.select() if matches(cond, row)]
    order = data.draw(st.lists(st.sampled_from(["v", "-w", "-m", "b.id", "nowhere"]), max_size=2))
    limit = data.draw(st.one_of(st.none(), st.integers(0, 5)))
    offset = data.draw(st.integers(0, 3))
    names = data.draw(st.sampled_from([None, ["v", "w"], ["m"], ["nowhere"]]))
    unique = data.draw(st.booleans())
    expected = ordered(rows, order)
    if unique:
        expected = distinct(expected, names)
    expected = expected[offset:][: limit if limit is not None else len(rows)]
    if names:
        expected = [{name: row.get(name) for name in names} for row in expected]
    got = joined.select(names, where, order_by=order, limit=limit, offset=offset, distinct=unique)
    assert exactly(got, expected)
    assert joined.count(where) == len(rows)
    target = joined if where is None else joined.where(where)
    got = target.aggregate(n=Count(), w=Sum("w"), every=Collect("v"), last=Last("k"))
    numbers, keys = ([r[f] for r in rows if r.get(f) is not None] for f in ("w", "k"))
    assert exactly(
        got,
        {
            "n": len(rows),
            "w": sum(numbers) if numbers else None,
            "every": [r["v"] for r in rows if r.get("v") is not None],
            "last": keys[-1] if keys else None,
        },
    )


# --- One by one -------------------------------------------------------------------------------


@pytest.fixture
def shop() -> DictDB:
    db = DictDB()
    db.create_table("users").insert(
        [{"name": "Ann", "boss": None}, {"name": "Bob", "boss": 1}, {"name": "Cid", "boss": 1}]
    )
    db.create_table("products").insert(
        [{"title": "pen", "price": 2}, {"title": "book", "price": 9}]
    )
    db.create_table("orders").insert(
        [
            {"user_id": 1, "product_id": 1, "n": 3},
            {"user_id": 2, "product_id": 2, "n": 1},
            {"user_id": 1, "product_id": 2, "n": 2},
            {"user_id": None, "n": 9},
        ]
    )
    return db


def test_three_tables(shop: DictDB) -> None:
    users, orders, products = shop["users"], shop["orders"], shop["products"]
    joined = users.join(orders, ("id", "user_id")).join(products, ("product_id", "id"))
    assert joined.columns() == [
        *("id", "name", "boss", "orders.id", "user_id", "product_id", "n"),
        *("products.id", "title", "price"),
    ]
    got = joined.aggregate(
        where=Field("price") > 1,
        group_by="name",
        having=Field("n") > 1,
        n=Sum("n"),
        titles=Collect("title"),
    )
    assert got == [{"name": "Ann", "n": 5, "titles": ["pen", "book"]}]
    first = users.join(orders, ("id", "user_id")).where(orders.n > 1)
    assert first.join(products, ("product_id", "id")).select(["name", "title"]) == [
        {"name": "Ann", "title": "pen"},
        {"name": "Ann", "title": "book"},
    ]


def test_a_table_with_itself(shop: DictDB) -> None:
    users = shop["users"]
    joined = users.join(users, ("boss", "id"), "left", prefix="boss.")
    assert joined.columns() == ["id", "name", "boss", "boss.id", "boss.name", "boss.boss"]
    assert joined.select({"who": "name", "by": joined["boss.name"]}) == [
        {"who": "Ann", "by": None},
        {"who": "Bob", "by": "Ann"},
        {"who": "Cid", "by": "Ann"},
    ]
    assert users.join(users, ("boss", "id")).columns()[3:] == [
        "users.id",
        "users.name",
        "users.boss",
    ]


def test_one_name_on_both_sides_is_one_field() -> None:
    a, b, _, _ = make([{"k": 1, "v": 2}], [{"k": 1.0, "w": 3}, {"k": True, "w": 4}])
    joined = a.join(b, a.k)
    assert joined.select() == [
        {"id": 1, "k": 1, "v": 2, "b.id": 1, "w": 3},
        {"id": 1, "k": 1, "v": 2, "b.id": 2, "w": 4},
    ]
    assert list(joined) == joined.select()
    assert joined.select(limit=1) == joined.select()[:1]
    assert a.join(b, "k", prefix="r_").columns() == ["id", "k", "v", "r_id", "r_k", "r_w"]


def test_expressions_over_the_rows(shop: DictDB) -> None:
    joined = shop["orders"].join(shop["products"], ("product_id", "id"))
    long_titles = joined["title"].len_() > 3
    assert joined.count(long_titles) == 2
    assert joined.aggregate(group_by={"size": joined["title"].len_()}, n=Count()) == [
        {"size": 3, "n": 1},
        {"size": 4, "n": 2},
    ]
    assert joined.where(joined["nowhere"]["x"].is_null()).count() == 3
    price = Field("n") * Field("price")
    assert joined.select({"title": "title", "price": price}, order_by=(-price).asc()) == [
        {"title": "book", "price": 18},
        {"title": "book", "price": 9},
        {"title": "pen", "price": 6},
    ]
    assert joined.select({"size": joined["title"].len_()}, distinct=True) == [
        {"size": 3},
        {"size": 4},
    ]
    assert joined.aggregate(total=Sum(price)) == {"total": 33}


def test_a_description_is_read_when_it_is_asked(shop: DictDB) -> None:
    users, orders = shop["users"], shop["orders"]
    joined = users.join(orders, ("id", "user_id"))
    assert joined.count() == 3
    orders.insert({"user_id": 3, "n": 5})
    assert joined.count() == 4
    with shop.snapshot() as snapshot:
        frozen = snapshot["users"].join(snapshot["orders"], ("id", "user_id"))
        orders.delete()
        assert frozen.count() == 4
        assert joined.count() == 0
        assert joined.select() == []
    with pytest.raises(InvalidArgumentError, match="closed"):
        frozen.count()
    shop.drop_table("orders")
    with pytest.raises(TableNotFoundError):
        joined.count()


def mistakes(db: DictDB) -> Iterator[tuple[type[Exception], str, Callable[[], object]]]:
    users, orders = db["users"], db["orders"]
    joined = users.join(orders, ("id", "user_id"))
    snapshot = db.snapshot()
    called = dictdb.And(Field("n") > 1, lambda row: True)
    yield UnsupportedTypeError, "joined with a table", lambda: users.join(3, "id")
    yield InvalidArgumentError, "different databases", lambda: users.join(Table("x"), "id")
    yield InvalidArgumentError, "of one snapshot", lambda: users.join(snapshot["orders"], "id")
    yield (
        InvalidArgumentError,
        "of one snapshot",
        lambda: snapshot["users"].join(db.snapshot()["orders"], "id"),
    )
    yield InvalidArgumentError, "names no field", lambda: users.join(orders, [])
    yield InvalidArgumentError, "pair of fields", lambda: users.join(orders, ("a", "b", "c"))
    yield UnsupportedTypeError, "str or a Field", lambda: users.join(orders, 3)
    yield UnsupportedTypeError, "str or a Field", lambda: users.join(orders, [("id", 3)])
    yield InvalidArgumentError, "'outer'", lambda: users.join(orders, "id", "outer")
    yield UnsupportedTypeError, "prefix", lambda: users.join(orders, "id", prefix=3)
    yield InvalidArgumentError, "prefix", lambda: users.join(orders, "id", prefix="").count()
    yield UnsupportedTypeError, "Condition", lambda: joined.where(True)
    yield UnsupportedTypeError, "callables", lambda: joined.count(called)
    yield UnsupportedTypeError, "callables", lambda: joined.aggregate(called, n=Count())
    yield UnsupportedTypeError, "be added", lambda: joined.aggregate(n=Sum("name"))
    yield InvalidArgumentError, "negative", lambda: joined.select(limit=-1)
    yield InvalidArgumentError, "needs an aggregate", joined.aggregate
    yield TypeError, "missing", lambda: users.join(orders)
    yield TypeError, "unexpected", lambda: users.join(orders, "id", hwo="left")


def test_mistakes_raise(shop: DictDB) -> None:
    for error, text, function in mistakes(shop):
        with pytest.raises(error, match=text):
            function()


def test_unknown_names_where_all_tables_have_a_schema() -> None:
    db = DictDB()
    users = db.create_table("users", schema={"name": str})
    orders = db.create_table("orders", schema={"user_id": int, "total": int})
    joined = users.join(orders, ("id", "user_id"), "left")
    assert joined.select() == []
    users.insert({"name": "Ann"})
    assert joined.select() == [
        {"id": 1, "name": "Ann", "orders.id": None, "user_id": None, "total": None}
    ]
    for function in (
        lambda: joined.count(Field("totl") > 1),
        lambda: joined.select(order_by="totl"),
        lambda: joined.aggregate(n=Sum("totl")),
    ):
        with pytest.raises(UnknownFieldError) as caught:
            function()
        assert str(caught.value) == (
            "the join of table 'users' has no field 'totl'; did you mean 'total'?"
        )
        assert caught.value.table == "users"
    with pytest.raises(UnknownFieldError, match="'usr_id'"):
        users.join(orders, ("id", "usr_id")).count()


def test_the_repr_says_what_is_joined(shop: DictDB) -> None:
    users, orders = shop["users"], shop["orders"]
    joined = users.join(orders, [("id", "user_id"), "n"], "left").where(orders.n > 1)
    text = repr(joined)
    assert text.startswith("<Join 'users' left join 'orders' on id = user_id, n = n where ")


def test_what_sql_can_say(rng: random.Random) -> None:
    db = DictDB()
    a, b = db.create_table("a"), db.create_table("b")
    left = [{"id": i, "k": rng.choice([None, *range(30)]), "v": i % 7} for i in range(300)]
    right = [{"id": i, "k": rng.choice([None, *range(40)]), "w": i % 5} for i in range(400)]
    a.insert(left)
    b.insert(right)
    connection = sqlite3.connect(":memory:")
    connection.execute("create table a (id, k, v)")
    connection.execute("create table b (id, k, w)")
    connection.executemany("insert into a values (:id, :k, :v)", left)
    connection.executemany("insert into b values (:id, :k, :w)", right)
    for how, kind in (("inner", "join"), ("left", "left join")):
        sql = f"select a.id, a.k, v, b.id, w from a {kind} b on a.k = b.k"
        joined = a.join(b, "k", how)  # type: ignore[arg-type]
        rows = [tuple(row.values()) for row in joined]
        assert rows == connection.execute(f"{sql} order by a.id, b.id").fetchall()
        got = joined.aggregate(b.w > 1, "v", order_by="v", n=Count(), w=Sum("w"))
        sql = f"select v, count(*), sum(w) from ({sql}) where w > 1 group by v order by v"
        assert [tuple(row.values()) for row in got] == connection.execute(sql).fetchall()
    connection.close()


@pytest.mark.threads
def test_one_instant_of_both_tables(seed: int) -> None:
    """Writers move rows from table to table and back; a join always sees each of them once."""
    db = DictDB()
    a, b, c = (db.create_table(name) for name in "abc")
    count = 40
    c.insert([{"id": n, "v": n} for n in range(count)])
    a.insert([{"id": n, "v": n} for n in range(count)])
    stop = threading.Event()

    def move() -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            n = rng.randrange(count)
            with db.write_lock("a", "b"):
                source, target = (a, b) if n in a else (b, a)
                record = source.get(n)
                source.delete(source.id == n)
                target.insert(record)

    # Left joins with both: in exactly one of them each row is there.
    joined = c.join(a, "id", "left", prefix="a.").join(b, "id", "left", prefix="b.")
    with background(move, stop=stop):
        for _ in range(sized(150, sanitized=30)):
            rows = joined.select(["a.id", "b.id"])
            assert len(rows) == count
            assert all((row["a.id"] is None) != (row["b.id"] is None) for row in rows)


# --- What is asked of one side before joining ------------------------------------------------


def people_and_pets() -> tuple[Table, Table]:
    db = DictDB()
    people, pets = db.create_table("people"), db.create_table("pets")
    people.insert({"name": f"name {n}", "age": n % 50} for n in range(300))
    people.update({"nick": "x"}, where=people.id % 3 == 0)
    pets.insert({"owner": n % 400, "name": f"pet {n}", "age": n % 7} for n in range(200))
    return people, pets


@pytest.mark.parametrize("how", ["inner", "left"])
@pytest.mark.parametrize("index", [None, "hash", "sorted"])
def test_conditions_on_one_side(how: Any, index: str | None) -> None:
    people, pets = people_and_pets()
    if index:
        people.create_index("age", index)
        pets.create_index("age", index)
        pets.create_index("owner", index)
    joined = people.join(pets, ("id", "owner"), how)
    rows = joined.select()
    age, of_pet, name = joined["age"], joined["pets.age"], joined["pets.name"]
    asked: list[tuple[Any, Callable[[dict[str, Any]], Any]]] = [
        (age < 3, lambda r: r["age"] < 3),
        (of_pet == 2, lambda r: r["pets.age"] == 2),
        (of_pet != 2, lambda r: r["pets.age"] != 2),
        (of_pet.is_null(), lambda r: r["pets.age"] is None),
        (~of_pet.is_null(), lambda r: r["pets.age"] is not None),
        (~(of_pet == 2), lambda r: r["pets.age"] != 2),
        (of_pet.is_in([1, None]), lambda r: r["pets.age"] in (1, None)),
        ((age < 9) & (of_pet == 2), lambda r: r["age"] < 9 and r["pets.age"] == 2),
        ((age < 9) | (of_pet == 2), lambda r: r["age"] < 9 or r["pets.age"] == 2),
        (
            (of_pet == 2) & of_pet.is_null(),
            lambda r: False,
        ),
        (
            (age < 9) & (age > of_pet) & ~(of_pet == 1),
            lambda r: (
                r["pets.age"] is not None and r["pets.age"] < r["age"] < 9 and r["pets.age"] != 1
            ),
        ),
        (name.like("pet 1%"), lambda r: (r["pets.name"] or "").startswith("pet 1")),
        (name.matches("1$"), lambda r: (r["pets.name"] or "").endswith("1")),
        (joined["nick"].exists(), lambda r: "nick" in r),
        (~joined["nick"].exists(), lambda r: "nick" not in r),
        (joined["nick"] == "x", lambda r: r["nick"] == "x"),
        ((age + 1 < 3) & (of_pet * 2 > 4), lambda r: r["age"] < 2 and (r["pets.age"] or 0) > 2),
    ]
    for where, holds in asked:
        expected = [row for row in rows if holds(row)]
        assert joined.select(where=where) == expected, where
        assert joined.count(where) == len(expected)
        assert joined.select(where=where, limit=3, offset=1) == expected[1:4]
        got = joined.where(where).aggregate(n=Count(), s=Sum("pets.age"))
        assert got["n"] == len(expected)


def test_rows_of_a_join_are_joined_again() -> None:
    people, pets = people_and_pets()
    rows = people.join(pets, ("id", "owner"), "left").join(
        people, ("pets.age", "id"), "left", prefix="o."
    )
    every = rows.select()
    for where, holds in (
        (rows["age"] < 4, lambda r: r["age"] < 4),
        (rows["o.age"] > 2, lambda r: (r["o.age"] or 0) > 2),
        (
            rows["o.age"].is_null() & (rows["age"] < 4),
            lambda r: r["o.age"] is None and r["age"] < 4,
        ),
    ):
        wanted = [row for row in every if holds(row)]
        assert rows.select(where=where) == wanted
        assert rows.where(rows["id"] >= 0).where(where).count() == len(wanted)
        assert rows.aggregate(where=where, n=Count()) == {"n": len(wanted)}


@pytest.mark.parametrize("how", ["inner", "left"])
def test_what_is_about_the_first_tables_chooses_their_rows(how: Any) -> None:
    people, pets = people_and_pets()
    rows = (
        people.join(pets, ("id", "owner"), how)
        .join(people, ("pets.age", "id"), how, prefix="o.")
        .join(pets, ("o.id", "owner"), how, prefix="p.")
    )
    every = rows.select()
    for where, holds in (
        (rows["age"] < 4, lambda r: r["age"] < 4),
        (rows["pets.age"].is_null(), lambda r: r["pets.age"] is None),
        ((rows["age"] < 9) & (rows["pets.age"] > 1), lambda r: r["age"] < 9 and r["pets.age"] > 1),
        (
            (rows["age"] < 4) & rows["p.age"].is_null(),
            lambda r: r["age"] < 4 and r["p.age"] is None,
        ),
        (
            (rows["o.age"] * 2 > rows["age"]) & (rows["age"] > 0),
            lambda r: (r["o.age"] or 0) * 2 > r["age"] > 0,
        ),
    ):

        def check(row: dict[str, Any], holds: Any = holds) -> bool:
            try:
                return bool(holds(row))
            except TypeError:  # None is not less than anything
                return False

        wanted = [row for row in every if check(row)]
        assert rows.select(where=where) == wanted
        assert rows.aggregate(where=where, n=Count()) == {"n": len(wanted)}
    plan = rows.explain((rows["age"] < 4) & (rows["p.age"] > 1))
    conditions = [node.detail for node in plan.walk() if node.step == "filter"]
    assert conditions == ["age < 4", "age > 1"]


def test_a_join_of_many_looks_up_the_first_and_hashes_then() -> None:
    """With a condition nobody knows how many left records come: at first they are looked up."""
    db = DictDB()
    many, few = db.create_table("many"), db.create_table("few")
    many.insert({"k": n % 97, "v": n} for n in range(1000))
    few.insert({"key": n, "w": n * 2} for n in range(500))
    few.create_index("key")
    joined = many.join(few, ("k", "key"))
    rows = joined.select()
    assert [(r["k"], r["w"]) for r in rows] == [(n % 97, n % 97 * 2) for n in range(1000)]
    assert joined.select(where=joined["v"] >= 3) == rows[3:]
    for limit in (0, 1, 5, 31, 32, 100, 999, 1000, 1001):
        assert joined.select(where=joined["v"] >= 3, limit=limit) == rows[3:][:limit]
        assert joined.select(limit=limit) == rows[:limit]
