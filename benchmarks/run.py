#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares DictDB with sqlite3 and DuckDB in memory, and its threads with themselves.

Every goal is a ratio or a limit taken within one run. The engines alternate round by round, the
ratio is taken per round, and its median counts, so that the machine's other work weighs on both
sides. What the engines answer is compared for equality. Exit status: 0 when the answers were equal,
whatever the figures; 1 when they were not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_FREETHREADED = ROOT / ".venv-3.13t" / "bin" / "python"

# The measurements, in order; a goal is ("<=" or ">=", limit) on `value`.
GOALS: dict[str, tuple[str, float]] = {
    "get by key": ("<=", 0.2),
    "insert": ("<=", 0.3),
    "update by key": ("<=", 0.3),
    "bulk insert": ("<=", 0.4),
    "count of a filter": ("<=", 0.25),
    "scans, 2 threads to 1, with GIL": (">=", 1.8),
    "gets, 2 threads to 1, without GIL": (">=", 1.5),
    "filter and count": ("<=", 0.05),
    "filter and count, to DuckDB": ("<=", 1.0),
    "group by of 5 groups": ("<=", 0.1),
    "group by of 5 groups, to DuckDB": ("<=", 1.5),
    "scan after 1 % of the rows changed, to before": ("<=", 2.0),
    "update with columns kept": ("<=", 0.3),
    "order_by of 100,000 rows": ("<=", 0.7),
    "equality through an index, 10 rows": ("<=", 0.15),
    "top 10 through a sorted index": ("<=", 0.15),
    "range of 1 % as dicts": ("<=", 0.5),
    "join of flights with planes": ("<=", 0.5),
    "join of a month's flights with planes, as dicts": ("<=", 0.5),
    "inserts beside a backup, p99.99 ms": ("<=", 5.0),
    "inserts beside a backup, longest above baseline ms": ("<=", 5.0),
    "commits of 8 threads, each on the disk": (">=", 1.5),
    "commits of 8 threads, synced at intervals": (">=", 5.0),
    "loading a native file": (">=", 1.0),
    "loading, to executemany of sqlite3": ("<=", 0.4),
    "loading, to loading JSON": ("<=", 0.1),
    "inserts beside a save of all, p99.99": ("<=", 1.0),
    "inserts beside a save of all, longest above baseline": ("<=", 1.0),
    "inserts beside a checkpoint of all, p99.99": ("<=", 1.0),
    "inserts beside a checkpoint of all, longest above baseline": ("<=", 1.0),
    "inserts beside a backup of all, p99.99": ("<=", 1.0),
    "inserts beside a backup of all, longest above baseline": ("<=", 1.0),
    "C: gets, 2 threads to 1": (">=", 1.8),
    "C: p99 of a get beside a writer to alone": ("<=", 1.3),
}


@dataclass
class Result:
    """One measurement: `value` is what a goal is about, `detail` says it in absolute numbers."""

    name: str
    value: float
    unit: str = ""
    detail: str = ""

    def verdict(self) -> str:
        goal = GOALS.get(self.name)
        if goal is None:
            return ""
        met = self.value <= goal[1] if goal[0] == "<=" else self.value >= goal[1]
        return "yes" if met else "no"


@dataclass
class Report:
    """All that one run measured."""

    rows: int
    rounds: int
    results: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def grid(self) -> Grid:
        grid = Grid(title=f"{self.rows:,} rows of 5 fields, {self.rounds} rounds, medians")
        grid.title_justify = "left"
        grid.add_column("measurement")
        for name in ("goal", "measured", "met"):
            grid.add_column(name, justify="right")
        grid.add_column("absolute")
        for result in self.results:
            goal = GOALS.get(result.name)
            grid.add_row(
                result.name,
                f"{goal[0]} {goal[1]:g}{result.unit}" if goal else "",
                f"{result.value:.3g}{result.unit}",
                result.verdict(),
                result.detail,
                style={"no": "red", "yes": "green"}.get(result.verdict(), ""),
            )
        return grid

    def as_dict(self) -> dict[str, Any]:
        results = [
            asdict(result) | {"goal": GOALS.get(result.name), "met": result.verdict() or None}
            for result in self.results
        ]
        return {
            "machine": platform.machine(),
            "cpu_count": os.cpu_count(),
            "python": platform.python_version(),
            "rows": self.rows,
            "rounds": self.rounds,
            "results": results,
            "notes": self.notes,
        }


