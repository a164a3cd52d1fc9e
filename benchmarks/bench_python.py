# SPDX-License-Identifier: Apache-2.0
"""One part of the Python measurements, in a process of its own; prints JSON for run.py.

sqlite: the same work through sqlite3 on ":memory:", each statement its own transaction (autocommit)
but for the bulk insert, which is one. sqlite3 keeps the prepared statement of each SQL text, so no
text is parsed twice; `execute` is the connection's, as in the manual's examples. A get gives a dict
in both; the time of a bare sqlite3 tuple is reported too. Neither engine waits for anything here,
so their times are processor time.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import sqlite3
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from dictdb import DictDB, Table

FIELDS = ("id", "name", "age", "score", "city")
GET_COUNT = 30_000  # per round
WRITE_COUNT = 15_000
SAMPLE_COUNT = 2_000  # answers compared, outside the timing
BULK_ROUNDS_MAX = 5
SCAN_COUNT = 4  # of records; scans of columns, which are much shorter, are COLUMN_SCAN_COUNT
COLUMN_SCAN_COUNT = 200
# One thread and two take turns this often in each round: a shared machine's speed changes within
# seconds, by as much as half, and a ratio of moments far apart would tell of nothing else.
TURNS = 5
BACKUP_ROWS = 300_000
BACKUP_INSERTS = 300_000
X = "\N{MULTIPLICATION SIGN}"
MICRO = "\N{MICRO SIGN}s"

Record = dict[str, Any]
Row = tuple[int, str, int, float, str]
Result = dict[str, Any]


def make_rows(first: int, count: int) -> list[Row]:
    random = Random(first)
    return [
        (i, f"user-{i}", random.randrange(100), random.random() * 1000, f"city-{i % 50}")
        for i in range(first, first + count)
    ]


def as_record(row: Iterable[Any]) -> Record:
    return dict(zip(FIELDS, row, strict=True))


def result(name: str, value: float, unit: str = "", detail: str = "") -> Result:
    return {"name": name, "value": value, "unit": unit, "detail": detail}


def seconds(work: Callable[[], object]) -> float:
    """Returns the processor time of work that waits for nothing."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def expect_equal(what: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        raise SystemExit(
            f"bench_python: error: {what}: answers differ: {ours!r:.200} {theirs!r:.200}"
        )


# --- Against sqlite3 ---


def open_sqlite() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(
        "create table users (id integer primary key, name text, age integer, score real, city text)"
    )
    return connection


