# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""The classic traps of reader-writer locks: each of these froze or broke some store before."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import Any

import pytest

from dictdb import (
    DeadlockError,
    DictDB,
    DuplicateKeyError,
    LockOwnershipError,
    LockTimeoutError,
    RWLock,
    Table,
)
from helpers import (
    LONG,
    PATIENCE,
    SANITIZER,
    background,
    check_python,
    in_thread,
    join_all,
    no_fork_beside_threads,
    python_command,
    python_environment,
    run_threads,
    wait_until,
)

pytestmark = pytest.mark.timeout(300)


def waits(lock: RWLock) -> int:
    return int(lock.stats()["waits"])


def queued_writer(table: Table) -> tuple[threading.Thread, threading.Event]:
    """A thread that waits for the write side of the table, which somebody reads."""
    started, done = threading.Event(), threading.Event()

    def write() -> None:
        started.set()
        table.insert({"from": "writer"})
        done.set()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    started.wait(10)
    time.sleep(0.1)
    assert not done.is_set()
    return thread, done


@pytest.mark.threads
def test_copy_under_read_lock_with_a_writer_queued() -> None:
    table = Table("t")
    table.insert([{"n": n} for n in range(100)])
    with table._lock.read_lock():
        thread, done = queued_writer(table)
        snapshot = table.copy()
        assert len(snapshot) == table.count() == len(table.select()) == 100
        with table._lock.read_lock():
            assert table.copy() == snapshot
        assert not done.is_set()
    join_all([thread])
    assert table.count() == 101


@pytest.mark.threads
def test_copy_under_read_lock_under_fire() -> None:
    """The documented recipe, from three threads, while two write as fast as they can."""
    table = Table("t")
    table.insert([{"n": n} for n in range(20)])

    def recipe() -> None:
        for _ in range(20 if SANITIZER else 200):
            with table._lock.read_lock():
                assert len(table.copy()) == table.count()

    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            table.insert({"n": 0})
            table.delete(where=table.n == 0)

    with background(write, write, stop=stop):
        run_threads([recipe] * 3, timeout=60)


@pytest.mark.threads
def test_read_update_read_from_four_threads() -> None:
    """The original froze within two seconds of this."""
    table = Table("t")
    table.insert([{"n": 0, "m": 0} for _ in range(50)])
    table.create_index("n")
    end = time.monotonic() + (60 if LONG else 2 if SANITIZER else 5)
    rounds = [0] * 4

    def work(number: int) -> None:
        while time.monotonic() < end or rounds[number] <= 5:
            rows = table.select(where=table.n >= 0)
            assert all(row["n"] == row["m"] for row in rows)
            rounds[number] += 1
            value = rounds[number]
            table.update({"n": value, "m": value}, where=table.id == 1 + value % 50)
            with table.lock.read_lock():
                assert len(table.select()) == table.count() == 50

    run_threads([lambda n=n: work(n) for n in range(4)], timeout=120)


