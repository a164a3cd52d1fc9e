# SPDX-License-Identifier: Apache-2.0
"""What durability costs, in a process of its own; prints JSON for run.py.

commits: threads that insert one record each, every insert a commit, into a database opened in a
directory and into SQLite's write-ahead log with synchronous=FULL, on the same disk, in turns.
SQLite takes one writer at a time; it is measured with one thread and with as many as ours has, and
the better figure counts. These wait for the disk, so their times are the clock's.

load: a native file, the same database as JSON, and sqlite3's executemany of the same rows from
memory into ":memory:". Nothing waits here, so the times are processor time.

inserts: each insert timed beside a thread that saves, checkpoints or backs up a large database, and
beside one that only computes.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

from bench_python import (
    FIELDS,
    Result,
    Row,
    X,
    as_record,
    beside,
    expect_equal,
    make_rows,
    open_sqlite,
    result,
    tail,
)

from dictdb import BackupManager, DictDB, Table

ROOT = Path(__file__).resolve().parent.parent
THREADS = 8
COMMITS = 250  # per thread and round, where each waits for the disk
INSERTS = 200_000  # beside other work, of each round
COLUMNS = "id integer primary key, name text, age integer, score real, city text"
INSERT = "insert into users (name, age, score, city) values (?, ?, ?, ?)"


# --- Commits ---


def in_threads(count: int, body: Callable[[int], None]) -> float:
    """Returns the time from when all threads are ready to when the last one is done."""
    ready = threading.Barrier(count + 1)

    def run(number: int) -> None:
        ready.wait()
        body(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


@contextmanager
def new_folder(parent: Path) -> Iterator[Path]:
    """Makes a folder on the disk that is measured."""
    folder = Path(tempfile.mkdtemp(prefix="bench-storage-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def our_commits(
    parent: Path, durability: Literal["commit", "interval", "none"], each: int
) -> float:
    """Returns commits a second."""
    with new_folder(parent) as folder, DictDB.open(folder / "db", durability) as db:
        table = db.create_table("users")

        def body(number: int) -> None:
            for i in range(each):
                table.insert({"name": f"u{number}-{i}", "age": i, "score": i / 7, "city": "c"})

        elapsed = in_threads(THREADS, body)
        expect_equal("commits", table.count(), THREADS * each)
    return THREADS * each / elapsed


def sqlite_commits(parent: Path, threads: int, each: int) -> float:
    """Returns commits a second."""
    with new_folder(parent) as folder:
        path = folder / "sqlite.db"

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(path, isolation_level=None, timeout=600)
            connection.execute("pragma journal_mode=wal")
            connection.execute("pragma synchronous=full")
            return connection

        first = connect()
        first.execute(f"create table users ({COLUMNS})")

        def body(number: int) -> None:
            connection = connect()
            for i in range(each):
                connection.execute(INSERT, (f"u{number}-{i}", i, i / 7, "c"))
            connection.close()

        elapsed = in_threads(threads, body)
        (count,) = first.execute("select count(*) from users").fetchone()
        expect_equal("commits of SQLite", count, threads * each)
        first.close()
    return threads * each / elapsed


def commits(parent: Path, each: int, rounds: int) -> list[Result]:
    """Compares the levels of durability with SQLite's highest."""
    taken: dict[str, list[float]] = {"one": [], "many": [], "commit": [], "interval": []}
    for _ in range(rounds):
        taken["one"].append(sqlite_commits(parent, 1, 2 * each))
        taken["commit"].append(our_commits(parent, "commit", 4 * each))
        taken["many"].append(sqlite_commits(parent, THREADS, each))
        taken["interval"].append(our_commits(parent, "interval", 20 * each))
    best = [max(pair) for pair in zip(taken["one"], taken["many"], strict=True)]
    theirs = (
        f"SQLite {median(taken['one']):,.0f} with 1 thread, "
        f"{median(taken['many']):,.0f} with {THREADS}"
    )

    def ratio(name: str, level: str) -> Result:
        value = median(a / b for a, b in zip(taken[level], best, strict=True))
        return result(name, value, X, f"{median(taken[level]):,.0f} commits/s, {theirs}")

    return [
        ratio(f"commits of {THREADS} threads, each on the disk", "commit"),
        ratio(f"commits of {THREADS} threads, synced at intervals", "interval"),
    ]


# --- Loading ---


def processor_seconds(work: Callable[[], object]) -> float:
    """Returns the processor time of all threads; what the work made is gone afterwards."""
    gc.collect()
    began = time.process_time()
    made = work()
    elapsed = time.process_time() - began
    del made
    return elapsed


