# SPDX-License-Identifier: Apache-2.0
"""Threads share tables: the scenarios of scenarios.py, on the build as it is."""

from __future__ import annotations

import pytest

import dictdb
import scenarios
from helpers import LONG, SANITIZER, TESTING_BUILD

pytestmark = pytest.mark.threads

SECONDS = 5.0 if LONG else 3.0 if SANITIZER else 1.5


@pytest.mark.parametrize("name", list(scenarios.SCENARIOS))
@pytest.mark.timeout(300)
def test_scenario(name: str, seed: int) -> None:
    scenarios.run(name, SECONDS, seed)


@pytest.mark.testing_build
@pytest.mark.parametrize("name", list(scenarios.SCENARIOS))
@pytest.mark.timeout(300)
def test_scenario_with_random_yields(name: str, seed: int) -> None:
    """As above, with threads stopped at random between the steps of reading and writing."""
    dictdb._core._test_yield(5, seed)
    try:
        scenarios.run(name, SECONDS / 2, seed)
    finally:
        dictdb._core._test_yield(0, 0)


def test_the_builds_are_what_they_say() -> None:
    assert hasattr(dictdb._core, "_test_yield") is TESTING_BUILD
