# SPDX-License-Identifier: Apache-2.0
"""Conditions, columns, orders and aggregates as text, for the command: a small part of Python.

    age >= 18 and city in ("Oslo", "Rome") and not name.startswith("A")

Python's parser makes the tree; nothing is evaluated but what is listed here: fields, literals,
comparisons, and/or/not/in, arithmetic, subscripts, and the methods that `_METHODS` names. No name
is looked up anywhere, and no attribute of an object is read by a name that is not in a list here.
The text is bounded in length and its tree in depth, before anything recurses over it.
"""

from __future__ import annotations

import ast
import difflib
import operator
import warnings
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import dictdb
from dictdb import Condition, Expression, Field, Order
from dictdb._core import Aggregate

LENGTH_MAX = 10_000
DEPTH_MAX = 100
_METHODS = frozenset(
    "is_in between startswith endswith contains is_null is_not_null exists has_any has_all like "
    "ilike matches iequals icontains istartswith iendswith".split()
)
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_VALUES: dict[str, tuple[Callable[[str], Any], str]] = {
    "date": (date.fromisoformat, "2024-05-01"),
    "datetime": (datetime.fromisoformat, "2024-05-01 12:30"),
    "time": (time.fromisoformat, "12:30"),
    "decimal": (Decimal, "9.90"),
    "uuid": (UUID, "12345678-1234-5678-1234-567812345678"),
}
_AGGREGATES: dict[str, Callable[..., Aggregate]] = {
    "count": dictdb.Count,
    "count_distinct": dictdb.CountDistinct,
    "sum": dictdb.Sum,
    "avg": dictdb.Avg,
    "min": dictdb.Min,
    "max": dictdb.Max,
    "first": dictdb.First,
    "last": dictdb.Last,
    "median": dictdb.Median,
    "stddev": dictdb.StdDev,
    "quantile": dictdb.Quantile,
    "collect": dictdb.Collect,
}
# What people write who know Python, or SQL.
_METHOD_HINTS = {
    "lower": "use .iequals(text) or .ilike(pattern)",
    "upper": "use .iequals(text) or .ilike(pattern)",
    "casefold": "use .iequals(text) or .ilike(pattern)",
    "isin": "use field in (1, 2)",
}
_SQL_HINTS = {
    "<>": "compare with !=",
    "&&": "write and",
    "||": "write or",
    "=": "compare with ==",
}
_NO_FIELD = "; text is in quotes, and field('name') is one that may be missing"


class WhereError(Exception):
    """The text is not what it should be; the message says where, and what would be."""


