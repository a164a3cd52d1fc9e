# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="no-untyped-call"
"""Records that are given out are dicts like any other, however they were made.

After some uses of a shape its dicts are copies of a pattern, which may share their keys; equal
short strs may be one object. Nothing of this may show: each dict is changed by itself.
"""

from __future__ import annotations

import copy
import gc
import json
import pickle
import random
import sys
import weakref
from typing import Any

import pytest

from dictdb import DictDB, Table
from helpers import nothing_leaked, run_threads

USES = 200  # of a shape; more than it takes until there is a pattern

# Names that objects use for other things, or that no attribute could have in a program.
NAMES = [
    "__class__",
    "__dict__",
    "__weakref__",
    "__doc__",
    "__module__",
    "__slots__",
    "__del__",
    "__getattribute__",
    "",
    " ",
    "a b",
    "a.b",
    "class",
    "é",
    "\N{SNOWMAN}",
    "\ud800",
    "x" * 300,
]


def filled(fields: dict[str, Any], count: int = USES) -> tuple[Table, list[dict[str, Any]]]:
    """A table whose shape is in use, and what a naive one would hold."""
    table = Table("t")
    rows = [{"id": n, **fields} for n in range(1, count + 1)]
    table.insert(rows)
    assert table.select() == rows
    return table, rows


def same(given: Any, wanted: Any) -> bool:
    return type(given) is dict and given == wanted and list(given) == list(wanted)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_a_key(name: str) -> None:
    table, rows = filled({"a": 1, name: "value", "z": [1]})
    for given in (table.select(), list(table), table.all(), list(table.copy().values())):
        assert all(map(same, given, rows))
    assert same(table.get(7), rows[6])
    assert same(table.select([name], limit=1)[0], {name: "value"})


@pytest.mark.parametrize("count", [0, 1, 5, 6, 28, 29, 30, 31, 32, 100, 1000])
def test_any_number_of_fields(count: int) -> None:
    table, rows = filled({f"f{i}": i for i in range(count)})
    assert all(map(same, table.select(), rows))


def change(random_: random.Random, row: dict[str, Any]) -> None:
    """One change of a dict, the same on equal dicts for equal seeds."""
    keys = list(row)
    new = f"n{random_.randrange(40)}"
    steps = [
        lambda: row.update({new: random_.random()}),
        lambda: row.__setitem__(new, [new]),
        lambda: row.setdefault(new, 5),
        lambda: row.pop(random_.choice(keys), None) if keys else None,
        lambda: row.__setitem__(random_.choice(keys), new) if keys else None,
        lambda: row.popitem() if keys else None,
        lambda: row.__ior__({new: 1, 5: 6}),
        lambda: row.clear() if random_.random() < 0.1 else None,
        lambda: row.__delitem__(keys[0]) if keys else None,
    ]
    random_.choice(steps)()


def test_each_dict_is_changed_by_itself() -> None:
    fields = {"name": "abcdef", "age": 5, "score": 0.5, "tags": ["x"], "none": None}
    table, rows = filled(fields)
    for seed in range(20):
        given = table.select()
        twins = [dict(row) for row in rows]  # made by the interpreter
        for step in range(400):
            at = random.Random(1000 * seed + step).randrange(len(given))
            change(random.Random(step), given[at])
            change(random.Random(step), twins[at])
            assert same(given[at], twins[at]), (seed, step)
        assert all(map(same, given, twins)), seed
        for row, twin in zip(given, twins, strict=True):
            assert same(row.copy(), twin)
            assert same(copy.deepcopy(row), twin)
            assert same(pickle.loads(pickle.dumps(row)), twin)
            assert json.dumps(row) == json.dumps(twin)
            assert row | {"a": 1} == twin | {"a": 1}
            assert list(reversed(row)) == list(reversed(twin))
            assert dict(**{str(key): row[key] for key in row}) == {str(k): twin[k] for k in twin}
    assert table.select() == rows


def test_nested_values_are_never_shared() -> None:
    table, rows = filled({"tags": ["x"], "inner": {"a": ["y"]}, "text": "the same text"})
    first, second = table.select(), table.select()
    for row in first:
        row["tags"].append("more")
        row["inner"]["a"].append("more")
    assert second == rows
    assert table.select() == rows


def test_texts_that_look_alike_are_told_apart() -> None:
    """Equal at both ends and of one length, of all lengths, in ASCII and beyond."""
    texts = [
        end + middle * size + end
        for end in ("ends", "é")
        for middle in "ab\xe9\u1234"
        for size in (0, 1, 2, 3, 7, 50, 70, 500)
    ]
    texts += ["", "a", "b", "ab", "abc", "abd", "\ud800bcd", "a\0cd", "a\0ce"]
    random_ = random.Random(3)
    rows = [{"id": n, "t": random_.choice(texts), "u": random_.choice(texts)} for n in range(3000)]
    table = Table("t")
    table.insert(rows)
    assert table.select() == rows
    assert list(table.iter(batch_size=7)) == rows
    assert table.pluck("t") == [row["t"] for row in rows]
    assert table.pluck("t", "u") == [(row["t"], row["u"]) for row in rows]
    assert table.select(["u"]) == [{"u": row["u"]} for row in rows]
    assert table.select({"v": table.t}) == [{"v": row["t"]} for row in rows]


