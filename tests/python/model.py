# SPDX-License-Identifier: Apache-2.0
"""Random operations against a plain-Python twin.

`Model.run` performs steps on a database and on its twin, a dict of dicts, and compares: the result
of every step, cheap invariants after each, everything now and then. Snapshots and views are kept
for a while and read again: what they show must never change.
"""

from __future__ import annotations

import copy
import datetime
import random
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import dictdb
import oracle
from helpers import accounted

FIELDS = ["a", "b", "c", "text", "count"]
ROWS_MAX = 250
NAN = float("nan")


def value(rng: random.Random, field: str) -> Any:
    """A value with few distinct ones, so that conditions, indexes and order meet equal ones."""
    if field == "text":
        return "".join(rng.choices("abé\ud800\0Z", k=rng.randrange(4))) + "x" * rng.choice([0, 40])
    small = rng.randrange(8)
    if field == "a" or rng.random() < 0.6:
        return small
    choices: list[Any] = [
        None,
        small % 2 == 0,
        float(small),
        small + 0.5,
        NAN,
        2**70 + small,
        -(2**63),
        Decimal(small),
        Decimal("0.5"),
        str(small),
        b"\0" * small,
        datetime.date(2013, 1, 1 + small),
        datetime.datetime(2013, 1, 1, small, 30),
        datetime.timedelta(hours=small),
        [small, "x"],
        [],
        "y" * 300,
    ]
    if field == "c":  # Never ordered by: dicts have an order, but which is nobody's business.
        choices.append({"k": [small]})
    return rng.choice(choices)


