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
import re
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

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
    *("abc", "b", "B", "é", "Ab%", "Straße", "日本", "\U0001f600", "\ud800"),
    *("abcdefghijklmnop", "abcdefghijklmnoq"),
    *(b"", b"ab", b"\0b", D(2020, 1, 1), D(1, 1, 1), TD(days=1), TD(microseconds=-1)),
    *(DT(2020, 1, 1), DT(2020, 1, 1, 12, tzinfo=UTC), DT(2020, 1, 1, 14, tzinfo=LATER)),
    *(T(12), T(12, tzinfo=UTC), T(14, tzinfo=LATER), uuid.UUID(int=5), uuid.UUID(int=2**100)),
    *([], [1], [1, 2], [1.0, "a"], [NAN], [[1], {"x": 1}], [None], (), (1,), (1, 2), ((1,), "a")),
    *({}, {"x": 1}, {"x": 2, "y": [1, "a"]}, {"y": [2], "x": 1.0}, {"x": NAN}, {1: "one"}),
    *(set(), {1}, {1, "a"}, frozenset({1}), frozenset({(1, 2)})),
]
ONE_TYPE: list[list[Any]] = [
    [-5, 0, 1, 1, 2, 3, 100, -(2**63), 2**63 - 1],
    [2**53 + 1, 3, -7, 2**62, 2**63 - 1, None],
    [-1.5, -0.0, 0.0, 0.5, 2.0, 1e300, NAN, float("-inf")],
    [0.1, 1e16, -1e16, 3.3, 0, True, -0.0, None],
    ["", "a", "aa", "abcdefgh", "abcdefghi", "b", "é"],
    [D(2020, 1, day) for day in (1, 1, 2, 3, 5)],
]
FIELDS = ("a", "b", "c", "one", "e f", "", "nest")
# Paths that are asked for often, and indexed: the field and the steps into it
PATHS: list[tuple[Any, ...]] = [("nest", "x"), ("nest", 0), ("nest", "x", -1), ("a", 0), ("c", "x")]
# What some of the fields have more often than others.
OFTEN: dict[str, list[Any]] = {
    "b": [0, 1, -1, 2, 3, 7, -7, 2**62, 2**63 - 1, -(2**63), 0.1, 2.5, -0.0, Decimal("0.5")],
    "c": ["a%b", "a_b", "ab", "%", "!", "_a!", "É", "é", "ß", "SS", "straße", "aab", "b", "xa_b"],
    "": [[1, "a"], [1], ["a"], [1, 2], ("a", 2), {"a": 1}, {1, "a"}, [None, 1], [], {1}],
}
# Planted faults that a comparison with the twins must find.
FAULTS = """
RANGE_EXCLUDES_END PLAN_NOT_IS_OR PLAN_OR_FORGETS PLAN_PATH_BLIND
INDEX_STALE_UPDATE TREE_SPLIT_LOSES ARITH_WRAPS ARITH_NULL_IS_ZERO FLOOR_TRUNCATES
EXISTS_IS_NOT_NULL HAS_ALL_IS_FIRST LIKE_NO_ESCAPE LIKE_NO_END FOLD_ASCII_ONLY
JOIN_NULLS_MATCH JOIN_LEFT_LOST JOIN_TWINS_LOST
SUM_UNCOMPENSATED GROUP_BY_KIND GROUP_BY_SIGN MEDIAN_IS_LOW
ORDER_NULLS_DEFAULT ORDER_TIES_BACKWARDS DISTINCT_AFTER_OFFSET
CURSOR_DROPS_ROW STEP_LIMIT_UNORDERED
""".split()
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
    """The same type and value throughout; NaN is like itself, and sets have their items in any
    order."""
    return repr(a) == repr(b) or _said(a) == _said(b)


