# SPDX-License-Identifier: Apache-2.0
"""A reader of native files, deltas and databases' directories, written from docs/file-format.md
alone. It leaves checksums out, and so torn logs."""

from __future__ import annotations

import datetime
import struct
import uuid
import zoneinfo
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

EPOCH = datetime.datetime(1, 1, 1)


def temporal(kind: int, data: bytes) -> Any:
    micros, offset, fold, zone, size = struct.unpack_from("<qqBBH", data)
    name = data[24 : 24 + size].decode("utf-8", "surrogatepass")
    tz: datetime.tzinfo | None = None
    if zone == 1:
        delta = datetime.timedelta(microseconds=offset)
        tz = datetime.timezone(delta, name) if name else datetime.timezone(delta)
    elif zone == 2:
        tz = zoneinfo.ZoneInfo(name)
    moment = (EPOCH + datetime.timedelta(microseconds=micros)).replace(fold=fold, tzinfo=tz)
    return moment if kind == 10 else moment.timetz()


def scalar(kind: int, data: bytes) -> Any:
    if kind == 4:
        magnitude = int.from_bytes(data[1:], "little")
        return -magnitude if data[0] else magnitude
    if kind == 6:
        return Decimal(data.decode())
    if kind == 7:
        return data.decode("utf-8", "surrogatepass")
    if kind == 8:
        return data
    if kind in (10, 11):
        return temporal(kind, data)
    if kind == 12:
        days, micros = struct.unpack("<qq", data)
        return datetime.timedelta(days=days, microseconds=micros)
    return uuid.UUID(bytes=data)


def container(kind: int, items: list[Any]) -> Any:
    if kind == 14:
        return dict(zip(items[::2], items[1::2], strict=True))
    return {13: list, 15: tuple, 16: set, 17: frozenset}[kind](items)


def values(block: bytes) -> list[Any]:
    """The values of one block."""
    count, size = struct.unpack_from("<II", block)
    assert size == len(block)
    kinds = block[8 : 8 + count]
    at = 8 + (count + 7) // 8 * 8
    found: list[Any] = []
    for kind in kinds:
        payload = block[at : at + 8]
        at += 8
        if kind == 1:
            found.append(None)
        elif kind == 2:
            found.append(payload[0] == 1)
        elif kind in (3, 9):
            (number,) = struct.unpack("<q", payload)
            found.append(number if kind == 3 else datetime.date.fromordinal(number))
        elif kind == 5:
            found.append(*struct.unpack("<d", payload))
        else:
            offset, length = struct.unpack("<II", payload)
            data = block[offset : offset + length]
            inner = 13 <= kind <= 17
            found.append(container(kind, values(data)) if inner else scalar(kind, data))
    return found


Operation = tuple[int, int, int, list[Any]]
Tables = dict[str, dict[str, Any]]


def split(stream: bytes) -> Iterator[Operation]:
    """Each operation as kind, table, shape, values."""
    at = 0
    while at < len(stream):
        kind, size, table, shape = struct.unpack_from("<IIII", stream, at)
        yield kind, table, shape, values(stream[at + 16 : at + 16 + size])
        at += 16 + size


def operations(data: bytes, magic: bytes = b"\x89DictDB\n") -> Iterator[Operation]:
    """The operations of a native file."""
    assert data[:8] == magic
    assert struct.unpack_from("<I", data, 8) == (1,)
    at, number, stream = 64, 0, b""
    while at < len(data):
        stored, raw, codec, place = struct.unpack_from("<IIII", data, at)
        assert codec == 0 and stored == raw and place == number
        stream += data[at + 24 : at + 24 + stored]
        at += 24 + stored
        number += 1
    yield from split(stream)


