# SPDX-License-Identifier: Apache-2.0
"""Memory that runs out anywhere in a statement: starve.py, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from helpers import PATIENCE, SANITIZER, python_environment
from starve import STATEMENTS

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(SANITIZER == "thread", reason="nothing here has threads"),
]


def starved(*arguments: str) -> tuple[int, str]:
    """Freed memory is overwritten, and a block that is freed twice is found."""
    strict = {} if SANITIZER else {"MALLOC_PERTURB_": "219", "PYTHONMALLOC": "debug"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "starve.py"), *arguments],
        env=python_environment(strict),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120 * PATIENCE,
        check=False,
    )
    return done.returncode, f"{done.stdout}\n{done.stderr[-3000:]}"


@pytest.mark.testing_build
def test_the_library_runs_out_of_memory() -> None:
    status, text = starved("library")
    assert status == 0, text
    assert all(f"{name}: " in text for name in STATEMENTS), text


@pytest.mark.testing_build
@pytest.mark.parametrize("fault", ["ABORT_LEAKS", "ABORT_PUBLISHES"])
def test_the_starved_library_shows_a_fault(fault: str) -> None:
    status, text = starved("library", fault)
    assert status != 0, text
    assert "no fault is named" not in text


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="allocations of the interpreter's own threads would be counted",
)
def test_the_interpreter_runs_out_of_memory() -> None:
    pytest.importorskip("_testcapi", reason="an interpreter without its tests")
    status, text = starved("interpreter")
    assert status == 0, text
    assert all(f"{name}: " in text for name in STATEMENTS), text
