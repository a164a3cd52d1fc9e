# SPDX-License-Identifier: Apache-2.0
"""The class of tables: the compiled Table, with fields as attributes."""

from __future__ import annotations

import sys

from dictdb import _aio, _core, _plan, _schema


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

    if sys.version_info >= (3, 12):  # Before that the compiled class does it, see table.c.
        __getattr__ = _core.Table._attribute


_core._register(Table, _schema.encode, _schema.decode, _plan.Plan)
