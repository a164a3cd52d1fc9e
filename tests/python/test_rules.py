# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""What users may rely on, one rule after another. Longer proofs of a rule are in its own file."""

from __future__ import annotations

import itertools
import logging
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dictdb
import oracle
from dictdb import (
    DictDB,
    DuplicateKeyError,
    PrimaryKeyError,
    RecordNotFoundError,
    Table,
    UnknownFieldError,
)
from helpers import check_python, python_environment, unchanged
from samples import exactly

MIXED: list[Any] = [
    *(None, "missing", True, False, 0, 1, -1, 2**70, 1.0, 0.5, math.nan, math.inf, "", "a", "b"),
    *(b"a", [1], [1, 2], {"a": 1}, [[1]]),
]


def mixed_table(indexes: tuple[str, ...] = ()) -> Table:
    table = Table("mixed")
    for value, other in itertools.product(MIXED, [1, None, "missing", "a"]):
        record = {} if isinstance(value, str) and value == "missing" else {"v": value}
        if other != "missing":
            record["w"] = other
        table.insert(record)
    for field in indexes:
        table.create_index(field)
    return table


class Test01IndexesNeverChangeAnAnswer:
    def test_any_condition_with_every_set_of_indexes(self, rng: random.Random) -> None:
        plain = mixed_table()
        others = [mixed_table(which) for which in [("v",), ("w",), ("v", "w"), ("id", "v", "w")]]

        def condition(depth: int) -> oracle.Cond:
            roll = rng.random()
            if depth and roll < 0.4:
                return rng.choice(["and", "or"]), condition(depth - 1), condition(depth - 1)
            if depth and roll < 0.55:
                return "not", condition(depth - 1)
            field = rng.choice(["v", "w", "ghost"])
            value = rng.choice([v for v in MIXED if v != "missing"])
            name = rng.choice(["==", "!=", "<", "<=", ">", ">=", "in", "null"])
            if name == "null":
                return name, field
            return name, field, [value, rng.choice(MIXED)] if name == "in" else value

        for _ in range(300):
            cond = condition(3)
            expected = [r for r in plain.select() if oracle.matches(cond, r)]
            for table in [plain, *others]:
                got = table.select(where=oracle.build(cond, table))
                assert exactly(got, expected), (cond, table.indexed_fields())
                assert table.count(where=oracle.build(cond, table)) == len(expected)

    def test_update_and_delete_hit_the_same_rows(self) -> None:
        for make in (
            lambda t: (t.v == 1) | (t.w == "a"),
            lambda t: ~(t.v == 1),
            lambda t: t.v.is_null() & ~t.w.is_in([1]),
        ):
            results = []
            for indexes in [(), ("v",), ("v", "w")]:
                table = mixed_table(indexes)
                changed = table.update({"w": 5}, where=make(table))
                removed = table.delete(where=table.w == 5)
                results.append((changed, removed, [r["id"] for r in table.select()]))
            assert results[0] == results[1] == results[2]

    def test_one_nan_hides_nothing(self) -> None:
        table = Table("t")
        table.create_index("v")
        table.insert([{"v": math.nan}, {"v": 1}, {"v": 2}])
        assert table.count(where=table.v == 2) == 1
        assert table.count(where=table.v >= 1) == 2


