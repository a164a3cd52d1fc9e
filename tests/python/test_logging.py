# SPDX-License-Identifier: Apache-2.0
"""The logger of the package: what is logged, where it goes, and that it is free when unused."""

from __future__ import annotations

import io
import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dictdb
from dictdb import DictDB, InvalidArgumentError, Table, configure_logging, logger
from helpers import python_environment


@pytest.fixture(autouse=True)
def _as_at_first() -> Iterator[None]:
    yield
    logger.remove()
    logger.setLevel(logging.NOTSET)


class Kept(logging.Handler):
    """Keeps the records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def ops(self) -> list[str | None]:
        return [record.op for record in self.records]


@pytest.fixture
def kept() -> Kept:
    handler = Kept()
    logger.add(handler)
    return handler


# --- What statements tell ---


def test_statements_are_logged_at_debug(kept: Kept, db: DictDB) -> None:
    table = db.create_table("t", "key")
    table.insert({"key": 1, "n": 1})
    table.insert([{"key": 2, "n": 1}, {"key": 3, "n": 2}])
    table.upsert({"key": 3, "n": 3})
    assert len(table.select(where=table.n == 1)) == 2
    assert table.count(table.n == 1) == 2
    table.aggregate(group_by="n", c=dictdb.Count())
    table.update({"n": 5}, table.n == 1)
    table.update({"n": 6}, table.n == 5, returning="new")
    table.update_many([{"key": 1, "n": 7}])
    table.delete(table.n == 7)
    got = [(record.op, record.table, record.context.get("count")) for record in kept.records]
    assert got == [
        ("CREATE_TABLE", "t", None),
        *[("INSERT", "t", 1), ("INSERT", "t", 2), ("UPSERT", "t", 1), ("SELECT", "t", 2)],
        *[("COUNT", "t", 2), ("AGGREGATE", "t", 2), ("UPDATE", "t", 2), ("UPDATE", "t", 2)],
        *[("UPDATE", "t", 1), ("DELETE", "t", 1)],
    ]
    assert kept.records[2].getMessage() == "inserted 2 into table 't'"
    assert kept.records[0].context == {"table": "t", "op": "CREATE_TABLE", "primary_key": "key"}
    assert [record.levelno for record in kept.records] == [logging.INFO] + [logging.DEBUG] * 10


def test_what_is_returned_does_not_change_the_count(kept: Kept, db: DictDB) -> None:
    table = db.create_table("t")
    kept.records.clear()
    many = [{"n": n} for n in range(7)]
    table.insert(many, returning="count")
    table.insert(many, returning="new")
    table.insert({"n": 1}, returning="new")
    table.upsert({"id": 3, "n": 3}, returning="old")
    table.upsert({"id": 3, "n": 3}, "ignore", returning="count")
    table.update({"n": 0}, returning="count")
    assert [(record.op, record.context["count"]) for record in kept.records] == [
        *[("INSERT", 7), ("INSERT", 7), ("INSERT", 1), ("UPSERT", 1), ("UPSERT", 0)],
        ("UPDATE", 15),
    ]


def test_a_record_names_thread_and_line(kept: Kept, users: Table) -> None:
    kept.records.clear()
    thread = threading.Thread(target=lambda: users.insert({"name": "Eve"}), name="worker-7")
    thread.start()
    thread.join()
    logger.info("own words")
    logger.bind(table="x").warning("bound words")
    assert [record.threadName for record in kept.records[:2]] == ["worker-7", "MainThread"]
    assert {record.filename for record in kept.records} == {"test_logging.py"}
    assert [record.table for record in kept.records] == ["users", None, "x"]


def test_tables_indexes_and_files_are_logged_at_info(db: DictDB, tmp_path: Path) -> None:
    kept = Kept()
    logger.add(kept, level="INFO")
    table = db.create_table(table_name="t")
    table.insert({"a": 1})
    table.create_index("a")
    table.create_index(["a", table.b], index_type="sorted")
    table.drop_index("a")
    db.save(file_format="json", filename=tmp_path / "x.json")
    DictDB.load(tmp_path / "x.json")
    with DictDB.open(tmp_path / "db") as opened:
        opened.checkpoint()
        opened.sync()  # Told at DEBUG.
        opened.close()  # What closes it once more tells nothing.
    db.close()  # Nothing was opened.
    table.export_csv(tmp_path / "x.csv")
    table.export_ndjson(filepath=tmp_path / "x.ndjson", where=table.a == 2)
    db.import_csv(tmp_path / "x.csv", table_name="u")
    db.import_ndjson(tmp_path / "x.ndjson", "v")
    db.drop_table("t")
    assert [(record.op, record.getMessage()) for record in kept.records] == [
        ("CREATE_TABLE", "created table 't'"),
        ("CREATE_INDEX", "created an index of table 't'"),
        ("CREATE_INDEX", "created an index of table 't'"),
        ("DROP_INDEX", "dropped an index of table 't'"),
        ("SAVE", f"saved to {tmp_path / 'x.json'}"),
        ("LOAD", f"loaded {tmp_path / 'x.json'}"),
        ("OPEN", f"opened {tmp_path / 'db'}"),
        ("CHECKPOINT", "checkpoint done"),
        ("CLOSE", "closed"),
        ("EXPORT", "exported 1 of table 't'"),
        ("EXPORT", "exported 0 of table 't'"),
        ("IMPORT", "imported 1 into table 'u'"),
        ("IMPORT", "imported 0 into table 'v'"),
        ("DROP_TABLE", "dropped table 't'"),
    ]
    assert [record.context["path"] for record in kept.records[9:13]] == [
        str(tmp_path / name) for name in ("x.csv", "x.ndjson", "x.csv", "x.ndjson")
    ]
    assert [record.context.get("field") for record in kept.records[1:4]] == ["a", ["a", "b"], "a"]
    assert kept.records[4].context["path"] == str(tmp_path / "x.json")


def test_what_fails_is_not_logged(kept: Kept, users: Table) -> None:
    kept.records.clear()
    with pytest.raises(dictdb.DuplicateKeyError):
        users.insert({"id": 1})
    with pytest.raises(TypeError):
        users.select(where=3)  # type: ignore[call-overload]
    assert kept.records == []


def test_snapshots_are_read_with_a_word_too(kept: Kept, db: DictDB, users: Table) -> None:
    kept.records.clear()
    with db.snapshot() as snapshot:
        snapshot["users"].select()
    assert kept.ops() == ["SELECT"]


def test_user_strings_are_never_formats(kept: Kept, db: DictDB) -> None:
    table = db.create_table("%s%n%d{0}")
    table.insert({"%d": "%s"})
    assert kept.records[-1].getMessage() == "inserted 1 into table '%s%n%d{0}'"
    logger.info("100%")
    logger.bind(op="%s").info("%s of %d", "a%s", 3)
    assert [record.getMessage() for record in kept.records[-2:]] == ["100%", "a%s of 3"]


# --- When levels change ---


@pytest.fixture
def ops() -> Iterator[list[str]]:
    """The statements that the extension tells the logger of."""
    told: list[str] = []

    def tell(op: str, *rest: Any) -> None:
        told.append(op)
        dictdb._logging._tell(op, *rest)

    dictdb._core._log_function(tell)
    yield told
    dictdb._core._log_function(dictdb._logging._tell)


def test_a_disabled_level_does_not_leave_the_extension(ops: list[str], users: Table) -> None:
    logger.setLevel("INFO")
    users.insert({"name": "Eve"})  # It finds out
    ops.clear()
    for _ in range(10):
        users.insert({"name": "Eve"})
        users.select(limit=1)
    assert ops == []


@pytest.mark.parametrize(
    "enable",
    [
        lambda: logger.setLevel("DEBUG"),
        lambda: logger.add(lambda text: None),
        lambda: configure_logging("debug", console=False),
        lambda: logging.getLogger("dictdb").setLevel(1),
    ],
)
def test_every_way_to_enable_debug_is_noticed(enable: Any, ops: list[str], users: Table) -> None:
    users.count()
    ops.clear()
    users.count()
    assert ops == []
    enable()
    users.count()
    users.count()
    assert ops == ["COUNT", "COUNT"]


def test_the_root_loggers_level_and_disable_count(ops: list[str], users: Table) -> None:
    root = logging.getLogger()
    level = root.level
    try:
        root.setLevel("DEBUG")
        ops.clear()
        users.count()
        users.count()
        assert ops == ["COUNT", "COUNT"]
        logging.disable(logging.DEBUG)
        users.count()  # It finds out
        ops.clear()
        users.count()
        assert ops == []
        logging.disable(logging.NOTSET)
        users.count()
        users.count()
        assert ops == ["COUNT", "COUNT"]
    finally:
        logging.disable(logging.NOTSET)
        root.setLevel(level)


def test_a_disabled_logger_that_is_enabled_again(ops: list[str], users: Table, kept: Kept) -> None:
    logger.disabled = True
    try:
        users.count()
        assert kept.records == []
    finally:
        logger.disabled = False
    users.count()
    assert kept.ops() == ["COUNT"]


@pytest.mark.threads
def test_levels_change_while_threads_write(db: DictDB) -> None:
    table = db.create_table("t")
    kept = Kept()
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            table.insert({"a": 1})

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        number = logger.add(kept)
        logger.remove(number)
    logger.add(kept)
    stop.set()
    for thread in threads:
        thread.join()
    kept.records.clear()
    table.count()  # However the changes of the level fell: now it is on
    assert kept.ops() == ["COUNT"]


# --- Handlers that do much ---


def test_a_handler_may_use_the_database(db: DictDB) -> None:
    log = db.create_table("log")
    table = db.create_table("t")

    def sink(text: str) -> None:
        log.insert({"text": text})
        with table.lock.write_lock(timeout=5):
            table.count()

    logger.add(sink)
    table.insert({"a": 1})
    assert log.count() == 1


@pytest.mark.threads
def test_no_lock_is_held_while_a_handler_runs(db: DictDB) -> None:
    """A sink that waits for another thread, which writes to the same table and uses the logger."""
    table = db.create_table("t")

    def other() -> None:
        table.update({"a": 2})
        logger.remove(logger.add(lambda text: None, level="ERROR"))

    def sink(text: str) -> None:
        if threading.current_thread() is threading.main_thread():
            thread = threading.Thread(target=other)
            thread.start()
            thread.join(30)
            assert not thread.is_alive()

    logger.add(sink)
    table.insert({"a": 1})
    logger.remove()
    assert table.select(["a"]) == [{"a": 2}]


def test_what_a_filter_raises_does_not_undo_the_statement(
    users: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: caught.append(info.exc_type))

    def bad(record: dict[str, Any]) -> bool:
        raise LookupError("no")

    logger.add(Kept(), filter=bad)
    assert users.insert({"name": "Eve"}) == 5
    assert caught == [LookupError]


@pytest.fixture
def heeded_interrupts() -> Iterator[None]:
    """A process that a shell started in the background ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded_interrupts")
