# SPDX-License-Identifier: Apache-2.0
"""like, regular expressions, comparisons without regard to case; exists, has_any, has_all."""

from __future__ import annotations

import re
import sys
import threading
import time
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import dictdb
from dictdb import DictDB, InvalidArgumentError, LimitError
from helpers import sized
from query_twin import is_like

# Letters whose folding is longer than they are, or that several letters fold to; a lone surrogate.
LETTERS = "aAbsSß\u1e9ekK\u212a\ufb01I\u0130\u0131\u03a3\u03c3\u03c2\u0345\n\U00010400\ud800"
texts = st.one_of(st.text(LETTERS, max_size=6), st.text(max_size=4))
patterns = st.lists(st.sampled_from([*LETTERS, "%", "%", "_", "!%", "!_", "!!"]), max_size=6)


def matching(where: dictdb.Condition, *rows: Any) -> list[Any]:
    """Those of the values for which the condition holds, as the field v."""
    table = DictDB().create_table("t")
    table.insert([{"v": row} for row in rows])
    found = [row["v"] for row in table.select(where=where)]
    assert table.count(where=where) == len(found)
    assert table.count(where=~where) == len(rows) - len(found)
    return found


V = dictdb.Field("v")


@given(patterns.map("".join), st.lists(texts, min_size=1, max_size=8))
@settings(max_examples=sized(150, longest=20_000, sanitized=40), deadline=None)
@example("%s_", ["ßa", "ss", "asß", "\u017f"])
@example("\ufb01%", ["fi", "FI", "\ufb01", "f"])
def test_like_is_what_recursion_says(pattern: str, values: list[str]) -> None:
    plain = matching(V.like(pattern, "!"), *values)
    assert plain == [v for v in values if is_like(pattern, "!", v, lambda c: c)]
    folded = matching(V.ilike(pattern, escape="!"), *values)
    assert folded == [v for v in values if is_like(pattern, "!", v, str.casefold)]
    # Through an expression that is no field, too.
    assert matching(dictdb.Expression("x").like("x") & V.like(pattern, "!"), *values) == plain


@given(texts, st.lists(texts, min_size=1, max_size=8))
@settings(max_examples=sized(150, longest=20_000, sanitized=40), deadline=None)
@example("s", ["ß", "\u1e9e", "K"])
@example("aab", ["aaab", "AAAaab", "aaba"])
def test_without_regard_to_case_is_casefold(text: str, values: list[str]) -> None:
    wanted = text.casefold()
    assert matching(V.iequals(text), *values) == [v for v in values if v.casefold() == wanted]
    assert matching(V.icontains(text), *values) == [v for v in values if wanted in v.casefold()]
    starts = [v for v in values if v.casefold().startswith(wanted)]
    assert matching(V.istartswith(text), *values) == starts
    ends = [v for v in values if v.casefold().endswith(wanted)]
    assert matching(V.iendswith(text), *values) == ends


def test_every_character_folds_as_in_python() -> None:
    """Characters that one of the two does not know yet aside."""
    unknown = 0
    letters = [chr(c) for c in range(sys.maxunicode + 1)]
    changed = [c for c in letters if c.casefold() != c]
    assert len(changed) > 1400
    table = DictDB().create_table("t")
    table.insert([{"v": c, "folded": c.casefold()} for c in changed])
    for row in table:
        if not table.count(where=(V == row["v"]) & V.iequals(row["folded"])):
            unknown += 1
            assert unicodedata.category(row["v"]) in ("Lu", "Ll", "Lo", "So", "Nl"), row
    assert unknown <= 60  # Scripts of the latest versions of Unicode


regexes = st.recursive(
    st.sampled_from(["a", "b", ".", "^", "$", "[ab]", "[^a]", "\\w", "\\d", "ä", "\\b", ""]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        inner.map(lambda x: f"(?:{x})?"),
        inner.map(lambda x: f"({x})"),
        inner.map(lambda x: f"(?={x})"),
    ),
    max_leaves=5,
)


@given(
    regexes,
    st.lists(st.text("abäÄ1 \n", max_size=5), min_size=1, max_size=8),
    st.sampled_from([0, re.I, re.S, re.M, re.A, re.I | re.S]),
)
@settings(max_examples=sized(150, longest=20_000, sanitized=40), deadline=None)
def test_simple_regexes_match_as_in_python(regex: str, values: list[str], flags: int) -> None:
    expected = [v for v in values if re.search(regex, v, flags)]
    assert matching(V.matches(regex, flags), *values) == expected


