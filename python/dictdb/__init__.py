# SPDX-License-Identifier: Apache-2.0
"""DictDB: tables of dict records, in memory, safe and fast from any number of threads.

    from dictdb import DictDB

    db = DictDB()
    users = db.create_table("users")
    key = users.insert({"name": "Ada", "age": 36})
    adults = users.select(where=users.age >= 18)

Every statement is atomic. Readers wait for nothing but another thread's explicit write lock.
"""

from dictdb._aggregates import (
    Avg,
    Collect,
    Count,
    CountDistinct,
    First,
    Last,
    Max,
    Median,
    Min,
    Quantile,
    StdDev,
    Sum,
)
from dictdb._backup import BackupManager
from dictdb._core import (
    UNSET,
    And,
    Append,
    Change,
    Condition,
    CorruptFileError,
    Cursor,
    DatabaseInUseError,
    DeadlockError,
    DictDBError,
    DuplicateIndexError,
    DuplicateKeyError,
    DuplicateTableError,
    Expression,
    Field,
    ForkedProcessError,
    IndexNotFoundError,
    InvalidArgumentError,
    LimitError,
    LockOwnershipError,
    LockTimeoutError,
    MissingFileError,
    MultipleRecordsError,
    Not,
    Or,
    Order,
    PrimaryKeyError,
    ReadOnlyDatabaseError,
    RecordNotFoundError,
    RecordView,
    Remove,
    RWLock,
    SchemaValidationError,
    Snapshot,
    StorageError,
    TableNotFoundError,
    TableView,
    UnknownFieldError,
    UnsupportedTypeError,
    __version__,
)
from dictdb._database import DictDB
from dictdb._join import Join
from dictdb._logging import configure_logging, logger
from dictdb._plan import Plan
from dictdb._schema import Column
from dictdb._set import Backup, async_restore, list_backups, restore
from dictdb._table import Table
from dictdb._verify import CheckedFile, Problem, Report, verify

__all__ = [
    "UNSET",
    "And",
    "Append",
    "Avg",
    "Backup",
    "BackupManager",
    "Change",
    "CheckedFile",
    "Collect",
    "Column",
    "Condition",
    "CorruptFileError",
    "Count",
    "CountDistinct",
    "Cursor",
    "DatabaseInUseError",
    "DeadlockError",
    "DictDB",
    "DictDBError",
    "DuplicateIndexError",
    "DuplicateKeyError",
    "DuplicateTableError",
    "Expression",
    "Field",
    "First",
    "ForkedProcessError",
    "IndexNotFoundError",
    "InvalidArgumentError",
    "Join",
    "Last",
    "LimitError",
    "LockOwnershipError",
    "LockTimeoutError",
    "Max",
    "Median",
    "Min",
    "MissingFileError",
    "MultipleRecordsError",
    "Not",
    "Or",
    "Order",
    "Plan",
    "PrimaryKeyError",
    "Problem",
    "Quantile",
    "RWLock",
    "ReadOnlyDatabaseError",
    "RecordNotFoundError",
    "RecordView",
    "Remove",
    "Report",
    "SchemaValidationError",
    "Snapshot",
    "StdDev",
    "StorageError",
    "Sum",
    "Table",
    "TableNotFoundError",
    "TableView",
    "UnknownFieldError",
    "UnsupportedTypeError",
    "__version__",
    "async_restore",
    "configure_logging",
    "list_backups",
    "logger",
    "restore",
    "verify",
]
