# SPDX-License-Identifier: Apache-2.0
"""The class of tables: the compiled Table, with fields as attributes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

from dictdb import _aio, _core, _plan, _schema, _state

if TYPE_CHECKING:
    from typing import Self


class Table(_core.Table):
    """A table of dict records that threads share.

    ``table.age`` is the Field named "age", as are ``table["age"]`` and ``table.field("age")``;
    the latter two work for any name, also for those of methods.
    """

    __slots__ = ()
    __module__ = "dictdb"

    @property
    def aio(self) -> _aio.AsyncTable:
        """The same table for asyncio: ``await table.aio.select(...)``."""
        return _aio.AsyncTable(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the table: one instant of it, as plain data.

        What comes back stands alone, outside of any database.
        """
        state = _state.state_of(self._view())
        arguments = type(self), self._missing, state
        return _state.restore_table, arguments, _state.attributes_of(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a copy that stands alone, of one instant."""
        return _state.copy_of(self, memo)

    def __copy__(self) -> NoReturn:
        raise _core.UnsupportedTypeError(
            "a table has no shallow copy: copy.deepcopy(table) copies all, table.copy() the records"
        )

    if sys.version_info >= (3, 12):  # Before that the compiled class does it, see table.c.
        __getattr__ = _core.Table._attribute


_core._register(Table, _schema.encode, _schema.decode, _plan.Plan)