def test_the_model_can_fail() -> None:
    assert is_like("a%", None, "ab", lambda c: c)
    assert not is_like("a%", None, "Ab", lambda c: c)
    assert is_like("a%", None, "Ab", str.casefold)
    assert not is_like("a_", None, "abc", str.casefold)
    assert not is_like("_", None, "", str.casefold)


# --- Examples ---


def test_like() -> None:
    values = ["Rome", "rome", "Rom%", "Ro_e", "", None, 5, b"Rome", ["Rome"]]
    assert matching(V.like("Rom%"), *values) == ["Rome", "Rom%"]
    assert matching(V.like("Ro_e"), *values) == ["Rome", "Ro_e"]
    assert matching(V.like("Ro\\_e", escape="\\"), *values) == ["Ro_e"]
    assert matching(V.like("%\\%", "\\"), *values) == ["Rom%"]
    assert matching(V.like("%om%"), *values) == ["Rome", "rome", "Rom%"]
    assert matching(V.like("Rome"), *values) == ["Rome"]
    assert matching(V.like(""), *values) == [""]
    assert matching(V.like("%"), *values) == ["Rome", "rome", "Rom%", "Ro_e", ""]
    assert matching(V.ilike("R%E"), *values) == ["Rome", "rome", "Ro_e"]


def test_regexes() -> None:
    values = ["Rome", "rome 2", "", None, 5, b"Rome", "x\ud800y", "né"]
    assert matching(V.matches("^R"), *values) == ["Rome"]
    assert matching(V.matches("r", re.IGNORECASE), *values) == ["Rome", "rome 2"]
    assert matching(V.matches(r"\d$"), *values) == ["rome 2"]
    assert matching(V.matches(""), *values) == ["Rome", "rome 2", "", "x\ud800y", "né"]
    assert matching(V.matches("y"), *values) == ["x\ud800y"]
    assert matching(V.matches("x.y"), *values) == []  # Nothing matches a lone surrogate
    assert matching(V.matches(r"^\w+$"), *values) == ["Rome", "né"]
    assert matching(V.matches(r"^\w+$", re.ASCII), *values) == ["Rome"]
    assert matching(V.matches("n é # a comment", re.VERBOSE), *values) == ["né"]


def test_containers() -> None:
    values: list[Any] = [["a", 1], ("a",), {"a", "b"}, {"a": 2}, [], "ab", None, [float("nan")]]
    assert matching(V.has_any(["a"]), *values) == [["a", 1], ("a",), {"a", "b"}, {"a": 2}]
    assert matching(V.has_any(["b", True]), *values) == [["a", 1], {"a", "b"}]
    assert matching(V.has_any([]), *values) == []
    assert matching(V.has_any([float("nan")]), *values) == []
    assert matching(V.has_all(["a", "b"]), *values) == [{"a", "b"}]
    assert matching(V.has_all(x for x in ("a", 1.0)), *values) == [["a", 1]]
    assert len(matching(V.has_all([]), *values)) == 6
    assert len(matching(V.has_any(range(1, 5000)), *[[i] for i in range(10)])) == 9


def test_exists() -> None:
    table = DictDB().create_table("t")
    table.insert([{"a": None}, {"b": {"c": None}}, {"a": 1, "b": {}}])

    def keys(where: dictdb.Condition) -> list[int]:
        return [row["id"] for row in table.select(where=where)]

    assert keys(table.a.exists()) == [1, 3]
    assert keys(table.a.is_not_null()) == [3]
    assert keys(~table.a.exists()) == [2]
    assert keys(table.b["c"].exists()) == [2]
    assert keys(table.never.exists()) == []
    assert keys(table.a.len_().exists()) == [1, 2, 3]  # Null, but computed


