# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,operator,arg-type,call-overload"
"""Wherever code of the user runs, no lock is held: it starts a thread that writes the same table,
and waits for it."""

from __future__ import annotations

import asyncio
import collections.abc
import datetime
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dictdb import BackupManager, DictDB, Table
from helpers import PATIENCE, in_thread, join_all, wait_until

pytestmark = pytest.mark.timeout(120)


class Probe:
    """Called by the user's code: writes and reads the table in another thread, and waits."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.calls = 0
        self.stuck = 0
        self.busy = threading.local()

    def __call__(self) -> None:
        if getattr(self.busy, "now", False):
            return
        self.busy.now = True
        try:
            self.calls += 1
            thread = threading.Thread(target=self.work, daemon=True)
            thread.start()
            thread.join(10 * PATIENCE)
            self.stuck += thread.is_alive()
        finally:
            self.busy.now = False

    def work(self) -> None:
        key = self.table.insert({"from": "probe"})
        self.table.update({"from": "probe again"}, where=self.table.id == key)
        assert self.table.get(key)["from"] == "probe again"
        self.table.delete(where=self.table.id == key)

    def check(self) -> None:
        assert self.calls > 0, "the hook was not called"
        assert self.stuck == 0, "the other thread could not write: a lock is held"


@pytest.fixture
def table(db: DictDB) -> Table:
    made = db.create_table("t")
    made.insert([{"name": f"n{n}", "n": n} for n in range(20)])
    made.create_index("n")
    return made


@pytest.fixture
def probe(table: Table) -> Iterator[Probe]:
    made = Probe(table)
    yield made
    made.check()


class UserMapping(collections.abc.Mapping[str, Any]):
    """A mapping whose every method runs the probe."""

    def __init__(self, probe: Probe, items: dict[str, Any]) -> None:
        self.probe, self.contents = probe, items

    def __getitem__(self, name: str) -> Any:
        self.probe()
        return self.contents[name]

    def __iter__(self) -> Iterator[str]:
        for name in self.contents:
            self.probe()
            yield name

    def __len__(self) -> int:
        self.probe()
        return len(self.contents)


class KeysOnly:
    """The least that is a mapping: keys and __getitem__."""

    def __init__(self, probe: Probe, items: dict[str, Any]) -> None:
        self.probe, self.contents = probe, items

    def keys(self) -> list[str]:
        self.probe()
        return list(self.contents)

    def __getitem__(self, name: str) -> Any:
        self.probe()
        return self.contents[name]


class DictSubclass(dict[str, Any]):
    probe: Probe

    def keys(self) -> Any:
        self.probe()
        return super().keys()

    def items(self) -> Any:
        self.probe()
        return super().items()

    def __getitem__(self, name: str) -> Any:
        self.probe()
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        self.probe()
        return super().__iter__()


STATEMENTS: dict[str, Callable[[Table, Any], Any]] = {
    "insert": lambda t, record: t.insert(record),
    "bulk insert": lambda t, record: t.insert([{"n": 1}, record]),
    "upsert": lambda t, record: t.upsert(record),
    "update": lambda t, record: t.update(record),
}


@pytest.mark.parametrize("statement", list(STATEMENTS))
@pytest.mark.parametrize("kind", [UserMapping, KeysOnly])
def test_a_mapping(table: Table, probe: Probe, statement: str, kind: Any) -> None:
    record = kind(probe, {"n": 77, "name": "mapping"})
    in_thread(lambda: STATEMENTS[statement](table, record))
    assert table.count(where=table.n == 77) == (20 if statement == "update" else 1)


@pytest.mark.parametrize("statement", list(STATEMENTS))
def test_a_subclass_of_dict(table: Table, statement: str) -> None:
    """Its methods may be called or not; when they are, no lock is held."""
    probe = Probe(table)
    record = DictSubclass({"n": 77, "name": "mapping"})
    record.probe = probe
    in_thread(lambda: STATEMENTS[statement](table, record))
    assert probe.stuck == 0
    assert table.count(where=table.n == 77) >= 1


def test_a_nested_mapping_or_list_of_the_user(table: Table) -> None:
    probe = Probe(table)

    class UserList(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            probe()
            return super().__iter__()

        def __len__(self) -> int:
            probe()
            return super().__len__()

        def __getitem__(self, index: Any) -> Any:
            probe()
            return super().__getitem__(index)

    nested = DictSubclass({"a": 1})
    nested.probe = probe

    def work() -> None:
        for value in (UserList([1, 2]), nested):
            try:
                table.insert({"value": value})
            except TypeError:
                pass

    in_thread(work)
    assert probe.stuck == 0


def test_an_iterator_of_records(table: Table, probe: Probe) -> None:
    def produce() -> Iterator[dict[str, Any]]:
        for n in range(5):
            probe()
            yield {"n": 100 + n}

    in_thread(lambda: table.insert(produce()))
    assert table.count(where=table.n >= 100) == 5


def test_an_iterator_that_reads_and_writes_the_table_itself(table: Table) -> None:
    """The same thread, not another: the statement under way is not there yet."""

    def produce() -> Iterator[dict[str, Any]]:
        for n in range(5):
            assert table.count(where=table.n >= 100) == n
            table.insert({"n": 100 + n})
            yield {"n": -100 - n}

    in_thread(lambda: table.insert(produce()))
    assert table.count(where=table.n >= 100) == 5
    assert table.count(where=table.n <= -100) == 5


def user_keys(probe: Probe) -> list[Any]:
    class Text(str):
        def __hash__(self) -> int:
            probe()
            return super().__hash__()

        def __eq__(self, other: object) -> bool:
            probe()
            return super().__eq__(other)

    class Number(int):
        def __hash__(self) -> int:
            probe()
            return super().__hash__()

        def __eq__(self, other: object) -> bool:
            probe()
            return super().__eq__(other)

        def __index__(self) -> int:
            probe()
            return int.__add__(self, 0)

    class Foreign:
        def __hash__(self) -> int:
            probe()
            return 1

        def __eq__(self, other: object) -> bool:
            probe()
            return other == 1

        def __index__(self) -> int:
            probe()
            return 1

        def __repr__(self) -> str:
            probe()
            return "Foreign()"

    return [Text("n1"), Number(1), Foreign(), (Text("x"), Number(2)), {Text("f"): 1}]


@pytest.mark.parametrize("number", range(5))
def test_keys_values_and_operands_with_methods_of_their_own(table: Table, number: int) -> None:
    """Taken or refused, never under a lock."""
    probe = Probe(table)
    key = user_keys(probe)[number]

    def work() -> None:
        calls: list[Callable[[], Any]] = [
            lambda: table.get(key),
            lambda: key in table,
            lambda: table.insert({"id": key, "n": 5}),
            lambda: table.insert({"n": key}),
            lambda: table.upsert({"id": key, "n": 6}),
            lambda: table.update({"n": key}, where=table.id == 3),
            lambda: table.select(where=table.n == key),
            lambda: table.select(where=table.n.is_in([key, 2])),
            lambda: table.delete(where=table.id == key),
            lambda: table.select(limit=key),
            lambda: table.select(offset=key, limit=1),
            lambda: table.select(columns=[key]),
            lambda: table.create_index(key),
            lambda: table.field(key),
        ]
        for call in calls:
            try:
                call()
            except (TypeError, ValueError, KeyError):
                pass

    in_thread(work, timeout=60)
    assert probe.stuck == 0


def test_an_index_method_as_a_limit(table: Table, probe: Probe) -> None:
    class Three:
        def __index__(self) -> int:
            probe()
            return 3

    assert len(in_thread(lambda: table.select(limit=Three()))) == 3
    assert in_thread(lambda: table.select(offset=Three(), limit=1))[0]["id"] == 4


def test_a_time_zone_of_the_user(table: Table) -> None:
    """Its methods are the user's code; a table may refuse it, but not call it under a lock."""
    probe = Probe(table)

    class Zone(datetime.tzinfo):
        def utcoffset(self, when: Any) -> datetime.timedelta:
            probe()
            return datetime.timedelta(hours=2)

        def dst(self, when: Any) -> datetime.timedelta:
            probe()
            return datetime.timedelta(0)

        def tzname(self, when: Any) -> str:
            probe()
            return "UTC+2"

    moment = datetime.datetime(2013, 1, 1, 12, tzinfo=Zone())

    def work() -> None:
        calls: list[Callable[[], Any]] = [
            lambda: table.insert({"when": moment}),
            lambda: table.insert([{"when": moment.timetz()}]),
            lambda: table.select(where=table.when == moment),
            lambda: table.update({"when": moment}, where=table.id == 1),
        ]
        for call in calls:
            try:
                call()
            except TypeError as error:
                assert "Zone" in str(error)

    in_thread(work)
    assert probe.stuck == 0


