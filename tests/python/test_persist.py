# SPDX-License-Identifier: Apache-2.0
"""The original's functions for files, allowed_dir, and deltas as plain JSON."""

from __future__ import annotations

import json
import os
import random
import threading
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dictdb import (
    UNSET,
    CorruptFileError,
    DictDB,
    InvalidArgumentError,
    MissingFileError,
    StorageError,
    UnsupportedTypeError,
    restore,
    storage,
)
from dictdb.storage import persist
from dictdb.storage.persist import apply_delta, has_changes, load, save, save_delta
from helpers import run_threads, sized


def database(rows: int = 0) -> DictDB:
    db = DictDB()
    db.create_table("t").insert([{"n": n} for n in range(rows)])
    return db


def clear(db: DictDB) -> DictDB:
    for table in db.tables.values():
        table.clear_dirty_tracking()
    return db


def put(path: Path, tables: object, **more: object) -> Path:
    path.write_text(json.dumps({"type": "delta", "timestamp": 1.5, "tables": tables, **more}))
    return path


def test_the_names_are_where_the_original_has_them() -> None:
    for name in ("save", "load", "save_delta", "apply_delta", "has_changes"):
        assert getattr(storage, name) is getattr(persist, name)


def test_save_and_load(tmp_path: Path) -> None:
    db = database(3)
    for name, file_format in (("a.json", "JSON"), ("b.pickle", "pickle"), ("c.dictdb", None)):
        save(db, str(tmp_path / name), file_format, allowed_dir=tmp_path)
        again = load(tmp_path / name, file_format, str(tmp_path))
        assert again["t"].all() == db["t"].all()
    with pytest.raises(ValueError, match="xml"):
        save(db, tmp_path / "x", "xml")


def test_a_delta_and_its_file(tmp_path: Path) -> None:
    db = database()
    path = tmp_path / "delta.json"
    assert not has_changes(db)
    assert save_delta(db, path) is False
    assert not path.exists()
    db["t"].insert([{"n": 1}, {"n": 2, "€": [None, {"a": 1.5}]}])
    assert has_changes(db)
    assert save_delta(db, path, clear_tracking=False) is True
    assert has_changes(db)
    assert save_delta(db, path) is True
    assert not has_changes(db)
    assert save_delta(db, path) is False
    written = json.loads(path.read_text())
    assert written["type"] == "delta"
    assert isinstance(written["timestamp"], float)
    assert written["tables"] == {"t": {"upserts": db["t"].all(), "deletes": []}}
    db["t"].delete(where=db["t"].n == 1)
    assert save_delta(db, path)
    assert json.loads(path.read_text())["tables"] == {"t": {"upserts": [], "deletes": [1]}}


def test_what_is_applied_is_counted(tmp_path: Path) -> None:
    db = clear(database(3))
    path = put(
        tmp_path / "d.json",
        {
            "t": {"upserts": [{"id": 1, "n": 10}, {"id": 8, "n": 8}], "deletes": [2, 99]},
            "other": {"upserts": [{"id": 1}], "deletes": [1]},  # Is not there
        },
    )
    assert apply_delta(db, path) == 3
    assert db["t"].all() == [{"id": 1, "n": 10}, {"id": 3, "n": 2}, {"id": 8, "n": 8}]
    assert db.list_tables() == ["t"]
    assert db["t"].get_deleted_pks() == [2]
    assert apply_delta(DictDB(), path) == 0
    assert (
        apply_delta(db, put(tmp_path / "d.json", {"t": {"upserts": [{"n": 5}, {"id": None}]}})) == 2
    )
    assert [record["id"] for record in db["t"].all()] == [1, 3, 8, 9, 10]


def test_whole_records_lose_what_they_have_lost(tmp_path: Path) -> None:
    """The original's deltas are merged, as the original does."""
    tables = {"t": {"upserts": [{"id": 1, "m": 1}], "deletes": []}}
    db = database(1)
    assert apply_delta(db, put(tmp_path / "d.json", tables)) == 1
    assert db["t"].all() == [{"n": 0, "id": 1, "m": 1}]
    assert apply_delta(db, put(tmp_path / "d.json", tables, whole=True)) == 1
    assert db["t"].all() == [{"id": 1, "m": 1}]


