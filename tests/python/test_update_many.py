# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,operator,arg-type"
"""update_many with callables: each update sees what those before it did."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import oracle
from dictdb import (
    UNSET,
    Append,
    DictDB,
    InvalidArgumentError,
    PrimaryKeyError,
    RecordNotFoundError,
    RecordView,
    SchemaValidationError,
    Table,
)
from helpers import in_thread, run_threads, sized

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def table(db: DictDB) -> Table:
    made = db.create_table("t")
    made.insert([{"n": n} for n in range(10)])
    return made


def add(amount: int) -> Callable[[RecordView], int]:
    return lambda row: int(row["n"]) + amount


def test_callables_see_what_was_done_before(table: Table) -> None:
    assert (
        table.update_many(
            [
                {"id": 1, "n": add(1)},
                {"id": 1, "n": add(10)},
                {"id": 1, "n": table.n * 2},
                {"id": 1, "n": add(100)},
                ({"n": add(1000)}, table.n >= 9),
                ({"m": lambda row: row["n"], "n": 0}, table.n > 1000),
                (lambda row: {"last": row["m"] - row["n"]}, table.m > 0),
                {"id": 77, "n": add(1)},
            ]
        )
        == 10
    )
    assert table.get(1) == {"id": 1, "n": 0, "m": 1122, "last": 1122}
    assert table.get(10) == {"id": 10, "n": 0, "m": 1009, "last": 1009}
    assert table.get(2) == {"id": 2, "n": 1}


def test_callables_in_conditions(table: Table) -> None:
    seen: list[int] = []

    def odd(row: RecordView) -> bool:
        seen.append(row["id"])
        return bool(row["n"] % 2)

    assert table.update_many([({"odd": True}, odd), ({"few": True}, (table.n < 4) & odd)]) == 7
    assert table.count(where=table.odd == True) == 5  # noqa: E712
    assert [row["id"] for row in table.select(where=table.few == True)] == [2, 4]  # noqa: E712
    # Those that the first update changes are not asked about before it has
    assert seen == [*range(1, 11), 1, 3, 2, 4]
    with pytest.raises(TypeError, match="truth value"):
        table.update_many([({"n": 5}, lambda row: table.n > 3)])


def test_returning_and_changes_of_all_kinds(table: Table) -> None:
    old = table.update_many([{"id": 2, "n": add(5)}, {"id": 2, "n": add(5)}], returning="old")
    assert old == [{"id": 2, "n": 1}, {"id": 2, "n": 6}]
    new = table.update_many(
        [
            {"id": 2, "tags": lambda row: Append(row["n"])},
            (lambda row: {"tags": Append("x"), "n": UNSET}, table.id == 2),
            {"id": 2, "n": lambda row: len(row["tags"])},
            {"id": 2, "n": lambda row: table.n + 1},
        ],
        returning="new",
    )
    assert new == [
        {"id": 2, "n": 11, "tags": [11]},
        {"id": 2, "tags": [11, "x"]},
        {"id": 2, "tags": [11, "x"], "n": 2},
        {"id": 2, "tags": [11, "x"], "n": 3},
    ]


def test_failures_change_nothing(table: Table) -> None:
    class Stop(BaseException):
        pass

    def stop(row: RecordView) -> int:
        raise Stop

    before = table.all()
    table_of_ints = DictDB().create_table("ints", schema={"id": int, "n": int})
    table_of_ints.insert({"n": 1})
    for bad, error in (
        ([{"id": 1, "n": add(1)}, {"id": 1, "n": stop}], Stop),
        ([{"id": 1, "n": add(1)}, ({"n": 1}, stop)], Stop),
        ([{"id": 1, "n": add(1)}, {"n": add(1)}], PrimaryKeyError),
        ([{"id": 1, "n": add(1)}, {"id": [2], "n": add(1)}], PrimaryKeyError),
        ([{"id": 1, "n": add(1)}, (lambda row: {"id": 3}, table.id == 1)], PrimaryKeyError),
        ([{"id": 1, "n": add(1)}, (lambda row: 5, table.id == 1)], TypeError),
        ([{"id": 1, "n": add(1)}, {"id": 1, "n": Append(1)}], TypeError),
        ([{"id": 1, "n": add(1)}, ({"n": add(1)}, None)], TypeError),
    ):
        with pytest.raises(error):
            table.update_many(bad)
        assert table.all() == before
    with pytest.raises(RecordNotFoundError, match="77"):
        table.update_many([{"id": 1, "n": add(1)}, {"id": 77, "n": add(1)}], missing="raise")
    assert table.all() == before
    with pytest.raises(SchemaValidationError):
        table_of_ints.update_many([{"id": 1, "n": add(1)}, {"id": 1, "n": lambda row: "x"}])
    assert table_of_ints.all() == [{"id": 1, "n": 1}]


def test_a_long_chain_on_one_record(table: Table) -> None:
    """More updates of one record than there are rounds without a lock."""
    asked: list[int] = []

    def count(row: RecordView) -> int:
        asked.append(row["n"])
        return int(row["n"]) + 1

    assert table.update_many({"id": 1, "n": count} for _ in range(40)) == 40
    assert table.get(1)["n"] == 40
    assert asked == list(range(40)), "each is asked once, about what it finds"
    assert in_thread(lambda: table.update({"n": 0})) == 10, "no lock is held"


def test_records_that_change_meanwhile_are_asked_about_again(table: Table) -> None:
    asked: list[tuple[int, int]] = []

    def meddled(row: RecordView) -> int:
        asked.append((row["id"], row["n"]))
        if len(asked) == 1:
            in_thread(lambda: table.update({"n": 50}, where=table.id == 2))
        return int(row["n"]) + 1

    assert table.update_many([{"id": key, "n": meddled} for key in (1, 2, 3)]) == 3
    assert [table.get(key)["n"] for key in (1, 2, 3)] == [1, 51, 3]
    assert asked == [(1, 0), (2, 1), (3, 2), (2, 50)]


def test_a_callable_that_changes_its_own_record_each_time(table: Table) -> None:
    def for_ever(row: RecordView) -> int:
        table.update({"count": row.get("count", 0) + 1}, where=table.id == row["id"])
        return 1

    with pytest.raises(InvalidArgumentError, match="each time they are asked"):
        table.update_many([{"id": 2, "m": for_ever}])
    assert "m" not in table.get(2)
    assert in_thread(lambda: table.update({"n": 0})) == 10, "no lock is held"


@pytest.mark.parametrize("indexes", [(), ("a", "b")])
def test_any_batch_does_what_one_after_another_do(
    rng: random.Random, indexes: tuple[str, ...]
) -> None:
    table = Table("t")
    for name in indexes:
        table.create_index(name)
    table.insert([{"a": n % 4, "b": n % 3} for n in range(12)])
    for _ in range(sized(150)):
        twin = {row["id"]: row for row in table.all()}
        updates: list[Any] = []
        for _ in range(rng.randrange(1, 7)):
            name, other = rng.sample("ab", 2)
            coded = rng.random() < 0.6
            amount = rng.randrange(4)
            code = lambda row, other=other, amount=amount: (row[other] + amount) % 5  # noqa: E731
            changes: Any = {name: code if coded else amount}
            function = coded and rng.random() < 0.4
            if rng.random() < 0.5 and not function:
                key = rng.randrange(1, 14)
                updates.append({"id": key, **changes})
                chosen = [twin[key]] if key in twin else []
            else:
                cond = (rng.choice(["==", "<", "!="]), rng.choice("ab"), rng.randrange(4))
                chosen = [row for row in twin.values() if oracle.matches(cond, row)]
                where = (
                    oracle.build(cond, table)
                    if rng.random() < 0.5
                    else lambda row, cond=cond: oracle.matches(cond, dict(row))
                )
                if function:
                    changes = lambda row, name=name, code=code: {name: code(row)}  # noqa: E731
                updates.append((changes, where))
            for row in chosen:
                row[name] = code(row) if coded else amount
        table.update_many(updates)
        assert list(table) == list(twin.values()), repr(updates)


@pytest.mark.threads
def test_counters_are_not_lost() -> None:
    table = Table("t")
    table.insert([{"n": 0}, {"n": 0}, {"n": 0}])
    threads, each = 4, sized(25)

    def count(number: int) -> None:
        for step in range(each):
            one, other = (1, 2) if (number + step) % 2 else (2, 1)
            table.update_many(
                [
                    {"id": one, "n": add(1)},
                    ({"n": add(1)}, lambda row: row["id"] < 3),
                    {"id": other, "n": add(1)},
                ]
            )

    run_threads([lambda n=n: count(n) for n in range(threads)])
    assert [row["n"] for row in table] == [2 * threads * each] * 2 + [0]
