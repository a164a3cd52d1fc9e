# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""Native files from Python: formats, a second reader, damage, writers beside a save."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import native_reader
from dictdb import CorruptFileError, DictDB, InvalidArgumentError, UnsupportedTypeError
from helpers import background, nothing_leaked, sized
from samples import KEYS, VALUES, exactly, name_of
from test_save_load import filled, same


def everything() -> DictDB:
    db = filled()
    keys = db.create_table("keys", primary_key="key")
    keys.insert([{"key": key, "n": n} for n, key in enumerate(KEYS)])
    shapes = db.create_table("shapes")
    shapes.insert([{f"f{n % 7}": n, f"g{n % 3}": [n]} for n in range(40)])
    db.drop_table("empty")
    db.create_table("later \ud800")
    return db


@pytest.mark.parametrize("name", ["a.dictdb", "a.ddb", "A.DICTDB"])
@pytest.mark.parametrize("compression", [0, 1, 19])
def test_round_trip(tmp_path: Path, name: str, compression: int) -> None:
    db = everything()
    path = tmp_path / name
    db.save(path, compression=compression)
    same(db, DictDB.load(path))
    same(db, DictDB.load(path, "DictDB"))
    other = tmp_path / "other.bin"
    with db.snapshot() as snapshot:
        snapshot.save(other, "dictdb", compression=compression)
    same(db, DictDB.load(other))


def test_a_loaded_database_goes_on(tmp_path: Path) -> None:
    filled().save(tmp_path / "a.ddb")
    db = DictDB.load(tmp_path / "a.ddb")
    assert db["users"].insert({"name": "new", "age": 1, "x": 2}) == 51
    assert "name" in db["users"].indexed_fields()
    with pytest.raises(ValueError):
        db["users"].insert({"name": 5, "age": 1, "x": 2})


def test_compression_makes_it_smaller(tmp_path: Path) -> None:
    db = DictDB()
    db.create_table("t").insert([{"text": "the same again", "n": n % 5} for n in range(20_000)])
    db.save(tmp_path / "a.ddb")
    db.save(tmp_path / "b.ddb", compression=3)
    assert (tmp_path / "b.ddb").stat().st_size * 5 < (tmp_path / "a.ddb").stat().st_size
    same(DictDB.load(tmp_path / "a.ddb"), DictDB.load(tmp_path / "b.ddb"))


def test_bad_arguments(tmp_path: Path) -> None:
    db = DictDB()
    for level in (-1, 20, 10**30):
        with pytest.raises(InvalidArgumentError, match="compression"):
            db.save(tmp_path / "a.ddb", compression=level)
    for level in (True, 1.0, "1", None):
        with pytest.raises(UnsupportedTypeError, match="compression"):
            db.save(tmp_path / "a.ddb", compression=level)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="compressed"):
        db.save(tmp_path / "a.json", compression=1)
    with pytest.raises(InvalidArgumentError, match="'dictdb'"):
        db.save(tmp_path / "a.ddb", "native")
    assert not list(tmp_path.iterdir())


def test_a_second_reader(tmp_path: Path) -> None:
    db = everything()
    path = tmp_path / "a.ddb"
    db.save(path)
    tables = native_reader.read(path)
    assert list(tables) == db.list_tables()
    for name, found in tables.items():
        table = db[name]
        assert exactly(found["records"], table.select())
        assert found["primary_key"] == table.primary_key
        assert found["indexes"] == [["hash", False, [field]] for field in table.indexed_fields()]
        if found["schema"] is not None:
            assert [field[0] for field in found["schema"]] == table.schema_fields()
    assert tables["users"]["next_key"] == 51


def test_a_second_reader_of_large_operations(tmp_path: Path) -> None:
    db = DictDB()
    db.create_table("t").insert([{"a": "x" * n} for n in (10, 3_000_000, 7, 1_048_500, 5)])
    db.save(tmp_path / "a.ddb")
    tables = native_reader.read(tmp_path / "a.ddb")
    assert exactly(tables["t"]["records"], db["t"].select())


def test_damage_is_found(tmp_path: Path) -> None:
    db = everything()
    path = tmp_path / "a.ddb"
    db.save(path)
    data = path.read_bytes()
    rng = random.Random(5)
    with nothing_leaked(slack=4096):
        for _ in range(sized(300)):
            at = rng.randrange(len(data))
            flipped = data[at] ^ (1 << rng.randrange(8))
            path.write_bytes(data[:at] + bytes([flipped]) + data[at + 1 :])
            with pytest.raises(CorruptFileError, match=r"a\.ddb") as caught:
                DictDB.load(path)
            assert caught.value.offset <= at


@pytest.mark.parametrize("value", VALUES, ids=name_of)
def test_every_value(tmp_path: Path, value: Any) -> None:
    db = DictDB()
    db.create_table("t").insert({"value": value})
    db.save(tmp_path / "a.ddb")
    assert exactly(DictDB.load(tmp_path / "a.ddb")["t"].select(), db["t"].select())


@pytest.mark.threads
def test_a_save_sees_one_instant(tmp_path: Path) -> None:
    db = DictDB()
    a, b = db.create_table("a"), db.create_table("b")

    def write() -> None:
        with db.write_lock(a, b):
            a.insert({"n": 1})
            b.insert({"n": 1})

    with background(write):
        for _ in range(sized(10)):
            db.save(tmp_path / "a.ddb")
            back = DictDB.load(tmp_path / "a.ddb")
            assert back["a"].count() == back["b"].count()