def test_ctrl_c_during_a_lock_wait() -> None:
    code = """
import signal, sys, threading, dictdb
signal.signal(signal.SIGINT, signal.default_int_handler)  # A background job's parent ignores it
table = dictdb.Table("t")
held, end = threading.Event(), threading.Event()
def hold():
    with table.lock.write_lock():
        held.set()
        end.wait(60)
thread = threading.Thread(target=hold)
thread.start()
held.wait()
try:
    print("ready", flush=True)
    {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
end.set()
thread.join()
table.insert({{"x": 1}})
assert len(table) == 1, len(table)
with table.lock.write_lock(timeout=1):
    pass
print("clean", flush=True)
"""
    for wait in (
        "table.insert({'x': 1})",
        "table.select()",
        "table.get(1)",
        "table.lock.acquire_read()",
        "table.lock.acquire_write(timeout=50)",
        "table.lock.write_lock().__enter__()",
    ):
        process = subprocess.Popen(
            python_command(code.format(wait=wait)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=python_environment(),
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", wait
            time.sleep(0.15 * PATIENCE)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20 * PATIENCE)
        finally:
            process.kill()
            process.wait()
        assert out == "interrupted\nclean\n", f"{wait}: {out}\n{err}"
        assert process.returncode == 0


@pytest.mark.skipif(SANITIZER == "thread", reason="ThreadSanitizer does not follow forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("held", ["nothing", "read", "write", "writer thread", "queued writer"])
def test_fork_while_locked(held: str) -> None:
    """The child reads the fork's instant; its writes and locks raise; the parent goes on."""
    code = f"""
import os, sys, threading, time, dictdb
db = dictdb.DictDB()
table = db.create_table("t")
table.insert([{{"n": n}} for n in range(100)])
view = table.select(copy=False)[7]
held = {held!r}
ready, end = threading.Event(), threading.Event()
def hold():
    with table.lock.write_lock():
        ready.set()
        end.wait(60)
def queue():
    ready.set()
    table.update({{"n": -1}})
threads = []
if held == "read":
    table.lock.acquire_read()
elif held == "write":
    table.lock.acquire_write()
elif held == "writer thread":
    threads = [threading.Thread(target=hold)]
elif held == "queued writer":
    table.lock.acquire_read()
    threads = [threading.Thread(target=queue)]
for thread in threads:
    thread.start()
    ready.wait()
    time.sleep(0.1)

def forked(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except dictdb.ForkedProcessError as error:
        assert isinstance(error, RuntimeError) and str(error)
    else:
        raise AssertionError(f"{{function}} did not raise")

pid = os.fork()
if pid == 0:
    try:
        if held == "writer thread":
            # The holder is gone with the fork; nothing may hang, whatever is seen or raised.
            try:
                assert len(table) == 100
            except dictdb.ForkedProcessError:
                pass
        else:
            assert [row["n"] for row in table.select()] == list(range(100))
            assert table.get(5)["n"] == 4 and table.count(where=table.n < 10) == 10
            assert len(table.copy()) == 100
        with db.snapshot() as snapshot:
            assert snapshot["t"].count() == 100
        assert view["n"] == 7
        forked(table.insert, {{"n": 1}})
        forked(table.update, {{"n": 1}})
        forked(table.delete)
        forked(table.lock.acquire_read, timeout=1)
        forked(table.lock.acquire_write, timeout=1)
        fresh = dictdb.Table("fresh")
        assert fresh.insert({{"x": 1}}) == 1 and len(fresh) == 1
        with fresh.lock.write_lock(timeout=5):
            fresh.update({{"x": 2}})
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
end_of_child = time.monotonic() + {20 * PATIENCE}
while True:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        break
    if time.monotonic() > end_of_child:
        os.kill(pid, 9)
        raise SystemExit("the child hangs")
    time.sleep(0.01)
if held in ("read", "queued writer"):
    table.lock.release_read()
elif held == "write":
    table.lock.release_write()
end.set()
for thread in threads:
    thread.join()
table.insert({{"n": 5}})
assert len(table) == 101
sys.exit(os.waitstatus_to_exitcode(status))
"""
    check_python(code, timeout=40)


@no_fork_beside_threads
def test_fork_while_other_threads_write() -> None:
    code = f"""
import os, threading, time, dictdb
db = dictdb.DictDB()
table = db.create_table("t")
table.insert([{{"a": 0, "b": 0}} for _ in range(300)])
stop = threading.Event()
def write():
    n = 0
    while not stop.is_set():
        n += 1
        table.update({{"a": n, "b": n}})
        table.delete(where=table.id == table.insert({{"a": n, "b": n}}))
threads = [threading.Thread(target=write) for _ in range(2)]
for thread in threads:
    thread.start()
failed = 0
for _ in range(25):
    pid = os.fork()
    if pid == 0:
        rows = table.select()
        os._exit(0 if all(r["a"] == r["b"] for r in rows) and 300 <= len(rows) <= 302 else 1)
    end = time.monotonic() + {10 * PATIENCE}
    while not (done := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(pid, 9)
        time.sleep(0.002)
    failed += done[1] != 0
stop.set()
for thread in threads:
    thread.join()
assert failed == 0, failed
"""
    check_python(code, timeout=90)


@pytest.mark.threads
def test_check_then_insert_under_the_write_lock() -> None:
    table = Table("t", primary_key="name")
    inserted = []

    def work() -> None:
        for i in range(50 if SANITIZER else 400):
            name = f"n{i}"
            with table._lock.write_lock():
                if not table.select(where=table["name"] == name) and name not in table:
                    table.insert({"name": name, "by": threading.get_ident()})
                    inserted.append(name)

    run_threads([work] * 4)
    assert len(inserted) == len(set(inserted)) == table.count()


@pytest.mark.threads
def test_check_then_insert_without_a_lock_raises_and_never_doubles() -> None:
    table = Table("t", primary_key="name")
    failures = []

    def work() -> None:
        for i in range(50 if SANITIZER else 400):
            if not table.select(where=table["name"] == f"n{i}"):
                try:
                    table.insert({"name": f"n{i}"})
                except DuplicateKeyError as error:
                    failures.append(error)

    run_threads([work] * 4)
    assert table.count() == (50 if SANITIZER else 400)
    assert len({row["name"] for row in table.select()}) == table.count()


@pytest.mark.threads
def test_read_modify_write_under_the_write_lock() -> None:
    table = Table("t")
    table.insert({"n": 0})
    rounds = 50 if SANITIZER else 500

    def work() -> None:
        for _ in range(rounds):
            with table.lock.write_lock():
                table.update({"n": table.get(1)["n"] + 1}, where=table.id == 1)

    run_threads([work] * 4)
    assert table.get(1)["n"] == 4 * rounds


@pytest.mark.threads
def test_one_thread_upgrades() -> None:
    lock = RWLock()
    with lock.read_lock(), lock.write_lock(timeout=5):
        assert in_thread(lambda: lock.acquire_read(blocking=False)) is False
    assert in_thread(lambda: lock.acquire_write(blocking=False)) is True


@pytest.mark.threads
def test_an_upgrade_waits_for_the_other_readers() -> None:
    lock = RWLock()
    reading, go = threading.Event(), threading.Event()

    def reader() -> None:
        with lock.read_lock():
            reading.set()
            go.wait(20)

    with background(reader):
        reading.wait(20)
        with lock.read_lock():
            assert lock.acquire_write(timeout=0.05) is False
            go.set()
            with lock.write_lock(timeout=20):
                pass


@pytest.mark.threads
def test_two_upgrades_are_a_deadlock_that_raises() -> None:
    table = Table("accounts")
    both = threading.Barrier(2)
    outcomes: list[str] = []

    def work() -> None:
        with table.lock.read_lock():
            both.wait(20)
            try:
                with table.lock.write_lock(timeout=30):
                    outcomes.append("upgraded")
            except DeadlockError as error:
                assert isinstance(error, RuntimeError)
                assert "accounts" in str(error)
                outcomes.append("deadlock")

    run_threads([work] * 2)
    assert sorted(outcomes) == ["deadlock", "upgraded"]
    assert in_thread(lambda: table.lock.acquire_write(blocking=False)) is True


@pytest.mark.threads
def test_a_cycle_over_two_tables_raises() -> None:
    a, b = Table("left"), Table("right")
    both = threading.Barrier(2)
    outcomes: list[str] = []

    def work(first: Table, second: Table) -> None:
        with first.lock.write_lock():
            both.wait(20)
            try:
                with second.lock.write_lock(timeout=30):
                    outcomes.append("done")
            except DeadlockError as error:
                assert "left" in str(error)
                assert "right" in str(error)
                outcomes.append("deadlock")

    run_threads([lambda: work(a, b), lambda: work(b, a)])
    assert sorted(outcomes) == ["deadlock", "done"]


@pytest.mark.threads
def test_a_cycle_through_a_plain_read_raises() -> None:
    """Each holds one table exclusively and reads the other: reads wait, so they close a cycle."""
    a, b = Table("left"), Table("right")
    for table in (a, b):
        table.insert({"n": 1})
    both = threading.Barrier(2)
    outcomes: list[str] = []

    def work(first: Table, second: Table) -> None:
        with first.lock.write_lock():
            both.wait(20)
            try:
                second.get(1)
                outcomes.append("read")
            except DeadlockError:
                outcomes.append("deadlock")

    run_threads([lambda: work(a, b), lambda: work(b, a)])
    assert sorted(outcomes) == ["deadlock", "read"]


@pytest.mark.threads
def test_locking_several_tables_in_any_order_does_not_deadlock() -> None:
    db = DictDB()
    for name in "abc":
        db.create_table(name)
    orders = [("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a"), ("c", "a", "b")]

    def work(names: tuple[str, ...]) -> None:
        for _ in range(20 if SANITIZER else 200):
            with db.write_lock(*names):
                for name in names:
                    db[name].insert({"x": 1})

    run_threads([lambda o=o: work(o) for o in orders])
    assert len({db[name].count() for name in "abc"}) == 1


@pytest.mark.threads
@pytest.mark.parametrize("side", ["read", "write"])
def test_release_by_another_thread_raises(side: str) -> None:
    lock = RWLock()
    acquire, release = getattr(lock, f"acquire_{side}"), getattr(lock, f"release_{side}")

    def foreign() -> None:
        with pytest.raises(LockOwnershipError) as caught:
            release()
        assert isinstance(caught.value, RuntimeError)

    foreign()
    acquire()
    run_threads([foreign])
    assert in_thread(lambda: lock.acquire_write(blocking=False)) is False
    release()
    foreign()


@pytest.mark.threads
def test_timeouts() -> None:
    table = Table("busy")
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with table.lock.write_lock():
            held.set()
            end.wait(60)

    with background(hold):
        try:
            held.wait(20)
            for call in (table.lock.read_lock, table.lock.write_lock):
                began = time.monotonic()
                with pytest.raises(LockTimeoutError) as caught:
                    call(timeout=0.05).__enter__()
                assert 0.04 < time.monotonic() - began < 5 * PATIENCE
                assert isinstance(caught.value, TimeoutError)
                assert "busy" in str(caught.value)
            assert table.lock.acquire_read(timeout=0.01) is False
            assert table.lock.acquire_write(timeout=0) is False
            assert table.lock.acquire_read(blocking=False) is False
        finally:
            end.set()
    assert table.lock.acquire_write(timeout=0) is True
    table.lock.release_write()


@pytest.mark.threads
def test_a_timed_out_writer_leaves_no_trace() -> None:
    """Readers that queued behind a writer must go on when the writer gives up."""
    lock = RWLock()
    with lock.read_lock():
        writer = threading.Thread(target=lambda: lock.acquire_write(timeout=0.3), daemon=True)
        before = waits(lock)
        writer.start()
        time.sleep(0.1)
        assert in_thread(lambda: lock.acquire_read(timeout=10)) is True
        join_all([writer])
        assert waits(lock) >= before
    wait_until(lambda: True)


@pytest.mark.threads
def test_neither_side_starves() -> None:
    """Readers that overlap for ever let a writer in; writers in a row let a reader in."""
    table = Table("t")
    table.insert({"n": 0})
    counts = {"reads": 0, "writes": 0}
    end = time.monotonic() + (1.0 if not LONG else 10.0)

    def going_on() -> bool:
        """All of them, until each side had its turns: who starves ends by its timeout."""
        return time.monotonic() < end or min(counts.values()) < 5

    def read() -> None:
        while going_on():
            with table.lock.read_lock(timeout=20 * PATIENCE):
                time.sleep(0.001)
                counts["reads"] += 1

    def write() -> None:
        while going_on():
            with table.lock.write_lock(timeout=20 * PATIENCE):
                counts["writes"] += 1

    run_threads([read] * 4 + [write] * 2)


def test_a_thread_that_ends_with_a_lock_does_not_stop_the_others_silently() -> None:
    """Its lock stays held; a wait with a timeout says so instead of hanging."""
    table = Table("left_locked")
    in_thread(lambda: table.lock.acquire_write())
    with pytest.raises((LockTimeoutError, DeadlockError)):
        with table.lock.write_lock(timeout=0.2):
            pass


def test_signals_other_than_ctrl_c_do_not_end_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("t")
    handled: list[Any] = []
    old = signal.signal(signal.SIGUSR1, lambda *arguments: handled.append(arguments))
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with table.lock.write_lock():
            held.set()
            end.wait(60)

    def disturb() -> None:
        held.wait(20)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGUSR1)
        wait_until(lambda: handled)
        end.set()

    try:
        with background(hold, disturb):
            held.wait(20)
            assert table.insert({"x": 1}) == 1
    finally:
        end.set()
        signal.signal(signal.SIGUSR1, old)
    assert len(handled) == 1
