# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""Work that several threads do on shared tables, each with what must hold meanwhile.

Every scenario runs for about `seconds`, ends its threads, checks, and raises AssertionError (or
Watchdog) when something does not hold. test_threads.py runs them on healthy builds;
test_faults.py plants a fault and wants to see them fail.
"""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import dictdb
from dictdb import DictDB, DuplicateKeyError, IndexNotFoundError, TableNotFoundError
from helpers import PATIENCE, accounted, background, run_threads

KEYS = 60
MONEY = 100


class Clock:
    """Ends the loops of a scenario."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def __bool__(self) -> bool:
        return time.monotonic() < self.end


def row(n: int) -> dict[str, Any]:
    """A record whose fields say the same: one that was torn does not."""
    return {"a": n, "text": f"{n}-" * (1 + n % 30), "list": [n, {"n": n}], "z": n}


def whole(record: Any) -> bool:
    n = record["a"]
    return dict(record) == {"id": record["id"], **row(n)}


def check_rows(rows: Any) -> None:
    for record in rows:
        assert whole(record), f"a torn record: {dict(record)}"


def no_torn_record(seconds: float, seed: int) -> None:
    """Readers of every kind beside threads that update, delete and insert the same keys."""
    db = DictDB()
    table = db.create_table("t")
    table.insert([row(n) for n in range(KEYS)])
    table.create_index("a")
    clock = Clock(seconds)

    def write(number: int) -> None:
        rng = random.Random(seed + number)
        while clock:
            n, key = rng.randrange(1000), rng.randrange(KEYS) + 1
            roll = rng.random()
            if roll < 0.5:
                table.update(row(n), where=table.id == key)
            elif roll < 0.6:
                table.update(row(n), where=table.a == rng.randrange(1000))
            elif roll < 0.75:
                table.delete(where=table.id == key)
            elif roll < 0.95:
                table.upsert({"id": key, **row(n)})
            else:
                table.insert([row(n) for _ in range(5)])
                table.delete(where=table.id > KEYS)

    def read(number: int) -> None:
        rng = random.Random(-seed - number)
        kept: list[tuple[Any, dict[str, Any]]] = []
        while clock:
            key, n = rng.randrange(KEYS) + 1, rng.randrange(1000)
            found = table.get(key)
            assert found is None or (found["id"] == key and whole(found)), found
            rows = table.select(where=table.a == n)
            check_rows(rows)
            assert all(r["a"] == n for r in rows), (
                f"an index gave a record of another value: {rows}"
            )
            check_rows(table.select())
            check_rows(table.copy().values())
            for view in table.select(where=table.id == key, copy=False):
                kept.append((view, dict(view)))
            if len(kept) > 50:
                view, then = kept.pop(rng.randrange(50))
                assert dict(view) == then
                assert whole(view)

    run_threads([lambda k=k: write(k) for k in range(2)] + [lambda k=k: read(k) for k in range(3)])
    check_rows(table.select())


def no_lost_insert(seconds: float, seed: int) -> None:
    """Single and bulk inserts, automatic and given keys, from all threads."""
    table = dictdb.Table("t")
    table.create_index("by")
    clock = Clock(seconds)
    mine: list[list[Any]] = [[] for _ in range(4)]

    def work(number: int) -> None:
        rng = random.Random(seed + number)
        while clock:
            if rng.random() < 0.6:
                mine[number].append(table.insert({"by": number}))
            elif rng.random() < 0.8:
                mine[number] += table.insert([{"by": number} for _ in range(rng.randrange(40))])
            else:
                key = f"{number}-{len(mine[number])}"
                mine[number].append(table.insert({"id": key, "by": number}))

    run_threads([lambda k=k: work(k) for k in range(4)])
    keys = [key for each in mine for key in each]
    assert len(set(keys)) == len(keys), "a key was given twice"
    assert {r["id"] for r in table.select()} == set(keys)
    assert table.count() == len(keys)
    for number in range(4):
        assert table.count(where=table.by == number) == len(mine[number])
        found = [r["id"] for r in table.select(where=table.by == number)]
        assert found == mine[number], "not in the order of insertion"


