# SPDX-License-Identifier: Apache-2.0
"""The benchmarks, run small: they end, and the engines give equal answers. Figures do not count."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import ROOT

pytestmark = pytest.mark.slow


def test_the_benchmarks_run(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    program = str(ROOT / "benchmarks" / "run.py")
    options = ["--rows", "2000", "--rounds", "1", "--parts", "sqlite", "threads"]
    options += ["--freethreaded", "none", "--json", str(out)]
    done = subprocess.run(
        [sys.executable, program, *options], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = {result["name"]: result for result in json.loads(out.read_text())["results"]}
    for name in ("get by key", "insert", "update by key", "bulk insert", "count of a filter"):
        assert results[name]["value"] > 0
        assert results[name]["met"] in ("yes", "no")
        assert name in done.stdout


def test_the_queries_run() -> None:
    pytest.importorskip("duckdb")
    program = str(ROOT / "benchmarks" / "bench_queries.py")
    command = [sys.executable, program, "queries", "--rows", "9000", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    results = {result["name"]: result["value"] for result in json.loads(done.stdout)}
    assert len(results) >= 10
    assert all(value > 0 for value in results.values())


@pytest.mark.parametrize("part", ["commits", "load", "inserts"])
def test_what_durability_costs(part: str, tmp_path: Path) -> None:
    program = str(ROOT / "benchmarks" / "bench_storage.py")
    options = ["--rows", "2000", "--rounds", "1", "--folder", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, program, part, *options], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(json.loads(done.stdout)) >= 2
    assert not list(tmp_path.iterdir())
