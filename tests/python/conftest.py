# SPDX-License-Identifier: Apache-2.0
"""Fixtures and markers of all Python tests."""

from __future__ import annotations

import gc
import os
import random
import threading
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

import dictdb
from helpers import SANITIZER, TESTING_BUILD, running_threads

settings.register_profile(
    "tests",
    deadline=None,
    max_examples=30 if SANITIZER else 100,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    if "DICTDB_SEED" in os.environ:
        config.option.hypothesis_seed = os.environ["DICTDB_SEED"]
    config.addinivalue_line("markers", "testing_build: needs the build made with -Dtesting=true")


def pytest_report_header(config: pytest.Config) -> str:
    build = "testing" if TESTING_BUILD else "release"
    return f"dictdb {dictdb.__version__}, {build} build, sanitizer: {SANITIZER or 'none'}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if TESTING_BUILD:
        return
    skip = pytest.mark.skip(reason="needs the testing build")
    for item in items:
        if "testing_build" in item.keywords:
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Reports go from process to process as UTF-8, and some tests log what is none."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported stays: each gc.collect() of a test need not look at all of it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def seed() -> int:
    """A seed, printed: a failing test shows it. DICTDB_SEED repeats a run."""
    value = int(os.environ.get("DICTDB_SEED") or random.SystemRandom().randrange(2**32))
    print(f"DICTDB_SEED={value}")
    return value


@pytest.fixture
def rng(seed: int) -> random.Random:
    return random.Random(seed)


@pytest.fixture
def db() -> dictdb.DictDB:
    return dictdb.DictDB()


@pytest.fixture
def users(db: dictdb.DictDB) -> dictdb.Table:
    """Four records with a missing field, a None and equal values."""
    table = db.create_table("users")
    table.insert(
        [
            {"name": "Ann", "age": 31, "city": "Paris"},
            {"name": "Bob", "age": 25, "city": None},
            {"name": "Cid", "age": 31},
            {"name": "Dee", "age": 40, "city": "Paris", "tags": ["a", "b"]},
        ]
    )
    return table


@pytest.fixture(autouse=True)
def _no_thread_left_behind() -> Iterator[None]:
    before = set(running_threads())
    yield
    for thread in running_threads():
        if thread not in before and thread is not threading.current_thread():
            thread.join(10)
            assert not thread.is_alive(), f"the test left {thread} behind"
