# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""Databases in a directory: what was committed is there again, also after a kill."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import native_reader
from dictdb import (
    CorruptFileError,
    DatabaseInUseError,
    DictDB,
    DuplicateKeyError,
    InvalidArgumentError,
    MissingFileError,
    ReadOnlyDatabaseError,
    StorageError,
    UnsupportedTypeError,
    verify,
)
from helpers import (
    check_python,
    nothing_leaked,
    python_command,
    python_environment,
    run_threads,
    sized,
)
from samples import VALUES, exactly
from test_save_load import same

LEVELS = ["commit", "interval", "none"]


def fill(db: DictDB) -> None:
    users = db.create_table("users", schema={"name": str, "age": int | None})
    users.insert([{"name": f"n{n}", "age": n} for n in range(20)])
    users.create_index("name")
    users.update({"age": None}, where=users.age > 15)
    users.delete(where=users.id == 20)
    things = db.create_table("things", primary_key="key")
    things.insert([{"key": f"k{n}", "value": value} for n, value in enumerate(VALUES)])
    db.create_table("gone").insert({"a": 1})
    db.drop_table("gone")


@pytest.mark.parametrize("durability", LEVELS)
@pytest.mark.parametrize("closed", [True, False])
def test_it_is_there_again(tmp_path: Path, durability: Any, closed: bool) -> None:
    expected = DictDB()
    fill(expected)
    db = DictDB.open(tmp_path / "db", durability)
    fill(db)
    if closed:
        db.close()
    del db
    gc.collect()
    with DictDB.open(str(tmp_path / "db"), durability=durability, interval=0.01) as again:
        same(expected, again)
        assert exactly(expected["things"].select(), again["things"].select())
        assert again["users"].insert({"name": "new", "age": 1}) == 21
        with pytest.raises(ValueError):
            again["users"].insert({"name": 1, "age": 1})
        with pytest.raises(DuplicateKeyError):
            again["users"].insert({"id": 3, "name": "x", "age": 1})


def stop(done: int, total: int) -> None:
    raise KeyboardInterrupt


def act(db: DictDB, rng: random.Random) -> None:
    """One random change, of any kind that a log knows."""
    name = rng.choice("abc")
    if name not in db.list_tables():
        db.create_table(name)
    table = db[name]
    match rng.randrange(9):
        case 0:
            table.insert([{"v": rng.choice(VALUES), f"f{rng.randrange(3)}": n} for n in range(3)])
        case 1:
            table.upsert({"id": rng.randrange(40), "v": rng.choice(VALUES)})
        case 2:
            table.update({f"f{rng.randrange(3)}": rng.randrange(9)}, where=table.id % 3 == 0)
        case 3:
            table.delete(where=table.id % 5 == rng.randrange(5))
        case 4:
            field = f"f{rng.randrange(3)}"
            if field in table.indexed_fields():
                table.drop_index(field)
            else:
                table.create_index(field)
        case 5 if rng.random() < 0.3:
            db.drop_table(name)
        case 6:
            names = sorted({name, db.list_tables()[0]})
            with db.write_lock(*names):
                db[names[0]].insert({"w": 2})
                table.delete(where=table.id == rng.randrange(40))
                table.insert({"v": 3})
        case 7 if rng.random() < 0.4:
            db.checkpoint()
        case 8 if rng.random() < 0.4:  # The log goes on in another segment.
            with pytest.raises(KeyboardInterrupt):
                db.checkpoint(progress=stop)


def let_go(path: Path) -> None:
    """Returns when nothing goes on in the directory: a checkpoint may have been on its way."""
    gc.collect()
    while True:
        try:
            DictDB.open(path, "none")
            return
        except DatabaseInUseError:
            time.sleep(0.01)


