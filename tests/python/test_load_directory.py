# SPDX-License-Identifier: Apache-2.0
"""DictDB.load of an opened database's directory: all that is there, and nothing is changed."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from dictdb import CorruptFileError, DictDB, InvalidArgumentError, StorageError
from helpers import background, sized


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.iterdir())
    }


def numbers(db: DictDB) -> list[int]:
    return db["t"].pluck("n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Closed, with a checkpoint and a log behind it."""
    path = tmp_path / "shop.db"
    with DictDB.open(path) as db:
        table = db.create_table("t", schema={"n": int})
        table.create_index("n", "sorted")
        table.insert([{"n": n} for n in range(10)])
    db = DictDB.open(path)
    db["t"].insert([{"n": n} for n in range(10, 15)])
    db["t"].delete(where=db["t"].n == 3)
    del table, db  # Closes as well, without a checkpoint.
    return path


def test_it_reads_all_and_changes_nothing(folder: Path) -> None:
    before = contents(folder)
    assert any(name.startswith("checkpoint-") for name in before)
    db = DictDB.load(folder)
    table = db["t"]
    assert numbers(db) == [n for n in range(15) if n != 3]
    assert table.has_index("n")
    assert table.schema == {"n": int, "id": int}
    assert table.insert({"n": 99}) == 16
    assert contents(folder) == before
    assert numbers(DictDB.load(str(folder) + "/", "dictdb")) == numbers(db)[:-1]
    with DictDB.open(folder) as opened:
        assert numbers(opened) == numbers(db)[:-1]


def test_it_needs_no_lock(folder: Path) -> None:
    with DictDB.open(folder) as opened:
        assert numbers(DictDB.load(folder)) == numbers(opened)
        opened["t"].insert({"n": 77})
        assert numbers(DictDB.load(folder)) == numbers(opened)
    (folder / "LOCK").unlink()
    assert numbers(DictDB.load(folder))[-1] == 77
    assert not (folder / "LOCK").exists()


def test_it_reads_what_a_crash_left(folder: Path) -> None:
    [log] = folder.glob("log-*.ddl")
    log.write_bytes(log.read_bytes()[:-3])
    before = contents(folder)
    assert numbers(DictDB.load(folder)) == list(range(15))  # Without the delete
    assert contents(folder) == before


def test_damage_is_refused_and_named(folder: Path) -> None:
    [checkpoint] = folder.glob("checkpoint-*")
    whole = checkpoint.read_bytes()
    for place in range(0, len(whole), 7):
        checkpoint.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(CorruptFileError):
            DictDB.load(folder)
    checkpoint.write_bytes(whole)
    [log] = folder.glob("log-*.ddl")
    log.unlink()
    with pytest.raises(CorruptFileError, match="missing"):
        DictDB.load(folder)


def test_what_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="is not the directory of a database"):
        DictDB.load(tmp_path)
    with pytest.raises(StorageError):
        DictDB.load(tmp_path, "json")
    assert os.listdir(tmp_path) == []


def test_a_checkpoint_meanwhile_is_no_damage(folder: Path) -> None:
    """It takes away the log that the checkpoint, which has been read, goes on in."""
    opened = DictDB.open(folder)
    calls = 0

    def meanwhile(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls <= 3:
            opened["t"].insert({"n": 100 + calls})
            opened.checkpoint()

    names = set(os.listdir(folder))
    found = numbers(DictDB.load(folder, progress=meanwhile))
    assert calls > 3
    assert not names & set(os.listdir(folder)) - {"LOCK"}
    assert found == numbers(opened)
    opened.close()


@pytest.mark.threads
def test_loads_beside_a_writer(tmp_path: Path) -> None:
    """With a checkpoint or two and a few hundred records during each load, however slow it is."""
    folder = tmp_path / "db"
    stop = threading.Event()
    load_begins = threading.Event()
    with DictDB.open(folder, "none") as db:
        table = db.create_table("t")
        table.insert({"n": 0})

        def write() -> None:
            n = 0
            while not stop.is_set():
                if not load_begins.wait(0.01):
                    continue
                load_begins.clear()
                for _ in range(200):
                    n += 1
                    table.insert({"n": n})
                    if n % 200 == 50:
                        db.checkpoint()

        with background(write, stop=stop):
            last = 0
            for _ in range(sized(60, sanitized=8)):
                load_begins.set()
                found = numbers(DictDB.load(folder))
                assert found == list(range(len(found)))
                assert len(found) >= last
                last = len(found)
        assert numbers(DictDB.load(folder)) == numbers(db)


def test_for_asyncio(folder: Path) -> None:
    assert numbers(asyncio.run(DictDB.async_load(folder))) == numbers(DictDB.load(folder))
