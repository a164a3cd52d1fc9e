# SPDX-License-Identifier: Apache-2.0
"""What has changed since clear_dirty_tracking(): beside a model, by threads, and what it holds."""

from __future__ import annotations

import asyncio
import copy
import pickle
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from dictdb import UNSET, DictDB, Table, TableNotFoundError
from helpers import check_python, run_threads, sized

KEYS: list[Any] = [1, 2, 3, "a", (1, "b"), b"\xff", 2.5, frozenset({1})]

LITTLE = 4096  # Bytes that may wait for company before they are given back.


def told(table: Any) -> tuple[bool, list[dict[str, Any]], list[Any]]:
    return table.has_changes(), table.get_dirty_records(), table.get_deleted_pks()


def test_before_the_first_clear_all_records_are_dirty() -> None:
    table = Table("t")
    assert told(table) == (False, [], [])
    table.insert([{"n": 1}, {"n": 2}])
    table.delete(where=table.id == 1)
    assert told(table) == (True, [{"n": 2, "id": 2}], [])
    assert table.memory()["old_bytes"] < LITTLE


def test_what_each_statement_makes_of_it() -> None:
    table = Table("t")
    table.insert([{"n": n} for n in range(5)])
    table.clear_dirty_tracking()
    assert told(table) == (False, [], [])
    table.update({"n": UNSET, "m": [1]}, where=table.id == 4)
    table.upsert({"id": 9, "n": 9})
    table.delete(where=table.id.is_in([1, 2]))
    table.insert({"id": 2, "back": True})
    dirty = [{"id": 4, "m": [1]}, {"id": 9, "n": 9}, {"id": 2, "back": True}]
    assert told(table) == (True, dirty, [1])
    table.delete(where=table.id == 9)  # Came and went
    table.delete(where=table.id == 2)
    assert told(table) == (True, dirty[:1], [1, 2])
    table.create_index("n")
    table.clear_dirty_tracking()
    table.drop_index("n")
    assert told(table) == (False, [], [])
    with pytest.raises(ZeroDivisionError):
        table.update(lambda record: 1 / 0)
    assert not table.has_changes()
    table.stop_dirty_tracking()
    assert told(table) == (True, table.all(), [])


def test_what_is_given_is_copied() -> None:
    table = Table("t")
    table.insert({"tags": [1]})
    table.get_dirty_records()[0]["tags"].append(2)
    assert table.get_dirty_records() == [{"id": 1, "tags": [1]}]


def test_beside_a_model(rng: random.Random) -> None:
    table = Table("t", primary_key="key")
    now: dict[Any, int] = {}
    then: dict[Any, int] = {}
    count = 0
    for _ in range(sized(600, sanitized=100)):
        key = rng.choice(KEYS)
        if rng.random() < 0.06:
            table.clear_dirty_tracking()
            then = dict(now)
        elif rng.random() < 0.03:
            table.stop_dirty_tracking()
            then = {}
        elif key in now and rng.random() < 0.4:
            del now[key]
            assert table.delete(where=table.key == key) == 1
        else:
            now[key] = count = count + 1
            table.upsert({"key": key, "count": count})
        changed, dirty, deleted = told(table)
        expected = {key: n for key, n in now.items() if then.get(key) != n}
        assert {record["key"]: record["count"] for record in dirty} == expected
        assert len(dirty) == len(expected)
        assert dirty == [record for record in table.all() if record["key"] in expected]
        assert set(deleted) == then.keys() - now.keys()
        assert len(deleted) == len(set(deleted))
        assert changed == bool(dirty or deleted)


def test_what_is_held_shows_and_is_given_back() -> None:
    table = Table("t")
    table.insert([{"text": "x" * 100} for _ in range(2000)])
    table.clear_dirty_tracking()
    whole = table.memory()
    assert whole["old_bytes"] < LITTLE
    for turn in range(5):
        table.update({"text": f"{turn}" * 100})
        assert 0 < table.memory()["old_bytes"] < 2 * whole["total_bytes"]
    table.clear_dirty_tracking()
    assert table.memory()["old_bytes"] == 0
    table.delete()
    assert table.memory()["old_bytes"] > 200_000
    assert sorted(table.get_deleted_pks()) == list(range(1, 2001))
    table.stop_dirty_tracking()
    assert table.memory()["old_bytes"] == 0
    assert told(table) == (False, [], [])


def test_all_objects_of_a_table_tell_the_same() -> None:
    db = DictDB()
    db.create_table("t").insert({"n": 1})
    db["t"].clear_dirty_tracking()
    assert not db.get_table("t").has_changes()
    db["t"].insert({"n": 2})
    assert db.tables["t"].get_dirty_records() == [{"n": 2, "id": 2}]