@pytest.mark.parametrize("seed", range(12))
def test_a_second_reader_of_the_log(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / "db"
    db = DictDB.open(path, "none")
    if seed % 3 == 0:
        fill(db)
    for _ in range(60):
        act(db, rng)
    expected = {name: db[name].select() for name in db.list_tables()}
    indexes = {name: sorted(db[name].indexed_fields()) for name in db.list_tables()}
    del db
    let_go(path)
    tables = native_reader.read_directory(path)
    with DictDB.open(path, "none") as db:
        assert list(tables) == db.list_tables() == list(expected)
        for name, found in tables.items():
            assert exactly(found["records"], expected[name])
            assert exactly(db[name].select(), expected[name])
            assert sorted(index[2][0] for index in found["indexes"]) == indexes[name]
            if found["primary_key"] == "id" and found["schema"] is None:
                assert db[name].insert({"v": 0}) == found["next_key"]


def test_checkpoints_trim_the_log(tmp_path: Path) -> None:
    def size() -> int:
        return sum(path.stat().st_size for path in (tmp_path / "db").glob("log-*"))

    with DictDB.open(tmp_path / "db", "none") as db:
        table = db.create_table("t")
        table.insert([{"a": n} for n in range(500)])
        for n in range(20):
            table.update({"a": n})
        before = size()
        calls: list[int] = []
        db.checkpoint(progress=lambda done, total: calls.append(done))
        assert size() < before / 10
        assert calls
        assert [path.name for path in (tmp_path / "db").glob("checkpoint-*")] != []
    with DictDB.open(tmp_path / "db") as db:
        assert db["t"].count(where=db["t"].a == 19) == 500


def test_blocks_are_one_commit(tmp_path: Path) -> None:
    db = DictDB.open(tmp_path / "db", "none")
    a, b = db.create_table("a"), db.create_table("b")
    with db.write_lock(a, b):
        a.insert({"n": 1})
        b.insert({"n": 1})
        a.update({"n": 2})
    with a.lock.write_lock():
        a.insert({"n": 5})
        with pytest.raises(DuplicateKeyError):
            a.insert([{"n": 6}, {"id": 1}])
    expected = a.select(), b.select()
    del db, a, b
    gc.collect()
    with DictDB.open(tmp_path / "db") as db:
        assert (db["a"].select(), db["b"].select()) == expected


def test_what_the_log_says(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="not opened"):
        DictDB().log_info()
    with DictDB.open(tmp_path / "db") as db:
        db.create_table("t").insert({"a": 1})
        info = db.log_info()
        assert info["durability"] == "commit"
        assert info["commit"] == info["written_commit"] == info["synced_commit"] == 2
        assert info["log_bytes"] > 100
        assert not info["read_only"]
        db.checkpoint()
        after = db.log_info()
        assert (after["checkpoints"], after["checkpoint_commit"]) == (1, 2)
        assert after["log_bytes"] < info["log_bytes"]
        assert after["checkpoint_error"] is after["failure"] is None
    assert db.log_info()["read_only"]
    with DictDB.open(tmp_path / "db", "none") as db:
        assert db.log_info()["checkpoint_commit"] == 2
        assert db.log_info()["durability"] == "none"


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_directory_of_any_database(tmp_path: Path, snapshot: bool) -> None:
    db = DictDB()
    table = db.create_table("t", schema={"n": int})
    table.insert([{"n": n} for n in range(50)])
    table.create_index("n", "sorted")
    table.delete(where=table.id == 50)
    target = tmp_path / "new.db"
    told: list[tuple[int, int]] = []
    if snapshot:
        with db.snapshot() as seen:
            table.insert({"n": 99})
            seen.save(target, "directory", compression=3)
        table.delete(where=table.n == 99)
    else:
        db.save(target, "Directory", progress=lambda done, total: told.append((done, total)))
        assert told[-1] == (49, 49)
    with DictDB.open(target) as opened:
        assert opened["t"].all() == table.all()
        assert opened["t"].indexed_fields() == ["n"]
        assert opened["t"].insert({"n": 1}) == 51
        with pytest.raises(InvalidArgumentError, match="has a database already"):
            db.save(target, "directory")
    assert verify(target)
    assert len(DictDB.load(target, "directory")["t"]) == len(DictDB.load(target)["t"]) == 50
    with pytest.raises(OSError, match="Not a directory"):
        db.save(target / "LOCK", "directory")
    with pytest.raises(InvalidArgumentError, match=r"not empty: it has 'new\.db'"):
        db.save(tmp_path, "directory")

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        db.save(tmp_path / "none.db", "directory", progress=stop)
    assert [path.name for path in (tmp_path / "none.db").iterdir()] == ["LOCK"]
    db.save(tmp_path / "none.db", "directory")


@pytest.mark.testing_build  # Its logs are short.
def test_checkpoints_made_in_passing_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dictdb")
    with DictDB.open(tmp_path / "db", "none") as db:
        table = db.create_table("t")
        caplog.clear()
        table.insert([{"text": "x" * 100} for _ in range(2000)])
        while not caplog.records:
            time.sleep(0.002)
        assert "checkpoint done by itself: commit " in caplog.records[0].getMessage()
        assert caplog.records[0].levelname == "INFO"


@pytest.mark.testing_build  # Its logs are short.
def test_failed_checkpoints_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are made by the database itself, and nobody waits for them."""
    path = tmp_path / "db"
    in_the_way = path / "log-0000000000000002.ddl"
    with DictDB.open(path, "none") as db:
        in_the_way.mkdir()
        table = db.create_table("t")
        table.insert([{"text": "x" * 100} for _ in range(2000)])
        while not (errors := [one for one in caplog.records if one.levelname == "ERROR"]):
            time.sleep(0.002)
        assert errors[0].name == "dictdb"
        assert "Is a directory" in errors[0].getMessage()
        assert db.log_info()["checkpoint_failures"] > 0
        assert "Is a directory" in db.log_info()["checkpoint_error"]
        in_the_way.rmdir()
        while not db.log_info()["checkpoints"]:
            time.sleep(0.002)
        assert db.log_info()["checkpoint_failures"] == 0
    with DictDB.open(path) as db:
        assert db["t"].count() == 2000


def test_moved_while_it_is_opened(tmp_path: Path) -> None:
    """The log of the one that came to its place is not gone on in that of the moved one."""
    path, other, away = (tmp_path / name for name in ("path", "other", "away"))
    for folder, count in ((path, 50), (other, 5)):
        with DictDB.open(folder) as db:
            db.create_table("t").insert({"name": folder.name} for _ in range(count))

    def move(done: int, total: int) -> None:
        if not away.exists():
            path.rename(away)
            other.rename(path)

    with pytest.raises(StorageError, match=r"cannot go on in .*path"):
        DictDB.open(path, progress=move)
    for folder, name, count in ((away, "path", 50), (path, "other", 5)):
        with DictDB.open(folder) as db:
            assert db["t"].count(db["t"].name == name) == len(db["t"]) == count


def test_closed(tmp_path: Path) -> None:
    db = DictDB.open(tmp_path / "db")
    table = db.create_table("t")
    table.insert({"a": 1})
    db.close()
    db.close()
    for statement in (
        lambda: table.insert({"a": 2}),
        lambda: table.update({"a": 2}),
        lambda: table.delete(),
        lambda: table.create_index("a"),
        lambda: db.create_table("x"),
        lambda: db.drop_table("t"),
        lambda: db.checkpoint(),
    ):
        with pytest.raises(ReadOnlyDatabaseError, match="closed"):
            statement()
    assert table.select() == [{"id": 1, "a": 1}]


def test_in_memory() -> None:
    with DictDB() as db:
        with pytest.raises(InvalidArgumentError):
            db.sync()
        with pytest.raises(InvalidArgumentError):
            db.checkpoint()
    db.create_table("t").insert({"a": 1})


def test_bad_arguments(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with pytest.raises(InvalidArgumentError, match="'sometimes'"):
        DictDB.open(path, "sometimes")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedTypeError, match="durability"):
        DictDB.open(path, 1)  # type: ignore[arg-type]
    for interval in (0, -1, float("nan"), 1e9):
        with pytest.raises(InvalidArgumentError, match="interval"):
            DictDB.open(path, interval=interval)
    for wrong in (True, "1", None):
        with pytest.raises(UnsupportedTypeError, match="interval must be a number, not"):
            DictDB.open(path, interval=wrong)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedTypeError, match="path"):
        DictDB.open(5)  # type: ignore[arg-type]
    assert not path.exists()
    with pytest.raises(MissingFileError):
        DictDB.open(tmp_path / "no" / "db")
    (tmp_path / "letter.txt").write_text("Dear")
    with pytest.raises(InvalidArgumentError, match=r"letter\.txt"):
        DictDB.open(tmp_path)
    (tmp_path / "letter.txt").unlink()
    with DictDB.open(tmp_path, missing="raise") as db:
        assert db.create_table("t") is not None


def test_one_process_at_a_time(tmp_path: Path) -> None:
    code = (
        "import dictdb, sys\n"
        "try:\n"
        f"    dictdb.DictDB.open({str(tmp_path / 'db')!r})\n"
        "except dictdb.DatabaseInUseError as error:\n"
        "    print(error)\n"
    )
    with DictDB.open(tmp_path / "db"):
        with pytest.raises(DatabaseInUseError, match="in this process"):
            DictDB.open(tmp_path / "db")
        assert f"process {os.getpid()}" in check_python(code)
    assert check_python(code) == ""


def test_damage_is_refused(tmp_path: Path) -> None:
    with DictDB.open(tmp_path / "db", "none") as db:
        db.create_table("t").insert([{"a": n} for n in range(100)])
    (path,) = (tmp_path / "db").glob("checkpoint-*")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(CorruptFileError):
        DictDB.open(tmp_path / "db")


def insert_some(table: Any, first: int) -> None:
    for n in range(sized(20)):
        table.insert({"id": first + n})


@pytest.mark.threads
def test_threads_share_syncs(tmp_path: Path) -> None:
    with DictDB.open(tmp_path / "db") as db:
        table = db.create_table("t")
        threads = [
            threading.Thread(target=insert_some, args=(table, k * 1000 + 1)) for k in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        keys = [record["id"] for record in table.select()]
        assert len(keys) == 6 * sized(20)
    with DictDB.open(tmp_path / "db") as db:
        assert [record["id"] for record in db["t"].select()] == keys


@pytest.mark.threads
@pytest.mark.parametrize("durability", ["interval", "none"])
def test_threads_beside_the_log(tmp_path: Path, durability: Any) -> None:
    """The log's own thread meets the locks of threads that run Python meanwhile."""
    with DictDB.open(tmp_path / "db", durability, interval=0.001) as db:
        table = db.create_table("t")

        def work() -> None:
            for n in range(400):
                table.insert({"n": n})

        run_threads([work] * 8)
    with DictDB.open(tmp_path / "db") as db:
        assert db["t"].count() == 8 * 400


def test_nothing_is_left_in_memory(tmp_path: Path) -> None:
    with nothing_leaked(slack=4096):
        for _ in range(3):
            with DictDB.open(tmp_path / "db", "none") as db:
                if "t" not in db:
                    db.create_table("t")
                db["t"].insert([{"a": n} for n in range(100)])
                db.checkpoint()
            del db
            gc.collect()


WRITER = """
import sys
from dictdb import DictDB

db = DictDB.open(sys.argv[1], sys.argv[2], interval=0.005)
a = db["a"] if "a" in db else db.create_table("a")
b = db["b"] if "b" in db else db.create_table("b")
n = a.count()
print(n, flush=True)
while True:
    with db.write_lock(a, b):
        a.insert({"n": n})
        b.insert({"twin": -n, "text": "x" * (n % 300)})
    n += 1
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
    if n % 40 == 0:
        db.checkpoint()
"""


def kill_once(path: Path, durability: str, delay: float) -> int:
    """Returns how many commits the writer had acknowledged when it was killed."""
    process = subprocess.Popen(
        [*python_command(WRITER), str(path), durability],
        stdout=subprocess.PIPE,
        env=python_environment(),
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first, "the writer could not open the database"
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    lines = process.stdout.read().split("\n")
    process.stdout.close()
    process.wait()
    whole = [line for line in lines[:-1] if line]
    return int(whole[-1] if whole else first)


def test_killed_again_and_again(tmp_path: Path) -> None:
    rounds = int(os.environ.get("DICTDB_KILLS", sized(24, sanitized=6)))
    rng = random.Random(11)
    path = tmp_path / "db"
    for n in range(rounds):
        acknowledged = kill_once(path, LEVELS[n % 3], rng.uniform(0.0, 0.12))
        with DictDB.open(path, "none") as db:
            a, b = db["a"].select(), db["b"].select()
        assert len(a) in (acknowledged, acknowledged + 1)
        assert [record["n"] for record in a] == list(range(len(a)))
        assert [record["twin"] for record in b] == [-n for n in range(len(a))]
