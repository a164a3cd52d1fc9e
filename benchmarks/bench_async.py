# SPDX-License-Identifier: Apache-2.0
"""How long statements for asyncio hold the event loop up.

Measures the processor time of the loop's thread, turn by turn, beside a thread that writes and
locks, and prints a line for each kind of statement.

    python benchmarks/bench_async.py --rows 1000000
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from dictdb import Count, DictDB, Table

Call = Callable[[Table, int], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "get": lambda t, n: t.aio.get(n + 1),
    "select by an index": lambda t, n: t.aio.select(where=t.city == n % 20_000),
    "select of a range": lambda t, n: t.aio.select(where=t.age.between(n, n + 900)),
    "scan": lambda t, n: t.aio.count(t.name == str(n)),
    "select of all": lambda t, n: t.aio.select(["name"]),
    "aggregate": lambda t, n: t.aio.aggregate(group_by="kind", n=Count()),
    "insert": lambda t, n: t.aio.insert({"name": "new", "age": n, "city": n, "kind": 1}),
    "insert of 30": lambda t, n: t.aio.insert([{"name": "new", "age": n}] * 30),
    "update by key": lambda t, n: t.aio.update({"kind": n}, t.id == n + 1),
    "update of a city": lambda t, n: t.aio.update({"kind": n}, t.city == n % 20_000),
}
SLOW = {"scan", "select of all", "aggregate"}


class Meter:
    """Measures what the loop's thread does from one turn of the loop to the next."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.total = 0.0

    async def measure(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        while not task.done():
            began = time.thread_time()
            await asyncio.sleep(0)
            passed = time.thread_time() - began
            self.longest = max(self.longest, passed)
            self.total += passed
        task.result()


def disturb(table: Table, stop: threading.Event) -> None:
    """Write, and hold the lock for long at times."""
    while not stop.wait(0.005):
        table.update({"kind": 1}, where=table.id == 7)
        with table.lock.write_lock():
            stop.wait(0.02)


async def measure_all(table: Table, count: int) -> None:
    rng = random.Random(1)
    rows = table.count()
    for name, call in CALLS.items():
        meter = Meter()
        repeats = max(3, count // 100) if name in SLOW else count
        for _ in range(repeats):
            await meter.measure(call(table, rng.randrange(rows)))
        mean, longest = meter.total / repeats * 1e6, meter.longest * 1e3
        print(f"{name:20} {mean:9.1f} µs a call, at most {longest:6.3f} ms at a time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--opened", action="store_true", help="a database that waits for a disk")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = DictDB.open(Path(folder) / "db") if options.opened else DictDB()
        table = db.create_table("t")
        table.insert(
            {"name": str(n), "age": n, "city": n % 20_000, "kind": n % 5}
            for n in range(options.rows)
        )
        table.create_index("city")
        table.create_index("age", index_type="sorted")
        stop = threading.Event()
        thread = threading.Thread(target=disturb, args=(table, stop))
        thread.start()
        try:
            asyncio.run(measure_all(table, options.count))
        finally:
            stop.set()
            thread.join()
            db.close()


if __name__ == "__main__":
    main()
