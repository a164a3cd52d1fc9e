# SPDX-License-Identifier: Apache-2.0
# Stubs of the asyncio part: the methods of a table, whose arguments are those of _core.pyi.

from collections.abc import Hashable, Iterable
from typing import Any, Generic, Literal, Self, TypeVar, overload

from dictdb import _async, _core
from dictdb._database import DictDB
from dictdb._plan import Plan
from dictdb._table import Table

_T = TypeVar("_T")
_R = TypeVar("_R")

class AsyncTable:
    def __init__(self, table: Table) -> None: ...
    def __aiter__(self) -> AsyncCursor[dict[str, Any]]: ...
    @overload
    async def get(self, pk: Hashable) -> dict[str, Any] | None: ...
    @overload
    async def get(self, pk: Hashable, default: _T) -> dict[str, Any] | _T: ...
    @overload
    async def select(
        self,
        columns: _core._Columns | None = None,
        where: _core._Where | None = None,
        *,
        order_by: _core._OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        copy: Literal[True] = True,
        distinct: bool = False,
        threads: int | None = None,
    ) -> list[dict[str, Any]]: ...
    @overload
    async def select(
        self,
        columns: None = None,
        where: _core._Where | None = None,
        *,
        order_by: _core._OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        copy: Literal[False],
        distinct: bool = False,
        threads: int | None = None,
    ) -> list[_core.RecordView]: ...
    async def first(
        self, where: _core._Where | None = None, **options: Any
    ) -> dict[str, Any] | Any: ...
    async def one(self, where: _core._Where | None = None, **options: Any) -> dict[str, Any]: ...
    async def exists(self, where: _core._Where | None = None) -> bool: ...
    async def pluck(
        self, field: _core._Column, /, *fields: _core._Column, **options: Any
    ) -> list[Any]: ...
    @overload
    def iter(
        self,
        where: _core._Where | None = None,
        *,
        columns: _core._Columns | None = None,
        order_by: _core._OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        copy: Literal[True] = True,
        distinct: bool = False,
        batch_size: int = 256,
    ) -> AsyncCursor[dict[str, Any]]: ...
    @overload
    def iter(
        self,
        where: _core._Where | None = None,
        *,
        columns: None = None,
        order_by: _core._OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        copy: Literal[False],
        distinct: bool = False,
        batch_size: int = 256,
    ) -> AsyncCursor[_core.RecordView]: ...
    @overload
    async def aggregate(
        self, where: _core._Where | None = None, group_by: None = None, **named: _core.Aggregate
    ) -> dict[str, Any]: ...
    @overload
    async def aggregate(
        self, where: _core._Where | None = None, *, group_by: _core._GroupBy, **named: Any
    ) -> list[dict[str, Any]]: ...
    async def count(
        self, where: _core._Where | None = None, *, threads: int | None = None
    ) -> int: ...
    async def all(self) -> list[dict[str, Any]]: ...
    async def copy(self) -> dict[Any, dict[str, Any]]: ...
    async def columns(self) -> list[str]: ...
    async def size(self) -> int: ...
    async def has_changes(self) -> bool: ...
    async def get_dirty_records(self) -> list[dict[str, Any]]: ...
    async def get_deleted_pks(self) -> list[Any]: ...
    async def clear_dirty_tracking(self) -> None: ...
    async def stop_dirty_tracking(self) -> None: ...
    async def explain(
        self,
        where: _core._Where | None = None,
        group_by: _core._GroupBy | None = None,
        *,
        having: _core.Condition | None = None,
        order_by: _core._OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        distinct: bool = False,
        analyze: bool = False,
        columns: _core._Columns | None = None,
        threads: int | None = None,
        **named: _core.Aggregate,
    ) -> Plan: ...
    @overload
    async def insert(self, record: _core._Record, **options: Any) -> Any: ...
    @overload
    async def insert(self, record: Iterable[_core._Record], **options: Any) -> list[Any]: ...
    async def upsert(
        self,
        record: _core._Record,
        on_conflict: Literal["update", "ignore", "error"] = "update",
        **options: Any,
    ) -> tuple[Any, Literal["inserted", "updated", "ignored"]]: ...
    @overload
    async def update(
        self,
        changes: _core._Changes,
        where: _core._Where | None = None,
        *,
        limit: int | None = None,
        order_by: _core._OrderBy | None = None,
        returning: Literal["count"] = "count",
        missing: _core._Missing | None = None,
    ) -> int: ...
    @overload
    async def update(
        self,
        changes: _core._Changes,
        where: _core._Where | None = None,
        *,
        limit: int | None = None,
        order_by: _core._OrderBy | None = None,
        returning: Literal["old", "new"],
        missing: _core._Missing | None = None,
    ) -> list[dict[str, Any]]: ...
    async def update_many(self, updates: Iterable[Any], **options: Any) -> Any: ...
    @overload
    async def delete(
        self,
        where: _core._Where | None = None,
        *,
        limit: int | None = None,
        order_by: _core._OrderBy | None = None,
        returning: Literal["count"] = "count",
        missing: _core._Missing | None = None,
    ) -> int: ...
    @overload
    async def delete(
        self,
        where: _core._Where | None = None,
        *,
        limit: int | None = None,
        order_by: _core._OrderBy | None = None,
        returning: Literal["old"],
        missing: _core._Missing | None = None,
    ) -> list[dict[str, Any]]: ...
    async def create_index(
        self,
        field: _core._IndexFields,
        index_type: _core._IndexType = "hash",
        *,
        unique: bool = False,
    ) -> None: ...
    async def drop_index(
        self, field: _core._IndexFields, index_type: _core._IndexType | None = None
    ) -> None: ...
    async def export_csv(
        self,
        filepath: _core._Path,
        *,
        records: Iterable[_core._Record] | None = None,
        columns: Iterable[_core._FieldName] | None = None,
        where: _core._Where | None = None,
        delimiter: str = ",",
        encoding: str = "utf-8",
        null: str = "",
    ) -> int: ...
    async def export_ndjson(
        self,
        filepath: _core._Path,
        *,
        records: Iterable[_core._Record] | None = None,
        columns: Iterable[_core._FieldName] | None = None,
        where: _core._Where | None = None,
    ) -> int: ...