def test_ctrl_c_in_a_handler_comes_after_the_statement(users: Table) -> None:
    results: list[Any] = []

    def interrupted(record: dict[str, Any]) -> bool:
        logger.remove()
        raise KeyboardInterrupt

    logger.add(Kept(), filter=interrupted)
    with pytest.raises(KeyboardInterrupt):
        results.append(users.insert({"name": "Eve"}))
        for _ in range(1000):
            results.append(None)
    assert users.count() == 5


# --- The logger as the original has it ---


def test_bind_adds_context(kept: Kept) -> None:
    bound = logger.bind(table="users", op="INSERT")
    bound.bind(pk=7, op="UPDATE").info("done", extra={"context": {"more": 1}}, pk=8)
    logger.error("plain", level_of="x", table="t")
    first, second = kept.records
    assert first.context == {"table": "users", "op": "UPDATE", "more": 1, "pk": 8}
    assert (first.table, first.op, second.table, second.op) == ("users", "UPDATE", "t", None)
    logger.bind(msg=1, level=2, name=3, args=4, exc_info=5).debug("any name will do")
    assert kept.records[2].context == {"msg": 1, "level": 2, "name": 3, "args": 4, "exc_info": 5}


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_all_levels(level: str, kept: Kept) -> None:
    getattr(logger, level)("a", op="A")
    getattr(logger.bind(op="B"), level)("b")
    assert [(record.levelname, record.op) for record in kept.records] == [
        (level.upper(), "A"),
        (level.upper(), "B"),
    ]


