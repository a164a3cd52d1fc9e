# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""restore and verify: back to any backup, and nothing that is wrong goes unseen."""

from __future__ import annotations

import datetime as dt
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import dictdb
import native_reader
from dictdb import (
    BackupManager,
    CorruptFileError,
    DictDB,
    InvalidArgumentError,
    MissingFileError,
    StorageError,
    _set,
    _verify,
    list_backups,
    restore,
    verify,
)
from test_save_load import filled, same

FORMATS = ["dictdb", "json"]


def manager_of(db: DictDB, folder: Path, **options: Any) -> BackupManager:
    """Not started."""
    options = {"incremental": True, "max_deltas_before_full": 3, **options}
    return BackupManager(db, folder, 3600, min_backup_interval=0, **options)


def change(db: DictDB, rng: random.Random) -> None:
    """A random step: records, tables that come and go and come back, indexes."""
    name = rng.choice("abc")
    what = rng.randrange(12)
    if name not in db:
        schema = {"id": int, "n": int} if rng.random() < 0.3 else None
        db.create_table(name, schema=schema)
        return
    table = db[name]
    if what == 0:
        db.drop_table(name)
    elif what == 1:
        if "n" in table.indexed_fields():
            table.drop_index("n")
        else:
            table.create_index("n", rng.choice(["hash", "sorted"]))
    elif what == 2:
        table.delete(table.n == rng.randrange(5))
    elif what == 3:
        table.update({"n": rng.randrange(5)}, where=table.n == rng.randrange(5))
    elif what == 4 and len(table):
        table.delete(
            table.id == max(row["id"] for row in table.select())
        )  # Its key may not return.
    elif what == 5:  # A key that is there, or was, or would be given later.
        table.upsert({"id": rng.randrange(1, 60), "n": rng.randrange(5)})
    elif what == 6 and len(table) > 1:
        key = rng.choice(table.select())["id"]
        table.delete(table.id == key)
        table.insert({"id": key, "n": 9})  # It is the last one now.
    else:
        table.insert([{"n": rng.randrange(5)} for _ in range(rng.randrange(1, 20))])


def next_keys(db: DictDB) -> dict[str, int]:
    """The automatic key that the next record gets, in each table of a copy."""
    return {name: db[name].insert({"n": 1}) for name in db.list_tables()}


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_moment_comes_back(tmp_path: Path, rng: random.Random, file_format: str) -> None:
    for round_number in range(4):
        folder = tmp_path / str(round_number)
        db = DictDB()
        steady = db.create_table("steady")
        manager = manager_of(db, folder, file_format=file_format)
        copies: list[tuple[str, DictDB]] = []
        for number in range(10):
            for _ in range(rng.randrange(1, 15)):
                change(db, rng)
            steady.insert({"n": number})  # What changes nothing makes no file.
            path = manager.backup_now()
            db.save(tmp_path / "copy.dictdb")
            copies.append((path.name, DictDB.load(tmp_path / "copy.dictdb")))
            assert manager.deltas_since_full == number % 4
        greatest: dict[str, int] = {}
        for name, copy in reversed(copies):
            back = restore(folder, name)
            same(copy, back)
            live = next_keys(copy)
            for table, key in next_keys(back).items():
                greatest[table] = max(greatest.get(table, 0), live[table])
                assert key == greatest[table], "a key that a later backup has seen"
        assert verify(folder)


@pytest.mark.parametrize("seed", range(8))
def test_a_second_reader_of_deltas(tmp_path: Path, seed: int) -> None:
    """Written from the format's description alone, it reads the same from every chain."""
    rng = random.Random(seed)
    db = DictDB()
    manager = manager_of(db, tmp_path, file_format="dictdb", max_deltas_before_full=9)
    for _ in range(8):
        for _ in range(rng.randrange(1, 20)):
            change(db, rng)
        manager.backup_now()
        paths = [backup.path for backup in list_backups(tmp_path)]
        tables = native_reader.read_chain(paths)
        back = restore(tmp_path)
        assert list(tables) == db.list_tables() == back.list_tables()
        for name, found in tables.items():
            assert found["records"] == db[name].select() == back[name].select()
            assert [index[2] for index in found["indexes"]] == [
                [field] for field in back[name].indexed_fields()
            ]
            assert found["primary_key"] == back[name].primary_key
            assert found["next_key"] == back[name].insert({"n": 0})


