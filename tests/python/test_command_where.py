# SPDX-License-Identifier: Apache-2.0
"""The command's conditions: they mean what Python means, and nothing but the language is run."""

from __future__ import annotations

import ast
import builtins
import functools
import operator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dictdb
from dictdb import DictDB, Table, _cli_where
from dictdb._cli_where import DEPTH_MAX, LENGTH_MAX, Parser, WhereError

RECORDS: list[dict[str, Any]] = [
    {"id": 1, "a": 1, "b": 5, "s": "tea", "tags": ["x", "y"], "n": None, "at": {"city": "Oslo"}},
    {"id": 2, "a": -3, "b": 5, "s": "teapot", "tags": [], "n": 2, "at": {"city": "Rome"}},
    {"id": 3, "a": 0, "b": -1, "s": "", "tags": ["y"], "n": None, "at": {"city": ""}},
    {"id": 4, "a": 7, "b": 7, "s": "Tea", "tags": ["x", "x", "z"], "n": 0, "at": {"city": "Oslo"}},
]
FIELDS = list(RECORDS[0])


@pytest.fixture
def table() -> Table:
    made = DictDB().create_table("t")
    made.insert(RECORDS)
    return made


def keys(table: Table, text: str) -> list[int]:
    return table.pluck("id", where=Parser(table.columns()).condition(text))


# --- The language ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a == 1", [1]),
        ("a != 1 and b == 5", [2]),
        ("a < 0 or b < 0", [2, 3]),
        ("not (a < 0 or b < 0)", [1, 4]),
        ("-3 <= a < 1", [2, 3]),
        ("0 < a < b", [1]),
        ("s in ('tea', 'Tea')", [1, 4]),
        ("s in ['tea'] or s in {'Tea'}", [1, 4]),
        ("s not in ('tea', 'Tea')", [2, 3]),
        ("'x' in tags", [1, 4]),
        ("'x' not in tags", [2, 3]),
        ("'ea' in s", [1, 2, 4]),
        ("n is None", [1, 3]),
        ("n is not None", [2, 4]),
        ("n == None", [1, 3]),
        ("a + b * 2 == 7", [2]),
        ("-a == 3", [2]),
        ("+a == 7", [4]),
        ("b / 2 > 3", [4]),
        ("b // 2 == 2 and b % 2 == 1", [1, 2]),
        ("a - 2 * 3 == 1", [4]),
        ("a > 1.5", [4]),
        ("a > decimal('1.5')", [4]),
        ("len(tags) == 2 or len(s) == 6", [1, 2]),
        ("at['city'] == 'Oslo'", [1, 4]),
        ("at == {'city': 'Rome'}", [2]),
        ("tags[0] == 'x' and tags[-1] == 'y'", [1]),
        ("tags == []", [2]),
        ("field('a') == 7", [4]),
        ("field('not there') == 7", []),
        ("field('not there') is None and a == 1", [1]),
        ("s.startswith('tea')", [1, 2]),
        ("s.startswith('tea') and not s.endswith('pot')", [1]),
        ("s.like('t__')", [1]),
        ("s.like('t!%', escape='!')", []),
        ("s.ilike('T%')", [1, 2, 4]),
        (r"s.matches('^\w{3}$')", [1, 4]),
        ("s.iequals('TEA') or s.icontains('POT')", [1, 2, 4]),
        ("s.istartswith('TE') and s.iendswith('A')", [1, 4]),
        ("a.between(0, b)", [1, 4]),
        ("a.is_in([1, 7])", [1, 4]),
        ("tags.has_any(['z', 'y'])", [1, 3, 4]),
        ("tags.has_all(('x', 'y'))", [1]),
        ("tags.contains('z')", [4]),
        ("n.is_null() or n.is_not_null() and n.exists()", [1, 2, 3, 4]),
        ("  a == 1  ", [1]),
        ("True == a", [1]),
        ("a == 0x7", [4]),
    ],
)
def test_what_a_condition_means(table: Table, text: str, expected: list[int]) -> None:
    assert keys(table, text) == expected