def test_iterables_as_arguments(table: Table, probe: Probe) -> None:
    def produce(*items: Any) -> Iterator[Any]:
        for item in items:
            probe()
            yield item

    def work() -> None:
        assert len(table.select(where=table.n.is_in(produce(1, 2)))) == 2
        for call in (
            lambda: table.select(columns=produce("n", "name")),
            lambda: table.select(order_by=produce("-n")),
        ):
            try:
                assert len(call()) == 20
            except (TypeError, ValueError):
                pass

    in_thread(work)


def test_a_destructor_run_by_the_collector(table: Table, probe: Probe) -> None:
    """Allocations inside a statement can start a collection, and that runs destructors."""

    class Cyclic:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            probe()

    def work() -> None:
        thresholds = gc.get_threshold()
        gc.set_threshold(1, 1, 1)
        try:
            for n in range(30):
                Cyclic()
                table.insert([{"n": n, "list": [[], {}]}, {"n": n}])
                table.select(where=table.n == n)
                table.select(columns={"x": "n"}, order_by="-n", copy=True)
                table.select(copy=False)
                table.copy()
                table.update({"n": n, "list": [1, [2]]}, where=table.id == n)
                for record in table:
                    assert record
                table.delete(where=table.id > 20)
                if not getattr(sys, "_is_gil_enabled", lambda: True)():
                    gc.collect()  # Without the GIL no allocation starts a collection.
        finally:
            gc.set_threshold(*thresholds)

    in_thread(work, timeout=60)