def same_key_once(seconds: float, seed: int) -> None:
    """Threads insert and delete the same keys: one of them gets each, the others are told."""
    table = dictdb.Table("t", primary_key="k")
    clock = Clock(seconds)
    balance = [[0] * KEYS for _ in range(4)]

    def work(number: int) -> None:
        rng = random.Random(seed + number)
        while clock:
            k = rng.randrange(KEYS)
            if rng.random() < 0.6:
                try:
                    table.insert({"k": k, "by": number})
                    balance[number][k] += 1
                except DuplicateKeyError:
                    pass
            else:
                balance[number][k] -= table.delete(where=table.k == k)

    run_threads([lambda n=n: work(n) for n in range(4)])
    for k in range(KEYS):
        left = sum(each[k] for each in balance)
        assert left == (1 if k in table else 0), f"key {k}: {left}"
        assert table.count(where=table.k == k) == left


def sums_are_kept(seconds: float, seed: int) -> None:
    """Transfers in write_lock blocks: no reader sees one half way."""
    db = DictDB()
    table = db.create_table("accounts")
    table.insert([{"money": MONEY} for _ in range(20)])
    clock = Clock(seconds)

    def transfer(number: int) -> None:
        rng = random.Random(seed + number)
        while clock:
            a, b = rng.sample(range(1, 21), 2)
            with table.lock.write_lock():
                table.update({"money": table.get(a)["money"] - 1}, where=table.id == a)
                table.update({"money": table.get(b)["money"] + 1}, where=table.id == b)

    def total(rows: Any) -> None:
        got = sum(r["money"] for r in rows)
        assert got == 20 * MONEY, f"half a transfer: {got}"

    def read() -> None:
        while clock:
            total(table.select())
            total(table.copy().values())
            total(table)
            with table.lock.read_lock():
                total([table.get(key) for key in range(1, 21)])

    def look() -> None:
        """Never waits for a block's end, so that it looks while blocks are half done."""
        while clock:
            with db.snapshot() as snapshot:
                total(snapshot["accounts"].select())
                time.sleep(0)
                total(snapshot["accounts"])

    run_threads([lambda n=n: transfer(n) for n in range(2)] + [read, read, look])
    total(table.select())


def sums_across_tables(seconds: float, seed: int) -> None:
    """Transfers between tables under db.write_lock: snapshots see all or nothing."""
    db = DictDB()
    names = ["left", "right", "third"]
    for name in names:
        db.create_table(name).insert({"money": 10 * MONEY})
    clock = Clock(seconds)

    def transfer(number: int) -> None:
        rng = random.Random(seed + number)
        while clock:
            a, b = rng.sample(names, 2)
            with db.write_lock(a, b):
                db[a].update({"money": db[a].get(1)["money"] - 1})
                db[b].update({"money": db[b].get(1)["money"] + 1})

    def read() -> None:
        while clock:
            with db.snapshot() as snapshot:
                seen = [snapshot[name].get(1)["money"] for name in names]
                assert sum(seen) == 30 * MONEY, f"half a transfer: {seen}"
                time.sleep(0)
                assert [snapshot[name].select()[0]["money"] for name in names] == seen

    run_threads([lambda n=n: transfer(n) for n in range(2)] + [read] * 2)


def snapshots_do_not_change(seconds: float, seed: int) -> None:
    """Snapshots kept while everything changes are read again, by get, by index and by scan."""
    db = DictDB()
    table = db.create_table("t")
    table.insert([row(n) for n in range(KEYS)])
    table.create_index("a")
    clock = Clock(seconds)

    def write(number: int) -> None:
        rng = random.Random(seed + number)
        while clock:
            key = rng.randrange(KEYS) + 1
            table.update(row(rng.randrange(50)), where=table.id == key)
            if rng.random() < 0.4:
                table.delete(where=table.id == key)
                try:
                    table.insert({"id": key, **row(rng.randrange(50))})
                except DuplicateKeyError:
                    pass  # The other writer was faster.

    def read(number: int) -> None:
        rng = random.Random(-seed - number)
        kept: list[tuple[Any, dict[Any, Any]]] = []
        while clock:
            snapshot = db.snapshot()
            kept.append((snapshot, snapshot["t"].copy()))
            if len(kept) > 6:
                snapshot, _ = kept.pop(rng.randrange(6))
                snapshot.close()
            snapshot, then = rng.choice(kept)
            seen = snapshot["t"]
            for key in rng.sample(range(1, KEYS + 1), 10):
                assert seen.get(key) == then.get(key), f"key {key} of a snapshot changed"
            n = rng.randrange(50)
            by_index = seen.select(where=table.a == n)
            assert by_index == [r for r in then.values() if r["a"] == n], "an index of a snapshot"
            assert seen.copy() == then
        for snapshot, _ in kept:
            snapshot.close()

    run_threads([lambda n=n: write(n) for n in range(2)] + [lambda n=n: read(n) for n in range(2)])


