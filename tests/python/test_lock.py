# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""RWLock by itself: both sides, nesting, tries, timeouts, statistics."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dictdb import (
    DeadlockError,
    DictDB,
    InvalidArgumentError,
    LockOwnershipError,
    LockTimeoutError,
    RWLock,
    Table,
    TableNotFoundError,
)
from helpers import PATIENCE, SANITIZER, background, in_thread, nothing_leaked, run_threads

pytestmark = pytest.mark.threads


def free(lock: RWLock) -> bool:
    """Whether another thread could take the write side now."""

    def attempt() -> bool:
        if not lock.acquire_write(blocking=False):
            return False
        lock.release_write()
        return True

    return bool(in_thread(attempt))


def readable(lock: RWLock) -> bool:
    def attempt() -> bool:
        if not lock.acquire_read(blocking=False):
            return False
        lock.release_read()
        return True

    return bool(in_thread(attempt))


def test_sides() -> None:
    lock = RWLock()
    assert free(lock)
    with lock.read_lock():
        assert readable(lock)
        assert not free(lock)
    with lock.write_lock():
        assert not readable(lock)
        assert not free(lock)
    assert free(lock)


@pytest.mark.parametrize("side", ["read", "write"])
def test_re_entrant(side: str) -> None:
    lock = RWLock()
    acquire: Callable[[], bool] = getattr(lock, f"acquire_{side}")
    release: Callable[[], None] = getattr(lock, f"release_{side}")
    for _ in range(1000):
        assert acquire() is True
    for _ in range(999):
        release()
    assert not free(lock)
    release()
    assert free(lock)
    with pytest.raises(LockOwnershipError):
        release()


def test_read_within_write_and_back() -> None:
    lock = RWLock()
    with lock.write_lock(), lock.read_lock(), lock.write_lock():
        assert not readable(lock)
    assert free(lock)
    lock.acquire_write()
    lock.acquire_read()
    lock.release_write()
    assert readable(lock)
    assert not free(lock)
    lock.release_read()
    assert free(lock)


def test_context_managers_release_on_errors() -> None:
    lock = RWLock()
    for make in (lock.read_lock, lock.write_lock):
        with pytest.raises(ZeroDivisionError):
            with make():
                raise ZeroDivisionError
        assert free(lock)
        with pytest.raises(ZeroDivisionError):
            with make(timeout=1.5):
                raise ZeroDivisionError
        assert free(lock)


def test_a_context_manager_is_used_once_at_a_time() -> None:
    lock = RWLock()
    manager = lock.read_lock()
    with manager:
        pass
    assert free(lock)
    abandoned = lock.write_lock()
    del abandoned
    assert free(lock)


def test_arguments_as_of_threading_lock() -> None:
    lock = RWLock()
    assert lock.acquire_read(True) is True
    assert lock.acquire_read(True, 1) is True
    assert lock.acquire_read(blocking=True, timeout=-1) is True
    assert lock.acquire_read(False) is True
    for _ in range(4):
        lock.release_read()
    for acquire in (lock.acquire_read, lock.acquire_write):
        with pytest.raises(ValueError):
            acquire(blocking=False, timeout=1)
        with pytest.raises(ValueError):
            acquire(timeout=-2)
        with pytest.raises((TypeError, ValueError)):
            acquire(timeout="soon")  # type: ignore[arg-type]
        with pytest.raises(ValueError):
            acquire(timeout=float("nan"))
    for make in (lock.read_lock, lock.write_lock):
        with pytest.raises((InvalidArgumentError, ValueError)):
            with make(timeout=-5):
                pass
    assert free(lock)


def test_timeouts_raise_or_return() -> None:
    lock = RWLock()
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with lock.write_lock():
            held.set()
            end.wait(60)

    with background(hold):
        held.wait(20)
        for attempt in range(20):
            assert lock.acquire_read(timeout=0.001 * attempt) is False
            assert lock.acquire_write(timeout=0.001 * attempt) is False
            with pytest.raises(LockTimeoutError):
                with lock.read_lock(timeout=0):
                    pass
            with pytest.raises(LockTimeoutError):
                with lock.write_lock(timeout=0.001):
                    pass
        began = time.monotonic()
        assert lock.acquire_write(timeout=0.2) is False
        assert 0.19 <= time.monotonic() - began < 5 * PATIENCE
        end.set()
    assert free(lock)