def test_values_that_have_no_literal() -> None:
    table = DictDB().create_table("t")
    uuid = "12345678-1234-5678-1234-567812345678"
    table.insert(
        {
            "day": date(2024, 5, 1),
            "at": datetime(2024, 5, 1, 12, 30),
            "clock": time(12, 30),
            "price": Decimal("9.90"),
            "key": UUID(uuid),
            "raw": b"ab",
        }
    )
    for text in (
        "day == date('2024-05-01')",
        "at > datetime('2024-05-01 12:29')",
        "clock <= time('12:30')",
        "price == decimal('9.9')",
        f"key == uuid('{uuid}')",
        "raw == b'ab'",
    ):
        assert keys(table, text) == [1], text


def test_columns_orders_and_aggregates(table: Table) -> None:
    parser = Parser(table.columns())
    columns = parser.columns("id, s, sum=a + b,at['city'], c = 2 * a")
    assert [name for name, _ in columns] == ["id", "s", "sum", "at['city']", "c"]
    order = parser.order("-b, a")
    assert table.pluck("id", order_by=order) == [4, 2, 1, 3]
    named = dict(
        parser.aggregate(text) for text in ("count()", "n=sum(a + b)", "q=quantile(a, 0.5)")
    )
    assert table.aggregate(**named) == {"count()": 4, "n": 21, "q": 0.5}
    assert parser.columns(None) == parser.columns("") == parser.order(None) == []


def test_commas_in_brackets_and_quotes_part_nothing() -> None:
    parser = Parser(["a", "any name, with = commas"])
    names = [name for name, _ in parser.columns(r"field('x,\',y'), d=a[(1,2)], a[',']")]
    assert names == [r"field('x,\',y')", "d", "a[',']"]
    assert parser.columns("a")[0][0] == "a"
    assert parser.expression("any name, with = commas").field_name == "any name, with = commas"  # type: ignore[attr-defined]


