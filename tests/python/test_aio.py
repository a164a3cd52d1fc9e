# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""Statements for asyncio: what runs in the loop, what in a thread; the loop never waits."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

import dictdb
from dictdb import Append, Count, DictDB, DuplicateKeyError, Max, Table, _aio, _async, _join
from helpers import ROOT, SANITIZER
from test_async import Patient

T = TypeVar("T")
MANY = 3000
pytestmark = pytest.mark.threads


class CountingExecutor(ThreadPoolExecutor):
    """Counts what is handed to it."""

    def __init__(self) -> None:
        super().__init__(max_workers=4)
        self.handed = 0

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        self.handed += 1
        return super().submit(*args, **kwargs)


def run(main: Callable[[CountingExecutor], Coroutine[Any, Any, T]]) -> T:
    """Run main(executor) in a loop whose threads are counted."""

    async def with_executor() -> T:
        executor = CountingExecutor()
        asyncio.get_running_loop().set_default_executor(executor)
        return await main(executor)

    return asyncio.run(with_executor())


def handed(call: Callable[[], Awaitable[Any]]) -> int:
    """How many times a call goes to a thread."""

    async def main(executor: CountingExecutor) -> int:
        await call()
        return executor.handed

    return run(main)


@pytest.fixture
def large(db: DictDB) -> Table:
    table = db.create_table("large")
    table.insert([{"n": n, "group": n % 300, "text": "x" * (n % 7)} for n in range(MANY)])
    table.create_index("group")
    table.create_index("n", index_type="sorted")
    return table


# --- The answers are those of the table ---


def reads(table: Table) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    return [
        ("get", (3,), {}),
        ("get", (-1, "none"), {}),
        ("select", (["n"],), {"where": table.group == 7, "order_by": "-n"}),
        ("select", (), {"limit": 5, "offset": 2}),
        ("select", (None, lambda record: record["n"] < 4), {}),
        ("first", (table.n > 100,), {"order_by": "n"}),
        ("one", (table.n == 5,), {}),
        ("exists", (table.n == 5,), {}),
        ("pluck", ("n", "group"), {"where": table.group == 3}),
        ("count", (), {}),
        ("count", (table.text == "xx",), {}),
        ("aggregate", (table.n < 50, "text"), {"count": Count(), "most": Max("n")}),
        ("all", (), {}),
        ("copy", (), {}),
        ("columns", (), {}),
        ("size", (), {}),
    ]


@pytest.mark.parametrize("rows", [-1, 500, 10**9], ids=["threads", "as it is", "inline"])
def test_reads_answer_as_the_table_does(
    rows: int, large: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_aio, "_ROWS_READ", rows)

    async def main(executor: CountingExecutor) -> None:
        for name, args, kwargs in reads(large):
            got = await getattr(large.aio, name)(*args, **kwargs)
            assert got == getattr(large, name)(*args, **kwargs), name
        plan = await large.aio.explain(large.n == 3)
        assert plan.to_dict() == large.explain(large.n == 3).to_dict()
        assert executor.handed >= (14 if rows < 0 else 2)

    run(main)


@pytest.mark.parametrize("rows", [-1, 10**9], ids=["threads", "inline"])
def test_writes_do_as_the_table_does(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_aio, "_ROWS_READ", rows)
    monkeypatch.setattr(_aio, "_ROWS_WRITTEN", rows)
    one, two = Table("t"), Table("t")
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("insert", ({"a": 1},), {}),
        ("insert", ([{"a": 2}, {"a": 3, "l": [1]}],), {}),
        ("insert", (), {"record": {"a": 4}, "skip_validation": True}),
        ("upsert", ({"id": 2, "a": 5},), {}),
        ("upsert", ({"id": 2}, "ignore"), {}),
        ("update", ({"a": 9}, one.a == 1), {}),
        ("update", ({"l": Append(2)}, one.a == 3), {"returning": "new"}),
        ("update", ({"a": one.a + 1},), {}),
        ("update", (lambda record: {"b": record["a"]},), {"where": one.a > 5}),
        ("update_many", ([{"id": 1, "c": 1}, {"id": 2, "c": 2}],), {}),
        ("create_index", ("a",), {"index_type": "sorted"}),
        ("delete", (one.a == 4,), {}),
        ("delete", (), {"limit": 1, "returning": "old"}),
        ("drop_index", ("a",), {}),
    ]

    async def main(executor: CountingExecutor) -> None:
        for name, args, kwargs in calls:
            got = await getattr(one.aio, name)(*args, **kwargs)
            assert got == getattr(two, name)(*args, **kwargs), name
            assert one.all() == two.all()

    run(main)


