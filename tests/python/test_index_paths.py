# SPDX-License-Identifier: Apache-2.0
"""Indexes over what lies inside of fields: dicts' keys and lists' items. That they never change an
answer is test_query_properties.py's."""

from __future__ import annotations

import datetime
import uuid
from pathlib import Path
from typing import Any

import pytest

from dictdb import (
    DictDB,
    DuplicateIndexError,
    DuplicateKeyError,
    Field,
    IndexNotFoundError,
    InvalidArgumentError,
    Table,
    UnknownFieldError,
)


def people(count: int = 300) -> Table:
    table = Table("people")
    table.insert(
        [
            {
                "name": f"name {i}",
                "address": {"city": f"city {i % 30}", "at": [i % 10, i]} if i % 4 else None,
                "tags": [f"tag {i % 25}", i] if i % 3 else "none",
                "team": i % 5,
            }
            for i in range(count)
        ]
    )
    return table


def steps(plan: Any) -> list[str]:
    return [node.step for node in plan.walk()]


def test_conditions_use_them() -> None:
    table = people()
    plain = table.select()
    table.create_index(table.address["city"])
    table.create_index(table.tags[0], "sorted")
    table.create_index(["team", table.address["at"][0]], "sorted")

    plan = table.explain(table.address["city"] == "city 7")
    assert steps(plan) == ["filter", "index"]
    assert plan.children[0].detail == "hash (address['city']): address['city'] == 'city 7'"
    plan = table.explain(table.tags[0].startswith("tag 2"), analyze=True)
    assert plan.children[0].detail == "sorted (tags[0]): tags[0].startswith('tag 2')"
    assert plan.actual == sum(
        1 for r in plain if isinstance(r["tags"], list) and r["tags"][0].startswith("tag 2")
    )
    both = (table.team == 3) & (table.address["at"][0] > 6)
    plan = table.explain(both)
    assert plan.children[0].detail.startswith("sorted (team, address['at'][0]): team == 3 & ")
    assert [r["id"] for r in table.select(where=both)] == [
        r["id"] for r in plain if r["team"] == 3 and r["address"] and r["address"]["at"][0] > 6
    ]
    # Of another path of the same field nothing is known
    assert steps(table.explain(table.tags[1] == 5)) == ["filter", "scan"]
    assert steps(table.explain(table.tags == "none")) == ["filter", "scan"]
    assert steps(table.explain(table.address["city"]["x"] == 1)) == ["filter", "scan"]


def test_orders_use_them() -> None:
    table = people()
    table.create_index(table.tags[1], "sorted")
    for item, descending in ((table.tags[1].asc(), False), (table.tags[1].desc(), True)):
        plan = table.explain(order_by=item, limit=150)
        assert steps(plan) == ["slice", "walk"]
        found = [r["id"] for r in table.select(order_by=item, limit=250)]

        def key(record: dict[str, Any]) -> int:
            return record["tags"][1] if isinstance(record["tags"], list) else -1

        expected = sorted(table.select(), key=key, reverse=descending)
        assert found == [r["id"] for r in expected[:250]]


def test_changes_of_what_lies_inside() -> None:
    table = people(60)
    table.create_index(table.address["city"], "sorted", unique=False)
    table.update({"address": {"city": "elsewhere"}}, table.team == 1)
    assert table.count(table.address["city"] == "elsewhere") == 12
    table.delete(table.team == 1)
    assert table.count(table.address["city"] == "elsewhere") == 0
    table.update({"address": None})
    assert table.count(table.address["city"].is_null()) == 48


def test_unique() -> None:
    users = Table("users")
    users.create_index(users.mail["address"], unique=True)
    users.insert([{"mail": {"address": "a"}}, {"mail": None}, {}, {"mail": {"address": None}}])
    with pytest.raises(DuplicateKeyError, match=r"'a' twice under the unique index on 'mail'\['"):
        users.insert({"mail": {"address": "a", "more": 1}})
    assert len(users) == 4
    with pytest.raises(DuplicateKeyError):
        users.update({"mail": {"address": "b"}}, users.id > 1)
    assert users.update({"mail": {"address": "b"}}, users.id == 1) == 1


