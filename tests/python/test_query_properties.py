# SPDX-License-Identifier: Apache-2.0
"""Random queries over random schema-less data give what their naive twin in Python gives, with no
index and with every kind of them; where SQL can say the same, sqlite3 agrees.

DICTDB_QUERIES sets how many queries are asked; DICTDB_LONG=2 asks for many more.
"""

from __future__ import annotations

import os
import random
import sqlite3
from typing import Any

import pytest

import dictdb
from dictdb import Avg, Count, DictDB, Field, Max, Min, Order, Sum, Table
from helpers import SANITIZER, sized
from query_twin import (
    FIELDS,
    ONE_TYPE,
    PATHS,
    Query,
    alike,
    path_term,
    random_cond,
    random_query,
    random_record,
    random_value,
)

# Each of the two builds is asked half of them.
QUERIES = int(os.environ.get("DICTDB_QUERIES") or sized(10_000, longest=250_000, sanitized=400))
PER_WORLD = 40


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
        where, holds = random_cond(self.rng, self.records, 2)
        found = [record for record in self.records if holds(record)]
        if self.rng.random() < 0.3 and len(found) * 3 < len(self.records):
            counts = [table.delete(where) for table in self.tables]
            self.records = [record for record in self.records if not holds(record)]
        else:
            fields = [name for name in FIELDS if name != "one"]
            changes = {self.rng.choice(fields): random_value(self.rng)}
            counts = [table.update(changes, where) for table in self.tables]
            for record in found:
                record.update(changes)
        assert counts == [len(found)] * 3, f"{where}: {counts} instead of {len(found)}"

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
        if query.columns is None:  # Names come in the order of the record's making
            rows = [dict(sorted(row.items())) for row in rows]
            shown = [dict(sorted(row.items())) for row in shown]
        assert alike(rows, shown), f"{len(rows)} rows instead of {len(shown)}: {rows} {shown}"

    def query(self) -> None:
        query = random_query(self.rng, self.records)
        found = query.answer(self.records)
        matching = sum(1 for record in self.records if query.holds(record))
        self.matched += matching
        for table in self.tables:
            try:
                self.ask(query, found, table)
                if self.rng.random() < 0.3:
                    assert table.count(query.where) == matching
                    assert table.exists(query.where) == (matching > 0)
            except AssertionError as error:
                indexes = [index["fields"] for index in table.indexes()]
                raise AssertionError(f"{query}\nindexes {indexes}: {error}") from None


def run(seed: int, queries: int) -> int:
    """Returns how many records matched."""
    rng = random.Random(seed)
    matched = 0
    for _ in range(queries // PER_WORLD):
        world_seed = rng.randrange(2**40)
        try:
            world = World(world_seed)
            for number in range(PER_WORLD):
                if number % 8 == 7:
                    world.change()
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
@pytest.mark.parametrize(
    "fault",
    [
        "INDEX_STALE_UPDATE",
        "TREE_SPLIT_LOSES",
        "RANGE_EXCLUDES_END",
        "PLAN_NOT_IS_OR",
        "PLAN_OR_FORGETS",
        "PLAN_PATH_BLIND",
    ],
)
def test_planted_faults_are_found(fault: str, seed: int) -> None:
    dictdb._core._test_fault(fault)
    try:
        with pytest.raises(AssertionError, match="in the world of seed"):
            run(seed, 4000)
    finally:
        dictdb._core._test_fault(None)


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
