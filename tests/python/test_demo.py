# SPDX-License-Identifier: Apache-2.0
"""The demonstration, run small: it succeeds, and it sees a fault that is planted in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"

pytestmark = pytest.mark.slow


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run("flights.py", "--rows", "5000", "--seconds", "2", *arguments)


def test_the_demo_succeeds(tmp_path: Path) -> None:
    done = demo("--backups", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all checks held" in done.stdout
    assert "book a seat" in done.stdout
    assert done.stderr == ""
    assert len(list(tmp_path.glob("dictdb_backup_*.json"))) >= 2


def test_the_demo_sees_a_planted_fault() -> None:
    done = demo("--plant-fault")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "wrong counts: flight" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("wrong", [["--rows", "0"], ["--seconds", "nan"], ["--rows", "many"]])
def test_the_demo_refuses_wrong_options(wrong: list[str]) -> None:
    done = run("flights.py", *wrong)
    assert done.returncode == 2
    assert "error: argument" in done.stderr


def test_the_planted_fault_is_hidden_from_help() -> None:
    done = run("flights.py", "--help")
    assert done.returncode == 0
    assert "--rows" in done.stdout
    assert "plant" not in done.stdout


def test_the_web_application_runs() -> None:
    done = run("webapp.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the rule held" in done.stdout