def tables_come_and_go(seconds: float, seed: int) -> None:
    """Readers and writers of a table that is dropped and created again meanwhile."""
    db = DictDB()
    db.create_table("t").insert([row(n) for n in range(10)])
    clock = Clock(seconds)

    def catalogue() -> None:
        while clock:
            try:
                db.drop_table("t")
            except TableNotFoundError:
                pass
            try:
                db.create_table("t").insert([row(n) for n in range(10)])
            except (dictdb.DuplicateTableError, TableNotFoundError):
                pass

    def use(number: int) -> None:
        rng = random.Random(seed + number)
        while clock:
            try:
                table = db.get_table("t")
                for _ in range(20):
                    check_rows(table.select())
                    table.insert(row(rng.randrange(100)))
                    table.get(3)
                with db.snapshot() as snapshot:
                    if "t" in snapshot:
                        check_rows(snapshot["t"])
            except TableNotFoundError:
                pass

    run_threads([catalogue] * 2 + [lambda n=n: use(n) for n in range(3)])


def indexes_come_and_go(seconds: float, seed: int) -> None:
    """Answers are the same with an index, without one, and while one is built."""
    table = dictdb.Table("t")
    for n in range(200):
        table.insert({"a": n % 10, "b": n % 7, "still": n % 10})
    clock = Clock(seconds)

    def index(number: int) -> None:
        field = "ab"[number]
        while clock:
            try:
                table.create_index(field)
                assert table.count(where=table.field(field) == 3) >= 0
                table.drop_index(field)
            except (dictdb.DuplicateIndexError, IndexNotFoundError):
                pass

    def write() -> None:
        rng = random.Random(seed)
        while clock:
            key = table.insert({"a": 3, "b": 3, "still": 3})
            table.update({"b": rng.randrange(7)}, where=table.id == rng.randrange(200))
            table.delete(where=table.id == key)

    def read() -> None:
        while clock:
            with table.lock.read_lock():
                rows = table.select()
                for field in ("a", "b"):
                    expected = [r for r in rows if r[field] == 3]
                    assert table.select(where=table.field(field) == 3) == expected
            found = table.select(where=table.a == 5)
            assert len(found) == 20
            assert all(r["still"] == 5 for r in found)

    run_threads([lambda n=n: index(n) for n in range(2)] + [write, read, read])


def many_databases(seconds: float, seed: int) -> None:
    """Databases come and go in all threads; each gives back what it took."""

    def work(number: int, clock: Clock) -> None:
        rng = random.Random(seed + number)
        while clock:
            db = DictDB()
            for name in "ab":
                table = db.create_table(name)
                table.create_index("a")
                table.insert([row(rng.randrange(100)) for _ in range(rng.randrange(80))])
            with db.snapshot() as snapshot:
                db.drop_table("a")
                check_rows(snapshot["a"])
            check_rows(db["b"].select(where=db["b"].a > 50))

    held = []
    for _ in range(3):
        clock = Clock(seconds / 3)
        run_threads([lambda n=n, c=clock: work(n, c) for n in range(4)])
        held.append(accounted())
    assert held[2] - held[1] < 100_000, f"databases leak: {held}"


def waiting_writers_wake(seconds: float, seed: int) -> None:
    """Writers queue behind readers and each other, again and again: every wait must end."""
    table = dictdb.Table("t")
    table.insert({"n": 0})
    clock = Clock(seconds)
    counts = [0] * 4

    def write(number: int) -> None:
        while clock or counts[number] < 4:
            with table.lock.write_lock():
                table.update({"n": number})
                time.sleep(0)
            counts[number] += 1

    def read(number: int) -> None:
        while clock or counts[number] < 4:
            with table.lock.read_lock():
                time.sleep(0.0005)
            counts[number] += 1
            time.sleep(0.0005)

    run_threads(
        [lambda n=n: write(n) for n in range(2)] + [lambda n=n: read(n) for n in (2, 3)],
        timeout=seconds + 10,
    )


def reads_within_reads(seconds: float, seed: int) -> None:
    """An iteration is open while the same thread reads again, and a writer replaces everything."""
    table = dictdb.Table("t")
    table.insert([row(n) for n in range(KEYS)])
    clock = Clock(seconds)

    stop = threading.Event()

    def write() -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            table.update(row(rng.randrange(1000)))
            table.delete(where=table.id == rng.randrange(KEYS))
            table.upsert({"id": rng.randrange(KEYS) + 1, **row(1)})

    with background(write, write, stop=stop):
        while clock and not stop.is_set():
            outer = iter(table)
            seen = [next(outer)]
            for inner in table:
                assert whole(inner), f"a torn record: {inner}"
                table.get(inner["id"])
            values = {record["a"] for record in table.select(copy=False)}
            assert values
            seen += list(outer)
            check_rows(seen)


