# SPDX-License-Identifier: Apache-2.0
"""The questions of examples/flights_questions.py in SQL, and their answers, which sqlite3 gave.

DuckDB 2.0.0, asked once, gives the same (floats within 1e-9), in its words for quantile, deviation
and whole hours.
"""

from __future__ import annotations

from typing import Any

# Name of the question -> SQL, answer.
ANSWERS: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "cancelled": ("select count(*) from flights where dep_time is null", [(8255,)]),
    "by_origin": (
        "select origin, count(*) from flights group by origin order by origin",
        [("EWR", 120835), ("JFK", 111279), ("LGA", 104662)],
    ),
    "late_in_the_air": (
        "select count(*) from flights where arr_delay > 120 and dep_delay <= 0",
        [(29,)],
    ),
    "busiest_carriers": (
        "select name, count(*) n from flights join airlines using (carrier) group by carrier "
        "order by n desc, carrier limit 5",
        [
            ("United Air Lines Inc.", 58665),
            ("JetBlue Airways", 54635),
            ("ExpressJet Airlines Inc.", 54173),
            ("Delta Air Lines Inc.", 48110),
            ("American Airlines Inc.", 32729),
        ],
    ),
    "longest_delays": (
        "select month, day, carrier, flight, dest, dep_delay from flights order by dep_delay "
        "desc, rowid limit 10",
        [
            (1, 9, "HA", 51, "HNL", 1301),
            (6, 15, "MQ", 3535, "CMH", 1137),
            (1, 10, "MQ", 3695, "ORD", 1126),
            (9, 20, "AA", 177, "SFO", 1014),
            (7, 22, "MQ", 3075, "CVG", 1005),
            (4, 10, "DL", 2391, "TPA", 960),
            (3, 17, "DL", 2119, "MSP", 911),
            (6, 27, "DL", 2007, "PDX", 899),
            (7, 22, "DL", 2047, "ATL", 898),
            (12, 5, "AA", 172, "MIA", 896),
        ],
    ),
    "latest_carriers": (
        "select carrier, avg(arr_delay) late from flights group by carrier order by late desc "
        "limit 5",
        [
            ("F9", 21.920704845814978),
            ("FL", 20.115905511811025),
            ("EV", 15.79643108710965),
            ("YV", 15.556985294117647),
            ("OO", 11.931034482758621),
        ],
    ),
    "how_many": (
        "select count(distinct carrier), count(distinct dest), count(distinct tailnum) from "
        "flights",
        [(16, 105, 4043)],
    ),
    "quantiles": (
        "select origin, quantile(dep_delay, 0.5), quantile(dep_delay, 0.9) from flights group "
        "by origin order by origin",
        [("EWR", -1.0, 57.0), ("JFK", -1.0, 46.0), ("LGA", -3.0, 43.0)],
    ),
    "worst_months": (
        "select month, count(*) n from flights where dep_time is null group by month order by "
        "n desc, month limit 3",
        [(2, 1261), (12, 1025), (6, 1009)],
    ),
    "worst_hours": (
        "select sched_dep_time / 100 at, avg(dep_delay) late from flights group by at having "
        "late is not null order by late desc, at limit 3",
        [(19, 24.784791059280856), (20, 24.304104825187853), (21, 24.195743063473966)],
    ),
    "fastest": (
        "select flight, dest, 1.0 * distance / air_time * 60 speed from flights order by "
        "speed desc nulls last, rowid limit 5",
        [
            (1499, "ATL", 703.3846153846154),
            (4667, "MSP", 650.3225806451612),
            (4292, "GSP", 648.0),
            (3805, "BNA", 641.1428571428571),
            (1902, "PBI", 591.4285714285714),
        ],
    ),
    "caught_up": ("select count(*) from flights where dep_delay - arr_delay >= 60", [(186,)]),
    "old_planes": (
        "select count(*) from flights join planes using (tailnum) where planes.year < 1970",
        [(260,)],
    ),
    "unknown_planes": (
        "select count(distinct tailnum) from flights where tailnum not in (select tailnum "
        "from planes)",
        [(721,)],
    ),
    "unknown_airports": (
        "select distinct dest from flights where dest not in (select faa from airports) order "
        "by dest",
        [("BQN",), ("PSE",), ("SJU",), ("STT",)],
    ),
    "high_airports": (
        "select dest, count(*) n from flights join airports on faa = dest where alt > 5000 "
        "group by dest order by n desc, dest",
        [("DEN", 7266), ("ABQ", 254), ("EGE", 213), ("JAC", 25), ("HDN", 15), ("MTJ", 15)],
    ),
    "who_flies": (
        "select distinct carrier from flights where origin = 'LGA' and dest = 'ATL' order by "
        "carrier",
        [("DL",), ("EV",), ("FL",), ("MQ",), ("WN",)],
    ),
    "air_times": (
        "select count(air_time), min(air_time), max(air_time), avg(air_time), "
        "deviation(air_time) from flights where origin = 'JFK' and dest = 'LAX'",
        [(11159, 275, 440, 329.1510888072408, 18.171385553583832)],
    ),
    "july": (
        "select origin, avg(temp), sum(precip) from weather where month = 7 group by origin "
        "order by origin",
        [
            ("EWR", 80.70299595141697, 3.739999999999998),
            ("JFK", 78.7349193548386, 2.2600000000000002),
            ("LGA", 80.76425302826371, 2.799999999999999),
        ],
    ),
    "worst_days": (
        "select month, day, count(*) n from flights where dep_delay > 60 group by month, day "
        "having n > 250 order by n desc, month, day",
        [(3, 8, 394), (7, 1, 322), (7, 23, 267), (8, 8, 260), (6, 25, 255)],
    ),
}
