# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="call-overload,index"
"""What insert and upsert return when asked for more than keys."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from dictdb import (
    Column,
    DictDB,
    DuplicateKeyError,
    InvalidArgumentError,
    SchemaValidationError,
    Table,
    UnsupportedTypeError,
)
from helpers import run_threads, sized


@pytest.fixture
def table(db: DictDB) -> Table:
    made = db.create_table("t", schema={"id": int, "name": str, "n": Column(int, default=7)})
    made.insert({"name": "first"})
    return made


@pytest.fixture
def free(db: DictDB) -> Table:
    return db.create_table("free", primary_key="key")


def test_insert_gives_records_with_keys_and_defaults(table: Table) -> None:
    given = {"name": "a"}
    made = table.insert(given, returning="new")
    assert made == {"id": 2, "name": "a", "n": 7} == table.get(2)
    assert list(made) == list(table.get(2))
    assert given == {"name": "a"}
    assert table.insert([{"name": "b"}, {"id": 9, "name": "c", "n": 1}], returning="new") == [
        {"id": 3, "name": "b", "n": 7},
        {"id": 9, "name": "c", "n": 1},
    ]
    assert table.insert([], returning="new") == []
    assert table.insert([], returning="count") == 0
    assert table.insert({"name": "d"}, returning="count") == 1
    assert table.insert(({"name": str(n)} for n in range(200)), returning="count") == 200
    assert table.insert({"name": "e"}, returning="key") == 211
    many = table.insert([{"name": str(n)} for n in range(300)], returning="new")
    assert [row["id"] for row in many] == list(range(212, 512))
    assert table.insert([{"name": "f"}], returning="key") == [512]


def test_what_is_returned_is_a_copy(free: Table) -> None:
    given: dict[str, Any] = {"key": "k", "list": [1, {"a": datetime.date(2024, 2, 29)}]}
    made = free.insert(given, returning="new")
    assert made == given
    made["list"].append(2)
    made["list"][1]["a"] = None
    assert free.get("k") == given == {"key": "k", "list": [1, {"a": datetime.date(2024, 2, 29)}]}


def test_upsert(free: Table) -> None:
    assert free.upsert({"key": 1, "a": 1}, returning="old") is None
    assert free.upsert({"key": 1, "b": 2}, returning="old") == {"key": 1, "a": 1}
    assert free.upsert({"key": 1, "a": 3}, returning="new") == {"key": 1, "a": 3, "b": 2}
    assert free.upsert({"key": 1.0, "a": 4}, "ignore", returning="new") == free.get(1)
    assert free.upsert({"key": 1, "a": 4}, "ignore", returning="old") == free.get(1)
    assert free.get(1) == {"key": 1, "a": 3, "b": 2}
    assert free.upsert({"key": 1, "a": 4}, "ignore", returning="count") == 0
    assert free.upsert({"key": 1, "a": 4}, returning="count") == 1
    assert free.upsert({"key": 2}, "error", returning="new") == {"key": 2}
    assert free.upsert({"key": 3}, "error", returning="old") is None
    assert free.upsert({"key": 4}, "ignore", returning="count") == 1
    assert free.upsert({"a": 1}, returning="new") == {"a": 1, "key": 5}
    assert free.upsert({"a": 1}, returning="old") is None
    assert free.upsert({"key": 1, "a": 5}, returning="action") == (1, "updated")


@pytest.mark.parametrize("how", ["count", "new"])
def test_failures_change_nothing(table: Table, how: str) -> None:
    before = table.all()
    for records, error in (
        ([{"name": "a"}, {"id": 1, "name": "b"}], DuplicateKeyError),
        ({"id": 1, "name": "b"}, DuplicateKeyError),
        ([{"name": "a"}, {"name": object()}], UnsupportedTypeError),
        ([{"name": "a"}, {"id": None, "name": "b"}], SchemaValidationError),
    ):
        with pytest.raises(error):
            table.insert(records, returning=how)
        assert table.all() == before
    with pytest.raises(DuplicateKeyError):
        table.upsert({"id": 1, "name": "b"}, "error", returning=how)
    assert table.all() == before
    assert table.insert({"name": "next"}) == 2


def test_other_words_are_refused(table: Table) -> None:
    for bad in ("old", "action", "keys", "", None, 1, b"new"):
        with pytest.raises(InvalidArgumentError, match="returning must be 'key', 'count' or 'new'"):
            table.insert({"name": "a"}, returning=bad)
    for bad in ("key", "keys", None, 1):
        with pytest.raises(
            InvalidArgumentError, match="returning must be 'action', 'count', 'old' or 'new'"
        ):
            table.upsert({"name": "a"}, returning=bad)
    for word in ("updat", None, 1):
        with pytest.raises(
            InvalidArgumentError, match="on_conflict must be 'update', 'ignore' or 'error', not"
        ):
            table.upsert({"name": "a"}, word)
    with pytest.raises(TypeError):
        table.upsert({"name": "a"}, "update", "new")
    assert len(table) == 1


@pytest.mark.threads
def test_each_thread_gets_what_it_made() -> None:
    """The old records of upserts by many threads are, all together, every state but the last."""
    table = Table("t")
    threads, each = 4, sized(50)
    olds: list[list[Any]] = [[] for _ in range(threads)]

    def work(number: int) -> None:
        for step in range(each):
            mine = f"{number}-{step}"
            assert table.insert({"mine": mine}, returning="new")["mine"] == mine
            olds[number].append(table.upsert({"id": 0, "by": mine}, returning="old"))

    run_threads([lambda n=n: work(n) for n in range(threads)])  # type: ignore[misc]
    states = [old["by"] if old else None for part in olds for old in part]
    final = table.get(0)
    assert final is not None
    expected = [None, *(f"{n}-{step}" for n in range(threads) for step in range(each))]
    assert sorted(map(str, [*states, final["by"]])) == sorted(map(str, expected))