def test_exceptions_are_shown(tmp_path: Path) -> None:
    out = io.StringIO()
    logger.add(out)
    logger.add(tmp_path / "x.log", serialize=True)
    try:
        raise ValueError("wrong")
    except ValueError:
        logger.bind(a=1).exception("failed")
    assert out.getvalue().rstrip().endswith("ValueError: wrong")
    assert "ValueError: wrong" in json.loads((tmp_path / "x.log").read_text())["exception"]


def test_add_goes_to_files_streams_callables_and_handlers(tmp_path: Path) -> None:
    out = io.StringIO()
    texts: list[str] = []
    handler = Kept()
    path = tmp_path / "new" / "x.log"
    for sink in (out, texts.append, handler, path):
        logger.add(sink)
    logger.add(sink=str(tmp_path / "errors.log"), level="ERROR")
    logger.bind(table="two words", op="X", n=1).info("hello \udc80")
    assert texts[0].endswith(
        "| INFO     | MainThread | hello \udc80 | table='two words' op=X n=1\n"
    )
    assert out.getvalue() == texts[0]
    assert path.read_text().endswith("hello \\udc80 | table='two words' op=X n=1\n")
    assert len(handler.records) == 1
    assert (tmp_path / "errors.log").read_text() == ""


def test_a_filter_gets_the_context(tmp_path: Path) -> None:
    texts: list[str] = []
    logger.add(
        sink=texts.append,
        level="INFO",
        filter=lambda record: record["extra"].get("op") in ("INSERT", "DELETE"),
    )
    for op in ("INSERT", "SELECT", "DELETE"):
        logger.bind(op=op).info("x")
    logger.info("x")
    assert len(texts) == 2


