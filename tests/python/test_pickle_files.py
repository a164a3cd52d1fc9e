# SPDX-License-Identifier: Apache-2.0
"""Files of pickles: ours and the original's are read, hostile ones refused at little cost."""

from __future__ import annotations

import collections
import contextlib
import copy
import datetime
import hashlib
import io
import math
import os
import pickle
import random
import struct
import sys
import tracemalloc
import types
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dictdb import (
    Column,
    CorruptFileError,
    DictDB,
    DictDBError,
    InvalidArgumentError,
    MissingFileError,
    StorageError,
    _unpickle,
    verify,
)
from helpers import SANITIZER, sized
from samples import KEYS, VALUES, exactly, name_of
from test_pickle import assert_same, filled


def read(data: bytes) -> Any:
    return _unpickle.Reader(io.BytesIO(data), len(data), "test").load()


# ---- Ours --------------------------------------------------------------------------------------


def test_a_database_comes_back_whole(tmp_path: Path) -> None:
    db = filled()
    for name, options in (("a.pickle", {}), ("a.PKL", {}), ("a", {"file_format": "Pickle"})):
        db.save(tmp_path / name, **options)
        assert_same(db, DictDB.load(tmp_path / name))
        with db.snapshot() as snapshot:
            snapshot.save(tmp_path / "b", "pickle")
        assert (tmp_path / "b").read_bytes() == (tmp_path / name).read_bytes()
    DictDB().save(tmp_path / "empty.pickle")
    assert DictDB.load(tmp_path / "empty.pickle").list_tables() == []

    class Mine(DictDB):
        pass

    assert type(Mine.load(tmp_path / "a")) is Mine


@pytest.mark.parametrize("value", VALUES, ids=name_of)
def test_every_value_comes_back(value: Any, tmp_path: Path) -> None:
    db = DictDB()
    table = db.create_table("t", schema={"v": Column(type(value), default=value)})
    table.insert([{"v": value}, {}])
    db.create_table("u").insert([{"v": [value, (value,), {"x": value}], "$type": 1}])
    db.save(tmp_path / "v.pickle")
    twin = DictDB.load(tmp_path / "v.pickle")
    for name in db:
        assert exactly(twin[name].all(), db[name].all())
    assert exactly(twin["t"].schema["v"].default, value)  # type: ignore[index]


def test_every_key_comes_back(tmp_path: Path) -> None:
    db = DictDB()
    db.create_table("t", "k").insert([{"k": key} for key in KEYS])
    db.save(tmp_path / "k.pickle")
    assert_same(db, DictDB.load(tmp_path / "k.pickle"))


def test_verify_checks_pickles(tmp_path: Path) -> None:
    path = tmp_path / "a.pickle"
    db = filled()
    db.save(path)
    report = verify(path)
    assert report
    assert report.files[0].kind == "pickle"
    assert report.files[0].records == sum(len(db[name]) for name in db)
    data = path.read_bytes()
    path.write_bytes(data[:50] + b"\0" + data[51:])
    assert not verify(path)
    assert verify(path).problems[0].offset is not None


def test_any_program_can_read_the_plain_data(tmp_path: Path) -> None:
    db = DictDB()
    db.create_table("t").insert([{"a": i, "b": "x" * (i % 7)} for i in range(3000)])
    db.save(tmp_path / "a.pickle")
    records: list[Any] = []
    others: list[Any] = []
    with (tmp_path / "a.pickle").open("rb") as file:
        while file.peek(1):
            value = pickle.load(file)
            if isinstance(value, list):
                assert 0 < len(value) <= 1000
                records += value
            else:
                others.append(value)
    assert records == db["t"].all()
    assert others[0] == {"format": "dictdb", "version": 1}
    assert others[1]["name"] == "t"
    assert others[2]["records"] == 3000


# ---- The original's ----------------------------------------------------------------------------


