# SPDX-License-Identifier: Apache-2.0
"""Random queries over random schema-less data give what their naive twin in Python gives, with no
index and with every kind of them; where SQL can say the same, sqlite3 agrees.

DICTDB_SEED chooses the queries, DICTDB_QUERIES says how many; DICTDB_LONG=2 asks for many more.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

import aggregate_twin
import dictdb
from aggregate_twin import Aggregation, random_aggregation
from change_twin import Refused, random_statement
from dictdb import Avg, Count, DictDB, Field, Max, Min, Order, Sum, Table, UnsupportedTypeError
from helpers import SANITIZER, run_python, sized
from join_twin import random_joining
from query_twin import (
    FAULTS,
    FIELDS,
    ONE_TYPE,
    PATHS,
    Query,
    alike,
    path_term,
    random_query,
    random_record,
)

# Each of the two builds is asked half of them.
QUERIES = int(os.environ.get("DICTDB_QUERIES") or sized(10_000, longest=250_000, sanitized=400))
PER_WORLD = 40
USUAL_SEED = 1003
# Most faults are found by some hundred queries, and so with any seed.
QUERIES_FOR_FAULT = 12_000


def plain(rows: Any) -> Any:
    """Names come in the order of the record's making: put them into that of their letters."""
    return [dict(sorted(row.items())) for row in rows] if isinstance(rows, list) else rows


@contextlib.contextmanager
def saying(query: object, table: Table) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        indexes = [index["fields"] for index in table.indexes()]
        raise AssertionError(f"{query}\nindexes {indexes}: {error}") from None


@contextlib.contextmanager
def refused(what: object) -> Iterator[None]:
    try:
        yield
    except UnsupportedTypeError:
        return
    raise AssertionError(f"not refused: {what}")


def compare_aggregates(query: Aggregation, records: list[Any], source: Any) -> None:
    try:
        expected = query.answer(records)
    except aggregate_twin.Refused:
        with refused(query):
            source.aggregate(**query.options())
    else:
        query.check(source.aggregate(**query.options()), expected)