def bulk_sqlite(rows: list[Row]) -> sqlite3.Connection:
    connection = open_sqlite()
    connection.execute("begin")
    connection.executemany("insert into users values (?, ?, ?, ?, ?)", rows)
    connection.execute("commit")
    return connection


def save_both(rows: list[Row], native: Path, text: Path) -> float:
    """Returns the processor time of the native file."""
    db = DictDB()
    db.create_table("users").insert(as_record(row) for row in rows)
    db.save(text)
    return processor_seconds(partial(db.save, native))


def loading(parent: Path, count: int, rounds: int) -> list[Result]:
    """Compares loading a native file with other ways to get the same rows."""
    rows = make_rows(1, count)
    with new_folder(parent) as folder:
        native, text = folder / "users.dictdb", folder / "users.json"
        saving = save_both(rows, native, text)
        loaded = DictDB.load(native)
        expect_equal("rows", loaded["users"].count(), count)
        last = tuple(loaded["users"].get(count)[field] for field in FIELDS)  # type: ignore[index]
        expect_equal("the last row", last, rows[-1])
        del loaded
        times: list[tuple[float, float, float]] = []
        for _ in range(rounds):
            ours = processor_seconds(lambda: DictDB.load(native))
            sqlite = processor_seconds(lambda: bulk_sqlite(rows))
            as_json = processor_seconds(lambda: DictDB.load(text))
            times.append((ours, sqlite, as_json))
    ours, sqlite, as_json = (median(column) for column in zip(*times, strict=True))
    speed = f"{count / ours / 1e6:.2f} million records/s"
    return [
        result("loading a native file", count / ours / 1e6, " M/s", f"{ours:.3g} s for all"),
        result(
            "loading, to executemany of sqlite3",
            median(one[0] / one[1] for one in times),
            X,
            f"{speed}, sqlite3 {sqlite:.3g} s",
        ),
        result(
            "loading, to loading JSON",
            median(one[0] / one[2] for one in times),
            X,
            f"{speed}, JSON {as_json:.3g} s",
        ),
        result("saving a native file", count / saving / 1e6, " M/s", f"{saving:.3g} s for all"),
    ]


# --- Inserts beside other work ---


def inserts_beside(parent: Path, count: int, inserts: int, rounds: int) -> list[Result]:
    """The baseline's other thread hashes, without the GIL: what two busy threads cost anyway."""
    buffer = bytes(1 << 24)
    names = ("a save", "a checkpoint", "a backup")
    tails: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in names}
    ended = dict.fromkeys(names, 0)
    for _ in range(rounds):
        with new_folder(parent) as folder, DictDB.open(folder / "db", "none") as db:
            table: Table = db.create_table("users")
            table.insert(as_record(row) for row in make_rows(1, count))
            manager = BackupManager(db, folder / "backups", 3600)
            works: dict[str, Callable[[], object]] = {
                "a save": partial(db.save, folder / "saved.dictdb"),
                "a checkpoint": db.checkpoint,
                "a backup": manager.backup_now,
            }
            base, _ = beside(lambda: hashlib.sha256(buffer).digest(), table, inserts)
            for name, work in works.items():
                table.delete(where=table.id > count)
                times, done = beside(work, table, inserts)
                ended[name] += done
                tails[name].append((tail(times), times[-1] / 1e6, tail(base), base[-1] / 1e6))
    results = []
    for name in names:
        p9999, longest, base_p9999, base_longest = (
            median(column) for column in zip(*tails[name], strict=True)
        )
        detail = f"baseline {base_p9999:.3g} ms; {ended[name]} ended meanwhile"
        results.append(result(f"inserts beside {name} of all, p99.99", p9999, " ms", detail))
        above = median(one[1] - one[3] for one in tails[name])
        detail = f"longest {longest:.3g} ms, baseline {base_longest:.3g} ms"
        results.append(
            result(f"inserts beside {name} of all, longest above baseline", above, " ms", detail)
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("commits", "load", "inserts"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="on the disk to measure (default: build)")
    options = parser.parse_args()
    folder = options.folder or ROOT / "build"
    folder.mkdir(parents=True, exist_ok=True)
    small = options.rows < 100_000
    results: list[dict[str, Any]]
    if options.part == "commits":
        results = commits(folder, COMMITS // 10 if small else COMMITS, min(options.rounds, 5))
    elif options.part == "load":
        results = loading(folder, options.rows, min(options.rounds, 5))
    else:
        inserts = options.rows if small else INSERTS
        results = inserts_beside(folder, options.rows, inserts, max(1, min(options.rounds, 3)))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