def test_they_can_be_read() -> None:
    t = DictDB().create_table("t")
    expected = {
        "a.like('x%')": t.a.like("x%"),
        "a.like('x!%', escape='!')": t.a.like("x!%", escape="!"),
        "a['b'].ilike('x')": t.a["b"].ilike("x"),
        "a.matches('^x', flags=re.I | re.S)": t.a.matches("^x", re.I | re.S),
        "a.matches('x')": t.a.matches("x"),
        "a.iequals('X')": t.a.iequals("X"),
        "a.icontains('X')": t.a.icontains("X"),
        "a.istartswith('X')": t.a.istartswith("X"),
        "a.iendswith('X')": t.a.iendswith("X"),
        "a.exists()": t.a.exists(),
        "a.has_any([1, 'x'])": t.a.has_any([1, "x"]),
        "a.has_all([1])": t.a.has_all([1]),
    }
    for text, condition in expected.items():
        assert repr(condition) == text


def test_mistakes_raise() -> None:
    wrong: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: V.like("ab!", "!"), InvalidArgumentError, "'ab!', position 2"),
        (lambda: V.like("a!b", "!"), InvalidArgumentError, "'a!b', position 1"),
        (lambda: V.ilike("éé!b", "!"), InvalidArgumentError, "position 2"),
        (lambda: V.like("a", "%"), InvalidArgumentError, "escape"),
        (lambda: V.like("a", ""), InvalidArgumentError, "one character"),
        (lambda: V.like("a", "ab"), InvalidArgumentError, "'ab'"),
        (lambda: V.like("a", 5), TypeError, "int"),  # type: ignore[arg-type]
        (lambda: V.like(b"a"), TypeError, "bytes"),  # type: ignore[arg-type]
        (lambda: V.like(), TypeError, "pattern"),  # type: ignore[call-arg]
        (lambda: V.matches("éa("), InvalidArgumentError, "'éa\\(', position 3"),
        (lambda: V.matches("a**"), InvalidArgumentError, "position"),
        (lambda: V.matches("[b-a]"), InvalidArgumentError, "position"),
        (lambda: V.matches("\ud800"), InvalidArgumentError, "regex"),
        (lambda: V.matches("((((a{500}){99}){99}){99}){99}"), InvalidArgumentError, "regex"),
        (lambda: V.matches("(" * 1000), InvalidArgumentError, "parenthes"),
        (lambda: V.matches("a", 1024), InvalidArgumentError, "1024"),
        (lambda: V.matches("a", 2**70), InvalidArgumentError, "flags"),
        (lambda: V.matches("a", "i"), TypeError, "flags"),  # type: ignore[arg-type]
        (lambda: V.matches(re.compile("a")), TypeError, "Pattern"),  # type: ignore[arg-type]
        (lambda: V.iequals(5), TypeError, "iequals"),  # type: ignore[arg-type]
        (lambda: V.icontains(None), TypeError, "icontains"),  # type: ignore[arg-type]
        (lambda: V.has_any("abc"), TypeError, "has_any"),
        (lambda: V.has_all(5), TypeError, "iterable"),  # type: ignore[arg-type]
        (lambda: V.has_any([V]), TypeError, "has_any"),
    ]
    for call, error, culprit in wrong:
        with pytest.raises(error, match=culprit):
            call()


# --- Regexes that would take for ever ---

EVIL = r"(a|aa)+$"


def test_a_search_that_takes_too_long_is_given_up() -> None:
    """Every statement then raises, and nothing has changed; others are as before."""
    table = DictDB().create_table("t")
    table.insert([{"v": "aaaa"}, {"v": "a" * 60 + "!"}, {"v": "aa"}])
    evil = table.v.matches(EVIL)
    before = table.all()
    joined = table.join(table, "id", prefix="other.")
    calls: list[Callable[[], object]] = [
        lambda: table.count(where=evil),
        lambda: table.select(where=evil),
        lambda: table.select(where=~evil),
        lambda: table.select(where=evil | (table.v == "aa"), order_by="v"),
        lambda: table.select(["v"], where=evil, distinct=True, limit=2),
        lambda: table.update({"v": 1}, where=evil),
        lambda: table.delete(where=evil),
        lambda: table.exists(where=evil & (table.v != "aaaa") & (table.v != "aa")),
        lambda: list(table.iter(where=evil)),
        lambda: table.aggregate(n=dictdb.Count(), where=evil),
        lambda: table.aggregate(group_by="v", n=dictdb.Count(), having=evil),
        lambda: table.update_many([({"w": 1}, table.v == "aa"), ({"v": 1}, evil)]),
        lambda: table.explain(evil, analyze=True),
        lambda: joined.count(evil),
        lambda: joined.select(["v"], where=~evil),
        lambda: joined.where(evil).aggregate(n=dictdb.Count()),
    ]
    for call in calls:
        start = time.process_time()
        with pytest.raises(LimitError, match="regex"):
            call()
        assert time.process_time() - start < 20
    table.insert([{"v": "aaa"} for _ in range(3000)])
    for where in (evil, ~evil):
        with pytest.raises(LimitError, match="regex"):
            table.count(where=where, threads=3)
        with pytest.raises(LimitError, match="regex"):
            table.select(where=where, order_by="v", threads=3)
    table.delete(where=table.v == "aaa")
    assert table.all() == before
    assert table.count(where=(table.v.len_() < 10) & evil) == 2
    assert table.count(where=table.v.matches("!")) == 1


