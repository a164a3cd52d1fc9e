# SPDX-License-Identifier: Apache-2.0
"""The queries' part of the Python measurements, in a process of its own; prints JSON for run.py.

Against sqlite3 on ":memory:" everything is processor time of one thread, results as dicts on both
sides, with the same indexes. Against DuckDB, which uses all processors by itself, it is time that
passes, and DictDB may use as many threads as it likes.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from bench_python import FIELDS, MICRO, Result, X, expect_equal, result, seconds

from dictdb import Avg, Count, DictDB, Sum, Table

GROUPS = 5
ROWS_A_NAME = 10
EQUALITY_COUNT = 2_000  # per round
TOP_COUNT = 500
SORTED_ROWS = 100_000
WARM_UP = 3  # so that columns are kept, statements prepared

Row = tuple[int, str, int, float, str]
Work = Callable[[], Any]


def make_rows(count: int) -> list[Row]:
    random = Random(1)
    return [
        (
            i,
            f"user-{i // ROWS_A_NAME}",
            random.randrange(100),
            random.random() * 1000,
            f"city-{random.randrange(GROUPS)}",
        )
        for i in range(1, count + 1)
    ]


def passed(work: Work) -> float:
    """Returns the time that passed."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Comparison:
    """sqlite3, and how two engines are compared."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.sqlite = sqlite3.connect(":memory:", isolation_level=None)

    def dicts(self, sql: str, values: Sequence[Any] = (), names: Sequence[str] = FIELDS) -> Any:
        return [dict(zip(names, row)) for row in self.sqlite.execute(sql, values)]  # noqa: B905

    def compare(
        self, name: str, ours: Work, theirs: Work, per: int = 1, clock: Any = seconds
    ) -> Result:
        """The median of the rounds' ratios, after a warm-up whose answers are compared."""
        for _ in range(WARM_UP):
            expect_equal(name, ours(), theirs())
        times: list[tuple[float, float]] = []
        for i in range(self.rounds):
            first = clock(ours) if i % 2 == 0 else 0.0
            other = clock(theirs)
            times.append((clock(ours) if i % 2 else first, other))
        ratio = median(a / b for a, b in times)
        mine, other = (median(column) / per * 1e6 for column in zip(*times, strict=True))
        against = "sqlite3" if clock is seconds else "DuckDB"
        return result(name, ratio, X, f"{mine:.3g} {MICRO}, {against} {other:.3g} {MICRO}")


class Engines(Comparison):
    """The same rows in all engines."""

    def __init__(self, count: int, rounds: int) -> None:
        super().__init__(rounds)
        rows = make_rows(count)
        self.table: Table = DictDB().create_table("users")
        self.table.insert(dict(zip(FIELDS, row, strict=True)) for row in rows)
        self.sqlite.execute(
            "create table users"
            " (id integer primary key, name text, age integer, score real, city text)"
        )
        self.sqlite.execute("begin")
        self.sqlite.executemany("insert into users values (?, ?, ?, ?, ?)", rows)
        self.sqlite.execute("commit")
        self.duckdb = open_duckdb(rows)
        gc.freeze()


def open_duckdb(rows: list[Row]) -> Any:
    """A connection with the rows, read from a file, which is how it takes many."""
    import duckdb  # Only this part of the benchmarks needs it

    connection = duckdb.connect()
    connection.execute(
        "create table users (id bigint primary key, name text, age bigint, score double, city text)"
    )
    with tempfile.TemporaryDirectory(prefix="dictdb-bench-") as folder:
        path = Path(folder) / "users.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        connection.execute(f"copy users from '{path}'")
    return connection


def filter_and_count(engines: Engines) -> list[Result]:
    table = engines.table
    sql = "select count(*) from users where age between 30 and 39"
    return [
        engines.compare(
            "filter and count",
            lambda: table.count(where=table.age.between(30, 39), threads=1),
            lambda: engines.sqlite.execute(sql).fetchone()[0],
        ),
        engines.compare(
            "filter and count, to DuckDB",
            lambda: table.count(where=table.age.between(30, 39)),
            lambda: engines.duckdb.execute(sql).fetchone()[0],
            clock=passed,
        ),
    ]


def group_by(engines: Engines) -> list[Result]:
    table = engines.table
    sql = "select city, count(*), sum(age), avg(score) from users group by city order by city"

    def ours() -> list[tuple[Any, ...]]:
        rows = table.aggregate(
            group_by="city", order_by="city", n=Count(), s=Sum(table.age), a=Avg(table.score)
        )
        return [(row["city"], row["n"], row["s"], round(row["a"], 6)) for row in rows]

    def rounded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [(city, n, int(s), round(a, 6)) for city, n, s, a in rows]

    return [
        engines.compare(
            "group by of 5 groups",
            ours,
            lambda: rounded(engines.sqlite.execute(sql).fetchall()),
        ),
        engines.compare(
            "group by of 5 groups, to DuckDB",
            ours,
            lambda: rounded(engines.duckdb.execute(sql).fetchall()),
            clock=passed,
        ),
    ]