def test_a_wait_ends_when_the_lock_is_free() -> None:
    lock = RWLock()
    order: list[str] = []
    lock.acquire_write()

    def wait(side: str) -> None:
        with getattr(lock, f"{side}_lock")(timeout=20 * PATIENCE):
            order.append(side)

    with background(lambda: wait("read"), lambda: wait("write"), lambda: wait("read")):
        time.sleep(0.1)
        assert order == []
        lock.release_write()
    assert sorted(order) == ["read", "read", "write"]


def test_a_waiting_thread_does_not_hold_the_gil_or_the_cpu() -> None:
    lock = RWLock()
    lock.acquire_write()

    def read() -> None:
        with lock.read_lock(timeout=20 * PATIENCE):
            pass

    with background(read):
        time.sleep(0.05)
        cpu, wall = time.process_time(), time.monotonic()
        while time.monotonic() - wall < 0.3:
            time.sleep(0.01)
        assert time.process_time() - cpu < 0.2 * PATIENCE
        lock.release_write()


def test_many_threads_exclude_each_other() -> None:
    lock = RWLock()
    state = {"writers": 0, "readers": 0, "value": 0}
    guard = threading.Lock()
    rounds = 60 if SANITIZER else 400

    def write() -> None:
        for _ in range(rounds):
            with lock.write_lock():
                with guard:
                    assert state["writers"] == state["readers"] == 0
                    state["writers"] += 1
                value = state["value"]
                if value % 16 == 0:
                    time.sleep(0)
                state["value"] = value + 1
                with guard:
                    state["writers"] -= 1

    def read() -> None:
        for _ in range(rounds):
            with lock.read_lock():
                with guard:
                    assert state["writers"] == 0
                    state["readers"] += 1
                value = state["value"]
                time.sleep(0)
                assert state["value"] == value
                with guard:
                    state["readers"] -= 1

    run_threads([write] * 3 + [read] * 3)
    assert state["value"] == 3 * rounds


def test_a_reader_waits_for_one_writer_at_most() -> None:
    """Writers that queue without end do not keep a reader out, nor readers a writer."""
    lock = RWLock()

    writers = threading.Event()

    def write() -> None:
        while not writers.is_set():
            with lock.write_lock():
                time.sleep(0.001)

    with background(write, write, write, stop=writers):
        for _ in range(20):
            with lock.read_lock(timeout=20 * PATIENCE):
                pass

    readers = threading.Event()

    def read() -> None:
        while not readers.is_set():
            with lock.read_lock():
                time.sleep(0.001)

    with background(read, read, read, stop=readers):
        for _ in range(20):
            with lock.write_lock(timeout=20 * PATIENCE):
                pass


def test_a_re_entrant_reader_passes_a_queued_writer() -> None:
    lock = RWLock()

    def write() -> None:
        with lock.write_lock(timeout=20 * PATIENCE):
            pass

    lock.acquire_read()
    with background(write):
        time.sleep(0.05)
        with lock.read_lock(timeout=5 * PATIENCE):
            pass
        lock.release_read()
    assert free(lock)


def test_a_cycle_of_three_raises_in_one_of_them() -> None:
    locks = [RWLock() for _ in range(3)]
    together = threading.Barrier(3)
    outcomes: list[str] = []

    def work(n: int) -> None:
        with locks[n].write_lock():
            together.wait(20)
            try:
                with locks[(n + 1) % 3].write_lock(timeout=30):
                    outcomes.append("done")
            except DeadlockError:
                outcomes.append("deadlock")

    run_threads([lambda n=n: work(n) for n in range(3)])
    assert sorted(outcomes) == ["deadlock", "done", "done"]
    assert all(free(lock) for lock in locks)


def test_a_read_cycle_through_a_queued_writer_only_is_admitted() -> None:
    """Two readers of two locks, a writer queued at each: nothing to wait for."""
    a, b = RWLock(), RWLock()
    together = threading.Barrier(2)

    def work(first: RWLock, second: RWLock) -> None:
        with first.read_lock():
            together.wait(20)
            time.sleep(0.1)
            with second.read_lock(timeout=20 * PATIENCE):
                pass

    def queue(lock: RWLock) -> None:
        time.sleep(0.05)
        assert lock.acquire_write(timeout=20 * PATIENCE)
        lock.release_write()

    run_threads([lambda: work(a, b), lambda: work(b, a), lambda: queue(a), lambda: queue(b)])