@pytest.fixture
def original(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The original's two classes, as its pickles name them."""

    class Table:
        def __init__(self, **state: Any) -> None:
            self.state = state

        def __getstate__(self) -> dict[str, Any]:
            return self.state

    class Database:
        def __init__(self, **tables: Table) -> None:
            self.tables = tables

    Database.__name__ = Database.__qualname__ = "DictDB"
    Table.__qualname__ = "Table"
    for class_, module in ((Database, "dictdb.storage.database"), (Table, "dictdb.core.table")):
        made = types.ModuleType(module)
        setattr(made, class_.__name__, class_)
        class_.__module__ = module
        monkeypatch.setitem(sys.modules, module, made)
        parent = module.rpartition(".")[0]
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
    return types.SimpleNamespace(DictDB=Database, Table=Table)


def original_table(original: Any, name: str, key: str, records: list[Any], **more: Any) -> Any:
    state = {"table_name": name, "primary_key": key, "schema": None, "_next_pk": 1}
    state |= {"records": {record[key]: record for record in records}}
    return original.Table(**(state | more))


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_the_originals_files_load(protocol: int, original: Any, tmp_path: Path) -> None:
    shared = ["same", {"list": 1}]
    users = [{"id": i, "name": f"n{i}", "tags": shared} for i in range(2500)]
    events = [{"key": "x", "data": {"a": [1, None, (2, {3})]}}, {"key": 2.5, "b": b"z"}]
    db = original.DictDB(
        users=original_table(original, "users", "id", users, _next_pk=4000,
                             schema={"id": int, "name": str, "tags": list}),
        events=original_table(original, "events", "key", events, dirty={1, 2}),
        empty=original_table(original, "empty", "id", []),
    )  # fmt: skip
    path = tmp_path / "original.pickle"
    path.write_bytes(pickle.dumps(db, protocol))
    path.with_suffix("").write_bytes(path.read_bytes())
    for twin in (DictDB.load(path), DictDB.load(str(path.with_suffix("")), "PICKLE")):
        assert twin.list_tables() == ["users", "events", "empty"]
        assert twin["users"].all() == users
        assert twin["events"].all() == events
        assert twin["users"].schema == {"id": int, "name": str, "tags": list}
        assert twin["users"].insert({"name": "new", "tags": []}) == 4000
        assert twin["events"].primary_key == "key"
        assert twin["empty"].insert({}) == 1


def test_lists_that_all_records_share(original: Any, tmp_path: Path) -> None:
    """Read, each gets its own: twenty texts are not much for a record's bytes."""
    shared = [f"tag {i}" for i in range(20)]
    records = [{"id": i, "tags": shared} for i in range(10_000)]
    path = tmp_path / "shared.pickle"
    path.write_bytes(
        pickle.dumps(original.DictDB(t=original_table(original, "t", "id", records)), 4)
    )
    assert DictDB.load(path)["t"].all() == records


def test_the_originals_damaged_files_are_refused(original: Any, tmp_path: Path) -> None:
    path = tmp_path / "original.pickle"
    table = original_table(original, "t", "id", [{"id": 1}])
    cases: list[tuple[Any, str]] = [
        (original.DictDB(t={"records": {}}), "'t': it is no table"),
        (original.DictDB(t=original.DictDB()), "'t': it is no table"),
        (original.DictDB(t=original.Table(a=1)), "'t'"),
        (original.DictDB(t=original.Table(**(table.state | {"records": [1]}))), "no records"),
        (original.DictDB(t=original.Table(**(table.state | {"records": {1: 2}}))), "dict"),
        (original.DictDB(t=original.Table(**(table.state | {"records": {1: {}}}))), "key"),
        (original.DictDB(t=original.Table(**(table.state | {"schema": {"id": 5}}))), "schema"),
        (original.DictDB(t=original.Table(**(table.state | {"schema": {"b": int}}))), "'b'"),
        (original.DictDB(t=original.Table(**(table.state | {"primary_key": 5}))), "primary_key"),
        (original.DictDB(t=original.Table(**(table.state | {"_next_pk": "x"}))), "no records"),
        (table, "no database"),
        ({"t": 1}, "neither"),
        ([1], "neither"),
    ]
    for thing, words in cases:
        path.write_bytes(pickle.dumps(thing))
        with pytest.raises(CorruptFileError, match=r"original\.pickle") as caught:
            DictDB.load(path)
        assert words in str(caught.value)
    path.write_bytes(pickle.dumps(original.DictDB()) + b"x")
    with pytest.raises(CorruptFileError, match="follows"):
        DictDB.load(path)


# ---- Hostile -----------------------------------------------------------------------------------


class Calls:
    """What loads as the name of a new folder, by making it."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize(
    "thing",
    [Calls(), collections.OrderedDict(a=1), object(), os.getcwd, bytearray(b"x"), 1j, range(5),
     InvalidArgumentError("x"), DictDB, pickle.PickleBuffer(b"x")],
    ids=lambda thing: type(thing).__name__,
)  # fmt: skip
def test_only_plain_data_is_made(
    thing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.pickle"
    for protocol in (2, 3, 4, 5):
        try:
            path.write_bytes(pickle.dumps({"format": "dictdb", "version": thing}, protocol))
        except (TypeError, pickle.PicklingError):
            continue
        with pytest.raises(CorruptFileError) as caught:
            DictDB.load(path)
        assert caught.value.offset >= 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.pickle"]


LIE = struct.pack("<Q", 2**62)
HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "no protocol": b".",
    "protocol 0": pickle.dumps({"a": 1}, 0),
    "protocol 9": b"\x80\x09N.",
    "huge bytes": b"\x80\x04\x8e" + LIE,
    "huge text": b"\x80\x04\x8d" + LIE,
    "huge bytearray": b"\x80\x05\x96" + LIE,
    "huge long": b"\x80\x04\x8b\xff\xff\xff\x7f",
    "huge frame": b"\x80\x04\x95" + LIE + b"(",
    "memo with gaps": b"\x80\x04Nr\xff\xff\xff\x7f.",
    "nothing known": b"\x80\x04j\xff\xff\xff\x7f.",
    "nothing on the stack": b"\x80\x040.",
    "no mark": b"\x80\x041.",
    "two values": b"\x80\x04NN.",
    "open mark": b"\x80\x04(N.",
    "append to a tuple": b"\x80\x04)Na.",
    "append to a text": b"\x80\x04X\x01\x00\x00\x00aNa.",
    "odd items": b"\x80\x04}(Nu.",
    "key is a list": b"\x80\x04}]Ns.",
    "text is no UTF-8": b"\x80\x04\x8c\x01\xff.",
    "contains itself": b"\x80\x04]\x94h\x00a.",
    "contains itself deeper": b"\x80\x04]\x94(]h\x00ae.",
    "calls a type": b"\x80\x04cbuiltins\nlist\n)R.",
    "calls a text": b"\x80\x04\x8c\x01a)R.",
    "names eval": b"\x80\x04cbuiltins\neval\n.",
    "names getattr": b"\x80\x04cbuiltins\ngetattr\n.",
    "names os.system": b"\x80\x04cos\nsystem\n.",
    "names ours": b"\x80\x04cdictdb._state\nrestore_database\n.",
    "a name without end": b"\x80\x04c" + b"a" * 1000,
    "a date of a text": b"\x80\x04cdatetime\ndate\n\x8c\x04abcd\x85R.",
    "a bad date": b"\x80\x04cdatetime\ndate\nC\x04\xff\xff\xff\xff\x85R.",
    "a bad Decimal": b"\x80\x04cdecimal\nDecimal\n\x8c\x01x\x85R.",
    "a Decimal of a tuple": b"\x80\x04cdecimal\nDecimal\n)\x85R.",
    "a zone elsewhere": b"\x80\x04czoneinfo\nZoneInfo._unpickle\n\x8c\x0b/etc/passwdK\x01\x86R.",
    "a zone that is a folder": b"\x80\x04czoneinfo\nZoneInfo._unpickle\n\x8c\x06EuropeK\x01\x86R.",
    "getattr of a date": b"\x80\x04cbuiltins\ngetattr\ncdatetime\ndate\n\x8c\x03now\x86R.",
    "a zone by getattr": b"\x80\x04cbuiltins\ngetattr\nczoneinfo\nZoneInfo\n\x8c\x07no_cache\x86R.",
    "a UUID without state": b"\x80\x04cuuid\nUUID\n)\x81.",
    "a UUID of 129 bits": b"\x80\x04cuuid\nUUID\n)\x81}\x8c\x03int\x8a\x12"
    + b"\xff" * 17
    + b"\x00sb.",
    "a state for a dict": b"\x80\x04}}b.",
    "a state twice": b"\x80\x04cdictdb\nTable\n)\x81}b}b.",
    "an int made": b"\x80\x04cbuiltins\nint\n)\x81.",
    "persistent": b"\x80\x04Pabc\n.",
    "extension": b"\x80\x04\x82\x01.",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_pickles_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "h.pickle"
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match=r"h\.pickle") as caught:
        DictDB.load(path)
    assert 0 <= caught.value.offset <= len(data)


HASHING: dict[str, tuple[bytes, bytes]] = {
    "an item": (b"}", b"Ns"),
    "items": (b"}(", b"Nu"),
    "members": (b"\x8f(", b"\x90"),
    "a frozenset": (b"(", b"\x91"),
    "a set of a list": (b"cbuiltins\nset\n](", b"e\x85R"),
}


@pytest.mark.parametrize(("before", "after"), HASHING.values(), ids=HASHING.keys())
def test_what_is_hashed_nests_so_deep_and_no_deeper(before: bytes, after: bytes) -> None:
    def nested(levels: int) -> bytes:
        return b"\x80\x04" + before + b")" + b"\x85" * (levels - 1) + after + b"."

    assert len(read(nested(_unpickle.KEY_DEPTH))) == 1
    with pytest.raises(CorruptFileError, match="nests too deep"):
        read(nested(_unpickle.KEY_DEPTH + 1))


def test_a_key_that_would_overflow_the_stack_is_refused() -> None:
    pays = b"B\x00\x00\x10\x00" + bytes(1 << 20) + b"0"  # A text, for what the tuples cost.
    with pytest.raises(CorruptFileError, match="nests too deep"):
        read(b"\x80\x04" + pays + b"})" + b"\x85" * 250_000 + b"Ns.")


MODULUS = sys.hash_info.modulus
COLLIDING: dict[str, Callable[[int], Any]] = {
    "ints": lambda n: n * MODULUS,
    "negative": lambda n: -n * MODULUS,
    "decimals": lambda n: Decimal(n * MODULUS),
    "uuids": lambda n: uuid.UUID(int=n * MODULUS),
    "tuples": lambda n: (n * MODULUS, "x"),
    "sets": lambda n: frozenset([n * MODULUS]),
}
MADE: dict[str, Callable[[list[Any]], bytes]] = {
    "dict": lambda keys: pickle.dumps(dict.fromkeys(keys), 4),
    "set": lambda keys: pickle.dumps(set(keys), 4),
    "frozenset": lambda keys: pickle.dumps(frozenset(keys), 4),
    "old set": lambda keys: pickle.dumps(set(keys), 3),
    "one by one": lambda keys: (
        b"\x80\x04}" + b"".join(pickle.dumps(key, 4)[2:-1] + b"Ns" for key in keys) + b"."
    ),
}


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("kind", COLLIDING)
def test_keys_that_collide_are_few(kind: str, made: str) -> None:
    """Each is compared with all of them, which takes hours if they are many."""
    limit = _unpickle.COLLISIONS
    keys = [COLLIDING[kind](n) for n in range(1, limit + 2)]
    assert len({hash(key) for key in keys}) == 1
    if made == "one by one" and kind not in ("ints", "negative"):
        return  # Not by this simple pickler
    assert len(read(MADE[made](keys[:-1]))) == limit
    with pytest.raises(CorruptFileError, match="its keys collide"):
        read(MADE[made](keys))


def test_copies_know_what_collides_in_them() -> None:
    def key(n: int) -> bytes:
        return b"\x8a\x0b" + (n * MODULUS).to_bytes(11, "little") + b"Ns"

    keys = [key(n) for n in range(1, _unpickle.COLLISIONS + 2)]
    first = b"\x80\x04]}" + b"".join(keys[:60]) + b"\x94ah\0"
    assert [len(each) for each in read(first + keys[60] + b"a.")] == [60, 61]
    with pytest.raises(CorruptFileError, match="its keys collide"):
        read(first + b"".join(keys[60:]) + b"a.")


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("date", b"\x07\xe3\x0c\xff"),
        ("date", b"\0\0\x01\x01"),
        ("datetime", b"\x07\xe3\x02\x1d\0\0\0\0\0\0"),
        ("datetime", b"\x07\xe3\x0c\x01\x18\0\0\0\0\0"),
        ("time", b"\x17\x3c\0\0\0\0"),
        ("time", b"\x17\x3b\x3b\x0f\x42\x40"),
    ],
)
def test_days_and_times_that_are_none(kind: str, state: bytes) -> None:
    """Python's own reader takes them: the 255th of a month."""
    data = b"\x80\x04cdatetime\n" + kind.encode() + b"\nC" + bytes([len(state)]) + state
    with pytest.raises(CorruptFileError, match="no pickle"):
        read(data + b"\x85R.")


@pytest.mark.parametrize("what", ["version", "tables", "records", "sha256"])
def test_a_signaling_nan_is_refused(tmp_path: Path, what: str) -> None:
    """Whose comparison raises an error of its own."""
    parts: list[dict[str, Any]] = [{"format": "dictdb", "version": 1}]
    parts.append({"tables": 0, "records": 0, "sha256": ""})
    parts[what != "version"][what] = Decimal("sNaN")
    path = tmp_path / "a.pickle"
    path.write_bytes(b"".join(pickle.dumps(part, 4) for part in parts))
    with pytest.raises(CorruptFileError):
        DictDB.load(path)


ODD: list[Any] = [
    *(None, True, 0, -1, 1, 2**63 - 1, 2**63, -(2**63), 10**400, -0.0, math.nan, math.inf),
    *("", "id", "int", "a", "\ud800", "x" * 500, b"", b"id", "sorted", [["a", "b"]], [[[["a"]]]]),
    *([], [1], ["id"], {}, {"id": 1}, {"name": "x"}, (), (1,), set(), frozenset([1])),
    *(Decimal("sNaN"), Decimal("NaN"), Decimal("1E+999999"), uuid.UUID(int=0)),
    *(datetime.date.min, datetime.time(1), datetime.timedelta.max, int, dict, getattr),
    datetime.datetime.max.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=-23))),
]


