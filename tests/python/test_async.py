# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""async_save and async_load."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from dictdb import CorruptFileError, DictDB, InvalidArgumentError, StorageError
from helpers import PATIENCE


def filled(count: int = 20_000) -> DictDB:
    db = DictDB()
    db.create_table("t").insert([{"n": n, "text": "x" * 40} for n in range(count)])
    return db


def test_save_and_load(tmp_path: Path) -> None:
    async def main() -> DictDB:
        db = filled(100)
        result = await db.async_save(tmp_path / "a.json")
        assert result is None
        await db.async_save(str(tmp_path / "b.data"), file_format="JSON")
        await db.async_save(filename=tmp_path / "c.json", file_format="json")
        one = await DictDB.async_load(tmp_path / "a.json")
        two = await DictDB.async_load(str(tmp_path / "b.data"), file_format="json")
        assert one["t"].select() == two["t"].select() == db["t"].select()
        return one

    assert isinstance(asyncio.run(main()), DictDB)


def test_a_subclass_loads_itself(tmp_path: Path) -> None:
    class Mine(DictDB):
        pass

    filled(3).save(tmp_path / "a.json")
    assert type(asyncio.run(Mine.async_load(tmp_path / "a.json"))) is Mine


def test_the_loop_goes_on(tmp_path: Path) -> None:
    db = filled(100_000)

    async def main() -> float:
        slowest = 0.0
        for job in (db.async_save(tmp_path / "a.json"), DictDB.async_load(tmp_path / "a.json")):
            task = asyncio.ensure_future(job)
            while not task.done():
                began = time.monotonic()
                await asyncio.sleep(0)
                slowest = max(slowest, time.monotonic() - began)
            await task
        return slowest

    assert asyncio.run(main()) < 1.0 * PATIENCE


def test_many_at_once(tmp_path: Path) -> None:
    db = filled(500)

    async def main() -> None:
        await asyncio.gather(*(db.async_save(tmp_path / f"{n % 3}.json") for n in range(20)))
        loaded = await asyncio.gather(
            *(DictDB.async_load(tmp_path / f"{n % 3}.json") for n in range(20))
        )
        assert all(len(each["t"]) == 500 for each in loaded)

    asyncio.run(main())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.json", "1.json", "2.json"]


def test_errors_come_out_of_the_await(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"tables": {')

    async def main() -> None:
        db = filled(3)
        with pytest.raises(StorageError):
            await db.async_save(tmp_path / "no" / "such" / "folder.json")
        with pytest.raises(InvalidArgumentError):
            await db.async_save(tmp_path / "a.json", file_format="xml")
        with pytest.raises(StorageError):
            await DictDB.async_load(tmp_path / "missing.json")
        with pytest.raises(CorruptFileError):
            await DictDB.async_load(tmp_path / "bad.json")

    asyncio.run(main())


def test_a_cancelled_save_is_over_when_the_await_is(tmp_path: Path) -> None:
    """The file is the old one or the new one, nothing lies beside it, no thread goes on."""
    path = tmp_path / "a.json"
    filled(3).save(path)
    db = filled(200_000)

    async def main(delay: float) -> None:
        task = asyncio.ensure_future(db.async_save(path))
        await asyncio.sleep(delay)
        began = time.monotonic()
        if task.cancel():  # Else it was faster.
            with pytest.raises(asyncio.CancelledError):
                await task
        assert time.monotonic() - began < 10

    for delay in (0.0, 0.005, 0.03):
        asyncio.run(main(delay))
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
        assert len(DictDB.load(path)["t"]) in (3, 200_000)


def test_a_timeout_around_a_load(tmp_path: Path) -> None:
    filled(200_000).save(tmp_path / "a.json")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(DictDB.async_load(tmp_path / "a.json"), 0.001)

    asyncio.run(main())
