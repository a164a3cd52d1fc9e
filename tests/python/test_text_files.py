# SPDX-License-Identifier: Apache-2.0
"""CSV and NDJSON: what goes out comes back, nothing is guessed away, nothing is left half done."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dictdb import (
    And,
    CorruptFileError,
    DictDB,
    DictDBError,
    DuplicateKeyError,
    DuplicateTableError,
    InvalidArgumentError,
    MissingFileError,
    PrimaryKeyError,
    SchemaValidationError,
    StorageError,
    Table,
    UnknownFieldError,
    UnsupportedTypeError,
)
from helpers import SANITIZER, python_environment, sized
from samples import KEYS, VALUES, exactly, name_of


def load_csv(tmp_path: Path, text: str, **options: Any) -> list[dict[str, Any]]:
    path = tmp_path / "in.csv"
    path.write_bytes(text.encode())
    db = DictDB()
    count = db.import_csv(path, "t", **options)
    assert count == db["t"].count()
    return db["t"].all()


# ---- The original's promises -------------------------------------------------------------------


def test_options_of_the_original(tmp_path: Path) -> None:
    rows = load_csv(
        tmp_path,
        "sku;price;name\n1;19.99;Widget\n2;5;Nut\n",
        primary_key="sku",
        delimiter=";",
        has_header=True,
        encoding="utf-8",
        schema={"sku": int, "price": float, "name": str},
        infer_types=True,
        skip_validation=False,
    )
    assert rows == [
        {"sku": 1, "price": 19.99, "name": "Widget"},
        {"sku": 2, "price": 5.0, "name": "Nut"},
    ]
    assert [type(value) for value in rows[1].values()] == [int, float, str]
    assert load_csv(tmp_path, "1,a\n", has_header=False)[0] == {
        "column_1": 1,
        "column_2": "a",
        "id": 1,
    }


def test_bools_by_schema(tmp_path: Path) -> None:
    text = "id,b\n" + "".join(
        f"{i},{word}\n" for i, word in enumerate(["true", "0", "Yes", "FALSE", "1", "no"])
    )
    rows = load_csv(tmp_path, text, schema={"b": bool})
    assert [row["b"] for row in rows] == [True, False, True, False, True, False]


def test_identifiers_are_not_guessed_away(tmp_path: Path) -> None:
    texts = ["007", "1_000", "nan", "01e5", "inf", "+5", "-0", " 5", "0x1f", "1.", ".5", "1e999"]
    texts += ["True", "null", "None", "12-3", "1,5", "९", "--1", "-", "1e", "1e+", "2020-01-01"]
    path = tmp_path / "in.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "v"], *enumerate(texts)])
    db = DictDB()
    db.import_csv(path, "t")
    assert db["t"].pluck("v") == texts
    numbers = ["0", "42", "-7", "3.14", "-0.5", "1e5", "2E-3", "9" * 30, "1.10"]
    rows = load_csv(tmp_path, "id,v\n" + "".join(f"{i},{n}\n" for i, n in enumerate(numbers)))
    found = [row["v"] for row in rows]
    assert found == [0, 42, -7, 3.14, -0.5, 1e5, 2e-3, int("9" * 30), 1.1]
    assert [type(n) for n in found] == [int, int, int, float, float, float, float, int, float]
    rows = load_csv(tmp_path, "id,v\n1,42\n", infer_types=False)
    assert rows == [{"id": "1", "v": "42"}]


def test_an_import_makes_a_table_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    db = DictDB()
    cases: list[tuple[str, type[Exception], str, dict[str, Any]]] = [
        ("id,a\n1\n", CorruptFileError, "line 2", {}),
        ("id,a\n1,2\n2,3,4\n", CorruptFileError, "line 3", {}),
        ("", CorruptFileError, "no header", {}),
        ("id\n1\n1\n", DuplicateKeyError, "line 3", {}),
        ("id,a\n,1\n", PrimaryKeyError, "line 2", {}),
        ("id,a\n1,x\n", SchemaValidationError, "line 2: field 'a'", {"schema": {"a": int}}),
        ("id,a\n1,2\n", UnknownFieldError, "'a'", {"schema": {"b": int}}),
    ]
    for text, error, words, options in cases:
        path.write_text(text, encoding="utf-8")
        with pytest.raises((error, SchemaValidationError), match=r"in\.csv") as caught:
            db.import_csv(path, "t", **options)
        assert words in str(caught.value), text
        assert db.list_tables() == []
    db.create_table("t")
    path.write_text("id\n1\n", encoding="utf-8")
    with pytest.raises(DuplicateTableError):
        db.import_csv(path, "t")
    assert db["t"].count() == 0
    with pytest.raises(MissingFileError, match="nowhere"):
        db.import_csv(tmp_path / "nowhere.csv", "u")
    assert db.list_tables() == ["t"]


def test_skip_validation_keeps_text(tmp_path: Path) -> None:
    rows = load_csv(tmp_path, "id,a\n1,x\n2,3\n", schema={"a": int}, skip_validation=True)
    assert [row["a"] for row in rows] == ["x", 3]


@pytest.mark.parametrize(
    ("types", "skip_validation"), [(list, True), (list | str, False), (list | str, True)]
)
def test_broken_json_stays_text(types: Any, skip_validation: bool, tmp_path: Path) -> None:
    cells = ["[abc", '"[1, [2,"', "[1] [2]", "[" * 5000, '"{""$type"": ""no"", ""value"": 1}"']
    text = "a\n" + "".join(cell + "\n[1]\n" for cell in cells)
    rows = load_csv(tmp_path, text, schema={"a": types}, skip_validation=skip_validation)
    assert [row["a"] for row in rows[1::2]] == [[1]] * len(cells)
    assert [row["a"] for row in rows[::2]] == [cell.strip('"').replace('""', '"') for cell in cells]


def test_records_columns_where(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    users = Table("users")
    users.insert([{"name": "Ann", "age": 40}, {"name": "Bob", "age": 17}, {"name": "Cy"}])
    assert users.export_csv(path, where=And(users.age >= 18, users.name == "Ann")) == 1
    assert path.read_bytes() == b"id,name,age\r\n1,Ann,40\r\n"
    assert users.export_csv(path, columns=["age", "name"], where=lambda r: r["id"] > 1) == 2
    assert path.read_bytes() == b"age,name\r\n17,Bob\r\n,Cy\r\n"
    found = users.select(["name"], order_by="-name")
    assert users.export_csv(path, records=found, delimiter="\t") == 3
    assert path.read_bytes() == b"name\r\nCy\r\nBob\r\nAnn\r\n"
    assert users.export_csv(path, records=({"id": i % 2, "v": i} for i in range(4))) == 4
    assert path.read_bytes() == b"id,v\r\n0,0\r\n1,1\r\n0,2\r\n1,3\r\n"
    assert users.export_ndjson(path, records=found, where=users.name == "Cy") == 1
    assert path.read_bytes() == b'{"name": "Cy"}\n'
    assert users.export_csv(path, records=[]) == 0
    assert path.read_bytes() == b"id\r\n"
    with pytest.raises(InvalidArgumentError, match=r"record 1, field 'id'.*alone"):
        users.export_csv(path, records=[{}])
    assert users.export_ndjson(path, records=[{}]) == 1
    assert path.read_bytes() == b"{}\n"
    assert Table("empty", primary_key="key").export_csv(path) == 0
    assert path.read_bytes() == b"key\r\n"


def test_records_come_back_from_ndjson_as_they_were(tmp_path: Path) -> None:
    """Fields that are missing stay missing, None stays None, whatever the names are."""
    records = [
        {"id": 5, "a": None},
        {"id": "x", "b": [1, {"$type": 1}]},
        {"id": 2.5, "$type": "tuple", "value": [1]},
        {"id": 7},
        {"": 1, "id": 8, "a": 0},
    ]
    path = tmp_path / "records.ndjson"
    assert Table("t").export_ndjson(path, records=records) == 5
    db = DictDB()
    assert db.import_ndjson(path, "back") == 5
    assert db["back"].all() == records
    assert db["back"].export_ndjson(path, columns=["$type", "id"]) == 5
    db.import_ndjson(path, "some")
    assert [dict(row) for row in db["some"].select(where=db["some"].id == 2.5)] == [
        {"$type": "tuple", "id": 2.5}
    ]
    assert Table("t").export_ndjson(path, records=[{}, {"a": 1}, {}]) == 3
    assert path.read_text() == '{}\n{"a": 1}\n{}\n'
    assert Table("t").export_ndjson(path, records=[{}]) == 1
    assert path.read_text() == "{}\n"


def test_views_of_snapshots_export_their_instant(tmp_path: Path) -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert({"a": 1})
    with db.snapshot() as snapshot:
        table.insert({"a": 2})
        assert snapshot["t"].export_csv(tmp_path / "old.csv") == 1
        assert table.export_ndjson(tmp_path / "new.ndjson") == 2


# ---- Round trips -------------------------------------------------------------------------------


def schema_of(value: Any) -> Any:
    return None if value is None else type(value)


def is_unicode(value: Any) -> bool:
    return not isinstance(value, str) or not any("\ud800" <= c <= "\udfff" for c in value)


@pytest.mark.parametrize("value", VALUES, ids=name_of)
def test_every_value_comes_back_from_csv_by_its_type(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    table = Table("t", schema={"id": int, "v": schema_of(value), "w": int})
    table.insert({"id": 1, "v": value, "w": 7})
    if not is_unicode(value):
        path.write_text("old", encoding="ascii")
        with pytest.raises(InvalidArgumentError, match=r"record 1, field 'v'.*surrogate"):
            table.export_csv(path)
        assert path.read_text(encoding="ascii") == "old"
        return
    table.export_csv(path)
    db = DictDB()
    db.import_csv(path, "t", schema=table.schema)
    assert exactly(db["t"].all(), table.all())


@pytest.mark.parametrize(
    ("types", "values"),
    [
        (str | int, ["007", "+5", "12", "x", " 12", "-0", "[1]", "", 5, -5]),
        (str | bool, ["true", "FALSE", "no", "1", True, False]),
        (str | float, ["nan", "Infinity", "1.", ".5", "+1", "2e3", 1.5, float("inf")]),
        (str | bytes, ["abcd", "Anna", "=", b"a", b"\0\xff", bytes(3072), bytes(3073)]),
        (str | date | None, ["2020-01-01", "", None, date(2020, 1, 1)]),
        (str | time, ["[1]", "{}", "01:02:03", time(1, 2, 3)]),
        (str | list, ["[1]", '["x"]', "[1"]),
        (str | Decimal, ["1.50", "NaN", Decimal("1.50")]),
    ],
    ids=str,
)
def test_text_stays_text_beside_other_types(types: Any, values: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "u.csv"
    table = Table("t", schema={"id": int, "v": types, "w": int})
    table.insert([{"id": i, "v": value, "w": 7} for i, value in enumerate(values)])
    table.export_csv(path)
    db = DictDB()
    db.import_csv(path, "t", schema=table.schema)
    assert exactly(db["t"].all(), table.all())


def test_json_of_another_type_is_text_where_text_may_be(tmp_path: Path) -> None:
    rows = load_csv(tmp_path, "a\n[1]\n{}\n12\n", schema={"a": str | int})
    assert [row["a"] for row in rows] == ["[1]", "{}", 12]


def test_ints_keep_their_digits_in_a_field_of_floats(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    table = Table("t", schema={"id": int, "v": float})
    values = [5, -7, 2**53, 2**53 + 1, -(2**63) - 1, 10**22, 10**350, -(10**450), 1.5, float("inf")]
    table.insert([{"id": i, "v": value} for i, value in enumerate(values)])
    table.export_csv(path)
    db = DictDB()
    db.import_csv(path, "t", schema=table.schema)
    found = db["t"].pluck("v")
    assert found == values
    assert [type(value) for value in found[:6]] == [float, float, float, int, int, float]


def test_an_int_of_millions_of_digits_is_written_in_no_time(tmp_path: Path) -> None:
    """As decimal digits, which nothing would read again, it would take many minutes."""
    path = tmp_path / "i.csv"
    table = Table("t", schema={"id": int, "v": int})
    values = [10**4300 - 1, 1 - 10**4300, 10**4300, -(10**4300), 1 << 30_000_000]
    table.insert([{"id": i, "v": value} for i, value in enumerate(values)])
    table.export_csv(path)
    lines = path.read_bytes().splitlines()
    assert [line[2:3] for line in lines[1:]] == [b"9", b"-", b'"', b'"', b'"']
    db = DictDB()
    db.import_csv(path, "t", schema=table.schema)
    assert db["t"].pluck("v") == values


def test_a_refused_value_of_ndjson_names_its_field(tmp_path: Path) -> None:
    path = tmp_path / "f.ndjson"
    cases: list[tuple[str, type[DictDBError]]] = [
        ('{"$type": "uuid", "value": "x"}', CorruptFileError),
        ('{"$type": "set", "value": [[1]]}', UnsupportedTypeError),
        ('{"$type": "timedelta", "value": [9999999999, 0, 0]}', InvalidArgumentError),
        ('{"$type": "time", "value": "00:00:00", "zone": ["fixed", "X"]}', InvalidArgumentError),
        ('{"b": 1, "b": 2}', CorruptFileError),
    ]
    for text, error in cases:
        path.write_text(f'{{"a": 1}}\n{{"a": 2, "odd": {text}}}\n', encoding="utf-8")
        db = DictDB()
        with pytest.raises(error, match=r"line 2: field 'odd': ") as caught:
            db.import_ndjson(path, "t")
        assert caught.value.field == "odd"
        assert db.list_tables() == []


@pytest.mark.parametrize("value", VALUES, ids=name_of)
def test_every_value_comes_back_from_ndjson(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "v.ndjson"
    table = Table("t")
    table.insert([{"v": value}, {"v": [value], "$type": 1}])
    assert table.export_ndjson(path) == 2
    assert path.read_bytes().count(b"\n") == 2
    db = DictDB()
    assert db.import_ndjson(path, "t") == 2
    assert exactly(db["t"].all(), table.all())


@pytest.mark.parametrize("key", [key for key in KEYS if is_unicode(key)], ids=name_of)
def test_every_key_comes_back(key: Any, tmp_path: Path) -> None:
    table = Table("t", schema={"id": type(key), "a": int})
    table.insert({"id": key, "a": 1})
    table.export_csv(tmp_path / "k.csv")
    table.export_ndjson(tmp_path / "k.ndjson")
    db = DictDB()
    db.import_csv(tmp_path / "k.csv", "csv", schema=table.schema)
    db.import_ndjson(tmp_path / "k.ndjson", "lines", schema=table.schema)
    assert exactly(db["csv"].all(), table.all())
    assert exactly(db["lines"].all(), table.all())


def test_plain_values_come_back_without_a_schema(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    table = Table("t")
    texts = ["", " ", "5", "-1.5", "1e5", "007", "x,y", 'say "hi"', "a\r\nb", "\r", "é😀", "\ufeff"]
    table.insert([{"v": text, "n": None} for text in texts])
    table.insert([{"v": n, "n": None} for n in [0, -5, 10**30, 1.5, -0.0, 1e300, 5e-324, None]])
    table.export_csv(path)
    db = DictDB()
    db.import_csv(path, "t")
    assert exactly(db["t"].all(), table.select(["id", "v", "n"]))


def test_random_tables_come_back_and_python_reads_them(tmp_path: Path, rng: random.Random) -> None:
    alphabet = 'ab,;"\r\n\t 05.e-+é\0'
    for _ in range(sized(60)):
        names = ["id", *{"".join(rng.choices(alphabet, k=3)) for _ in range(rng.randint(1, 4))}]
        table = Table("t")
        for i in range(rng.randint(0, 6)):
            row: dict[str, Any] = {"id": i}
            for name in names[1:]:
                row[name] = rng.choice(
                    [
                        None,
                        rng.randint(-(10**20), 10**20),
                        rng.uniform(-1e3, 1e3),
                        "".join(rng.choices(alphabet, k=rng.randint(0, 6))),
                    ]
                )
            table.insert(row)
        delimiter = rng.choice(",;\t|e5-")
        path = tmp_path / "r.csv"
        table.export_csv(path, columns=names, delimiter=delimiter)
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, delimiter=delimiter, strict=True))
        assert rows[0] == names
        assert len(rows) == table.count() + 1
        for row, record in zip(rows[1:], table.all(), strict=True):
            for cell, name in zip(row, names, strict=True):
                value = record[name]
                assert cell == ("" if value is None else str(value))
        if delimiter in ",;\t|":
            db = DictDB()
            db.import_csv(path, "t", delimiter=delimiter)
            assert exactly(db["t"].all(), table.select(names))
        table.export_ndjson(path)
        with path.open(encoding="utf-8") as file:
            assert [json.loads(line) for line in file] == table.all()


def test_null_and_the_empty_text(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    table = Table("t")
    table.insert([{"a": None}, {"a": ""}, {"a": "NULL"}, {"a": "x"}])
    with pytest.raises(InvalidArgumentError, match=r"record 1, field 'a'.*another column"):
        table.export_csv(path, columns=["a"])
    table.export_csv(path, columns=["a"], null="NULL")
    assert path.read_bytes() == b'a\r\nNULL\r\n""\r\n"NULL"\r\nx\r\n'
    db = DictDB()
    db.import_csv(path, "t", null="NULL")
    assert db["t"].pluck("a") == [None, "", "NULL", "x"]
    rows = load_csv(tmp_path, "id,s,o,i\n1,,,5\n", schema={"s": str, "o": str | None, "i": int})
    assert rows == [{"id": 1, "s": "", "o": None, "i": 5}]


@pytest.mark.parametrize("null", ["0", "true", "1.5", "YQ==", "2020-01-02", "0.10"])
def test_what_is_written_as_null_is_stays_what_it_is(null: str, tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    schema: dict[str, Any] = {
        "id": int,
        "a": int | None,
        "b": bool | None,
        "c": float | None,
        "d": bytes | None,
        "e": date | None,
        "f": Decimal | None,
    }
    table = Table("t", schema=schema)
    table.insert(
        {"a": 0, "b": True, "c": 1.5, "d": b"a", "e": date(2020, 1, 2), "f": Decimal("0.10")}
    )
    table.insert(dict.fromkeys("abcdef"))
    table.export_csv(path, null=null)
    db = DictDB()
    db.import_csv(path, "t", schema=schema, null=null)
    assert db["t"].all() == table.all()


@pytest.mark.parametrize("delimiter", ["=", "+", "/", "A", "1", "-", "."])
def test_a_delimiter_that_values_are_written_with(delimiter: str, tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    schema = {"id": int, "a": bytes, "b": float, "c": date}
    table = Table("t", schema=schema)
    values = [b"", b"a", b"\xfb\xff", bytes(10_000), b"\xff" * 10_000]
    table.insert([{"a": value, "b": -1.1e-11, "c": date(2011, 1, 11)} for value in values])
    table.export_csv(path, delimiter=delimiter)
    db = DictDB()
    db.import_csv(path, "t", schema=schema, delimiter=delimiter)
    assert db["t"].all() == table.all()


def test_names_that_ndjson_keeps_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "n.ndjson"
    table = Table("t")
    table.insert([{"$type": "set", "value": [1]}, {"$type": None, "a": 5}])
    db = DictDB()
    for i, options in enumerate(
        ({}, {"columns": ["id", "$type"]}, {"columns": ["$type"]}, {"records": table.all()})
    ):
        table.export_ndjson(path, **options)
        db.import_ndjson(path, f"t{i}")
        for found, record in zip(db[f"t{i}"].all(), table.all(), strict=True):
            names = options.get("columns", record)
            assert {name: found[name] for name in names} == {name: record[name] for name in names}


@pytest.mark.parametrize("encoding", ["cp1258", "iso2022_jp", "big5hkscs", "utf-7"])
def test_a_last_letter_that_could_take_an_accent(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    for last in ("a", "e", "\u00ca" if encoding in ("cp1258", "big5hkscs", "utf-7") else "\u3042"):
        path.write_bytes(f"a\nx{last}".encode(encoding))
        db = DictDB()
        db.import_csv(path, "t", encoding=encoding)
        assert db["t"].pluck("a") == ["x" + last]
        db["t"].export_csv(path, columns=["a"], encoding=encoding)
        assert path.read_bytes().decode(encoding) == f"a\r\nx{last}\r\n"


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8-sig"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    table = Table("t")
    table.insert([{"a": "é" * n} for n in (1, 1000, 70_001)])
    table.export_csv(path, columns=["a"], encoding=encoding)
    bare = encoding.removesuffix("-sig")
    mark = "\ufeff" if bare != encoding else ""
    with path.open(newline="", encoding=bare) as file:
        assert [row[0] for row in csv.reader(file)] == [mark + "a", *table.pluck("a")]
    db = DictDB()
    db.import_csv(path, "t", encoding=encoding)
    assert db["t"].pluck("a") == table.pluck("a")
    table.insert({"a": "\u20ac\u0416"})
    table.insert([{"a": "x"}, {"a": "y"}])
    if encoding.startswith("utf"):
        return
    with pytest.raises(InvalidArgumentError, match=r"record 4, field 'a'.*cannot be written"):
        table.export_csv(path, encoding=encoding)
    table.update({"\u0416": 1}, where=table.id == 1)
    with pytest.raises(
        InvalidArgumentError, match=r"the name of field '\u0416'.*cannot be written"
    ):
        table.export_csv(path, encoding=encoding)
    db.import_csv(path, "again", encoding=encoding)


# ---- Mistakes ----------------------------------------------------------------------------------


def test_mistakes_raise_by_name(tmp_path: Path) -> None:
    db = DictDB()
    table = db.create_table("t", schema={"a": int})
    path = tmp_path / "x.csv"
    path.write_text("id\n1\n", encoding="ascii")
    calls: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (InvalidArgumentError, "delimiter", lambda: table.export_csv(path, delimiter=",,")),
        (InvalidArgumentError, "delimiter", lambda: table.export_csv(path, delimiter='"')),
        (InvalidArgumentError, "delimiter", lambda: table.export_csv(path, delimiter="\n")),
        (InvalidArgumentError, "delimiter", lambda: db.import_csv(path, "u", delimiter="é")),
        (UnsupportedTypeError, "delimiter", lambda: db.import_csv(path, "u", delimiter=5)),  # type: ignore[arg-type]
        (InvalidArgumentError, "encoding", lambda: db.import_csv(path, "u", encoding="klingon")),
        (InvalidArgumentError, "null", lambda: table.export_csv(path, null="a,b")),
        (UnsupportedTypeError, "columns", lambda: table.export_csv(path, columns="a")),
        (UnknownFieldError, "'b'", lambda: table.export_csv(path, columns=["b"])),
        (InvalidArgumentError, "twice", lambda: table.export_csv(path, columns=["a", "a"])),
        (InvalidArgumentError, "at least one", lambda: table.export_csv(path, columns=[])),
        (InvalidArgumentError, "primary_key", lambda: db.import_csv(path, "u", primary_key="")),
        (InvalidArgumentError, "name", lambda: db.import_csv(path, "")),
        (UnsupportedTypeError, "progress", lambda: table.export_csv(path, progress=3)),  # type: ignore[arg-type]
        (StorageError, "nodir", lambda: table.export_csv(tmp_path / "nodir" / "x.csv")),
        (TypeError, "what", lambda: table.export_csv(path, what=1)),  # type: ignore[call-arg]
    ]
    for error, words, call in calls:
        with pytest.raises(error, match=words):
            call()
    assert path.read_text(encoding="ascii") == "id\n1\n"
    assert db.list_tables() == ["t"]


def test_damage_never_leaves_a_part(tmp_path: Path, rng: random.Random) -> None:
    table = Table("t")
    table.insert([{"a": 'x"y,', "b": [1, {"c": None}], "d": 1.5}, {"a": "\r\n", "e": ""}])
    for name, exporter in (("csv", table.export_csv), ("ndjson", table.export_ndjson)):
        path = tmp_path / f"d.{name}"
        exporter(path)
        whole = path.read_bytes()
        texts = [whole[:size] for size in range(len(whole))]
        texts += [
            whole[:i] + bytes([rng.randrange(256)]) + whole[i + 1 :] for i in range(len(whole))
        ]
        for text in texts:
            path.write_bytes(text)
            db = DictDB()
            try:
                getattr(db, f"import_{name}")(path, "t")
            except DictDBError as error:
                assert path.name in str(error)
                assert db.list_tables() == []
            else:
                assert db["t"].count() >= 0


@pytest.mark.skipif(bool(SANITIZER), reason="sanitizers need more memory for themselves")
@pytest.mark.parametrize(
    "text",
    [
        b"a\n" + b"1\n" * 300_000,
        b"a,b\n" + b",\n" * 200_000,
        b"a\n" + b'""\n' * 200_000,
        b"," * 65_000 + b"\n",
        b'a\n"' + b'""' * 400_000 + b'"\n',
        b'a\n"' + b"[" * 500_000 + b'"\n',
        b"a\n" + b"9" * 500_000 + b"\n",
    ],
    ids=["rows", "nulls", "empty", "columns", "quotes", "nesting", "digits"],
)
def test_a_file_pays_for_what_it_takes(text: bytes, tmp_path: Path) -> None:
    from dictdb import _core

    path = tmp_path / "bomb.csv"
    path.write_bytes(text)
    db = DictDB()
    before = _core.process_memory()
    highest = 0

    def watch(done: int, total: int) -> None:
        nonlocal highest
        highest = max(highest, _core.process_memory() - before)

    try:
        db.import_csv(path, "t", progress=watch)
    except DictDBError:
        pass
    highest = max(highest, _core.process_memory() - before)
    # However short its row, a record is a record.
    assert highest <= 64 * len(text) + 2**20 + (256 * db["t"].count() if db.list_tables() else 0)


# ---- Progress ----------------------------------------------------------------------------------


def test_progress_and_stopping(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    path = tmp_path / "p.csv"
    table = Table("t")
    table.insert([{"a": i} for i in range(10_000)])
    for exporter in (table.export_csv, table.export_ndjson):
        calls: list[tuple[int, int]] = []
        exporter(path, progress=lambda done, total, calls=calls: calls.append((done, total)))
        assert calls[-1] == (10_000, 10_000)
        path.write_text("old", encoding="ascii")

        def stop(done: int, total: int) -> None:
            raise StopError

        with pytest.raises(StopError):
            exporter(path, progress=stop)
        assert path.read_text(encoding="ascii") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.csv"]
    table.export_csv(path)
    db = DictDB()
    calls = []
    db.import_csv(path, "t", progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (path.stat().st_size, path.stat().st_size)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    with pytest.raises(StopError):
        db.import_csv(path, "u", progress=stop)
    assert db.list_tables() == ["t"]


def test_the_callable_may_use_the_database(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    db = DictDB()
    table = db.create_table("t")
    table.insert([{"a": i} for i in range(3000)])

    def meddle(done: int, total: int) -> None:
        table.insert({"a": -1})
        assert "u" not in db.list_tables()
        with db.snapshot() as snapshot:
            assert snapshot.list_tables() == ["t"]

    assert table.export_csv(path, progress=meddle) == 3000
    assert db.import_csv(path, "u", progress=meddle) == 3000
    assert table.count() > 3000
    assert db["u"].count() == 3000


def test_a_bar(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    table = Table("t")
    table.insert({"a": 1})
    path = tmp_path / "bar[x].csv"
    assert table.export_csv(path, progress=True) == 1
    assert DictDB().import_csv(path, "t", progress=True) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "export bar[x].csv" in err
    assert "import bar[x].csv" in err


# ---- Threads, logs, memory ---------------------------------------------------------------------


@pytest.mark.threads
def test_imports_and_exports_beside_writers(tmp_path: Path) -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert([{"a": 0, "b": 0} for _ in range(200)])
    stop = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            table.update({"a": number, "b": -number})

    def check(name: str) -> None:
        path = tmp_path / f"{name}.csv"
        for round_ in range(sized(8, sanitized=3)):
            table.export_csv(path)
            db.import_csv(path, f"{name}{round_}")
            rows = db[f"{name}{round_}"].all()
            assert len(rows) == 200
            assert len({(row["a"], row["b"]) for row in rows}) == 1
            assert rows[0]["a"] == -rows[0]["b"]

    def guarded(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=guarded, args=(write,))
    readers = [
        threading.Thread(target=guarded, args=(lambda name=name: check(name),)) for name in "xy"
    ]
    writer.start()
    for thread in readers:
        thread.start()
    for thread in readers:
        thread.join()
    stop.set()
    writer.join()
    assert failures == []


def test_an_import_is_in_the_log_whole(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("id,a\n5,x\n6,y\n", encoding="ascii")
    with DictDB.open(tmp_path / "db") as db:
        db.create_table("before").insert({"n": 1})
        db.import_csv(path, "t", schema={"a": str})
        assert db["t"].insert({"a": "z"}) == 7
        db.drop_table("before")
        with pytest.raises(CorruptFileError):
            path.write_text("id,a\n5\n", encoding="ascii")
            db.import_csv(path, "u")
    with DictDB.open(tmp_path / "db") as db:
        assert db.list_tables() == ["t"]
        assert db["t"].all() == [
            {"id": 5, "a": "x"},
            {"id": 6, "a": "y"},
            {"id": 7, "a": "z"},
        ]
        assert db["t"].insert({"a": "next"}) == 8


FLAT = """
import resource, sys
from dictdb import DictDB, Table, _core
table = Table("t")
table.insert([{"a": i, "text": "x" * 200} for i in range(%(rows)d)])
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = _core.process_memory()
highest = 0
def watch(done, total):
    global highest
    highest = max(highest, _core.process_memory() - before)
for _ in range(2):
    table.export_csv(sys.argv[1] + "/x.csv", progress=watch)
    table.export_ndjson(sys.argv[1] + "/x.ndjson", progress=watch)
rise = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start
assert highest < 2 * 2**20, highest
assert rise < 12 * 1024, rise
held = _core.process_memory() - before
db = DictDB()
highest = 0
db.import_csv(sys.argv[1] + "/x.csv", "t", progress=watch)
whole = _core.process_memory() - before
assert highest < whole + 16 * 2**20, (highest, whole)
"""


@pytest.mark.skipif(bool(SANITIZER), reason="sanitizers keep freed memory")
def test_memory_stays_flat(tmp_path: Path) -> None:
    rows = 100_000
    subprocess.run(
        [sys.executable, "-c", FLAT % {"rows": rows}, str(tmp_path)],
        env=python_environment({}),
        check=True,
        timeout=240,
    )
    assert (tmp_path / "x.csv").stat().st_size > rows * 200
