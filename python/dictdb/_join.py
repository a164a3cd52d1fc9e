# SPDX-License-Identifier: Apache-2.0
"""Joins of tables, described step by step and read when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from dictdb import _async, _core
from dictdb._core import Condition, Field
from dictdb._options import check_bool, meant
from dictdb._plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Source: TypeAlias = _core.Table | _core.TableView
    Name: TypeAlias = str | Field
    On: TypeAlias = Name | tuple[Name, Name] | list[Name | tuple[Name, Name]]
    Value: TypeAlias = str | _core.Expression
    Columns: TypeAlias = (
        Iterable[Name | tuple[str, Value]]
        | Mapping[str, str]
        | Mapping[str, _core.Expression]
        | Mapping[str, Value]
    )
    OrderBy: TypeAlias = Value | _core.Order | list[Value | _core.Order]
    RawStep: TypeAlias = tuple[Any, ...]


class _Step(NamedTuple):
    source: Source
    keys: tuple[tuple[str, str], ...]
    is_left: bool
    prefix: str | None
    where: Condition | None  # Which rows of this step are kept


def _name(field: Name) -> str:
    if isinstance(field, Field):
        return field.field_name
    if isinstance(field, str):
        return field
    kind = type(field).__name__
    raise _core.UnsupportedTypeError(f"join: a field is a str or a Field, not {kind!r}")


def _pair(item: Name | tuple[Name, Name]) -> tuple[str, str]:
    if isinstance(item, tuple):
        if len(item) != 2:
            raise _core.InvalidArgumentError(
                f"join: on takes a field or a pair of fields, not {item!r}"
            )
        return _name(item[0]), _name(item[1])
    return _name(item), _name(item)


def _keys(on: On) -> tuple[tuple[str, str], ...]:
    pairs = tuple(_pair(item) for item in (on if isinstance(on, list) else [on]))
    if not pairs:
        raise _core.InvalidArgumentError("join: on names no field")
    return pairs


def _step(source: Source, on: On, how: str, prefix: str | None) -> _Step:
    if how not in ("inner", "left"):
        raise _core.InvalidArgumentError(
            f"join: how must be 'inner' or 'left', not {how!r}{meant(how, ('inner', 'left'))}"
        )
    if prefix is not None and not isinstance(prefix, str):
        kind = type(prefix).__name__
        raise _core.UnsupportedTypeError(f"join: prefix must be str or None, not {kind!r}")
    return _Step(source, _keys(on), how == "left", prefix, None)


def join(
    left: Source, other: Source, on: On, how: str = "inner", *, prefix: str | None = None
) -> Join:
    """Make the Join of two tables; `Table.join`."""
    _core._join_views((left, other))
    return Join(left, (_step(other, on, how, prefix),))


class Join:
    """Pairs of records of tables, equal on some fields: what `Table.join` returns.

    A description: each `select`, `count`, `aggregate` or `explain` reads one instant of all tables.
    The rows have the fields of the left table, then those of the joined one (`columns`).
    """

    __slots__ = ("_base", "_steps")
    __module__ = "dictdb"

    def __init__(self, base: Source, steps: tuple[_Step, ...]) -> None:
        self._base = base
        self._steps = steps

    def __repr__(self) -> str:
        text = repr(self._base.table_name)
        for step in self._steps:
            how = "left join" if step.is_left else "join"
            keys = ", ".join(f"{left} = {right}" for left, right in step.keys)
            text += f" {how} {step.source.table_name!r} on {keys}"
            text += f" where {step.where!r}" if step.where is not None else ""
        return f"<Join {text}>"

    def __getitem__(self, name: str) -> Field:
        """Return the Field of a name of the rows, such as ``join["orders.id"]``."""
        return Field(name)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Iterate over the rows of one instant."""
        return iter(self.select())

    @property
    def aio(self) -> AsyncJoin:
        """The same join for asyncio: ``await join.aio.select(...)``."""
        return AsyncJoin(self)

    # Describing

    def join(self, other: Source, on: On, how: str = "inner", *, prefix: str | None = None) -> Join:
        """Join the rows with one more table; names in `on` are the rows' and the other's."""
        _core._join_views((self._base, other))
        return Join(self._base, (*self._steps, _step(other, on, how, prefix)))

    def where(self, condition: Condition) -> Join:
        """Keep the rows that a Condition over their names holds for, and those of before."""
        if not isinstance(condition, Condition):
            kind = type(condition).__name__
            raise _core.UnsupportedTypeError(f"where must be a Condition, not {kind!r}")
        last = self._steps[-1]
        both = condition if last.where is None else last.where & condition
        return Join(self._base, (*self._steps[:-1], last._replace(where=both)))

    # Reading

    def _plan(self) -> tuple[_core.TableView, tuple[RawStep, ...], list[str]]:
        """The base and the steps as the core wants them, and the names of the rows."""
        views = _core._join_views((self._base, *(step.source for step in self._steps)))
        names = _fields(views[0])
        closed = views[0].schema is not None
        steps: list[RawStep] = []
        for step, view in zip(self._steps, views[1:], strict=True):
            added = _added(names, view, step)
            closed = closed and view.schema is not None
            columns = [(False, name, name) for name in names]
            columns += [(True, field, name) for field, name in added]
            names = names + [name for _, name in added]
            steps.append((view, step.is_left, step.keys, tuple(columns), step.where, closed))
        return views[0], tuple(steps), names

    def columns(self) -> list[str]:
        """Return the names of the rows' fields: the left table's, then the other's."""
        return self._plan()[2]

    def count(self, where: Condition | None = None) -> int:
        """Return the number of rows."""
        target = self if where is None else self.where(where)
        base, steps, _ = target._plan()
        return _core._join_count(base, steps)

    def select(
        self,
        columns: Columns | None = None,
        where: Condition | None = None,
        *,
        order_by: OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        distinct: bool = False,
    ) -> list[dict[str, Any]]:
        """Return the rows as dicts; the arguments are those of `Table.select`.

        Without an order rows come in the order of the left table, then of the other one.
        """
        target = self if where is None else self.where(where)
        base, steps, names = target._plan()
        wanted = names if columns is None else columns
        return _core._join_select(base, steps, wanted, order_by, limit, offset, distinct)

    def aggregate(self, where: Condition | None = None, group_by: Any = None, **named: Any) -> Any:
        """Return aggregates over the rows; the arguments are those of `Table.aggregate`."""
        target = self if where is None else self.where(where)
        base, steps, _ = target._plan()
        return _core._join_aggregate(base, steps, None, group_by, **named)

    def explain(
        self,
        where: Condition | None = None,
        group_by: Any = None,
        *,
        columns: Columns | None = None,
        order_by: OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        distinct: bool = False,
        analyze: bool = False,
        **named: Any,
    ) -> Plan:
        """Return the Plan of `select` with these arguments, or of `aggregate` with its own.

        Below a ``join`` stand its left side and how the right one is found: ``hash``, ``lookup``.
        ``analyze=True`` runs it. Joins before the last one are always run.
        """
        check_bool("analyze", analyze)
        target = self if where is None else self.where(where)
        base, steps, names = target._plan()
        if group_by is None and not named:
            wanted = names if columns is None else columns
            asked = (wanted, order_by, limit, offset, distinct)
            return Plan(_core._join_explain(base, steps, analyze, *asked))
        if columns is not None or distinct:
            raise _core.InvalidArgumentError(
                "explain: columns and distinct do not go with aggregates"
            )
        given = {"order_by": order_by, "limit": limit, "offset": offset or None}
        named |= {name: value for name, value in given.items() if value is not None}
        return Plan(_core._join_explain_aggregate(base, steps, analyze, None, group_by, **named))