class Parser:
    """Makes conditions and expressions of text, over a table that has these fields.

    fields: None, and any will do; else a bare name that is not among them is refused, and
    ``field("name")`` names any.
    """

    def __init__(self, fields: Iterable[str] | None = None) -> None:
        self._fields = None if fields is None else list(fields)

    # --- What is asked for ---

    def condition(self, text: str) -> Condition:
        """A condition, such as ``age > 3 and name.startswith("A")``."""
        made = self._make(text)
        if isinstance(made, Condition):
            return made
        raise WhereError(
            f"not a condition: {_short(text)}; compare it with something, as in x == 1"
        )

    def expression(self, text: str) -> Expression:
        """A field or an expression, such as ``price * stock``. Any field's bare name will do."""
        if self._fields is not None and text in self._fields:
            return Field(text)
        made = self._make(text)
        if isinstance(made, Expression):
            return made
        if isinstance(made, Condition):
            raise WhereError(f"not a field or an expression but a condition: {_short(text)}")
        raise WhereError(f"not a field or an expression: {_short(text)}")

    def columns(self, text: str | None) -> list[tuple[str, Expression]]:
        """Pairs of a name and an expression: ``name, worth=price * stock``."""
        columns = []
        for item in _items(text):
            name, source = _named(item)
            columns.append((name or item, self.expression(source)))
        return columns

    def order(self, text: str | None) -> list[Order]:
        """An order, such as ``-age, name``."""
        orders = []
        for item in _items(text):
            descending = item.startswith("-")
            expression = self.expression(item[1:].strip() if descending else item)
            orders.append(expression.desc() if descending else expression.asc())
        return orders

    def aggregate(self, text: str) -> tuple[str, Aggregate]:
        """An aggregate with its name, such as ``total=sum(price * stock)`` or ``count()``."""
        name, source = _named(text.strip())
        node = _parse(source)
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            raise WhereError(f"not an aggregate: {_short(text)}; write such as total=sum(price)")
        make = _AGGREGATES.get(node.func.id)
        if make is None:
            advice = _near(node.func.id, list(_AGGREGATES))
            raise WhereError(f"there is no aggregate {node.func.id!r}: {advice}")
        if node.keywords:
            raise WhereError(f"{node.func.id}() takes no named arguments: {_short(text)}")
        arguments = _guarded(text, lambda: [self._value(argument) for argument in node.args])
        try:
            return name or source, make(*arguments)
        except TypeError:
            usage = "quantile(price, 0.9)" if make is dictdb.Quantile else f"{node.func.id}(price)"
            raise WhereError(f"{_short(text)} is not how to ask: write such as {usage}") from None
        except (ValueError, ArithmeticError) as error:
            raise WhereError(f"{_short(text)}: {error}") from None

    # --- The tree ---

    def _make(self, text: str) -> Any:
        node = _parse(text)
        return _guarded(text, lambda: self._value(node))

    def _value(self, node: ast.expr) -> Any:
        maker = _MAKERS.get(type(node))
        if maker is None:
            raise _foreign(node)
        return maker(self, node)

    def _name(self, node: ast.Name) -> Field:
        name = node.id
        if self._fields is not None and name not in self._fields:
            raise WhereError(f"there is no field {name!r}: {_near(name, self._fields, _NO_FIELD)}")
        return Field(name)

    def _truth(self, node: ast.expr) -> Condition:
        made = self._value(node)
        if not isinstance(made, Condition):
            raise WhereError(f"{_source(node)} is no condition: compare it with something")
        return made

    def _constant(self, node: ast.Constant) -> Any:
        if node.value is ... or isinstance(node.value, complex):
            raise WhereError(f"{_source(node)} is not a value")
        return node.value

    def _list(self, node: ast.List | ast.Tuple | ast.Set) -> Any:
        return _KINDS[type(node)](self._literal(item) for item in node.elts)

    def _dict(self, node: ast.Dict) -> Any:
        keys = [key for key in node.keys if key is not None]
        if len(keys) < len(node.keys):
            raise _foreign(node)
        pairs = zip(keys, node.values, strict=True)
        return {self._literal(key): self._literal(value) for key, value in pairs}

    def _literal(self, node: ast.expr) -> Any:
        made = self._value(node)
        if isinstance(made, (Expression, Condition)):
            raise WhereError(f"{_source(node)} stands where only a value can")
        return made

    def _bool(self, node: ast.BoolOp) -> Condition:
        parts = [self._truth(part) for part in node.values]
        return (dictdb.And if isinstance(node.op, ast.And) else dictdb.Or)(*parts)

    def _unary(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.Not):
            return ~self._truth(node.operand)
        made = self._value(node.operand)
        is_number = isinstance(made, (int, float, Decimal, Expression))
        if not isinstance(node.op, (ast.USub, ast.UAdd)) or not is_number:
            raise _foreign(node)
        return -made if isinstance(node.op, ast.USub) else made

    def _binary(self, node: ast.BinOp) -> Any:
        if isinstance(node.op, (ast.BitAnd, ast.BitOr)):
            word = "and" if isinstance(node.op, ast.BitAnd) else "or"
            raise WhereError(f"{_source(node)}: write {word}")
        function = _ARITHMETIC.get(type(node.op))
        left, right = self._value(node.left), self._value(node.right)
        numbers = all(isinstance(side, (int, float, Decimal)) for side in (left, right))
        computed = isinstance(left, Expression) or isinstance(right, Expression)
        formats = isinstance(node.op, ast.Mod) and isinstance(left, (str, bytes))
        if function is None or formats or not (numbers or computed):
            raise _foreign(node)
        return function(left, right)

    def _compare(self, node: ast.Compare) -> Condition:
        made = [self._value(side) for side in (node.left, *node.comparators)]
        if any(isinstance(side, Condition) for side in made):
            raise WhereError(f"{_source(node)} compares a condition: join them with and, or")
        parts = [
            self._pair(op, left, right, node)
            for op, left, right in zip(node.ops, made, made[1:], strict=False)
        ]
        return parts[0] if len(parts) == 1 else dictdb.And(*parts)

    def _pair(self, op: ast.cmpop, left: Any, right: Any, node: ast.Compare) -> Condition:
        if isinstance(op, (ast.In, ast.NotIn)):
            found = self._in(left, right, node)
            return found if isinstance(op, ast.In) else ~found
        if isinstance(op, (ast.Is, ast.IsNot)):
            if right is not None or not isinstance(left, Expression):
                raise WhereError(f"{_source(node)}: only None comes after is; use ==")
            return left.is_null() if isinstance(op, ast.Is) else left.is_not_null()
        if not isinstance(left, Expression) and not isinstance(right, Expression):
            raise WhereError(f"{_source(node)} compares no field")
        made = _COMPARE[type(op)](left, right)
        assert isinstance(made, Condition)
        return made

    def _in(self, left: Any, right: Any, node: ast.Compare) -> Condition:
        if isinstance(right, Expression):
            return right.contains(left)
        if isinstance(left, Expression) and isinstance(right, (list, tuple, set)):
            return left.is_in(right)
        raise WhereError(f"{_source(node)}: write field in (1, 2) or 'text' in field")

    def _subscript(self, node: ast.Subscript) -> Expression:
        of, key = self._value(node.value), self._literal(node.slice)
        if not isinstance(of, Expression):
            raise WhereError(f"{_source(node)}: only what is in a field has parts")
        return of[key]

    def _attribute(self, node: ast.Attribute) -> Expression:
        source, name = _source(node.value), node.attr
        raise WhereError(f"what is in a field is {source}[{name!r}], not {source}.{name}")

    def _call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Name):
            return self._function(node.func.id, node)
        if isinstance(node.func, ast.Attribute):
            return self._method(node.func, node)
        raise _foreign(node)

    def _function(self, name: str, node: ast.Call) -> Any:
        if name not in ("field", "len", *_VALUES):
            known = "field, len, " + ", ".join(_VALUES)
            raise WhereError(f"there is no function {name!r}: there are {known}")
        if len(node.args) != 1 or node.keywords:
            raise WhereError(f"{_source(node)}: {name}() takes one argument")
        given = self._value(node.args[0])
        if name == "len":
            if isinstance(given, Expression):
                return given.len_()
            raise WhereError(f"{_source(node)}: len() is of a field")
        if not isinstance(given, str):
            raise WhereError(f"{_source(node)}: {name}() takes text in quotes")
        if name == "field":
            return Field(given)
        make, example = _VALUES[name]
        try:
            return make(given)
        except (ValueError, ArithmeticError):
            raise WhereError(f"{_source(node)} is no {name}: write such as {example}") from None

    def _method(self, func: ast.Attribute, node: ast.Call) -> Condition:
        of = self._value(func.value)
        if not isinstance(of, Expression) or func.attr not in _METHODS:
            advice = _METHOD_HINTS.get(func.attr) or _near(func.attr, sorted(_METHODS))
            raise WhereError(f"there is no .{func.attr}() of {_source(func.value)}: {advice}")
        args = [self._value(arg) for arg in node.args]
        named = {word.arg: self._literal(word.value) for word in node.keywords if word.arg}
        if len(named) < len(node.keywords) or not named.keys() <= {"escape"}:
            raise WhereError(f"{_source(node)}: the only named argument is escape=")
        made = getattr(of, func.attr)(*args, **named)
        assert isinstance(made, Condition)
        return made