def test_they_are_named_by_their_paths() -> None:
    table = people(10)
    table.create_index(table.address["city"])
    table.create_index(["team", table.tags[-1]], "sorted")
    assert [index["fields"] for index in table.indexes()] == [
        [("address", "city")],
        ["team", ("tags", -1)],
    ]
    assert table.indexed_fields() == []
    assert table.has_index(table.address["city"])
    assert table.has_index(Field("address")["city"])
    assert table.has_index([("address", "city")])
    assert table.has_index(("team", table.tags[-1]))
    assert not table.has_index("address")
    assert not table.has_index(table.address["town"])
    assert not table.has_index(("address", "city"))  # Two fields
    with pytest.raises(DuplicateIndexError, match=r"hash index on 'address'\['city'\]"):
        table.create_index(table.address["city"])
    with pytest.raises(IndexNotFoundError, match=r"no index on 'address'\['town'\]"):
        table.drop_index(table.address["town"])
    for index in table.indexes():
        table.drop_index(index["fields"], index["index_type"])
    assert table.indexes() == []


def test_mistakes_raise() -> None:
    table = people(10)
    with pytest.raises(TypeError, match=r"paths of up to 32 steps into them, not team \+ 1"):
        table.create_index(table.team + 1)
    with pytest.raises(TypeError, match=r"not tags\.len_"):
        table.create_index([table.tags.len_()])
    with pytest.raises(InvalidArgumentError, match=r"a field twice: 'tags'\[0\]"):
        table.create_index([table.tags[0], ("tags", 0)])
    with pytest.raises(InvalidArgumentError, match="needs a field"):
        table.create_index([()])
    with pytest.raises(TypeError, match="unhashable"):
        table.create_index([("tags", [1])])
    deep: Any = table.tags
    for _ in range(33):
        deep = deep[0]
    with pytest.raises(TypeError, match="32 steps"):
        table.create_index(deep)
    assert table.indexes() == []
    strict = Table("strict", schema={"id": int, "address": dict})
    with pytest.raises(UnknownFieldError, match="did you mean 'address'"):
        strict.create_index(Field("adress")["city"])
    with pytest.raises(UnknownFieldError, match="did you mean 'address'"):
        strict.create_index(["id", ("adress", "city")])
    with pytest.raises(UnknownFieldError, match="did you mean 'address'"):
        strict.has_index(Field("adress")["city"])
    strict.create_index(strict.address["city"])


DAY = datetime.date(2026, 11, 23)
ODD_STEPS: list[Any] = [True, None, 2**80, (1, "a"), DAY, uuid.UUID(int=7), b"x", 1.5, "\ud800"]


@pytest.mark.parametrize("name", ["db.json", "db.dictdb"])
def test_files_keep_them(tmp_path: Path, name: str) -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert([{"x": {step: i}} for i, step in enumerate(ODD_STEPS)])
    for step in ODD_STEPS:
        table.create_index(table.x[step], "sorted")
    table.create_index(["y", table.x[0]["deep"], table.x["$type"]], unique=True)
    db.save(tmp_path / name)
    loaded = DictDB.load(tmp_path / name)["t"]
    assert loaded.indexes() == table.indexes()
    for i, step in enumerate(ODD_STEPS):
        assert loaded.select(where=loaded.x[step] == i) == [{"id": i + 1, "x": {step: i}}]


def test_the_log_keeps_them(tmp_path: Path) -> None:
    with DictDB.open(tmp_path / "db") as db:
        table = db.create_table("t")
        table.insert({"x": {"y": [1, 2]}})
        table.create_index(table.x["y"])
        table.create_index([table.x["y"][-1], "z"], "sorted", unique=True)
        table.drop_index(table.x["y"])
        table.insert({"x": {"y": [3]}, "z": 5})
        expected = table.indexes()
        db.checkpoint()
        table.create_index(table.x[(1, 2)])
        expected += table.indexes()[1:]
    with DictDB.open(tmp_path / "db") as db:
        table = db["t"]
        assert table.indexes() == expected
        assert table.count((table.x["y"][-1] == 3) & (table.z == 5)) == 1
        with pytest.raises(DuplicateKeyError):
            table.insert({"x": {"y": [0, 3]}, "z": 5})
