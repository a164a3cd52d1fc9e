# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""The reference of the concurrency model: its snippets run as written, and what it says holds.

A harness supplies the names that the snippets leave open, calls the functions they define, and
ends their endless loops.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dictdb import (
    BackupManager,
    DictDB,
    DuplicateKeyError,
    SchemaValidationError,
)
from helpers import ROOT, background, in_thread, join_all, run_threads, wait_until
from snippets import Snippet, snippets

DOCUMENTS = ["docs/fr/concurrence.md", "docs/concurrency.md"]
THREADS = 8
ROUNDS = 3
BLOCKS = 12


class LoopEnded(Exception):
    """Ends a loop of the document that has no end."""


class BoundedEvent(threading.Event):
    """Waits at once; ends the loop around it after some rounds."""

    waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout == 3600
        Bounded.rounds.value = getattr(Bounded.rounds, "value", 0) + 1
        if Bounded.rounds.value > ROUNDS:
            Bounded.rounds.value = 0
            raise LoopEnded
        return False


class Bounded:
    """Stands in for the threading module after a snippet imported it."""

    rounds = threading.local()
    Event = BoundedEvent

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)


def fill(db: DictDB) -> Any:
    """The table that the document takes for granted."""
    if "products" not in db:
        with contextlib.suppress(KeyError):
            db.create_table("products").insert({"sku": "ABC", "stock": 5})
    return db.get_table("products")


def open_names(db: DictDB | None) -> dict[str, Any]:
    names: dict[str, Any] = {
        "__name__": "reference",
        "now": datetime.datetime.now,
        "one_hour_ago": lambda: datetime.datetime.now() - datetime.timedelta(hours=1),
        "external_lock": threading.Lock(),
        "processed": [],
    }
    names["process"] = names["processed"].append
    if db is not None:
        names["products"] = fill(db)
    return names


def drive_sessions(names: dict[str, Any]) -> None:
    """The web application's workers, and its clean-up."""
    handle = names["handle_request"]
    duplicates: list[BaseException] = []

    def worker(number: int) -> None:
        for i in range(20):
            try:
                handle(f"s{i}", number, f"click {i}")
            except DuplicateKeyError as error:  # Another worker inserted after this one looked.
                duplicates.append(error)

    run_threads([lambda n=n: worker(n) for n in range(4)])
    sessions, events = names["sessions"], names["events"]
    assert sessions.count() == 20
    assert events.count() == 80 - len(duplicates)
    assert [e["event_id"] for e in events.select()] == list(range(1, events.count() + 1))
    now = datetime.datetime.now()
    sessions.insert({"session_id": "old", "last_active": now - datetime.timedelta(hours=2)})
    sessions.insert({"session_id": "new", "last_active": now})
    names["threading"] = Bounded()
    with pytest.raises(LoopEnded):
        names["cleanup_old_sessions"]()
    assert "old" not in sessions
    assert "new" in sessions
    assert sessions.count() == 21


def drive_async(names: dict[str, Any]) -> None:
    """Some rounds of the endless save, with the minute cut short."""
    rounds = 0

    class Loop:
        @staticmethod
        async def sleep(seconds: float) -> None:
            nonlocal rounds
            assert seconds == 60
            if rounds == ROUNDS:
                raise LoopEnded
            rounds += 1
            await asyncio.sleep(0)

    names["asyncio"] = Loop
    with pytest.raises(LoopEnded):
        asyncio.run(names["save_periodically"]())
    assert len(DictDB.load("backup.json").get_table("users")) > 0


def drive(snippet: Snippet, names: dict[str, Any]) -> None:
    """Calls what a snippet defines, and waits for what it started."""
    join_all([names[name] for name in ("t1", "t2") if name in names])
    if snippet.defines("handle_request"):
        drive_sessions(names)
        names["backup"].stop()
        backups = sorted(Path("backups").glob("dictdb_backup_*.json"))
        assert DictDB.load(backups[-1]).list_tables() == ["sessions", "events"]
    elif snippet.defines("save_periodically"):
        drive_async(names)
    elif snippet.defines("update_user"):
        assert names["products"].select()[0]["stock"] == 99
        assert isinstance(names["users"].get(1)["last_login"], datetime.datetime)
    elif "process(record)" in snippet.source:
        assert len(names["processed"]) == len(names["snapshot"]) > 1000


def run_in_order(document: Path, count: int = BLOCKS) -> dict[str, Any]:
    names = open_names(None)
    for number, snippet in enumerate(list(snippets(document))[:count]):
        if number == 1:
            names["products"] = fill(names["db"])
        snippet.run(names)
        drive(snippet, names)
    return names


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_document_has_all_its_snippets(name: str) -> None:
    found = list(snippets(ROOT / name))
    assert len(found) == BLOCKS
    assert found[-1].defines("handle_request")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_snippets_run_in_order(name: str) -> None:
    in_thread(lambda: run_in_order(ROOT / name), timeout=60)