def meddled(value: Any, rng: random.Random) -> Any:
    """The value, with something in it missing, twice there, or replaced."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        changed = value | {key: meddled(value[key], rng)}
        if rng.random() < 0.2:
            other = changed.pop(key)
            with contextlib.suppress(TypeError):
                changed[rng.choice(ODD)] = other
        return changed
    if isinstance(value, list) and value and rng.random() < 0.9:
        at, changes = rng.randrange(len(value)), rng.choice([0, 2, 1, 1, 1, 1, 1, 1])
        items = [meddled(value[at], rng)] if changes == 1 else [copy.deepcopy(value[at])] * changes
        return value[:at] + items + value[at + 1 :]
    return rng.choice(ODD)


def test_any_state_is_read_or_refused(tmp_path: Path, rng: random.Random) -> None:
    """With a checksum that holds: what is said of tables, and their records, is looked at."""
    db = filled()
    path = tmp_path / "a.pickle"
    db.save(path)
    parts = []
    with path.open("rb") as file:
        while file.peek(1):
            parts.append(pickle.load(file))
    whole, refused = parts[:-1], 0
    for _ in range(sized(300)):
        found = whole
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            found = meddled(found, rng) if isinstance(found, list) else whole
        if not isinstance(found, list):
            continue
        data = b"".join(pickle.dumps(part, 4) for part in found)
        end = {"tables": len([part for part in found[1:] if isinstance(part, dict)])}
        end["records"] = sum(len(part) for part in found if isinstance(part, list))
        path.write_bytes(
            data + pickle.dumps({**end, "sha256": hashlib.sha256(data).hexdigest()}, 4)
        )
        try:
            for table in DictDB.load(path).tables.values():
                table.all()
        except CorruptFileError:
            refused += 1
    assert 0 < refused


def test_what_cannot_be_shown_is_refused_too(original: Any, tmp_path: Path) -> None:
    deep: Any = ()
    for _ in range(90):
        deep = (deep,)
    head = pickle.dumps({"format": "dictdb", "version": 1})
    properties = {"name": "t", "primary_key": "id", "schema": None, "next_key": 1, "indexes": []}
    table = original_table(original, "t", "id", [{"id": 1}])
    huge = 1 << 20_000
    unnamed = original.DictDB()
    unnamed.tables = {huge: table}
    path = tmp_path / "odd.pickle"
    for data, words in (
        (pickle.dumps({"format": "dictdb", "version": huge}), "version of the type 'int'"),
        (pickle.dumps({"format": "dictdb", "version": "x" * 999}), "version 'xxx"),
        (pickle.dumps(unnamed), "table of the type 'int'"),
        (head + pickle.dumps(properties) + pickle.dumps([{"id": 1, huge: 1}]), "byte"),
        (head + pickle.dumps(properties) + pickle.dumps([{"id": 1, deep: 1}]), "field names"),
    ):
        path.write_bytes(data)
        with pytest.raises(CorruptFileError, match=r"odd\.pickle") as caught:
            DictDB.load(path)
        assert words in str(caught.value)
        assert len(str(caught.value)) < 1000


def laughs(levels: int, width: int) -> bytes:
    """A list of `width` times a list of `width` times ... in a few bytes."""
    out = b"\x80\x04]\x94"
    for level in range(levels):
        out += b"0]\x94(" + bytes([ord("h"), level]) * width + b"e"
    return out + b"."


BOMBS: dict[str, bytes] = {
    "laughs": laughs(30, 10),
    "late laughs": b"\x80\x04"
    + b"]\x940" * 30
    + b"".join(
        bytes([ord("h"), i]) + b"(" + bytes([ord("h"), i + 1]) * 10 + b"e0" for i in range(29)
    )
    + b"h\x00.",
    "sets": b"\x80\x04](" + b"\x8f" * 200_000 + b"e.",
    "dicts": b"\x80\x04](" + b"}" * 200_000 + b"e.",
    "lists": b"\x80\x04](" + b"]" * 200_000 + b"e.",
    "frozensets": b"\x80\x04](" + b"(K\x01\x91" * 50_000 + b"e.",
    "nothing": b"\x80\x04](" + b"N" * 200_000 + b"e.",
    "marks": b"\x80\x04" + b"(" * 200_000,
    "memo": b"\x80\x04N" + b"\x94" * 200_000 + b".",
    "nesting": b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "tuples": b"\x80\x04)" + b"\x85" * 200_000 + b".",
    "texts": b"\x80\x04](X\x10'\x00\x00" + b"x" * 10_000 + b"\x94" + b"h\x00" * 100_000 + b"e.",
    "ints": b"\x80\x04](\x8b\x10'\x00\x00" + b"x" * 10_000 + b"\x94" + b"h\x00" * 100_000 + b"e.",
    "lists again": b"\x80\x04]\x94(" + b"N" * 10_000 + b"e0](" + b"h\x00" * 100_000 + b"e.",
    "searches": b"\x80\x04]\x94](" + b"N" * 50_000 + b"h\x00" * 50_000 + b"e.",
}


@pytest.mark.skipif(bool(SANITIZER), reason="sanitizers need more memory for themselves")
@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
def test_a_pickle_pays_for_what_it_makes(data: bytes) -> None:
    tracemalloc.start()
    try:
        value = read(data)
    except CorruptFileError:
        value = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak <= 64 * len(data) + 3 * 2**20
    while isinstance(value, (list, tuple)) and len(value) == 1:  # Apart, level by level.
        value = value[0]


def spoiled(whole: bytes, rng: random.Random) -> Iterator[bytes]:
    for i in rng.sample(range(len(whole)), min(len(whole), sized(150, sanitized=30))):
        yield whole[:i]
        yield whole[:i] + bytes([whole[i] ^ (1 << rng.randrange(8))]) + whole[i + 1 :]
        yield whole[:i] + bytes([rng.randrange(256)]) + whole[i + 1 :]


def test_damage_is_found_or_harmless(tmp_path: Path, rng: random.Random) -> None:
    """Harmless: what the end's own pickle says about itself. All else has a checksum."""
    db = filled()
    path = tmp_path / "d.pickle"
    db.save(path)
    whole = path.read_bytes()
    for data in spoiled(whole, rng):
        path.write_bytes(data)
        try:
            twin = DictDB.load(path)
        except CorruptFileError:
            continue
        assert_same(db, twin)
        assert data[:-200] == whole[:-200]


