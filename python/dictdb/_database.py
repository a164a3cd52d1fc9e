# SPDX-License-Identifier: Apache-2.0
"""The class of databases: the compiled DictDB, with files for asyncio."""

from __future__ import annotations

from dictdb import _core
from dictdb._async import async_load, async_save


class DictDB(_core.DictDB):
    """A database: named tables of dict records, in memory, shared by threads.

    ``DictDB(missing="raise")`` lets update and delete raise RecordNotFoundError when nothing
    matches; with ``"ignore"`` they return 0.
    """

    __slots__ = ()
    __module__ = "dictdb"

    async_save = async_save
    async_load = classmethod(async_load)