def test_deep_nesting_needs_no_stack() -> None:
    value = "(" * 20_000
    assert matching(V.matches(r"^(\(|x)+$"), value) == [value]
    assert matching(V.like("%(" * 50), value) == [value]
    assert matching(V.matches(r"^(\((?1)?)+$"), value * 10) == [value * 10]


def test_long_texts() -> None:
    long = "é b " * 100_000
    start = time.process_time()
    assert matching(V.matches(r"c\d"), long, long + "c1", "\ud800" + long + "c2") == [
        long + "c1",
        "\ud800" + long + "c2",
    ]
    assert matching(V.matches(r"(?<=b )é b $"), long) == [long]  # Looks back over stretches
    assert matching(V.matches(r"^c"), long + "c") == []
    assert matching(V.like("%c1"), long, long + "c1") == [long + "c1"]
    assert matching(V.icontains("É B C"), long, long + "c1") == [long + "c1"]
    with pytest.raises(LimitError):
        matching(V.matches(r"(é|b| )+c"), long + "xc")
    assert time.process_time() - start < 60


@pytest.mark.parametrize("index", [None, "hash", "sorted"])
def test_answers_stay_when_rows_are_many(index: str | None) -> None:
    """Columns kept with the rows, and indexes, change no answer."""
    pool: list[Any] = [
        "Rome",
        "rome",
        "ROMA",
        "Oslo",
        "straße",
        "x\ud800",
        "",
        None,
        5,
        b"Rome",
        1.5,
    ]
    table = DictDB().create_table("t")
    rows: list[dict[str, Any]] = [{"v": pool[i * i % len(pool)]} for i in range(3000)]
    rows += [{"w": 1}] * 500
    table.insert(rows)
    if index:
        table.create_index("v", index)
    strings = [row["v"] for row in rows if isinstance(row.get("v"), str)]
    expected = {
        V.like("Ro%"): sum(v.startswith("Ro") for v in strings),
        V.like("Rome"): sum(v == "Rome" for v in strings),
        V.like("%o_e"): sum(v in ("Rome", "rome") for v in strings),
        V.ilike("ro%"): sum(v.lower().startswith("ro") for v in strings),
        V.matches("^R"): sum(v.startswith("R") for v in strings),
        V.iequals("ROME"): sum(v.lower() == "rome" for v in strings),
        V.icontains("SS"): sum(v == "straße" for v in strings),
        V.iendswith("ME"): sum(v.lower().endswith("me") for v in strings),
        V.exists(): 3000,
        V.has_any(["Rome"]): 0,
        V.is_null(): 500 + sum("v" in row and row["v"] is None for row in rows),
    }
    for _ in range(6):
        for where, count in expected.items():
            assert table.count(where=where) == count, where
            assert table.count(where=~where) == len(rows) - count, where
            assert len(table.select(where=where | (V == "none"))) == count, where


@pytest.mark.threads
def test_threads_share_conditions() -> None:
    table = DictDB().create_table("t")
    table.insert([{"v": f"Name {i}"} for i in range(300)])
    shared = [
        table.v.matches(r"^name \d*7$", re.I),
        table.v.ilike("NAME %7"),
        table.v.iendswith("7"),
        table.v.like("Name %7"),
    ]
    wrong: list[int] = []

    def work() -> None:
        for _ in range(sized(60, longest=1000, sanitized=15)):
            for where in shared:
                found = table.count(where=where)
                if found != 30:
                    wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