class Rounds:
    """Times of the two engines, taken in turns."""

    def __init__(self, name: str, per_round: int, what: str) -> None:
        self.name = name
        self.per_round = per_round
        self.what = what
        self.ours: list[float] = []
        self.theirs: list[float] = []

    def take(self, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
        """Times both, in an order that changes from round to round."""
        if len(self.ours) % 2:
            self.theirs.append(seconds(theirs))
            self.ours.append(seconds(ours))
        else:
            self.ours.append(seconds(ours))
            self.theirs.append(seconds(theirs))

    def result(self) -> Result:
        ratio = median(a / b for a, b in zip(self.ours, self.theirs, strict=True))
        ours = median(self.ours) / self.per_round * 1e6
        theirs = median(self.theirs) / self.per_round * 1e6
        detail = f"{ours:.3g} {MICRO} per {self.what}, sqlite3 {theirs:.3g} {MICRO}"
        return result(self.name, ratio, X, detail)


def bulk_insert(rows: list[Row], rounds: int) -> tuple[Table, sqlite3.Connection, Result]:
    """Fills both, some times over, and returns the last of each."""
    records = [as_record(row) for row in rows]
    gc.freeze()
    times = Rounds("bulk insert", len(rows), "row, one statement or transaction")
    for _ in range(min(rounds, BULK_ROUNDS_MAX)):
        table = DictDB().create_table("users")
        connection = open_sqlite()

        def theirs(connection: sqlite3.Connection = connection) -> None:
            connection.execute("begin")
            connection.executemany("insert into users values (?, ?, ?, ?, ?)", rows)
            connection.execute("commit")

        def ours(table: Table = table) -> None:
            table.insert(records)

        times.take(ours, theirs)
        expect_equal("bulk insert", len(table), len(rows))
    gc.unfreeze()
    return table, connection, times.result()


def get_by_key(
    table: Table, connection: sqlite3.Connection, count: int, rounds: int
) -> list[Result]:
    sql = f"select {', '.join(FIELDS)} from users where id = ?"
    as_dicts = Rounds("get by key", GET_COUNT, "dict")
    as_tuples = Rounds("get by key, sqlite3 giving a bare tuple", GET_COUNT, "get")
    random = Random(1)

    def theirs(key: int) -> Record:
        return dict(zip(FIELDS, connection.execute(sql, (key,)).fetchone(), strict=True))

    def get_ours(keys: list[int]) -> None:
        get = table.get
        for key in keys:
            get(key)

    def get_dicts(keys: list[int]) -> None:
        execute = connection.execute
        for key in keys:
            dict(zip(FIELDS, execute(sql, (key,)).fetchone()))  # noqa: B905

    def get_tuples(keys: list[int]) -> None:
        execute = connection.execute
        for key in keys:
            execute(sql, (key,)).fetchone()

    for _ in range(rounds):
        keys = [random.randint(1, count) for _ in range(GET_COUNT)]
        for times, other in ((as_dicts, get_dicts), (as_tuples, get_tuples)):
            times.take(partial(get_ours, keys), partial(other, keys))
        for key in keys[:SAMPLE_COUNT]:
            expect_equal("get by key", table.get(key), theirs(key))
    return [as_dicts.result(), as_tuples.result()]


def insert(table: Table, connection: sqlite3.Connection, next_id: int, rounds: int) -> Result:
    times = Rounds("insert", WRITE_COUNT, "record")
    sql = "insert into users values (?, ?, ?, ?, ?)"

    def ours(records: list[Record]) -> None:
        insert_one = table.insert
        for record in records:
            insert_one(record)

    def theirs(rows: list[Row]) -> None:
        execute = connection.execute
        for row in rows:
            execute(sql, row)

    for _ in range(rounds):
        rows = make_rows(next_id, WRITE_COUNT)
        records = [as_record(row) for row in rows]
        next_id += WRITE_COUNT
        times.take(partial(ours, records), partial(theirs, rows))
    [(total,)] = connection.execute("select count(*) from users")
    expect_equal("insert", len(table), total)
    return times.result()


def update(table: Table, connection: sqlite3.Connection, count: int, rounds: int) -> Result:
    times = Rounds("update by key", WRITE_COUNT, "record")
    random = Random(2)

    def ours(pairs: list[tuple[int, int]]) -> None:
        for age, key in pairs:
            table.update({"age": age}, where=table.id == key)

    def theirs(pairs: list[tuple[int, int]]) -> None:
        execute = connection.execute
        for pair in pairs:
            execute("update users set age = ? where id = ?", pair)

    for _ in range(rounds):
        pairs = [(random.randrange(100), random.randint(1, count)) for _ in range(WRITE_COUNT)]
        times.take(partial(ours, pairs), partial(theirs, pairs))
    return times.result()


def count_filter(table: Table, connection: sqlite3.Connection, rounds: int) -> Result:
    times = Rounds("count of a filter", len(table), "row")
    sql = "select count(*) from users where age >= ? and age < ?"
    answers: list[int] = []
    for i in range(rounds):
        low = i * 7 % 80

        def ours(low: int = low) -> None:
            condition = (table.age >= low) & (table.age < low + 10)
            answers.append(table.count(where=condition, threads=1))

        def theirs(low: int = low) -> None:
            answers.append(connection.execute(sql, (low, low + 10)).fetchone()[0])

        times.take(ours, theirs)
        expect_equal("count of a filter", answers[-1], answers[-2])
    return times.result()


def against_sqlite(count: int, rounds: int) -> list[Result]:
    table, connection, bulk = bulk_insert(make_rows(1, count), rounds)
    results = get_by_key(table, connection, count, rounds)
    results.append(insert(table, connection, count + 1, rounds))
    results.append(update(table, connection, count, rounds))
    results += [bulk, count_filter(table, connection, rounds)]
    everything = connection.execute("select * from users order by id")
    for ours, theirs in zip(table, everything, strict=True):
        expect_equal("the whole table", ours, as_record(theirs))
    return results


# --- Threads ---


def in_threads(count: int, work: Callable[[int], object]) -> tuple[float, float]:
    """Runs work(0) ... work(count - 1) at once; seconds until the last ended, and of processor."""
    ready = threading.Barrier(count + 1)
    processor = [0.0] * count

    def body(number: int) -> None:
        ready.wait()
        began = time.thread_time()
        work(number)
        processor[number] = time.thread_time() - began

    threads = [threading.Thread(target=body, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began, max(processor)


def speedup(name: str, rounds: int, work: Callable[[int], object], per: float) -> Result:
    """How much two threads do in the time of one; what `per` of the work costs is the detail."""
    one, two = [], []
    for _ in range(rounds * TURNS):
        one.append(in_threads(1, work))
        two.append(in_threads(2, work))
    pairs = list(zip(one, two, strict=True))
    ratio = median(2 * a[0] / b[0] for a, b in pairs)
    processor = median(2 * a[1] / b[1] for a, b in pairs)
    alone_ns = median(a[0] for a in one) / per * 1e9
    return result(name, ratio, X, f"{processor:.3g} by processor time; {alone_ns:,.3g} ns alone")


def two_threads(count: int, rounds: int) -> list[Result]:
    table = DictDB().create_table("users")
    table.insert(as_record(row) for row in make_rows(1, count))
    gil = "with" if getattr(sys, "_is_gil_enabled", lambda: True)() else "without"
    keys = [[Random(i).randint(1, count) for _ in range(GET_COUNT)] for i in range(2)]
    answers = set()

    def scan(times: int, number: int) -> None:
        for _ in range(times):
            answers.add(table.count(where=(table.age >= 30) & (table.age < 40), threads=1))

    def scans(what: str, times: int) -> Result:
        name = f"{what}, 2 threads to 1, {gil} GIL"
        scan(3, 0)  # Columns are there before the first round
        return speedup(name, rounds, partial(scan, times), times * count)

    def gets(number: int) -> None:
        get = table.get
        for key in keys[number]:
            get(key)

    results = [scans("scans", COLUMN_SCAN_COUNT)]
    table.column_budget = 0
    results.append(scans("scans of records, no columns kept", SCAN_COUNT))
    if len(answers) != 1:
        raise SystemExit(f"bench_python: error: scans counted {sorted(answers)}")
    return [*results, speedup(f"gets, 2 threads to 1, {gil} GIL", rounds, gets, len(keys[0]))]


# --- Beside a backup ---


def timed_inserts(table: Table, count: int, enough: Callable[[], bool]) -> array[int]:
    """Inserts `count` records, one statement each; returns the ns of each, sorted.

    More of them, up to ten times as many, until it is enough.
    """
    times = array("q")
    insert_one, clock = table.insert, time.perf_counter_ns
    while len(times) < count or (not enough() and len(times) < 10 * count):
        for i in range(min(count, 10_000)):
            record = {"name": f"new-{i}", "age": i % 100, "score": i / 7, "city": f"city-{i % 50}"}
            began = clock()
            insert_one(record)
            times.append(clock() - began)
    return array("q", sorted(times))


def beside(work: Callable[[], object], table: Table, count: int) -> tuple[array[int], int]:
    """Times inserts while another thread repeats `work`; returns how often, at least once."""
    stop, started = threading.Event(), threading.Event()
    done = 0

    def body() -> None:
        nonlocal done
        while not stop.is_set():
            started.set()
            work()
            done += 1

    thread = threading.Thread(target=body)
    thread.start()
    started.wait()
    try:
        return timed_inserts(table, count, lambda: done > 0), done
    finally:
        stop.set()
        thread.join()


def beside_backup(rounds: int) -> list[Result]:
    """The baseline's other thread hashes, without the GIL: what two busy threads cost anyway."""
    buffer = bytes(1 << 24)
    tails: list[tuple[float, float, float, float]] = []
    backups = 0
    with tempfile.TemporaryDirectory(prefix="dictdb-bench-") as folder:
        path = Path(folder) / "backup.json"
        for _ in range(max(1, min(rounds, 3))):
            db = DictDB()
            table = db.create_table("users")
            table.insert(as_record(row) for row in make_rows(1, BACKUP_ROWS))
            base, _ = beside(lambda: hashlib.sha256(buffer).digest(), table, BACKUP_INSERTS)
            table.delete(where=table.id > BACKUP_ROWS)
            times, count = beside(partial(db.save, path), table, BACKUP_INSERTS)
            backups += count
            tails.append((tail(times), times[-1] / 1e6, tail(base), base[-1] / 1e6))
    p9999, longest, base_p9999, base_longest = (
        median(column) for column in zip(*tails, strict=True)
    )
    above = median(one[1] - one[3] for one in tails)
    return [
        result(
            "inserts beside a backup, p99.99 ms",
            p9999,
            " ms",
            f"baseline {base_p9999:.3g} ms; {backups} backups ended meanwhile",
        ),
        result(
            "inserts beside a backup, longest above baseline ms",
            above,
            " ms",
            f"longest {longest:.3g} ms, baseline {base_longest:.3g} ms",
        ),
    ]


def tail(sorted_times: array[int]) -> float:
    """The 99.99th percentile, in ms."""
    return sorted_times[len(sorted_times) * 9999 // 10000] / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("sqlite", "threads", "backup"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if options.part == "sqlite":
        results = against_sqlite(options.rows, options.rounds)
    elif options.part == "threads":
        results = two_threads(options.rows, options.rounds)
    else:
        results = beside_backup(options.rounds)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
