# SPDX-License-Identifier: Apache-2.0
"""A reader of native files, written from docs/file-format.md alone. It leaves checksums out."""

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


def operations(data: bytes) -> Iterator[tuple[int, int, int, list[Any]]]:
    """Each operation of a file as kind, table, shape, values."""
    assert data[:8] == b"\x89DictDB\n"
    assert struct.unpack_from("<I", data, 8) == (1,)
    at, number, stream = 64, 0, b""
    while at < len(data):
        stored, raw, codec, place = struct.unpack_from("<IIII", data, at)
        assert codec == 0 and stored == raw and place == number
        stream += data[at + 24 : at + 24 + stored]
        at += 24 + stored
        number += 1
    at = 0
    while at < len(stream):
        kind, size, table, shape = struct.unpack_from("<IIII", stream, at)
        yield kind, table, shape, values(stream[at + 16 : at + 16 + size])
        at += 16 + size


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The tables of a file: primary key, schema, records, next key, indexes."""
    tables: dict[int, dict[str, Any]] = {}
    shapes: list[list[str]] = []
    ended = None
    for kind, number, shape, found in operations(path.read_bytes()):
        assert ended is None
        table = tables.get(number, {})
        if kind == 1:
            ended = found
        elif kind == 2:
            tables[number] = {
                "name": found[0],
                "primary_key": found[1],
                "schema": found[2],
                "records": [],
                "indexes": [],
            }
        elif kind == 4:
            assert shape == len(shapes)
            shapes.append(found)
        elif kind == 5:
            table["records"].append(dict(zip(shapes[shape], found, strict=True)))
        elif kind == 7:
            table["next_key"] = found[0]
        else:
            assert kind == 8
            table["indexes"].append(found)
    assert ended == [len(tables), sum(len(table["records"]) for table in tables.values())]
    return {table["name"]: table for table in tables.values()}