def test_a_destructor_of_what_the_statement_was_given(table: Table, probe: Probe) -> None:
    class Record(UserMapping):
        def __del__(self) -> None:
            self.probe()

    in_thread(lambda: table.insert(Record(probe, {"n": n}) for n in range(3)))
    in_thread(lambda: table.update(Record(probe, {"n": 5}), where=table.id == 1))


def test_the_text_of_a_culprit(table: Table, probe: Probe) -> None:
    """An error message may show the value it is about."""

    class Odd:
        def __repr__(self) -> str:
            probe()
            return "Odd()"

        __str__ = __repr__

    class OddMeta(type):
        def __repr__(cls) -> str:
            probe()
            return "OddMeta"

    def work() -> None:
        probe()
        for value in (Odd(), OddMeta("Name", (), {})()):
            with pytest.raises(TypeError):
                table.insert({"n": value})
            with pytest.raises((TypeError, ValueError)):
                table.select(where=value)

    in_thread(work)


def test_a_progress_callback(table: Table, probe: Probe, db: DictDB, tmp_path: Path) -> None:
    table.insert([{"n": n, "text": "x" * 100} for n in range(20_000)])
    in_thread(lambda: db.save(tmp_path / "a.json", progress=lambda done, total: probe()), 60)
    in_thread(lambda: DictDB.load(tmp_path / "a.json", progress=lambda done, total: probe()), 60)


def test_a_path_of_the_user(table: Table, probe: Probe, db: DictDB, tmp_path: Path) -> None:
    class Where:
        def __fspath__(self) -> str:
            probe()
            return os.fspath(tmp_path / "a.json")

    in_thread(lambda: db.save(Where(), file_format="json"))
    in_thread(lambda: DictDB.load(Where(), file_format="json"))


def test_a_failing_backup_calls_back(
    table: Table, probe: Probe, db: DictDB, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The callback and the logging handler may write, back up, and stop the manager."""
    folder = tmp_path / "backups"
    seen: list[int] = []

    def failed(error: Exception, count: int) -> None:
        probe()
        seen.append(count)
        assert manager.consecutive_failures == count
        manager.notify_change()
        if count == 2:
            folder.unlink()
            manager.backup_now()
            manager.stop()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            probe()

    manager = BackupManager(
        db, folder, backup_interval=0.05, min_backup_interval=0.01, on_backup_failure=failed
    )
    handler = Handler()
    logging.getLogger("dictdb").addHandler(handler)
    try:
        folder.rmdir()
        folder.write_text("in the way")
        before = set(threading.enumerate())
        manager.start()
        wait_until(lambda: manager._run is None)
        join_all([thread for thread in threading.enumerate() if thread not in before])
    finally:
        logging.getLogger("dictdb").removeHandler(handler)
    assert seen == [1, 2]
    assert len(list(folder.glob("*.json"))) == 2


def test_a_task_that_saves(table: Table, probe: Probe, db: DictDB, tmp_path: Path) -> None:
    async def main() -> None:
        save = asyncio.ensure_future(db.async_save(tmp_path / "a.json"))
        await asyncio.sleep(0)
        probe()
        await save

    in_thread(lambda: asyncio.run(main()))