class World:
    """The same records in a list and in tables with different indexes."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.db = DictDB()
        self.tables = [self.db.create_table(f"t{number}") for number in range(3)]
        self.one_type = self.rng.choice(ONE_TYPE)
        self.records: list[dict[str, Any]] = []
        self.number = 0
        self.matched = 0
        self.cursors: list[tuple[Query, list[Any], list[Any], Any]] = []
        self.insert(self.rng.choice((0, 3, 20, 30, 40, 200)))
        for table in self.tables[1:]:
            self.index(table)

    def index(self, table: Table) -> None:
        rng = self.rng
        for _ in range(rng.choice((1, 2, 3, 5))):
            names: list[Any] = [*FIELDS, "u", "never", *PATHS]
            names = rng.sample(names, rng.choice((1, 1, 1, 2, 3)))
            kind: Any = "sorted" if len(names) > 1 else rng.choice(("hash", "sorted"))
            fields: Any = [path_term(name)[0] if name in PATHS else name for name in names]
            fields = fields[0] if len(names) == 1 else fields
            try:
                table.create_index(fields, kind, unique="u" in names and rng.random() < 0.5)
            except dictdb.DuplicateIndexError:
                continue

    def insert(self, count: int) -> None:
        new = []
        for _ in range(count):
            self.number += 1
            new.append(random_record(self.rng, self.number, self.one_type))
        keys = [table.insert(new) for table in self.tables]
        assert keys[0] == keys[1] == keys[2]
        for key, record in zip(keys[0], new, strict=True):
            self.records.append({**record, "id": key})

    def change(self) -> None:
        """A statement that finds its records by a condition."""
        statement = random_statement(self.rng, self.records)
        try:
            after, expected = statement.apply(self.records)
        except Refused:
            for table in self.tables:
                with refused(statement):
                    statement.run(table)
        else:
            for table in self.tables:
                got = statement.run(table)
                assert alike(plain(got), plain(expected)), f"{statement}: {got}, not {expected}"
            self.records = after
        for table in self.tables:
            assert alike(plain(table.all()), plain(self.records)), f"{statement}"

    def open_cursor(self) -> None:
        """It sees the records of now, whatever becomes of them before it is read."""
        if len(self.cursors) >= 4:
            return
        query = random_query(self.rng, self.records)
        table = self.rng.choice(self.tables)
        found = [query.shown(record) for record in query.answer(self.records)]
        size = self.rng.choice((1, 2, 256))
        cursor = table.iter(columns=query.columns, batch_size=size, **query.options())
        begun = cursor.fetch(self.rng.choice((0, 1, 5)))
        self.cursors.append((query, found, begun, cursor))

    def read_cursor(self) -> None:
        if not self.cursors:
            return
        query, found, rows, cursor = self.cursors.pop(self.rng.randrange(len(self.cursors)))
        with cursor:
            rows += cursor
        assert alike(plain(rows), plain(found)), f"cursor of {query}: {rows} instead of {found}"

    def ask(self, query: Query, found: list[dict[str, Any]], table: Table) -> None:
        shown = [query.shown(record) for record in found]
        options = query.options()
        roll = self.rng.randrange(8)
        if roll == 0:
            size = self.rng.choice((1, 2, 256))
            rows = list(table.iter(columns=query.columns, batch_size=size, **options))
        elif roll == 1 and query.columns is not None:
            values = table.pluck(*query.columns.values(), **options)
            one = len(query.columns) == 1
            expected: list[Any] = [tuple(row.values()) for row in shown]
            shown = [{"value": value[0] if one else value} for value in expected]
            rows = [{"value": value} for value in values]
        elif roll == 2 and query.limit is None and not query.distinct:
            del options["limit"], options["distinct"]
            row = table.first(columns=query.columns, **options)
            rows, shown = ([] if row is None else [row]), shown[:1]
        else:
            rows = table.select(query.columns, **options)
        if query.columns is None:
            rows, shown = plain(rows), plain(shown)
        assert alike(rows, shown), f"{len(rows)} rows instead of {len(shown)}: {rows} {shown}"

    def query(self) -> None:
        roll = self.rng.random()
        if roll < 0.2:
            self.aggregate()
        elif roll < 0.3:
            self.join()
        else:
            self.select()

    def select(self) -> None:
        query = random_query(self.rng, self.records)
        found = query.answer(self.records)
        matching = sum(1 for record in self.records if query.holds(record))
        self.matched += matching
        for table in self.tables:
            with saying(query, table):
                self.ask(query, found, table)
                if self.rng.random() < 0.3:
                    assert table.count(query.where) == matching
                    assert table.exists(query.where) == (matching > 0)

    def aggregate(self) -> None:
        query = random_aggregation(self.rng, self.records)
        for table in self.tables:
            with saying(query, table):
                compare_aggregates(query, self.records, table)

    def join(self) -> None:
        joining = random_joining(self.rng, len(self.records))
        left, right = self.rng.choice(self.tables), self.rng.choice(self.tables)
        joined = joining.of(left, right)
        names = joining.names(left, right)
        assert joined.columns() == list(names)
        rows = joining.rows(self.records, self.records, names)
        with saying(joining, right):
            if self.rng.random() < 0.3:
                query = random_aggregation(self.rng, rows, list(names))
                compare_aggregates(query, rows, joined)
                return
            asked = random_query(self.rng, rows, list(names))
            found = [asked.shown(row) for row in asked.answer(rows)]
            got = joined.select(asked.columns, **asked.options())
            assert alike(got, found), f"{asked}: {len(got)} rows, not {len(found)}: {got} {found}"
            if self.rng.random() < 0.3:
                matching = sum(1 for row in rows if asked.holds(row))
                assert joined.count(asked.where) == matching


def run(seed: int, queries: int) -> int:
    """Returns how many records matched."""
    rng = random.Random(seed)
    matched = 0
    for _ in range(queries // PER_WORLD):
        world_seed = rng.randrange(2**40)
        try:
            world = World(world_seed)
            for number in range(PER_WORLD):
                if number % 8 == 3:
                    world.open_cursor()
                if number % 8 == 7:
                    world.change()
                    world.read_cursor()
                if number == PER_WORLD // 2:
                    world.insert(world.rng.randrange(4))
                world.query()
        except Exception as error:
            raise AssertionError(f"in the world of seed {world_seed}: {error!r:.3000}") from error
        matched += world.matched
    return matched


@pytest.mark.timeout(3600)
def test_queries_are_their_twins(seed: int) -> None:
    matched = run(seed, QUERIES)
    assert matched > QUERIES, "hardly anything matched: the test tests nothing"
    print(f"{QUERIES} queries, {matched} records matched")


@pytest.mark.testing_build
@pytest.mark.skipif(bool(SANITIZER), reason="the same as without")
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault: str) -> None:
    """In a process of its own: with an index whose entries are wrong, the library may crash."""
    code = f"import dictdb, test_query_properties as t\ndictdb._core._test_fault({fault!r})\n"
    code += f"t.run({USUAL_SEED}, {QUERIES_FOR_FAULT})"
    done = run_python(code, timeout=200, env={"PYTHONHASHSEED": "0"})
    assert done.returncode != 0, "not found"
    assert done.returncode < 0 or "in the world of seed" in done.stderr, done.stderr


# --- sqlite3 ---

COLUMNS = ("a", "b", "t")


def sql_rows(rng: random.Random, count: int) -> list[dict[str, Any]]:
    return [
        {
            "a": rng.choice((None, *range(-5, 6))),
            "b": rng.choice((None, -1.5, 0.0, 0.25, 2.0, 7.75)),
            "t": rng.choice((None, "", "a", "ab", "b", "é", "日本")),
        }
        for _ in range(count)
    ]


def sql_cond(rng: random.Random, depth: int) -> tuple[Any, str, list[Any]]:
    """A condition, the same in SQL, and its parameters. Null compares as None does in Python."""
    roll = rng.random()
    if depth > 0 and roll < 0.5:
        parts = [sql_cond(rng, depth - 1) for _ in range(2)]
        parameters = parts[0][2] + parts[1][2]
        if roll < 0.15:
            return ~parts[0][0], f"not ({parts[0][1]})", parts[0][2]
        if roll < 0.35:
            return parts[0][0] & parts[1][0], f"({parts[0][1]} and {parts[1][1]})", parameters
        return parts[0][0] | parts[1][0], f"({parts[0][1]} or {parts[1][1]})", parameters
    name = rng.choice(COLUMNS)
    value = sql_rows(rng, 1)[0][name]
    field, text = Field(name), name
    if name != "t" and rng.random() < 0.3:
        field, text = (Field("a") * 2 - Field("b")), "(a * 2 - b)"
    sign = rng.choice(("==", "!=", "<", "<=", ">", ">=", "in", "between", "null"))
    if sign == "null":
        return field.is_null(), f"{text} is null", []
    if sign == "in":
        values = [row[name] for row in sql_rows(rng, 3)]
        each = " or ".join(f"{text} is ?" for _ in values)
        return field.is_in(values), f"({each})", values
    if value is None:
        return field == None, f"{text} is ?", [None]  # noqa: E711
    if sign == "between":
        return field.between(value, value), f"coalesce({text} between ? and ?, 0)", [value, value]
    if sign in ("==", "!="):
        same = field == value if sign == "==" else field != value
        return same, f"{text} {'is' if sign == '==' else 'is not'} ?", [value]
    made = {"<": field < value, "<=": field <= value, ">": field > value, ">=": field >= value}
    return made[sign], f"coalesce({text} {sign} ?, 0)", [value]


def sql_order(rng: random.Random) -> tuple[list[Any], str]:
    items: list[Any] = []
    texts = []
    for name in rng.sample(COLUMNS, rng.randrange(3)):
        descending, nulls = rng.random() < 0.5, rng.choice((None, "first", "last"))
        items.append(Order(name, descending=descending, nulls=nulls))
        texts.append(f"{name}{' desc' * descending}{f' nulls {nulls}' if nulls else ''}")
    return items, ", ".join([*texts, "id"])


def test_sqlite_gives_the_same(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(sized(40, longest=1000, sanitized=3)):
        rows = sql_rows(rng, rng.choice((0, 5, 150)))
        connection = sqlite3.connect(":memory:")
        connection.execute("create table t (id integer primary key, a integer, b real, t text)")
        connection.executemany("insert into t (a, b, t) values (:a, :b, :t)", rows)
        table = Table("t")
        table.insert(rows)
        for name in rng.sample(COLUMNS, rng.randrange(3)):
            table.create_index(name, rng.choice(("hash", "sorted")))
        for _ in range(50):
            where, text, parameters = sql_cond(rng, 2)
            order_by, order_text = sql_order(rng)
            limit, offset = rng.choice((-1, 0, 3, 20)), rng.choice((0, 0, 2))
            sql = f"select id, a * 2 + 1, t from t where {text} order by {order_text}"
            sql += " limit ? offset ?"
            found = table.pluck(
                "id",
                Field("a") * 2 + 1,
                "t",
                where=where,
                order_by=[*order_by, "id"],
                limit=None if limit < 0 else limit,
                offset=offset,
            )
            theirs = connection.execute(sql, [*parameters, limit, offset]).fetchall()
            assert found == theirs, (sql, parameters)
            sql = "select count(*), sum(a), min(t), max(b), avg(b), t from t"
            sql += f" where {text} group by t order by t"
            groups = table.aggregate(
                where=where,
                group_by="t",
                order_by="t",
                n=Count(),
                s=Sum("a"),
                low=Min("t"),
                high=Max("b"),
                mean=Avg("b"),
            )
            ours = [(g["n"], g["s"], g["low"], g["high"], g["mean"], g["t"]) for g in groups]
            assert ours == connection.execute(sql, parameters).fetchall(), (sql, parameters)
        connection.close()