def test_random_deltas_bring_another_database_along(tmp_path: Path, rng: random.Random) -> None:
    live, twin = DictDB(), DictDB()
    for db in (live, twin):
        db.create_table("a")
        db.create_table("b", primary_key="key")
    values: list[Any] = [None, True, 0, -0.0, 1e300, 2**70, "", "é\x00\ud800", [1, [2]], {"": {}}]
    for turn in range(sized(40, sanitized=8)):
        for _ in range(rng.randrange(6)):
            table = live[rng.choice("ab")]
            key = rng.choice([1, 2, 3, -4, "x", 5.5])
            where = table[table.primary_key] == key
            field = rng.choice(["f", "g", "$type"])
            kind = rng.randrange(4)
            if kind == 0:
                table.delete(where=where)
            elif kind == 1:
                table.update({field: UNSET}, where=where)
            else:
                table.upsert({table.primary_key: key, field: rng.choice(values)})
        path = tmp_path / f"{turn}.json"
        if save_delta(live, path):
            apply_delta(twin, path)
        for name in "ab":
            mine, other = live[name].copy(), twin[name].copy()
            assert repr({key: mine[key] for key in other}) == repr(other)
            assert mine.keys() == other.keys()


def test_deltas_in_a_folder_are_restored(tmp_path: Path) -> None:
    db = clear(database(3))
    save(db, tmp_path / "dictdb_backup_10_000000.json")
    db["t"].update({"n": UNSET, "m": 5}, where=db["t"].id == 1)
    db["t"].delete(where=db["t"].id == 2)
    save_delta(db, tmp_path / "dictdb_delta_11_000000.json")
    assert restore(tmp_path)["t"].all() == db["t"].all()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b"x", "bytes is not JSON serializable"),
        (date(2024, 1, 2), "date is not JSON serializable"),
        ((1, 2), "come back as something else"),
        ({1: 2}, "come back as something else"),
        ("\ud83d" + "\ude00", "come back as something else"),
        (10**5000, "4300"),
    ],
    ids=["bytes", "date", "tuple", "key", "surrogates", "long"],
)
def test_what_plain_json_lacks_is_refused(tmp_path: Path, value: object, problem: str) -> None:
    db = database(1)
    path = tmp_path / "d.json"
    path.write_text("old")
    db["t"].insert({"value": value})
    with pytest.raises(UnsupportedTypeError, match=f"^table 't': plain JSON.*{problem}"):
        save_delta(db, path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["d.json"]
    assert len(db["t"].get_dirty_records()) == 2


def test_a_file_that_cannot_be_written_clears_nothing(tmp_path: Path) -> None:
    db = clear(database(1))
    db["t"].insert({"n": 5})
    with pytest.raises(StorageError):
        save_delta(db, tmp_path / "gone" / "d.json")
    assert db["t"].get_dirty_records() == [{"n": 5, "id": 2}]


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ({"t": {"upserts": [{"id": 1, "n": 9}, {"id": [1]}]}}, "cannot be a primary key"),
        ({"t": {"upserts": [{"id": 5}]}, "u": {"upserts": [{"id": 5, "n": 1}]}}, "unique"),
        ({"u": {"deletes": [1]}, "t": {"upserts": [{"id": 7}], "deletes": [2, {}]}}, "primary key"),
        ({"s": {"upserts": [{"id": 4}, {"id": 1, "n": "text"}]}}, "table 's'.*field 'n'"),
    ],
)
def test_a_delta_that_does_not_fit_changes_nothing(
    tmp_path: Path, tables: object, problem: str
) -> None:
    db = database(3)
    unique = db.create_table("u")
    unique.insert([{"n": 1}, {"n": 2}])
    unique.create_index("n", unique=True)
    checked = db.create_table("s", schema={"n": int})
    checked.insert({"n": 1})
    checked.insert({"id": 3, "n": "unchecked"}, skip_validation=True)
    before = {name: table.copy() for name, table in db.tables.items()}
    with pytest.raises(CorruptFileError, match=problem) as raised:
        apply_delta(db, put(tmp_path / "d.json", tables))
    assert "'d.json'" in str(raised.value)
    assert {name: table.copy() for name, table in db.tables.items()} == before


def test_what_an_error_leaves_of_a_record_that_was_never_checked(tmp_path: Path) -> None:
    db = DictDB()
    table = db.create_table("s", schema={"n": int})
    table.insert({"id": 3, "n": "unchecked"}, skip_validation=True)
    upserts = [{"id": 3, "n": 5}, {"id": 4, "n": []}, {"id": []}]
    with pytest.raises(CorruptFileError):
        apply_delta(db, put(tmp_path / "d.json", {"s": {"upserts": upserts}}))
    assert table.all() == [{"id": 3, "n": "unchecked"}]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"type": "delta"}', '{"type": "full", "tables": {}}']
)
def test_what_is_no_delta(tmp_path: Path, text: str) -> None:
    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"d\.json"):
        apply_delta(database(), path)
    with pytest.raises(MissingFileError):
        apply_delta(database(), tmp_path / "none.json")