def test_errors_come_out_of_the_await(large: Table) -> None:
    async def main(executor: CountingExecutor) -> None:
        with pytest.raises(DuplicateKeyError):
            await large.aio.insert({"id": 1})
        with pytest.raises(DuplicateKeyError):
            await large.aio.insert({"id": n} for n in (-1, 1))
        with pytest.raises(TypeError):
            await large.aio.select(where=3)  # type: ignore[call-overload]
        with pytest.raises(dictdb.InvalidArgumentError):
            await large.aio.select(limit=-1)
        with pytest.raises(TypeError):
            await large.aio.get()  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            await large.aio.count(wher=3)  # type: ignore[call-arg]

    run(main)
    assert large.count() == MANY


def test_signatures_are_the_tables() -> None:
    import inspect

    for name in ("select", "insert", "update", "get", "aggregate", "delete"):
        own = inspect.signature(getattr(_aio.AsyncTable, name))
        assert own == inspect.signature(getattr(dictdb._core.Table, name))
        assert getattr(_aio.AsyncTable, name).__doc__
    own = inspect.signature(_aio.AsyncDatabase.import_csv)
    table = inspect.signature(dictdb._core.DictDB.import_csv)
    assert list(table.parameters) == [*own.parameters, "progress"]
    assert "cancellable" in (_aio.AsyncTable.export_ndjson.__doc__ or "")
    assert repr(Table("t").aio) == "<AsyncTable 't'>"


JOINED: list[tuple[str, Callable[[Any], tuple[Any, ...]], dict[str, Any]]] = [
    ("columns", lambda j: (), {}),
    ("count", lambda j: (), {}),
    ("count", lambda j: (j["n"] < 40,), {}),
    ("select", lambda j: (), {"order_by": ["-n", "name"], "limit": 7, "offset": 2}),
    ("select", lambda j: (["name"], j["n"] > 2000), {"distinct": True}),
    ("aggregate", lambda j: (j["n"] < 900, "name"), {"rows": Count(), "most": Max("n")}),
    ("explain", lambda j: (j["n"] == 3,), {"limit": 1}),
]


def test_joins_answer_as_they_do(large: Table, db: DictDB) -> None:
    """Each call in one thread, with the same answer; what is wrong comes out of the await."""
    groups = db.create_table("groups")
    groups.insert([{"number": n, "name": f"g{n % 5}"} for n in range(0, 300, 2)])
    joined = large.join(groups, ("group", "number"))

    async def main(executor: CountingExecutor) -> None:
        for done, (name, args, kwargs) in enumerate(JOINED):
            got = await getattr(joined.aio, name)(*args(joined), **kwargs)
            assert executor.handed == done + 1
            expected = getattr(joined, name)(*args(joined), **kwargs)
            assert repr(got) == repr(expected), name
        with pytest.raises(ValueError, match="limit must not be negative"):
            await joined.aio.select(limit=-1)
        assert "large" in repr(joined.aio)

    run(main)


def test_joins_of_one_instant_wait_for_no_lock(users: Table, db: DictDB) -> None:
    """A table under a write lock, whoever holds it, is joined as it was before."""
    groups = db.create_table("groups")
    groups.insert({"user": 1})
    joined = users.join(groups, ("id", "user"))

    async def main(executor: CountingExecutor) -> None:
        with Holder(users), groups.lock.write_lock():
            groups.insert([{"user": 1}, {"user": 1}])
            assert joined.count() == await joined.aio.count() == 1
        assert joined.count() == await joined.aio.count() == 3
        with db.snapshot() as snapshot:
            old = snapshot["users"].join(snapshot["groups"], ("id", "user"))
            groups.delete()
            assert await old.aio.count() == 3
        assert await joined.aio.count() == 0

    run(main)


def test_joins_have_the_same_arguments() -> None:
    import inspect

    for name in ("columns", "count", "select", "aggregate"):
        own, join = (getattr(each, name) for each in (_join.AsyncJoin, dictdb.Join))
        assert inspect.signature(own) == inspect.signature(join), name
    assert not [
        name
        for name, member in vars(dictdb.Join).items()
        if inspect.isfunction(member)
        and not name.startswith("_")
        and name not in ("join", "where")  # These describe
        and not hasattr(_join.AsyncJoin, name)
    ]


# --- What goes to a thread ---


