# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="no-untyped-call"
"""Aggregates in plain Python: the naive evaluation that aggregate() is compared with, and random
aggregate queries over random records."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import math
import statistics
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random
from typing import Any

import dictdb
from dictdb import (
    Avg,
    Collect,
    Condition,
    Count,
    CountDistinct,
    Field,
    First,
    Last,
    Max,
    Median,
    Min,
    Order,
    Quantile,
    StdDev,
    Sum,
)
from oracle import compare, is_nan
from query_twin import (
    Reading,
    Record,
    field_term,
    ordered,
    ordering,
    random_cond,
    random_order,
    random_term,
)
from samples import exactly

EXACT = decimal.Context(prec=50_000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
PLAIN = decimal.Context(prec=28)
AGGREGATES: dict[str, Callable[[Any], dictdb.Aggregate]] = {
    "count": Count,
    "sum": Sum,
    "avg": Avg,
    "min": Min,
    "max": Max,
    "distinct": CountDistinct,
    "first": First,
    "last": Last,
    "stddev": StdDev,
    "pstddev": lambda field: StdDev(field, population=True),
    "median": Median,
    "quantile": lambda field: Quantile(field, 0.3),
    "collect": Collect,
}
NUMERIC = ("sum", "avg", "stddev", "pstddev", "median", "quantile")


def float_sum(values: list[float], whole: int) -> float:
    """Neumaier's sum, then the ints' sum."""
    total = lost = 0.0
    for value in values:
        new = total + value
        lost += (total - new) + value if abs(total) >= abs(value) else (value - new) + total
        total = new
    return (total + lost if math.isfinite(lost) else total) + float(whole)


def naive_sum(values: list[Any]) -> Any:
    whole = sum(v for v in values if isinstance(v, int))
    if any(isinstance(v, Decimal) for v in values):
        special = [v for v in values if isinstance(v, Decimal) and not v.is_finite()]
        if special:
            kinds = {"NaN" if v.is_nan() else str(v) for v in special}
            return Decimal("NaN" if len(kinds) > 1 else kinds.pop())
        total = Decimal(0).scaleb(max(v.as_tuple().exponent for v in values if type(v) is Decimal))
        for value in values:
            total = EXACT.add(total, Decimal(value))
        return total
    if any(isinstance(v, float) for v in values):
        return float_sum([v for v in values if isinstance(v, float)], whole)
    return whole


def naive_avg(values: list[Any]) -> Any:
    total = naive_sum(values)
    return (
        PLAIN.divide(total, Decimal(len(values))) if type(total) is Decimal else total / len(values)
    )


def naive_quantile(values: list[Any], q: float) -> float:
    if any(is_nan(v) for v in values):
        return math.nan
    ranked = sorted(values)
    place = q * (len(ranked) - 1)
    rank = int(place)
    part = place - rank
    low, high = float(ranked[rank]), float(ranked[min(rank + 1, len(ranked) - 1)])
    if low == high or part == 0:
        return low
    return low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part)


def naive_median(values: list[Any]) -> Any:
    if any(is_nan(v) for v in values):
        return math.nan
    ranked = sorted(values)
    middle = (len(ranked) - 1) // 2
    return ranked[middle] if len(ranked) % 2 else naive_avg(ranked[middle : middle + 2])


def naive_deviation(values: list[Any], *, population: bool) -> float | None:
    if len(values) < (1 if population else 2):
        return None
    reals = [float(v) for v in values]
    if any(math.isnan(v) or math.isinf(v) for v in reals):
        return math.nan
    if any(abs(v) > 1e150 for v in reals):
        return math.inf  # Their squares are.
    return statistics.pstdev(reals) if population else statistics.stdev(reals)


def extreme(values: list[Any], sign: int) -> Any:
    best = values[0]
    for value in values:
        if compare(value, best) == sign:
            best = value
    return best


def distinct_count(values: list[Any]) -> int:
    kept: list[Any] = []
    for value in values:
        if not any(alike(value, other) for other in kept):
            kept.append(value)
    return len(kept)


def naive(name: str, values: list[Any]) -> Any:
    """The aggregate of values, None among them."""
    values = [v for v in values if v is not None]
    if name == "count":
        return len(values)
    if name == "distinct":
        return distinct_count(values)
    if name == "collect":
        return values
    if not values:
        return None
    made: dict[str, Callable[[], Any]] = {
        "sum": lambda: naive_sum(values),
        "avg": lambda: naive_avg(values),
        "min": lambda: extreme(values, -1),
        "max": lambda: extreme(values, 1),
        "first": lambda: values[0],
        "last": lambda: values[-1],
        "stddev": lambda: naive_deviation(values, population=False),
        "pstddev": lambda: naive_deviation(values, population=True),
        "median": lambda: naive_median(values),
        "quantile": lambda: naive_quantile(values, 0.3),
    }
    return made[name]()


def alike(a: Any, b: Any) -> bool:
    """Whether two values are of one group: ==, and NaN like NaN."""
    if isinstance(a, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(alike(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    return bool(a == b or (a != a and b != b))


def groups_of(rows: list[dict[str, Any]], fields: list[str]) -> list[list[dict[str, Any]]]:
    groups: list[list[dict[str, Any]]] = []
    for row in rows:
        for group in groups:
            if all(alike(row.get(f), group[0].get(f)) for f in fields):
                group.append(row)
                break
        else:
            groups.append([row])
    return groups


def same(name: str, got: Any, expected: Any, values: list[Any]) -> bool:
    if name in ("stddev", "pstddev") and isinstance(expected, float):
        if not math.isfinite(expected):
            return expected == math.inf or math.isnan(got)
        # A float that a value was rounded to may be off by half its last place.
        largest = max(abs(float(v)) for v in values if v is not None)
        return math.isclose(got, expected, rel_tol=1e-6, abs_tol=1e-6 + 1e-15 * largest)
    if name in ("median", "quantile"):  # Of equal numbers, 0.0 and -0.0 too, any.
        return alike(got, expected)
    return exactly(got, expected)


# --- Random aggregate queries ---


class Refused(Exception):
    """The values cannot be aggregated so: UnsupportedTypeError is expected."""


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, Decimal))


def _mixes(values: list[Any]) -> bool:
    kinds = set(map(type, values))
    return float in kinds and Decimal in kinds


def _durations(kind: str, values: list[datetime.timedelta]) -> Any:
    total = sum(values, datetime.timedelta())
    return total if kind == "sum" else total / len(values)


def answer_of(kind: str, values: list[Any]) -> Any:
    """naive(), of values of any kind."""
    known = [value for value in values if value is not None]
    if kind in ("min", "max") and known:
        best = known[0]
        for value in known:
            key, least = ordering(value), ordering(best)
            best = value if (key < least if kind == "min" else key > least) else best
        return best
    if kind == "distinct":
        return len(set(map(ordering, known)))
    if kind in NUMERIC and known:
        if kind in ("sum", "avg") and all(isinstance(v, datetime.timedelta) for v in known):
            return _durations(kind, known)
        if not all(map(_is_number, known)) or (kind in ("sum", "avg") and _mixes(known)):
            raise Refused(kind, known)
    return naive(kind, values)


@dataclasses.dataclass
class Aggregation:
    """One aggregate query in both languages."""

    where: Condition | None
    holds: Reading
    groups: list[tuple[str, Any, Reading]]  # name, the library's, reads
    aggregates: list[tuple[str, str, Any, Reading]]  # name, kind, the library's, reads
    having: Condition | None = None
    is_kept: Reading = lambda row: True
    order_by: list[Any] = dataclasses.field(default_factory=list)
    orders: list[tuple[Reading, bool, bool]] = dataclasses.field(default_factory=list)
    limit: int | None = None
    offset: int = 0

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {name: made for name, _, made, _ in self.aggregates}
        if self.groups:
            options["group_by"] = {name: of for name, of, _ in self.groups}
            options["having"] = self.having
            options["order_by"] = self.order_by or None
            options["limit"] = self.limit
            options["offset"] = self.offset
        return {"where": self.where, **options}

    def gathered(self, records: list[Record]) -> list[list[Record]]:
        found = [record for record in records if self.holds(record)]
        if not self.groups:
            return [found]
        groups: dict[Any, list[Record]] = {}
        for record in found:
            key = tuple(ordering(read(record)) for _, _, read in self.groups)
            groups.setdefault(key, []).append(record)
        return list(groups.values())

    def answer(self, records: list[Record]) -> list[tuple[Record, list[Record]]]:
        """Rows, each with the records it is of. Refused."""
        rows = []
        for group in self.gathered(records):
            row = {name: read(group[0]) for name, _, read in self.groups}
            for name, kind, _, read in self.aggregates:
                values = [read(record) for record in group]
                row[name] = len(group) if kind == "records" else answer_of(kind, values)
            rows.append((row, group))
        of = {id(row): group for row, group in rows}
        kept = ordered([row for row, _ in rows if self.is_kept(row)], self.orders)
        end = None if self.limit is None else self.offset + self.limit
        return [(row, of[id(row)]) for row in kept[self.offset : end]]

    def check(self, got: Any, expected: list[tuple[Record, list[Record]]]) -> None:
        rows = got if self.groups else [got]
        assert len(rows) == len(expected), f"{len(rows)} groups instead of {len(expected)}: {rows}"
        for row, (known, group) in zip(rows, expected, strict=True):
            assert list(row) == list(known)
            for name, of, read in self.groups:
                assert exactly(row[name], known[name]), (name, of, read, row, known)
            for name, kind, made, read in self.aggregates:
                values = [read(record) for record in group]
                assert same(kind, row[name], known[name], values), (made, row[name], known[name])


def random_aggregation(
    rng: Random, records: list[Record], names: Sequence[str] | None = None
) -> Aggregation:
    where, holds = random_cond(rng, records, 2, names) if rng.random() < 0.6 else (None, _any)
    made = Aggregation(where, holds, [], [])
    for number in range(rng.choice((0, 1, 1, 1, 2, 3))):
        of, read, _ = random_term(rng, rng.choice((0, 0, 0, 1)), names)
        if names is None and rng.random() < 0.25:
            of, read, _ = field_term("one")
        made.groups.append((f"group {number}", of, read))
    exact = [name for name, _, _ in made.groups]
    for number in range(rng.choice((1, 2, 2, 3, 6))):
        name = f"value {number}"
        kind = rng.choice(("records", *AGGREGATES))
        of, read, _ = random_term(rng, rng.choice((0, 0, 1)), names)
        if kind in NUMERIC and rng.random() < 0.6 and names is None:
            of, read, _ = field_term("one")  # In many worlds all are numbers
        elif kind in NUMERIC and rng.random() < 0.9:
            of, read = of.len_(), lambda record, read=read: _length(read(record))
            if rng.random() < 0.6:
                number_of = rng.choice((0.1, -0.5, 2**62, 10**25, Decimal("0.1"), 1e200))
                of, read = of * number_of, lambda record, r=read, n=number_of: _times(r(record), n)
        if kind == "median" and _mixes([read(record) for record in records]):
            kind = "max"  # Which of two equal numbers is in the middle is open
        if kind == "records":
            made.aggregates.append((name, kind, Count(), read))
        else:
            made.aggregates.append((name, kind, AGGREGATES[kind](of), read))
        if kind not in ("stddev", "pstddev", "median", "quantile"):
            exact.append(name)
    if made.groups and exact:
        if rng.random() < 0.4:
            rows = _rows(made, records)
            made.having, made.is_kept = random_cond(rng, rows, 1, exact)
        for _ in range(rng.choice((0, 1, 2))):
            item, meaning = random_order(rng, exact)
            made.order_by.append(_by_what_it_is_of(item, made.groups))
            made.orders.append(meaning)
        if rng.random() < 0.4:
            made.limit, made.offset = rng.choice((None, 0, 1, 3)), rng.choice((0, 0, 1, 4))
    return made


def _by_what_it_is_of(item: Any, groups: list[tuple[str, Any, Reading]]) -> Any:
    """An order by the name of every other group says what that is of instead."""
    if isinstance(item, Order) and isinstance(item.key, Field):
        for name, of, _ in groups[::2]:
            if item.key.field_name == name:
                return Order(of, descending=item.descending, nulls=item.nulls)
    return item


def _any(record: Record) -> bool:
    return True


def _length(value: Any) -> int | None:
    sized = isinstance(value, (str, bytes, list, tuple, dict, set, frozenset))
    return len(value) if sized else None


def _times(value: int | None, number: Any) -> Any:
    if value is None:
        return None
    with decimal.localcontext(PLAIN):
        return value * number


def _rows(query: Aggregation, records: list[Record]) -> list[Record]:
    try:
        return [row for row, _ in query.answer(records)]
    except Refused:
        return []