class AsyncCursor(Generic[_R]):
    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> _R: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc_info: object) -> None: ...
    @property
    def closed(self) -> bool: ...
    async def fetch(self, count: int | None = None) -> list[_R]: ...
    async def close(self) -> None: ...

class AsyncDatabase:
    def __init__(self, db: DictDB) -> None: ...
    def __getitem__(self, table_name: str) -> AsyncTable: ...
    async def create_table(
        self,
        table_name: str,
        primary_key: str = "id",
        schema: _core._Schema | None = None,
        *,
        missing: _core._Missing | None = None,
    ) -> Table: ...
    async def drop_table(self, table_name: str) -> None: ...
    async def save(
        self, filename: _async.StrPath, file_format: str | None = None, *, compression: int = 0
    ) -> None: ...
    async def import_csv(
        self,
        filepath: _core._Path,
        table_name: str,
        *,
        primary_key: str = "id",
        delimiter: str = ",",
        has_header: bool = True,
        encoding: str = "utf-8",
        schema: _core._Schema | None = None,
        infer_types: bool = True,
        skip_validation: bool = False,
        null: str = "",
    ) -> int: ...
    async def import_ndjson(
        self,
        filepath: _core._Path,
        table_name: str,
        *,
        primary_key: str = "id",
        schema: _core._Schema | None = None,
        skip_validation: bool = False,
    ) -> int: ...
    async def sync(self) -> None: ...
    async def checkpoint(self) -> None: ...
    async def close(self) -> None: ...
