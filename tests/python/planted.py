# SPDX-License-Identifier: Apache-2.0
"""Runs a scenario, or the model, with a planted fault: ``planted.py FAULT SCENARIO SEED SECONDS``.

Exit status 0: everything held. Anything else, a crash included: the fault was found. A fault of
``NONE`` plants nothing. Only a testing build can do this.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import traceback

import model
import scenarios
from dictdb import _core

MODEL_STEPS = 12_000


def main(fault: str, scenario: str, seed: int, seconds: float) -> None:
    if scenario != "model":  # It has no threads.
        _core._test_yield(5, seed)
    if fault in ("PIN_WITHOUT_HOLD", "OWNER_OUTSIDE_ROOT") or "torn" in scenario:
        _core._test_sleep("PIN_HELD", 1)
    _core._test_fault(fault)
    if scenario == "model":
        model.run_model(seed, MODEL_STEPS)
    else:
        scenarios.run(scenario, seconds, seed)


if __name__ == "__main__":
    faulthandler.enable()
    status = 1
    try:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
        status = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads may hang by now, and memory may be damaged: nothing more is to be done here.
    os._exit(status)
