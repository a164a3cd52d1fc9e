# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,operator,arg-type,call-overload"
"""Schemas: types, nullable fields, defaults; what breaks one is told exactly."""

from __future__ import annotations

import datetime
import math
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any, Optional, Union

import pytest

from dictdb import (
    Column,
    DictDB,
    PrimaryKeyError,
    SchemaValidationError,
    Table,
)
from helpers import unchanged
from samples import exactly

TYPES: list[tuple[Any, list[Any], list[Any]]] = [
    (int, [0, -1, 2**70], [True, 1.0, "1", None, Decimal(1)]),
    (float, [0.5, 1, 2**70, math.nan, math.inf], [True, "1.0", None, Decimal(1)]),
    (str, ["", "a", "\ud800"], [b"a", 1, None, ["a"]]),
    (bool, [True, False], [0, 1, None, "yes"]),
    (list, [[], [1, [2]]], [(1,), "ab", {}, None]),
    (dict, [{}, {"a": 1}], [[], "x", None]),
    (bytes, [b"", b"x"], ["x", None]),
    (tuple, [(), (1,)], [[1], None]),
    (set, [set(), {1}], [frozenset(), [], None]),
    (frozenset, [frozenset(), frozenset({1})], [{1}, None]),
    (Decimal, [Decimal(1), Decimal("NaN")], [1, 1.0, None]),
    (uuid.UUID, [uuid.UUID(int=1)], ["1", None]),
    (datetime.datetime, [datetime.datetime(2013, 1, 1)], [datetime.date(2013, 1, 1), 1]),
    (datetime.date, [datetime.date(2013, 1, 1)], [datetime.datetime(2013, 1, 1), "2013"]),
    (datetime.time, [datetime.time(1)], [1, datetime.datetime(2013, 1, 1)]),
    (datetime.timedelta, [datetime.timedelta(1)], [1, 1.0]),
]


def name_of(item: Any) -> str:
    return getattr(item, "__name__", None) or "values"


@pytest.mark.parametrize(("kind", "good", "bad"), TYPES, ids=name_of)
def test_types(kind: Any, good: list[Any], bad: list[Any]) -> None:
    table = Table("t", schema={"v": kind})
    for value in good:
        key = table.insert({"v": value})
        got = table.get(key)
        assert got is not None
        assert exactly(got["v"], value), "an int stays an int where a float is declared"
    for value in bad:
        with unchanged(table), pytest.raises(SchemaValidationError) as caught:
            table.insert({"v": value})
        assert caught.value.field == "v"
        assert kind.__name__ in caught.value.expected
        with unchanged(table), pytest.raises(SchemaValidationError):
            table.update({"v": value})


@pytest.mark.parametrize("kind", [int | None, Optional[int], Union[int, None], None | int])  # noqa: UP007, UP045
def test_nullable(kind: Any) -> None:
    table = Table("t", schema={"v": kind, "w": str})
    assert table.insert([{"v": None, "w": ""}, {"v": 1, "w": ""}]) == [1, 2]
    table.update({"v": None})
    with pytest.raises(SchemaValidationError):
        table.insert({"v": "x", "w": ""})
    with pytest.raises(SchemaValidationError) as caught:
        table.insert({"w": ""})
    assert caught.value.field == "v", "nullable is not optional"


def test_unions() -> None:
    table = Table("t", schema={"v": int | str | None})
    table.insert([{"v": 1}, {"v": "x"}, {"v": None}])
    with pytest.raises(SchemaValidationError) as caught:
        table.insert({"v": 1.5})
    assert "int" in caught.value.expected
    assert "str" in caught.value.expected
    assert "float" in caught.value.given


def test_types_that_cannot_be_checked_are_refused(db: DictDB) -> None:
    for kind in (list[int], dict[str, int] | None, complex, object, Any, "int", 5):
        with pytest.raises(TypeError, match="'v'"):
            db.create_table("t", schema={"v": kind})
    assert db.list_tables() == []


def test_defaults() -> None:
    tags: list[Any] = []
    table = Table(
        "t",
        schema={
            "name": str,
            "age": Column(int, default=18),
            "note": Column(str | None, default=None),
            "tags": Column(list, default=tags),
            "when": Column(datetime.date, default=datetime.date(2013, 1, 1)),
        },
    )
    table.insert({"name": "a"})
    tags.append("changed afterwards")
    table.insert({"name": "b", "age": 3, "tags": ["x"]})
    one, two = table.select()
    when = datetime.date(2013, 1, 1)
    assert one == {"id": 1, "name": "a", "age": 18, "note": None, "tags": [], "when": when}
    assert two == {"id": 2, "name": "b", "age": 3, "note": None, "tags": ["x"], "when": when}
    one["tags"].append("mine")
    assert table.get(1)["tags"] == []
    with pytest.raises(SchemaValidationError) as caught:
        table.insert({"age": 1})
    assert caught.value.field == "name"
    for default in ("x", True, None, 1.5):
        with pytest.raises((ValueError, TypeError)):
            Table("t", schema={"age": Column(int, default=default)})