def through_indexes(engines: Engines) -> list[Result]:
    table, random = engines.table, Random(2)
    table.create_index("name")
    table.create_index("score", "sorted")
    engines.sqlite.execute("create index by_name on users (name)")
    engines.sqlite.execute("create index by_score on users (score)")
    last = len(table) // ROWS_A_NAME - 1
    names = [f"user-{random.randint(1, last)}" for _ in range(EQUALITY_COUNT)]
    equal = "select * from users where name = ? order by id"
    top = "select * from users order by score desc limit 10"
    between = "select * from users where score between 500 and 510 order by id"
    return [
        engines.compare(
            "equality through an index, 10 rows",
            lambda: [table.select(where=table.name == name) for name in names],
            lambda: [engines.dicts(equal, (name,)) for name in names],
            EQUALITY_COUNT,
        ),
        engines.compare(
            "top 10 through a sorted index",
            lambda: [table.select(order_by="-score", limit=10) for _ in range(TOP_COUNT)],
            lambda: [engines.dicts(top) for _ in range(TOP_COUNT)],
            TOP_COUNT,
        ),
        engines.compare(
            "range of 1 % as dicts",
            lambda: table.select(where=table.score.between(500, 510)),
            lambda: engines.dicts(between),
        ),
    ]


def order(engines: Engines) -> Result:
    table = engines.table
    count = min(SORTED_ROWS, len(table))
    return engines.compare(
        "order_by of 100,000 rows",
        lambda: table.select(where=table.id <= count, order_by=["age", "name", "id"]),
        lambda: engines.dicts(f"select * from users where id <= {count} order by age, name, id"),
    )


def after_changes(engines: Engines) -> list[Result]:
    """Scans before and after 1 % of the rows have changed, and what the changes cost."""
    table, random = engines.table, Random(3)
    changed = max(1, len(table) // 100)

    def scans() -> float:
        return median(
            seconds(lambda: table.count(where=table.age < 50, threads=1)) for _ in range(9)
        )

    def update(pairs: list[tuple[int, int]]) -> None:
        for age, key in pairs:
            table.update({"age": age}, where=table.id == key)

    def update_theirs(pairs: list[tuple[int, int]]) -> None:
        for pair in pairs:
            engines.sqlite.execute("update users set age = ? where id = ?", pair)

    slower, costs = [], []
    for _ in range(engines.rounds):
        before = scans()
        keys = random.sample(range(1, len(table) + 1), changed)
        pairs = [(random.randrange(100), key) for key in keys]
        ours = seconds(lambda pairs=pairs: update(pairs))
        costs.append((ours, seconds(lambda pairs=pairs: update_theirs(pairs))))
        first = seconds(lambda: table.count(where=table.age < 50, threads=1))
        slower.append((scans() / before, first * 1e6))
    sql = "select count(*) from users where age < 50"
    expect_equal(
        "after changes", table.count(where=table.age < 50), *engines.sqlite.execute(sql).fetchone()
    )
    ours, theirs = (median(column) / changed * 1e6 for column in zip(*costs, strict=True))
    first_us = median(first for _, first in slower)
    return [
        result(
            "scan after 1 % of the rows changed, to before",
            median(ratio for ratio, _ in slower),
            X,
            f"the first one, which brings columns up to date: {first_us:.3g} {MICRO}",
        ),
        result(
            "update with columns kept",
            median(a / b for a, b in costs),
            X,
            f"{ours:.3g} {MICRO} per record, sqlite3 {theirs:.3g} {MICRO}",
        ),
    ]


def read_flights(count: int) -> dict[str, list[dict[str, Any]]]:
    """The planes, and as many flights."""
    sys.path.append(str(Path(__file__).resolve().parent.parent / "examples"))
    from flights_questions import records  # Only this part needs the data set

    return {
        "planes": list(records("planes")),
        "flights": [
            {"id": number, **record}
            for number, record in zip(range(1, count + 1), records("flights"), strict=False)
        ],
    }


def join(count: int, rounds: int) -> list[Result]:
    """Each flight with its plane, whose primary key is its tail number, in both engines."""
    engines = Comparison(rounds)
    db = DictDB()
    for name, rows in read_flights(count).items():
        key = "id" if name == "flights" else "tailnum"
        db.create_table(name, primary_key=key).insert(rows)
        kind = "integer" if key == "id" else "text"
        fields = [f"{field} {kind} primary key" if field == key else field for field in rows[0]]
        engines.sqlite.execute(f"create table {name} ({', '.join(fields)})")
        engines.sqlite.execute("begin")
        engines.sqlite.executemany(
            f"insert into {name} values ({', '.join('?' * len(fields))})",
            (tuple(row.values()) for row in rows),
        )
        engines.sqlite.execute("commit")
    gc.freeze()
    joined = db["flights"].join(db["planes"], on="tailnum")
    names = ["flight", "dest", "manufacturer", "seats"]
    by_maker = "select manufacturer, count(*), sum(seats), avg(distance) from flights join planes"
    by_maker += " using (tailnum) group by manufacturer order by manufacturer"
    as_rows = f"select {', '.join(names)} from flights join planes using (tailnum)"
    as_rows += " where month = 1 order by flights.id"

    def grouped() -> list[tuple[Any, ...]]:
        rows = joined.aggregate(
            group_by="manufacturer",
            order_by="manufacturer",
            n=Count(),
            s=Sum("seats"),
            d=Avg("distance"),
        )
        return [(r["manufacturer"], r["n"], r["s"], round(r["d"], 6)) for r in rows]

    return [
        engines.compare(
            "join of flights with planes",
            grouped,
            lambda: [(*r[:3], round(r[3], 6)) for r in engines.sqlite.execute(by_maker)],
        ),
        engines.compare(
            "join of a month's flights with planes, as dicts",
            lambda: joined.select(names, where=joined["month"] == 1),
            lambda: engines.dicts(as_rows, (), names),
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("queries",))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    engines = Engines(options.rows, options.rounds)
    results = filter_and_count(engines) + group_by(engines)
    results += after_changes(engines)
    results.append(order(engines))
    results += through_indexes(engines)
    results += join(options.rows, options.rounds)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
