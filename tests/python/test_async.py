# SPDX-License-Identifier: Apache-2.0
# mypy: disable-error-code="index,misc,no-untyped-call,func-returns-value,operator"
"""async_save and async_load."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dictdb import CorruptFileError, DictDB, InvalidArgumentError, StorageError, _async


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
    db = filled()
    path = tmp_path / "a.json"

    async def turns(begin: Callable[[], Awaitable[Any]]) -> int:
        turns = 0
        task = asyncio.ensure_future(begin())
        while not task.done():
            await asyncio.sleep(0.001)
            turns += 1
        await task
        return turns

    end = time.monotonic() + 120
    for begin in (lambda: db.async_save(path), lambda: DictDB.async_load(path)):
        # On a busy machine the loop may get no turn during one; never, if it is held up.
        while asyncio.run(turns(begin)) < 3:
            assert time.monotonic() < end, "the loop was held up each time"


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
        if task.cancel():  # Else it was faster.
            with pytest.raises(asyncio.CancelledError):
                await task

    for delay in (0.0, 0.005, 0.03):
        asyncio.run(main(delay))
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
        assert len(DictDB.load(path)["t"]) in (3, 200_000)


class Patient(threading.Event):
    """Whether the work was cancelled: known before it begins; as it goes on, waits until it was."""

    begun = False

    def is_set(self) -> bool:
        if self.begun:
            assert self.wait(60)
        self.begun = True
        return super().is_set()


def test_a_timeout_around_a_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of it, however fast the machine is, and however busy."""
    filled().save(tmp_path / "a.json")
    monkeypatch.setattr(_async, "threading", SimpleNamespace(Event=Patient))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(DictDB.async_load(tmp_path / "a.json"), 0.001)

    asyncio.run(main())
