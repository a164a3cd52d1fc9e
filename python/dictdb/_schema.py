# SPDX-License-Identifier: Apache-2.0
"""Schemas: what the types of a schema mean, in both directions.

The extension module calls `encode` with the schema that a user gave and `decode` with what the
core has; between them stand rows ``(name, bits)`` or ``(name, bits, default)``, a bit per kind.
"""

from __future__ import annotations

import datetime
import decimal
import types
import typing
import uuid
from collections.abc import Mapping

from dictdb import _core

_MISSING: typing.Any = object()
_NULL_BIT: int = _core.KIND_BITS["None"]

_TYPES: tuple[type, ...] = (
    bool,
    int,
    float,
    str,
    bytes,
    list,
    dict,
    tuple,
    set,
    frozenset,
    datetime.date,
    datetime.datetime,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    uuid.UUID,
)
_BITS: dict[object, int] = {kind: _core.KIND_BITS[kind.__name__] for kind in _TYPES}
_BITS[None] = _BITS[type(None)] = _NULL_BIT
# The types with most bits first: float takes an int, so its bits include those of int.
_DECODING: tuple[tuple[int, type], ...] = tuple(
    sorted(((_BITS[kind], kind) for kind in _TYPES), key=lambda row: -row[0].bit_count())
)


class Column:
    """A field of a schema with more than a type.

    ``Column(type, default=value)``: a record without the field gets the default. Without a default
    it is the same as the type alone: every record must have the field.
    """

    __slots__ = ("_default", "_type")

    def __init__(self, type: object, *, default: object = _MISSING) -> None:
        self._type = type
        self._default = default

    @property
    def type(self) -> object:
        """The type: a class, or a union of classes."""
        return self._type

    @property
    def has_default(self) -> bool:
        """Whether there is a default."""
        return self._default is not _MISSING

    @property
    def default(self) -> object:
        """The default; AttributeError without one."""
        if self._default is _MISSING:
            raise AttributeError("this Column has no default")
        return self._default

    def __repr__(self) -> str:
        name = getattr(self._type, "__name__", None) if isinstance(self._type, type) else None
        shown = name or repr(self._type)
        return (
            f"Column({shown}, default={self._default!r})"
            if self.has_default
            else f"Column({shown})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Column):
            return NotImplemented
        return self._type == other._type and (
            self._default == other._default
            if self.has_default and other.has_default
            else self.has_default == other.has_default
        )

    __hash__ = None  # type: ignore[assignment]


def _bits_of(field: str, annotation: object) -> int:
    origin = typing.get_origin(annotation)
    if origin is typing.Union or origin is types.UnionType:
        bits = 0
        for part in typing.get_args(annotation):
            bits |= _bits_of(field, part)
        return bits
    try:
        return _BITS[annotation]
    except (KeyError, TypeError):
        names = ", ".join(kind.__name__ for kind in _TYPES) + ", None"
        raise _core.UnsupportedTypeError(
            f"schema field {field!r}: {annotation!r} is not a type that can be stored; "
            f"use one of {names}, a union of them such as int | None, or Column(type, default=...)"
        ) from None


def encode(schema: object) -> list[tuple[typing.Any, ...]]:
    """Returns the rows of a schema, a mapping of field names to types or Columns."""
    if not isinstance(schema, Mapping):
        raise _core.UnsupportedTypeError(
            f"a schema is a dict of field names to types, not {type(schema).__name__!r}"
        )
    rows: list[tuple[typing.Any, ...]] = []
    for name, annotation in schema.items():
        if not isinstance(name, str):
            raise _core.UnsupportedTypeError(f"schema: field names must be str, not {name!r}")
        if isinstance(annotation, Column):
            bits = _bits_of(name, annotation.type)
            rows.append(
                (name, bits, annotation.default) if annotation.has_default else (name, bits)
            )
        else:
            rows.append((name, _bits_of(name, annotation)))
    return rows


def _annotation_of(bits: int) -> typing.Any:
    annotation: typing.Any = None
    for kind_bits, kind in _DECODING:
        if bits & kind_bits == kind_bits:
            annotation = kind if annotation is None else annotation | kind
            bits &= ~kind_bits
    if bits & _NULL_BIT:
        annotation = type(None) if annotation is None else annotation | None
    return annotation


def decode(rows: list[tuple[typing.Any, ...]]) -> dict[str, typing.Any]:
    """Returns the schema of these rows: field names to types, or to Columns with a default."""
    schema: dict[str, typing.Any] = {}
    for name, bits, *default in rows:
        annotation = _annotation_of(bits)
        schema[name] = Column(annotation, default=default[0]) if default else annotation
    return schema


_NAMES: dict[str, object] = {kind.__name__: kind for kind in _TYPES} | {"None": None}


def to_names(schema: Mapping[str, object]) -> list[dict[str, typing.Any]]:
    """Returns a schema as plain data: for each field its name, its types' names, its default."""
    rows: list[dict[str, typing.Any]] = []
    for name, bits, *default in encode(schema):
        annotation = _annotation_of(bits)
        types_ = typing.get_args(annotation) or (annotation,)
        names = ["None" if kind is type(None) else kind.__name__ for kind in types_]
        rows.append({"name": name, "types": names} | ({"default": default[0]} if default else {}))
    return rows


def from_names(rows: typing.Iterable[Mapping[str, typing.Any]]) -> dict[str, typing.Any]:
    """Returns the schema of such rows."""
    schema: dict[str, typing.Any] = {}
    for row in rows:
        bits = 0
        for name in row["types"]:
            bits |= _bits_of(row["name"], _NAMES.get(name, name))
        annotation = _annotation_of(bits)
        schema[row["name"]] = (
            Column(annotation, default=row["default"]) if "default" in row else annotation
        )
    return schema