def test_lines_of_json(users: Table) -> None:
    lines: list[str] = []
    logger.add(lines.append, serialize=True)
    users.insert({"name": "Eve"})
    logger.bind(bad=float("nan"), when=Path("x"), text="a\nb\udc80").info("line\nbreak")
    assert all(line.count("\n") == 1 for line in lines)
    first, second = map(json.loads, lines)
    assert first["extra"] == {"table": "users", "op": "INSERT", "count": 1}
    assert (first["level"], first["logger"], first["thread"]) == ("DEBUG", "dictdb", "MainThread")
    assert second["message"] == "line\nbreak"
    assert second["extra"]["bad"] == "nan"


def test_remove_takes_one_or_all(tmp_path: Path) -> None:
    texts: list[str] = []
    own = logging.NullHandler()
    wanted = own.filters
    first = logger.add(texts.append)
    second = logger.add(own, filter=lambda record: True)
    logger.remove(first)
    logger.info("x")
    assert texts == []
    assert own in logger.handlers
    logger.remove()
    assert own not in logger.handlers
    assert wanted == []
    assert logger.level == logging.NOTSET
    for number in (first, second, 99, "x"):
        with pytest.raises(InvalidArgumentError, match="no sink"):
            logger.remove(number)  # type: ignore[arg-type]
    assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers)


def test_wrong_arguments_raise_and_change_nothing(tmp_path: Path) -> None:
    kept = Kept()
    logger.add(kept)
    for call in (
        lambda: logger.add(3),  # type: ignore[arg-type]
        lambda: logger.add(kept, level=None),  # type: ignore[arg-type]
        lambda: logger.add(kept, filter=3),  # type: ignore[arg-type]
        lambda: configure_logging(True),
    ):
        with pytest.raises(TypeError):
            call()
    for wrong in (
        lambda: logger.add(kept, level="LOUD"),
        lambda: configure_logging("LOUD"),
        lambda: configure_logging(sample_debug_every=0),
        lambda: configure_logging(sample_debug_every=True),
    ):
        with pytest.raises(InvalidArgumentError):
            wrong()
    with pytest.raises(OSError):
        configure_logging(console=False, logfile=tmp_path)
    logger.info("still there")
    assert len(kept.records) == 1


# --- configure_logging ---


def test_the_console_is_the_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logger.debug("hidden")
    db = DictDB()
    db.create_table("users", primary_key="name")
    out, err = capsys.readouterr()
    assert out.endswith("| created table 'users' | table=users op=CREATE_TABLE primary_key=name\n")
    assert out.count("\n") == 1
    assert err == ""
    configure_logging(console=False)
    logger.critical("nowhere")
    assert capsys.readouterr() == ("", "")


def test_configuring_again_replaces(tmp_path: Path) -> None:
    for name in ("a.log", "b.log"):
        configure_logging("WARNING", console=False, logfile=tmp_path / "logs" / name)
        logger.warning("to %s", name)
    assert "to b.log" not in (tmp_path / "logs" / "a.log").read_text()
    assert (tmp_path / "logs" / "b.log").read_text().count("\n") == 1
    configure_logging("DEBUG", console=False, logfile=str(tmp_path / "c.log"), json=True)
    line = json.loads((tmp_path / "c.log").read_text())
    assert line["extra"] == {"op": "CONFIGURE", "level": "DEBUG"}


def test_sampling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("DEBUG", sample_debug_every=3)  # Its own record is the first
    for i in range(5):
        logger.bind(i=i).debug("dbg")
        logger.bind(i=i).info("inf")
    out = capsys.readouterr().out
    assert (out.count("dbg"), out.count("inf")) == (2, 5)


def test_an_application_with_a_class_of_loggers() -> None:
    code = """
import io, logging, pickle, copy
class Own(logging.Logger):
    own = 1
    def makeRecord(self, *args, **kwargs):
        record = super().makeRecord(*args, **kwargs)
        record.own = True
        return record
logging.setLoggerClass(Own)
out = io.StringIO()
logging.basicConfig(level="DEBUG", stream=out, format="%(own)s %(table)s %(op)s %(message)s")
import dictdb
assert isinstance(dictdb.logger, Own) and dictdb.logger is logging.getLogger("dictdb")
assert pickle.loads(pickle.dumps(dictdb.logger)) is dictdb.logger
dictdb.DictDB().create_table("t").insert({"a": 1})
assert out.getvalue().splitlines() == [
    "True t CREATE_TABLE created table 't'", "True t INSERT inserted 1 into table 't'"]
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        env=python_environment(),
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_package_logs_nowhere_by_itself(tmp_path: Path) -> None:
    code = """
import dictdb
db = dictdb.DictDB()
db.create_table("t").insert([{"a": 1}])
dictdb.logger.error("not seen")
db.save("x.json")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        env=python_environment(),
        timeout=60,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