# --- What it refuses ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("   ", "it is empty"),
        ("a = 3", "compare with =="),
        ("a <> 3", "compare with !="),
        ("a == 1 && b == 2", "write and"),
        ("a == 1 || b == 2", "write or"),
        ("a == 1 & b == 2", "write and"),
        ("a == ", "invalid syntax"),
        ("a == 'x", "unterminated"),
        ("aa == 1", "did you mean 'a'?"),
        ("s == tea", "text is in quotes"),
        ("nothing == 1", "there are id, a, b"),
        ("a", "compare it with something"),
        ("a == 1 and b", "compare it with something"),
        ("not a", "compare it with something"),
        ("1 == 1", "compares no field"),
        ("(a == 1) == 2", "compares"),
        ("(a == 1) == b", "compares a condition"),
        ("a is 3", "use =="),
        ("a in 3", "write field in"),
        ("a in b in 3", "write field in"),
        ("s.lower() == 'x'", "use .iequals"),
        ("s.likes('x')", "did you mean 'like'?"),
        ("s.like()", "missing"),
        ("s.like('a!', escape='!')", "escape"),
        ("s.like('a', wrong='!')", "the only named argument is escape="),
        ("s.like('a', **{'escape': '!'})", "the only named argument is escape="),
        ("s.like(*['a'])", "is not part of the language"),
        ("s.matches('(')", "missing closing parenthesis"),
        ("at.city == 'x'", "at['city']"),
        ("date('x') == a", "write such as 2024-05-01"),
        ("date(3) == a", "text in quotes"),
        ("date(a) == a", "text in quotes"),
        ("decimal('x') == a", "write such as 9.90"),
        ("date() == a", "takes one argument"),
        ("date('2024-05-01', x=1) == a", "takes one argument"),
        ("len('x') == 1", "len() is of a field"),
        ("foo(a) == 1", "there is no function 'foo'"),
        ("1[0] == a", "only what is in a field has parts"),
        ("a[b] == 1", "stands where only a value can"),
        ("a in (b, 1)", "stands where only a value can"),
        ("at == {'x': b}", "stands where only a value can"),
        ("at == {**a}", "is not part of the language"),
        ("at == {[1]: 2}", "unhashable"),
        ("a / 0 == 1 / 0", "division by zero"),
        ("a == 1 + decimal('1') + 1.5", "unsupported operand"),
        ("a ** 2 == 1", "is not part of the language"),
        ("a == 2 ** 99", "is not part of the language"),
        ("a == 'x' * 99", "is not part of the language"),
        ("s == '%s' % a", "is not part of the language"),
        ("s == '%9999999999s' % a", "is not part of the language"),
        ("s == b'%a' % a", "is not part of the language"),
        ("a == ~1", "is not part of the language"),
        ("-s.like('x')", "is not part of the language"),
        ("a @ b == 1", "is not part of the language"),
        ("a == ...", "is not a value"),
        ("a == 1j", "is not a value"),
        ("tags[0:1] == 1", "is not part of the language"),
        ("[x for x in tags] == 1", "is not part of the language"),
        ("(lambda: a)() == 1", "is not part of the language"),
        ("(a := 3) == 1", "is not part of the language"),
        ("a if b else a", "is not part of the language"),
        ("f'{a}' == s", "is not part of the language"),
        ("a; b", "invalid syntax"),
        ("import os", "invalid syntax"),
        ("a == '\udc80'", "cannot be part of it"),
        ("a == 1\0", "cannot be part of it"),
    ],
)
def test_what_is_refused_says_what_to_write(table: Table, text: str, words: str) -> None:
    with pytest.raises(WhereError) as refusal:
        keys(table, text)
    assert words in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    ("method", "text", "words"),
    [
        ("expression", "a == 1", "not a field or an expression but a condition"),
        ("expression", "3", "not a field or an expression"),
        ("columns", "a,,b", "before or behind a comma"),
        ("columns", "a,", "before or behind a comma"),
        ("columns", "x=", "it is empty"),
        ("order", "-", "it is empty"),
        ("order", "a desc", "invalid syntax"),
        ("aggregate", "a", "not an aggregate"),
        ("aggregate", "n=a.count()", "not an aggregate"),
        ("aggregate", "smu(a)", "did you mean 'sum'?"),
        ("aggregate", "zzz(a)", "there are count, count_distinct"),
        ("aggregate", "sum()", "write such as sum(price)"),
        ("aggregate", "quantile(a)", "write such as quantile(price, 0.9)"),
        ("aggregate", "quantile(a, 2)", "from 0 to 1"),
        ("aggregate", "sum(a, b)", "write such as sum(price)"),
        ("aggregate", "sum(field=a)", "takes no named arguments"),
        ("aggregate", "sum(aa)", "did you mean 'a'?"),
        ("aggregate", "sum(1 / 0)", "division by zero"),
    ],
)
def test_other_texts_are_refused_likewise(method: str, text: str, words: str) -> None:
    with pytest.raises(WhereError) as refusal:
        getattr(Parser(FIELDS), method)(text)
    assert words in str(refusal.value)


