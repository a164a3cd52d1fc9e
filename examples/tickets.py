# SPDX-License-Identifier: Apache-2.0
"""A box office for asyncio: many buyers at once, no seat sold twice, all of it on the disk.

python examples/tickets.py
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from dictdb import Count, DictDB, Table

SEATS = 200
BUYERS = 300


async def buy(seats: Table, buyer: int) -> int | None:
    """Take the best free seat: one statement, so that two buyers never get the same one."""
    sold = await seats.aio.update(
        {"buyer": buyer},
        where=seats.buyer.is_null(),
        order_by="-quality",
        limit=1,
        returning="new",
    )
    return sold[0]["id"] if sold else None


async def evening(folder: Path) -> tuple[int, int]:
    """Sell all seats; return how many were sold, and how many buyers went home without."""
    async with await DictDB.async_open(folder) as db:
        seats = await db.aio.create_table("seats")
        await seats.aio.insert([{"quality": n % 17, "buyer": None} for n in range(SEATS)])
        got = await asyncio.gather(*(buy(seats, number) for number in range(BUYERS)))
        numbers = [number for number in got if number is not None]
        assert len(set(numbers)) == len(numbers)
        counted = await seats.aio.aggregate(where=seats.buyer.is_not_null(), sold=Count())
        return counted["sold"], got.count(None)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sold, without = asyncio.run(evening(Path(folder) / "tickets"))
        print(f"{sold} seats sold, {without} buyers without")


if __name__ == "__main__":
    main()