class Test02OneTotalOrder:
    def test_the_order(self) -> None:
        import datetime as d
        from decimal import Decimal

        ascending: list[Any] = [
            None,
            *(-math.inf, -(2**70), -1, False, 0.5, True, 2, Decimal("2.5"), 2**53, 2**53 + 1),
            *(2**70, math.inf, math.nan),
            *("", "a", "b", "é", "\ud800", "\U0001f600"),
            *(b"", b"a"),
            *(d.date(2013, 1, 1), d.datetime(2012, 1, 1), d.time(1), d.timedelta(1)),
            *([], [1], [1, 2], [2]),
            {"a": 1},
        ]
        table = Table("t")
        numbered = list(enumerate(ascending))
        random.Random(5).shuffle(numbered)
        table.insert([{"n": n, "v": v} for n, v in numbered])
        assert [r["n"] for r in table.select(order_by="v")] == list(range(len(ascending)))
        down = [r["n"] for r in table.select(order_by="-v")]
        assert down == list(range(len(ascending)))[::-1]

    def test_missing_and_none_come_first_and_ties_keep_their_order(self) -> None:
        table = Table("t")
        table.insert([{"v": 1}, {}, {"v": None}, {"v": 1.0}, {"v": True}])
        assert [r["id"] for r in table.select(order_by="v")] == [2, 3, 1, 4, 5]
        assert [r["id"] for r in table.select(order_by="-v")] == [1, 4, 5, 2, 3]

    def test_comparisons_match_comparable_kinds_only_and_never_raise(self) -> None:
        table = mixed_table()
        for value in [v for v in MIXED if v != "missing"]:
            for name in ("<", "<=", ">", ">="):
                cond = (name, "v", value)
                got = table.select(where=oracle.build(cond, table))
                assert exactly(got, [r for r in table.select() if oracle.matches(cond, r)]), cond
            table.count(where=table.v.between(value, value))
            table.count(where=table.v.startswith("a") | table.v.contains(1))

    def test_exact_across_int_and_float(self) -> None:
        table = Table("t")
        table.insert([{"v": 2**53}, {"v": 2**53 + 1}, {"v": float(2**53)}])
        assert table.count(where=table.v == float(2**53)) == 2
        assert table.count(where=table.v > float(2**53)) == 1

    def test_a_missing_field_reads_as_none(self) -> None:
        table = Table("t")
        table.insert([{}, {"v": None}, {"v": 0}])
        assert [r["id"] for r in table.select(where=table.v == None)] == [1, 2]  # noqa: E711
        assert [r["id"] for r in table.select(where=table.v.is_null())] == [1, 2]
        assert [r["id"] for r in table.select(where=table.v != None)] == [3]  # noqa: E711
        assert table.count(where=table.v.is_not_null()) == 1
        assert table.count(where=table.v.is_in([None])) == 2


class Test03EveryStatementIsAllOrNothing:
    def test_a_failed_bulk_insert_changes_neither_the_table_nor_the_callers_dicts(self) -> None:
        table = Table("t")
        table.insert({"id": 10})
        table.create_index("v")
        batch: list[dict[str, Any]] = [{"v": 1}, {"v": 2}, {"id": 10}]
        with unchanged(table), pytest.raises(DuplicateKeyError):
            table.insert(batch)
        assert batch == [{"v": 1}, {"v": 2}, {"id": 10}]
        assert table.count(where=table.v == 1) == 0
        assert table.insert({}) == 11

    def test_a_failed_upsert(self) -> None:
        table = Table("t", schema={"n": int})
        table.insert({"n": 1})
        with unchanged(table), pytest.raises(dictdb.SchemaValidationError):
            table.upsert({"id": 1, "n": "x"})
        with unchanged(table), pytest.raises(DuplicateKeyError):
            table.upsert({"id": 1, "n": 2}, on_conflict="error")

    def test_a_failed_update_of_many(self) -> None:
        table = Table("t", schema={"n": int})
        table.insert([{"n": n} for n in range(500)])
        with unchanged(table), pytest.raises(dictdb.SchemaValidationError):
            table.update({"n": 1.5})

    def test_no_automatic_key_is_lost_by_a_failure(self) -> None:
        table = Table("t")
        for _ in range(3):
            with pytest.raises(TypeError):
                table.insert([{"a": 1}, {"a": object()}])
        assert table.insert({"a": 1}) == 1


