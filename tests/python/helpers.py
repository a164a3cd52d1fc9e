# SPDX-License-Identifier: Apache-2.0
"""What several test files share: sizes, threads with a watchdog, other processes."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import dictdb
from dictdb import _core

ROOT = Path(__file__).resolve().parent.parent.parent
# 1: what `make test` asks of the testing build; 2: what takes an hour.
LONG = os.environ.get("DICTDB_LONG") in ("1", "2")
LONGEST = os.environ.get("DICTDB_LONG") == "2"
SANITIZER = os.environ.get("DICTDB_SANITIZER") or (
    "thread" if os.environ.get("DICTDB_TSAN") == "1" else ""
)
TESTING_BUILD = hasattr(_core, "_test_fault")
# Sanitizers and slow machines stretch every time limit, never an expected order of events.
PATIENCE = 8.0 if SANITIZER else 1.0
# The child waits for ever when one of the threads that it lacks was inside the allocator.
no_fork_beside_threads = pytest.mark.skipif(
    SANITIZER != "", reason="sanitizers do not hold their allocator's locks over fork"
)


def sized(
    usual: int,
    *,
    long: int | None = None,
    longest: int | None = None,
    sanitized: int | None = None,
) -> int:
    """A number of steps, rows or milliseconds for this kind of run."""
    if SANITIZER:
        return sanitized if sanitized is not None else max(1, usual // 10)
    if LONGEST and longest is not None:
        return longest
    return long if LONG and long is not None else usual


def running_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name != "pytest_timeout"]


class Watchdog(AssertionError):
    """Threads that did not end in time."""


def run_threads(
    functions: Sequence[Callable[[], object]], timeout: float = 60.0
) -> list[BaseException]:
    """Run every function in a thread of its own, started together. Raises what one of them raised
    first, or Watchdog when one does not end in `timeout` seconds."""
    barrier = threading.Barrier(len(functions))
    failures: list[BaseException] = []

    def work(function: Callable[[], object]) -> None:
        try:
            barrier.wait(timeout * PATIENCE)
            function()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f,), daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    join_all(threads, timeout)
    if failures:
        raise failures[0]
    return failures


def join_all(threads: Sequence[threading.Thread], timeout: float = 60.0) -> None:
    end = time.monotonic() + timeout * PATIENCE
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    alive = [thread.name for thread in threads if thread.is_alive()]
    if alive:
        faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr)
        raise Watchdog(f"still running after {timeout * PATIENCE:.0f} s: {alive}")


@contextlib.contextmanager
def background(
    *functions: Callable[[], object], stop: threading.Event | None = None, timeout: float = 60.0
) -> Iterator[None]:
    """Run the functions in threads while the block runs; `stop` is set at the block's end, or when
    one of them raises, and tells them to end. Raises what one of them raised."""
    stop = stop or threading.Event()
    failures: list[BaseException] = []

    def work(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:
            failures.append(error)
            stop.set()

    threads = [threading.Thread(target=work, args=(f,), daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        join_all(threads, timeout)
    if failures:
        raise failures[0]


def in_thread(function: Callable[[], Any], timeout: float = 20.0) -> Any:
    """Return what the function returns in another thread."""
    results: list[Any] = []
    run_threads([lambda: results.append(function())], timeout)
    return results[0]


def wait_until(condition: Callable[[], object], timeout: float = 20.0) -> None:
    end = time.monotonic() + timeout * PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise Watchdog("the awaited condition did not come")
        time.sleep(0.002)


def python_command(code: str) -> list[str]:
    return [sys.executable, "-X", "faulthandler", "-c", code]


def python_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which another interpreter imports the same build and these helpers."""
    package = str(Path(dictdb.__file__).resolve().parent.parent)
    paths = [package, str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environment.update(extra or {})
    return environment


def run_python(
    code: str, timeout: float = 60.0, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program in another interpreter. Raises subprocess.TimeoutExpired when it hangs."""
    return subprocess.run(
        python_command(code),
        timeout=timeout * PATIENCE,
        env=python_environment(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def check_python(code: str, timeout: float = 60.0, **options: Any) -> str:
    """As run_python; the program must end well. Returns what it printed."""
    result = run_python(code, timeout, **options)
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stderr}"
    return result.stdout


def accounted() -> int:
    """Bytes that the library holds in this process, without garbage."""
    gc.collect()
    return int(_core.process_memory())


@contextlib.contextmanager
def nothing_leaked(slack: int = 0) -> Iterator[None]:
    """The block must leave the library's memory as it found it."""
    before = accounted()
    yield
    after = accounted()
    assert after - before <= slack, f"{after - before} bytes more than before"


def records(table: Any) -> list[dict[str, Any]]:
    """All records in order: what must not change when a statement fails."""
    return [dict(record) for record in table.select()]


@contextlib.contextmanager
def unchanged(*tables: Any) -> Iterator[None]:
    """The block must leave records, columns, indexes and order of the tables as they were."""

    def state(table: Any) -> str:
        facts = table.columns(), sorted(table.indexed_fields()), len(table)
        return repr((records(table), facts))  # A text: NaN is unlike itself.

    before = [state(table) for table in tables]
    yield
    assert [state(table) for table in tables] == before
