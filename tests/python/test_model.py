# SPDX-License-Identifier: Apache-2.0
"""Random operations against a plain-Python twin, and the twin's own checks."""

from __future__ import annotations

import threading

import pytest

import dictdb
from helpers import TESTING_BUILD, background, sized
from model import Model, run_model

STEPS = sized(40_000 if TESTING_BUILD else 15_000, long=200_000, sanitized=4_000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_random_operations_against_a_twin(seed: int) -> None:
    run_model(seed, STEPS)


@pytest.mark.parametrize("number", range(4))
def test_short_runs(seed: int, number: int) -> None:
    run_model(seed + number, 1_000)


@pytest.mark.timeout(600)
def test_random_operations_beside_readers(seed: int) -> None:
    """Other threads look at the same tables all the time; the answers are the twin's."""
    stop = threading.Event()
    model = Model(seed)

    def read() -> None:
        while not stop.is_set():
            for name in model.db.list_tables():
                try:
                    table = model.db[name]
                    assert len({row["id"] for row in table.select(copy=False)}) >= 0
                    table.count(where=table.a == 3)
                    with model.db.snapshot() as snapshot:
                        seen = snapshot[name]
                        assert [row["id"] for row in seen] == list(seen.copy())
                except dictdb.TableNotFoundError:
                    pass

    with background(read, read, stop=stop):
        model.run(sized(2_000, long=30_000))


@pytest.mark.parametrize("fault", ["lost row", "changed value", "index", "order", "key"])
def test_the_twin_finds_a_difference(seed: int, fault: str) -> None:
    """A model that cannot fail proves nothing: here the twin is made wrong."""
    model = Model(seed)
    for _ in range(300):
        model.step()
    name, twin = next((n, t) for n, t in model.twins.items() if True)
    while len(twin.rows) < 3:
        model.on_table(name, "insert")
    key = next(iter(twin.rows))
    if fault == "lost row":
        del twin.rows[key]
    elif fault == "changed value":
        twin.rows[key]["a"] = "different"
    elif fault == "index":
        twin.indexes ^= {"a"}
    elif fault == "order":
        twin.rows[key] = twin.rows.pop(key)
    else:
        twin.rows["other"] = twin.rows.pop(key)
    with pytest.raises(AssertionError):
        model.check_all()
    model.close()