def as_dict(stats: Any) -> dict[str, Any]:
    return dict(stats)


def test_statistics() -> None:
    lock = RWLock()
    with lock.read_lock(), lock.read_lock():
        pass
    with lock.write_lock():
        time.sleep(0.02)
    stats = as_dict(lock.stats())
    assert stats["reads"] == 2
    assert stats["writes"] == 1
    assert stats["waits"] == 0
    assert stats["wait_seconds"] == 0
    assert 0.015 < stats["write_hold_seconds"] < 15
    assert 0 <= stats["read_hold_seconds"] < 15
    waits = 0
    while not waits:  # The other thread asks for the lock meanwhile, unless the machine is busy.
        held = threading.Event()

        def hold(held: threading.Event = held) -> None:
            with lock.write_lock():
                held.set()
                time.sleep(0.2)

        with background(hold):
            held.wait(20)
            with lock.read_lock():
                pass
        stats = as_dict(lock.stats())
        waits = stats["waits"]
    assert waits == 1
    assert 0 < stats["wait_seconds"] < 60


def test_statistics_of_a_table() -> None:
    table = Table("t")
    before = as_dict(table.lock.stats())
    table.insert({"a": 1})
    table.insert([{"a": 1}] * 50)
    table.select()
    after = as_dict(table.lock.stats())
    assert after["writes"] - before["writes"] == 2
    assert after["waits"] == before["waits"]


def test_names_and_repr() -> None:
    table = Table("people")
    assert "people" in repr(table.lock)
    assert "RWLock" in repr(RWLock())


def test_a_lock_outlives_its_table() -> None:
    db = DictDB()
    lock = db.create_table("t").lock
    lock.acquire_write()
    del db
    gc.collect()
    assert not readable(lock)
    lock.release_write()
    with pytest.raises(LockOwnershipError):
        lock.release_write()


def test_write_lock_of_several_tables() -> None:
    db = DictDB()
    a, b = db.create_table("a"), db.create_table("b")
    a.insert({"n": 1})
    b.insert({"n": 1})
    with db.write_lock("b", "a"):
        a.update({"n": 2})
        with db.snapshot() as snapshot:
            assert snapshot["a"].get(1)["n"] == snapshot["b"].get(1)["n"] == 1
        b.update({"n": 2})
        assert a.get(1)["n"] == b.get(1)["n"] == 2
        assert not free(a.lock)
        assert not free(b.lock)
    assert free(a.lock)
    assert free(b.lock)
    with db.snapshot() as snapshot:
        assert snapshot["a"].get(1)["n"] == snapshot["b"].get(1)["n"] == 2


def test_write_lock_of_several_tables_is_all_or_none() -> None:
    db = DictDB()
    a, b = db.create_table("a"), db.create_table("b")
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with b.lock.read_lock():
            held.set()
            end.wait(60)

    with background(hold):
        held.wait(20)
        with pytest.raises(LockTimeoutError):
            with db.write_lock("a", "b", timeout=0.05):
                pass
        assert free(a.lock)
        end.set()
    with pytest.raises(TableNotFoundError):
        with db.write_lock("a", "ghost"):
            pass
    with pytest.raises(ValueError):
        with db.write_lock("a", "a"):
            pass
    with pytest.raises(ZeroDivisionError):
        with db.write_lock("a", "b"):
            raise ZeroDivisionError
    assert free(a.lock)
    assert free(b.lock)


def test_a_block_that_fails_keeps_what_it_wrote() -> None:
    """A block isolates; it does not undo: each statement in it is complete."""
    table = Table("t")
    with pytest.raises(ZeroDivisionError):
        with table.lock.write_lock():
            table.insert({"n": 1})
            raise ZeroDivisionError
    assert in_thread(lambda: table.select()) == [{"id": 1, "n": 1}]


def test_locks_give_their_memory_back() -> None:
    def use() -> None:
        lock = RWLock()
        with lock.read_lock(), lock.write_lock():
            pass
        run_threads([lambda: lock.acquire_read() and lock.release_read()] * 2)

    use()
    with nothing_leaked(2048):
        for _ in range(100):
            use()


def test_locks_cannot_be_copied_or_pickled() -> None:
    for lock in (RWLock(), Table("t").lock):
        for call in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError):
                call(lock)