SHORT: list[Callable[[Table], Awaitable[Any]]] = [
    lambda t: t.aio.get(5),
    lambda t: t.aio.select(where=t.id == 5),
    lambda t: t.aio.select(where=t.group == 5),
    lambda t: t.aio.select(where=(t.group == 5) & (t.n > 3), order_by="-n"),
    lambda t: t.aio.select(where=t.n.between(10, 50)),
    lambda t: t.aio.select(limit=20, offset=5),
    lambda t: t.aio.first(),
    lambda t: t.aio.exists(),
    lambda t: t.aio.count(),
    lambda t: t.aio.count(t.n < 100),
    lambda t: t.aio.pluck("n", limit=3),
    lambda t: t.aio.aggregate(where=t.group == 3, n=Count()),
    lambda t: t.aio.insert({"n": 1}),
    lambda t: t.aio.insert([{"n": 1}, {"n": 2}]),
    lambda t: t.aio.upsert({"id": 5, "n": 1}),
    lambda t: t.aio.update({"text": "y"}, t.id == 5),
    lambda t: t.aio.update({"text": t.text}, t.group == 5),
    lambda t: t.aio.update_many([{"id": 5, "text": "z"}]),
    lambda t: t.aio.delete(t.group == 5),
]
LONG: list[Callable[[Table], Awaitable[Any]]] = [
    lambda t: t.aio.select(),
    lambda t: t.aio.all(),
    lambda t: t.aio.copy(),
    lambda t: t.aio.select(where=t.text == "y"),
    lambda t: t.aio.select(where=t.n > 500),
    lambda t: t.aio.select(limit=2, order_by="text"),
    lambda t: t.aio.select(["text"], limit=2, distinct=True),
    lambda t: t.aio.select(limit=2, offset=2000),
    lambda t: t.aio.select(iter(["n"]), limit=2),
    lambda t: t.aio.aggregate(n=Count()),
    lambda t: t.aio.count(t.text == "y"),
    lambda t: t.aio.select(where=lambda record: True, limit=1),
    lambda t: t.aio.select(where=(t.id == 5) & (lambda record: True)),
    lambda t: t.aio.select(where=(t.id == 5) & t.text.matches("x+")),
    lambda t: t.aio.select(where=t.id.is_in(range(900)) & t.n.is_in(range(900))),
    lambda t: t.aio.insert([{"n": n} for n in range(200)]),
    lambda t: t.aio.insert({"n": n} for n in range(2)),
    lambda t: t.aio.insert({"n": list(range(5000))}),
    lambda t: t.aio.insert({"n": "x" * 10**6}),
    lambda t: t.aio.insert({"n": [[[{"a": list(range(500))}]]]}),
    lambda t: t.aio.update({"text": "y"}),
    lambda t: t.aio.update({"text": "y"}, t.n < 90),
    lambda t: t.aio.update({"text": lambda record: "y"}, t.id == 5),
    lambda t: t.aio.update(lambda record: {"text": "y"}, t.id == 5),
    lambda t: t.aio.update_many([({"text": "z"}, t.n > 3)]),
    lambda t: t.aio.update_many({"id": n} for n in (1, 2)),
    lambda t: t.aio.delete(t.n > 3),
    lambda t: t.aio.delete(),
    lambda t: t.aio.create_index("text"),
    lambda t: t.aio.drop_index("group"),
    lambda t: t.aio.explain(t.n > 3),
]


@pytest.mark.parametrize("call", SHORT, ids=range(len(SHORT)))
def test_short_calls_run_in_the_loop(call: Any, large: Table) -> None:
    assert handed(lambda: call(large)) == 0


@pytest.mark.parametrize("call", LONG, ids=range(len(LONG)))
def test_long_calls_run_in_a_thread(call: Any, large: Table) -> None:
    assert handed(lambda: call(large)) == 1


def test_few_large_records_are_many_bytes(db: DictDB) -> None:
    table = db.create_table("t")
    table.insert([{"text": "x" * 50_000} for _ in range(100)])
    assert handed(lambda: table.aio.select()) == 1
    assert handed(lambda: table.aio.select(where=table.text == "y")) == 1
    assert handed(lambda: table.aio.get(1)) == 0


def test_writes_that_wait_for_a_disk_run_in_a_thread(tmp_path: Path) -> None:
    with DictDB.open(tmp_path / "db") as db:
        table = db.create_table("t")
        assert handed(lambda: table.aio.insert({"a": 1})) == 1
        assert handed(lambda: table.aio.update({"a": 2})) == 1
        assert handed(lambda: table.aio.get(1)) == 0
        assert handed(lambda: table.aio.select()) == 0
        assert table.get(1) == {"id": 1, "a": 2}


# --- Locks ---


