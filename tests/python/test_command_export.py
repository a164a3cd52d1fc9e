# SPDX-License-Identifier: Apache-2.0
"""The command's way with files of one table: export, and CSV and NDJSON read like databases."""

from __future__ import annotations

import json
import os
import shlex
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from command import SAYS_HOW_TO_DRAW, Done, run, run_apart
from dictdb import DictDB, Table, _cli_commands

RECORDS: list[dict[str, Any]] = [
    {"id": 1, "code": "007", "price": Decimal("1.50"), "day": date(2024, 5, 1), "tags": ["a"]},
    {"id": 2, "code": 'x "y", z', "price": None, "note": "line\nline"},
    {"id": 5, "code": "", "price": Decimal("3")},
]


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """A table, also in shop.dictdb in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in SAYS_HOW_TO_DRAW:
        monkeypatch.delenv(name, raising=False)
    db = DictDB()
    made = db.create_table("t")
    made.insert(RECORDS)
    db.save("shop.dictdb")
    return made


def printed(done: Done) -> str:
    assert (done.status, done.err) == (0, "")
    return done.out


def imported(path: str, **options: Any) -> list[dict[str, Any]]:
    db = DictDB()
    if path.endswith("csv"):
        db.import_csv(path, "t", **options)
    else:
        db.import_ndjson(path, "t", **options)
    return db["t"].all()


def without_nulls(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if v is not None} for record in records]


def test_export_writes_what_can_be_read_back() -> None:
    said = printed(run("export", "shop.dictdb", "t", "t.ndjson"))
    assert said == f"t.ndjson: 3 records, {Path('t.ndjson').stat().st_size} bytes\n"
    assert imported("t.ndjson") == RECORDS
    printed(run("export", "shop.dictdb", "t.csv"))
    schema = {"id": int, "code": str, "price": Decimal | None, "day": date | None}
    found = imported("t.csv", schema={**schema, "tags": list | None, "note": str | None})
    assert without_nulls(found) == without_nulls(RECORDS)
    printed(run("export", "shop.dictdb", "t.json"))
    lines = Path("t.ndjson").read_text().splitlines()
    assert Path("t.json").read_text() == "[\n" + ",\n".join(lines) + "\n]\n"
    assert json.loads(Path("t.json").read_text())[0]["code"] == "007"


def test_export_chooses() -> None:
    printed(run("export", "shop.dictdb", "a.ndjson", "--where", "price is None"))
    assert imported("a.ndjson") == RECORDS[1:2]
    printed(run("export", "shop.dictdb", "b.ndjson", "--order-by=-id", "--limit", "2"))
    assert imported("b.ndjson") == [RECORDS[2], RECORDS[1]]
    chosen = ["--columns", "id,twice=id * 2", "--where", "id > 1", "--order-by", "code"]
    printed(run("export", "shop.dictdb", "c.csv", *chosen))
    assert Path("c.csv").read_text() == "id,twice\n5,10\n2,4\n"
    printed(run("export", "shop.dictdb", "d.csv", "--limit", "1", "--delimiter", ";"))
    d = 'id;code;price;day;tags;note\n1;007;1.50;2024-05-01;"[""a""]";\n'
    assert Path("d.csv").read_text() == d
    printed(run("export", "shop.dictdb", "e.tsv", "--columns", "id,code", "--limit", "1"))
    assert Path("e.tsv").read_text() == "id\tcode\n1\t007\n"


def test_export_as_json_facts() -> None:
    for name, chosen in (("t.csv", "csv"), ("t.jsonl", "ndjson"), ("t.json", "json")):
        facts = json.loads(printed(run("export", "shop.dictdb", "t", name, "--json")))
        assert facts == {
            "path": name,
            "format": chosen,
            "records": 3,
            "stored_bytes": Path(name).stat().st_size,
        }


@pytest.mark.parametrize("chosen", ["csv", "ndjson", "json"])
def test_export_to_the_standard_output(chosen: str) -> None:
    done = run_apart("export", "shop.dictdb", "-", "--to", chosen)
    printed(run("export", "shop.dictdb", "t.out", "--to", chosen))
    assert printed(done) == Path("t.out").read_text()
    none = run("export", "shop.dictdb", "-", "--to", chosen, "--where", "id > 9")
    expected = {"csv": "id,code,price,day,tags,note\r\n", "ndjson": "", "json": "[]\n"}
    assert printed(none) == expected[chosen]
    assert sorted(os.listdir()) == ["shop.dictdb", "t.out"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("chosen", ["csv", "json"])
def test_an_export_that_cannot_be_written(chosen: str) -> None:
    with open("/dev/full", "w") as full:
        done = run_apart("export", "shop.dictdb", "-", "--to", chosen, stdout=full.fileno())
    assert done == Done(1, "", "dictdb: cannot write the output: No space left on device\n")


def test_export_replaces_a_file_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("t.json").write_text("mine")
    assert run("export", "shop.dictdb", "t.json").status == 1

    def fails(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_cli_commands.os, "fsync", fails)
        done = run("export", "shop.dictdb", "t.json", "--force")
    assert done == Done(1, "", "dictdb: cannot write the output: No space left on device\n")
    assert Path("t.json").read_text() == "mine"
    assert sorted(os.listdir()) == ["shop.dictdb", "t.json"]
    printed(run("export", "shop.dictdb", "t.json", "--force"))
    assert len(json.loads(Path("t.json").read_text())) == 3
    printed(run("export", "shop.dictdb", "t.csv"))
    assert Path("t.json").stat().st_mode == Path("t.csv").stat().st_mode


def test_only_files_are_replaced(table: Table) -> None:
    Path("link.json").symlink_to("nowhere.json")
    for line in (["export", "shop.dictdb", "link.json"], ["convert", "shop.dictdb", "link.json"]):
        done = run(*line)
        assert (done.status, done.out) == (1, "")
        assert "'link.json' is there already: add --force to replace it" in done.err
    os.mkfifo("pipe")
    for line in (
        ["export", "--to", "json"],
        ["export", "--to", "csv"],
        ["convert", "--to", "json"],
    ):
        done = run(line[0], "shop.dictdb", "pipe", *line[1:], "--force")
        assert (done.status, done.out) == (1, "")
        assert done.err == "dictdb: 'pipe' is a device or a pipe: name a file to write\n"
    assert Path("pipe").is_fifo() and Path("link.json").is_symlink()
    assert sorted(os.listdir()) == ["link.json", "pipe", "shop.dictdb"]
    printed(run("export", "shop.dictdb", "link.json", "--force"))
    assert len(json.loads(Path("link.json").read_text())) == 3


def test_tables_of_text_are_read_like_databases() -> None:
    printed(run("export", "shop.dictdb", "goods.csv"))
    printed(run("export", "shop.dictdb", "goods.jsonl"))
    for name in ("goods.csv", "goods.jsonl"):
        facts = json.loads(printed(run("info", name, "--json")))
        [goods] = facts["tables"]
        assert (goods["name"], goods["records"], goods["primary_key"]) == ("goods", 3, "id")
        found = json.loads(printed(run("query", name, "--where", "code == '007'", "--json")))
        assert [record["id"] for record in found] == [1]
        printed(run("convert", name, "goods.dictdb", "--force"))
        assert DictDB.load("goods.dictdb")["goods"].pluck("code") == ["007", 'x "y", z', ""]
    Path("plain").write_text("name;size\na;1\nb;2\n")
    chosen = ["--format", "csv", "--delimiter", ";", "--key", "name"]
    found = json.loads(printed(run("head", "plain", *chosen, "--json")))
    assert found == [{"name": "a", "size": 1}, {"name": "b", "size": 2}]
    assert json.loads(printed(run("info", "plain", *chosen, "--json")))["tables"][0][
        "primary_key"
    ] == ("name")
    Path("null.csv").write_text("name,size\na,NA\nb,2\n")
    assert (
        printed(run("query", "null.csv", "--null", "NA", "--where", "size > 1", "--count")) == "1\n"
    )
    printed(run("export", "null.csv", "again.csv", "--null", "NA", "--columns", "name, size"))
    assert Path("again.csv").read_text() == "name,size\na,NA\nb,2\n"
    printed(run("export", "null.csv", "nil.csv", "--columns", "n=field('none')", "--null", "nil"))
    assert Path("nil.csv").read_text() == "n\nnil\nnil\n"
    Path("plain.tsv").write_text("name\tsize\na\t1\n")
    assert json.loads(printed(run("head", "plain.tsv", "--json")))[0]["size"] == 1


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("export shop.dictdb", 2, "required: TARGET"),
        ("export shop.dictdb t", 2, "add --to csv, ndjson, json"),
        ("export shop.dictdb t.dictdb", 2, "add --to csv, ndjson, json"),
        ("export shop.dictdb -", 2, "add --to csv, ndjson or json"),
        ("export shop.dictdb - --to csv --json", 2, "name a file"),
        ("export shop.dictdb u t.csv", 2, "there is no table 'u'"),
        ("export shop.dictdb t.csv --columns cod", 2, "did you mean 'code'?"),
        ("export shop.dictdb t.csv --where 'id = 1'", 2, "compare with =="),
        ("export shop.dictdb t.csv --to xml", 2, "invalid choice: 'xml'"),
        ("export shop.dictdb t.csv --delimiter ab", 2, "not one character: 'ab'"),
        ("export shop.dictdb t.csv --delimiter '\"'", 2, "delimiter"),
        ("export shop.dictdb nowhere/t.csv", 1, "there is no folder 'nowhere': make it first"),
        ("export shop.dictdb there.csv", 1, "add --force"),
        ("convert shop.dictdb t.csv", 2, "csv holds one table: use dictdb export"),
        (
            "info twice.csv",
            1,
            "line 3: table 'twice': duplicate value 1 for primary key",
        ),
        ("info twice.csv", 1, "; --key names the field that is the key"),
        ("info ragged.csv", 1, "'ragged.csv': line 2: 1 cells in a file of 2 columns"),
        ("info bad.ndjson", 1, "bad.ndjson"),
        ("info latin.csv", 1, "'latin.csv': line 2: field 'a': malformed str: not UTF-8"),
        ("info same.csv", 1, "'same.csv': line 1: table 'same': field 'a' is given twice"),
        ("info latin.csv --delimiter é", 2, "delimiter"),
        ("info latin.csv --key ''", 2, "primary_key"),
    ],
)
def test_mistakes(line: str, status: int, words: str) -> None:
    Path("there.csv").write_text("")
    Path("twice.csv").write_text("id,a\n1,2\n1,3\n")
    Path("ragged.csv").write_text("a,b\n1\n")
    Path("latin.csv").write_bytes(b"id,a\n1,\xe9\n")
    Path("same.csv").write_text("a,a\n1,2\n")
    Path("bad.ndjson").write_text('{"a": 1}\n{"a":\n')
    before = sorted(os.listdir())
    done = run(*shlex.split(line))
    assert (done.status, done.out) == (status, ""), done.err
    assert words in done.err
    assert done.err.startswith("dictdb: ")
    assert done.err.count("\n") == 1
    assert sorted(os.listdir()) == before
