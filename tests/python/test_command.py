# SPDX-License-Identifier: Apache-2.0
"""The command: what each subcommand prints, each mistake's message and exit status, its streams."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import dictdb
from command import SAYS_HOW_TO_DRAW, Done, command, environment, run, run_apart, run_on_terminal
from dictdb import DictDB, _cli, _cli_backups, _cli_commands, _cli_show
from helpers import PATIENCE, ROOT, SANITIZER

HOSTILE = "\x1b[2Jred\nnext\u202eline"


@pytest.fixture(autouse=True)
def _says_nothing_about_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SAYS_HOW_TO_DRAW:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DictDB:
    """A database, also as shop.dictdb in the current folder."""
    monkeypatch.chdir(tmp_path)
    db = DictDB()
    users = db.create_table("users")
    users.insert(
        [
            {"name": "Ann", "age": 34, "city": "Oslo", "tags": ["a"], "paid": Decimal("1.50")},
            {"name": "Bob", "age": 19, "city": None, "seen": date(2024, 5, 1)},
            {"name": HOSTILE, "age": 27, "city": "Oslo"},
        ]
    )
    users.create_index("city")
    users.create_index(["city", "age"], "sorted")
    users.create_index(users.tags[0], unique=True)
    items = db.create_table("items", "code", {"code": str, "price": float, "note": str | None})
    items.insert({"code": "tea", "price": 4.5, "note": None})
    db.save("shop.dictdb")
    return db


def lines(done: Done) -> list[str]:
    assert (done.status, done.err) == (0, "")
    return done.out.splitlines()


def parsed(done: Done) -> Any:
    assert (done.status, done.err) == (0, "")
    return json.loads(done.out)


# --- info ---


def test_info_tells_of_tables(shop: DictDB) -> None:
    shown = lines(run("info", "shop.dictdb"))
    assert re.fullmatch(
        r"shop\.dictdb: 2 tables, [\d.]+ KiB stored, [\d.]+ KiB in memory", shown[0]
    )
    assert shown[2].split() == ["table", "records", "key", "fields", "schema", "indexes"]
    assert [line.split()[:5] for line in shown[4:]] == [
        ["users", "3", "id", "7", "no"],
        ["items", "1", "code", "3", "yes"],
    ]
    assert shown[4].endswith("city (hash), city+age (sorted), tags[0] (unique hash)")
    assert shown[5].endswith("none")


def test_info_as_json(shop: DictDB) -> None:
    facts = parsed(run("info", "shop.dictdb", "--json"))
    assert facts.keys() == {"path", "stored_bytes", "memory_bytes", "tables"}
    assert facts["stored_bytes"] == Path("shop.dictdb").stat().st_size
    users, items = facts["tables"]
    assert users.pop("memory_bytes") > 0
    assert users == {
        "name": "users",
        "records": 3,
        "primary_key": "id",
        "fields": shop["users"].columns(),
        "schema": None,
        "indexes": [
            {"fields": ["city"], "type": "hash", "unique": False},
            {"fields": ["city", "age"], "type": "sorted", "unique": False},
            {"fields": [["tags", 0]], "type": "hash", "unique": True},
        ],
    }
    assert items["schema"] == {"code": "str", "price": "float", "note": "str | None"}


def test_info_of_a_table_tells_of_its_fields(shop: DictDB) -> None:
    shown = lines(run("info", "shop.dictdb", "users"))
    assert shown[0].startswith("users: 3 records, key id, ")
    assert shown[3].split() == ["field", "values", "least", "greatest"]
    rows = {line.split()[0]: line.split()[1:] for line in shown[5:]}
    assert list(rows) == shop["users"].columns()
    assert rows["age"] == ["3", "19", "34"]
    assert rows["city"] == ["2", "Oslo", "Oslo"]
    assert rows["paid"] == ["1", "1.50", "1.50"]
    shown = lines(run("info", "shop.dictdb", "items"))
    assert shown[3].split() == ["field", "type", "values", "least", "greatest"]
    assert shown[7].split() == ["note", "str", "|", "None", "0"]
    values = parsed(run("info", "shop.dictdb", "users", "--json"))["tables"][0]["values"]
    assert values["age"] == {"count": 3, "min": 19, "max": 34}


def test_info_of_what_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.json"
    db = DictDB()
    db.save(path)
    assert len(lines(run("info", path))) == 1
    assert parsed(run("info", path, "--json"))["tables"] == []
    db.create_table("t")
    db.save(path)
    assert lines(run("info", path))[4].split() == ["t", "0", "id", "0", "no", "none"]
    assert lines(run("head", path)) == ["no records"]
    assert lines(run("query", path, "--where", "any_field > 3")) == ["no records"]
    assert lines(run("query", path, "--group-by", "any_field")) == ["no groups"]
    assert parsed(run("query", path, "--json")) == []
    assert lines(run("info", path, "t"))[0].startswith("t: 0 records")


# --- head and query ---


def test_head(shop: DictDB) -> None:
    shown = lines(run("head", "shop.dictdb", "users", "-n", "2"))
    assert shown[0].split() == shop["users"].columns()
    assert shown[2].split() == ["1", "Ann", "34", "Oslo", '["a"]', "1.50"]
    assert shown[3].split() == ["2", "Bob", "19", "None", "2024-05-01"]
    assert shown[4:] == ["", "2 of 3 records"]
    shown = lines(run("head", "shop.dictdb", "users", "--columns", "years=age, city"))
    assert [line.split() for line in shown[2:4]] == [["34", "Oslo"], ["19", "None"]]
    records = parsed(run("head", "shop.dictdb", "users", "--json"))
    assert [record["name"] for record in records] == ["Ann", "Bob", HOSTILE]
    assert records[0]["paid"] == "1.50"


def test_the_only_table_needs_no_name(shop: DictDB) -> None:
    shop.drop_table("users")
    shop.save("shop.dictdb")
    assert lines(run("head", "shop.dictdb"))[-1] == "1 of 1 record"
    assert parsed(run("query", "shop.dictdb", "--json"))[0]["code"] == "tea"


def test_query(shop: DictDB) -> None:
    def asked(*options: str) -> Any:
        return parsed(run("query", "shop.dictdb", "users", *options, "--json"))

    assert [r["id"] for r in asked("--where", "age < 30")] == [2, 3]
    assert asked("--columns", "id, next=age + 1", "--order-by=-age", "--limit", "1") == [
        {"id": 1, "next": 35}
    ]
    assert asked("--columns", "city", "--distinct") == [{"city": "Oslo"}, {"city": None}]
    assert asked("--columns", "id", "--order-by", "city,-age", "--offset", "1") == [
        {"id": 1},
        {"id": 3},
    ]
    assert asked("--where", "city is None", "--count") == 1
    assert asked("--limit", "0") == []
    shown = lines(run("query", "shop.dictdb", "users", "--where", "age < 30", "--columns", "age"))
    assert shown == ["age", "───", " 19", " 27", "", "2 records"]


def test_groups(shop: DictDB) -> None:
    def asked(*options: str) -> Any:
        return parsed(run("query", "shop.dictdb", "users", *options, "--json"))

    assert asked("--group-by", "city") == [{"city": "Oslo", "count": 2}, {"city": None, "count": 1}]
    assert asked(
        "--group-by", "old=age // 30", "--aggregate", "n=count()", "--aggregate", "max(age)"
    ) == [{"old": 1, "n": 1, "max(age)": 34}, {"old": 0, "n": 2, "max(age)": 27}]
    by_city = ("--group-by", "city", "--aggregate", "n=count()")
    assert asked(*by_city, "--having", "n > 1") == [{"city": "Oslo", "n": 2}]
    assert asked(*by_city, "--order-by", "n", "--limit", "1") == [{"city": None, "n": 1}]
    assert asked(*by_city, "--order-by", "n", "--offset", "1") == [{"city": "Oslo", "n": 2}]
    assert asked("--aggregate", "n=count()", "--where", "age > 30") == [{"n": 1}]
    shown = lines(run("query", "shop.dictdb", "users", *by_city))
    assert shown[-1] == "2 groups"
    assert len(lines(run("query", "shop.dictdb", "users", "--aggregate", "count()"))) == 3


def test_explain(shop: DictDB) -> None:
    where = ("--where", "city == 'Oslo'", "--explain")
    shown = lines(run("query", "shop.dictdb", "users", *where))
    assert shown[0].startswith("filter")
    assert "index" in shown[1]
    plan = parsed(run("query", "shop.dictdb", "users", *where, "--json"))
    assert plan["step"] == "filter"


@pytest.mark.parametrize("group", [[], ["--group-by", "id"]])
def test_tables_for_people_end(
    group: list[str], shop: DictDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cli_commands, "ROWS_MAX", 2)
    noun = "groups" if group else "records"
    cut = lines(run("query", "shop.dictdb", "users", *group))
    assert cut[-1] == f"the first 2 {noun}: --limit says how many, --json gives all"
    assert len(cut) == 6
    assert lines(run("query", "shop.dictdb", "users", *group, "--limit", "3"))[-1] == f"3 {noun}"
    assert len(parsed(run("query", "shop.dictdb", "users", *group, "--json"))) == 3


def test_ints_that_python_does_not_write_in_decimal(tmp_path: Path) -> None:
    db = DictDB()
    big, edge = 1 << 40_000, 10**4300
    db.create_table("t").insert({"big": big, "most": edge - 1, "edge": -edge, "in": [{big: big}]})
    path = tmp_path / "t.dictdb"
    db.save(path)
    [record] = parsed(run("head", path, "--json"))
    assert record["most"] == edge - 1
    assert (record["big"], record["edge"]) == (hex(big), hex(-edge))
    assert record["in"] == [{hex(big): hex(big)}]
    assert hex(big) in lines(run("head", path))[2]
    assert hex(big) in lines(run("info", path, "t"))[-4]
    assert parsed(run("query", path, "--aggregate", "n=sum(big)", "--json")) == [{"n": hex(big)}]
    done = run("query", path, "--aggregate", f"quantile(id, {1 << 4000:#x})")
    assert (done.status, done.out) == (2, "")
    assert "too large" in done.err


def test_what_json_does_not_have(tmp_path: Path) -> None:
    db = DictDB()
    db.create_table("t").insert(
        {
            "nan": float("nan"),
            "inf": float("-inf"),
            "big": 2**100,
            "raw": b"\x00\xff",
            "took": timedelta(seconds=90),
            "pair": (1, Decimal("2")),
            "set": frozenset({"b", "a"}),
            "dict": {1: 2, None: {date(2024, 5, 1): "x"}},
            "text": "\udc80",
        }
    )
    path = tmp_path / "t.dictdb"
    db.save(path)
    [record] = parsed(run("head", path, "--json"))
    assert record == {
        "nan": "nan",
        "inf": "-inf",
        "big": 2**100,
        "raw": "00ff",
        "took": "0:01:30",
        "pair": [1, "2"],
        "set": ["a", "b"],
        "dict": {"1": 2, "None": {"2024-05-01": "x"}},
        "text": "\udc80",
        "id": 1,
    }
    assert r"\udc80" in run("head", path).out


# --- convert ---


def test_convert(shop: DictDB) -> None:
    shown = lines(run("convert", "shop.dictdb", "shop.json"))
    assert shown[0].startswith("shop.json: 2 tables, 4 records, ")
    facts = parsed(run("convert", "shop.json", "small.bin", "--to", "dictdb", "--json"))
    assert facts == {
        "path": "small.bin",
        "format": "dictdb",
        "tables": 2,
        "records": 4,
        "stored_bytes": Path("small.bin").stat().st_size,
    }
    assert lines(run("convert", "small.bin", "shop.pkl"))[0].startswith("shop.pkl: 2 tables")
    lines(run("convert", "shop.pkl", "other", "--to", "pickle"))
    for name in ("shop.json", "small.bin", "shop.pkl", "other"):
        again = DictDB.load(name)
        assert again["users"].all() == shop["users"].all()
        assert again["users"].indexes() == shop["users"].indexes()


def test_convert_replaces_only_if_told_to(shop: DictDB) -> None:
    Path("there.json").write_text("mine")
    refused = run("convert", "shop.dictdb", "there.json")
    assert refused.status == 1
    assert "add --force" in refused.err
    assert Path("there.json").read_text() == "mine"
    lines(run("convert", "shop.dictdb", "there.json", "--force"))
    assert DictDB.load("there.json")["users"].count() == 3
    lines(run("convert", "there.json", "there.json", "--force"))
    assert DictDB.load("there.json")["users"].count() == 3
    lines(run("convert", "shop.dictdb", "small.dictdb", "--compression", "19"))


# --- Mistakes ---


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("", 2, "required: COMMAND (see dictdb --help)"),
        ("inof shop.dictdb", 2, "invalid choice: 'inof'"),
        ("info", 2, "required: PATH (see dictdb info --help)"),
        ("info shop.dictdb --jsno", 2, "unrecognized arguments: --jsno"),
        ("info shop.dictdb --js", 2, "unrecognized arguments: --js"),
        ("info shop.dctdb", 1, "there is no file 'shop.dctdb': did you mean 'shop.dictdb'?"),
        ("info nowhere/shop.dictdb", 1, "there is no folder 'nowhere' either"),
        ("info ''", 1, "there is no file ''"),
        ("info loop", 1, "cannot look at 'loop': Too many levels of symbolic links"),
        ("info broken.dictdb", 1, "'broken.dictdb' is a link to what is not there"),
        ("verify broken.dictdb", 1, "'broken.dictdb' is a link to what is not there"),
        ("info .", 1, "there are no backups and no database in the folder '.'"),
        ("info shop.dictdb user", 2, "did you mean 'users'?"),
        ("info shop.dictdb --format xml", 2, "invalid choice: 'xml'"),
        ("info shop.dictdb --format json", 1, "this is no file of DictDB"),
        ("info native.json", 1, "this is no file of DictDB in the format 'json'"),
        ("info evil.pickle", 1, "'evil.pickle'"),
        ("info evil.bin --format pickle", 1, "'evil.bin'"),
        ("info text.txt", 1, "'text.txt': expected a value, found 'h' (byte 0): this is no"),
        ("info damaged.dictdb", 1, "a block's checksum does not hold; restore it from a backup"),
        ("info cut.json", 1, "the file is cut off (byte 300); restore it from a backup"),
        ("head shop.dictdb", 2, "name one of the 2 tables behind the file: users, items"),
        ("head shop.dictdb zzz", 2, "no table 'zzz' in 'shop.dictdb'; there are: users, items"),
        ("head shop.dictdb users -n -1", 2, "not a number from 0 on: '-1'"),
        ("head shop.dictdb users -n x", 2, "not a number from 0 on: 'x'"),
        ("head shop.dictdb users --columns agee", 2, "did you mean 'age'?"),
        ("head shop.dictdb users --columns age,age", 2, "'age' occurs twice"),
        ("head none.dictdb", 1, "the database 'none.dictdb' has no tables"),
        ("query shop.dictdb users --where 'age = 3'", 2, "compare with =="),
        ("query shop.dictdb users --where ''", 2, "it is empty"),
        ("query shop.dictdb users --where", 2, "expected one argument; one that begins with -"),
        ("query shop.dictdb users --order-by -age", 2, "--order-by=-age"),
        ("query shop.dictdb users --order-by=-agee", 2, "did you mean 'age'?"),
        ("query shop.dictdb items --where 'field(\"x\") == 1'", 2, "has no field 'x'"),
        ("query shop.dictdb users --count --limit 1", 2, "--limit does not go with --count"),
        ("query shop.dictdb users --count --group-by age", 2, "--count goes with --where alone"),
        ("query shop.dictdb users --group-by age --distinct", 2, "--distinct does not go with"),
        ("query shop.dictdb users --aggregate 'count()' --offset 1", 2, "--offset does not go"),
        ("query shop.dictdb users --having 'n > 1'", 2, "add --group-by"),
        ("query shop.dictdb users --group-by age --having 'n > 1'", 2, "there is no field 'n'"),
        (
            "query shop.dictdb users --group-by age --aggregate 'age=count()'",
            2,
            "'age' occurs twice",
        ),
        (
            "query shop.dictdb users --aggregate 'n=count()' --aggregate 'n=max(age)'",
            2,
            "two aggregates have the same name",
        ),
        ("query shop.dictdb users --aggregate 'limit=count()'", 2, "cannot be called 'limit'"),
        ("query shop.dictdb users --aggregate 'sum(name)'", 1, "field 'name'"),
        ("convert shop.dictdb", 2, "required: TARGET"),
        ("convert shop.dictdb shop.txt", 2, "add --to FORMAT"),
        ("convert shop.dictdb '' --to directory", 2, "TARGET is empty"),
        (
            "convert shop.dictdb x.json --compression 3",
            2,
            "--compression is for the formats dictdb and directory",
        ),
        ("convert shop.dictdb x.dictdb --compression 20", 2, "not a level from 1 to 19: '20'"),
        ("convert shop.dictdb nowhere/x.json", 1, "there is no folder 'nowhere': make it first"),
        ("convert shop.dictdb . --to json", 1, "is a folder: name a file to write"),
        ("convert none.json x.json", 1, "there is no file 'none.json'"),
    ],
)
def test_a_mistake_is_one_line_and_a_status(
    line: str, status: int, words: str, shop: DictDB
) -> None:
    damaged = bytearray(Path("shop.dictdb").read_bytes())
    damaged[700] ^= 1
    Path("damaged.dictdb").write_bytes(damaged)
    shop.save("whole.json")
    Path("cut.json").write_bytes(Path("whole.json").read_bytes()[:300])
    Path("text.txt").write_text("hello")
    Path("native.json").write_bytes(Path("shop.dictdb").read_bytes())
    for name in ("evil.pickle", "evil.bin"):
        Path(name).write_bytes(b"cos\nmkdir\n(S'made'\ntR.")
    DictDB().save("none.dictdb")
    Path("broken.dictdb").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    before = sorted(os.listdir())
    done = run(*shlex.split(line))
    assert (done.status, done.out) == (status, ""), done.err
    assert words in done.err
    assert done.err.startswith("dictdb: ")
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    assert sorted(os.listdir()) == before


def test_what_cannot_be_read_or_written_is_named(
    shop: DictDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(error: BaseException) -> Done:
        def load(*args: object, **kwargs: object) -> DictDB:
            raise error

        monkeypatch.setattr(_cli_commands.DictDB, "load", load)
        return run("info", "shop.dictdb")

    done = fails(PermissionError(13, "Permission denied", "shop.dictdb"))
    assert done == Done(1, "", "dictdb: shop.dictdb: Permission denied\n")
    done = fails(dictdb.DatabaseInUseError("the database 'x' is open in process 7"))
    assert done == Done(1, "", "dictdb: the database 'x' is open in process 7\n")
    assert fails(MemoryError()).status == 1
    assert fails(KeyboardInterrupt()) == Done(130, "", "dictdb: interrupted\n")
    done = fails(dictdb.StorageError(f"cannot read {HOSTILE}"))
    assert done.err == "dictdb: cannot read \\x1b[2Jred next\\u202eline\n"


def test_what_can_be_done_without_what_draws_tables(
    shop: DictDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    for line in (["info"], ["head", "users"], ["query", "users"], ["verify"]):
        done = run(line[0], "shop.dictdb", *line[1:])
        assert (done.status, done.out) == (2, "")
        assert "pip install 'dictdb[cli]', or add --json" in done.err
    assert parsed(run("info", "shop.dictdb", "--json"))["tables"]
    assert parsed(run("query", "shop.dictdb", "users", "--count")) == 3


# --- Streams ---


def test_nothing_reaches_a_terminal_as_it_is(shop: DictDB) -> None:
    for arguments in (["head", "shop.dictdb", "users"], ["info", "shop.dictdb", "users"]):
        out = run(*arguments).out
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert r"\x1b[2Jred\nnext\u202eline" in out
    done = run("info", f"no{HOSTILE}")
    assert "\x1b" not in done.err
    shop.create_table(HOSTILE).insert({HOSTILE: HOSTILE})
    shop[HOSTILE].create_index(HOSTILE)
    shop.save("shop.dictdb")
    for arguments in (["info"], ["head"], ["info", HOSTILE], ["head", HOSTILE], ["query", HOSTILE]):
        done = run(arguments[0], "shop.dictdb", *arguments[1:])
        assert "\x1b" not in done.out + done.err
        assert "\u202e" not in done.out + done.err


def test_a_reader_that_goes_ends_it_quietly(tmp_path: Path) -> None:
    db = DictDB()
    db.create_table("t").insert({"text": "x" * 100} for _ in range(20_000))
    db.save(tmp_path / "t.dictdb")
    with subprocess.Popen(
        command("query", tmp_path / "t.dictdb", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        assert child.stdout.readline() == b"[\n"
        child.stdout.close()
        errors = child.stderr.read()
        status = child.wait(60 * PATIENCE)
    assert (status, errors) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("options", [["info"], ["info", "--json"], ["query", "users", "--count"]])
def test_output_that_cannot_be_written(options: list[str], shop: DictDB) -> None:
    name, *rest = options
    with open("/dev/full", "w") as full:
        done = run_apart(name, "shop.dictdb", *rest, stdout=full.fileno())
    assert done == Done(1, "", "dictdb: cannot write the output: No space left on device\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_what_ends_otherwise_is_written_out_too(shop: DictDB) -> None:
    """The report of damage, and the help: with nothing for Python to write at its own end."""
    Path("damaged.json").write_text("{")
    for line in (["verify", "damaged.json"], ["verify", "damaged.json", "--json"], ["--help"]):
        with open("/dev/full", "w") as full:
            done = run_apart(*line, stdout=full.fileno(), PYTHONUNBUFFERED="")
        words = "dictdb: cannot write the output: No space left on device\n"
        assert done == Done(1, "", words), line
    ours, its = os.pipe()
    os.close(ours)
    try:
        for line in (["query", "--help"], ["verify", "damaged.json"]):
            assert run_apart(*line, stdout=its, PYTHONUNBUFFERED="") == Done(141, "", ""), line
    finally:
        os.close(its)


def test_streams_that_are_closed(shop: DictDB) -> None:
    def run_without(closed: str, *arguments: str) -> Done:
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {closed}', "sh", *command(*arguments)],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=60 * PATIENCE,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    refused = Done(1, "", "dictdb: the standard output is closed\n")
    before = sorted(os.listdir())
    assert run_without(">&-", "convert", "shop.dictdb", "x.json") == refused
    assert run_without(">&- 2>&-", "info", "shop.dictdb").status == 1
    assert sorted(os.listdir()) == before
    counted = run_without("2>&-", "query", "shop.dictdb", "users", "--count")
    assert counted == Done(0, "3\n", "")
    assert run_without("2>&-", "info", "nowhere") == Done(1, "", "")


def test_it_is_installed_as_a_command(shop: DictDB) -> None:
    found = {point.value for point in entry_points(group="console_scripts", name="dictdb")}
    assert found == {"dictdb._cli:main"}
    apart = run_apart("query", "shop.dictdb", "users", "--count")
    assert apart == Done(0, "3\n", "")
    assert run_apart("info", "no.dictdb").status == 1
    assert run_apart("--version") == Done(0, f"dictdb {dictdb.__version__}\n", "")


@pytest.mark.skipif(SANITIZER != "", reason="the environment's script is of the release build")
def test_the_script_runs(shop: DictDB) -> None:
    script = Path(sys.executable).parent / "dictdb"
    done = subprocess.run(
        [script, "query", "shop.dictdb", "users", "--count"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


def test_a_table_fits_the_terminal(shop: DictDB) -> None:
    shop["users"].insert({"name": "n" * 500, "age": 1})
    shop.save("shop.dictdb")
    for columns in (20, 40, 80):
        status, shown = run_on_terminal(
            "query", "shop.dictdb", "users", columns=columns, NO_COLOR="1"
        )
        assert status == 0
        assert "\x1b[3" not in shown
        table = re.sub(r"\x1b\[[\d;]*m", "", shown).split("\r\n\r\n")[0]
        assert max(map(len, table.splitlines())) <= columns
        assert "…" in shown
        fitting = {20: 2, 40: 2, 80: 7}[columns]
        left_out = f"; {fitting} of 7 columns fit, see --columns and --json" if fitting < 7 else ""
        assert shown.endswith(f"4 records{left_out}\r\n")
    piped = run("query", "shop.dictdb", "users").out
    assert "n" * 500 in piped
    assert "\x1b" not in piped


def test_the_width_of_a_pipe_can_be_given(shop: DictDB) -> None:
    done = run_apart("query", "shop.dictdb", "users", COLUMNS="30")
    assert "columns fit" in done.out
    assert max(map(len, done.out[: done.out.index("\n\n")].splitlines())) <= 30


@pytest.mark.parametrize("columns", ["0", "wide"])
def test_a_width_that_is_none(columns: str, shop: DictDB) -> None:
    shop["users"].insert({"name": "n" * 500, "age": 1})
    shop.save("shop.dictdb")
    whole = run("query", "shop.dictdb", "users")
    assert "n" * 500 in whole.out
    assert run_apart("query", "shop.dictdb", "users", COLUMNS=columns) == whole
    status, shown = run_on_terminal("query", "shop.dictdb", "users", columns=0)
    assert status == 0
    assert "Ann" in shown


def test_one_narrow_terminal_cuts_the_first_column(
    shop: DictDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "5")
    shown = lines(run("query", "shop.dictdb", "users", "--columns", "long_name=name,age"))
    assert shown[0] == "long…"
    assert "1 of 2 columns fit" in shown[-1]


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cli_show, "PROGRESS_AFTER", 0)
    with _cli_show.progress("reading", "x") as tell:
        assert tell is None
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with _cli_show.progress("reading", f"folder/[bold]x {HOSTILE}") as tell:
        assert tell is not None
        tell(1, 0)
        tell(1, 2)
    assert "reading [bold]x \\x1b[2Jred" in terminal.getvalue()
    assert "\u202e" not in terminal.getvalue()


def test_what_ends_soon_draws_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(_cli_show, "PROGRESS_AFTER", 3600)
    monkeypatch.setattr(sys, "stderr", terminal)
    with _cli_show.progress("reading", "x") as tell:
        assert tell is not None
        tell(1, 2)
    assert terminal.getvalue().strip() == ""


def test_files_are_read_and_written_with_progress(
    shop: DictDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    @contextlib.contextmanager
    def progress(verb: str, path: object) -> Iterator[Callable[[int, int], object]]:
        yield lambda done, total: told.append(f"{verb} {path}")

    monkeypatch.setattr(_cli_commands, "progress", progress)
    lines(run("convert", "shop.dictdb", "x.json"))
    assert list(dict.fromkeys(told)) == ["reading shop.dictdb", "writing x.json"]


def test_an_interrupt_ends_it(shop: DictDB) -> None:
    code = (
        "import os, signal, sys; from dictdb import _cli, DictDB\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def load(*args, **kwargs): os.kill(os.getpid(), signal.SIGINT); signal.pause()\n"
        "DictDB.load = load; sys.exit(_cli.main(['info', 'shop.dictdb']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60 * PATIENCE,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "dictdb: interrupted\n")


# --- Help ---


def test_help_tells_of_everything() -> None:
    for name, function in (
        ("info", _cli_commands.info),
        ("head", _cli_commands.head),
        ("query", _cli_commands.query),
        ("convert", _cli_commands.convert),
        ("export", _cli_commands.export),
        ("verify", _cli_backups.verify),
        ("restore", _cli_backups.restore),
    ):
        done = run(name, "--help")
        assert (done.status, done.err) == (0, "")
        assert (function.__doc__ or "?") in done.out
        assert "example" in done.out
        assert name in run("--help").out
    overview = run("--help").out
    for status in (_cli.OK, _cli.FAILED, _cli.WRONG):
        assert f"\n  {status}  " in overview


def test_all_that_conditions_know_is_in_the_help_and_in_the_manual() -> None:
    from dictdb import _cli_where

    shown = run("query", "--help").out
    manual = (ROOT / "docs/command.md").read_text(encoding="utf-8")
    for known in (_cli_where._METHODS, _cli_where._AGGREGATES, [*_cli_where._VALUES, "field"]):
        for word in known:
            assert re.search(rf"\b{word}\b", shown), word
            assert re.search(rf"\b{word}\b", manual), word


def test_the_command_is_not_loaded_with_the_package() -> None:
    code = "import sys, dictdb; print([n for n in sys.modules if '_cli' in n or n == 'rich'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"