def test_a_snapshot_tells_up_to_its_instant() -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert([{"n": 1}, {"n": 2}])
    table.clear_dirty_tracking()
    table.update({"n": 3}, where=table.id == 1)
    with db.snapshot() as snapshot:
        table.delete()
        assert told(snapshot["t"]) == (True, [{"n": 3, "id": 1}], [])
        assert told(table) == (True, [], [1, 2])
        table.clear_dirty_tracking()
        assert told(snapshot["t"]) == (False, [], [])  # What is compared with is later


def test_it_is_not_saved(tmp_path: Path) -> None:
    db = DictDB()
    db.create_table("t").insert({"n": 1})
    db["t"].clear_dirty_tracking()
    db.save(tmp_path / "db.dictdb")
    copies = [
        DictDB.load(tmp_path / "db.dictdb"),
        copy.deepcopy(db),
        pickle.loads(pickle.dumps(db)),
    ]
    for again in copies:
        assert told(again["t"]) == (True, [{"n": 1, "id": 1}], [])
    with DictDB.open(tmp_path / "kept") as kept:
        kept.create_table("t").insert({"n": 1})
        kept["t"].clear_dirty_tracking()
    with DictDB.open(tmp_path / "kept") as kept:
        assert kept["t"].has_changes()


def test_a_dropped_table() -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert([{"n": n} for n in range(1000)])
    table.clear_dirty_tracking()
    table.update({"n": 0})
    db.drop_table("t")
    assert table.memory()["old_bytes"] == 0
    for ask in (table.has_changes, table.get_dirty_records, table.clear_dirty_tracking):
        with pytest.raises(TableNotFoundError):
            ask()
    table.stop_dirty_tracking()
    assert not db.create_table("t").has_changes()


def test_under_a_write_lock_its_owner_sees_its_own() -> None:
    table = Table("t")
    table.insert([{"n": 1}, {"n": 2}])
    with table.lock.write_lock():
        table.clear_dirty_tracking()
        table.update({"n": 5}, where=table.id == 1)
        assert table.get_dirty_records() == [{"n": 5, "id": 1}]
    assert told(table) == (True, [{"n": 5, "id": 1}], [])


def test_for_asyncio() -> None:
    async def main() -> None:
        table = Table("t")
        await table.aio.insert([{"n": 1}, {"n": 2}])
        await table.aio.clear_dirty_tracking()
        assert not await table.aio.has_changes()
        await table.aio.update({"n": 3}, table.id == 1)
        await table.aio.delete(table.id == 2)
        assert await table.aio.get_dirty_records() == [{"n": 3, "id": 1}]
        assert await table.aio.get_deleted_pks() == [2]
        await table.aio.stop_dirty_tracking()
        assert await table.aio.get_deleted_pks() == []

    asyncio.run(main())


def test_fields_of_these_names_are_read_by_subscript() -> None:
    table = Table("t")
    table.insert({"has_changes": 5})
    assert table.count(where=table["has_changes"] == 5) == 1


@pytest.mark.threads
def test_by_threads(rng: random.Random) -> None:
    """Writers give each key a rising number; what is marked between two looks is in one of them."""
    table = Table("t")
    done = threading.Event()
    rounds = sized(300, sanitized=40)
    seen: dict[int, int] = {}

    def write(seed: int) -> None:
        own = random.Random(seed)
        for n in range(rounds):
            table.upsert({"id": own.randrange(8) * 2 + seed % 2, "n": n})

    def collect() -> None:
        last = False
        while not last:
            last = done.is_set()
            with table.lock.write_lock():
                dirty = table.get_dirty_records()
                table.clear_dirty_tracking()
            for record in dirty:
                assert record["n"] > seen.get(record["id"], -1)
                seen[record["id"]] = record["n"]

    def disturb() -> None:
        while not done.is_set():
            dirty = table.get_dirty_records()
            assert len({record["id"] for record in dirty}) == len(dirty)
            table.has_changes()

    def write_both() -> None:
        try:
            run_threads([lambda: write(2 * rng.randrange(1000)), lambda: write(1)])
        finally:
            done.set()

    run_threads([write_both, collect, disturb])
    assert seen == {record["id"]: record["n"] for record in table.all()}
    assert not table.has_changes()


def test_a_forked_child_tells_and_does_not_clear() -> None:
    check_python(
        """
        import os, dictdb
        table = dictdb.Table("t")
        table.insert([{"n": 1}, {"n": 2}])
        table.clear_dirty_tracking()
        table.delete(where=table.id == 1)
        child = os.fork()
        if child == 0:
            right = table.has_changes() and table.get_deleted_pks() == [1]
            right = right and not table.get_dirty_records()
            try:
                table.clear_dirty_tracking()
            except dictdb.ForkedProcessError:
                os._exit(0 if right else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        table.clear_dirty_tracking()
        assert not table.has_changes()
        """.replace("\n        ", "\n")
    )
