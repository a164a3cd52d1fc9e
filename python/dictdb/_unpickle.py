# SPDX-License-Identifier: Apache-2.0
"""Pickles of plain data, read without running anything that they name.

A machine of our own for the opcodes that `pickle` writes in binary (protocols 3 to 5). What a
pickle may name is listed here: the types of values that a table holds, and the classes of the
original's databases and tables, which become bare `Instance` objects. Everything else is refused,
with the offset of the opcode.

Invariants
  1. Nothing is called but the makers below, and those only with arguments of their types.
  2. What is built is charged, and the charges stay below ALLOWED times the bytes read so far plus
     SLACK. Lengths are compared with what is left of the file before anything is allocated.
  3. What is built is a tree: a container that a pickle refers to again is copied, and charged
     again; one that is still being built (it would contain itself) is refused.
  4. Tuples that are hashed nest KEY_DEPTH deep at most: the interpreter hashes them by recursion,
     without asking whether the stack has room.
  5. At most COLLISIONS keys of a dict or a set have one hash: each is compared with all of them.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import hashlib
import struct
import sys
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, BinaryIO, Final

from dictdb import _core

ALLOWED: Final = 64
SLACK: Final = 1 << 20
KEY_DEPTH: Final = 100
COLLISIONS: Final = 100
_CHUNK: Final = 1 << 18
_SHORT: Final = 128  # Bytes of what may be shared for nothing: names of fields are.
_NODE: Final = 64


class _Refused(Exception):
    """What is wrong with a pickle, without the place."""


class Named:
    """A type that a pickle names: `kind` is its name, "int" say."""

    __slots__ = ("kind", "make")

    def __init__(self, kind: str, make: Callable[..., Any] | None = None) -> None:
        self.kind = kind
        self.make = make


class Instance:
    """An object of the original: the name of its class and its state, a dict."""

    __slots__ = ("kind", "state")

    def __init__(self, kind: str, state: dict[Any, Any] | None = None) -> None:
        self.kind = kind
        self.state = state


# ---- Makers ------------------------------------------------------------------------------------


# The makers of the standard library take any day for one of the month: replace() looks at it.


def _date(state: bytes) -> datetime.date:
    return datetime.date(_exactly(state, bytes)).replace()  # type: ignore[call-arg]


def _datetime(state: bytes, *zone: datetime.tzinfo) -> datetime.datetime:
    return datetime.datetime(_exactly(state, bytes), *zone).replace()  # type: ignore[arg-type]


def _time(state: bytes, *zone: datetime.tzinfo) -> datetime.time:
    return datetime.time(_exactly(state, bytes), *zone).replace()  # type: ignore[arg-type]


def _timedelta(days: int, seconds: int, micros: int) -> datetime.timedelta:
    return datetime.timedelta(_exactly(days, int), _exactly(seconds, int), _exactly(micros, int))


def _timezone(offset: datetime.timedelta, *name: str) -> datetime.timezone:
    return datetime.timezone(offset, *(_exactly(text, str) for text in name))


def _decimal(text: str) -> decimal.Decimal:
    return decimal.Decimal(_exactly(text, str))


def _zone(key: str, _from_cache: int) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(_exactly(key, str))
    except (KeyError, ValueError, OSError) as error:
        raise _Refused(f"the time zone {key!r} is not known here") from error


def _exactly(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise _Refused(f"a {kind.__name__} is expected, not a {type(value).__name__}")
    return value


# Types whose hashes a file can choose. Those of smaller ints differ; those of texts are salted.
_CHOSEN = frozenset((int, decimal.Decimal, tuple, frozenset, uuid.UUID))
_SMALL: Final = sys.hash_info.modulus
_Hashes = collections.Counter[int]


def _hashes(items: list[Any]) -> list[int]:
    """The hashes of those items that may have been made to collide. Invariant 4."""
    kinds = set(map(type, items))
    if tuple in kinds:
        level = [item for item in items if type(item) is tuple]
        for _ in range(KEY_DEPTH):
            level = [part for item in level for part in item if type(part) is tuple]
            if not level:
                break
        else:
            raise _Refused("a key nests too deep")
    if kinds.isdisjoint(_CHOSEN):
        return []
    chosen = [item for item in items if type(item) in _CHOSEN]
    return [hash(item) for item in chosen if type(item) is not int or not abs(item) < _SMALL]


def _spread(hashes: list[int], there: _Hashes) -> None:
    """Count hashes among those that are there. Invariant 5."""
    for value in hashes:
        there[value] += 1
        if there[value] > COLLISIONS:
            raise _Refused("its keys collide")


def _set(items: list[Any]) -> set[Any]:
    _spread(_hashes(_exactly(items, list)), _Hashes())
    return set(items)


def _frozenset(items: list[Any]) -> frozenset[Any]:
    return frozenset(_set(items))


def _attribute(of: Any, name: Any) -> Named:
    if of is not _ZONE_CLASS or name != "_unpickle":
        raise _Refused("it asks for an attribute")
    return _ZONE


_ZONE_CLASS = Named("ZoneInfo")
_ZONE = Named("ZoneInfo", _zone)
_UUID = Named("UUID")
_NAMED: dict[tuple[str, str], Named] = {
    **{("builtins", kind): Named(kind) for kind in ("int", "str", "float", "bool", "list", "dict")},
    **{("builtins", kind): Named(kind) for kind in ("bytes", "tuple")},
    ("builtins", "set"): Named("set", _set),
    ("builtins", "frozenset"): Named("frozenset", _frozenset),
    ("datetime", "date"): Named("date", _date),
    ("datetime", "datetime"): Named("datetime", _datetime),
    ("datetime", "time"): Named("time", _time),
    ("datetime", "timedelta"): Named("timedelta", _timedelta),
    ("datetime", "timezone"): Named("timezone", _timezone),
    ("decimal", "Decimal"): Named("Decimal", _decimal),
    ("uuid", "UUID"): _UUID,
    ("zoneinfo", "ZoneInfo"): _ZONE_CLASS,
    ("zoneinfo", "ZoneInfo._unpickle"): _ZONE,
    ("builtins", "getattr"): Named("getattr", _attribute),
}
_ORIGINAL = {"DictDB": Named("DictDB"), "Table": Named("Table")}


def _find(module: str, name: str) -> Named:
    found = _NAMED.get((module, name))
    if found is None and (module == "dictdb" or module.startswith("dictdb.")):
        found = _ORIGINAL.get(name)
    if found is None:
        raise _Refused(f"it names {module[:80]}.{name[:80]}, which is no plain data")
    return found


# ---- Bytes -------------------------------------------------------------------------------------


class _Bytes:
    """What is left of a file, a chunk at a time. Invariant 2 for lengths."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size  # Bytes of the file that are not in the buffer yet.
        self._buffer = b""
        self._at = 0
        self._sum = hashlib.sha256()
        self._summed = 0  # Bytes of the buffer that are in the sum.
        self.offset = 0

    def take(self, size: int) -> bytes:
        """Return the next bytes; fewer there must not be."""
        at = self._at
        end = at + size
        if end > len(self._buffer):
            self._fill(size)
            at, end = 0, size
        self._at = end
        self.offset += size
        return self._buffer[at:end]

    def ended(self) -> bool:
        """Say whether nothing is left."""
        return self._at == len(self._buffer) and self._left == 0

    def checksum(self) -> str:
        """Return the SHA-256 of all bytes that were taken so far."""
        self._sum.update(memoryview(self._buffer)[self._summed : self._at])
        self._summed = self._at
        return self._sum.hexdigest()

    def _fill(self, size: int) -> None:
        rest = self._buffer[self._at :]
        wanted = size - len(rest)
        if wanted > self._left:
            raise _Refused("the file ends too early")
        parts = [rest]
        room = max(wanted, min(_CHUNK, self._left))
        while room > 0:
            part = self._file.read(min(room, 1 << 24))
            if not part:
                raise _Refused("the file ends too early")
            parts.append(part)
            room -= len(part)
            self._left -= len(part)
        self._sum.update(memoryview(self._buffer)[self._summed : self._at])
        self._buffer = b"".join(parts)
        self._at = self._summed = 0


