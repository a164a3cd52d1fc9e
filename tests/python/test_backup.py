# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""BackupManager: whole files of one instant, in the background, whatever fails."""

from __future__ import annotations

import json
import logging
import random
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dictdb import BackupManager, DictDB, InvalidArgumentError, StorageError, _backup, restore
from helpers import (
    background,
    check_python,
    no_fork_beside_threads,
    run_python,
    run_threads,
    wait_until,
)

NAME = re.compile(r"dictdb_backup_\d+_\d{6}\.json")


def backups(folder: Path) -> list[Path]:
    return sorted(folder.glob("dictdb_backup_*"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "some" / "backups"


@pytest.fixture
def manager(db: DictDB, folder: Path) -> Iterator[BackupManager]:
    """Not started, and too slow to do anything by itself."""
    made = BackupManager(db, folder, backup_interval=3600, min_backup_interval=0)
    yield made
    made.stop()


def test_backup_now(db: DictDB, manager: BackupManager, folder: Path) -> None:
    db.create_table("t").insert([{"n": n} for n in range(10)])
    began = time.time()
    path = manager.backup_now()
    assert isinstance(path, Path)
    assert path.parent == folder
    assert NAME.fullmatch(path.name)
    seconds, micros = map(int, re.findall(r"\d+", path.name))
    assert began - 1 <= seconds + micros / 1e6 <= time.time() + 1
    assert DictDB.load(path)["t"].select() == db["t"].select()
    second = manager.backup_now()
    assert second.name > path.name
    assert backups(folder) == [path, second]
    assert list(folder.iterdir()) == [path, second] or len(list(folder.iterdir())) == 2


def test_periodic_backups(db: DictDB, folder: Path) -> None:
    table = db.create_table("t")
    manager = BackupManager(db, str(folder), backup_interval=0.03, min_backup_interval=0)
    manager.start()
    wait_until(lambda: (table.insert({}), len(backups(folder)) >= 4)[1])
    manager.stop()
    counts = [len(DictDB.load(path)["t"]) for path in backups(folder)]
    assert counts == sorted(counts)
    assert counts[-1] == len(table), "the final backup has everything"


def test_a_notified_change_is_saved_soon(db: DictDB, manager: BackupManager, folder: Path) -> None:
    table = db.create_table("t")
    manager.start()
    assert backups(folder) == []
    for n in range(1, 4):
        table.insert({})
        manager.notify_change()
        wait_until(lambda n=n: len(backups(folder)) >= n)
        assert len(DictDB.load(backups(folder)[-1])["t"]) == n


class Clock:
    """The clock of dictdb._backup, which stands still between the moves of a test."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.looks = 0
        self.time_ns = time.time_ns

    def monotonic(self) -> float:
        self.looks += 1
        return self.now


def test_changes_are_debounced_and_the_last_is_not_forgotten(
    db: DictDB, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(_backup, "time", clock)
    table = db.create_table("t")

    def change() -> None:
        """Insert, notify, and wait until the worker has decided."""
        table.insert({})
        looks = clock.looks
        manager.notify_change()
        wait_until(lambda: clock.looks > looks)

    with BackupManager(db, folder, 3600, min_backup_interval=100) as manager:
        change()
        wait_until(lambda: len(backups(folder)) == 1)
        for clock.now in range(1010, 1100, 10):
            change()
        clock.now = 1100
        total = len(table) + 1
        change()
        wait_until(lambda: len(DictDB.load(backups(folder)[-1])["t"]) == total)
        assert len(backups(folder)) == 2
        table.insert({})
        manager.notify_change()
    assert len(backups(folder)) == 3
    assert len(DictDB.load(backups(folder)[-1])["t"]) == len(table)


def test_a_change_during_a_backup_leads_to_another(
    db: DictDB, manager: BackupManager, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving, go = threading.Event(), threading.Event()
    ended: list[Path] = []
    real = DictDB.save

    def slow(self: DictDB, path: Path, *arguments: Any, **options: Any) -> None:
        real(self, path, *arguments, **options)
        saving.set()
        go.wait(60)
        ended.append(path)

    monkeypatch.setattr(DictDB, "save", slow)
    table = db.create_table("t")
    manager.start()
    manager.notify_change()
    assert saving.wait(20)
    table.insert({})
    manager.notify_change()
    assert not ended, "notify_change waited for the backup"
    go.set()
    wait_until(lambda: len(backups(folder)) >= 2)
    assert len(DictDB.load(backups(folder)[-1])["t"]) == 1


def test_stop_waits_and_makes_a_final_backup(
    db: DictDB, manager: BackupManager, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving, ended = threading.Event(), []
    real = DictDB.save

    def slow(self: DictDB, *arguments: Any, **options: Any) -> None:
        saving.set()
        time.sleep(0.2)
        real(self, *arguments, **options)
        ended.append(time.monotonic())

    monkeypatch.setattr(DictDB, "save", slow)
    table = db.create_table("t")
    manager.start()
    manager.notify_change()
    assert saving.wait(20)
    table.insert({})
    manager.stop()
    assert len(ended) == 2
    assert len(DictDB.load(backups(folder)[-1])["t"]) == 1
    assert not [t for t in threading.enumerate() if t.name == "dictdb-backup"]


def test_start_and_stop_again(db: DictDB, manager: BackupManager, folder: Path) -> None:
    manager.stop()
    assert backups(folder) == []
    for n in range(1, 4):
        manager.start()
        manager.start()
        assert len([t for t in threading.enumerate() if t.name == "dictdb-backup"]) == 1
        assert "running" in repr(manager)
        manager.stop()
        manager.stop()
        assert "stopped" in repr(manager)
        assert len(backups(folder)) == n


def test_the_thread_is_a_daemon(manager: BackupManager) -> None:
    manager.start()
    assert [t.daemon for t in threading.enumerate() if t.name == "dictdb-backup"] == [True]


def test_the_context_manager_stops_on_errors(db: DictDB, folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        with BackupManager(db, folder) as manager:
            assert isinstance(manager, BackupManager)
            raise ZeroDivisionError
    assert len(backups(folder)) == 1


class Broken:
    """A folder that is a file while the block runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        for path in backups(self.folder):
            path.unlink()
        self.folder.rmdir()
        self.folder.write_text("in the way")

    def __exit__(self, *exc: object) -> None:
        self.folder.unlink()


def test_failures_are_counted_logged_and_retried(
    db: DictDB, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[tuple[Exception, int]] = []
    manager = BackupManager(
        db,
        folder,
        backup_interval=0.02,
        min_backup_interval=0.01,
        on_backup_failure=lambda error, count: calls.append((error, count)),
    )
    with Broken(folder):
        manager.start()
        wait_until(lambda: len(calls) >= 3)
        assert manager.consecutive_failures >= 3
    wait_until(lambda: manager.consecutive_failures == 0)
    wait_until(lambda: backups(folder))
    manager.stop()
    assert [count for _, count in calls] == list(range(1, len(calls) + 1))
    assert all(isinstance(error, OSError) for error, _ in calls)
    logged = [record for record in caplog.records if record.name == "dictdb"]
    assert len(logged) == len(calls)
    assert all(record.levelno == logging.ERROR for record in logged)
    assert str(folder) in logged[0].getMessage()


@pytest.mark.parametrize("incremental", [False, True])
def test_a_failed_change_is_tried_again(db: DictDB, folder: Path, incremental: bool) -> None:
    """Also when no periodic backup is near."""
    manager = BackupManager(
        db, folder, backup_interval=3600, min_backup_interval=0, incremental=incremental
    )
    db.create_table("t").insert({"n": 1})
    manager.backup_now()
    db["t"].insert({"n": 2})
    with Broken(folder):
        manager.start()
        manager.notify_change()
        wait_until(lambda: manager.consecutive_failures >= 2)
    wait_until(lambda: folder.is_dir() and backups(folder))
    assert len(restore(folder)["t"]) == 2
    manager.stop()


def test_backup_now_and_stop_raise(db: DictDB, folder: Path) -> None:
    calls: list[int] = []
    manager = BackupManager(db, folder, 3600, on_backup_failure=lambda e, n: calls.append(n))
    manager.start()
    with Broken(folder):
        with pytest.raises(OSError):
            manager.backup_now()
        assert manager.consecutive_failures == 1
        with pytest.raises(OSError):
            manager.stop()
        assert manager.consecutive_failures == 2
        assert calls == [1, 2]
    assert manager.backup_now().exists()
    assert manager.consecutive_failures == 0


def test_a_full_disk_leaves_no_half_file(db: DictDB, manager: BackupManager, folder: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    db.create_table("t").insert([{"n": n} for n in range(1000)])
    with pytest.raises(StorageError):
        db.save("/dev/full/x.json")
    whole = manager.backup_now()
    code = f"""
import resource, dictdb, pathlib, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
db = dictdb.DictDB.load({str(whole)!r})
manager = dictdb.BackupManager(db, {str(folder)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    manager.backup_now()
except dictdb.StorageError as error:
    assert isinstance(error, OSError) and error.errno, error
    print("failed")
"""
    assert check_python(code) == "failed\n"
    assert list(folder.iterdir()) == [whole]


def test_a_raising_callback_is_logged(
    db: DictDB, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def callback(error: Exception, count: int) -> None:
        raise RuntimeError("in the callback")

    manager = BackupManager(db, folder, 0.02, min_backup_interval=0, on_backup_failure=callback)
    with Broken(folder):
        manager.start()
        wait_until(lambda: manager.consecutive_failures >= 2)
    wait_until(lambda: manager.consecutive_failures == 0)
    manager.stop()
    assert any("on_backup_failure" in record.getMessage() for record in caplog.records)


def test_one_instant_while_many_write(db: DictDB, folder: Path) -> None:
    a, b = db.create_table("a"), db.create_table("b")
    a.insert({"n": 0})
    b.insert({"n": 0})

    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            with db.write_lock("a", "b"):
                a.update({"n": n})
                b.update({"n": n})

    seen: dict[Path, int] = {}

    def look() -> None:
        for path in backups(folder):
            if path not in seen:
                loaded = DictDB.load(path)
                first, second = loaded["a"].get(1), loaded["b"].get(1)
                assert first == second, f"{path} is not one instant"
                assert first is not None
                seen[path] = first["n"]

    def enough() -> bool:
        look()
        return len(seen) >= 15 and len(set(seen.values())) > 5

    with background(write, stop=stop):
        with BackupManager(db, folder, backup_interval=0.01, min_backup_interval=0):
            wait_until(enough)
    look()


@pytest.mark.parametrize("incremental", [False, True])
def test_writers_are_not_held_up(db: DictDB, folder: Path, incremental: bool) -> None:
    """In the middle of a backup, other threads write and read as ever; it is one instant."""
    tables = [db.create_table("a"), db.create_table("b")]
    for table in tables:
        table.insert([{"n": n, "text": "some text"} for n in range(5000)])
    manager = BackupManager(db, folder, incremental=incremental)
    manager.backup_now()
    for table in tables:
        table.update({"n": -1}, where=table.n % 3 == 0)
    expected = [table.select() for table in tables]
    written: list[int] = []

    def write() -> None:
        for table in tables:
            written.append(table.insert({"n": 1}))
            table.update({"n": 7}, where=table.id == 1)
            assert table.get(1)["n"] == 7

    def during(done: int, total: int) -> None:
        if 0 < done < total:
            run_threads([write])

    manager.backup_now(progress=during)
    assert written, "the backup told of no progress"
    back = restore(folder)
    assert [back["a"].select(), back["b"].select()] == expected
    manager.stop()


def test_backups_within_a_write_lock_block(db: DictDB, manager: BackupManager) -> None:
    """The block's own thread and others save what was there before the block."""
    table = db.create_table("t")
    table.insert({"n": 1})
    with table.lock.write_lock():
        table.insert({"n": 2})
        path = manager.backup_now()
        run_threads([manager.backup_now])
    assert len(DictDB.load(path)["t"]) == 1
    assert len(DictDB.load(manager.backup_now())["t"]) == 2


def test_many_managers_and_threads_have_names_of_their_own(db: DictDB, folder: Path) -> None:
    managers = [BackupManager(db, folder) for _ in range(3)]
    paths: list[Path] = []
    run_threads([lambda m=m: paths.extend(m.backup_now() for _ in range(10)) for m in managers * 2])
    assert len(set(paths)) == len(paths) == 60
    assert backups(folder) == sorted(paths)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backup_interval", 0),
        ("backup_interval", -1),
        ("backup_interval", float("nan")),
        ("backup_interval", float("inf")),
        ("backup_interval", "60"),
        ("backup_interval", True),
        ("min_backup_interval", -0.1),
        ("min_backup_interval", None),
        ("file_format", "csv"),
        ("file_format", None),
        ("on_backup_failure", 5),
    ],
)
def test_wrong_arguments(db: DictDB, folder: Path, name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=name.replace("file_format", "format")):
        BackupManager(db, folder, **{name: value})
    assert not folder.exists()


def test_an_empty_path_is_not_the_current_folder(db: DictDB) -> None:
    with pytest.raises(InvalidArgumentError, match="backup_dir: no path given"):
        BackupManager(db, "")


def test_what_is_no_database(folder: Path) -> None:
    with pytest.raises(TypeError, match="db must be a DictDB, not 'dict'"):
        BackupManager({}, folder)  # type: ignore[arg-type]
    assert not folder.exists()


@pytest.mark.parametrize("seconds", [threading.TIMEOUT_MAX, 1e9])
def test_intervals_of_years(db: DictDB, folder: Path, seconds: float) -> None:
    with BackupManager(db, folder, seconds, min_backup_interval=seconds) as manager:
        assert manager.backup_now().exists()
        manager.notify_change()
        assert manager.consecutive_failures == 0
    assert len(backups(folder)) == 2


def test_a_format_in_any_case(db: DictDB, folder: Path) -> None:
    path = BackupManager(db, folder, file_format="JSON").backup_now()
    assert path.suffix == ".json"
    json.loads(path.read_text())


def test_a_folder_that_vanished_is_made_again(manager: BackupManager, folder: Path) -> None:
    manager.backup_now().unlink()
    folder.rmdir()
    assert manager.backup_now().exists()


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(0)", "import os; manager.stop()"])
def test_the_interpreter_exits_cleanly(tmp_path: Path, end: str) -> None:
    """With a manager that runs, busy with a backup, and never stopped."""
    code = f"""
import dictdb, time, pathlib
db = dictdb.DictDB()
table = db.create_table("t")
table.insert([{{"n": n, "text": "x" * 50}} for n in range(30_000)])
manager = dictdb.BackupManager(db, {str(tmp_path)!r}, 0.01, min_backup_interval=0)
manager.start()
while not list(pathlib.Path({str(tmp_path)!r}).iterdir()):
    time.sleep(0.001)
{end}
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert all(NAME.fullmatch(path.name) for path in tmp_path.iterdir()), list(tmp_path.iterdir())
    assert all(len(DictDB.load(path)["t"]) == 30_000 for path in backups(tmp_path))


def test_a_killed_process_leaves_whole_backups(tmp_path: Path, rng: random.Random) -> None:
    code = f"""
import dictdb, os, pathlib, time
db = dictdb.DictDB()
table = db.create_table("t")
table.insert([{{"n": n, "text": "x" * 50}} for n in range(20_000)])
manager = dictdb.BackupManager(db, {str(tmp_path)!r}, 0.001, min_backup_interval=0)
manager.start()
while len(list(pathlib.Path({str(tmp_path)!r}).glob("dictdb_backup_*"))) < 3:
    time.sleep(0.001)
time.sleep({rng.random() * 0.1})
os.kill(os.getpid(), 9)
"""
    assert run_python(code).returncode == -9
    assert backups(tmp_path)
    for path in backups(tmp_path):
        assert len(DictDB.load(path)["t"]) == 20_000


@no_fork_beside_threads
def test_a_forked_child_has_no_worker_and_does_not_hang(tmp_path: Path) -> None:
    code = f"""
import dictdb, os, time
db = dictdb.DictDB()
db.create_table("t").insert([{{"n": n}} for n in range(2000)])
manager = dictdb.BackupManager(db, {str(tmp_path)!r}, 0.001, min_backup_interval=0)
manager.start()
for _ in range(10):
    time.sleep(0.01)
    pid = os.fork()
    if pid == 0:
        manager.notify_change()
        assert "stopped" in repr(manager)
        manager.stop()
        raise SystemExit(0)
    assert os.waitpid(pid, 0)[1] == 0
manager.stop()
"""
    check_python(code)