# --- Hostile texts ---


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true') == 0",
        "().__class__.__base__.__subclasses__() == a",
        "a.__class__ == 1",
        "a.__init__.__globals__ == 1",
        "a.desc() == 1",
        "a._secret() == 1",
        "s.matches.__self__ == 1",
        "field.__call__('a') == 1",
        "date.fromisoformat('2024-01-01') == a",
        "open('x') == a",
        "eval('1') == a",
        "getattr(a, 'x') == 1",
        "print == 1",
        "(yield) == a",
        "await a == 1",
    ],
)
def test_no_text_reaches_what_is_not_listed(
    table: Table, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def must_not_run(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"{text} ran something")

    monkeypatch.setattr("os.system", must_not_run)
    for name in ("eval", "open"):
        monkeypatch.setattr(builtins, name, must_not_run)
    with pytest.raises(WhereError):
        keys(table, text)


@pytest.mark.parametrize(
    "text",
    [
        "a == " + "-" * 9000 + "1",
        "not " * 2000 + "a == 1",
        "a" + "[0]" * 3000 + " == 1",
        "a" + " + 1" * 2400 + " == 1",
        "(" * 4000 + "a" + ")" * 4000 + " == 1",
        "a == " + "[" * 150 + "]" * 150,
        "s" + ".x" * 4900,
        "len(" * 1900 + "a" + ")" * 1900,
        "a if b else " * 800 + "a",
        "(a == 1 or " * 150 + "a == 2" + ")" * 150,
    ],
)
def test_deep_texts_are_refused(text: str) -> None:
    assert len(text) <= LENGTH_MAX
    with pytest.raises(WhereError, match=r"nested|parentheses"):
        Parser(FIELDS).condition(text)


def test_the_deepest_text_is_taken(table: Table) -> None:
    count = DEPTH_MAX - 3
    sums = " + 1" * count
    assert keys(table, f"a{sums} == {7 + count}") == [4]
    with pytest.raises(WhereError, match=f"more than {DEPTH_MAX} levels"):
        keys(table, f"a{sums} + 1 == 1")


def test_the_longest_text_is_taken(table: Table) -> None:
    wide = " or ".join(["a == 1"] * 900)
    assert keys(table, wide) == [1]
    assert keys(table, "a == 1" + " " * (LENGTH_MAX - 6)) == [1]
    assert keys(table, "-9 <= " + "a <= " * 1900 + "9") == [1, 2, 3, 4]
    with pytest.raises(WhereError, match="at most 10,000 are read"):
        keys(table, "a == 1" + " " * (LENGTH_MAX - 5))


def test_odd_escapes_warn_nobody(table: Table, recwarn: pytest.WarningsRecorder) -> None:
    assert keys(table, "s.matches('\\w\\d') or a is None") == []
    assert not recwarn.list


TOKENS = st.sampled_from(
    (
        "a b s tags at n id ( ) [ ] { } , : . == != < <= > >= = and or not in is None True if else "
        "lambda + - * / // % ** ~ @ | & ^ 1 2.5 0 'x' b'x' f'x' ... 1j len date field uuid decimal "
        "like matches startswith has_any between escape= .like( .matches( len( field( date( ['x'] "
        "__class__ ._x := ; # \\ \0 ' \" 1e999 9999999999999999999999 yield await *a **a"
    ).split(" ")
)


@given(st.lists(TOKENS, max_size=12))
@settings(max_examples=400, derandomize=True)
def test_any_text_makes_a_condition_or_is_refused(tokens: list[str]) -> None:
    text = " ".join(tokens)
    parser = Parser(FIELDS)
    for make in (parser.condition, parser.expression, parser.columns, parser.order):
        try:
            made = make(text)
        except WhereError as refusal:
            assert len(str(refusal)) < 500
        else:
            kinds = (dictdb.Condition, dictdb.Expression, list)
            assert isinstance(made, kinds)


# --- A twin: Python itself ---

NUMBERS = st.recursive(
    st.sampled_from(["a", "b", "1", "3", "2.5", "-2", "len(s)", "len(tags)"]),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*"]), inner),
    max_leaves=4,
)
LEAVES = st.one_of(
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["a", "b", "(a + b)", "len(s)"]),
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        NUMBERS,
    ),
    st.builds("{} < a <= {}".format, NUMBERS, NUMBERS),
    st.sampled_from(
        [
            "s in ('tea', '')",
            "a not in (1, 7)",
            "'x' in tags",
            "'ea' not in s",
            "n is None",
            "n is not None",
            "s.startswith('te')",
            "s.endswith('a')",
            "at['city'] == 'Oslo'",
            "s < 'tea'",
        ]
    ),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("(not {})".format, inner),
    ),
    max_leaves=6,
)


def python_keys(text: str) -> list[int]:
    code = compile(text, "condition", "eval")
    return [record["id"] for record in RECORDS if eval(code, {"len": len}, dict(record))]


@functools.cache
def twin_examples() -> list[str]:
    """Random conditions, the same ones each time."""
    found: list[str] = []

    @settings(max_examples=150, database=None, derandomize=True)
    @given(CONDITIONS)
    def gather(text: str) -> None:
        found.append(text)

    gather()
    return found


def test_conditions_mean_what_python_means(table: Table) -> None:
    for text in twin_examples():
        assert keys(table, text) == python_keys(text), text


@pytest.mark.parametrize(
    ("where", "node", "wrong"),
    [
        ("_COMPARE", ast.Lt, operator.le),
        ("_COMPARE", ast.NotEq, operator.eq),
        ("_ARITHMETIC", ast.Sub, operator.add),
    ],
)
def test_the_twin_finds_what_is_wrong(
    table: Table, where: str, node: type, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(getattr(_cli_where, where), node, wrong)
    assert any(keys(table, text) != python_keys(text) for text in twin_examples())
