# SPDX-License-Identifier: Apache-2.0
"""The command's way with backups and with directories of opened databases."""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dictdb
from command import SAYS_HOW_TO_DRAW, Done, run, run_apart
from dictdb import Backup, BackupManager, DictDB
from test_save_load import same


@pytest.fixture(autouse=True)
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DictDB]:
    """An open database in shop.db in the current folder, with three backups in `backups`."""
    monkeypatch.chdir(tmp_path)
    for name in SAYS_HOW_TO_DRAW:
        monkeypatch.delenv(name, raising=False)
    with DictDB.open("shop.db") as db:
        table = db.create_table("t")
        manager = BackupManager(db, "backups", incremental=True, file_format="dictdb")
        for n in range(3):
            table.insert({"n": n})
            manager.backup_now()
        yield db


def printed(done: Done) -> str:
    assert (done.status, done.err) == (0, "")
    return done.out


def parsed(done: Done) -> Any:
    return json.loads(printed(done))


def backups() -> list[Backup]:
    return dictdb.list_backups("backups")


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def contents(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


# --- Folders as databases ---


def test_an_open_database_is_read_and_not_changed(opened: DictDB) -> None:
    before = contents("shop.db")
    assert parsed(run("query", "shop.db", "--columns", "n", "--json")) == [
        {"n": n} for n in range(3)
    ]
    facts = parsed(run("info", "shop.db", "--json"))
    assert facts["stored_bytes"] == sum(map(len, before.values()))
    assert facts["tables"][0]["records"] == 3
    assert printed(run("head", "shop.db")).endswith("3 of 3 records\n")
    printed(run("convert", "shop.db", "copy.dictdb"))
    assert contents("shop.db") == before
    opened["t"].insert({"n": 3})
    assert printed(run("query", "shop.db", "--count")) == "4\n"


def test_a_folder_of_backups_is_read_as_its_newest() -> None:
    assert printed(run("query", "backups", "--count")) == "3\n"
    damage(backups()[-1].path)
    done = run("info", "backups")
    assert (done.status, done.out) == (1, "")
    assert "cannot be restored" in done.err
    assert f"what can be is {backups()[1].name}" in done.err
    assert "dictdb restore --at" in done.err


def test_a_folder_of_both_is_the_database() -> None:
    with DictDB.open("both") as db:
        table = db.create_table("t")
        table.insert({"n": 1})
        BackupManager(db, "both", file_format="dictdb").backup_now()
        table.insert({"n": 2})
    assert printed(run("query", "both", "--count")) == "2\n"
    assert parsed(run("verify", "both", "--json"))["kind"] == "database"


# --- verify ---


def test_verify_tells_of_each_file(opened: DictDB) -> None:
    opened.checkpoint()
    shown = printed(run("verify", "shop.db")).splitlines()
    assert shown[0].split() == ["file", "kind", "size", "records", "state"]
    assert [line.split()[1] for line in shown[2:4]] == ["database", "log"]
    assert [line.split()[-1] for line in shown[2:4]] == ["sound", "sound"]
    assert shown[-1].startswith("shop.db: database, 2 files, ")
    assert shown[-1].endswith(": sound")
    facts = parsed(run("verify", "backups", "--json"))
    stored = [backup.size for backup in backups()]
    assert facts["files"][0] == {
        "path": str(Path("backups", backups()[0].name)),
        "kind": "native",
        "stored_bytes": stored[0],
        "records": 1,
        "note": "",
    }
    del facts["files"]
    assert facts == {
        "path": "backups",
        "kind": "backup set",
        "sound": True,
        "stored_bytes": sum(stored),
        "problems": [],
    }
    for name in ("one.json", "one.pickle", "one.dictdb"):
        opened.save(name)
        shown = printed(run("verify", name)).splitlines()
        assert shown[2].split()[1].startswith("database")
        assert shown[-1].startswith(f"{name}: 1 file, ")


def test_verify_finds_damage(opened: DictDB) -> None:
    name = backups()[1].name
    damage(backups()[1].path)
    done = run("verify", "backups")
    assert (done.status, done.err) == (1, "")
    states = [line.split()[-1] for line in done.out.splitlines()[2:5]]
    assert states == ["sound", "damaged", "sound"]
    assert f"\n{name}: damaged file (byte " in done.out
    assert done.out.endswith(": 1 problem\n")
    done = run("verify", "backups", "--json")
    assert done.status == 1
    facts = json.loads(done.out)
    assert facts["sound"] is False
    [problem] = facts["problems"]
    assert problem.keys() == {"path", "offset", "message"}
    assert problem["path"].endswith(name)
    assert isinstance(problem["offset"], int)


def test_verify_tells_of_what_a_crash_left(opened: DictDB) -> None:
    opened.save("whole.dictdb")
    del opened
    [log] = Path("shop.db").glob("log-*.ddl")
    log_copy = Path("copy.ddl")
    log_copy.write_bytes(log.read_bytes()[:-3])
    done = printed(run("verify", log_copy))
    assert "copy.ddl: sound up to byte " in done
    assert done.splitlines()[-1].endswith(": sound")


# --- restore ---


def test_restore(opened: DictDB) -> None:
    said = printed(run("restore", "backups", "new.dictdb"))
    assert said.startswith("new.dictdb: 1 table, 3 records, ")
    assert DictDB.load("new.dictdb")["t"].pluck("n") == [0, 1, 2]
    facts = parsed(run("restore", "backups", "one.json", "--at", "0", "--json"))
    listed = parsed(run("restore", "backups", "--list", "--json"))
    first = listed["backups"][0]
    assert facts == {
        "path": "one.json",
        "format": "json",
        "backup": first["name"],
        "time": first["time"],
        "tables": 1,
        "records": 1,
        "stored_bytes": Path("one.json").stat().st_size,
    }
    again = DictDB.load("one.json")["t"]
    assert again.insert({"n": 9}) == 4  # Keys go on above all that were given.
    assert [backup["kind"] for backup in listed["backups"]] == ["full", "delta", "delta"]
    assert [backup["name"] for backup in listed["backups"]] == [b.name for b in backups()]


def test_restore_to_a_directory(opened: DictDB) -> None:
    said = printed(run("restore", "backups", "new.db/"))
    assert said.startswith("new.db: ")
    with DictDB.open("new.db") as db:
        same(db, dictdb.restore("backups"))
        db.create_table("more")
    facts = parsed(run("convert", "new.db", "other", "--to", "directory", "--json"))
    assert facts["format"] == "directory"
    assert facts["stored_bytes"] > 64
    assert "more" in DictDB.load("other")
    done = run("restore", "backups", "new.db/", "--force")
    assert done.status == 1
    assert "the folder 'new.db' is not empty" in done.err
    Path("file").write_text("")
    assert "no folder" in run("restore", "backups", "file", "--to", "directory").err
    assert "make it first" in run("restore", "backups", "nowhere/new/").err


def test_restore_takes_what_the_list_shows() -> None:
    shown = printed(run("restore", "backups", "--list")).splitlines()
    assert shown[0].split() == ["number", "time", "kind", "size", "name"]
    assert shown[-1].startswith("3 backups, ")
    for records, line in enumerate(shown[2:5], 1):
        number, day, clock = line.split()[:3]
        name = line.split()[-1]
        for at in (number, str(int(number) - 3), f"{day} {clock}", name, Path(name).stem):
            said = printed(run("restore", "backups", "x.dictdb", "--force", "--at", at))
            assert said.startswith(f"x.dictdb: 1 table, {records} record"), at


def test_restore_warns_of_what_it_cannot_know() -> None:
    damage(backups()[2].path)
    done = run("restore", "backups", "new.dictdb", "--at", "1")
    assert done.status == 0
    assert done.out.startswith("new.dictdb: 1 table, 2 records, ")
    assert done.err.startswith("dictdb: restore: automatic keys of ")
    assert logging.getLogger("dictdb").handlers == [
        handler
        for handler in logging.getLogger("dictdb").handlers
        if isinstance(handler, logging.NullHandler)
    ]


@pytest.mark.parametrize("zone", ["EAST-9", "WEST+5"])
def test_backups_are_listed_to_the_end_of_all_time(zone: str) -> None:
    last = Path("backups", "dictdb_backup_253402300799_999999.dictdb")
    last.write_bytes(backups()[0].path.read_bytes())
    done = run_apart("restore", "backups", "--list", TZ=zone)
    row = printed(done).splitlines()[-3].split()
    assert row[0] == "3" and row[1] == "9999-12-31"
    assert row[-1] == last.name


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("verify", 2, "required: PATH"),
        ("verify nowhere", 1, "there is no file 'nowhere'"),
        ("verify backup", 1, "did you mean 'backups'?"),
        ("verify empty", 1, "there are no backups and no database in 'empty'"),
        ("info empty", 1, "there are no backups and no database in the folder 'empty'"),
        ("restore", 2, "required: BACKUPS"),
        ("restore backups", 2, "add --list"),
        ("restore nowhere --list", 1, "there is no file 'nowhere'"),
        ("verify ''", 1, "there is no file ''"),
        ("restore '' --list", 1, "there is no file ''"),
        ("restore backups '' --to directory", 2, "TARGET is empty"),
        ("restore empty --list", 1, "there is no backup in 'empty'"),
        ("restore shop.db x.dictdb", 1, "there is no backup in 'shop.db'"),
        ("restore there.json x.dictdb", 1, "dictdb convert reads a file"),
        ("restore backups x.dictdb --list", 2, "--list goes with no TARGET"),
        ("restore backups --list --at 1", 2, "--list goes with no TARGET"),
        ("restore backups x.dictdb --at 3", 2, "there are 3 backups, none has the index 3"),
        ("restore backups x.dictdb --at 1999-01-01", 2, "no backup is as old as 1999-01-01"),
        ("restore backups x.dictdb --at yesterday", 2, "there is no backup 'yesterday'"),
        ("restore backups x", 2, "add --to FORMAT"),
        ("restore backups x.csv", 2, "csv holds one table"),
        ("restore backups there.json", 1, "add --force"),
        (
            "restore backups x.json --compression 3",
            2,
            "--compression is for the formats dictdb and directory",
        ),
        ("restore damaged x.dictdb", 1, "nor can any backup before it"),
        ("info damaged.db", 1, "; restore it from a backup"),
    ],
)
def test_mistakes(line: str, status: int, words: str) -> None:
    for name in ("empty", "damaged", "damaged.db"):
        Path(name).mkdir()
    Path("there.json").write_text("{}")
    base = backups()[0]
    Path("damaged", base.name).write_bytes(base.path.read_bytes())
    damage(Path("damaged", base.name))
    for name, data in contents("shop.db").items():
        Path("damaged.db", name).write_bytes(data[:90] + b"?" + data[91:])
    before = sorted(os.listdir())
    done = run(*shlex.split(line))
    assert (done.status, done.out) == (status, ""), done.err
    assert words in done.err
    assert done.err.startswith("dictdb: ")
    assert done.err.count("\n") == 1
    assert sorted(os.listdir()) == before