def test_damage_of_the_originals_is_found_or_harmless(
    original: Any, tmp_path: Path, rng: random.Random
) -> None:
    values = [value for value in VALUES if len(pickle.dumps(value)) < 100]
    records = [{"id": i, "v": value} for i, value in enumerate(rng.sample(values, 20))]
    db = original.DictDB(t=original_table(original, "t", "id", records, schema=None))
    path = tmp_path / "d.pickle"
    for data in spoiled(pickle.dumps(db), rng):
        path.write_bytes(data)
        try:
            twin = DictDB.load(path)
        except CorruptFileError:
            continue
        for name in twin:
            twin[name].all()


def test_random_opcodes_do_no_harm(rng: random.Random) -> None:
    opcodes = [bytes([i]) for i, step in enumerate(_unpickle._STEPS) if step is not None]
    pieces = [
        b"\x8c\x01a",
        b"K\x01",
        b"cuuid\nUUID\n",
        b"cdatetime\ndate\n",
        b"cdictdb\nTable\n",
        b"}\x94",
    ]
    for _ in range(sized(3000)):
        body = b"".join(
            rng.choice(rng.choice((opcodes, pieces))) for _ in range(rng.randint(1, 40))
        )
        try:
            read(b"\x80\x04" + body + b".")
        except CorruptFileError as error:
            assert 0 <= error.offset <= len(body) + 3