class Holder:
    """A thread that holds a table's write lock until it is told to let go."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.holds = threading.Event()
        self.let_go = threading.Event()
        self.thread = threading.Thread(target=self._hold)

    def _hold(self) -> None:
        with self.table.lock.write_lock():
            self.holds.set()
            self.let_go.wait()

    def __enter__(self) -> Holder:
        self.thread.start()
        self.holds.wait()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.let_go.set()
        self.thread.join()


@pytest.mark.parametrize("name", ["get", "select", "count", "insert", "update", "delete"])
def test_the_loop_waits_for_no_lock(name: str, users: Table) -> None:
    """The lock is let go by the loop itself, while the statement waits for it."""
    args = {"get": (1,), "insert": ({"a": 1},), "update": ({"a": 1},)}.get(name, ())

    async def main(executor: CountingExecutor) -> None:
        with Holder(users) as holder:
            task = asyncio.create_task(getattr(users.aio, name)(*args))
            while executor.handed == 0:
                await asyncio.sleep(0)
            assert not task.done()
            holder.let_go.set()
            await task
        assert executor.handed == 1

    run(main)


@pytest.mark.parametrize("name", ["get", "insert", "delete", "select"])
def test_a_cancelled_task_waits_for_no_lock(name: str, users: Table) -> None:
    args = {"get": (1,), "insert": ({"a": 1},)}.get(name, ())
    before = users.all()

    async def main(executor: CountingExecutor) -> None:
        with Holder(users):
            task = asyncio.create_task(getattr(users.aio, name)(*args))
            while executor.handed == 0:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task  # While the lock is held

    run(main)
    assert users.all() == before
    users.insert({"a": 2})  # Nothing is left in the lock's queue


def test_a_cancelled_statement_that_was_not_begun_is_not_made(users: Table) -> None:
    before = users.all()

    async def main(executor: CountingExecutor) -> None:
        gate = threading.Event()
        busy = [executor.submit(gate.wait) for _ in range(4)]
        task = asyncio.create_task(users.aio.delete(lambda record: True))
        while executor.handed < 5:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all(each.result() for each in busy)

    run(main)
    assert users.all() == before


def test_the_holder_of_the_lock_makes_its_statements_itself(large: Table) -> None:
    async def main(executor: CountingExecutor) -> None:
        with large.lock.write_lock():
            await large.aio.update({"text": "y"})
            assert len(await large.aio.select()) == MANY
        with large.lock.read_lock():
            assert await large.aio.count(large.text == "y") == MANY
        assert executor.handed == 0

    run(main)


def test_many_tasks_and_threads_at_once(db: DictDB) -> None:
    table = db.create_table("t")
    count = 20 if SANITIZER else 100

    def from_threads() -> None:
        for _ in range(count):
            with table.lock.write_lock():
                table.insert({"by": "thread"})

    async def one(number: int) -> None:
        key = await table.aio.insert({"by": "task", "n": number})
        assert await table.aio.update({"n": -number}, table.id == key) == 1
        record = await table.aio.get(key)
        assert record is not None
        assert record["n"] == -number

    async def main(executor: CountingExecutor) -> None:
        threads = [threading.Thread(target=from_threads) for _ in range(2)]
        for thread in threads:
            thread.start()
        await asyncio.gather(*(one(number) for number in range(count)))
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])

    run(main)
    assert table.count() == 3 * count
    assert table.count(table.n <= 0) == count


# --- Cursors ---


def test_async_iteration(large: Table) -> None:
    async def main(executor: CountingExecutor) -> None:
        assert [record async for record in large.aio] == large.all()
        cursor = large.aio.iter(large.group == 3, columns=["n"], order_by="-n", batch_size=4)
        assert [record async for record in cursor] == large.select(
            ["n"], large.group == 3, order_by="-n"
        )
        found = [view async for view in large.aio.iter(limit=3, copy=False)]
        assert [view["n"] for view in found] == [0, 1, 2]

    run(main)


def test_a_cursor_sees_one_instant_and_is_closed(large: Table) -> None:
    async def main(executor: CountingExecutor) -> None:
        async with large.aio.iter(batch_size=10) as cursor:
            assert (await anext(cursor))["n"] == 0
            await large.aio.delete()
            assert [record["n"] for record in await cursor.fetch(3)] == [1, 2, 3]
            assert [record["n"] for record in await cursor.fetch(20)] == list(range(4, 24))
            assert await cursor.fetch(0) == []
            with pytest.raises(dictdb.InvalidArgumentError):
                await cursor.fetch(-1)
            assert (await anext(cursor))["n"] == 24
            assert len(await cursor.fetch()) == 10
            assert len(await cursor.fetch(MANY)) == MANY - 35
            assert await cursor.fetch() == []
            assert not cursor.closed
        assert cursor.closed
        await cursor.close()
        with pytest.raises(StopAsyncIteration):
            await anext(cursor)

    run(main)


def test_batches_of_long_queries_are_read_in_threads(large: Table) -> None:
    async def all_of(cursor: Any) -> None:
        async for _ in cursor:
            pass

    assert handed(lambda: all_of(large.aio.iter(large.n < 100))) == 0
    assert handed(lambda: all_of(large.aio.iter(batch_size=1000))) == 5


# --- Databases ---


def test_a_database_is_opened_and_closed(tmp_path: Path) -> None:
    async def main(executor: CountingExecutor) -> None:
        async with await DictDB.async_open(tmp_path / "db", "interval", interval=5.0) as db:
            table = await db.aio.create_table("t", schema={"a": int})
            await db.aio["t"].insert({"a": 1})
            await db.aio.sync()
            await db.aio.checkpoint()
            await db.aio.save(tmp_path / "x.dictdb", compression=3)
            await db.aio.create_table("gone")
            await db.aio.drop_table("gone")
            assert db.list_tables() == ["t"]
        with pytest.raises(dictdb.ReadOnlyDatabaseError):
            await table.aio.insert({"a": 2})
        db = await DictDB.async_open(str(tmp_path / "db"))
        assert await db["t"].aio.all() == [{"id": 1, "a": 1}]
        await db.aio.close()
        with pytest.raises(dictdb.TableNotFoundError):
            db.aio["gone"]

    run(main)
    assert DictDB.load(tmp_path / "x.dictdb")["t"].count() == 1


def test_text_files_in_threads(tmp_path: Path) -> None:
    async def main(executor: CountingExecutor) -> None:
        db = DictDB()
        table = db.create_table("t")
        table.insert([{"code": "007", "n": n} for n in range(50)])
        for kind in ("csv", "ndjson"):
            path = tmp_path / f"x.{kind}"
            exported = getattr(table.aio, f"export_{kind}")(path, where=table.n < 20)
            assert await exported == 20
            assert await getattr(db.aio, f"import_{kind}")(path, kind) == 20
            assert db[kind].all() == table.all()[:20]
        assert executor.handed == 4
        with table.lock.write_lock():  # What this thread holds
            assert await table.aio.export_csv(tmp_path / "own.csv") == 50
        with pytest.raises(dictdb.DuplicateTableError):
            await db.aio.import_csv(tmp_path / "x.csv", "csv")
        with pytest.raises(TypeError, match="progress"):
            await table.aio.export_csv(tmp_path / "x.csv", progress=True)  # type: ignore[call-arg]

    run(main)


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_cancelled_text_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    db = DictDB()
    table = db.create_table("t")
    table.insert([{"text": "x" * 100, "n": n} for n in range(20_000)])
    path = tmp_path / f"x.{kind}"
    getattr(table, f"export_{kind}")(path)
    before = path.read_bytes()
    monkeypatch.setattr(_async, "threading", SimpleNamespace(Event=Patient))

    async def main(executor: CountingExecutor) -> None:
        for work in (
            getattr(table.aio, f"export_{kind}")(path, where=table.n < 19_999),
            getattr(db.aio, f"import_{kind}")(path, "again"),
        ):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(work, 0.001)

    run(main)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before
    assert db.list_tables() == ["t"]


@pytest.mark.parametrize("turns", [0, 1, 5, 50])
def test_a_cancelled_opening_leaves_the_directory_free(turns: int, tmp_path: Path) -> None:
    with DictDB.open(tmp_path / "db") as db:
        db.create_table("t").insert([{"a": n} for n in range(5000)])

    async def main(executor: CountingExecutor) -> None:
        task = asyncio.create_task(DictDB.async_open(tmp_path / "db"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await (await task).aio.close()
        except asyncio.CancelledError:
            pass

    run(main)
    with DictDB.open(tmp_path / "db") as db:
        assert db["t"].count() == 5000


def test_opening_what_is_open_raises(tmp_path: Path) -> None:
    async def main(executor: CountingExecutor) -> None:
        with pytest.raises(dictdb.DatabaseInUseError):
            await DictDB.async_open(tmp_path / "db")

    with DictDB.open(tmp_path / "db"):
        run(main)


def test_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("tickets", ROOT / "examples" / "tickets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()
    assert capsys.readouterr().out == "200 seats sold, 100 buyers without\n"