def core_results(folder: Path, rows: int, rounds: int) -> list[Result]:
    """Runs bench_core and names its figures."""
    command = [str(folder / "bench_core"), str(rows), str(rounds)]
    figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    def ns(name: str, key: str, per: str) -> Result:
        return Result(f"C: {name}", figures[key], " ns", f"per {per}")

    return [
        ns("get by key, cold", "get_cold_ns", "get, each waits for the one before"),
        ns("get by key, hot", "get_hot_ns", "get of 1,000 keys"),
        ns("insert", "insert_ns", "record, one statement each"),
        ns("update by key", "update_ns", "record, one statement each"),
        ns("bulk insert", "bulk_insert_row_ns", "row, 1,000 rows a statement"),
        ns("scan", "scan_row_ns", "row"),
        ns("count of a filter", "count_where_row_ns", "row"),
        Result("C: memory", figures["row_bytes"], " bytes", "per row"),
        Result(
            "C: gets, 2 threads to 1",
            figures["get_two_threads_ratio"],
            "\N{MULTIPLICATION SIGN}",
            f"{figures['get_two_threads_processor_ratio']:.3g} by processor time",
        ),
        Result(
            "C: p99 of a get beside a writer to alone",
            figures["get_p99_beside_writer_ratio"],
            "\N{MULTIPLICATION SIGN}",
            f"{figures['get_p99_alone_ns']:,.0f} ns alone, "
            f"{figures['get_p99_beside_writer_ns']:,.0f} ns beside "
            f"{figures['writes_beside_reader_per_s']:,.0f} updates/s",
        ),
    ]


PROGRAMS = {
    "queries": "bench_queries.py",
    "commits": "bench_storage.py",
    "load": "bench_storage.py",
    "inserts": "bench_storage.py",
}
PARTS = ("sqlite", "queries", "threads", "backup", "commits", "load", "inserts")


def python_results(python: Path, part: str, rows: int, rounds: int) -> list[Result]:
    """Runs a part of the Python measurements in a process of its own."""
    program = Path(__file__).with_name(PROGRAMS.get(part, "bench_python.py"))
    command = [str(python), str(program), part, "--rows", str(rows), "--rounds", str(rounds)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, env=environment(python)
    )
    if done.returncode != 0:
        raise SystemExit(f"run.py: error: {' '.join(command)}: status {done.returncode}")
    return [Result(**result) for result in json.loads(done.stdout)]


def environment(python: Path) -> dict[str, str]:
    """Returns the environment, without this interpreter's paths when it is for another one."""
    names = set(os.environ)
    if python != Path(sys.executable):
        names -= {"PYTHONPATH", "PYTHON_GIL"}
    return {name: os.environ[name] for name in names}


def usable(python: Path) -> bool:
    """Says whether this interpreter is there, without a GIL, with the package."""
    probe = "import sys, dictdb; sys.exit(sys._is_gil_enabled())"
    if not python.exists():
        return False
    command = [str(python), "-c", probe]
    return subprocess.run(command, capture_output=True, env=environment(python)).returncode == 0


def measure(options: argparse.Namespace, console: Console) -> Report:
    """Runs everything that was asked for."""
    report = Report(options.rows, options.rounds)
    here = Path(sys.executable)
    load, processors = os.getloadavg()[0], os.cpu_count() or 1
    if load > processors / 4:
        report.notes.append(
            f"other programs were running (load {load:.1f} on {processors} processors): what two "
            "threads do in the time of one, and the longest times, say little"
        )
    for part in [part for part in PARTS if part in options.parts]:
        console.print(f"measuring: {part}")
        report.results += python_results(here, part, options.rows, options.rounds)
    gil_is_on = getattr(sys, "_is_gil_enabled", lambda: True)()
    if "threads" in options.parts and gil_is_on:
        if usable(options.freethreaded):
            console.print("measuring: threads, free-threaded interpreter")
            report.results += python_results(
                options.freethreaded, "threads", options.rows, options.rounds
            )
        else:
            report.notes.append(
                "gets without the GIL were not measured: no free-threaded interpreter with the "
                "package (make test-freethreaded makes one, or give --freethreaded)"
            )
    if "c" in options.parts and options.c_programs is not None:
        console.print("measuring: the core from C")
        report.results += core_results(options.c_programs, options.rows, options.rounds)
    return report


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures DictDB; see the goals in its table.")
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N", help="default: 1000000")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="default: 7")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument(
        "--c-programs", type=Path, metavar="DIR", help="folder of bench_core (default: leave C out)"
    )
    parser.add_argument(
        "--freethreaded",
        type=Path,
        metavar="PYTHON",
        default=DEFAULT_FREETHREADED,
        help="free-threaded interpreter with the package (default: that of .venv-3.13t)",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=(*PARTS, "c"),
        default=(*PARTS, "c"),
        help="what to measure (default: all)",
    )
    options = parser.parse_args()
    if options.rows < 1000 or options.rounds < 1:
        parser.error("at least 1000 rows and 1 round")
    return options


def main() -> int:
    options = parse_options()
    console = Console(width=None if sys.stdout.isatty() else 150)
    report = measure(options, console)
    console.print(report.grid())
    for note in report.notes:
        console.print(f"note: {note}")
    if options.json is not None:
        options.json.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
