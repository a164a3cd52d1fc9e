# SPDX-License-Identifier: Apache-2.0
# Stubs of the extension module. Types of records: a field's value is Any, since a table without a
# schema takes every type that can be stored; a primary key is any of those that are hashable.

from collections.abc import (
    Callable,
    Hashable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    ValuesView,
)
from os import PathLike
from types import TracebackType
from typing import Any, Literal, NoReturn, Protocol, Self, TypeAlias, TypeVar, final, overload

import dictdb
from dictdb._plan import Plan

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)

class _KeysAndGetItem(Protocol):
    def keys(self) -> Iterable[str]: ...
    def __getitem__(self, key: str, /) -> Any: ...

_Record: TypeAlias = Mapping[str, Any] | _KeysAndGetItem
_Path: TypeAlias = str | bytes | PathLike[str] | PathLike[bytes]
_FieldName: TypeAlias = str | Field
_IndexField: TypeAlias = str | Expression
_IndexFields: TypeAlias = _IndexField | list[Any] | tuple[_IndexField | tuple[Any, ...], ...]
_IndexType: TypeAlias = Literal["hash", "sorted"]
_Column: TypeAlias = str | Expression
_Columns: TypeAlias = Iterable[_Column] | Mapping[str, _Column] | Iterable[tuple[str, _Column]]
_Where: TypeAlias = Condition | Callable[[RecordView], object]
_GroupBy: TypeAlias = (
    _FieldName
    | Expression
    | Iterable[_FieldName | Expression | tuple[str, str | Expression]]
    | Mapping[str, str]
    | Mapping[str, Expression]
    | Mapping[str, str | Expression]
)
_Nulls: TypeAlias = Literal["first", "last"]
_OrderItem: TypeAlias = _Column | Order
_Changes: TypeAlias = _Record | Callable[[RecordView], _Record]
_OrderBy: TypeAlias = _OrderItem | list[_OrderItem] | tuple[_OrderItem, ...]
_Schema: TypeAlias = Mapping[str, Any]
_Missing: TypeAlias = Literal["ignore", "raise"]
_Progress: TypeAlias = Callable[[int, int], object] | bool

__version__: str
KIND_BITS: dict[str, int]

# --- Errors ---

class DictDBError(Exception):
    table: str | None
    field: str | None
    expected: str | None
    given: str | None

class CorruptFileError(DictDBError, ValueError):
    offset: int

class DeadlockError(DictDBError, RuntimeError): ...
class DuplicateIndexError(DictDBError, KeyError): ...
class DuplicateKeyError(DictDBError, KeyError): ...
class DuplicateTableError(DictDBError, KeyError): ...
class ForkedProcessError(DictDBError, RuntimeError): ...
class IndexNotFoundError(DictDBError, KeyError): ...
class InvalidArgumentError(DictDBError, ValueError): ...
class LimitError(DictDBError, ValueError, OverflowError): ...
class LockOwnershipError(DictDBError, RuntimeError): ...
class LockTimeoutError(DictDBError, TimeoutError): ...
class PrimaryKeyError(DictDBError, ValueError): ...
class RecordNotFoundError(DictDBError, KeyError): ...
class SchemaValidationError(DictDBError, ValueError): ...
class StorageError(DictDBError, OSError): ...
class DatabaseInUseError(DictDBError, OSError): ...
class ReadOnlyDatabaseError(DictDBError, OSError): ...
class MultipleRecordsError(DictDBError, ValueError): ...
class MissingFileError(StorageError, FileNotFoundError): ...
class TableNotFoundError(DictDBError, KeyError): ...
class UnknownFieldError(DictDBError, KeyError, AttributeError): ...
class UnsupportedTypeError(DictDBError, TypeError): ...

# --- Conditions ---

@final
class Condition:
    def __new__(cls, condition: _Where) -> Self: ...
    def __and__(self, other: _Where, /) -> Condition: ...
    def __rand__(self, other: _Where, /) -> Condition: ...
    def __or__(self, other: _Where, /) -> Condition: ...
    def __ror__(self, other: _Where, /) -> Condition: ...
    def __invert__(self) -> Condition: ...
    def __bool__(self) -> bool: ...

def And(*conditions: _Where) -> Condition: ...
def Or(*conditions: _Where) -> Condition: ...
def Not(condition: _Where, /) -> Condition: ...