def test_missing_extra_and_mistyped() -> None:
    table = Table("people", schema={"name": str, "age": int})
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"name": "a"}, "age", "missing"),
        ({"name": "a", "age": 1, "agee": 2}, "agee", "agee"),
        ({"name": 1, "age": 1}, "name", "int"),
        ({}, "name", "missing"),
    ]
    for record, field, given in cases:
        with unchanged(table), pytest.raises(SchemaValidationError) as caught:
            table.insert(record)
        error = caught.value
        assert isinstance(error, ValueError)
        assert (error.table, error.field) == ("people", field)
        assert error.expected
        assert error.given
        assert given in error.given
        assert "people" in str(error)
        assert field in str(error)


def test_the_key_is_added_as_int() -> None:
    table = Table("t", schema={"name": str})
    assert table.schema_fields() == ["id", "name"]
    assert table.insert({"name": "a"}) == 1
    with pytest.raises((SchemaValidationError, PrimaryKeyError)):
        table.insert({"id": "x", "name": "a"})
    own = Table("t", primary_key="code", schema={"code": str, "name": str})
    assert own.schema_fields() == ["code", "name"]
    assert own.insert({"code": "x", "name": "a"}) == "x"
    with pytest.raises((SchemaValidationError, PrimaryKeyError)):
        own.insert({"name": "no key"})


def test_no_schema() -> None:
    table = Table("t")
    assert table.schema is None
    assert table.schema_fields() == []


def test_upsert_checks_and_fills_in() -> None:
    table = Table("t", schema={"n": int, "m": Column(int, default=5)})
    assert table.upsert({"id": 1, "n": 1}) == (1, "inserted")
    assert table.get(1) == {"id": 1, "n": 1, "m": 5}
    with unchanged(table), pytest.raises(SchemaValidationError):
        table.upsert({"id": 1, "n": "x"})
    with unchanged(table), pytest.raises(SchemaValidationError):
        table.upsert({"id": 2, "n": 1, "extra": 1})
    assert table.upsert({"id": 1, "n": 2}, on_conflict="update") == (1, "updated")
    assert table.get(1)["n"] == 2


def test_skip_validation() -> None:
    """Types are not checked; fields still are those of the schema or the caller's affair."""
    table = Table("t", schema={"n": int})
    assert table.insert({"n": "text"}, skip_validation=True) == 1
    assert table.insert([{"n": 1.5}, {"n": 2}], skip_validation=True) == [2, 3]
    assert [r["n"] for r in table.select()] == ["text", 1.5, 2]
    with pytest.raises(SchemaValidationError):
        table.insert({"n": "text"})


def test_validate_record_is_what_insert_does() -> None:
    table = Table("t", schema={"n": int})
    for record in ({"n": 1}, {"n": "x"}, {}, {"n": 1, "m": 2}):
        with unchanged(table):
            try:
                table.validate_record(record)
                valid = True
            except SchemaValidationError:
                valid = False
        assert valid == (record == {"n": 1})


def test_schemas_survive_files(tmp_path: Path) -> None:
    db = DictDB()
    schema = {"v": int | None, "w": Column(str, default="d"), "x": float | str, "y": list}
    table = db.create_table("t", schema=schema)
    table.insert({"v": None, "x": 1, "y": []})
    db.save(tmp_path / "a.json")
    loaded = DictDB.load(tmp_path / "a.json")["t"]
    assert loaded.schema_fields() == table.schema_fields()
    assert loaded.insert({"v": 1, "x": "s", "y": [1]}) == 2
    assert loaded.get(2) == {"id": 2, "v": 1, "w": "d", "x": "s", "y": [1]}
    for bad in ({"v": "x", "x": 1, "y": []}, {"v": 1, "x": b"", "y": []}, {"v": 1, "x": 1}):
        with unchanged(loaded), pytest.raises(SchemaValidationError):
            loaded.insert(bad)


def test_the_callers_schema_is_copied() -> None:
    schema: dict[str, Any] = {"n": int}
    table = Table("t", schema=schema)
    schema["m"] = str
    assert table.schema_fields() == ["id", "n"]
    table.insert({"n": 1})


def test_field_order_of_a_record_with_a_schema() -> None:
    table = Table("t", schema={"a": int, "b": int})
    table.insert({"b": 2, "a": 1})
    record = table.get(1)
    assert record == {"id": 1, "a": 1, "b": 2}