@pytest.mark.threads
def test_no_write_is_lost_between_deltas(tmp_path: Path) -> None:
    """Two threads save deltas while two write: all deltas, in order, make up the database."""
    db = database()
    done = threading.Event()
    turn = iter(range(10**9))
    saving = threading.Lock()
    paths: list[Path] = []

    def write(seed: int) -> None:
        own = random.Random(seed)
        for n in range(sized(150, sanitized=30)):
            db["t"].upsert({"id": own.randrange(10) * 2 + seed, "n": n})
            if n % 5 == 0:
                db["t"].delete(where=db["t"].id == own.randrange(10) * 2 + seed)

    def save_all() -> None:
        last = False
        while not last:
            last = done.is_set()
            with saving:  # So that the files' order is that of their instants
                path = tmp_path / f"{next(turn)}.json"
                if save_delta(db, path):
                    paths.append(path)

    def write_both() -> None:
        try:
            run_threads([lambda: write(0), lambda: write(1)])
        finally:
            done.set()

    run_threads([write_both, save_all, save_all])
    twin = database()
    for path in paths:
        apply_delta(twin, path)
    assert twin["t"].copy() == db["t"].copy()


# --- allowed_dir ---


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """in/ is allowed; out/ is not; links lead from one to the other."""
    allowed = tmp_path / "in"
    outside = tmp_path / "out"
    for folder in (allowed, outside, allowed / "deep", tmp_path / "in2"):
        folder.mkdir()
    database(1).save(outside / "db.json")
    (allowed / "link.json").symlink_to(outside / "db.json")
    (allowed / "folder").symlink_to(outside)
    (allowed / "loop").symlink_to(allowed / "loop")
    (tmp_path / "alias").symlink_to(allowed)
    (outside / "back").symlink_to(allowed)
    monkeypatch.chdir(allowed)
    return tmp_path


OUTSIDE = [
    "{}/out/db.json",
    "{}/in/../out/db.json",
    "{}/in/deep/../../out/db.json",
    "{}/in2/db.json",
    "{}/in.json",
    "{}/in/link.json",
    "{}/in/folder/db.json",
    "{}/in/folder/new.json",
    "{}/out/back/../db.json",
    "{}/in/deep/../folder/db.json",
    "../out/db.json",
    "link.json",
    "/etc/passwd",
    "{}",
]


@pytest.mark.parametrize("given", OUTSIDE)
def test_a_path_outside_is_refused(folders: Path, given: str) -> None:
    path = given.format(folders)
    before = (folders / "out" / "db.json").read_bytes()
    db = database(2)
    for allowed in (folders / "in", folders / "alias", str(folders / "in" / "deep" / ".."), "."):
        for call in (
            lambda allowed=allowed: save(db, path, "json", allowed),
            lambda allowed=allowed: load(path, "json", allowed_dir=allowed),
            lambda allowed=allowed: save_delta(db, path, allowed),
            lambda allowed=allowed: apply_delta(db, path, allowed),
        ):
            with pytest.raises(ValueError, match="is outside the allowed directory") as raised:
                call()
            assert isinstance(raised.value, InvalidArgumentError)
            assert repr(path) in str(raised.value)
            assert repr(str(allowed)) in str(raised.value)
    assert (folders / "out" / "db.json").read_bytes() == before
    assert not (folders / "out" / "new.json").exists()
    assert db["t"].has_changes()


@pytest.mark.parametrize(
    "given",
    [
        "{}/in/a.json",
        "{}/in/deep/a.json",
        "{}/in/deep/../a.json",
        "{}/alias/a.json",
        "a.json",
        "{}/out/back/a.json",
        "{}/in/folder/../in/a.json",
    ],
)
def test_a_path_inside_is_taken(folders: Path, given: str) -> None:
    path = given.format(folders)
    db = database(2)
    for allowed in (folders / "in", folders / "alias", ".", "/"):
        save(db, path, "json", allowed)
        assert load(path, "json", allowed)["t"].count() == 2
        save_delta(db, path, allowed, clear_tracking=False)
        assert apply_delta(db, path, allowed) == 2


def test_what_is_no_path(folders: Path) -> None:
    db = database(1)
    with pytest.raises(ValueError, match="filename"):
        save(db, "a\0.json", "json", folders)
    with pytest.raises(ValueError, match="allowed_dir"):
        save(db, "a.json", "json", "a\0")
    for name, path, allowed in (("filename", "", "."), ("allowed_dir", "a.json", "")):
        with pytest.raises(ValueError, match=f"{name}: no path given"):
            save(db, path, "json", allowed)
    with pytest.raises(TypeError, match="filename must be"):
        save(db, 5, "json")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="allowed_dir must be"):
        load("a.json", "json", 5)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="loop"):
        save(db, "loop/a.json", "json", ".")
    with pytest.raises(FileNotFoundError):
        load("a.json", "json", ".")