def _said(value: Any) -> str:
    if isinstance(value, dict):
        inside = [f"{_said(key)}: {_said(each)}" for key, each in value.items()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        inside = list(map(_said, value))
    else:
        return repr(value)
    if isinstance(value, (set, frozenset)):
        inside.sort()
    return f"{type(value).__name__}({', '.join(inside)})"


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
    return value[key] if _has_step(value, key) else None


def _has_step(value: Any, key: Any) -> bool:
    if not isinstance(value, (list, tuple, dict)):
        return False
    try:
        value[key]
    except (LookupError, TypeError):
        return False
    return True


def _length(value: Any) -> Any:
    sized = isinstance(value, (str, bytes, list, tuple, dict, set, frozenset))
    return len(value) if sized else None


class Term(NamedTuple):
    """An expression: the library's, what it is of a record (None: missing, too), and whether that
    is there at all."""

    of: Any
    read: Reading
    is_there: Callable[[Record], bool]


def field_term(name: str) -> Term:
    return Term(Field(name), lambda record: record.get(name), lambda record: name in record)


def _always(record: Record) -> bool:
    return True


def random_field(rng: Random, names: Sequence[str] | None = None) -> str:
    if names:
        return rng.choice(names)
    return NEVER if rng.random() < 0.05 else rng.choice(("id", "u", *FIELDS, "a", "one"))


def random_value(rng: Random) -> Any:
    return rng.choice(FEW if rng.random() < 0.6 else MANY)


def path_term(path: tuple[Any, ...]) -> Term:
    of: Any = Field(path[0])
    for key in path[1:]:
        of = of[key]

    def read(record: Record) -> Any:
        value = record.get(path[0])
        for key in path[1:]:
            value = _step(value, key)
        return value

    def is_there(record: Record) -> bool:
        value = record
        for key in path:
            if not _has_step(value, key):
                return False
            value = value[key]
        return True

    return Term(of, read, is_there)


def random_term(rng: Random, depth: int = 2, names: Sequence[str] | None = None) -> Term:
    """An expression, a Field half of the time."""
    roll = rng.random()
    if roll < 0.12 and names is None:
        return path_term(rng.choice(PATHS))
    if depth == 0 or roll < 0.55:
        return field_term(random_field(rng, names))
    of, read, _ = inner = random_term(rng, depth - 1, names)
    if roll > 0.84 and names is None and rng.random() < 0.5:
        of, read, _ = inner = field_term("b")
    if roll < 0.7:
        key = rng.choice((0, 1, -1, "x", "y", True))
        return Term(
            of[key],
            lambda record: _step(read(record), key),
            lambda record: _has_step(read(record), key),
        )
    if roll < 0.78:
        return Term(of.len_(), lambda record: _length(read(record)), _always)
    if roll < 0.84:
        value = random_value(rng)
        return Term(Expression(value), lambda record: value, _always)
    try:
        return _arithmetic(rng, depth, of, read, names)
    except UnsupportedTypeError:  # A constant that is no number is refused
        return inner


def _arithmetic(
    rng: Random, depth: int, of: Any, read: Reading, names: Sequence[str] | None
) -> Term:
    if rng.random() < 0.2:
        return Term(-of, lambda record: _computed(lambda a, _: -a, read(record), 0), _always)
    sign = rng.choice(_SIGNS)
    if rng.random() < 0.5:
        number = rng.choice((1, 2, 0, -3, 0.5, 2**63 - 1, -(2**63), Decimal("1.5")))
        if rng.random() < 0.5:
            made = sign(of, number)
            return Term(made, lambda record: _computed(sign, read(record), number), _always)
        made = sign(number, of)
        return Term(made, lambda record: _computed(sign, number, read(record)), _always)
    other, read_other, _ = random_term(rng, depth - 1, names)
    return Term(
        sign(of, other),
        lambda record: _computed(sign, read(record), read_other(record)),
        _always,
    )


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


def _has(value: Any, items: list[Any], every: Callable[[Any], bool]) -> bool:
    return isinstance(value, (list, tuple, set, frozenset, dict)) and every(
        any(equal(each, item) for each in value) for item in items
    )


def pattern_tokens(pattern: str, escape: str | None) -> list[tuple[bool, str]]:
    """(is it a wildcard, character)"""
    found = []
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            found.append((False, next(characters)))
        else:
            found.append((character in "%_", character))
    return found


def is_like(pattern: str, escape: str | None, value: Any, fold: Callable[[str], str]) -> bool:
    """By recursion over what is left of the pattern and of the value's folded characters."""
    if not isinstance(value, str):
        return False
    # Each folded character, and how many follow of the same character of the value.
    units = [(u, len(fold(c)) - i) for c in value for i, u in enumerate(fold(c))]
    wanted: list[tuple[bool, str]] = []
    for wild, character in pattern_tokens(pattern, escape):
        wanted += [(True, character)] if wild else [(False, u) for u in fold(character)]

    starts = {i for i in range(len(units)) if i == 0 or units[i - 1][1] == 1}

    def rest(i: int, j: int) -> bool:
        if i == len(wanted):
            return j == len(units)
        wild, character = wanted[i]
        if wild and character == "%":
            return any(rest(i + 1, k) for k in range(j, len(units) + 1))
        if j == len(units):
            return False
        if wild:
            return j in starts and rest(i + 1, j + units[j][1])
        return units[j][0] == character and rest(i + 1, j + 1)

    return rest(0, 0)


def _random_pattern(rng: Random, value: Any) -> str:
    """Near to the value; "!" escapes."""
    pattern = ""
    for character in value if isinstance(value, str) else rng.choice(("a", "ab", "a%", "")):
        roll = rng.random()
        plain = "!" + character if character in "%_!" else character
        pattern += "%" if roll < 0.15 else "_" if roll < 0.3 else plain
    return pattern + rng.choice(("", "", "%", "_", "!%", "!!"))


# All need a character, and mean the same in Python and PCRE2.
REGEXES = ("a", "^a", "b$", "[ab]+", "^.b", r"\w{2}", "é|B", "^(a|日)", r"[%_]", r"h.*\bq|p$")
_CASELESS: list[tuple[str, Callable[[str, str], bool]]] = [
    ("iequals", lambda value, text: value == text),
    ("icontains", lambda value, text: text in value),
    ("istartswith", str.startswith),
    ("iendswith", str.endswith),
]


def _plain(text: str) -> str:
    return text


def _pattern_leaf(rng: Random, term: Term, value: Any) -> tuple[Condition, Reading]:
    of, read, _ = term
    roll = rng.randrange(4)
    if roll == 0:
        pattern = _random_pattern(rng, value)
        return of.like(pattern, "!"), lambda record: is_like(pattern, "!", read(record), _plain)
    if roll == 1:
        pattern = _random_pattern(rng, value)
        return (
            of.ilike(pattern, escape="!"),
            lambda record: is_like(pattern, "!", read(record), str.casefold),
        )
    if roll == 2:
        regex, flags = rng.choice(REGEXES), rng.choice((0, 0, re.I, re.S | re.M))
        search = re.compile(regex, flags).search

        def found(record: Record) -> bool:
            text = read(record)  # Nothing matches a lone surrogate
            return isinstance(text, str) and text != "\ud800" and bool(search(text))

        return of.matches(regex, flags), found
    text = value[: rng.choice((1, 2, 20))] if isinstance(value, str) else rng.choice(("A", "é", ""))
    text = text.upper() if rng.random() < 0.5 else text
    name, test = rng.choice(_CASELESS)
    wanted = text.casefold()
    return (
        getattr(of, name)(text),
        lambda record: isinstance(read(record), str) and test(read(record).casefold(), wanted),
    )


def _container_leaf(rng: Random, term: Term, records: list[Record]) -> tuple[Condition, Reading]:
    of, read, is_there = term
    if rng.random() < 0.3:
        return of.exists(), is_there
    values = [random_value(rng) for _ in range(rng.choice((0, 1, 1, 2, 3, 20)))]
    some = read(rng.choice(records)) if records else None
    if isinstance(some, (list, tuple, dict)):
        values += [item for item in some if rng.random() < 0.6]
    if rng.random() < 0.5:
        return of.has_any(values), lambda record: _has(read(record), values, any)
    values = values[-rng.choice((1, 2, 3)) :]
    return of.has_all(values), lambda record: _has(read(record), values, all)


def _literal(rng: Random, read: Reading, records: list[Record]) -> Any:
    """Often what some record has there."""
    if records and rng.random() < 0.6:
        return read(rng.choice(records))
    return random_value(rng)


def _leaf(
    rng: Random, records: list[Record], names: Sequence[str] | None
) -> tuple[Condition, Reading]:
    term = random_term(rng, rng.choice((0, 0, 1, 2)), names)
    of, read, _ = term
    value = _literal(rng, read, records)
    if rng.random() < 0.1:
        other, read_other, _ = random_term(rng, 1, names)
    else:
        other, read_other = value, lambda record: value
    roll = rng.randrange(17)
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
        name = rng.choice(("startswith", "endswith"))
        if isinstance(other, Expression):
            return (
                getattr(of, name)(other),
                lambda record: _affix(name, read(record), read_other(record)),
            )
        part = value[:2] if isinstance(value, (str, bytes)) else rng.choice(("a", "", b"a"))
        return getattr(of, name)(part), lambda record: _affix(name, read(record), part)
    if roll < 14:
        if names is None and rng.random() < 0.6:
            term = field_term("c")
            value = _literal(rng, term.read, records)
        return _pattern_leaf(rng, term, value)
    if roll < 16:
        if names is None and rng.random() < 0.6:
            term = field_term("")
        return _container_leaf(rng, term, records)
    if rng.random() < 0.5:
        return of.is_null(), lambda record: read(record) is None
    return of.is_not_null(), lambda record: read(record) is not None


def random_cond(
    rng: Random, records: list[Record], depth: int = 3, names: Sequence[str] | None = None
) -> tuple[Condition, Reading]:
    """names: of the records' fields, when they are not those of random_record()."""
    roll = rng.random()
    if depth == 0 or roll < 0.45:
        return _leaf(rng, records, names)
    if roll < 0.6:
        cond, holds = random_cond(rng, records, depth - 1, names)
        return Not(cond), lambda record: not holds(record)
    parts = [random_cond(rng, records, depth - 1, names) for _ in range(rng.choice((1, 2, 2, 3)))]
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
        return ordered([record for record in records if self.holds(record)], self.orders)

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


def random_order(
    rng: Random, names: Sequence[str] | None = None
) -> tuple[Any, tuple[Reading, bool, bool]]:
    of, read, _ = random_term(rng, rng.choice((0, 0, 0, 2)), names)
    descending = rng.random() < 0.5
    nulls = rng.choice((None, None, "first", "last"))
    last = descending if nulls is None else nulls == "last"
    item: Any = Order(of, descending=descending, nulls=nulls)
    if isinstance(of, Field) and nulls is None and of.field_name and rng.random() < 0.5:
        item = ("-" if descending else "") + of.field_name
    return item, (read, descending, last)


def ordered(records: list[Record], orders: list[tuple[Reading, bool, bool]]) -> list[Record]:
    found = list(records)
    for read, descending, nulls_last in reversed(orders):
        keys = {id(record): ordering(read(record)) for record in found}
        found.sort(key=lambda record, keys=keys: keys[id(record)], reverse=descending)
        nulls = [record for record in found if keys[id(record)] == (0,)]
        others = [record for record in found if keys[id(record)] != (0,)]
        found = others + nulls if nulls_last else nulls + others
    return found


def random_query(rng: Random, records: list[Record], names: Sequence[str] | None = None) -> Query:
    if rng.random() < 0.9:
        where, holds = random_cond(rng, records, names=names)
    else:
        where, holds = None, _always
    orders = [random_order(rng, names) for _ in range(rng.choice((0, 0, 1, 1, 2, 3)))]
    columns: dict[str, Any] | None = None
    readings: list[Reading] = []
    if rng.random() < 0.5:
        columns = {}
        for number in range(rng.choice((1, 2, 2, 3))):
            of, read, _ = random_term(rng, rng.choice((0, 0, 1, 2)), names)
            columns[f"column {number}"] = of
            readings.append(read)
    sliced = rng.random() < 0.5
    distinct = rng.random() < 0.25
    return Query(
        where,
        holds,
        [item for item, _ in orders],
        [meaning for _, meaning in orders],
        columns,
        readings,
        distinct=distinct,
        limit=rng.choice((None, 0, 1, 3, 10)) if sliced else None,
        offset=rng.choice((1, 2, 5) if distinct else (0, 0, 1, 5, 10**9)) if sliced else 0,
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
        elif name in OFTEN and rng.random() < 0.5:
            record[name] = rng.choice(OFTEN[name])
        elif rng.random() < 0.7:
            record[name] = random_value(rng)
    record["u"] = number * 7919 % 10007
    return record
