#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the fuzz targets of a build folder, a few at a time, and prints one table at the end.

Each target begins with the seeds that the program `seeds` wrote, those of tests/fuzz/corpus/TARGET
and what earlier runs found, in BUILD/corpus/TARGET. An input that a target fails on is kept in
BUILD/found, and the exit status is 1. Before all that a fault is planted, which a target must find:
a fuzzer that finds nothing may be one that looks at nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Beyond what a target takes is nothing new; time and memory only guard against what never ends.
LIMITS = ("-max_len=65536", "-timeout=120", "-rss_limit_mb=4096", "-print_final_stats=1")
SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


@dataclass
class Result:
    """How the run of one target ended."""

    target: str
    status: int
    seconds: float
    log: str

    def number(self, pattern: str) -> str:
        """Returns the last number that the log gives so, or "?"."""
        found = re.findall(pattern, self.log)
        return found[-1] if found else "?"

    def row(self) -> tuple[str, ...]:
        """Returns the table's row."""
        return (
            self.target,
            self.number(r"stat::number_of_executed_units:\s*(\d+)"),
            f"{self.seconds:.0f}",
            self.number(r"\bcov: (\d+)"),
            self.number(r"\bft: (\d+)"),
            self.number(r"\bcorp: (\d+)"),
            self.number(r"stat::peak_rss_mb:\s*(\d+)"),
            "ok" if self.status == 0 else f"FAILED ({self.status})",
        )


CANARY, PLANTED = "fuzz_native", "BLOCK_UNCHECKED"


def canary_is_found(build: Path) -> bool:
    """Says whether the target fails, as it must, when the fault is planted."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as found:
        command = [
            str(build / "tests" / "fuzz" / CANARY),
            *LIMITS,
            "-max_total_time=300",
            "-seed=1",
        ]
        command += [f"-artifact_prefix={found}/", found, str(build / "seeds" / CANARY)]
        done = run_target(command, {"DICTDB_FAULT": PLANTED})
        kept = [path.name for path in Path(found).iterdir() if "-" in path.name]
    print(
        f"fuzz: the planted fault was {'found' if kept else 'NOT found'} by {CANARY}, "
        f"after {time.monotonic() - began:.0f} s"
    )
    return done.returncode != 0 and bool(kept)


HEADINGS = ("target", "runs", "seconds", "edges", "features", "inputs", "MB", "")


def run_target(command: list[str], extra: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Runs a target with a folder of its own, in memory where there is such a place.

    One that fails leaves its files behind: they go with the folder.
    """
    memory = Path("/dev/shm")
    base = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="dictdb-fuzz-", dir=base) as folder:
        return subprocess.run(
            command,
            env=os.environ | SANITIZERS | extra | {"TMPDIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )


def run(build: Path, target: Path, options: argparse.Namespace) -> Result:
    """Runs one target for its time."""
    corpus = build / "corpus" / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = [build / "seeds" / target.name, ROOT / "tests" / "fuzz" / "corpus" / target.name]
    found = build / "found"
    found.mkdir(exist_ok=True)
    command = [
        str(target),
        *LIMITS,
        f"-max_total_time={options.seconds}",
        f"-seed={options.seed}",
        f"-artifact_prefix={found}/{target.name}-",
        str(corpus),
        *(str(folder) for folder in seeds if folder.is_dir()),
    ]
    began = time.monotonic()
    done = run_target(command, {})
    log = done.stdout.decode(errors="replace")
    (build / f"{target.name}.log").write_text(log, encoding="utf-8")
    return Result(target.name, done.returncode, time.monotonic() - began, log)


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Prints rows in columns: the first and the last to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
        print("  ".join([*cells, row[-1]]).rstrip())


def main() -> int:
    """Runs all targets and says what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("build", type=Path, help="the build folder")
    parser.add_argument("targets", nargs="*", help="which ones (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the mutations; 0: another each time"
    )
    options = parser.parse_args()
    build = options.build.resolve()
    programs = build / "tests" / "fuzz"
    seeds = build / "seeds"
    seeds.mkdir(exist_ok=True)
    subprocess.run([str(programs / "seeds"), str(seeds)], check=True)
    targets = [path for path in sorted(programs.glob("fuzz_*")) if path.is_file()]
    if options.targets:
        targets = [path for path in targets if path.name in options.targets]
    if not targets:
        print(f"fuzz: error: no such target in {programs}", file=sys.stderr)
        return 2
    if not canary_is_found(build):
        return 1
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda target: run(build, target, options), targets))
    for result in results:
        if result.status != 0:
            print(f"== {result.target}\n" + "\n".join(result.log.splitlines()[-60:]))
    print(f"fuzz: seed {options.seed}, logs and corpus in {build}")
    print_table([HEADINGS, *(result.row() for result in results)])
    return int(any(result.status != 0 for result in results))


if __name__ == "__main__":
    sys.exit(main())