class Test04ValuesAreCopied:
    def test_in_and_out_nested(self) -> None:
        table = Table("t")
        inner: dict[str, Any] = {"list": [1, {"deep": [2]}]}
        record = {"v": inner}
        assert table.insert(record) == 1
        assert record == {"v": inner}, "insert wrote into the caller's dict"
        inner["list"][1]["deep"].append(3)
        assert table.get(1) == {"id": 1, "v": {"list": [1, {"deep": [2]}]}}
        got = table.get(1)
        assert got is not None
        got["v"]["list"].clear()
        table.select()[0]["v"].clear()
        table.copy()[1]["v"].clear()
        next(iter(table))["v"].clear()
        table.all()[0]["v"].clear()
        assert table.get(1) == {"id": 1, "v": {"list": [1, {"deep": [2]}]}}

    def test_nothing_is_shared_between_rows(self) -> None:
        table = Table("t")
        shared = [1]
        table.insert([{"v": shared}, {"v": shared}])
        table.update({"w": shared})
        rows = table.select()
        rows[0]["v"].append(2)
        rows[0]["w"].append(2)
        assert rows[1] == {"id": 2, "v": [1], "w": [1]}
        assert shared == [1]

    def test_views_are_read_only_and_valid_for_ever(self) -> None:
        db = DictDB()
        table = db.create_table("t")
        table.insert([{"v": [n], "text": "x" * 100} for n in range(50)])
        views = table.select(copy=False)
        table.update({"v": 0})
        table.delete()
        db.drop_table("t")
        del table, db
        for n, view in enumerate(views):
            assert view["v"] == [n]
            assert dict(view) == {"id": n + 1, "v": [n], "text": "x" * 100}
            with pytest.raises(TypeError):
                view["v"] = 1
            with pytest.raises((TypeError, AttributeError)):
                del view["v"]  # type: ignore[attr-defined]
            view["v"].append("mine")
            assert view["v"] == [n]


class Test05KeysAreSafe:
    def test_the_key_cannot_be_changed(self, users: Table) -> None:
        with unchanged(users), pytest.raises(PrimaryKeyError):
            users.update({"id": 5})

    def test_keys_equal_in_python_are_one_key(self) -> None:
        table = Table("t")
        table.insert({"id": 1})
        for key in (1, True, 1.0):
            with pytest.raises(DuplicateKeyError):
                table.insert({"id": key})
            assert table.get(key) == {"id": 1}
        table.insert({"id": (1, "a")})
        assert (1.0, "a") in table
        table.insert({"id": 0.0})
        assert False in table
        assert -0.0 in table

    def test_automatic_keys_are_never_reused(self, tmp_path: Path) -> None:
        db = DictDB()
        table = db.create_table("t")
        assert table.insert([{}, {}, {}]) == [1, 2, 3]
        table.delete()
        assert table.insert({}) == 4
        table.delete()
        db.save(tmp_path / "a.json")
        assert DictDB.load(tmp_path / "a.json")["t"].insert({}) == 5
        table.insert({"id": 100})
        table.delete(where=table.id == 100)
        assert table.insert({}) == 101


class Test07LocksDoNotHang:
    """The traps are in test_traps.py, the lock itself in test_lock.py."""

    def test_a_lock_is_released_on_every_path(self) -> None:
        table = Table("t")
        for lock in (table.lock.read_lock, table.lock.write_lock):
            with pytest.raises(ZeroDivisionError), lock():
                raise ZeroDivisionError
            assert table.lock.acquire_write(blocking=False)
            table.lock.release_write()


class Test08ASnapshotIsOneInstant:
    def test_across_all_tables_dropped_ones_included(self) -> None:
        db = DictDB()
        a, b = db.create_table("a"), db.create_table("b")
        a.insert({"n": 1})
        b.insert({"n": 1})
        with db.snapshot() as snapshot:
            a.update({"n": 2})
            db.drop_table("b")
            db.create_table("b").insert([{"n": 3}, {"n": 4}])
            db.create_table("c")
            assert snapshot["a"].get(1) == {"id": 1, "n": 1}
            assert snapshot["b"].select() == [{"id": 1, "n": 1}]
            assert "c" not in snapshot
            with pytest.raises(dictdb.TableNotFoundError):
                snapshot["c"]
        assert db["b"].count() == 2


class Test11WhatCanBeInsertedCanBeSaved:
    """All types are in test_types.py."""

    def test_anything_else_is_refused_by_insert(self, users: Table) -> None:
        for value in (object(), 1j, range(3), bytearray(), lambda: 1, Path("x")):
            with unchanged(users), pytest.raises(TypeError, match="odd"):
                users.insert({"odd": value})