class AsyncJoin:
    """The methods of a join that read, for asyncio: what `Join.aio` is.

    Most joins read all of their tables: each call runs in a thread of the loop's executor. A task
    that is cancelled waits for the end of what has begun.
    """

    __slots__ = ("_join",)

    def __init__(self, join: Join) -> None:
        self._join = join

    def __repr__(self) -> str:
        return f"<AsyncJoin of {self._join!r}>"

    async def columns(self) -> list[str]:
        """What `Join.columns` does, without holding the event loop up."""
        return await _async.call(self._join.columns, (), {})

    async def count(self, where: Condition | None = None) -> int:
        """What `Join.count` does, without holding the event loop up."""
        return await _async.call(self._join.count, (where,), {})

    async def select(
        self,
        columns: Columns | None = None,
        where: Condition | None = None,
        *,
        order_by: OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        distinct: bool = False,
    ) -> list[dict[str, Any]]:
        """What `Join.select` does, without holding the event loop up."""
        options = {"order_by": order_by, "limit": limit, "offset": offset, "distinct": distinct}
        return await _async.call(self._join.select, (columns, where), options)

    async def aggregate(
        self, where: Condition | None = None, group_by: Any = None, **named: Any
    ) -> Any:
        """What `Join.aggregate` does, without holding the event loop up."""
        return await _async.call(self._join.aggregate, (where, group_by), named)

    async def explain(
        self, where: Condition | None = None, group_by: Any = None, **options: Any
    ) -> Plan:
        """What `Join.explain` does, without holding the event loop up; with its arguments."""
        return await _async.call(self._join.explain, (where, group_by), options)


def _fields(view: _core.TableView) -> list[str]:
    """The fields of a table's records: those of its schema, or all that occur."""
    if view.schema is not None:
        return view.schema_fields()
    return view.columns() or [view.primary_key]


def _added(names: list[str], view: _core.TableView, step: _Step) -> list[tuple[str, str]]:
    """The fields that a table adds to rows with these names: (field, name in the rows)."""
    shared = {right for left, right in step.keys if left == right}
    taken = set(names)
    added = []
    for field in _fields(view):
        if step.prefix is not None:
            name = step.prefix + field
        elif field in shared:
            continue
        else:
            name = f"{view.table_name}.{field}" if field in names else field
        if name in taken:
            raise _core.InvalidArgumentError(
                f"join: two fields of the rows would be named {name!r}; give a prefix for the "
                f"fields of {view.table_name!r}"
            )
        taken.add(name)
        added.append((field, name))
    return added