# ---- Atomic, flat ------------------------------------------------------------------------------


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    db = DictDB()
    db.create_table("t").insert([{"a": i} for i in range(5000)])
    path = tmp_path / "a.pickle"
    calls: list[tuple[int, int]] = []
    db.save(path, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (5000, 5000)
    assert calls == sorted(calls)
    before = path.read_bytes()

    def stop(done: int, total: int) -> None:
        raise StopError

    db["t"].insert({"a": "more"})
    with pytest.raises(StopError):
        db.save(path, progress=stop)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pickle"]
    with pytest.raises(StopError):
        DictDB.load(path, progress=stop)
    seen: list[tuple[int, int]] = []
    DictDB.load(path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(before), len(before))
    with pytest.raises(InvalidArgumentError, match="compress"):
        db.save(path, compression=3)
    with pytest.raises(StorageError):
        db.save(tmp_path / "no" / "a.pickle")
    with pytest.raises(MissingFileError):
        DictDB.load(tmp_path / "missing.pickle")
    with pytest.raises(StorageError):
        DictDB.load(tmp_path, "pickle")


@pytest.mark.skipif(bool(SANITIZER), reason="sanitizers keep freed memory")
def test_memory_stays_flat(tmp_path: Path) -> None:
    """While a file of 12 MB is written and read, Python itself holds but a few lists of records."""
    db = DictDB()
    db.create_table("t").insert([{"a": i, "text": "x" * 1000} for i in range(12_000)])
    path = tmp_path / "a.pickle"
    tracemalloc.start()
    try:
        db.save(path)
        saving = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        twin = DictDB.load(path)
        loading = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 12_000_000
    assert saving < 4 * 2**20
    assert loading < 4 * 2**20
    assert twin["t"].count() == 12_000


def test_a_table_in_the_way_is_an_error_not_a_crash(tmp_path: Path) -> None:
    db = filled()
    db.save(tmp_path / "a.pickle")
    whole = (tmp_path / "a.pickle").read_bytes()
    half = len(whole) // 2
    for data in (whole + whole, whole[half:], b"\x80\x04" + whole):
        (tmp_path / "b.pickle").write_bytes(data)
        with pytest.raises(DictDBError):
            DictDB.load(tmp_path / "b.pickle", "pickle")
