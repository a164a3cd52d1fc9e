# SPDX-License-Identifier: Apache-2.0
"""Queries in plain Python: the naive twin that the query engine is compared with.

Nothing here asks the library for an answer. A random condition or expression is made twice at
once: as an object of the library, and as a Python function of a record that says what it means. A
query is answered by filtering, sorting and slicing lists of dicts.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import operator
import uuid
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

from dictdb import And, Condition, Expression, Field, Not, Or, Order, UnsupportedTypeError

Record = dict[str, Any]
Reading = Callable[[Record], Any]

NAN = float("nan")
UTC = datetime.UTC
LATER = datetime.timezone(datetime.timedelta(hours=2))
D, T, DT, TD = datetime.date, datetime.time, datetime.datetime, datetime.timedelta

# Values of every type, many of them equal to others or near.
FEW: list[Any] = [None, None, True, 0, 1, 2, 3, 1.0, 2.5, "a", "ab", Decimal("2.50"), "", -1, 7]
MANY: list[Any] = [
    *(False, 2**53, 2**53 + 1, 2.0**53, 2**63 - 1, -(2**63), 2**63, -(2**70), 10**30),
    *(-0.0, 0.5, 1e300, -1e-300, NAN, float("inf"), float("-inf")),
    *(Decimal("1.0"), Decimal("0.5"), Decimal("NaN"), Decimal("1E+30"), Decimal("-Infinity")),
    *("abc", "b", "B", "é", "日本", "\U0001f600", "\ud800", "abcdefghijklmnop", "abcdefghijklmnoq"),
    *(b"", b"ab", b"\0b", D(2020, 1, 1), D(1, 1, 1), TD(days=1), TD(microseconds=-1)),
    *(DT(2020, 1, 1), DT(2020, 1, 1, 12, tzinfo=UTC), DT(2020, 1, 1, 14, tzinfo=LATER)),
    *(T(12), T(12, tzinfo=UTC), T(14, tzinfo=LATER), uuid.UUID(int=5), uuid.UUID(int=2**100)),
    *([], [1], [1, 2], [1.0, "a"], [NAN], [[1], {"x": 1}], [None], (), (1,), (1, 2), ((1,), "a")),
    *({}, {"x": 1}, {"x": 2, "y": [1, "a"]}, {"y": [2], "x": 1.0}, {"x": NAN}, {1: "one"}),
    *(set(), {1}, {1, "a"}, frozenset({1}), frozenset({(1, 2)})),
]
ONE_TYPE: list[list[Any]] = [
    [-5, 0, 1, 1, 2, 3, 100, -(2**63), 2**63 - 1],
    [-1.5, -0.0, 0.0, 0.5, 2.0, 1e300, NAN, float("-inf")],
    ["", "a", "aa", "abcdefgh", "abcdefghi", "b", "é"],
    [D(2020, 1, day) for day in (1, 1, 2, 3, 5)],
]
FIELDS = ("a", "b", "c", "one", "e f", "", "nest")
# Paths that are asked for often, and indexed: the field and the steps into it
PATHS: list[tuple[Any, ...]] = [("nest", "x"), ("nest", 0), ("nest", "x", -1), ("a", 0), ("c", "x")]
NEVER = "never"


# --- Values ---


def ordering(value: Any) -> tuple[Any, ...]:
    """A key that sorts like the total order over all values, and is equal where that is."""
    if value is None:
        return (0,)
    if isinstance(value, (bool, int, float, Decimal)):
        is_nan = value.is_nan() if isinstance(value, Decimal) else value != value
        return (1, 1, 0) if is_nan else (1, 0, value)
    if isinstance(value, str):
        return (2, value)
    if isinstance(value, bytes):
        return (3, value)
    if isinstance(value, DT):
        return (5, value) if value.tzinfo is None else (6, value)
    if isinstance(value, D):
        return (4, value)
    if isinstance(value, T):
        return (7, value) if value.tzinfo is None else (8, value)
    if isinstance(value, TD):
        return (9, value)
    if isinstance(value, list):
        return (10, tuple(map(ordering, value)))
    if isinstance(value, dict):
        return (11, tuple(sorted((ordering(k), ordering(v)) for k, v in value.items())))
    if isinstance(value, (set, frozenset)):
        return (12, tuple(sorted(map(ordering, value))))
    if isinstance(value, tuple):
        return (13, tuple(map(ordering, value)))
    return (14, value.bytes)


def family(value: Any) -> int:
    """Values of one family have an order as conditions; 0: none."""
    key = ordering(value)
    return 0 if key[0] in (0, 10, 11, 12, 13, 14) or key[:2] == (1, 1) else int(key[0])


def equal(a: Any, b: Any) -> bool:
    """Python's ==, of values that are no longer the same objects: NaN is unlike itself."""
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return (
            isinstance(b, dict)
            and len(a) == len(b)
            and all(k in b and equal(v, b[k]) for k, v in a.items())
        )
    return bool(a == b) if a == a else False