def test_at(tmp_path: Path) -> None:
    db = DictDB()
    table = db.create_table("t")
    manager = manager_of(db, tmp_path)
    paths = []
    for n in range(5):
        table.insert({"n": n})
        paths.append(manager.backup_now())
    backups = list_backups(tmp_path)
    assert [backup.path for backup in backups] == paths
    assert [backup.is_delta for backup in backups] == [False, True, True, True, False]
    assert [backup.size for backup in backups] == [path.stat().st_size for path in paths]
    for n, backup in enumerate(backups):
        second = dt.timedelta(microseconds=1)
        for at in (n, n - 5, backup, backup.name, backup.path, backup.path.stem, backup.time):
            assert len(restore(tmp_path, at)["t"]) == n + 1
        assert len(restore(tmp_path, backup.time + second)["t"]) == n + 1
        local = backup.time.astimezone().replace(tzinfo=None)
        assert len(restore(tmp_path, local)["t"]) == n + 1
        if n:
            assert len(restore(tmp_path, backup.time - second)["t"]) == n
    assert len(restore(str(tmp_path))["t"]) == 5
    assert isinstance(restore(tmp_path), DictDB)
    with pytest.raises(InvalidArgumentError, match="the oldest is"):
        restore(tmp_path, backups[0].time - dt.timedelta(seconds=1))
    for wrong in (5, -6, "dictdb_backup_1_000000.json", 1.5, True, b""):
        with pytest.raises(InvalidArgumentError):
            restore(tmp_path, wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("hours", [None, 0, 14, -14])
def test_the_first_and_the_last_moment_of_all(tmp_path: Path, hours: int | None) -> None:
    zone = None if hours is None else dt.timezone(dt.timedelta(hours=hours))
    db = DictDB()
    db.create_table("t").insert({"n": 1})
    manager_of(db, tmp_path).backup_now()
    assert restore(tmp_path, dt.datetime.max.replace(tzinfo=zone))["t"].count() == 1
    with pytest.raises(InvalidArgumentError, match="no backup is as old as 1-01-01"):
        restore(tmp_path, dt.datetime.min.replace(tzinfo=zone))


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for call in (restore, list_backups):
        with pytest.raises(StorageError, match=r"cannot list the folder '.*file'"):
            call(tmp_path / "file")


def test_what_is_removed_while_it_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention takes away what a restore has listed: it begins again, and not for ever."""
    db = DictDB()
    table = db.create_table("t")
    manager = manager_of(db, tmp_path, incremental=False, keep=1)
    manager.backup_now()
    load, removed = _set.load_chain, 0

    def load_later(*args: Any) -> DictDB:
        nonlocal removed
        if removed < most:
            removed += 1
            table.insert({"n": removed})
            manager.backup_now()
        return load(*args)

    monkeypatch.setattr(_set, "load_chain", load_later)
    most = 2
    same(restore(tmp_path), db)
    assert removed == 2
    most = 10**9
    with pytest.raises(MissingFileError, match="are removed while they are read"):
        restore(tmp_path)
    most = 0
    last = list_backups(tmp_path)[0]
    assert restore(tmp_path, last)["t"].count() == len(table)
    most = 10**9
    with pytest.raises(InvalidArgumentError, match=f"there is no backup '{last.name}'"):
        restore(tmp_path, last)


def test_all_that_is_removed_while_it_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not read is not called sound."""
    db = DictDB()
    manager = manager_of(db, tmp_path, incremental=False, keep=1)
    manager.backup_now()
    check = _verify._check

    def check_later(path: Path, *args: Any) -> Any:
        if left.pop():
            manager.backup_now()  # Which removes the one to be checked.
        return check(path, *args)

    monkeypatch.setattr(_verify, "_check", check_later)
    left = [False, True, True]
    report = verify(tmp_path)
    assert not left
    assert [file.path for file in report.files] == [list_backups(tmp_path)[0].path]
    left = [True] * 100
    with pytest.raises(InvalidArgumentError, match="no backups"):
        verify(tmp_path)


def test_what_is_no_file_is_no_backup(tmp_path: Path) -> None:
    """Also when it is called like one: nothing waits for the other end of a pipe."""
    db = filled()
    path = Path(manager_of(db, tmp_path).backup_now())
    Path(tmp_path, "dictdb_backup_1_000000.json").mkdir()
    os.mkfifo(tmp_path / "dictdb_delta_99999999999_000000.dictdb")
    Path(tmp_path, "dictdb_backup_99999999999_000001.pickle").symlink_to(tmp_path)
    assert [backup.path for backup in list_backups(tmp_path)] == [path]
    assert [file.path for file in verify(tmp_path).files] == [path]
    same(restore(tmp_path), db)
    loop = tmp_path / "dictdb_backup_2_000000.json"
    loop.symlink_to(loop)
    for call in (restore, verify, list_backups):
        with pytest.raises(StorageError, match=f"cannot look at '{loop}'"):
            call(tmp_path)


def test_nothing_to_restore(tmp_path: Path) -> None:
    (tmp_path / "dictdb_backup_1_000000.json.bak").write_text("no backup")
    (tmp_path / "dictdb_delta_1_000000.pickle").write_text("no backup")
    with pytest.raises(FileNotFoundError, match="no backup in"):
        restore(tmp_path)
    for call in (restore, verify, list_backups):
        with pytest.raises(MissingFileError):
            call(tmp_path / "nothing")
        with pytest.raises(InvalidArgumentError):
            call("nul\0")
        with pytest.raises(InvalidArgumentError, match="no path given"):
            call("")
    with pytest.raises(InvalidArgumentError, match="no backups and no database"):
        verify(tmp_path)


def test_a_damaged_tail(tmp_path: Path) -> None:
    db = filled()
    manager = manager_of(db, tmp_path, max_deltas_before_full=10)
    paths = []
    for n in range(4):
        db["users"].insert({"name": "new", "age": n, "x": n})
        paths.append(manager.backup_now())
    whole = paths[2].read_bytes()
    broken = bytearray(whole)
    broken[100] ^= 1
    paths[2].write_bytes(broken)
    with pytest.raises(CorruptFileError) as info:
        restore(tmp_path)
    assert paths[3].name in str(info.value)
    assert paths[2].name in str(info.value)
    assert f"what can be is {paths[1].name}" in str(info.value)
    assert "byte 64" in str(info.value)
    assert info.value.offset == 64
    assert restore(tmp_path, paths[1])["users"].count() == filled()["users"].count() + 2
    report = verify(tmp_path)
    assert not report
    assert report.problems[0].path == paths[2]
    assert report.problems[0].offset == 64
    assert paths[2].name in repr(report)
    assert "damaged" in str(report)
    # The same of one that is missing.
    paths[2].unlink()
    with pytest.raises(CorruptFileError, match="not there") as info:
        restore(tmp_path)
    assert paths[1].name in str(info.value)
    assert not verify(tmp_path)
    # And with nothing to go back to.
    paths[0].write_bytes(b"")
    with pytest.raises(CorruptFileError, match="nor can any"):
        restore(tmp_path, paths[1])
    paths[2].write_bytes(whole)


def test_every_damage_is_found(tmp_path: Path, rng: random.Random) -> None:
    """Any byte changed, any length cut, of any file of a set."""
    db = DictDB()
    table = db.create_table("t")
    manager = manager_of(db, tmp_path / "set")
    paths = []
    for n in range(3):
        table.insert({"n": n, "text": "x" * n})
        paths.append(manager.backup_now())
    good = db["t"].select()
    for path in paths:
        whole = path.read_bytes()
        for at in [*range(len(whole)), *range(len(whole))]:
            damaged = bytearray(whole)
            if rng.random() < 0.3:
                del damaged[at:]
            else:
                damaged[at] ^= 1 << rng.randrange(8)
            if rng.random() < 0.3:  # All of them would take long.
                path.write_bytes(damaged)
                # JSON without its last line's end, or with another of JSON's spaces there.
                if damaged.rstrip(b" \t\r\n") == whole.rstrip(b" \t\r\n"):
                    assert restore(tmp_path / "set")["t"].select() == good
                    assert verify(path)
                    continue
                with pytest.raises(CorruptFileError, match=path.name):
                    restore(tmp_path / "set")
                assert not verify(path)
        path.write_bytes(whole)
    assert restore(tmp_path / "set")["t"].select() == good
    assert verify(tmp_path / "set")


def test_keys_are_never_given_twice(tmp_path: Path) -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert({})
    manager = manager_of(db, tmp_path, max_deltas_before_full=1)
    first = manager.backup_now()
    for _ in range(4):
        table.insert([{} for _ in range(100)])
        manager.backup_now()
    table.delete()
    manager.backup_now()
    back = restore(tmp_path, first)
    assert len(back["t"]) == 1
    assert back["t"].insert({}) == 402
    assert restore(tmp_path)["t"].insert({}) == 402
    # A file that cannot say: the restore goes on, and says so.
    list_backups(tmp_path)[-1].path.write_bytes(b"")
    assert restore(tmp_path, first)["t"].insert({}) == 402


def test_files_of_two_managers_in_one_folder(tmp_path: Path) -> None:
    one, two = DictDB(), DictDB()
    managers = [manager_of(db, tmp_path, max_deltas_before_full=9) for db in (one, two)]
    paths: list[tuple[Path, int]] = []
    for db, name in ((one, "one"), (two, "two")):
        db.create_table(name)
    for n in range(8):
        which = n % 2
        (one, two)[which][("one", "two")[which]].insert({"n": n})
        paths.append((managers[which].backup_now(), n))
    for path, n in paths:
        back = restore(tmp_path, path)
        assert back.list_tables() == [("one", "two")[n % 2]]
        assert len(back[("one", "two")[n % 2]]) == n // 2 + 1
    assert verify(tmp_path)


def test_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    db = filled()
    manager = manager_of(db, tmp_path)
    manager.backup_now()
    db["users"].delete()
    manager.backup_now()
    for call in (restore, verify):
        seen: list[tuple[int, int]] = []
        call(tmp_path, progress=lambda done, total, seen=seen: seen.append((done, total)))
        assert seen
        assert seen == sorted(seen)
        assert seen[-1][0] == seen[-1][1] > 0

        def stop(done: int, total: int) -> None:
            raise KeyError("stop")

        with pytest.raises(KeyError, match="stop"):
            call(tmp_path, progress=stop)
        with pytest.raises(TypeError, match="progress must be callable or True, not 'int'"):
            call(tmp_path, progress=5)
        call(tmp_path, progress=False)
        call(tmp_path, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "restore dictdb_delta_" in shown.err
    assert f"verify {tmp_path.name}" in shown.err


@pytest.mark.parametrize("name", ["a.dictdb", "a.json"])
def test_verify_a_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    filled().save(path)
    report = verify(path)
    assert report
    assert report.ok
    assert report.kind == "file"
    assert report.size == path.stat().st_size
    assert report.files[0].kind == ("json" if name == "a.json" else "native")
    assert report.files[0].records == sum(len(table) for table in filled().tables.values())
    assert "sound" in repr(report)
    assert "1 file," in repr(report)
    assert str(path) in str(report)
    path.write_bytes(path.read_bytes()[:-9])
    assert not verify(path)
    assert "damaged" in repr(verify(str(path)))
    path.write_bytes(os.urandom(100))
    assert verify(path).files[0].kind == "unknown"


def test_verify_a_database(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    with DictDB.open(folder, durability="none") as db:
        table = db.create_table("t")
        table.insert([{"n": n} for n in range(100)])
        report = verify(folder)
        assert report
        assert report.kind == "database"
        assert [file.kind for file in report.files] == ["log"]
        db.checkpoint()
        table.insert({"n": 1})
        assert [file.kind for file in verify(folder).files] == ["native", "log"]
        shutil.copytree(folder, tmp_path / "torn")
    segment = next((tmp_path / "torn").glob("log-*"))
    segment.write_bytes(segment.read_bytes()[:-3])
    report = verify(tmp_path / "torn")
    assert report, "as of a crash"
    assert "opening the database removes them" in str(report)
    checkpoint = next((tmp_path / "torn").glob("checkpoint-*"))
    data = bytearray(checkpoint.read_bytes())
    data[200] ^= 1
    checkpoint.write_bytes(data)
    report = verify(tmp_path / "torn")
    assert not report
    assert report.problems[0].path == checkpoint
    assert verify(folder)
    next(folder.glob("log-*")).unlink()
    report = verify(folder)
    assert not report
    assert "missing" in report.problems[0].message


@pytest.mark.parametrize(
    ("growths", "checks", "sound"), [(0, 1, False), (2, 3, True), (99, 10, False)]
)
def test_what_grows_while_it_is_verified_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, growths: int, checks: int, sound: bool
) -> None:
    """A commit that is half written when it is read may look like damage."""
    once = _verify._verify_database_once
    calls: list[Path] = []
    with DictDB.open(tmp_path / "db", durability="none") as db:
        table = db.create_table("t")

        def check(folder: Path, files: list[Path], tell: Any) -> dictdb.Report:
            calls.append(files[-1])
            report = once(folder, files, tell)
            if growths and len(calls) > growths:
                return report
            if growths:
                table.insert({"n": 1})
            problem = dictdb.Problem(files[-1], 64, "torn")
            return dictdb.Report(folder, "database", report.files, [problem])

        monkeypatch.setattr(_verify, "_verify_database_once", check)
        assert verify(tmp_path / "db").ok is sound
    assert len(calls) == checks


def test_a_restored_database_goes_on(tmp_path: Path) -> None:
    """As the base of a set of its own, in the same folder."""
    db = DictDB()
    db.create_table("t").insert({"n": 1})
    manager_of(db, tmp_path).backup_now()
    back = restore(tmp_path)
    manager = manager_of(back, tmp_path)
    back["t"].insert({"n": 2})
    manager.backup_now()
    back.create_table("u").insert({"n": 3})
    manager.backup_now()
    same(back, restore(tmp_path))
    assert dictdb.restore is restore


def test_the_clock_was_set_back(tmp_path: Path) -> None:
    """A new backup is the newest all the same, and is not taken for an old one."""
    db = DictDB()
    db.create_table("t").insert({"n": 1})
    first = manager_of(db, tmp_path).backup_now()
    later = first.rename(tmp_path / "dictdb_backup_32503680000_999999.dictdb")
    db["t"].insert({"n": 2})
    second = manager_of(db, tmp_path, keep=1).backup_now()
    assert second.name > later.name
    assert [backup.path for backup in list_backups(tmp_path)] == [second]
    assert not later.exists()
    assert len(restore(tmp_path)["t"]) == 2


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_base_that_was_replaced(tmp_path: Path, file_format: str) -> None:
    """No delta goes on from a file that somebody put in the place of the one that was written."""
    db, other = DictDB(), DictDB()
    db.create_table("t").insert({"n": 1})
    other.create_table("t").insert({"n": 2})
    manager = manager_of(db, tmp_path, file_format=file_format)
    base = manager.backup_now()
    other.save(base, file_format)
    db["t"].insert({"n": 3})
    manager.backup_now()
    assert [backup.is_delta for backup in list_backups(tmp_path)] == [False, False]
    same(db, restore(tmp_path))
    assert verify(tmp_path)


def test_what_a_write_lock_holds_back_is_in_the_next_backup(tmp_path: Path) -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert({"n": 1})
    manager = manager_of(db, tmp_path)
    first = manager.backup_now()
    with table.lock.write_lock():
        table.insert({"n": 2})
        inside = manager.backup_now()
    second = manager.backup_now()
    assert len({first, inside, second}) == 3
    assert len(restore(tmp_path, inside)["t"]) == 1
    assert len(restore(tmp_path, second)["t"]) == 2