def cursors_see_one_version(seconds: float, seed: int) -> None:
    """Cursors that two threads share, beside writers that replace every record."""
    db = DictDB()
    table = db.create_table("t")
    table.insert([row(0) for _ in range(KEYS)])
    clock = Clock(seconds)

    def write() -> None:
        rng = random.Random(seed)
        while clock:
            table.update(row(rng.randrange(1000)))
            key = rng.randrange(KEYS) + 1
            with table.lock.write_lock():
                table.delete(where=table.id == key)
                table.upsert({"id": key, **row(table.first()["a"])})

    def read(number: int) -> None:
        rng = random.Random(seed + number)
        while clock:
            order = rng.choice([None, "-id", ["a", "text"]])
            size = rng.choice([1, 3, 256])
            with db.snapshot() as snapshot:
                source = rng.choice([table, snapshot["t"]])
                cursor = source.iter(order_by=order, batch_size=size, copy=rng.random() < 0.5)
            rows: list[Any] = []

            def take(cursor: Any = cursor, rows: list[Any] = rows) -> None:
                for record in cursor:
                    rows.append(record)

            thread = threading.Thread(target=take)
            thread.start()
            take()
            thread.join()
            check_rows(rows)
            assert cursor.closed
            assert len({record["id"] for record in rows}) == len(rows) == KEYS
            assert len({record["a"] for record in rows}) == 1, "two states"

    run_threads([write, write, lambda: read(1), lambda: read(2)])


def columns_follow_changes(seconds: float, seed: int) -> None:
    """Counts by columns that are kept, beside a writer and budgets that come and go."""
    db = DictDB()
    table = db.create_table("t")
    table.insert([{"a": 1, "b": 1.5, "c": "x"} for _ in range(KEYS * 4)])
    table.column_budget = 1 << 20
    clock = Clock(seconds)

    def write() -> None:
        rng = random.Random(seed)
        while clock:
            key = rng.randrange(KEYS * 4) + 1
            value = rng.choice([None, 1, 2, 1000])
            table.update({"a": value, "b": value, "c": str(value)}, where=table.id == key)
            if rng.randrange(50) == 0:
                table.column_budget = rng.choice([0, 1 << 20, 1 << 20])

    def read(number: int) -> None:
        rng = random.Random(seed + number)
        while clock:
            value = rng.choice([1, 2, 1000])
            with db.snapshot() as snapshot:
                seen = snapshot["t"]
                rows = seen.all()
                at_most = sum(row["a"] is not None and row["a"] <= value for row in rows)
                threads = rng.choice([None, 1, 2, 5])
                assert seen.count(where=table.a <= value, threads=threads) == at_most
                assert seen.select(where=table.id > 0, threads=threads) == rows
                assert seen.count(where=table.b.is_null()) == sum(r["b"] is None for r in rows)
                assert seen.count(where=table.c == "2") == sum(r["c"] == "2" for r in rows)

    run_threads([write, lambda: read(1), lambda: read(2)])


def failures_change_nothing(seconds: float, seed: int) -> None:
    """Statements that fail half way, beside readers who must not see any of it, nor any leak."""
    db = DictDB()
    table = db.create_table("t")
    table.insert([row(n) for n in range(20)])
    table.create_index("a")
    before = table.select()
    clock = Clock(seconds)

    def fail() -> None:
        while clock:
            for call in (
                lambda: table.insert([*(row(5000) for _ in range(30)), {"id": 7}]),
                lambda: table.upsert({"id": 3, "a": -1, "b": object()}),
            ):
                try:
                    call()
                except (DuplicateKeyError, TypeError):
                    continue
                raise AssertionError("the statement did not fail")

    def read() -> None:
        while clock:
            assert table.select() == before, "a failed statement changed the table"
            assert table.count(where=table.a == 5000) == 0
            assert len(table) == 20

    run_threads([fail, fail, read, read])
    assert table.insert(row(1)) == 21, "a failed statement used keys up"
    table.delete(where=table.id == 21)
    held = [accounted()]
    for _ in range(3):
        for _ in range(200):
            try:
                table.insert([*(row(5000) for _ in range(30)), {"id": 7}])
            except DuplicateKeyError:
                pass
        held.append(accounted())
    assert held[-1] - held[1] < 50_000, f"failed statements leak: {held}"