_KINDS: dict[type[ast.expr], Callable[[Iterable[Any]], Any]] = {
    ast.List: list,
    ast.Tuple: tuple,
    ast.Set: set,
}
_MAKERS: dict[type[ast.expr], Callable[[Parser, Any], Any]] = {
    ast.Constant: Parser._constant,
    ast.Name: Parser._name,
    ast.List: Parser._list,
    ast.Tuple: Parser._list,
    ast.Set: Parser._list,
    ast.Dict: Parser._dict,
    ast.BoolOp: Parser._bool,
    ast.UnaryOp: Parser._unary,
    ast.BinOp: Parser._binary,
    ast.Compare: Parser._compare,
    ast.Subscript: Parser._subscript,
    ast.Attribute: Parser._attribute,
    ast.Call: Parser._call,
}


# --- Text to tree ---


def _parse(text: str) -> ast.expr:
    if not text.strip():
        raise WhereError("it is empty: see dictdb query --help")
    if len(text) > LENGTH_MAX:
        raise WhereError(f"it has {len(text):,} characters, at most {LENGTH_MAX:,} are read")
    if "\0" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
        raise WhereError("it has characters that cannot be part of it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Such as "\\d", which is what people mean
            node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise WhereError(_refusal(text, error)) from None
    except (RecursionError, MemoryError):  # How Python's parser says it
        raise _too_deep() from None
    _check_depth(node)
    return node


def _refusal(text: str, error: SyntaxError) -> str:
    place = f" at character {error.offset}" if error.offset else ""
    for sign, advice in _SQL_HINTS.items():
        at = max(0, (error.offset or 1) - len(sign))
        near = text.strip()[at : at + 2 * len(sign)]
        if sign in near and "==" not in near:
            return f"{_short(text)}{place}: {advice}"
    return f"{_short(text)}{place}: {error.msg}; see dictdb query --help"


def _check_depth(node: ast.AST) -> None:
    level: list[ast.AST] = [node]
    for _ in range(DEPTH_MAX):
        level = [child for parent in level for child in ast.iter_child_nodes(parent)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> WhereError:
    return WhereError(f"it is nested more than {DEPTH_MAX} levels deep: make it shorter")


def _guarded(text: str, make: Callable[[], Any]) -> Any:
    """Runs `make`, which may hand arguments of any kind to the methods of expressions."""
    try:
        return make()
    except (TypeError, ValueError, ArithmeticError) as error:
        raise WhereError(f"{_short(text)}: {error}") from None


def _named(item: str) -> tuple[str, str]:
    """The name and the source of ``name=source``; no name, and all of it."""
    name, equals, source = item.partition("=")
    if equals and name.strip().isidentifier() and not source.startswith("="):
        return name.strip(), source.strip()
    return "", item


def _items(text: str | None) -> list[str]:
    """The parts of a list with commas, but for commas in brackets and quotes."""
    text = text or ""
    parts, depth, quote, start, skip = [], 0, "", 0, False
    for place, char in enumerate(text):
        if skip:
            skip = False
        elif quote:
            skip = char == "\\"
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    parts.append(text[start:])
    found = [part.strip() for part in parts]
    if not all(found) and text:
        raise WhereError(f"there is nothing before or behind a comma: {_short(text)}")
    return [part for part in found if part]


# --- Words ---


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _source(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 80 else text[:77] + "..."


def _foreign(node: ast.expr) -> WhereError:
    return WhereError(f"{_source(node)} is not part of the language: see dictdb query --help")


def _near(name: str, known: list[str], otherwise: str = "") -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return f"there are {shown}{otherwise}"
