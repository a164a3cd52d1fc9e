# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""Files: replaced whole or not at all, refused when damaged, the original's layout included."""

from __future__ import annotations

import inspect
import json
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dictdb import (
    CorruptFileError,
    DictDB,
    DictDBError,
    InvalidArgumentError,
    LimitError,
    MissingFileError,
    StorageError,
    _core,
)
from helpers import background, check_python, nothing_leaked, sized
from samples import VALUES, exactly


def filled() -> DictDB:
    db = DictDB()
    users = db.create_table("users", schema={"name": str, "age": int | None, "x": float})
    users.insert([{"name": f"n{n}", "age": n if n % 3 else None, "x": n / 7} for n in range(50)])
    users.create_index("name")
    users.delete(where=users.age == 49)
    things = db.create_table("things", primary_key="key")
    things.insert([{"key": f"k{n}", "value": value} for n, value in enumerate(VALUES)])
    db.create_table("empty")
    return db


def same(a: DictDB, b: DictDB) -> None:
    assert a.list_tables() == b.list_tables()
    for name in a.list_tables():
        x, y = a[name], b[name]
        assert exactly(x.select(), y.select())
        assert x.primary_key == y.primary_key
        assert x.schema_fields() == y.schema_fields()
        assert sorted(x.indexed_fields()) == sorted(y.indexed_fields())


@pytest.mark.parametrize("kind", [str, Path])
def test_round_trip(tmp_path: Path, kind: Any) -> None:
    db = filled()
    path = kind(tmp_path / "db.json")
    assert db.save(path) is None
    same(db, DictDB.load(path))
    db.save(path, "json")
    db.save(path, file_format="Json")
    same(db, DictDB.load(path, file_format="JSON"))


def test_the_format_goes_by_the_suffix(tmp_path: Path) -> None:
    db = filled()
    db.save(tmp_path / "a.JSON")
    same(db, DictDB.load(tmp_path / "a.JSON"))
    for name in ("a.txt", "a", "json"):
        with pytest.raises(MissingFileError):
            DictDB.load(tmp_path / name)
        db.save(tmp_path / name)
        same(db, DictDB.load(tmp_path / name, "dictdb"))
        for file_format in ("json", "pickle"):
            db.save(tmp_path / name, file_format)
            same(db, DictDB.load(tmp_path / name, file_format))
            same(db, DictDB.load(tmp_path / name))
    for name in ("a.csv", "a.NDJSON", "a.jsonl", "a.tsv"):
        with pytest.raises(InvalidArgumentError, match="export_csv"):
            db.save(tmp_path / name)
        assert not (tmp_path / name).exists()


def test_a_loaded_database_goes_on(tmp_path: Path) -> None:
    filled().save(tmp_path / "a.json")
    db = DictDB.load(tmp_path / "a.json")
    assert db["users"].insert({"name": "new", "age": 1, "x": 2}) == 51
    assert db["users"].get(51)["x"] == 2.0
    with pytest.raises(ValueError):
        db["users"].insert({"name": 5, "age": 1, "x": 2.0})
    with pytest.raises(KeyError):
        db["things"].insert({"key": "k0"})


def test_empty_database(tmp_path: Path) -> None:
    DictDB().save(tmp_path / "a.json")
    assert DictDB.load(tmp_path / "a.json").list_tables() == []


ORIGINAL = {
    "tables": {
        "users": {
            "primary_key": "id",
            "schema": {"id": "int", "name": "str", "score": "float", "tags": "list"},
            "records": [
                {"id": 1, "name": "Ann", "score": 1.5, "tags": ["a"]},
                {"id": 7, "name": "Bob", "score": 2.0, "tags": []},
            ],
        },
        "events": {
            "primary_key": "event_id",
            "schema": None,
            "records": [{"event_id": "x", "data": {"a": [1, None, True]}}, {"event_id": 3}],
        },
        "empty": {"primary_key": "id", "schema": None, "records": []},
    }
}


def test_the_layout_of_the_original_project_loads(tmp_path: Path) -> None:
    path = tmp_path / "original.json"
    path.write_text(json.dumps(ORIGINAL))
    db = DictDB.load(path)
    assert db.list_tables() == ["users", "events", "empty"]
    assert db["users"].select() == ORIGINAL["tables"]["users"]["records"]
    assert db["events"].primary_key == "event_id"
    assert db["events"].select() == ORIGINAL["tables"]["events"]["records"]
    assert db["users"].insert({"name": "Cid", "score": 1.0, "tags": []}) == 8
    with pytest.raises(ValueError):
        db["users"].insert({"name": 5, "score": 1.0, "tags": []})