def groups_are_whole(seconds: float, seed: int) -> None:
    """Aggregates beside threads that set a whole group in one statement: each result is of one
    version, in which all records of a group say the same."""
    table = DictDB().create_table("t")
    table.insert([{"g": n % 7, "v": n % 7, "text": f"{n % 7}"} for n in range(KEYS * 7)])
    clock = Clock(seconds)
    wanted = {
        "n": dictdb.Count(),
        "least": dictdb.Min("v"),
        "most": dictdb.Max("v"),
        "total": dictdb.Sum("v"),
        "texts": dictdb.CountDistinct("text"),
    }

    def write(number: int) -> None:
        rng = random.Random(seed + number)
        while clock:
            n = rng.randrange(1000)
            table.update({"v": n, "text": f"{n}" * 5}, where=table.g == rng.randrange(7))

    def read() -> None:
        while clock:
            groups = table.aggregate(group_by="g", **wanted)
            assert [group["g"] for group in groups] == list(range(7))
            for group in groups:
                assert group["n"] == KEYS
                assert group["least"] == group["most"], f"two versions in one group: {group}"
                assert group["total"] == KEYS * group["least"]
                assert group["texts"] == 1

    run_threads([lambda: write(1), lambda: write(2), read, read], timeout=seconds + 60)


def user_code_may_write(seconds: float, seed: int) -> None:
    """While records are taken from an iterator, another thread writes the table and is awaited."""
    table = dictdb.Table("t")
    clock = Clock(seconds)

    def produce() -> Any:
        for n in range(3):
            thread = threading.Thread(target=table.insert, args=(row(n),), daemon=True)
            thread.start()
            thread.join(10 * PATIENCE)
            assert not thread.is_alive(), "user code runs under a lock"
            yield row(n)

    while clock:
        table.insert(produce())
    assert table.count() % 6 == 0


def collector_reads_and_writes(seconds: float, seed: int) -> None:
    """A collection inside a read runs destructors that read and write; the read goes on."""
    table = dictdb.Table("t")
    table.insert([row(n) for n in range(KEYS)])
    clock = Clock(seconds)
    rounds = [0]

    class Cyclic:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            rounds[0] += 1
            table.get(1)
            len(table.select(limit=3))
            table.update(row(rounds[0]))

    thresholds = gc.get_threshold()
    gc.set_threshold(60, 5, 5)
    try:
        turns = 0
        while clock or turns < 2:
            turns += 1
            Cyclic()
            rows = table.select()
            check_rows(rows)
            assert len({r["a"] for r in rows} - {r["id"] - 1 for r in rows}) <= 1, "two states"
            Cyclic()
            check_rows(table.copy().values())
            Cyclic()
            check_rows(table.select(copy=False))
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert rounds[0] > 3, "no destructor ran"


def updates_of_the_old_record(seconds: float, seed: int) -> None:
    """Counters that callables raise, beside a field that follows another one by one step."""
    db = DictDB()
    table = db.create_table("t")
    table.insert([{"n": 0, "now": 0, "before": -1} for _ in range(4)])
    counted = [0] * 4
    clock = Clock(seconds)

    def count(number: int) -> None:
        dice = random.Random(seed + number)
        while clock:
            if dice.random() < 0.5:
                table.update({"n": lambda record: record["n"] + 1})
            else:
                table.update(lambda record: {"n": record["n"] + 1}, where=lambda record: True)
            counted[number] += 1

    def step() -> None:
        number = 0
        while clock:
            number += 1
            table.update({"before": table.now, "now": number})

    def look() -> None:
        while clock:
            for record in table.select():
                assert record["before"] == record["now"] - 1, record

    run_threads([*(lambda n=n: count(n) for n in range(4)), step, look], seconds + 60)
    assert [record["n"] for record in table] == [sum(counted)] * 4


SCENARIOS: dict[str, Callable[[float, int], None]] = {
    function.__name__: function
    for function in (
        no_torn_record,
        no_lost_insert,
        same_key_once,
        sums_are_kept,
        sums_across_tables,
        snapshots_do_not_change,
        tables_come_and_go,
        indexes_come_and_go,
        many_databases,
        waiting_writers_wake,
        reads_within_reads,
        cursors_see_one_version,
        columns_follow_changes,
        failures_change_nothing,
        groups_are_whole,
        user_code_may_write,
        collector_reads_and_writes,
        updates_of_the_old_record,
    )
}


def run(name: str, seconds: float, seed: int) -> None:
    print(f"scenario {name}, seed {seed}, {threading.active_count()} threads", flush=True)
    SCENARIOS[name](seconds, seed)
