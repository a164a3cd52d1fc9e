# SPDX-License-Identifier: Apache-2.0
"""Backups in the background: a daemon thread that saves one instant of a database now and then.

    notify_change() ---> pending ---+
                                    +--> worker: DictDB.save(<new file>) --> failed? log, callback,
    backup_interval ---> periodic --+                                        pending again, later

Invariants:
 1. A backup is one instant of all tables (`DictDB.save`): no reader or writer waits for it.
 2. A file of the name ``dictdb_backup_<sec>_<usec>.json`` is whole: it is written under another
    name and renamed. Names grow; no two backups of a process have the same one.
 3. A change that was notified is in a later backup: `pending` is cleared before the instant is
    taken, and set again when the backup fails.
 4. One backup runs at a time (`_turn`). Neither lock of a manager is held while the callback runs:
    the callback may call any method, `stop` included.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ._core import InvalidArgumentError
from ._logging import logger

if TYPE_CHECKING:
    from typing import Self

    from dictdb import DictDB

_FORMATS = ("json",)
# A backup that failed is tried again after this many seconds at least, doubled at each failure.
_RETRY_DELAY = 0.25

_stamp_lock = threading.Lock()
_last_stamp = 0


def _next_stamp() -> int:
    """Return the time in microseconds, larger than any that was returned before."""
    global _last_stamp
    with _stamp_lock:
        _last_stamp = max(time.time_ns() // 1000, _last_stamp + 1)
        return _last_stamp


def _seconds(name: str, value: float, *, zero: bool) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidArgumentError(f"{name} must be a number of seconds, not {value!r}")
    if not (value > 0 or (zero and value == 0)) or value > threading.TIMEOUT_MAX:
        raise InvalidArgumentError(f"{name} must be {'0 or more' if zero else 'positive'}: {value}")
    return float(value)


class _Run:
    """What one worker thread shares with the manager, from `start` to `stop`."""

    __slots__ = ("stopping", "thread")

    def __init__(self) -> None:
        self.stopping = False
        self.thread: threading.Thread | None = None


class BackupManager:
    """Saves a database to a folder, periodically and after changes, from a daemon thread.

    Every backup is a whole file of one instant; reads and writes of the database go on meanwhile.
    A backup that fails is logged to the logger ``dictdb``, given to `on_backup_failure` and tried
    again. All methods may be called from any thread, and from `on_backup_failure`.

    Use it as a context manager, or call `start` and `stop`::

        with BackupManager(db, "backups", backup_interval=60):
            serve()

    Parameters:
        db: the database.
        backup_dir: the folder of the backups; made when it does not exist.
        backup_interval: seconds between two periodic backups.
        file_format: ``"json"``, in any case.
        min_backup_interval: seconds that lie between two backups asked for by `notify_change` at
            least; changes in between are saved together at the end of it.
        on_backup_failure: called as ``on_backup_failure(exception, consecutive_count)`` after a
            backup failed, in the thread that ran it, with no lock held.

    Raises:
        InvalidArgumentError: an interval that is not a positive number, an unknown format, or a
            callback that cannot be called.
        OSError: the folder cannot be made.
    """

    def __init__(
        self,
        db: DictDB,
        backup_dir: str | os.PathLike[str],
        backup_interval: float = 300,
        file_format: str = "json",
        min_backup_interval: float = 5.0,
        on_backup_failure: Callable[[Exception, int], object] | None = None,
    ) -> None:
        if not isinstance(file_format, str) or file_format.lower() not in _FORMATS:
            raise InvalidArgumentError(
                f"unknown backup format {file_format!r}: use one of {', '.join(_FORMATS)}"
            )
        if on_backup_failure is not None and not callable(on_backup_failure):
            raise InvalidArgumentError(f"on_backup_failure is not callable: {on_backup_failure!r}")
        self._db = db
        self._interval = _seconds("backup_interval", backup_interval, zero=False)
        self._min_interval = _seconds("min_backup_interval", min_backup_interval, zero=True)
        self._format = file_format.lower()
        self._on_failure = on_backup_failure
        self._dir = Path(backup_dir)
        self._dir.mkdir(parents=True, exist_ok=True)
        self._pending = False
        self._failures = 0
        self._not_before = 0.0  # No backup for `_pending` before this time.monotonic().
        self._run: _Run | None = None
        self._init_locks()
        _managers.add(self)

    def _init_locks(self) -> None:
        self._turn = threading.Lock()  # Held by the thread that saves.
        self._wake = threading.Condition(threading.Lock())  # Guards the four fields above.

    def __repr__(self) -> str:
        state = "running" if self._run is not None else "stopped"
        return f"<BackupManager {str(self._dir)!r} {state}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def backup_dir(self) -> Path:
        """The folder of the backups."""
        return self._dir

    @property
    def consecutive_failures(self) -> int:
        """How many backups have failed since the last one that succeeded."""
        with self._wake:
            return self._failures

    def start(self) -> None:
        """Start the daemon thread. Does nothing when it runs already."""
        with self._wake:
            if self._run is not None:
                return
            run = _Run()
            run.thread = threading.Thread(
                target=self._work, args=(run,), name="dictdb-backup", daemon=True
            )
            run.thread.start()
            self._run = run

    def stop(self) -> None:
        """Stop the thread, wait for the backup that runs, then make a final one.

        Does nothing when the manager does not run. `start` may be called again afterwards.

        Raises:
            OSError, DictDBError: the final backup failed. It was logged and given to
                `on_backup_failure` as well; the manager is stopped all the same.
        """
        run = self._signal_stop()
        if run is None:
            return
        if run.thread is not None and run.thread is not threading.current_thread():
            run.thread.join()
        self.backup_now()

    def notify_change(self) -> None:
        """Ask for a backup soon: at once, or `min_backup_interval` after the last one.

        Cheap, and never waits for a backup. What is notified while the manager is stopped is saved
        after the next `start`.
        """
        with self._wake:
            self._pending = True
            self._wake.notify_all()

    def backup_now(self) -> Path:
        """Make a backup in the calling thread and return its path.

        Waits for the backup that runs, if there is one.

        Raises:
            OSError, DictDBError: the backup failed; it was logged and given to
                `on_backup_failure` as well.
        """
        path, error = self._save()
        if error is not None:
            raise error
        assert path is not None
        return path

    def _signal_stop(self) -> _Run | None:
        with self._wake:
            run, self._run = self._run, None
            if run is not None:
                run.stopping = True
                self._wake.notify_all()
        return run

    def _save(self) -> tuple[Path | None, Exception | None]:
        """Make one backup and report it when it fails: its path, or the error."""
        count = 0
        with self._turn:
            with self._wake:
                self._pending = False
                self._not_before = time.monotonic() + self._min_interval
            saved = False
            try:
                path = self._write()
                saved = True
            except Exception as error:
                failure = error
            finally:
                count = self._note(saved)
        if saved:
            return path, None
        self._report(failure, count)
        return None, failure

    def _write(self) -> Path:
        self._dir.mkdir(parents=True, exist_ok=True)
        seconds, micros = divmod(_next_stamp(), 1_000_000)
        path = self._dir / f"dictdb_backup_{seconds}_{micros:06d}.{self._format}"
        self._db.save(path, self._format)
        return path

    def _note(self, saved: bool) -> int:
        """Count the failures in a row; one that failed is pending again, later each time."""
        with self._wake:
            if saved:
                self._failures = 0
            else:
                self._failures += 1
                self._pending = True
                delay = min(_RETRY_DELAY * 2.0 ** min(self._failures, 30), self._interval)
                self._not_before = time.monotonic() + max(self._min_interval, delay)
            return self._failures

    def _report(self, error: Exception, count: int) -> None:
        logger.error("backup to %s failed (%d in a row): %s", self._dir, count, error)
        if self._on_failure is not None:
            try:
                self._on_failure(error, count)
            except Exception:
                logger.exception("on_backup_failure raised")

    def _work(self, run: _Run) -> None:
        while self._wait_until_due(run):
            self._save()

    def _wait_until_due(self, run: _Run) -> bool:
        """Wait for the next backup's time. False: the manager stops."""
        periodic = time.monotonic() + self._interval
        with self._wake:
            while not run.stopping:
                due = min(periodic, self._not_before) if self._pending else periodic
                rest = due - time.monotonic()
                if rest <= 0:
                    return True
                self._wake.wait(rest)
        return False


_managers: weakref.WeakSet[BackupManager] = weakref.WeakSet()


@atexit.register
def _end_threads() -> None:
    """Wait for the backups that run when the interpreter exits, so that none is cut off."""
    for manager in list(_managers):
        run = manager._signal_stop()
        if run is not None and run.thread is not None:
            run.thread.join()


def _after_fork() -> None:
    """The worker threads stay behind in the parent, with whatever locks they held."""
    for manager in list(_managers):
        manager._init_locks()
        manager._run = None


os.register_at_fork(after_in_child=_after_fork)
