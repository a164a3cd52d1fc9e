# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""What conditions and orders mean, in plain Python: the model that the core is held against.

A condition is written as a tuple, so that it can be built for the table and evaluated here:
``("<", field, value)``, ``("in", field, values)``, ``("between", field, low, high)``,
``("null", field)``, ``("and" | "or", left, right)``, ``("not", condition)``. In place of a field
and of the value that it is compared with, an ``Expr`` may stand.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import dictdb

Cond = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Expr:
    """``Expr("field", name)``, ``("value", v)``, ``("item", expr, key)``, ``("len", expr)``, and
    ``("+", expr, expr)`` and so on; ``("neg", expr)``."""

    name: str
    of: Any
    other: Any = None


_KINDS: list[tuple[str, tuple[type, ...]]] = [
    ("number", (bool, int, float, Decimal)),
    ("str", (str,)),
    ("bytes", (bytes,)),
    ("datetime", (datetime.datetime,)),
    ("date", (datetime.date,)),
    ("time", (datetime.time,)),
    ("timedelta", (datetime.timedelta,)),
    ("list", (list,)),
    ("dict", (dict,)),
    ("tuple", (tuple,)),
]
_RANKS = [
    "null",
    "number",
    "str",
    "bytes",
    "date",
    "datetime",
    "time",
    "timedelta",
    "list",
    "dict",
    "tuple",
]
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


# Python's default, whatever the test changed.
_CONTEXT = decimal.Context(
    prec=28,
    rounding=decimal.ROUND_HALF_EVEN,
    Emin=-999999,
    Emax=999999,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "neg": lambda a, _: -a,
}


def compute(name: str, a: Any, b: Any) -> Any:
    """What arithmetic gives: Python's answer for numbers, None where there is none."""
    if kind(a) != "number" or kind(b) != "number":
        return None
    try:
        with decimal.localcontext(_CONTEXT):
            return _ARITHMETIC[name](a, b)
    except (ArithmeticError, TypeError):
        return None


def kind(value: Any) -> str:
    if value is None:
        return "null"
    for name, types in _KINDS:
        if isinstance(value, types):
            return name
    raise AssertionError(f"not a value of the model: {value!r}")


def is_nan(value: Any) -> bool:
    return value.is_nan() if isinstance(value, Decimal) else value != value


def _aware(value: Any) -> bool:
    return isinstance(value, (datetime.datetime, datetime.time)) and value.utcoffset() is not None


def comparable(a: Any, b: Any) -> bool:
    """Whether ``<`` is defined between the two, as a condition."""
    if kind(a) != kind(b) or kind(a) in ("null", "list", "dict", "tuple"):
        return False
    return not is_nan(a) and not is_nan(b) and _aware(a) == _aware(b)


def compare(a: Any, b: Any) -> int:
    """The total order over all values: -1, 0 or 1."""
    ranks = _RANKS.index(kind(a)), _RANKS.index(kind(b))
    if ranks[0] != ranks[1]:
        return -1 if ranks[0] < ranks[1] else 1
    if kind(a) == "number" and (is_nan(a) or is_nan(b)):
        return int(is_nan(a)) - int(is_nan(b))
    if _aware(a) != _aware(b):
        return 1 if _aware(a) else -1
    if kind(a) in ("list", "tuple"):
        for x, y in zip(a, b, strict=False):
            if compare(x, y):
                return compare(x, y)
        return (len(a) > len(b)) - (len(a) < len(b))
    if kind(a) == "null" or (kind(a) == "dict" and a == b):
        return 0  # Unequal dicts are in no order that Python could tell
    return int(a > b) - int(a < b)


def matches(cond: Cond | None, record: Mapping[str, Any]) -> bool:
    """Whether the condition holds for the record."""
    if cond is None:
        return True
    if cond[0] == "and":
        return matches(cond[1], record) and matches(cond[2], record)
    if cond[0] == "or":
        return matches(cond[1], record) or matches(cond[2], record)
    if cond[0] == "not":
        return not matches(cond[1], record)
    operands = tuple(worth(x, record) if isinstance(x, Expr) else x for x in cond[2:])
    value = worth(cond[1], record) if isinstance(cond[1], Expr) else record.get(cond[1])
    return _leaf(cond[0], value, operands)


def worth(expr: Expr, record: Mapping[str, Any]) -> Any:
    """What the expression is for the record; None: missing, or not to be computed."""
    if expr.name == "field":
        return record.get(expr.of)
    if expr.name == "value":
        return expr.of
    value = worth(expr.of, record)
    if expr.name in _ARITHMETIC:
        return compute(expr.name, value, worth(expr.other, record) if expr.other else 0)
    if expr.name == "len":
        sized = isinstance(value, (str, bytes, list, tuple, dict, set, frozenset))
        return len(value) if sized else None
    assert expr.name == "item"
    if not isinstance(value, (list, tuple, dict)):
        return None
    try:
        return value[expr.other]
    except (LookupError, TypeError):
        return None