# ---- The machine -------------------------------------------------------------------------------


class Reader:
    """The pickles of a file, one after another."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._bytes = _Bytes(file, size)
        self._name = name
        self._begin = 0
        self._spent = 0
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # The stacks under open marks.
        self._memo: list[Any] = []
        self._unbuilt: list[Any] = []
        self._colliding: dict[int, _Hashes] = {}  # By id, of what holds keys of _CHOSEN types.
        self._take = self._bytes.take

    @property
    def offset(self) -> int:
        """Where the next byte stands."""
        return self._bytes.offset

    def ended(self) -> bool:
        """Say whether the file ends here."""
        return self._bytes.ended()

    def checksum(self) -> str:
        """Return the SHA-256 of all bytes that were read so far."""
        return self._bytes.checksum()

    def corrupt(self, problem: str, offset: int | None = None) -> _core.CorruptFileError:
        """Return the error for a file that holds something else."""
        at = self.offset if offset is None else offset
        error = _core.CorruptFileError(f"'{self._name}': {problem} (byte {at})")
        error.offset = at
        return error

    def load(self) -> Any:
        """Return the value of the next pickle. CorruptFileError: it is not one of plain data."""
        self._begin = at = self.offset
        self._spent = 0
        self._stack, self._below, self._memo, self._unbuilt = [], [], [], []
        self._colliding = {}
        try:
            while True:
                at = self.offset
                opcode = self._take(1)[0]
                if opcode == _STOP:
                    return self._end()
                step = _STEPS[opcode]
                if step is None:
                    raise _Refused(f"the opcode {bytes([opcode])!r} is none of plain data")
                step(self)
        except _Refused as error:
            raise self.corrupt(str(error), at) from None
        except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise self.corrupt(f"no pickle: {error}", at) from None
        except (ArithmeticError, RecursionError, struct.error) as error:
            raise self.corrupt(f"no pickle: {error}", at) from None

    def _end(self) -> Any:
        value = self._stack.pop()
        if self._stack or self._below:
            raise _Refused("the pickle ends before all of it is used")
        if self._unbuilt:
            raise _Refused("an object has no state")
        self._memo.clear()
        return value

    def _charge(self, cost: int) -> None:
        self._spent += cost
        if self._spent > ALLOWED * (self.offset - self._begin) + SLACK:
            raise _Refused("it makes far more than its size allows")

    def _marked(self) -> list[Any]:
        items = self._stack
        self._stack = self._below.pop()
        return items

    # -- Numbers and texts

    def _long(self, size: int) -> None:
        self._stack.append(int.from_bytes(self._take(size), "little", signed=True))

    def _text(self, size: int) -> None:
        self._stack.append(self._take(size).decode("utf-8", "surrogatepass"))

    def _size(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    # -- Containers

    def _new(self, value: Any, cost: int) -> None:
        self._charge(cost)
        self._stack.append(value)

    def _tuple(self, items: list[Any]) -> None:
        self._new(tuple(items), _NODE + 8 * len(items))

    def _last(self, count: int) -> list[Any]:
        items = self._stack[-count:]
        if len(items) != count:
            raise _Refused("something is missing")
        del self._stack[-count:]
        return items

    def _append(self) -> None:
        item = self._stack.pop()
        _exactly(self._stack[-1], list).append(item)

    def _appends(self) -> None:
        items = self._marked()
        _exactly(self._stack[-1], list).extend(items)

    def _add_keys(self, to: Any, keys: list[Any]) -> None:
        """Call it before keys are added to a dict or a set."""
        if hashes := _hashes(keys):
            self._charge(_NODE * len(hashes))
            _spread(hashes, self._colliding.setdefault(id(to), _Hashes()))

    def _set_item(self) -> None:
        key, value = self._last(2)
        self._charge(2 * _NODE)
        to = _exactly(self._stack[-1], dict)
        self._add_keys(to, [key])
        to[key] = value

    def _set_items(self) -> None:
        items = self._marked()
        if len(items) % 2:
            raise _Refused("a key has no value")
        self._charge(_NODE * len(items))
        to = _exactly(self._stack[-1], dict)
        self._add_keys(to, items[::2])
        to.update(zip(items[::2], items[1::2], strict=True))

    def _add_items(self) -> None:
        items = self._marked()
        self._charge(2 * _NODE * len(items))
        to = _exactly(self._stack[-1], set)
        self._add_keys(to, items)
        to.update(items)

    def _frozenset(self) -> None:
        items = self._marked()
        self._charge(4 * _NODE + 2 * _NODE * len(items))
        self._stack.append(_frozenset(items))

    # -- Things met again: invariant 3

    def _put(self, index: int) -> None:
        if index != len(self._memo):
            if index > len(self._memo):
                raise _Refused("the memo has gaps")
            self._memo[index] = self._stack[-1]
            return
        self._charge(16)
        self._memo.append(self._stack[-1])

    def _get(self, index: int) -> None:
        if index >= len(self._memo):
            raise _Refused("nothing of that number is known")
        value = self._memo[index]
        if type(value) in _CHANGEABLE:
            stacks = (*self._below, self._stack)
            self._charge(sum(map(len, stacks)) // 16)  # The search is to be paid for.
            if any(value is other for stack in stacks for other in stack):
                raise _Refused("it contains itself")
        self._stack.append(self._copy(value))

    def _copy(self, value: Any) -> Any:
        kind = type(value)
        if kind is dict or kind is set or (kind is frozenset and value):
            self._charge(_NODE * (4 + 2 * len(value)))
            made = (
                {self._copy(key): self._copy(item) for key, item in value.items()}
                if kind is dict
                else kind(self._copy(item) for item in value)
            )
            if id(value) in self._colliding:
                self._colliding[id(made)] = self._colliding[id(value)].copy()
            return made
        if kind is list or (kind is tuple and value):
            self._charge(2 * _NODE + 10 * len(value))
            items = [self._copy(item) for item in value]
            return items if kind is list else tuple(items)
        if kind is Instance:
            return Instance(value.kind, self._copy(value.state))
        size = sys.getsizeof(value)
        if size > _SHORT:
            self._charge(size)
        return value

    # -- What is named

    def _global(self) -> None:
        module, name = self._last(2)
        self._stack.append(_find(_exactly(module, str), _exactly(name, str)))

    def _global_text(self) -> None:
        self._stack.append(_find(self._line(), self._line()))

    def _line(self) -> str:
        text = b""
        while not text.endswith(b"\n"):
            if len(text) > 200:
                raise _Refused("a name is too long")
            text += self._take(1)
        return text[:-1].decode("utf-8")

    def _reduce(self) -> None:
        function, arguments = self._last(2)
        if type(function) is not Named or function.make is None:
            raise _Refused("it calls what must not be called")
        items = len(arguments[0]) if arguments and type(arguments[0]) is list else 0
        self._charge(4 * _NODE + 2 * _NODE * items)
        self._stack.append(function.make(*_exactly(arguments, tuple)))

    def _new_object(self) -> None:
        made: Any
        class_, arguments = self._last(2)
        if arguments != () or (class_ is not _UUID and class_ not in _ORIGINAL.values()):
            raise _Refused("it makes an object that is no plain data")
        self._charge(4 * _NODE)
        made = object.__new__(uuid.UUID) if class_ is _UUID else Instance(class_.kind)
        self._unbuilt.append(made)
        self._stack.append(made)

    def _build(self) -> None:
        state = _exactly(self._stack.pop(), dict)
        made = self._stack[-1]
        if not self._unbuilt or self._unbuilt[-1] is not made:
            raise _Refused("it gives a state to what must not have one")
        self._unbuilt.pop()
        if type(made) is Instance:
            made.state = state
            return
        number = _exactly(state["int"], int)
        if not 0 <= number < 1 << 128:
            raise _Refused("a UUID has 128 bits")
        made.__setstate__({"int": number})


_CHANGEABLE = frozenset((list, dict, set, Instance))
_STOP = ord(".")
_Step = Callable[[Reader], object]


def _protocol(reader: Reader) -> None:
    if not 3 <= reader._take(1)[0] <= 5:
        raise _Refused("a protocol of pickles from 3 to 5 is expected")


def _mark(reader: Reader) -> None:
    reader._below.append(reader._stack)
    reader._stack = []


def _constant(value: Any) -> _Step:
    return lambda reader: reader._stack.append(value)


def _unpacked(layout: str) -> _Step:
    unpack, size = struct.Struct(layout).unpack, struct.calcsize(layout)
    return lambda reader: reader._stack.append(unpack(reader._take(size))[0])


def _texts(width: int) -> _Step:
    return lambda reader: reader._text(reader._size(width))


def _blobs(width: int) -> _Step:
    return lambda reader: reader._stack.append(reader._take(reader._size(width)))


_BY_NAME: dict[bytes, _Step] = {
    b"\x80": _protocol,
    b"\x95": lambda reader: reader._take(8),  # FRAME: where it ends is of no use.
    b"(": _mark,
    b"0": lambda reader: reader._stack.pop(),
    b"1": lambda reader: reader._marked(),
    b"N": _constant(None),
    b"\x88": _constant(True),
    b"\x89": _constant(False),
    b"J": _unpacked("<i"),
    b"K": _unpacked("<B"),
    b"M": _unpacked("<H"),
    b"G": _unpacked(">d"),
    b"\x8a": lambda reader: reader._long(reader._size(1)),
    b"\x8b": lambda reader: reader._long(reader._size(4)),
    b"\x8c": _texts(1),
    b"X": _texts(4),
    b"\x8d": _texts(8),
    b"C": _blobs(1),
    b"B": _blobs(4),
    b"\x8e": _blobs(8),
    b"]": lambda reader: reader._new([], 2 * _NODE),
    b"}": lambda reader: reader._new({}, 2 * _NODE),
    b"\x8f": lambda reader: reader._new(set(), 4 * _NODE),
    b")": _constant(()),
    b"\x85": lambda reader: reader._tuple(reader._last(1)),
    b"\x86": lambda reader: reader._tuple(reader._last(2)),
    b"\x87": lambda reader: reader._tuple(reader._last(3)),
    b"t": lambda reader: reader._tuple(reader._marked()),
    b"\x91": Reader._frozenset,
    b"a": Reader._append,
    b"e": Reader._appends,
    b"s": Reader._set_item,
    b"u": Reader._set_items,
    b"\x90": Reader._add_items,
    b"\x94": lambda reader: reader._put(len(reader._memo)),
    b"q": lambda reader: reader._put(reader._size(1)),
    b"r": lambda reader: reader._put(reader._size(4)),
    b"h": lambda reader: reader._get(reader._size(1)),
    b"j": lambda reader: reader._get(reader._size(4)),
    b"\x93": Reader._global,
    b"c": Reader._global_text,
    b"R": Reader._reduce,
    b"\x81": Reader._new_object,
    b"b": Reader._build,
}
_STEPS: list[_Step | None] = [_BY_NAME.get(bytes([opcode])) for opcode in range(256)]
