# SPDX-License-Identifier: Apache-2.0
"""A data race planted in the extension: under ThreadSanitizer this program must be reported.

Threads call `_test_race`, which writes a plain variable without a lock. A run of the thread tests
under ThreadSanitizer proves something only when this race is seen in the same build.
"""

from __future__ import annotations

import threading

from dictdb import _core


def main() -> None:
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        _core._test_race(10_000)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