def _leaf(name: str, value: Any, operands: tuple[Any, ...]) -> bool:
    if name == "null":
        return value is None
    if name == "==":
        return bool(value == operands[0])
    if name == "!=":
        return bool(value != operands[0])
    if name == "in":
        return any(bool(value == item) for item in operands[0])
    if name == "between":
        low, high = operands
        return _leaf(">=", value, (low,)) and _leaf("<=", value, (high,))
    if name in _OPERATORS:
        return comparable(value, operands[0]) and _OPERATORS[name](value, operands[0])
    if name == "contains":
        if isinstance(value, (str, bytes)):
            return isinstance(operands[0], type(value)) and operands[0] in value
        sized = isinstance(value, (list, tuple, dict))
        return sized and any(bool(item == operands[0]) for item in value)
    return (
        isinstance(value, (str, bytes))
        and isinstance(operands[0], type(value))
        and bool(getattr(value, name)(operands[0]))
    )


def build(cond: Cond | None, table: Any) -> dictdb.Condition | None:
    """The same condition, made with the table's fields."""
    if cond is None:
        return None
    name = cond[0]
    if name in ("and", "or"):
        left, right = build(cond[1], table), build(cond[2], table)
        assert left is not None
        assert right is not None
        return left & right if name == "and" else left | right
    if name == "not":
        inner = build(cond[1], table)
        assert inner is not None
        return ~inner
    field = make(cond[1], table) if isinstance(cond[1], Expr) else table.field(cond[1])
    operands = [make(x, table) if isinstance(x, Expr) else x for x in cond[2:]]
    made: dict[str, Callable[[], dictdb.Condition]] = {
        "null": lambda: field.is_null(),
        "==": lambda: field == operands[0],
        "!=": lambda: field != operands[0],
        "<": lambda: field < operands[0],
        "<=": lambda: field <= operands[0],
        ">": lambda: field > operands[0],
        ">=": lambda: field >= operands[0],
        "in": lambda: field.is_in(operands[0]),
        "between": lambda: field.between(operands[0], operands[1]),
        "contains": lambda: field.contains(operands[0]),
        "startswith": lambda: field.startswith(_part(operands[0])),
        "endswith": lambda: field.endswith(_part(operands[0])),
    }
    return made[name]()


def _part(value: Any) -> Any:
    """What startswith() takes: values of other kinds as Expressions."""
    is_part = isinstance(value, (str, bytes, dictdb.Expression))
    return value if is_part else dictdb.Expression(value)


def make(expr: Expr, table: Any) -> dictdb.Expression:
    """The same expression, made with the table's fields."""
    if expr.name == "field":
        return table.field(expr.of)
    if expr.name == "value":
        return dictdb.Expression(expr.of)
    if expr.name == "neg":
        return -make(expr.of, table)
    if expr.name in _ARITHMETIC:
        # Constants as they are, so that Python finds the reflected operators too.
        sides = [x.of if x.name == "value" else make(x, table) for x in (expr.of, expr.other)]
        if not any(isinstance(side, dictdb.Expression) for side in sides):
            sides[0] = dictdb.Expression(sides[0])
        return _ARITHMETIC[expr.name](*sides)
    if expr.name == "len":
        return make(expr.of, table).len_()
    assert expr.name == "item"
    return make(expr.of, table)[expr.other]


def ordered(
    rows: Iterable[dict[str, Any]], order_by: str | list[str] | None
) -> list[dict[str, Any]]:
    """The rows sorted, stable, by names; ``-`` before a name: descending."""
    result = list(rows)
    names = [order_by] if isinstance(order_by, str) else list(order_by or [])
    for name in reversed(names):
        field = name.removeprefix("-")
        key = functools.cmp_to_key(lambda a, b: compare(a, b))
        result.sort(key=lambda r, f=field, k=key: k(r.get(f)), reverse=name.startswith("-"))
    return result


def distinct(rows: Iterable[dict[str, Any]], fields: list[str] | None) -> list[dict[str, Any]]:
    """The first of each set of rows that are equal on the fields (None: on all of them)."""
    kept: list[dict[str, Any]] = []
    for row in rows:
        if not any(_same(row, other, fields) for other in kept):
            kept.append(row)
    return kept


def _same(a: dict[str, Any], b: dict[str, Any], fields: list[str] | None) -> bool:
    names = fields if fields is not None else list({**a, **b})
    return all(compare(a.get(name), b.get(name)) == 0 for name in names)
