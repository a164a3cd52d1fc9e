# SPDX-License-Identifier: Apache-2.0
"""Backups in the background: a daemon thread that saves one instant of a database now and then.

    notify_change() ---> pending ---+
                                    +--> worker: a new file --> failed? log, callback,
    backup_interval ---> periodic --+                           pending again, later

    incremental:  base  delta  delta  delta | base  delta ...
                  a delta: what changed between the snapshot of the file before, which is kept
                  until then, and a new one

Invariants:
 1. A backup is one instant of all tables (a snapshot): no reader or writer waits for it.
 2. A file of the name ``dictdb_backup_<sec>_<usec>.<format>``, or ``dictdb_delta_...``, is whole:
    it is written under another name and renamed. No two names of a process are the same, and a new
    one is above all that are in the folder, even when the clock was set back meanwhile: else the
    newest backup would not be the one that was made last.
 3. A change that was notified is in a later backup: `pending` is cleared before the instant is
    taken, and set again when the backup fails.
 4. One backup runs at a time (`_turn`). Neither lock of a manager is held while the callback runs:
    the callback may call any method, `stop` included.
 5. `_chain` is the files that were written since the last full backup, and the snapshot that the
    newest holds. A delta goes on from it only if each is still there and still that one; else the
    backup is a full one.
 6. Retention removes nothing that a file which stays needs, and nothing before the new backup is
    there.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from . import _async, _core, _set
from ._core import DictDBError, InvalidArgumentError, Snapshot, UnsupportedTypeError
from ._logging import logger
from ._options import check_bool, meant
from ._progress import Tell, shown

if TYPE_CHECKING:
    from typing import Self

    from dictdb import DictDB

_Write: TypeAlias = Callable[[Tell | None], Path]
Keep: TypeAlias = int | timedelta | tuple[int, timedelta]

_FORMATS = ("json", "dictdb", "pickle")
_COMPRESSION_MAX = 19
# A backup that failed is tried again after this many seconds at least, doubled at each failure.
_RETRY_DELAY = 0.25
_LONGEST_WAIT = 86_400.0  # Seconds: longer ones are several.

_stamp_lock = threading.Lock()
_last_stamp = 0


def _next_stamp(newest: int) -> int:
    """Return the time in microseconds, larger than `newest`, and other than any returned before."""
    global _last_stamp
    with _stamp_lock:
        _last_stamp = stamp = max(time.time_ns() // 1000, _last_stamp + 1)
    return stamp if stamp > newest else newest + 1 + stamp % 1_000_000


def _seconds(name: str, value: float, *, zero: bool) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidArgumentError(f"{name} must be a number of seconds, not {value!r}")
    if not (value > 0 or (zero and value == 0)) or value > threading.TIMEOUT_MAX:
        least = "0 or more" if zero else "positive"
        raise InvalidArgumentError(
            f"{name} must be {least}, and at most {threading.TIMEOUT_MAX:.0f}: {value}"
        )
    return float(value)


def _count(name: str, value: int, least: int, most: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentError(f"{name} must be an int, not {value!r}")
    if value < least or (most is not None and value > most):
        span = f"{least} to {most}" if most is not None else f"{least} or more"
        raise InvalidArgumentError(f"{name} must be {span}: {value}")
    return value


def _format(value: str, incremental: bool, compression: int) -> str:
    if not isinstance(value, str) or value.lower() not in _FORMATS:
        names = ", ".join(_FORMATS)
        hint = meant(value, _FORMATS)
        raise InvalidArgumentError(f"unknown backup format {value!r}: use one of {names}{hint}")
    if incremental and value.lower() == "pickle":
        raise InvalidArgumentError(
            "a delta goes on from a file of the format 'dictdb' or 'json', not from one of pickles"
        )
    if compression and value.lower() != "dictdb" and not incremental:
        raise InvalidArgumentError("compression is for files of the format 'dictdb'")
    return value.lower()


def _keep(value: Keep | None) -> tuple[int | None, timedelta | None]:
    """The number of backups and the age that are kept."""
    if value is None:
        return None, None
    count, age = None, None
    for part in value if isinstance(value, tuple) and len(value) == 2 else (value,):
        if isinstance(part, int) and count is None:
            count = _count("keep", part, 1)
        elif isinstance(part, timedelta) and age is None and part >= timedelta(0):
            age = part
        else:
            raise InvalidArgumentError(
                f"keep must be a number of backups, a timedelta or both, not {value!r}"
            )
    return count, age


@dataclass(frozen=True, slots=True)
class _Chain:
    """Where the next delta goes on."""

    files: tuple[tuple[Path, _set.Info], ...]  # The base, then its deltas.
    snapshot: Snapshot  # Of the last one.

    @property
    def path(self) -> Path:
        """The last file."""
        return self.files[-1][0]


class _Teller:
    """Passes progress on, and keeps what came of it: who ends a backup so has not seen it fail."""

    __slots__ = ("_tell", "raised")

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self.raised: BaseException | None = None

    def __call__(self, done: int, total: int) -> None:
        try:
            self._tell(done, total)
        except BaseException as error:
            self.raised = error
            raise


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
        file_format: of full backups: ``"json"``, ``"dictdb"`` (fast, exact) or ``"pickle"`` (only
            without deltas), in any case.
        min_backup_interval: seconds that lie between two backups asked for by `notify_change` at
            least; changes in between are saved together at the end of it.
        on_backup_failure: called as ``on_backup_failure(exception, consecutive_count)`` after a
            backup failed, in the thread that ran it, with no lock held.
        incremental: a backup is a delta, what changed since the one before it, when there is one to
            go on from. Deltas have the native format. Until the next backup, old versions of what
            changes stay in memory. When nothing changed, there is no new file.
        max_deltas_before_full: so many deltas, then a full backup.
        compression: of native files: 0 (none), or a level of zstd, 1 to 19.
        keep: None keeps all backups. A number: the newest ones, so many. A timedelta: those not
            older than it. A tuple of both: those that either keeps. What a kept delta needs stays
            too, and the newest backup always does.

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
        incremental: bool = False,
        max_deltas_before_full: int = 10,
        *,
        compression: int = 0,
        keep: Keep | None = None,
    ) -> None:
        if not isinstance(db, _core.DictDB):
            raise UnsupportedTypeError(f"db must be a DictDB, not {type(db).__name__!r}")
        check_bool("incremental", incremental)
        self._compression = _count("compression", compression, 0, _COMPRESSION_MAX)
        self._format = _format(file_format, incremental, compression)
        self._incremental = incremental
        self._max_deltas = _count("max_deltas_before_full", max_deltas_before_full, 0)
        self._keep_count, self._keep_age = _keep(keep)
        if on_backup_failure is not None and not callable(on_backup_failure):
            raise InvalidArgumentError(f"on_backup_failure is not callable: {on_backup_failure!r}")
        self._db = db
        self._interval = _seconds("backup_interval", backup_interval, zero=False)
        self._min_interval = _seconds("min_backup_interval", min_backup_interval, zero=True)
        self._on_failure = on_backup_failure
        if not os.fspath(backup_dir):
            raise InvalidArgumentError("backup_dir: no path given")
        self._dir = Path(backup_dir)
        self._dir.mkdir(parents=True, exist_ok=True)
        self._pending = False
        self._failures = 0
        self._not_before = 0.0  # No backup for `_pending` before this time.monotonic().
        self._run: _Run | None = None
        self._chain: _Chain | None = None  # Of who holds _turn.
        self._deltas = 0
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

    @property
    def deltas_since_full(self) -> int:
        """How many deltas have been made since the last full backup."""
        return self._deltas

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

        Does nothing when the manager does not run. `start` may be called again afterwards; the
        first backup is a full one then.

        Raises:
            OSError, DictDBError: the final backup failed. It was logged and given to
                `on_backup_failure` as well; the manager is stopped all the same.
        """
        run = self._signal_stop()
        if run is None:
            return
        if run.thread is not None and run.thread is not threading.current_thread():
            run.thread.join()
        try:
            self.backup_now()
        finally:
            self._forget_chain(run)

    def notify_change(self) -> None:
        """Ask for a backup soon: at once, or `min_backup_interval` after the last one.

        Cheap, and never waits for a backup. What is notified while the manager is stopped is saved
        after the next `start`.
        """
        with self._wake:
            self._pending = True
            self._wake.notify_all()

    def backup_now(self, *, progress: Tell | bool | None = None) -> Path:
        """Make a backup in the calling thread and return its path.

        A delta if the manager is incremental and it is not time for a full backup; else a full one.
        Waits for the backup that runs, if there is one. Where nothing has changed since the last
        file of an incremental manager, that one's path is returned.

        progress: called now and then with the records saved, and those there are; what it raises
        ends the backup, which has not failed then. True: a bar on standard error.

        Raises:
            OSError, DictDBError: the backup failed; it was logged and given to
                `on_backup_failure` as well.
        """
        return self._backup(self._write_next, progress)

    async def async_backup(self) -> Path:
        """Make a backup as `backup_now` does, without blocking the event loop; return its path.

        Cancelling the task ends the backup and waits for its end: there is no new file then.
        """
        return await _async.run(lambda progress: self.backup_now(progress=progress))

    def backup_full(self, *, progress: Tell | bool | None = None) -> Path:
        """Make a full backup in the calling thread and return its path. Else as `backup_now`."""
        return self._backup(self._write_full, progress)

    def backup_delta(self, *, progress: Tell | bool | None = None) -> Path:
        """Make a delta in the calling thread, however many there are, and return its path.

        A full backup when there is nothing to go on from: at first, after `stop`, or when the file
        before is gone. Else as `backup_now`.

        Raises:
            InvalidArgumentError: the manager is not incremental.
        """
        if not self._incremental:
            raise InvalidArgumentError("the manager is not incremental")
        return self._backup(self._write_delta, progress)

    def _backup(self, write: _Write, progress: Tell | bool | None) -> Path:
        with shown("backup", self._dir, progress) as tell:
            path, error = self._save(write, None if tell is None else _Teller(tell))
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

    def _save(
        self, write: _Write, teller: _Teller | None = None
    ) -> tuple[Path | None, Exception | None]:
        """Make one backup and report it when it fails: its path, or the error."""
        count = 0
        with self._turn:
            with self._wake:
                self._pending = False
                self._not_before = time.monotonic() + self._min_interval
            saved = False
            try:
                self._dir.mkdir(parents=True, exist_ok=True)
                path = write(teller)
                saved = True
            except Exception as error:
                failure = error
            finally:
                ended = teller is not None and teller.raised is not None
                count = self._note(saved, ended)
            if saved:
                self._retain()
        if saved:
            return path, None
        if not ended:
            self._report(failure, count)
        return None, failure

    # --- Writing; with _turn held ---

    def _new_path(self, kind: str, suffix: str) -> Path:
        seconds, micros = divmod(_next_stamp(_set.newest_stamp(self._dir)), 1_000_000)
        return self._dir / f"dictdb_{kind}_{seconds}_{micros:06d}.{suffix}"

    def _write_next(self, tell: Tell | None) -> Path:
        if self._incremental and self._deltas < self._max_deltas:
            return self._write_delta(tell)
        return self._write_full(tell)

    def _write_full(self, tell: Tell | None) -> Path:
        path = self._new_path("backup", self._format)
        compression = self._compression if self._format == "dictdb" else 0
        if not self._incremental:
            self._db.save(path, self._format, compression=compression, progress=tell)
            return path
        snapshot = self._db.snapshot()
        try:
            snapshot.save(path, self._format, compression=compression, progress=tell)
            self._go_on(path, snapshot, None)
        except BaseException:
            snapshot.close()
            raise
        self._deltas = 0
        return path

    def _write_delta(self, tell: Tell | None) -> Path:
        chain = self._chain
        if chain is None or not self._still_there(chain):
            return self._write_full(tell)
        snapshot = self._db.snapshot()
        try:
            if snapshot.commit == chain.snapshot.commit:
                snapshot.close()
                return chain.path
            path = self._new_path("delta", "dictdb")
            before = os.fsencode(chain.path)
            _core._save_delta(
                snapshot, chain.snapshot, before, os.fsencode(path), self._compression, tell
            )
            self._go_on(path, snapshot, chain)
        except BaseException:
            snapshot.close()
            raise
        self._deltas += 1
        return path

    def _still_there(self, chain: _Chain) -> bool:
        """Whether the files that the next delta would need are those that were written."""
        for path, known in chain.files:
            try:
                found = _set.describe(path)
            except (DictDBError, OSError) as error:
                logger.warning("backup: no delta, %s is not there or damaged: %s", path, error)
                return False
            if found != known:
                logger.warning("backup: no delta, %s is not the file that was written", path)
                return False
        return True

    def _go_on(self, path: Path, snapshot: Snapshot, before: _Chain | None) -> None:
        """The next delta goes on from this file, which itself did from those of `before`."""
        files = before.files if before is not None else ()
        made = _Chain((*files, (path, _set.describe(path))), snapshot)
        old, self._chain = self._chain, made
        if old is not None:
            old.snapshot.close()

    def _forget_chain(self, run: _Run) -> None:
        """Let go of what only the next delta would need, unless a new thread has been started."""
        with self._turn:
            with self._wake:
                restarted = self._run is not None and self._run is not run
            if self._chain is not None and not restarted:
                self._chain.snapshot.close()
                self._chain = None

    # --- Retention; with _turn held ---

    def _retain(self) -> None:
        """Remove what is not to be kept. What goes wrong is logged: the backup is there."""
        if self._keep_count is None and self._keep_age is None:
            return
        try:
            for backup in self._unneeded():
                backup.path.unlink(missing_ok=True)
        except Exception as error:
            logger.warning("old backups in %s were not removed: %s", self._dir, error)

    def _unneeded(self) -> list[_set.Backup]:
        """The newest first, so that what is left is whole whenever this ends."""
        backups = _set.list_backups(self._dir)
        oldest = None
        if self._keep_age is not None:
            now = datetime.now(UTC)
            oldest = now - min(self._keep_age, now - datetime.min.replace(tzinfo=UTC))
        unneeded = []
        needed: set[int] = set()  # Sums of files that files which stay go on from.
        plain = False  # A delta of the original stays: so does all before it, up to a full backup.
        for age, backup in enumerate(reversed(backups)):
            stays = age == 0 or (self._keep_count is not None and age < self._keep_count)
            stays = stays or (oldest is not None and backup.time >= oldest)
            stays = stays or (plain and (not backup.is_delta or _set.is_plain_delta(backup)))
            if stays or (needed and self._is_needed(backup, needed)):
                plain = (plain and backup.is_delta) or _set.is_plain_delta(backup)
                if backup.is_delta and not _set.is_plain_delta(backup):
                    needed.add(_set.describe(backup.path).before)
            else:
                unneeded.append(backup)
        return unneeded

    @staticmethod
    def _is_needed(backup: _set.Backup, needed: set[int]) -> bool:
        """Of a damaged file it cannot be known."""
        if _set.is_pickle(backup) or _set.is_plain_delta(backup):
            return False
        try:
            found = _set.describe(backup.path).sum
        except DictDBError:
            return True
        return found == 0 or found in needed

    # --- After a backup ---

    def _note(self, saved: bool, ended: bool) -> int:
        """Count the failures in a row; one that failed is pending again, later each time.

        One that was ended by who asked for it is pending as well, but it has not failed.
        """
        with self._wake:
            if saved:
                self._failures = 0
            elif ended:
                self._pending = True
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
            self._save(self._write_next)

    def _wait_until_due(self, run: _Run) -> bool:
        """Wait for the next backup's time. False: the manager stops."""
        periodic = time.monotonic() + self._interval
        with self._wake:
            while not run.stopping:
                due = min(periodic, self._not_before) if self._pending else periodic
                rest = due - time.monotonic()
                if rest <= 0:
                    return True
                self._wake.wait(min(rest, _LONGEST_WAIT))
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
