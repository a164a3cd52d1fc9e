# SPDX-License-Identifier: Apache-2.0
"""The aggregates that `Table.aggregate` takes.

All pass over None and missing values. Numbers are int, float, Decimal and bool (as 0 and 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dictdb import _core
from dictdb._options import check_bool

if TYPE_CHECKING:
    from typing import Self

    from dictdb._core import Expression


class Count(_core.Aggregate):
    """How many records there are, or, with a field, how many of its values are not None."""

    __slots__ = ()
    __module__ = "dictdb"

    def __new__(cls, field: str | Expression | None = None) -> Self:
        return super().__new__(cls, "Count", field)


class Sum(_core.Aggregate):
    """The sum of the field's (or the expression's) numbers or timedeltas; None when there are none.

    Exact over int and Decimal. Floats are added with compensation; ints among them are summed
    exactly and added last.
    """

    __slots__ = ()
    __module__ = "dictdb"

    def __new__(cls, field: str | Expression) -> Self:
        return super().__new__(cls, "Sum", field)


class Avg(_core.Aggregate):
    """The sum divided by the count: a float; of Decimals a Decimal, of timedeltas a timedelta."""

    __slots__ = ()
    __module__ = "dictdb"

    def __new__(cls, field: str | Expression) -> Self:
        return super().__new__(cls, "Avg", field)


class Min(_core.Aggregate):
    """The least value of any kind, in the total order; NaN is the last of the numbers."""

    __slots__ = ()
    __module__ = "dictdb"

    def __new__(cls, field: str | Expression) -> Self:
        return super().__new__(cls, "Min", field)


class Max(_core.Aggregate):
    """The greatest value of any kind, in the total order; NaN is the last of the numbers."""

    __slots__ = ()
    __module__ = "dictdb"

    def __new__(cls, field: str | Expression) -> Self:
        return super().__new__(cls, "Max", field)


class CountDistinct(_core.Aggregate):
    """How many different values there are; 1, 1.0 and True are one, NaN is one."""

    __slots__ = ()
    __module__ = "dictdb"

    def __new__(cls, field: str | Expression) -> Self:
        return super().__new__(cls, "CountDistinct", field)


class First(_core.Aggregate):
    """The first value that is not None, in insertion order."""

    __slots__ = ()
    __module__ = "dictdb"

    def __new__(cls, field: str | Expression) -> Self:
        return super().__new__(cls, "First", field)


class Last(_core.Aggregate):
    """The last value that is not None, in insertion order."""

    __slots__ = ()
    __module__ = "dictdb"

    def __new__(cls, field: str | Expression) -> Self:
        return super().__new__(cls, "Last", field)


class StdDev(_core.Aggregate):
    """The standard deviation of a sample, a float; None for fewer than two numbers.

    ``population=True``: of the whole population, for which one number is enough.
    """

    __slots__ = ()
    __module__ = "dictdb"

    def __new__(cls, field: str | Expression, *, population: bool = False) -> Self:
        check_bool("StdDev(): population", population)
        return super().__new__(cls, "PopulationStdDev" if population else "StdDev", field)


class Median(_core.Aggregate):
    """The middle number, or the average of the two middle ones; NaN when a number is NaN."""

    __slots__ = ()
    __module__ = "dictdb"

    def __new__(cls, field: str | Expression) -> Self:
        return super().__new__(cls, "Median", field)


class Quantile(_core.Aggregate):
    """The number below which the part `q` (0 to 1) lies, a float; NaN when a number is NaN.

    Linear between the two nearest numbers, as numpy's default and as
    ``statistics.quantiles(..., method="inclusive")``: type 7 of Hyndman and Fan (1996).
    """

    __slots__ = ()
    __module__ = "dictdb"

    def __new__(cls, field: str | Expression, q: float) -> Self:
        return super().__new__(cls, "Quantile", field, q)


class Collect(_core.Aggregate):
    """A list of the values that are not None, in insertion order."""

    __slots__ = ()
    __module__ = "dictdb"

    def __new__(cls, field: str | Expression) -> Self:
        return super().__new__(cls, "Collect", field)
