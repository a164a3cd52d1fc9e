# SPDX-License-Identifier: Apache-2.0
"""Values of every type that a table takes, edges included."""

from __future__ import annotations

import datetime
import math
import uuid
import zoneinfo
from decimal import Decimal
from typing import Any

UTC = datetime.UTC
ODD_OFFSET = datetime.timezone(datetime.timedelta(hours=5, minutes=45, seconds=7, microseconds=9))
NAMED = datetime.timezone(datetime.timedelta(hours=-3), "Mine")


def zone(name: str) -> datetime.tzinfo | None:
    try:
        return zoneinfo.ZoneInfo(name)
    except zoneinfo.ZoneInfoNotFoundError:
        return None


PARIS = zone("Europe/Paris")
D, T, DT, TD = datetime.date, datetime.time, datetime.datetime, datetime.timedelta

VALUES: list[Any] = [
    None,
    True,
    False,
    *(0, 1, -1, 7, 255, 256, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1),
    *(2**64, -(2**64), 2**70, 10**50, -(10**400), 2**128 - 1),
    *(0.0, -0.0, 1.0, 0.1, -2.5, 1e308, 5e-324, 1e22, 123456789.123456789),
    *(math.nan, math.inf, -math.inf),
    *(Decimal("0"), Decimal("-0"), Decimal("1.10"), Decimal("1E+3"), Decimal("1e-30")),
    *(Decimal("NaN"), Decimal("-Infinity"), Decimal("sNaN"), Decimal("12345678901234567890.123")),
    *("", "a", "é", "日本", "\U0001f600", "\0", "a\0b", "\ud800", "x\udfff", "x" * 10_000),
    *('"quoted"\\', "line\nbreak\ttab\r\u2028", "\x7f\x1b", "$type", "007"),
    *(b"", b"a", b"\0\xff", bytes(range(256)), b"x" * 5_000),
    *(D(1, 1, 1), D(9999, 12, 31), D(2013, 2, 28), D(1969, 12, 31)),
    *(T(0), T(23, 59, 59, 999_999), T(12, 30, fold=1), T(1, 2, 3, tzinfo=UTC)),
    *(T(1, tzinfo=ODD_OFFSET), T(1, tzinfo=NAMED)),
    *(DT(1, 1, 1), DT(9999, 12, 31, 23, 59, 59, 999_999), DT(2013, 1, 1, 0, 0, 0, 1)),
    *(DT(2013, 10, 27, 2, 30, fold=1), DT(2013, 1, 1, tzinfo=UTC), DT(2013, 1, 1, tzinfo=NAMED)),
    DT(2013, 1, 1, tzinfo=ODD_OFFSET),
    *(TD(0), TD(days=-1, microseconds=1), TD.max, TD.min, TD(microseconds=1), TD(hours=25)),
    *(
        uuid.UUID(int=0),
        uuid.UUID(int=2**128 - 1),
        uuid.UUID("12345678-1234-5678-1234-567812345678"),
    ),
    *([], [None], [1, "a", [2.5, [b"x"]]], list(range(300)), [[]], [{}]),
    *((), (1,), (1, (2, "x")), (None, True)),
    *({}, {"a": 1}, {"a": {"b": {"c": []}}}, {"": "", "é": 1}),
    *({1: "int key", "1": "str key"}, {None: 1}, {(1, 2): "tuple key"}, {2.5: 1, b"x": 2}),
    *({"$type": "date", "value": "2013-01-01"}, {"$type": "int"}, {"$type": {"$type": 1}}),
    *(set(), {1}, {"a", 2, None, (1, 2)}, {frozenset({1})}),
    *(frozenset(), frozenset({1, "a"}), frozenset({frozenset({2.5})})),
    [{"mixed": (D(2013, 1, 1), {Decimal("1.0"), "x"}, frozenset({uuid.UUID(int=5)}))}],
]
if PARIS is not None:
    VALUES += [
        DT(2013, 7, 1, 12, tzinfo=PARIS),
        DT(2013, 10, 27, 2, 30, tzinfo=PARIS, fold=0),
        DT(2013, 10, 27, 2, 30, tzinfo=PARIS, fold=1),
        T(12, 30, tzinfo=PARIS),
    ]

KEYS: list[Any] = [
    *(1, -5, 0, 2**63, 2**70, -(2**70), 1.5, math.inf, Decimal("1.25"), "", "a", "\ud800", "\0"),
    *("k" * 1000, b"", b"k", (), (1, "a"), ((1,), None), frozenset({1, "x"}), uuid.UUID(int=9)),
    *(D(2013, 1, 1), T(3), DT(2013, 1, 1), DT(2013, 1, 1, tzinfo=UTC), TD(1)),
]


def exactly(a: Any, b: Any) -> bool:
    """Equal with the same types throughout: NaN like NaN, -0.0 unlike 0.0, zones and folds too."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            exactly(k, m) and exactly(a[k], b[m]) for k, m in zip(a, b, strict=True)
        )
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(exactly(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, (set, frozenset)):
        return len(a) == len(b) and all(any(exactly(x, y) for y in b) for x in a)
    if isinstance(a, (datetime.datetime, datetime.time)):
        return (
            a.replace(tzinfo=None) == b.replace(tzinfo=None)
            and a.fold == b.fold
            and a.utcoffset() == b.utcoffset()
            and a.tzname() == b.tzname()
            and type(a.tzinfo) is type(b.tzinfo)
        )
    return repr(a) == repr(b)


def name_of(value: Any) -> str:
    """The value's type and beginning; a set's items in an order that all processes agree on."""
    text = ascii(sorted(value, key=ascii)) if isinstance(value, (set, frozenset)) else ascii(value)
    return f"{type(value).__name__}:{text[:30]}"
