# SPDX-License-Identifier: Apache-2.0
"""Random operations against a plain-Python twin, and the twin's own checks."""

from __future__ import annotations

import pytest

import dictdb
from helpers import TESTING_BUILD, sized
from model import Model, run_model

STEPS = sized(60_000 if TESTING_BUILD else 15_000, long=200_000, sanitized=4_000)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_random_operations_against_a_twin(seed: int) -> None:
    run_model(seed, STEPS)


@pytest.mark.parametrize("number", range(4))
def test_short_runs(seed: int, number: int) -> None:
    run_model(seed + number, 1_000)


@pytest.mark.testing_build
@pytest.mark.timeout(600)
def test_random_operations_with_random_yields(seed: int) -> None:
    test_yield = dictdb._core._test_yield
    test_yield(7, seed)
    try:
        run_model(seed, sized(3_000))
    finally:
        test_yield(0, 0)


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