@pytest.mark.parametrize("number", range(BLOCKS))
def test_snippet_from_eight_threads(number: int) -> None:
    """Each thread runs the snippet with names of its own, on the same database."""
    document = ROOT / DOCUMENTS[0]
    snippet = list(snippets(document))[number]
    shared = run_in_order(document, number)
    spaces: list[dict[str, Any]] = []

    def work(names: dict[str, Any]) -> None:
        snippet.run(names)
        join_all([names[name] for name in ("t1", "t2") if name in names])
        if snippet.defines("save_periodically"):
            drive_async(names)

    for _ in range(THREADS):
        spaces.append({**shared, **open_names(shared.get("db"))})
    run_threads([lambda s=s: work(s) for s in spaces], timeout=60)
    for names in spaces:
        if snippet.defines("handle_request"):
            drive_sessions(names)
            names["backup"].stop()
    users = spaces[0].get("users")
    if users is not None:
        keys = [record["id"] for record in users.select()]
        assert len(set(keys)) == len(keys) >= 1000


# --- What the document says, statement by statement ---


def test_several_readers_at_the_same_time() -> None:
    table = DictDB().create_table("t")
    inside = threading.Barrier(4)

    def reader() -> None:
        with table._lock.read_lock():
            inside.wait(20)

    run_threads([reader] * 4)


def test_a_writer_is_alone() -> None:
    table = DictDB().create_table("t")
    with table._lock.write_lock():
        assert in_thread(lambda: table._lock.acquire_read(blocking=False)) is False
        assert in_thread(lambda: table._lock.acquire_write(blocking=False)) is False
    with table._lock.read_lock():
        assert in_thread(lambda: table._lock.acquire_write(blocking=False)) is False


def test_each_table_has_a_lock_of_its_own() -> None:
    db = DictDB()
    a, b = db.create_table("a"), db.create_table("b")
    assert a._lock is a.lock
    assert a._lock is not b._lock
    with a._lock.write_lock():
        in_thread(lambda: b.insert({"x": 1}))
        assert in_thread(b.count) == 1


def test_readers_wait_for_an_explicit_writer_only() -> None:
    table = DictDB().create_table("t")
    table.insert({"x": 1})
    lock = table._lock
    with lock.write_lock():
        table.update({"x": 2})
        seen: list[Any] = []
        thread = threading.Thread(target=lambda: seen.append(table.get(1)["x"]))
        thread.start()
        time.sleep(0.05)
        assert not seen
        table.update({"x": 3})
    join_all([thread])
    assert seen == [3]


def test_automatic_keys_are_unique() -> None:
    table = DictDB().create_table("t")
    keys: list[int] = []
    run_threads([lambda: keys.extend(table.insert({"n": n}) for n in range(300))] * 6)
    assert sorted(keys) == list(range(1, 1801))


def test_a_failed_update_changes_nothing() -> None:
    table = DictDB().create_table("t", schema={"name": str, "age": int})
    table.insert([{"name": "a", "age": 1}, {"name": "b", "age": 2}])
    before = table.select()
    with pytest.raises(SchemaValidationError):
        table.update({"name": "c", "age": "old"})
    assert table.select() == before


def test_select_returns_copies() -> None:
    table = DictDB().create_table("t")
    table.insert({"name": "a", "tags": ["x"]})
    results = table.select()
    results[0]["name"] = "Modified"
    results[0]["tags"].append("y")
    assert table.select() == [{"id": 1, "name": "a", "tags": ["x"]}]


def test_a_consistent_copy_under_the_read_lock() -> None:
    table = DictDB().create_table("t")
    table.insert([{"n": 0} for _ in range(100)])

    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            table.update({"n": time.monotonic_ns()})

    with background(write, stop=stop):
        for _ in range(50):
            with table._lock.read_lock():
                first = table.copy()
                assert len({record["n"] for record in first.values()}) == 1
                assert table.copy() == first
            if stop.is_set():
                break


def test_locks_are_released_after_every_operation() -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert({"id": 1})
    for fails in (
        lambda: table.insert({"id": 1}),
        lambda: table.insert([{"id": 2}, {"id": 1}]),
        lambda: table.update({"id": 5}),
        lambda: table.insert({"x": object()}),
        lambda: table.select(limit=-1),
    ):
        with pytest.raises((ValueError, KeyError, TypeError)):
            fails()
        assert in_thread(lambda: table.lock.acquire_write(blocking=False) and released(table))


def released(table: Any) -> bool:
    table.lock.release_write()
    return True


def test_async_save_does_not_block_the_event_loop() -> None:
    db = DictDB()
    db.create_table("t").insert([{"n": n, "text": "x" * 50} for n in range(20_000)])

    async def ticks_during_a_save() -> int:
        ticks = 0
        save = asyncio.ensure_future(db.async_save("out.json", file_format="json"))
        while not save.done():
            await asyncio.sleep(0.001)
            ticks += 1
        await save
        return ticks

    # On a busy machine the loop may get no turn during one.
    end = time.monotonic() + 60
    while asyncio.run(ticks_during_a_save()) < 2:
        assert time.monotonic() < end, "no save let the loop go on"
    assert len(DictDB.load("out.json")["t"]) == 20_000


def test_backups_go_on_beside_the_application() -> None:
    db = DictDB()
    table = db.create_table("t")
    with BackupManager(db, "backups", backup_interval=0.05, min_backup_interval=0.01) as backup:
        wait_until(lambda: (table.insert({"x": 1}), len(list(Path("backups").iterdir())) >= 3)[1])
        assert backup.consecutive_failures == 0
    newest = sorted(Path("backups").glob("*.json"))[-1]
    assert DictDB.load(newest)["t"].count() == table.count()
