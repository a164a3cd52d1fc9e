# SPDX-License-Identifier: Apache-2.0
"""A table or a database as plain data, and back: what pickling and deep copies are made of.

The state of a table is a dict of ``name``, ``primary_key``, ``schema`` (``None``, or a list of
dicts of ``name``, ``types`` and perhaps ``default``), ``next_key``, ``indexes`` (dicts of
``fields``, ``index_type`` and ``unique``) and ``records``. It holds nothing but
values that a table can hold.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

from dictdb import _core, _schema

if TYPE_CHECKING:
    from dictdb import DictDB, Table

State = dict[str, Any]
_Thing = TypeVar("_Thing", bound="DictDB | Table")
KEY_MAX = 2**63 - 1


def properties_of(view: _core.TableView) -> State:
    """Return the state of a table but for its records."""
    schema = view.schema
    return {
        "name": view.table_name,
        "primary_key": view.primary_key,
        "schema": None if schema is None else _schema.to_names(schema),
        "next_key": view._next_key(),
        "indexes": [
            {key: index[key] for key in ("fields", "index_type", "unique")}
            for index in view.indexes()
        ],
    }


def state_of(view: _core.TableView) -> State:
    """Return the state of a table."""
    return properties_of(view) | {"records": view.all()}


def schema_of(state: State) -> dict[str, Any] | None:
    """Return the schema in a state, as the makers of tables take it."""
    return None if state["schema"] is None else _schema.from_names(state["schema"])


def finish(table: Table, state: State) -> None:
    """Give a table that has its records what else the state says: indexes, the next key."""
    for index in state["indexes"]:
        table.create_index(
            [_path(field) for field in index["fields"]],
            index["index_type"],
            unique=index["unique"],
        )
    raise_next_key(table, state["next_key"])


def raise_next_key(table: Table, next_key: int) -> None:
    """Let automatic keys of a table that nobody else uses go on from `next_key` at least."""
    # Keys of records that are gone are never given again: one that has the last of them comes and
    # goes. The last key of all is used up or about to be: which, is not known.
    key = next_key - (next_key != KEY_MAX)
    if table._next_key() <= key:
        record = dict.fromkeys(table.schema_fields()) | {table.primary_key: key}
        table.insert(record, skip_validation=True)
        table.delete(where=table[table.primary_key] == key)


def _path(field: Any) -> Any:
    return tuple(field) if isinstance(field, list) else field


def fill(table: Table, state: State) -> None:
    """Fill a new table with a state's records and all else."""
    table.insert(state["records"], skip_validation=True)
    finish(table, state)


def attributes_of(thing: DictDB | Table) -> dict[str, Any] | None:
    """Return what a subclass's object has of its own, None for nothing."""
    return dict(vars(thing)) if hasattr(thing, "__dict__") else None


def database_state(db: DictDB) -> list[State]:
    """Return the states of all tables at one instant, each with ``missing``."""
    with db.snapshot() as snapshot:
        tables = db.tables
        return [
            state_of(snapshot[name]) | {"missing": tables.get(name, db)._missing}
            for name in snapshot
        ]


def restore_database(cls: type[DictDB], missing: Any, states: list[State]) -> DictDB:
    """Make a database of the states of its tables."""
    db: DictDB = cls.__new__(cls, missing=missing)
    for state in states:
        table = db.create_table(
            state["name"], state["primary_key"], schema_of(state), missing=state["missing"]
        )
        fill(table, state)
    return db


def restore_table(cls: type[Table], missing: Any, state: State) -> Table:
    """Make a table that stands alone of its state."""
    table: Table = cls.__new__(
        cls, state["name"], state["primary_key"], schema_of(state), missing=missing
    )
    fill(table, state)
    return table


def copy_of(thing: _Thing, memo: dict[int, Any]) -> _Thing:
    """Return a deep copy: what the thing is made of again is its own already."""
    make, arguments, attributes = thing.__reduce__()
    made: _Thing = make(*arguments)
    memo[id(thing)] = made
    if attributes:
        vars(made).update(copy.deepcopy(attributes, memo))
    return made