def same(a: Any, b: Any) -> bool:
    """Equal, of the same types, NaN like NaN, nested and in the same order of fields."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b) or (oracle.is_nan(a) and oracle.is_nan(b))


class Twin:
    """One table as a dict: key -> record, in the order of insertion."""

    def __init__(self) -> None:
        self.rows: dict[Any, dict[str, Any]] = {}
        self.next_key = 1
        self.indexes: set[str] = set()

    def clone(self) -> Twin:
        twin = Twin()
        twin.rows = copy.deepcopy(self.rows)
        twin.next_key, twin.indexes = self.next_key, set(self.indexes)
        return twin

    def insert(self, record: dict[str, Any]) -> Any:
        row = dict(record) if "id" in record else {**record, "id": self.next_key}
        key = row["id"]
        if key in self.rows:
            raise dictdb.DuplicateKeyError(key)
        if isinstance(key, int):
            self.next_key = max(self.next_key, key + 1)
        self.rows[key] = copy.deepcopy(row)
        return key

    def matching(self, cond: oracle.Cond | None) -> list[dict[str, Any]]:
        return [row for row in self.rows.values() if oracle.matches(cond, row)]


class Model:
    """The database under test, its twin, and what was read from it and kept."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.db = dictdb.DictDB()
        self.twins: dict[str, Twin] = {}
        self.snapshots: list[tuple[Any, dict[str, Twin]]] = []
        self.views: list[tuple[Any, dict[str, Any]]] = []
        self.step_number = 0
        self.last = ""
        self.create("t0")

    # --- Steps ---

    def run(self, steps: int, full_every: int = 200) -> None:
        try:
            for self.step_number in range(steps):
                self.step()
                self.check_cheaply()
                if self.step_number % full_every == 0:
                    self.check_all()
            self.check_all()
        except BaseException:
            print(f"step {self.step_number}: {self.last}", flush=True)
            raise
        finally:
            self.close()

    def close(self) -> None:
        for snapshot, _ in self.snapshots:
            snapshot.close()
        self.snapshots.clear()
        self.views.clear()

    def step(self) -> None:
        name = self.rng.choice(list(self.twins))
        self.on_table(name, self.pick())

    def pick(self) -> str:
        kinds = {
            "insert": 16,
            "bulk": 3,
            "upsert": 6,
            "update": 9,
            "delete": 5,
            "get": 10,
            "count": 6,
            "select": 12,
            "view": 2,
            "index": 1,
            "snapshot": 2,
            "reread": 2,
            "block": 1.5,
            "several": 0.7,
            "catalogue": 0.4,
            "file": 0.05,
            "fail": 4,
        }
        return self.rng.choices(list(kinds), list(kinds.values()))[0]

    def on_table(self, name: str, kind: str) -> None:
        self.last = f"{kind} on {name}"
        getattr(self, f"do_{kind}")(self.db.get_table(name), self.twins[name])

    def note(self, text: str) -> None:
        self.last = f"{self.last}: {text}"

    # --- Random things ---

    def record(self, *, key: bool = False, fields: list[str] | None = None) -> dict[str, Any]:
        names = [f for f in fields or FIELDS if self.rng.random() < 0.8]
        if self.rng.random() < 0.1:
            self.rng.shuffle(names)
        made = {name: value(self.rng, name) for name in names}
        return made

    def key(self, twin: Twin, *, new: bool) -> Any:
        if not new and twin.rows and self.rng.random() < 0.8:
            return self.rng.choice(list(twin.rows))
        roll = self.rng.random()
        if roll < 0.5:
            return twin.next_key + self.rng.randrange(3)
        if roll < 0.9:
            return f"k{self.rng.randrange(10_000)}" * self.rng.choice([1, 1, 5])
        return (self.rng.randrange(100), "x")

    def condition(self, depth: int = 0) -> oracle.Cond:
        roll = self.rng.random()
        if depth < 3 and roll < 0.25:
            name = self.rng.choice(["and", "or"])
            return name, self.condition(depth + 1), self.condition(depth + 1)
        if depth < 3 and roll < 0.32:
            return "not", self.condition(depth + 1)
        field = self.rng.choice([*FIELDS, "id", "missing"])
        made = value(self.rng, field)
        if roll < 0.62:
            return "==", field, made
        if roll < 0.72:
            return self.rng.choice(["<", "<=", ">", ">=", "!="]), field, made
        if roll < 0.8:
            return "in", field, [value(self.rng, field) for _ in range(self.rng.randrange(4))]
        if roll < 0.86:
            return "between", field, made, value(self.rng, field)
        if roll < 0.9:
            return "null", field
        text = self.rng.choice(["", "a", "b", "é", "x" * 40])
        return self.rng.choice(["startswith", "endswith", "contains"]), field, text

    def narrow(self, twin: Twin) -> oracle.Cond | None:
        """A condition that usually holds for few rows; now and then for many or all."""
        roll = self.rng.random()
        if roll < 0.5 and twin.rows:
            return "==", "id", self.rng.choice(list(twin.rows))
        if roll < 0.8:
            return "==", self.rng.choice(["a", "b", "c"]), self.rng.randrange(8)
        return self.condition() if roll < 0.985 else None

    # --- One kind of step each: on the table `t`, and on its twin ---

    def do_insert(self, t: Any, twin: Twin) -> None:
        record = self.record()
        if self.rng.random() < 0.3:
            record = {"id": self.key(twin, new=True), **record}
            if self.rng.random() < 0.3:
                record["id"] = record.pop("id")
        given = copy.deepcopy(record)
        self.note(repr(record))
        try:
            expected = twin.insert(record)
        except dictdb.DuplicateKeyError:
            self.raises(dictdb.DuplicateKeyError, lambda: t.insert(record))
        else:
            got = t.insert(record)
            assert same(got, expected), (got, expected)
        assert same(record, given), "insert wrote into the caller's dict"
        self.trim(t, twin)

    def do_bulk(self, t: Any, twin: Twin) -> None:
        batch = [self.record() for _ in range(self.rng.choice([0, 1, 2, 5, 20, 60]))]
        for record in batch:
            if self.rng.random() < 0.1:
                record["id"] = self.key(twin, new=True)
        self.note(repr(batch))
        trial = twin.clone()
        iterable: Any = batch if self.rng.random() < 0.5 else iter(batch)
        try:
            expected = [trial.insert(record) for record in batch]
        except dictdb.DuplicateKeyError:
            self.raises(dictdb.DuplicateKeyError, lambda: t.insert(iterable))
        else:
            assert same(t.insert(iterable), expected)
            twin.rows, twin.next_key = trial.rows, trial.next_key
        self.trim(t, twin)

    def trim(self, t: Any, twin: Twin) -> None:
        """Keeps tables small: empties most of one that grew."""
        if len(twin.rows) <= ROWS_MAX:
            return
        keys = list(twin.rows)
        start = self.rng.choice([0, len(keys) // 2, len(keys) - 200])
        doomed = keys[start : start + 200]
        assert t.delete(where=t["id"].is_in(doomed)) == len(doomed)
        for key in doomed:
            del twin.rows[key]

    def do_upsert(self, t: Any, twin: Twin) -> None:
        record = {"id": self.key(twin, new=False), **self.record()}
        mode = self.rng.choice(["update", "ignore", "error"])
        self.note(f"{mode} {record!r}")
        key = record["id"]
        if key not in twin.rows:
            twin.insert(record)
            assert t.upsert(record, on_conflict=mode) == (key, "inserted")
        elif mode == "error":
            self.raises(dictdb.DuplicateKeyError, lambda: t.upsert(record, on_conflict="error"))
        elif mode == "ignore":
            assert t.upsert(record, on_conflict="ignore") == (key, "ignored")
        else:
            assert t.upsert(record) == (key, "updated")
            row = twin.rows[key]
            row.update({k: v for k, v in copy.deepcopy(record).items() if k != "id"})

    def do_update(self, t: Any, twin: Twin) -> None:
        cond = self.narrow(twin)
        changes = self.record(fields=self.rng.choice([FIELDS, ["a"], ["b", "new"]]))
        if not changes:
            changes = {"a": 1}
        self.note(f"{changes!r} where {cond!r}")
        rows = twin.matching(cond)
        assert t.update(changes, where=oracle.build(cond, t)) == len(rows)
        for row in rows:
            row.update(copy.deepcopy(changes))

    def do_delete(self, t: Any, twin: Twin) -> None:
        cond = self.narrow(twin)
        if cond is None and self.rng.random() < 0.9:
            return
        self.note(f"where {cond!r}")
        rows = twin.matching(cond)
        assert t.delete(where=oracle.build(cond, t)) == len(rows)
        for row in rows:
            del twin.rows[row["id"]]

    def do_get(self, t: Any, twin: Twin) -> None:
        key = self.key(twin, new=False)
        self.note(repr(key))
        got, expected = t.get(key), twin.rows.get(key)
        assert same(got, expected), (got, expected)
        assert (key in t) == (expected is not None)
        assert t.get(key, default=7) == (7 if expected is None else expected) or expected

    def do_count(self, t: Any, twin: Twin) -> None:
        cond = self.condition()
        self.note(repr(cond))
        got, expected = t.count(where=oracle.build(cond, t)), len(twin.matching(cond))
        assert got == expected, (got, expected)

    def do_select(self, t: Any, twin: Twin) -> None:
        cond = self.condition() if self.rng.random() < 0.8 else None
        order_by: Any = None
        if self.rng.random() < 0.5:
            names = self.rng.sample([*FIELDS[:3], "id", "missing"], self.rng.randrange(1, 3))
            names = [name if name != "c" else "a" for name in names]
            order_by = [self.rng.choice(["", "-"]) + n for n in dict.fromkeys(names) if n != "id"]
            order_by = order_by or ["-a"]
        limit = self.rng.choice([None, None, 0, 1, 5, 1000])
        offset = self.rng.choice([0, 0, 1, 7, 1000])
        columns = self.rng.choice([None, None, ["a", "b"], ["id"]])
        distinct = columns is not None and self.rng.random() < 0.3
        options = {"order_by": order_by, "limit": limit, "offset": offset, "distinct": distinct}
        self.note(f"{columns!r} {cond!r} {options!r}")
        got = t.select(columns, oracle.build(cond, t), **options)
        rows = oracle.ordered(twin.matching(cond), order_by)
        if columns is not None:
            rows = [{name: row.get(name) for name in columns} for row in rows]
        if distinct:
            rows = oracle.distinct(rows, columns)
        rows = rows[offset : None if limit is None else offset + limit]
        assert same(got, rows), f"{got}\n{rows}"

    def do_view(self, t: Any, twin: Twin) -> None:
        for view in t.select(where=oracle.build(self.narrow(twin), t), copy=False, limit=3):
            self.views.append((view, copy.deepcopy(twin.rows[view["id"]])))
        while len(self.views) > 60:
            view, expected = self.views.pop(self.rng.randrange(len(self.views)))
            assert same(dict(view), expected), (dict(view), expected)

    def do_index(self, t: Any, twin: Twin) -> None:
        field = self.rng.choice([*FIELDS, "id"])
        self.note(field)
        if self.rng.random() < 0.6:
            if field in twin.indexes:
                self.raises(dictdb.DuplicateIndexError, lambda: t.create_index(field))
            else:
                t.create_index(field)
                twin.indexes.add(field)
        elif field in twin.indexes:
            t.drop_index(field)
            twin.indexes.remove(field)
        else:
            self.raises(dictdb.IndexNotFoundError, lambda: t.drop_index(field))

    def do_snapshot(self, t: Any, twin: Twin) -> None:
        if len(self.snapshots) >= 5:
            snapshot, twins = self.snapshots.pop(self.rng.randrange(5))
            self.check_tables(snapshot, twins)
            snapshot.close()
        twins = {name: twin.clone() for name, twin in self.twins.items()}
        self.snapshots.append((self.db.snapshot(), twins))

    def do_reread(self, t: Any, twin: Twin) -> None:
        if not self.snapshots:
            return
        snapshot, twins = self.rng.choice(self.snapshots)
        name = self.rng.choice(list(twins))
        old, seen = twins[name], snapshot[name]
        self.note(f"the snapshot's {name}")
        assert seen.count() == len(seen) == len(old.rows)
        key = self.key(old, new=False)
        assert same(seen.get(key), old.rows.get(key)), (key, seen.get(key), old.rows.get(key))
        cond = self.condition()
        table = self.db.get_table(name) if name in self.db else dictdb.Table("any")
        got = seen.select(where=oracle.build(cond, table))
        assert same(got, old.matching(cond)), (cond, got, old.matching(cond))

    def do_block(self, t: Any, twin: Twin) -> None:
        """Several statements under the explicit lock; their reads see what they wrote."""
        if self.rng.random() < 0.3:
            with t.lock.read_lock():
                first = t.copy()
                self.on_table(t.table_name, self.rng.choice(["get", "count", "select"]))
                assert same(t.copy(), first)
            return
        outside = {name: twin.clone() for name, twin in self.twins.items()}
        with t.lock.write_lock():
            for _ in range(self.rng.randrange(6)):
                self.on_table(
                    t.table_name,
                    self.rng.choice(["insert", "update", "delete", "get", "select", "upsert"]),
                )
            with self.db.snapshot() as snapshot:
                self.last = "a snapshot within a block of write_lock"
                self.check_tables(snapshot, outside)
            if self.rng.random() < 0.3:
                with t.lock.write_lock(), t.lock.read_lock():
                    self.do_bulk(t, twin)

    def do_several(self, t: Any, twin: Twin) -> None:
        names = self.rng.sample(list(self.twins), self.rng.randrange(1, len(self.twins) + 1))
        with self.db.write_lock(*names):
            for name in names:
                self.on_table(name, self.rng.choice(["insert", "update", "bulk"]))

    def create(self, name: str) -> None:
        self.db.create_table(name)
        self.twins[name] = Twin()

    def do_catalogue(self, t: Any, twin: Twin) -> None:
        name = f"t{self.rng.randrange(4)}"
        self.note(name)
        if name not in self.twins:
            self.create(name)
        elif len(self.twins) > 1 and self.rng.random() < 0.5:
            table = self.db.get_table(name)
            self.db.drop_table(name)
            del self.twins[name]
            self.raises(dictdb.TableNotFoundError, lambda: table.insert({"a": 1}))
            self.raises(dictdb.TableNotFoundError, lambda: table.select())
        else:
            self.raises(dictdb.DuplicateTableError, lambda: self.db.create_table(name))
        assert self.db.list_tables() == list(self.twins)

    def do_file(self, t: Any, twin: Twin) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.json"
            self.db.save(path)
            loaded = dictdb.DictDB.load(path)
        self.check_tables(loaded, self.twins)
        if self.rng.random() < 0.5:
            self.db = loaded
            for name, each in self.twins.items():
                table = loaded.get_table(name)
                for field in sorted(each.indexes - set(table.indexed_fields())):
                    table.create_index(field)

    def do_fail(self, t: Any, twin: Twin) -> None:
        """Statements that must fail as a whole, however far they came."""
        before = len(twin.rows)
        good = [self.record() for _ in range(self.rng.randrange(6))]
        used = self.rng.choice(list(twin.rows)) if twin.rows else None
        failures: list[tuple[type[Exception], Any]] = [
            (TypeError, lambda: t.insert([*good, {"a": object()}, {"a": 1}])),
            (TypeError, lambda: t.insert([*good, 5])),
            (ValueError, lambda: t.insert([*good, {"id": NAN}])),
            (ValueError, lambda: t.update({"id": 9, "a": 0})),
            (ZeroDivisionError, lambda: t.insert(1 / 0 if r is None else r for r in [*good, None])),
        ]
        if used is not None:
            failures.append((KeyError, lambda: t.insert([*good, {"id": used}])))
            failures.append((KeyError, lambda: t.insert({"id": used, "a": 0})))
        expected, call = self.rng.choice(failures)
        self.raises(expected, call)
        assert len(t) == before

    def raises(self, expected: type[Exception], call: Any) -> None:
        try:
            result = call()
        except expected:
            return
        raise AssertionError(f"{expected.__name__} was not raised; result: {result!r}")

    # --- Checks ---

    def check_cheaply(self) -> None:
        name = self.rng.choice(list(self.twins))
        table, twin = self.db.get_table(name), self.twins[name]
        assert len(table) == len(twin.rows), (name, len(table), len(twin.rows))
        if twin.rows:
            key = self.rng.choice(list(twin.rows))
            assert same(table.get(key), twin.rows[key]), (table.get(key), twin.rows[key])

    def check_all(self) -> None:
        self.last = f"full check after {self.last}"
        assert self.db.list_tables() == list(self.twins)
        self.check_tables(self.db, self.twins)
        for name, twin in self.twins.items():
            self.check_indexes(self.db.get_table(name), twin)
        for snapshot, twins in self.snapshots:
            self.check_tables(snapshot, twins)
        for view, expected in self.views:
            assert same(dict(view), expected), (dict(view), expected)
        memory = self.db.memory()
        assert 0 <= memory["old_bytes"] <= memory["total_bytes"] <= dictdb._core.process_memory()

    def check_tables(self, tables: Any, twins: dict[str, Twin]) -> None:
        for name, twin in twins.items():
            rows = list(twin.rows.values())
            got = tables[name].select()
            assert same(got, rows), f"{name}:\n{got}\n{rows}"
            assert len(tables[name]) == len(rows)
            assert same(tables[name].copy(), twin.rows)

    def check_indexes(self, table: Any, twin: Twin) -> None:
        assert sorted(table.indexed_fields()) == sorted(twin.indexes)
        for field in twin.indexes:
            for wanted in (*range(8), None):
                got = table.select(where=table.field(field) == wanted)
                expected = twin.matching(("==", field, wanted))
                assert same(got, expected), (field, wanted, got, expected)


def run_model(seed: int, steps: int) -> None:
    """One run, with a database of its own that must give all its memory back."""
    dictdb.Table("warm").insert([{"text": "x" * 1000} for _ in range(2000)])
    before = accounted()  # With the room to build records in, which the process keeps.
    model = Model(seed)
    model.run(steps)
    del model
    left = accounted() - before
    assert left < 65_536, f"{left} bytes are left of a database that is gone"