class Reader:
    """Tables by number, as operations make them."""

    def __init__(self) -> None:
        self.tables: dict[int, dict[str, Any]] = {}
        self.shapes: list[list[str]] = []
        self.ended: list[int] | None = None

    def apply(self, operation: Operation) -> None:
        assert self.ended is None
        kind, number, shape, found = operation
        table = self.tables.get(number, {})
        if kind == 1:
            self.ended = found
        elif kind == 2:
            assert number > max(self.tables, default=0)
            names = ("name", "primary_key", "schema")
            self.tables[number] = dict(zip(names, found, strict=True))
            self.tables[number] |= {"records": {}, "indexes": [], "next_key": 1}
        elif kind == 3:
            del self.tables[number]
        elif kind == 4:
            self.shapes[shape:] = [found]
        elif kind == 5:
            self.put(table, dict(zip(self.shapes[shape], found, strict=True)))
        elif kind == 6:
            del table["records"][found[0]]
        elif kind == 7:
            table["next_key"] = found[0]
        elif kind == 8:
            table["indexes"].append(found)
        elif kind == 9:
            table["indexes"].remove(found)
        else:
            assert kind == 10
            assert found == [[number, table["name"]] for number, table in self.tables.items()]

    def put(self, table: dict[str, Any], record: dict[str, Any]) -> None:
        key = record[table["primary_key"]]
        if key not in table["records"] and isinstance(key, int | float | Decimal):
            whole = key == key // 1
            if whole and table["next_key"] is not None and key >= table["next_key"]:
                table["next_key"] = int(key) + 1 if key < 2**63 - 1 else None
        table["records"][key] = record

    def result(self) -> Tables:
        """Tables by name; records as a list, in order."""
        return {
            table["name"]: table | {"records": list(table["records"].values())}
            for table in self.tables.values()
        }


def read_snapshot(path: Path) -> Reader:
    reader = Reader()
    for operation in operations(path.read_bytes()):
        reader.apply(operation)
    records = sum(len(table["records"]) for table in reader.tables.values())
    assert reader.ended == [len(reader.tables), records]
    reader.ended = None
    return reader


def read(path: Path) -> Tables:
    """The tables of a file: primary key, schema, records, next key, indexes."""
    return read_snapshot(path).result()


def read_chain(paths: list[Path]) -> Tables:
    """The tables of a base, which is a native file, and its deltas."""
    reader = read_snapshot(paths[0])
    commit = struct.unpack_from("<Q", paths[0].read_bytes(), 16)[0]
    bases = set()
    for place, path in enumerate(paths[1:], 1):
        data = path.read_bytes()
        this, number, base, _, before = struct.unpack_from("<QQQQQ", data, 16)
        assert (number, before) == (place, commit) and this >= commit
        bases.add(base)
        commit, reader.shapes, puts = this, [], 0
        for index, operation in enumerate(operations(data, b"\x89DictDd\n")):
            assert (operation[0] == 10) == (index == 0)
            puts += operation[0] == 5
            reader.apply(operation)
        assert reader.ended == [len(reader.tables), puts]
        reader.ended = None
    assert len(bases) <= 1
    return reader.result()


def read_segment(reader: Reader, data: bytes, number: int, before: int, commit: int) -> int:
    """Applies the commits of one segment; returns the number of the last one."""
    assert data[:8] == b"\x89DictDL\n"
    assert struct.unpack_from("<I", data, 8) == (1,)
    assert struct.unpack_from("<Q", data, 24) == (number,)
    at = 64
    while at < len(data):
        magic, size, this, _, _, ended = struct.unpack_from("<8sQQQQQ", data, at)
        assert magic == b"DictCmt\n"
        assert this > commit
        assert before in (0, ended)
        reader.shapes = []
        for operation in split(data[at + 64 : at + 64 + size]):
            reader.apply(operation)
        at += 64 + size
        commit = this
    return commit


def read_directory(path: Path) -> Tables:
    """The tables of a database's directory."""
    reader, first, before, commit = Reader(), 1, 0, 0
    checkpoints = sorted(path.glob("checkpoint-*.dictdb"))
    if checkpoints:
        first = int(checkpoints[-1].stem.removeprefix("checkpoint-"), 16)
        reader = read_snapshot(checkpoints[-1])
        head = checkpoints[-1].read_bytes()[:64]
        commit, segment = struct.unpack_from("<QQ", head, 16)
        assert segment == first
    segments = [name for name in sorted(path.glob("log-*.ddl")) if int(name.stem[4:], 16) >= first]
    assert [int(name.stem[4:], 16) for name in segments] == [
        first + n for n in range(len(segments))
    ]
    for number, name in enumerate(segments, first):
        data = name.read_bytes()
        commit = read_segment(reader, data, number, before, commit)
        before = len(data)
    return reader.result()
