# SPDX-License-Identifier: Apache-2.0
"""The tests find faults: each of the planted ones fails the scenario that must find it, and the
same scenario passes without it.

A freed block is overwritten (MALLOC_PERTURB_), so that what is used after it was freed shows.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

import query_twin
from helpers import PATIENCE, ROOT, SANITIZER, python_environment

pytestmark = [
    pytest.mark.testing_build,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(SANITIZER), reason="the sanitizer would find them first"),
]

# Fault -> the scenario that must find it.
FAULTS = {
    "PIN_WITHOUT_HOLD": "no_torn_record",
    "RETIRE_EARLY": "model",
    "HINT_RECORD_BIRTH": "model",
    "PLACE_RULE_MOVES": "model",
    "OWNER_OUTSIDE_ROOT": "sums_are_kept",
    "CONVERT_UNDER_LOCK": "user_code_may_write",
    "ABORT_PUBLISHES": "failures_change_nothing",
    "EDIT_IN_PLACE": "model",
    "INDEX_STALE_UPDATE": "model",
    "KEY_REUSED": "model",
    "GROUP_BY_SLOT": "groups_are_whole",
    "SLOT_REUSED": "collector_reads_and_writes",
    "SNAPSHOT_NOT_KEPT": "snapshots_do_not_change",
    "LOST_WAKEUP": "waiting_writers_wake",
    "ABORT_LEAKS": "failures_change_nothing",
    "TREE_SPLIT_LOSES": "model",
    "STALE_SKIPPED": "updates_of_the_old_record",
    "CHANGED_IN_TURN": "updates_of_the_old_record",
    "CURSOR_NOT_HELD": "cursors_see_one_version",
    "PARALLEL_LOSES": "columns_follow_changes",
    "MEMO_STALE": "columns_follow_changes",
    "MEMO_NULL_LOST": "columns_follow_changes",
}
# Faults of indexes, plans, columns and joins: tests/c/test_(store|query)_faults.c find them.
FOUND_IN_C = {
    "BUILD_MISSES_CHANGES",
    "CODE_GROUPS_KEPT",
    "COLUMNS_PUSH_OUT",
    "FIRSTS_BY_VALUE",
    "FIRSTS_COUNT_NULLS",
    "FIRSTS_CUT_EARLY",
    "FIRSTS_LAST_OF_TIES",
    "FIRSTS_OF_FEWER",
    "GROUP_HIDES_NAME",
    "INPUT_STALE",
    "JOIN_EARLY_END",
    "JOIN_PUSHES_OUTER",
    "JOIN_SPLIT_LOSES",
    "PLACE_BY_KIND",
    "PLAN_INTERSECTION_LOSES",
    "PLAN_NOT_IS_OR",
    "PLAN_OR_FORGETS",
    "PLAN_REST_FORGOTTEN",
    "PLAN_UNION_LOSES",
    "RANGE_EXCLUDES_END",
    "RANGE_LIKE_DECIDES",
    "RANGE_NULL_SKIPPED",
    "RANGE_PREFIX_SHORT",
    "TREE_STALE_FIRST",
    "UNIQUE_UNCHECKED",
    "WALK_FORGETS_ROWS",
    "PLAN_PATH_BLIND",
    "WALK_BEGINS_AT_NULL",
    "WALK_TIES_BACKWARDS",
    "WALK_WRONG_WAY",
}
# Faults of the log: tests/c/test_log_crash.c plants and finds them.
FOUND_BY_CRASHES = {
    "LOG_ACK_EARLY",
    "LOG_CHECKSUM_UNCHECKED",
    "LOG_COMMIT_SPLIT",
    "LOG_COUNTER_LOST",
    "LOG_GAP_UNCHECKED",
    "LOG_OLD_UNSYNCED",
    "LOG_ORDER_SWAPPED",
    "LOG_TAIL_KEPT",
    "LOG_TRIMMED_EARLY",
    "RECOVERY_UNSYNCED",
    "RENAME_UNSYNCED",
}
# tools/fuzz.py plants it before each run of the fuzz targets, and wants to see it found.
FOUND_BY_FUZZING = {"BLOCK_UNCHECKED"}
# Faults of deltas: tests/c/test_delta.c plants and finds them.
FOUND_IN_DELTAS = {"DELTA_FORGETS_DROP", "DELTA_SKIPS_NODE"}
FOUND_BY_MARKS = {"MARK_FORGETS_RETURN", "MARK_GOES_BACK"}
# Faults of loading: tests/c/test_native.c plants and finds them.
FOUND_IN_FILES = {"PATTERN_BLIND", "RUN_KEYS_UNCHECKED"}
FOUND_BY_TWINS = query_twin.FAULTS  # test_query_properties.py plants and finds them.
SECONDS = 4.0
# A fault that needs threads to meet gets more chances, and those cost nothing to a fault that is
# found; each starts from another seed.
ATTEMPTS = 20


def run(fault: str, scenario: str, seed: int, seconds: float) -> tuple[bool, str]:
    """Whether the scenario failed, and what it said."""
    command = [sys.executable, str(Path(__file__).parent / "planted.py")]
    command += [fault, scenario, str(seed), str(seconds)]
    try:
        done = subprocess.run(
            command,
            env=python_environment({"MALLOC_PERTURB_": "219"}),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120 * PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True, "the scenario hung"
    return done.returncode != 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("fault", list(FAULTS))
def test_the_fault_is_found(fault: str, rng: random.Random) -> None:
    texts = []
    for _ in range(ATTEMPTS):
        found, text = run(fault, FAULTS[fault], rng.randrange(2**32), SECONDS)
        if found:
            print(text[-2000:])
            assert "unknown fault" not in text
            assert "ImportError" not in text
            assert "ModuleNotFoundError" not in text
            return
        texts.append(text)
    pytest.fail(f"{fault} was not found by {FAULTS[fault]}: {texts}")


@pytest.mark.parametrize("scenario", sorted(set(FAULTS.values())))
def test_the_scenario_passes_without_a_fault(scenario: str, rng: random.Random) -> None:
    failed, text = run("NONE", scenario, rng.randrange(2**32), SECONDS)
    assert not failed, text


def test_every_planted_fault_is_listed() -> None:
    header = ROOT / "src" / "base" / "testing.h"
    text = header.read_text(encoding="utf-8")
    body = text[text.index("define DDB__FAULT_MAP") : text.index("typedef enum ddb__fault")]
    listed = FOUND_IN_C | FOUND_BY_CRASHES | FOUND_IN_DELTAS | FOUND_BY_MARKS
    listed |= FOUND_IN_FILES | FOUND_BY_FUZZING
    assert set(re.findall(r"X\((\w+),", body)) == set(FAULTS) | listed | set(FOUND_BY_TWINS)
    assert len(FAULTS) >= 12
    files = (ROOT / "tests" / "c").glob("test_*_faults.c")
    found = "".join(path.read_text(encoding="utf-8") for path in sorted(files))
    assert set(re.findall(r"\{DDB__FAULT_(\w+), run_", found)) >= FOUND_IN_C
    found = (ROOT / "tests" / "c" / "test_log_crash.c").read_text(encoding="utf-8")
    assert set(re.findall(r"\{DDB__FAULT_(\w+), run_", found)) == FOUND_BY_CRASHES
    found = (ROOT / "tests" / "c" / "test_delta.c").read_text(encoding="utf-8")
    assert set(re.findall(r"\{DDB__FAULT_(\w+), run_", found)) >= FOUND_IN_DELTAS
    found = (ROOT / "tests" / "c" / "test_mark.c").read_text(encoding="utf-8")
    assert set(re.findall(r"\{DDB__FAULT_(\w+), run_", found)) == FOUND_BY_MARKS
    found = (ROOT / "tests" / "c" / "test_native.c").read_text(encoding="utf-8")
    assert set(re.findall(r"\{DDB__FAULT_(\w+), run_", found)) == FOUND_IN_FILES
