# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""Folders of the original come back, its deltas too; and backups that are pickles."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from dictdb import (
    BackupManager,
    CorruptFileError,
    DictDB,
    InvalidArgumentError,
    list_backups,
    restore,
    verify,
)
from test_save_load import filled, same

Rows = dict[Any, dict[str, Any]]


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def delta(tables: object) -> dict[str, object]:
    return {"type": "delta", "timestamp": 1.5, "tables": tables}


def base(rows: Rows) -> dict[str, object]:
    """As the original writes it."""
    return {"tables": {"t": {"primary_key": "id", "schema": None, "records": list(rows.values())}}}


def put(folder: Path, second: int, value: dict[str, object]) -> Path:
    kind = "delta" if "type" in value else "backup"
    return write(folder / f"dictdb_{kind}_{second}_000000.json", value)


def rows_of(db: DictDB) -> list[dict[str, Any]]:
    return sorted(db["t"].all(), key=lambda row: str(row["id"]))


def step(rng: random.Random, rows: Rows, free: list[int]) -> dict[str, object]:
    """Change the rows at random: the delta of it."""
    changed: set[Any] = set()
    deleted: set[Any] = set()
    for _ in range(rng.randrange(1, 6)):
        key = rng.choice([*rows, free[0], "text"])
        if key == free[0]:
            free[0] += 1
        if key in rows and rng.random() < 0.3:
            del rows[key]
            changed.discard(key)
            deleted.add(key)
        else:
            fields = rng.sample("abc", rng.randrange(4))  # Fields go as well.
            rows[key] = {"id": key} | {name: rng.choice([1, None, "x", [2, {}]]) for name in fields}
            changed.add(key)
            deleted.discard(key)
    upserts = [rows[key] for key in sorted(changed, key=str)]
    return delta({"t": {"upserts": upserts, "deletes": sorted(deleted, key=str)}})