def test_many_shapes() -> None:
    """More than are kept, each in use."""
    table = Table("t")
    rows = [{"id": n, f"f{n % 150}": n, f"g{n % 7}": n} for n in range(1, 15_001)]
    table.insert(rows)
    for _ in range(2):
        assert all(map(same, table.select(), rows))


def test_views_of_snapshots() -> None:
    db = DictDB()
    table = db.create_table("t")
    rows = [{"id": n, "a": "text", "b": n} for n in range(1, USES + 1)]
    table.insert(rows)
    with db.snapshot() as snapshot:
        table.update({"b": 0})
        assert all(map(same, snapshot["t"].select(), rows))
        given = snapshot["t"].select()
    given[0]["new"] = 1
    assert given[0] == {**rows[0], "new": 1}
    assert given[1] == rows[1]


def test_dicts_outlive_their_table() -> None:
    table, rows = filled({"a": "text", "b": 1.5})
    given = table.select()
    del table
    gc.collect()
    assert all(map(same, given, rows))
    given[0]["new"] = 1
    assert all(map(same, given[1:], rows[1:]))


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="how dicts share their keys is the interpreter's affair"
)
def test_dicts_that_share_their_keys_are_small() -> None:
    table, rows = filled({"name": "abcdef", "age": 5, "score": 0.5, "city": "x"})
    assert sys.getsizeof(table.select()[0]) < sys.getsizeof(dict(rows[0]))
    wide, rows = filled({f"f{i}": i for i in range(100)})
    assert sys.getsizeof(wide.select()[0]) <= sys.getsizeof(dict(rows[0]))


def test_patterns_are_given_back() -> None:
    def use() -> None:
        for _ in range(5):
            table, rows = filled({"a": "text", "b": [1], "__class__": 5})
            assert table.select() == rows
            table, rows = filled({"a": "text", "b": [1], "c": 5})
            next(iterator := iter(table))
            del table, rows, iterator

    use()
    gc.collect()
    objects = len(gc.get_objects())
    with nothing_leaked():
        use()
    gc.collect()
    assert len(gc.get_objects()) - objects < 100


def test_reference_counts_stay() -> None:
    table, rows = filled({"name": "a text to share", "none": None})
    keys = [key for key in table.select()[0] if key == "name"]
    before = sys.getrefcount(keys[0])
    for _ in range(50):
        given = table.select()
        texts = {id(row["name"]) for row in given}
        count = sys.getrefcount(given[0]["name"])
        assert len(texts) == 1
        assert count <= len(given) + 2  # Nothing but the dicts and the argument holds it
        given[5].clear()
        del given
    after = sys.getrefcount(keys[0])
    assert abs(after - before) < 5
    assert table.select() == rows


class Node:
    """Something that a weak reference can be to."""


def test_the_collector_knows_of_what_a_dict_holds() -> None:
    """Whether the value that may be part of a circle comes first, between others or last."""
    for names in ("abc", "bac", "bca"):
        values = {"a": [], "b": "a text", "c": None}
        table, _ = filled({name: values[name] for name in names})
        for read in (
            lambda table=table: table.select()[0],
            lambda table=table: table.get(1),
            lambda table=table: table.copy()[1],
        ):
            given, node = read(), Node()
            node.record = given  # type: ignore[attr-defined]
            given["a"].append(node)
            gone = weakref.ref(node)
            del given, node
            gc.collect()
            assert gone() is None, names


def test_none_is_neither_lost_nor_kept() -> None:
    """The places of a new dict hold None before its values are put there."""
    table, rows = filled({"none": None, "text": "a text", "number": 5, "list": [None]})
    before = sys.getrefcount(None)
    for _ in range(50):
        assert table.select() == rows
    assert abs(sys.getrefcount(None) - before) < USES


@pytest.mark.threads
def test_threads_meet_at_a_new_shape() -> None:
    """All of them make its names, and one the pattern, while the others read."""
    for attempt in range(20):
        table = Table("t")
        rows = [{"id": n, f"a{attempt}": "text", f"b{attempt}": n} for n in range(100)]
        table.insert(rows)

        def work(table: Table = table, rows: list[dict[str, Any]] = rows) -> None:
            for _ in range(3):
                given = table.select()
                assert all(map(same, given, rows))
                for row in given[::7]:
                    row["new"] = row.pop("id")
                assert all(same(table.get(row["id"]), row) for row in rows[::9])

        run_threads([work] * 4)