class Expression:
    def __new__(cls, value: Any) -> Expression: ...
    def __getitem__(self, key: Hashable, /) -> Expression: ...
    def __eq__(self, other: object, /) -> Condition: ...  # type: ignore[override]
    def __ne__(self, other: object, /) -> Condition: ...  # type: ignore[override]
    def __lt__(self, other: Any, /) -> Condition: ...
    def __le__(self, other: Any, /) -> Condition: ...
    def __gt__(self, other: Any, /) -> Condition: ...
    def __ge__(self, other: Any, /) -> Condition: ...
    def __hash__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __len__(self) -> NoReturn: ...
    def __contains__(self, key: object, /) -> NoReturn: ...
    def __add__(self, other: Any, /) -> Expression: ...
    def __radd__(self, other: Any, /) -> Expression: ...
    def __sub__(self, other: Any, /) -> Expression: ...
    def __rsub__(self, other: Any, /) -> Expression: ...
    def __mul__(self, other: Any, /) -> Expression: ...
    def __rmul__(self, other: Any, /) -> Expression: ...
    def __truediv__(self, other: Any, /) -> Expression: ...
    def __rtruediv__(self, other: Any, /) -> Expression: ...
    def __floordiv__(self, other: Any, /) -> Expression: ...
    def __rfloordiv__(self, other: Any, /) -> Expression: ...
    def __mod__(self, other: Any, /) -> Expression: ...
    def __rmod__(self, other: Any, /) -> Expression: ...
    def __neg__(self) -> Expression: ...
    def len_(self) -> Expression: ...
    def is_in(self, values: Iterable[Any], /) -> Condition: ...
    def between(self, low: Any, high: Any, /) -> Condition: ...
    def startswith(self, prefix: str | bytes | Expression, /) -> Condition: ...
    def endswith(self, suffix: str | bytes | Expression, /) -> Condition: ...
    def contains(self, item: Any, /) -> Condition: ...
    def is_null(self) -> Condition: ...
    def is_not_null(self) -> Condition: ...
    def exists(self) -> Condition: ...
    def has_any(self, values: Iterable[Any], /) -> Condition: ...
    def has_all(self, values: Iterable[Any], /) -> Condition: ...
    def like(self, pattern: str, escape: str | None = None) -> Condition: ...
    def ilike(self, pattern: str, escape: str | None = None) -> Condition: ...
    def matches(self, regex: str, flags: int = 0) -> Condition: ...
    def iequals(self, text: str, /) -> Condition: ...
    def icontains(self, text: str, /) -> Condition: ...
    def istartswith(self, prefix: str, /) -> Condition: ...
    def iendswith(self, suffix: str, /) -> Condition: ...
    def asc(self, *, nulls: _Nulls | None = None) -> Order: ...
    def desc(self, *, nulls: _Nulls | None = None) -> Order: ...

@final
class Order:
    def __new__(
        cls, key: _Column, *, descending: bool = False, nulls: _Nulls | None = None
    ) -> Self: ...
    @property
    def key(self) -> _Column: ...
    @property
    def descending(self) -> bool: ...
    @property
    def nulls(self) -> _Nulls | None: ...

@final
class Field(Expression):
    def __new__(cls, name: str) -> Self: ...
    @property
    def field_name(self) -> str: ...

# --- Aggregates ---

class Aggregate:
    def __new__(
        cls, kind: str, field: str | Expression | None = None, quantile: float = 0
    ) -> Self: ...

@final
class Change: ...

UNSET: Change

def Append(item: Any, /) -> Change: ...
def Remove(item: Any, /) -> Change: ...

# --- Locks ---