class Test12MistakesRaise:
    """The mistakes are in test_bad_input.py."""

    def test_by_name(self) -> None:
        table = Table("people", schema={"name": str})
        with pytest.raises(UnknownFieldError, match="nmae"):
            table.select(where=table["nmae"] == "x")
        with pytest.raises(UnknownFieldError, match="people"):
            table.select(columns=["nmae"])
        with pytest.raises(UnknownFieldError, match="did you mean 'name'"):
            table.select(order_by="nmae")
        with pytest.raises(UnknownFieldError, match="it has: id, name"):
            table.select(order_by="something else")


class Test13AnyStringIsAField:
    @pytest.mark.parametrize(
        "name",
        ["count", "lock", "_lock", "insert", "select", "", "a b", "é", "__class__", "\0", "1"],
    )
    def test_by_item_and_by_name(self, name: str) -> None:
        table = Table("t")
        table.insert([{name: 1}, {name: 2}])
        assert table.select(where=table[name] == 2)[0]["id"] == 2
        assert table.select(where=table.field(name) > 1)[0]["id"] == 2
        order = "-" + name if name else "-id"
        assert table.select(columns=[name], order_by=order) == [{name: 2}, {name: 1}]
        assert callable(table.insert)

    def test_attributes_are_sugar(self) -> None:
        table = Table("t")
        table.insert({"age": 3, "name": "x", "key": 1})
        assert table.count(where=table.age == 3) == 1
        assert table.count(where=table.name == "x") == 1
        assert table.count(where=table.key == 1) == 1
        with pytest.raises(AttributeError):
            table.__nothing__  # noqa: B018

    def test_a_record_is_read_by_get(self, users: Table) -> None:
        record = users.get(1)
        assert record is not None
        assert record["name"] == "Ann"
        assert users.get(99) is None
        assert users.get(99, 5) == 5


class Test14QuietAndFreeWhenUnused:
    def test_importing_prints_nothing(self) -> None:
        command = [sys.executable, "-W", "error", "-c", "import dictdb"]
        done = subprocess.run(
            command, capture_output=True, env=python_environment(), timeout=60, check=True
        )
        assert done.stdout == done.stderr == b""

    def test_one_logger_with_a_null_handler(self) -> None:
        logger = logging.getLogger("dictdb")
        assert dictdb.logger is logger
        assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers)
        assert logger.level == logging.NOTSET

    def test_an_unconfigured_application_sees_nothing(self, tmp_path: Path) -> None:
        code = f"""
import dictdb, pathlib
folder = pathlib.Path({str(tmp_path)!r}) / "b"
manager = dictdb.BackupManager(dictdb.DictDB(), folder)
folder.rmdir()
folder.write_text("%s %d {{x}}")
try:
    manager.backup_now()
except OSError:
    pass
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, env=python_environment(), timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == done.stderr == b""

    def test_user_strings_are_never_formats(self, tmp_path: Path) -> None:
        table = Table("%s%n%d{0}", primary_key="%s")
        with pytest.raises(PrimaryKeyError, match="%s"):
            table.insert({"%s": None})
        with pytest.raises(TypeError, match="%n%n"):
            table.insert({"%n%n": object()})
        table.insert({"%s": "%d%n"})
        with pytest.raises(DuplicateKeyError, match="%d%n"):
            table.insert({"%s": "%d%n"})
        assert "%n" in repr(table["%n"] == "%s")
        assert "%s%n%d{0}" in repr(table)

    def test_no_thread_runs_after_the_import(self) -> None:
        out = check_python("import threading, dictdb; print(threading.active_count())")
        assert out == "1\n"


class Test15NothingMatchedIsNotAnError:
    def test_update_and_delete_return_0(self, users: Table) -> None:
        with unchanged(users):
            assert users.update({"age": 1}, where=users.age == 1000) == 0
            assert users.delete(where=users.ghost == 1) == 0
            assert Table("empty").update({"a": 1}) == 0
            assert Table("empty").delete() == 0

    def test_record_not_found_error_is_there(self) -> None:
        assert issubclass(RecordNotFoundError, (KeyError, dictdb.DictDBError))