@pytest.mark.parametrize("seed", range(4))
def test_every_moment_of_the_originals_folder_comes_back(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    rows: Rows = {key: {"id": key, "a": key} for key in range(1, 6)}
    free = [6]
    moments: list[tuple[Path, list[dict[str, Any]]]] = []
    for second in range(1, 25):
        value = base(rows) if second % 8 == 1 else step(rng, rows, free)
        now = sorted(rows.values(), key=lambda row: str(row["id"]))
        moments.append((put(tmp_path, second, value), json.loads(json.dumps(now))))
    assert verify(tmp_path)
    for path, expected in moments:
        back = restore(tmp_path, path)
        assert rows_of(back) == expected
        assert back["t"].insert({}) == free[0], "a key that any later backup has seen is not given"


def test_the_place_of_a_record_stays(tmp_path: Path) -> None:
    put(tmp_path, 1, base({key: {"id": key, "a": 0} for key in range(1, 4)}))
    changes = {"t": {"upserts": [{"id": 2, "b": 1}, {"id": 9}], "deletes": [3, 77]}}
    put(tmp_path, 2, delta(changes))
    assert restore(tmp_path)["t"].all() == [{"id": 1, "a": 0}, {"id": 2, "b": 1}, {"id": 9}]
    assert restore(tmp_path)["t"].insert({}) == 78


def test_a_table_that_is_new(tmp_path: Path) -> None:
    put(tmp_path, 1, base({}))
    put(tmp_path, 2, delta({"new": {"upserts": [{"id": 4}], "deletes": []}, "none": {}}))
    assert restore(tmp_path).list_tables() == ["t", "new"]
    put(tmp_path, 3, delta({"other": {"upserts": [{"name": 4}]}}))
    with pytest.raises(CorruptFileError, match=r"'other'.*does not tell its key") as caught:
        restore(tmp_path)
    assert "what can be is dictdb_delta_2_" in str(caught.value)
    assert len(restore(tmp_path, 1)) == 2
    assert not verify(tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value"),
        ("[]", "not a delta"),
        ('{"type": "full", "tables": {}}', "not a delta"),
        ('{"type": "delta"}', "no tables"),
        ('{"type": "delta", "tables": {"t": []}}', "'t' has no lists"),
        ('{"type": "delta", "tables": {"t": {"deletes": 1}}}', "'t' has no lists"),
        ('{"type": "delta", "tables": {"t": {"upserts": [1]}}}', "not an object"),
        ('{"type": "delta", "tables": {"t": {"upserts": [{"a": 1}]}}}', "no primary key"),
        ('{"type": "delta", "tables": {"t": {"upserts": [{"id": [1]}]}}}', "'t'"),
        ('{"type": "delta", "tables": {"t": {"upserts": [{"id": 1, "id": 2}]}}}', "twice"),
        ('{"type": "delta", "tables": ' + "[" * 100_000, "recursion"),
        ('{"type": "delta", "tables": {"\udcff"', "UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_delta(tmp_path: Path, text: str, problem: str) -> None:
    put(tmp_path, 1, base({1: {"id": 1}}))
    path = tmp_path / "dictdb_delta_2_000000.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CorruptFileError, match=problem) as caught:
        restore(tmp_path)
    assert path.name in str(caught.value)
    report = verify(tmp_path)
    assert [found.path for found in report.problems] == [path]
    assert len(restore(tmp_path, 0)["t"]) == 1


def test_a_delta_that_was_cut(tmp_path: Path) -> None:
    put(tmp_path, 1, base({1: {"id": 1}}))
    path = put(tmp_path, 2, delta({"t": {"upserts": [{"id": 1, "ä": "é"}], "deletes": [3]}}))
    text = path.read_bytes()
    for size in range(len(text)):
        path.write_bytes(text[:size])
        with pytest.raises(CorruptFileError) as caught:
            restore(tmp_path)
        assert 0 <= caught.value.offset <= size
    path.unlink()
    (tmp_path / "dictdb_backup_1_000000.json").unlink()
    path.write_bytes(text)
    with pytest.raises(CorruptFileError, match="a full backup that is not there"):
        restore(tmp_path)


def test_what_the_originals_deltas_need_is_kept(tmp_path: Path) -> None:
    put(tmp_path, 1, base({}))
    put(tmp_path, 2, base({}))
    for second in (3, 4):
        put(tmp_path, second, delta({"t": {"upserts": [{"id": second}]}}))
    manager = BackupManager(restore(tmp_path), tmp_path, 3600, keep=2)
    manager.backup_now()
    assert [backup.is_delta for backup in list_backups(tmp_path)] == [False, True, True, False]
    assert rows_of(restore(tmp_path, -2)) == [{"id": 3}, {"id": 4}]
    manager.backup_now()
    assert [backup.is_delta for backup in list_backups(tmp_path)] == [False, False]


# --- Backups that are pickles ---


def test_pickles(tmp_path: Path) -> None:
    db = filled()
    manager = BackupManager(db, tmp_path, 3600, "Pickle", keep=3)
    paths = []
    for n in range(5):
        key = db["users"].insert({"name": "new", "age": n, "x": n})
        paths.append(manager.backup_now())
        same(db, restore(tmp_path))
    assert [backup.path for backup in list_backups(tmp_path)] == paths[-3:]
    assert paths[0].suffix == ".pickle"
    same(db, DictDB.load(paths[-1]))
    report = verify(tmp_path)
    assert report
    assert {file.kind for file in report.files} == {"pickle"}
    assert restore(tmp_path, paths[-3])["users"].insert({"name": "n", "age": 1, "x": 1}) == key + 1
    told: list[tuple[int, int]] = []
    restore(tmp_path, progress=lambda done, total: told.append((done, total)))
    size = paths[-1].stat().st_size
    assert told[-1] == (size, size)
    paths[-1].write_bytes(paths[-1].read_bytes()[:-9])
    with pytest.raises(CorruptFileError, match=rf"what can be is {paths[-2].name}"):
        restore(tmp_path)
    assert [problem.path for problem in verify(tmp_path).problems] == [paths[-1]]


def test_pickles_among_deltas(tmp_path: Path) -> None:
    """A delta goes on from none of them, and retention does not take them for what it needs."""
    db = DictDB()
    table = db.create_table("t")
    whole = BackupManager(db, tmp_path, 3600, "pickle")
    parts = BackupManager(db, tmp_path, 3600, incremental=True, keep=2)
    for n in range(3):
        table.insert({"n": n})
        parts.backup_now()
        whole.backup_now()
    assert verify(tmp_path)
    for at in range(-1, -len(list_backups(tmp_path)) - 1, -1):
        assert 0 < len(restore(tmp_path, at)["t"]) <= 3
    table.insert({"n": 4})
    kept = parts.backup_now()
    kinds = [backup.path.suffix + "d" * backup.is_delta for backup in list_backups(tmp_path)]
    assert kinds == [".json", ".dictdbd", ".dictdbd", ".pickle", ".dictdbd"]
    assert len(restore(tmp_path, kept)["t"]) == 4


def test_pickles_have_no_deltas_and_are_not_packed(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="not from one of pickles"):
        BackupManager(DictDB(), tmp_path, file_format="pickle", incremental=True)
    with pytest.raises(InvalidArgumentError, match="compression is for"):
        BackupManager(DictDB(), tmp_path, file_format="pickle", compression=3)