@final
class _LockGuard:
    def __enter__(self) -> RWLock: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class _TablesGuard:
    def __enter__(self) -> tuple[dictdb.Table, ...]: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class RWLock:
    def __new__(cls, name: str | None = None) -> Self: ...
    def acquire_read(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def acquire_write(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release_read(self) -> None: ...
    def release_write(self) -> None: ...
    def read_lock(self, timeout: float | None = None) -> _LockGuard: ...
    def write_lock(self, timeout: float | None = None) -> _LockGuard: ...
    def stats(self) -> dict[str, Any]: ...

# --- Records and tables ---

@final
class RecordView(Mapping[str, Any]):
    def __getitem__(self, key: str, /) -> Any: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: Any, /) -> bool: ...
    def __le__(self, other: Any, /) -> bool: ...
    def __gt__(self, other: Any, /) -> bool: ...
    def __ge__(self, other: Any, /) -> bool: ...
    def __copy__(self) -> dict[str, Any]: ...
    @overload
    def get(self, key: str, /) -> Any: ...
    @overload
    def get(self, key: str, default: _T, /) -> Any | _T: ...
    def keys(self) -> KeysView[str]: ...
    def values(self) -> ValuesView[Any]: ...
    def items(self) -> ItemsView[str, Any]: ...
    def copy(self) -> dict[str, Any]: ...

@final
class Cursor(Iterator[_T_co]):
    def __iter__(self) -> Self: ...
    def __next__(self) -> _T_co: ...
    def __length_hint__(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    @property
    def closed(self) -> bool: ...
    def fetch(self, count: int | None = None) -> list[_T_co]: ...
    def close(self) -> None: ...

class _Source:
    @property
    def table_name(self) -> str: ...
    @property
    def primary_key(self) -> str: ...
    @property
    def schema(self) -> dict[str, Any] | None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Cursor[dict[str, Any]]: ...
    def __contains__(self, pk: object, /) -> bool: ...
    def __getitem__(self, name: str, /) -> Field: ...
    def __getattr__(self, name: str, /) -> Field: ...
    def _attribute(self, name: str, /) -> Field: ...
    def field(self, name: str) -> Field: ...
    @overload
    def get(self, pk: Hashable) -> dict[str, Any] | None: ...
    @overload
    def get(self, pk: Hashable, default: _T) -> dict[str, Any] | _T: ...
    @overload
    def select(
        self,
        columns: _Columns | None = None,
        where: _Where | None = None,
        *,
        order_by: _OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        copy: Literal[True] = True,
        distinct: bool = False,
        threads: int | None = None,
    ) -> list[dict[str, Any]]: ...
    @overload
    def select(
        self,
        columns: None = None,
        where: _Where | None = None,
        *,
        order_by: _OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        copy: Literal[False],
        distinct: bool = False,
        threads: int | None = None,
    ) -> list[RecordView]: ...
    @overload
    def select(
        self,
        columns: _Columns | None = None,
        where: _Where | None = None,
        *,
        order_by: _OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        copy: bool = True,
        distinct: bool = False,
        threads: int | None = None,
    ) -> list[dict[str, Any]] | list[RecordView]: ...
    @overload
    def first(
        self,
        where: _Where | None = None,
        *,
        columns: _Columns | None = None,
        order_by: _OrderBy | None = None,
        offset: int = 0,
        default: None = None,
        copy: Literal[True] = True,
    ) -> dict[str, Any] | None: ...
    @overload
    def first(
        self,
        where: _Where | None = None,
        *,
        columns: _Columns | None = None,
        order_by: _OrderBy | None = None,
        offset: int = 0,
        default: _T,
        copy: Literal[True] = True,
    ) -> dict[str, Any] | _T: ...
    @overload
    def first(
        self,
        where: _Where | None = None,
        *,
        columns: None = None,
        order_by: _OrderBy | None = None,
        offset: int = 0,
        default: Any = None,
        copy: Literal[False],
    ) -> RecordView | Any: ...
    @overload
    def one(
        self,
        where: _Where | None = None,
        *,
        columns: _Columns | None = None,
        copy: Literal[True] = True,
    ) -> dict[str, Any]: ...
    @overload
    def one(
        self, where: _Where | None = None, *, columns: None = None, copy: Literal[False]
    ) -> RecordView: ...
    def exists(self, where: _Where | None = None) -> bool: ...
    @overload
    def pluck(
        self,
        field: _Column,
        /,
        *,
        where: _Where | None = None,
        order_by: _OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        distinct: bool = False,
        threads: int | None = None,
    ) -> list[Any]: ...
    @overload
    def pluck(
        self,
        field: _Column,
        /,
        *fields: _Column,
        where: _Where | None = None,
        order_by: _OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        distinct: bool = False,
        threads: int | None = None,
    ) -> list[tuple[Any, ...]]: ...
    @overload
    def iter(
        self,
        where: _Where | None = None,
        *,
        columns: _Columns | None = None,
        order_by: _OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        copy: Literal[True] = True,
        distinct: bool = False,
        batch_size: int = 256,
    ) -> Cursor[dict[str, Any]]: ...
    @overload
    def iter(
        self,
        where: _Where | None = None,
        *,
        columns: None = None,
        order_by: _OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        copy: Literal[False],
        distinct: bool = False,
        batch_size: int = 256,
    ) -> Cursor[RecordView]: ...
    def join(
        self,
        other: Table | TableView,
        on: _FieldName
        | tuple[_FieldName, _FieldName]
        | list[_FieldName | tuple[_FieldName, _FieldName]],
        how: Literal["inner", "left"] = "inner",
        *,
        prefix: str | None = None,
    ) -> dictdb.Join: ...
    @overload
    def aggregate(
        self,
        where: _Where | None = None,
        group_by: None = None,
        *,
        threads: int | None = None,
        **named: Aggregate,
    ) -> dict[str, Any]: ...
    @overload
    def aggregate(
        self,
        where: _Where | None = None,
        *,
        group_by: _GroupBy,
        having: Condition | None = None,
        order_by: _OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        threads: int | None = None,
        **named: Aggregate,
    ) -> list[dict[str, Any]]: ...
    @overload
    def aggregate(
        self,
        where: _Where | None,
        group_by: _GroupBy,
        *,
        having: Condition | None = None,
        order_by: _OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        threads: int | None = None,
        **named: Aggregate,
    ) -> list[dict[str, Any]]: ...
    def count(self, where: _Where | None = None, *, threads: int | None = None) -> int: ...
    def all(self) -> list[dict[str, Any]]: ...
    def copy(self) -> dict[Any, dict[str, Any]]: ...
    def columns(self) -> list[str]: ...
    def size(self) -> int: ...
    def len(self) -> int: ...
    def explain(
        self,
        where: _Where | None = None,
        group_by: _GroupBy | None = None,
        *,
        having: Condition | None = None,
        order_by: _OrderBy | None = None,
        limit: int | None = None,
        offset: int = 0,
        distinct: bool = False,
        analyze: bool = False,
        columns: _Columns | None = None,
        threads: int | None = None,
        **named: Aggregate,
    ) -> Plan: ...
    def export_csv(
        self,
        filepath: _Path,
        *,
        records: Iterable[_Record] | None = None,
        columns: Iterable[_FieldName] | None = None,
        where: _Where | None = None,
        delimiter: str = ",",
        encoding: str = "utf-8",
        null: str = "",
        progress: _Progress | None = None,
    ) -> int: ...
    def export_ndjson(
        self,
        filepath: _Path,
        *,
        records: Iterable[_Record] | None = None,
        columns: Iterable[_FieldName] | None = None,
        where: _Where | None = None,
        progress: _Progress | None = None,
    ) -> int: ...
    def indexed_fields(self) -> list[str]: ...
    def indexes(self) -> list[dict[str, Any]]: ...
    def has_index(self, field: _IndexFields) -> bool: ...
    def primary_key_name(self) -> str: ...
    def schema_fields(self) -> list[str]: ...
    def has_changes(self) -> bool: ...
    def get_dirty_records(self) -> list[dict[str, Any]]: ...
    def get_deleted_pks(self) -> list[Any]: ...
    def _mark(self) -> None: ...
    def _next_key(self) -> int: ...

@final
class TableView(_Source): ...

class Table(_Source):
    def __new__(
        cls,
        name: str,
        primary_key: str = "id",
        schema: _Schema | None = None,
        *,
        missing: _Missing = "ignore",
    ) -> Self: ...
    def clear_dirty_tracking(self) -> None: ...
    def stop_dirty_tracking(self) -> None: ...
    @property
    def lock(self) -> RWLock: ...
    @property
    def _lock(self) -> RWLock: ...
    @property
    def _missing(self) -> _Missing: ...
    def _view(self) -> TableView: ...
    @property
    def column_budget(self) -> int: ...
    @column_budget.setter
    def column_budget(self, value: int | None) -> None: ...
    @overload
    def insert(
        self,
        record: _Record,
        *,
        batch_size: int | None = None,
        skip_validation: bool = False,
        returning: Literal["key"] = "key",
    ) -> Any: ...
    @overload
    def insert(
        self,
        record: _Record,
        *,
        batch_size: int | None = None,
        skip_validation: bool = False,
        returning: Literal["new"],
    ) -> dict[str, Any]: ...
    @overload
    def insert(
        self,
        record: _Record | Iterable[_Record],
        *,
        batch_size: int | None = None,
        skip_validation: bool = False,
        returning: Literal["count"],
    ) -> int: ...
    @overload
    def insert(
        self,
        record: Iterable[_Record],
        *,
        batch_size: int | None = None,
        skip_validation: bool = False,
        returning: Literal["key"] = "key",
    ) -> list[Any]: ...
    @overload
    def insert(
        self,
        record: Iterable[_Record],
        *,
        batch_size: int | None = None,
        skip_validation: bool = False,
        returning: Literal["new"],
    ) -> list[dict[str, Any]]: ...
    @overload
    def upsert(
        self,
        record: _Record,
        on_conflict: Literal["update", "ignore", "error"] = "update",
        *,
        returning: Literal["action"] = "action",
    ) -> tuple[Any, Literal["inserted", "updated", "ignored"]]: ...
    @overload
    def upsert(
        self,
        record: _Record,
        on_conflict: Literal["update", "ignore", "error"] = "update",
        *,
        returning: Literal["count"],
    ) -> int: ...
    @overload
    def upsert(
        self,
        record: _Record,
        on_conflict: Literal["update", "ignore", "error"] = "update",
        *,
        returning: Literal["new"],
    ) -> dict[str, Any]: ...
    @overload
    def upsert(
        self,
        record: _Record,
        on_conflict: Literal["update", "ignore", "error"] = "update",
        *,
        returning: Literal["old"],
    ) -> dict[str, Any] | None: ...
    @overload
    def update(
        self,
        changes: _Changes,
        where: _Where | None = None,
        *,
        limit: int | None = None,
        order_by: _OrderBy | None = None,
        returning: Literal["count"] = "count",
        missing: _Missing | None = None,
    ) -> int: ...
    @overload
    def update(
        self,
        changes: _Changes,
        where: _Where | None = None,
        *,
        limit: int | None = None,
        order_by: _OrderBy | None = None,
        returning: Literal["old", "new"],
        missing: _Missing | None = None,
    ) -> list[dict[str, Any]]: ...
    @overload
    def update_many(
        self,
        updates: Iterable[_Record | tuple[_Changes, _Where]],
        *,
        returning: Literal["count"] = "count",
        missing: _Missing | None = None,
    ) -> int: ...
    @overload
    def update_many(
        self,
        updates: Iterable[_Record | tuple[_Changes, _Where]],
        *,
        returning: Literal["old", "new"],
        missing: _Missing | None = None,
    ) -> list[dict[str, Any]]: ...
    @overload
    def delete(
        self,
        where: _Where | None = None,
        *,
        limit: int | None = None,
        order_by: _OrderBy | None = None,
        returning: Literal["count"] = "count",
        missing: _Missing | None = None,
    ) -> int: ...
    @overload
    def delete(
        self,
        where: _Where | None = None,
        *,
        limit: int | None = None,
        order_by: _OrderBy | None = None,
        returning: Literal["old"],
        missing: _Missing | None = None,
    ) -> list[dict[str, Any]]: ...
    def validate_record(self, record: _Record) -> None: ...
    def create_index(
        self, field: _IndexFields, index_type: _IndexType = "hash", *, unique: bool = False
    ) -> None: ...
    def drop_index(self, field: _IndexFields, index_type: _IndexType | None = None) -> None: ...
    def memory(self) -> dict[str, int]: ...

# --- Databases ---

@final
class Snapshot:
    @property
    def commit(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __getitem__(self, table_name: str, /) -> TableView: ...
    def __contains__(self, table_name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def list_tables(self) -> list[str]: ...
    def save(
        self,
        filename: _Path,
        file_format: str | None = None,
        *,
        compression: int = 0,
        progress: _Progress | None = None,
    ) -> None: ...
    def close(self) -> None: ...

class DictDB:
    def __new__(cls, missing: _Missing = "ignore") -> Self: ...
    @property
    def _missing(self) -> _Missing: ...
    @property
    def tables(self) -> dict[str, dictdb.Table]: ...
    def __getitem__(self, table_name: str, /) -> dictdb.Table: ...
    def __contains__(self, table_name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def create_table(
        self,
        table_name: str,
        primary_key: str = "id",
        schema: _Schema | None = None,
        *,
        missing: _Missing | None = None,
    ) -> dictdb.Table: ...
    def drop_table(self, table_name: str) -> None: ...
    def get_table(self, table_name: str) -> dictdb.Table: ...
    def list_tables(self) -> list[str]: ...
    def write_lock(
        self, *tables: str | dictdb.Table, timeout: float | None = None
    ) -> _TablesGuard: ...
    def import_csv(
        self,
        filepath: _Path,
        table_name: str,
        *,
        primary_key: str = "id",
        delimiter: str = ",",
        has_header: bool = True,
        encoding: str = "utf-8",
        schema: _Schema | None = None,
        infer_types: bool = True,
        skip_validation: bool = False,
        null: str = "",
        progress: _Progress | None = None,
    ) -> int: ...
    def import_ndjson(
        self,
        filepath: _Path,
        table_name: str,
        *,
        primary_key: str = "id",
        schema: _Schema | None = None,
        skip_validation: bool = False,
        progress: _Progress | None = None,
    ) -> int: ...
    def snapshot(self) -> Snapshot: ...
    def memory(self) -> dict[str, int]: ...
    def save(
        self,
        filename: _Path,
        file_format: str | None = None,
        *,
        compression: int = 0,
        progress: _Progress | None = None,
    ) -> None: ...
    @classmethod
    def open(
        cls,
        path: _Path,
        durability: Literal["commit", "interval", "none"] = "commit",
        *,
        interval: float = 1.0,
        missing: _Missing = "ignore",
        progress: _Progress | None = None,
    ) -> Self: ...
    def sync(self) -> None: ...
    def checkpoint(self, *, progress: _Progress | None = None) -> None: ...
    def log_info(self) -> dict[str, Any]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...
    @classmethod
    def load(
        cls, filename: _Path, file_format: str | None = None, *, progress: _Progress | None = None
    ) -> Self: ...
    @classmethod
    def _load_chain(
        cls, paths: tuple[bytes, ...], progress: _Progress | None, failed: list[int], /
    ) -> Self: ...
    def _keys_raise(self, path: bytes, /) -> None: ...

# --- The module ---

def process_memory() -> int: ...

_FileInfo: TypeAlias = tuple[str, int, int, int, int, int, int, int, int, int, int]

def _save_delta(
    snapshot: Snapshot,
    before: Snapshot,
    before_path: bytes,
    path: bytes,
    compression: int,
    progress: _Progress | None,
    /,
) -> None: ...
def _file_describe(path: bytes, /) -> _FileInfo: ...
def _file_verify(path: bytes, progress: _Progress | None, /) -> _FileInfo: ...
def _directory_verify(path: bytes, progress: _Progress | None, /) -> _FileInfo: ...
def _join_views(sources: tuple[Table | TableView, ...], /) -> tuple[TableView, ...]: ...
def _join_count(base: TableView, steps: tuple[Any, ...], /) -> int: ...
def _join_select(
    base: TableView,
    steps: tuple[Any, ...],
    columns: Any,
    order_by: Any,
    limit: int | None,
    offset: int,
    distinct: bool,
    /,
) -> list[dict[str, Any]]: ...
def _join_explain(
    base: TableView,
    steps: tuple[Any, ...],
    analyze: bool,
    columns: Any,
    order_by: Any,
    limit: Any,
    offset: Any,
    distinct: Any,
    /,
) -> list[Any]: ...
def _join_explain_aggregate(
    base: TableView, steps: tuple[Any, ...], analyze: bool, /, *args: Any, **kwargs: Any
) -> list[Any]: ...
def _join_aggregate(
    base: TableView, steps: tuple[Any, ...], /, *args: Any, **kwargs: Any
) -> Any: ...
def _register_files(
    progress_bar: Callable[[str, Any], Any],
    pickle_save: Callable[..., None],
    pickle_load: Callable[..., Any],
    pickle_is_one: Callable[[bytes], bool],
    /,
) -> None: ...
def _replace_file(path: bytes, pieces: Iterable[bytes], /) -> None: ...
def _register(
    table_class: type[Table],
    schema_encode: Callable[[Any], list[tuple[Any, ...]]],
    schema_decode: Callable[[list[tuple[Any, ...]]], dict[str, Any]],
    plan_class: type[Plan],
    /,
) -> None: ...

class WaitRefusedError(Exception): ...

def _without_waiting(
    table: Table,
    function: Callable[..., _T],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    /,
) -> _T: ...
def _cancellable(
    is_cancelled: Callable[[], bool],
    function: Callable[..., _T],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    /,
) -> _T: ...
def _weight(where: object, /) -> int | None: ...
def _is_kept(table: Table, /) -> bool: ...
def _is_locked(table: Table, /) -> bool: ...
def _log_function(function: Callable[[str, str | None, Any, Any], None], /) -> None: ...
def _log_statements(is_on: bool, /) -> None: ...

# Only in builds made with -Dtesting=true.
def _test_fault(name: str | None, /) -> None: ...
def _test_points() -> list[str]: ...
def _test_race(count: int, /) -> int: ...
def _test_sleep(point: str, milliseconds: int, /) -> None: ...
def _test_starve(count: int, /) -> bool: ...
def _test_yield(period: int, seed: int = 0, /) -> None: ...
