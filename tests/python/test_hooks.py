# SPDX-License-Identifier: Apache-2.0
"""A writer stopped for a second at each point outside the commit latch: all reads go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dictdb import DictDB, _core
from helpers import LONG, PATIENCE, join_all, wait_until

pytestmark = [pytest.mark.testing_build, pytest.mark.threads, pytest.mark.timeout(120)]

POINTS = ["BEFORE_LOCK", "LOCKED", "EDITED", "PUBLISHED", "UNLOCKED", "RECLAIM"]
# The whole second for one statement; the others are as telling in a part of it.
STOPPED_MS = {"update": 1000}

WRITES: dict[str, Callable[[Any], Any]] = {
    "insert": lambda t: t.insert({"n": 1}),
    "bulk": lambda t: t.insert([{"n": n} for n in range(50)]),
    "upsert": lambda t: t.upsert({"id": 5, "n": 2}),
    "update": lambda t: t.update({"n": 3}),
    "delete": lambda t: t.delete(where=t.id == 7),
}


@pytest.fixture(autouse=True)
def _no_sleep_stays() -> Iterator[None]:
    yield
    for point in [*POINTS, "PIN_HELD"]:
        _core._test_sleep(point, 0)


def reads(db: DictDB) -> dict[str, Callable[[], Any]]:
    t = db["t"]

    def snapshot() -> None:
        with db.snapshot() as seen:
            assert len(seen["t"].select()) >= 99
            assert seen["t"].get(1) is not None

    return {
        "get": lambda: t.get(1),
        "in": lambda: 1 in t,
        "len": lambda: len(t),
        "select": lambda: t.select(where=t.n == 3),
        "views": lambda: t.select(copy=False),
        "count": lambda: t.count(where=t.n >= 0),
        "copy": lambda: t.copy(),
        "iteration": lambda: list(t),
        "snapshot": snapshot,
        "columns": lambda: t.columns(),
    }


# A busy machine may stop a reader too, now and then; a writer that blocks it does so each time.
ATTEMPTS = 15


@pytest.mark.parametrize("write", list(WRITES))
@pytest.mark.parametrize("point", POINTS)
def test_reads_finish_while_a_writer_is_stopped(point: str, write: str) -> None:
    slowest: dict[str, float] = {}
    for _ in range(ATTEMPTS):
        slowest = slowest_reads(DictDB(), point, write)
        if slowest and max(slowest.values()) < 0.2 * PATIENCE:
            return
    pytest.fail(f"a read took longer than 200 ms, or there was none: {slowest}")


def slowest_reads(db: DictDB, point: str, write: str) -> dict[str, float]:
    """Stops one writer at the point, and reads until it is done. Seconds of the slowest read."""
    table = db.create_table("t")
    table.insert([{"n": n} for n in range(100)])
    table.create_index("n")
    held = db.snapshot()  # There is something to reclaim, and something to keep.
    done = threading.Event()
    took: list[float] = []
    slowest: dict[str, float] = {}

    def writer() -> None:
        began = time.monotonic()
        WRITES[write](table)
        _core._test_sleep(point, 0)  # A read that ends a version reclaims too, once it may.
        took.append(time.monotonic() - began)
        done.set()

    stopped_ms = STOPPED_MS.get(write, 1000 if LONG else 300)
    _core._test_sleep(point, stopped_ms)
    thread = threading.Thread(target=writer, daemon=True)
    thread.start()
    time.sleep(0.05)
    rounds = 0
    while not done.is_set():
        for name, read in reads(db).items():
            began = time.monotonic()
            read()
            slowest[name] = max(slowest.get(name, 0.0), time.monotonic() - began)
        rounds += 1
    join_all([thread])
    held.close()
    if point != "RECLAIM":
        assert took[0] >= 0.9 * stopped_ms / 1000, "the writer was not stopped"
    return slowest if rounds > 3 else {}


def test_a_reader_that_announced_itself_does_not_stop_writers(db: DictDB) -> None:
    """Stopped between its announcement and the load of the root, in a scan without the GIL."""
    table = db.create_table("t")
    table.insert([{"n": n} for n in range(100)])
    _core._test_sleep("PIN_HELD", 300)
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(len(table.select())), daemon=True)
    thread.start()
    time.sleep(0.05)
    _core._test_sleep("PIN_HELD", 0)
    for n in range(200):
        table.insert({"n": n})
    join_all([thread])
    assert seen[0] in range(100, 301)
    wait_until(lambda: len(table) == 300)


def test_unknown_points_and_faults_are_refused() -> None:
    with pytest.raises(ValueError, match="NOWHERE"):
        _core._test_sleep("NOWHERE", 1)
    with pytest.raises(ValueError, match="NOTHING"):
        _core._test_fault("NOTHING")