def alike(a: Any, b: Any) -> bool:
    """The same type and value throughout; NaN is like itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(map(repr, a)) == list(map(repr, b)) and all(map(alike, a.values(), b.values()))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, (set, frozenset)):
        return bool(a == b)
    return repr(a) == repr(b)


# --- Expressions ---

_CONTEXT = decimal.Context(
    prec=28,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
_SIGNS: list[Callable[[Any, Any], Any]] = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
]


def _computed(sign: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    for value in (a, b):
        if not isinstance(value, (bool, int, float, Decimal)):
            return None
    try:
        with decimal.localcontext(_CONTEXT):
            return sign(a, b)
    except (ArithmeticError, TypeError):
        return None


def _step(value: Any, key: Any) -> Any:
    if not isinstance(value, (list, tuple, dict)):
        return None
    try:
        return value[key]
    except (LookupError, TypeError):
        return None


def _length(value: Any) -> Any:
    sized = isinstance(value, (str, bytes, list, tuple, dict, set, frozenset))
    return len(value) if sized else None


def random_field(rng: Random) -> str:
    return NEVER if rng.random() < 0.05 else rng.choice(("id", "u", *FIELDS, "a", "one"))


def random_value(rng: Random) -> Any:
    return rng.choice(FEW if rng.random() < 0.6 else MANY)


def path_term(path: tuple[Any, ...]) -> tuple[Any, Reading]:
    of: Any = Field(path[0])
    for key in path[1:]:
        of = of[key]

    def read(record: Record) -> Any:
        value = record.get(path[0])
        for key in path[1:]:
            value = _step(value, key)
        return value

    return of, read


def random_term(rng: Random, depth: int = 2) -> tuple[Any, Reading]:
    """An expression, a Field half of the time."""
    roll = rng.random()
    if roll < 0.12:
        return path_term(rng.choice(PATHS))
    if depth == 0 or roll < 0.55:
        name = random_field(rng)
        return Field(name), lambda record: record.get(name)
    of, read = random_term(rng, depth - 1)
    if roll < 0.7:
        key = rng.choice((0, 1, -1, "x", "y", True))
        return of[key], lambda record: _step(read(record), key)
    if roll < 0.78:
        return of.len_(), lambda record: _length(read(record))
    if roll < 0.84:
        value = random_value(rng)
        return Expression(value), lambda record: value
    try:
        return _arithmetic(rng, depth, of, read)
    except UnsupportedTypeError:  # A constant that is no number is refused
        return of, read


def _arithmetic(rng: Random, depth: int, of: Any, read: Reading) -> tuple[Any, Reading]:
    if rng.random() < 0.2:
        return -of, lambda record: _computed(lambda a, _: -a, read(record), 0)
    sign = rng.choice(_SIGNS)
    if rng.random() < 0.5:
        number = rng.choice((1, 2, 0, -3, 0.5, 2**62, Decimal("1.5")))
        if rng.random() < 0.5:
            return sign(of, number), lambda record: _computed(sign, read(record), number)
        return sign(number, of), lambda record: _computed(sign, number, read(record))
    other, read_other = random_term(rng, depth - 1)
    return sign(of, other), lambda record: _computed(sign, read(record), read_other(record))


# --- Conditions ---

_ORDERS = [operator.lt, operator.le, operator.gt, operator.ge]


def _ordered(sign: Callable[[Any, Any], Any], a: Any, b: Any) -> bool:
    return family(a) != 0 and family(a) == family(b) and bool(sign(a, b))


def _contains(value: Any, item: Any) -> bool:
    if isinstance(value, (str, bytes)):
        return isinstance(item, type(value)) and item in value
    return isinstance(value, (list, tuple, set, frozenset, dict)) and any(
        equal(each, item) for each in value
    )


def _affix(name: str, value: Any, part: Any) -> bool:
    known = isinstance(value, (str, bytes)) and isinstance(part, type(value))
    return known and bool(getattr(value, name)(part))


def _literal(rng: Random, read: Reading, records: list[Record]) -> Any:
    """Often what some record has there."""
    if records and rng.random() < 0.6:
        return read(rng.choice(records))
    return random_value(rng)


def _leaf(rng: Random, records: list[Record]) -> tuple[Condition, Reading]:
    of, read = random_term(rng, rng.choice((0, 0, 1, 2)))
    value = _literal(rng, read, records)
    if rng.random() < 0.1:
        other, read_other = random_term(rng, 1)
    else:
        other, read_other = value, lambda record: value
    roll = rng.randrange(12)
    if roll < 3:
        return of == other, lambda record: equal(read(record), read_other(record))
    if roll == 3:
        return of != other, lambda record: not equal(read(record), read_other(record))
    if roll < 7:
        sign = rng.choice(_ORDERS)
        return sign(of, other), lambda record: _ordered(sign, read(record), read_other(record))
    if roll == 7:
        values = [_literal(rng, read, records) for _ in range(rng.choice((0, 1, 3, 20)))]
        return of.is_in(values), lambda record: any(equal(read(record), v) for v in values)
    if roll == 8:
        high = _literal(rng, read, records)
        return (
            of.between(value, high),
            lambda record: (
                _ordered(operator.ge, read(record), value)
                and _ordered(operator.le, read(record), high)
            ),
        )
    if roll == 9:
        return of.contains(other), lambda record: _contains(read(record), read_other(record))
    if roll == 10:
        part = value[:2] if isinstance(value, (str, bytes)) else rng.choice(("a", "", b"a"))
        name = rng.choice(("startswith", "endswith"))
        return getattr(of, name)(part), lambda record: _affix(name, read(record), part)
    if rng.random() < 0.5:
        return of.is_null(), lambda record: read(record) is None
    return of.is_not_null(), lambda record: read(record) is not None


def random_cond(rng: Random, records: list[Record], depth: int = 3) -> tuple[Condition, Reading]:
    roll = rng.random()
    if depth == 0 or roll < 0.45:
        return _leaf(rng, records)
    if roll < 0.6:
        cond, holds = random_cond(rng, records, depth - 1)
        return Not(cond), lambda record: not holds(record)
    parts = [random_cond(rng, records, depth - 1) for _ in range(rng.choice((1, 2, 2, 3)))]
    conds, tests = [part[0] for part in parts], [part[1] for part in parts]
    if roll < 0.8:
        return And(*conds), lambda record: all(test(record) for test in tests)
    return Or(*conds), lambda record: any(test(record) for test in tests)


# --- Queries ---


@dataclasses.dataclass
class Query:
    """One query in both languages: what select() takes, and how to answer it."""

    where: Condition | None
    holds: Reading
    order_by: list[Any]
    orders: list[tuple[Reading, bool, bool]]  # reads, descending, nulls last
    columns: dict[str, Any] | None
    readings: list[Reading]
    distinct: bool
    limit: int | None
    offset: int

    def options(self) -> dict[str, Any]:
        return {
            "where": self.where,
            "order_by": self.order_by or None,
            "distinct": self.distinct,
            "limit": self.limit,
            "offset": self.offset,
        }

    def records(self, records: list[Record]) -> list[Record]:
        """Where and order."""
        found = [record for record in records if self.holds(record)]
        for read, descending, nulls_last in reversed(self.orders):
            keys = {id(record): ordering(read(record)) for record in found}
            found.sort(key=lambda record, keys=keys: keys[id(record)], reverse=descending)
            nulls = [record for record in found if keys[id(record)] == (0,)]
            others = [record for record in found if keys[id(record)] != (0,)]
            found = others + nulls if nulls_last else nulls + others
        return found

    def _identity(self, record: Record) -> Any:
        if self.columns is not None:
            return tuple(ordering(read(record)) for read in self.readings)
        known = sorted((name, ordering(value)) for name, value in record.items())
        return tuple(pair for pair in known if pair[1] != (0,))

    def answer(self, records: list[Record]) -> list[Record]:
        """The records that are left, whole."""
        found = self.records(records)
        if self.distinct:
            first: dict[Any, Record] = {}
            for record in found:
                first.setdefault(self._identity(record), record)
            found = list(first.values())
        end = None if self.limit is None else self.offset + self.limit
        return found[self.offset : end]

    def shown(self, record: Record) -> Record:
        """What select() gives of a record."""
        if self.columns is None:
            return record
        return dict(zip(self.columns, (read(record) for read in self.readings), strict=True))


def _random_order(rng: Random) -> tuple[Any, tuple[Reading, bool, bool]]:
    of, read = random_term(rng, rng.choice((0, 0, 0, 2)))
    descending = rng.random() < 0.5
    nulls = rng.choice((None, None, "first", "last"))
    last = descending if nulls is None else nulls == "last"
    item: Any = Order(of, descending=descending, nulls=nulls)
    if isinstance(of, Field) and nulls is None and of.field_name and rng.random() < 0.5:
        item = ("-" if descending else "") + of.field_name
    return item, (read, descending, last)


def random_query(rng: Random, records: list[Record]) -> Query:
    where, holds = random_cond(rng, records) if rng.random() < 0.9 else (None, lambda record: True)
    orders = [_random_order(rng) for _ in range(rng.choice((0, 0, 1, 1, 2, 3)))]
    columns: dict[str, Any] | None = None
    readings: list[Reading] = []
    if rng.random() < 0.5:
        columns = {}
        for number in range(rng.choice((1, 2, 2, 3))):
            of, read = random_term(rng, rng.choice((0, 0, 1, 2)))
            columns[f"column {number}"] = of
            readings.append(read)
    sliced = rng.random() < 0.5
    return Query(
        where,
        holds,
        [item for item, _ in orders],
        [meaning for _, meaning in orders],
        columns,
        readings,
        distinct=rng.random() < 0.25,
        limit=rng.choice((None, 0, 1, 3, 10)) if sliced else None,
        offset=rng.choice((0, 0, 1, 5, 10**9)) if sliced else 0,
    )


def _random_nest(rng: Random) -> Any:
    values = [random_value(rng), random_value(rng)]
    roll = rng.randrange(6)
    if roll == 0:
        return values[0]
    if roll < 3:
        return {"x": values[0], "y": values[1]}
    return {"x": values} if roll == 3 else values[: rng.choice((0, 1, 2, 2))]


def random_record(rng: Random, number: int, one_type: list[Any]) -> Record:
    """Any of the fields in any order, without the key."""
    names = list(FIELDS)
    rng.shuffle(names)
    record: Record = {}
    for name in names:
        if name == "one":
            record[name] = rng.choice(one_type)
        elif name == "nest":
            record[name] = _random_nest(rng)
        elif rng.random() < 0.7:
            record[name] = random_value(rng)
    record["u"] = number * 7919 % 10007
    return record