def test_what_is_saved_with_plain_types_the_original_loads(tmp_path: Path) -> None:
    """It reads "tables", of each primary_key, schema and records, and ignores the rest."""
    path = tmp_path / "original.json"
    path.write_text(json.dumps(ORIGINAL))
    DictDB.load(path).save(path)
    data = json.loads(path.read_text())
    for name, table in ORIGINAL["tables"].items():
        saved = data["tables"][name]
        assert saved["primary_key"] == table["primary_key"]
        assert saved["records"] == table["records"]
        assert saved["schema"] == table["schema"]


def test_the_file_names_its_format_and_version(tmp_path: Path) -> None:
    filled().save(tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert "dictdb" in json.dumps({k: v for k, v in data.items() if k != "tables"})


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    db = filled()
    path = tmp_path / "a.json"
    db.save(path)
    before = path.read_bytes()

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop("enough")

    db["users"].insert([{"name": "x" * 100, "age": 1, "x": 1.0} for _ in range(50_000)])
    with pytest.raises(Stop, match="enough"):
        db.save(path, progress=stop)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
    with nothing_leaked(4096), pytest.raises(Stop):
        db.save(path, progress=stop)


def test_errors_of_the_system_carry_errno(tmp_path: Path) -> None:
    db = filled()
    with pytest.raises(StorageError) as caught:
        db.save(tmp_path / "no" / "a.json")
    assert isinstance(caught.value, OSError)
    assert caught.value.errno == 2
    assert "no" in str(caught.value)
    with pytest.raises(StorageError) as caught:
        DictDB.load(tmp_path / "missing.json")
    assert caught.value.errno == 2
    with pytest.raises(StorageError):
        db.save(tmp_path, "json")
    with pytest.raises(StorageError):
        DictDB.load(tmp_path, "json")
    with pytest.raises((ValueError, StorageError)):
        db.save("a\0b.json")
    assert list(tmp_path.iterdir()) == []


def test_odd_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = filled()
    monkeypatch.chdir(tmp_path)
    for name in ("é.json", "a b.json", "%s%n.json", "-.json", "x" * 200 + ".json"):
        db.save(name)
        same(db, DictDB.load(name))
    db.save(os.fsencode("bytes.json"), "json")
    assert (tmp_path / "bytes.json").exists()
    surrogate = os.fsdecode(b"\xff.json")
    try:
        db.save(surrogate)
    except StorageError:
        pass
    else:
        same(db, DictDB.load(surrogate))


def test_a_link_and_permissions_are_kept(tmp_path: Path) -> None:
    db = filled()
    db.save(tmp_path / "real.json")
    (tmp_path / "link.json").symlink_to("real.json")
    os.chmod(tmp_path / "real.json", 0o640)
    db["empty"].insert({"a": 1})
    db.save(tmp_path / "link.json")
    same(db, DictDB.load(tmp_path / "link.json"))
    db.save(tmp_path / "real.json")
    assert (tmp_path / "real.json").stat().st_mode & 0o777 == 0o640


def damaged(text: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(5)
    at = rng.randrange(len(text))
    if kind == 0:
        return text[:at]
    if kind == 1:
        return text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]
    if kind == 2:
        return text[:at] + text[at + rng.randrange(1, 40) :]
    if kind == 3:
        return text[:at] + text[rng.randrange(len(text)) :][:30] + text[at:]
    return text[:at] + rng.choice([b"[" * 5000, b'{"a":' * 5000, b"\0", b"9" * 5000]) + text[at:]


def test_damaged_files_are_refused_or_read_whole(tmp_path: Path, rng: random.Random) -> None:
    """Never a crash, never an exception of another kind, nothing leaked."""
    db = filled()
    path = tmp_path / "a.json"
    db.save(path)
    text = path.read_bytes()
    refused = 0
    DictDB.load(path)
    with nothing_leaked(8192):
        for _ in range(sized(1500, long=20_000)):
            path.write_bytes(damaged(text, rng))
            try:
                DictDB.load(path)
            except (CorruptFileError, LimitError):
                refused += 1
    assert refused > 100


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    db = DictDB()
    db.create_table("t").insert([{"n": n, "when": None, "text": "é\ud800"} for n in range(3)])
    db.save(path)
    text = path.read_bytes().rstrip()
    for size in range(len(text)):
        path.write_bytes(text[:size])
        with pytest.raises(CorruptFileError, match=f"^'{path}': ") as caught:
            DictDB.load(path)
        assert 0 <= caught.value.offset <= size


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    """A digit of a value: still JSON, no longer what was saved."""
    path = tmp_path / "a.json"
    db = DictDB()
    db.create_table("t").insert({"n": 1234567})
    db.save(path)
    text = path.read_bytes()
    assert text.count(b"1234567") == 1
    path.write_bytes(text.replace(b"1234567", b"1234568"))
    with pytest.raises(CorruptFileError):
        DictDB.load(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"tables": []}',
        '{"tables": {"t": 5}}',
        '{"tables": {"t": {}}}',
        '{"tables": {"t": {"primary_key": 5, "schema": null, "records": []}}}',
        '{"tables": {"t": {"primary_key": "id", "schema": null, "records": {}}}}',
        '{"tables": {"t": {"primary_key": "id", "schema": null, "records": [5]}}}',
        '{"tables": {"t": {"primary_key": "id", "schema": {"a": "no"}, "records": []}}}',
        '{"tables": {"t": {"primary_key": "id", "schema": null, "records": [{"id":1},{"id":1}]}}}',
        '{"tables": {"t": {"primary_key": "id", "schema": null, "records": [{"id":null}]}}}',
        '{"tables": {"t": {"primary_key": "id", "schema": {"a": "int"}, "records": [{"id": 1}]}}}',
        '{"tables": {}} trailing',
        '{"tables": {"t": {"primary_key": "id", "schema": null, "records": ' + "[" * 100_000,
        '\ufeff{"tables": {}',
        "not json at all",
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_files_that_are_something_else(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((CorruptFileError, LimitError)) as caught:
        DictDB.load(path)
    assert isinstance(caught.value, DictDBError)
    assert isinstance(caught.value, ValueError)


def test_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    filled().save(path)
    data = json.loads(path.read_text(encoding="utf-8"))
    versions = [key for key, value in data.items() if key != "tables" and isinstance(value, int)]
    nested = [data[key] for key in data if key != "tables" and isinstance(data[key], dict)]
    assert versions or any("version" in each for each in nested)
    if versions:
        data[versions[0]] = 999
    else:
        next(each for each in nested if "version" in each)["version"] = 999
    path.write_text(json.dumps(data))
    with pytest.raises(CorruptFileError, match=r"version|checksum"):
        DictDB.load(path)


def test_progress(tmp_path: Path) -> None:
    db = DictDB()
    db.create_table("t").insert([{"n": n, "text": "x" * 100} for n in range(50_000)])
    calls: list[tuple[int, int]] = []
    db.save(tmp_path / "a.json", progress=lambda done, total: calls.append((done, total)))
    assert calls
    assert all(isinstance(done, int) and done >= 0 for done, _ in calls)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert all(total == 0 or done <= total for done, total in calls)
    calls.clear()
    DictDB.load(tmp_path / "a.json", progress=lambda done, total: calls.append((done, total)))
    assert calls
    with pytest.raises(TypeError):
        db.save(tmp_path / "a.json", progress=5)  # type: ignore[arg-type]


def test_a_save_is_one_instant_and_stops_nobody(tmp_path: Path) -> None:
    db = DictDB()
    a, b = db.create_table("a"), db.create_table("b")
    a.insert([{"n": 0} for _ in range(100)])
    b.insert({"n": 0})

    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            with db.write_lock("a", "b"):
                a.update({"n": n})
                b.update({"n": n})

    with background(write, write, stop=stop):
        for number in range(20):
            db.save(tmp_path / f"{number}.json")
    for number in range(20):
        loaded = DictDB.load(tmp_path / f"{number}.json")
        assert len({r["n"] for r in loaded["a"]} | {r["n"] for r in loaded["b"]}) == 1


def test_saves_to_one_file_from_many_threads(tmp_path: Path) -> None:
    db = filled()
    path = tmp_path / "a.json"
    db.save(path)

    def save() -> None:
        for _ in range(10):
            db.save(path)

    with background(save, save, save):
        for _ in range(10):
            same(db, DictDB.load(path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_killed_while_saving(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    code = f"""
import dictdb, os, threading, time
db = dictdb.DictDB()
table = db.create_table("t")
table.insert([{{"n": n, "text": "x" * 50}} for n in range(20_000)])
db.save({str(path)!r})
def kill():
    time.sleep({{delay}})
    os.kill(os.getpid(), 9)
threading.Thread(target=kill).start()
while True:
    table.update({{"m": time.time()}})
    db.save({str(path)!r})
"""
    for delay in (0.01, 0.07, 0.2):
        try:
            check_python(code.replace("{delay}", str(delay)))
        except AssertionError as error:
            assert "-9" in str(error)
        loaded = DictDB.load(path)["t"]
        assert len(loaded) == 20_000
        assert len({record.get("m") for record in loaded}) == 1


def test_save_and_load_release_the_gil(tmp_path: Path) -> None:
    db = DictDB()
    db.create_table("t").insert([{"n": n, "text": "x" * 50} for n in range(100_000)])
    ticks = 0

    stop = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            threading.Event().wait(0.001)

    def ticks_during(call: Callable[[], object]) -> int:
        """The most of many calls: on a busy machine the other thread may get no turn in one."""
        most = 0
        end = time.monotonic() + 60
        while most < 3 and time.monotonic() < end:  # More than what is around the call has room for
            before = ticks
            call()
            most = max(most, ticks - before)
        return most

    with background(tick, stop=stop):
        assert ticks_during(lambda: db.save(tmp_path / "a.json")) >= 3
        assert ticks_during(lambda: DictDB.load(tmp_path / "a.json")) >= 3


def test_a_load_gives_everything_back_when_dropped(tmp_path: Path) -> None:
    filled().save(tmp_path / "a.json")
    DictDB.load(tmp_path / "a.json")
    with nothing_leaked():
        for _ in range(5):
            DictDB.load(tmp_path / "a.json").save(tmp_path / "b.json")


FLAT = """
from dictdb import DictDB, _core
rows, limit = %d, 3 << 20
db = DictDB()
db.create_table("t").insert([{"a": i, "text": "x" * 1000} for i in range(rows)])
held = _core.process_memory()  # All that the library has allocated
highest = 0

def watch(done, total):
    global highest
    highest = max(highest, _core.process_memory())

def flat(what, call, keeps):
    global highest
    before = _core.process_memory()
    highest = 0
    result = call()
    after = _core.process_memory() if keeps else before
    assert 0 < highest < after + limit, (what, before, highest, after)
    return result

for path, file_format in (("x.json", "json"), ("x.dictdb", "dictdb"), ("x", "directory")):
    flat("save " + path, lambda: db.save(path, file_format, progress=watch), False)
    twin = flat("load " + path, lambda: DictDB.load(path, progress=watch), True)
    assert twin["t"].count() == rows
    del twin
assert held + limit > _core.process_memory()
opened = flat("open", lambda: DictDB.open(path, progress=watch), True)
opened["t"].insert({"a": -1})
flat("checkpoint", lambda: opened.checkpoint(progress=watch), False)
opened.close()
"""


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Files of 8 MB, each written and read in pieces: beside the records there is but little."""
    rows = 8000
    check_python(FLAT % rows, 240, cwd=tmp_path)
    for path in (tmp_path / "x.json", tmp_path / "x.dictdb"):
        assert path.stat().st_size > 1000 * rows


@pytest.mark.parametrize(
    ("name", "indexed"),
    [("x.json", False), ("x.json", True), ("x.dictdb", False), ("x.dictdb", True)],
)
def test_many_small_tables_are_paid_for(tmp_path: Path, name: str, indexed: bool) -> None:
    """A file of ours makes a load hold at most 64 times its bytes, if all it has is tables."""
    db = DictDB()
    for n in range(600):
        table = db.create_table(f"t{n}")
        table.insert({"id": 1})
        if indexed:
            table.create_index("a")
    path = tmp_path / name
    db.save(path)
    before = _core.process_memory()
    loaded = DictDB.load(path)
    assert _core.process_memory() - before <= 64 * path.stat().st_size
    assert loaded["t9"].insert({}) == 2


def test_small_tables_of_other_programs_are_paid_for(tmp_path: Path) -> None:
    """With the 1 MiB on top: such files can be shorter than ours."""
    path = tmp_path / "x.json"
    tables = {f"{n:x}": {"primary_key": "id", "records": [{"id": 1}]} for n in range(2000)}
    path.write_text(json.dumps({"tables": tables}, separators=(",", ":")))
    before = _core.process_memory()
    loaded = DictDB.load(path)
    assert len(loaded) == 2000
    assert _core.process_memory() - before <= 64 * path.stat().st_size + 2**20


def test_signatures() -> None:
    assert list(inspect.signature(DictDB.save).parameters)[:3] == [
        "self",
        "filename",
        "file_format",
    ]
