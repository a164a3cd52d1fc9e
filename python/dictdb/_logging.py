# SPDX-License-Identifier: Apache-2.0
"""The logger of the package: the standard one named ``dictdb``, and ways to configure it.

    statement --> Logger.debug(..., table=, op=) --> LogRecord(.table, .op, .context) --> handlers

Until an application configures logging it sees nothing: the logger has a ``NullHandler`` and no
level of its own. An application that uses the standard library's ``logging`` alone needs nothing of
this module; `configure_logging` and `Logger.add` are for those that want no more than a few lines.

Invariants:
 1. Messages take their arguments lazily: a disabled level formats nothing, and no text of a user is
    ever a format.
 2. Whether statements are logged is a flag of the extension, off while the level DEBUG is. The
    standard library empties a logger's cache of levels whenever a level changes anywhere; that
    turns the flag on, and the first statement after it finds out.
 3. What handlers, filters and sinks do while a statement is logged is not logged: no recursion.
 4. No lock of this package is held while a handler, a filter or a sink runs. `Logger._sinks` is
    guarded by a lock that is held for the dict alone.
"""

from __future__ import annotations

import json as _json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from dictdb import _core
from dictdb._core import InvalidArgumentError, UnsupportedTypeError
from dictdb._options import check_bool, meant

_RecordFilter: TypeAlias = Callable[[logging.LogRecord], bool]
if TYPE_CHECKING:
    Sink: TypeAlias = str | os.PathLike[str] | IO[str] | Callable[[str], object] | logging.Handler
    Filter: TypeAlias = Callable[[dict[str, Any]], object]
    Adapter: TypeAlias = logging.LoggerAdapter["Logger"]
else:
    Adapter = logging.LoggerAdapter

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_KNOWN = ("exc_info", "extra", "stack_info", "stacklevel")  # Not context


def _level(level: str | int) -> int:
    """The number of a level that is given by its name or its number."""
    if isinstance(level, str):
        number = logging.getLevelNamesMapping().get(level.upper())
        if number is None:
            hint = meant(level.upper(), _LEVELS)
            raise InvalidArgumentError(
                f"unknown level {level!r}: use one of {', '.join(_LEVELS)}{hint}"
            )
        return number
    if isinstance(level, bool) or not isinstance(level, int):
        kind = type(level).__name__
        raise UnsupportedTypeError(f"level must be str or int, not {kind!r}")
    return level


# --- What a record is as text ---


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a filter gets, and what a line of JSON holds."""
    fields: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created).astimezone().isoformat(),
        "level": record.levelname,
        "message": record.getMessage(),
        "logger": record.name,
        "thread": record.threadName,
        "extra": dict(getattr(record, "context", {})),
    }
    if record.exc_info:
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    return fields


class _TextFormatter(logging.Formatter):
    """``time | level | thread | message | table=users op=INSERT``, and the traceback below."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d | %(levelname)-8s | %(threadName)s | %(message)s")
        self.datefmt = "%Y-%m-%d %H:%M:%S"

    def formatMessage(self, record: logging.LogRecord) -> str:
        context = getattr(record, "context", None)
        text = super().formatMessage(record)
        if not context:
            return text
        return f"{text} | {' '.join(f'{name}={_plain(value)}' for name, value in context.items())}"


def _plain(value: object) -> str:
    """A value as text that cannot be taken for two fields, nor for two lines."""
    if isinstance(value, str) and value.isprintable() and " " not in value and value:
        return value
    return repr(value)


class _JsonFormatter(logging.Formatter):
    """One object a line. A value that JSON does not have is there as its text."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        try:
            return _json.dumps(fields, default=str, allow_nan=False)
        except (TypeError, ValueError):
            fields["extra"] = {str(key): repr(value) for key, value in fields["extra"].items()}
            return _json.dumps(fields)


# --- Where records go ---


class _StdoutHandler(logging.StreamHandler[IO[str]]):
    """Writes to what `sys.stdout` is at the time."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> IO[str]:  # type: ignore[override]
        return cast("IO[str]", sys.stdout)


class _CallHandler(logging.Handler):
    """Calls a function with the text of each record, under no lock."""

    def __init__(self, function: Callable[[str], object]) -> None:
        super().__init__()
        self._function = function

    def handle(self, record: logging.LogRecord) -> Any:
        """As every handler's, but for the handler's lock."""
        passed: object = self.filter(record)
        if isinstance(passed, logging.LogRecord):  # A filter of 3.12 or later put another one in
            record = passed
        if passed:
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._function(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


def _handler(sink: Sink) -> logging.Handler:
    if isinstance(sink, logging.Handler):
        return sink
    if sink is sys.stdout:
        return _StdoutHandler()
    if hasattr(sink, "write"):
        return logging.StreamHandler(cast("IO[str]", sink))
    if callable(sink):
        return _CallHandler(sink)
    if isinstance(sink, str) or hasattr(sink, "__fspath__"):
        path = Path(sink)
        path.parent.mkdir(parents=True, exist_ok=True)
        return logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    raise UnsupportedTypeError(
        "a sink is a path, a text file, a callable or a logging.Handler, "
        f"not {type(sink).__name__!r}"
    )


class _Sampler:
    """A filter that lets every n-th record of the level DEBUG through, and all others."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._count = 0
        self._lock = threading.Lock()

    def __call__(self, record: logging.LogRecord) -> bool:
        if record.levelno > logging.DEBUG:
            return True
        with self._lock:
            self._count += 1
            return self._count % self._every == 0


def _record_filter(wanted: Filter) -> _RecordFilter:
    return lambda record: bool(wanted(_fields(record)))


# --- The logger ---


class _Sink(NamedTuple):
    handler: logging.Handler
    is_ours: bool  # To be closed when it is removed
    filter: _RecordFilter | None


def _with_context(kwargs: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a call, with those that are context moved to where makeRecord finds them."""
    known = {name: value for name, value in kwargs.items() if name in _KNOWN}
    own = {name: value for name, value in kwargs.items() if name not in _KNOWN}
    extra = {"table": None, "op": None, "context": {}, **(known.get("extra") or {})}
    extra["context"] = {**context, **extra["context"], **own}
    for name in ("table", "op"):
        extra[name] = extra["context"].get(name, extra[name])
    known["extra"] = extra
    return known


class _LevelCache(dict[int, bool]):
    """The standard library's cache of enabled levels; see the module's second invariant."""

    def clear(self) -> None:
        super().clear()
        _core._log_statements(True)


class Logger(logging.Logger):
    """The standard library's logger, with context: what ``dictdb.logger`` is.

    Keyword arguments of `debug` ... `critical` that the standard library does not know are the
    record's context: ``record.context`` (a dict); ``record.table`` and ``record.op``, None when
    they are not given, are there for formats such as ``"%(table)s"``.
    """

    _cache: _LevelCache
    _sinks: dict[int, _Sink]
    _sink_count: int
    _sinks_lock: threading.Lock
    if TYPE_CHECKING:  # Like the methods of the standard library, with any keyword besides
        debug: Callable[..., None]
        info: Callable[..., None]
        warning: Callable[..., None]
        error: Callable[..., None]
        critical: Callable[..., None]
        exception: Callable[..., None]
        log: Callable[..., None]

    def _log(  # type: ignore[override]
        self, level: int, msg: object, args: Any, /, *rest: Any, **kwargs: Any
    ) -> None:
        """Log a record whose context is the keywords that the standard library does not know."""
        kwargs = _with_context(kwargs, {})
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1  # Records name the caller's line
        super()._log(level, msg, args, *rest, **kwargs)

    def bind(self, **context: Any) -> BoundLogger:
        """Return a logger whose records carry this context."""
        return BoundLogger(self, context)

    def add(
        self,
        sink: Sink,
        level: str | int = "DEBUG",
        serialize: bool = False,
        filter: Filter | None = None,
    ) -> int:
        """Send records to one more place, and return its number, for `remove`.

        sink: a path (the file is appended to, its folder made), a text file, a callable that takes
        the text of a record, or a ``logging.Handler``. level: the least level that goes there.
        serialize: lines of JSON instead of text. filter: called with a dict of ``time``, ``level``,
        ``message``, ``logger``, ``thread``, ``extra`` (the context) and, if there was one,
        ``exception``; what it returns false for is left out. A logging.Handler keeps its formatter,
        if it has one.

        Raises InvalidArgumentError (an unknown level), UnsupportedTypeError and OSError (the file
        cannot be opened).
        """
        number = _level(level)
        check_bool("serialize", serialize)
        if filter is not None and not callable(filter):
            raise UnsupportedTypeError(f"filter must be a callable, not {type(filter).__name__!r}")
        handler = _handler(sink)
        handler.setLevel(number)
        if handler.formatter is None or serialize:
            handler.setFormatter(_JsonFormatter() if serialize else _TextFormatter())
        wanted = None if filter is None else _record_filter(filter)
        return self._attach(_Sink(handler, handler is not sink, wanted))

    def _attach(self, sink: _Sink) -> int:
        if sink.filter is not None:
            sink.handler.addFilter(sink.filter)
        with self._sinks_lock:
            self._sink_count += 1
            number = self._sink_count
            self._sinks[number] = sink
        self.addHandler(sink.handler)
        self._lower()
        return number

    def remove(self, handler_id: int | None = None) -> None:
        """Remove what `add` or `configure_logging` added: one by its number, or all.

        Raises InvalidArgumentError when there is none of that number.
        """
        with self._sinks_lock:
            if handler_id is not None and handler_id not in self._sinks:
                raise InvalidArgumentError(f"there is no sink of the number {handler_id!r}")
            numbers = list(self._sinks) if handler_id is None else [handler_id]
            gone = [self._sinks.pop(number) for number in numbers]
        for sink in gone:
            self.removeHandler(sink.handler)
            if sink.filter is not None:
                sink.handler.removeFilter(sink.filter)
            if sink.is_ours:
                sink.handler.close()
        self._lower()

    def _lower(self) -> None:
        """Set the level to the least of the sinks; without sinks to none, as at first."""
        with self._sinks_lock:
            levels = [sink.handler.level for sink in self._sinks.values()]
            self.setLevel(min(levels, default=logging.NOTSET))


class BoundLogger(Adapter):
    """A logger whose records carry a context: what `Logger.bind` returns."""

    if TYPE_CHECKING:  # Like the methods of the standard library, with any keyword besides
        debug: Callable[..., None]
        info: Callable[..., None]
        warning: Callable[..., None]
        error: Callable[..., None]
        critical: Callable[..., None]
        exception: Callable[..., None]
        log: Callable[..., None]

    def __init__(self, logger: Logger, context: dict[str, Any]) -> None:
        super().__init__(logger, dict(context))

    def bind(self, **context: Any) -> BoundLogger:
        """Return a logger whose records carry this context as well."""
        return BoundLogger(self.logger, {**(self.extra or {}), **context})

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the context to the arguments of a call; those of the call go first."""
        return msg, _with_context(kwargs, self.extra or {})


def _find() -> Logger:
    """The logger of the standard library's registry, made one of our class where it is."""
    found = logging.getLogger("dictdb")
    if not isinstance(found, Logger):
        kind = type(found)
        # An application may have a class of its own for all loggers: that is kept below ours.
        found.__class__ = Logger if kind is logging.Logger else type("Logger", (Logger, kind), {})
    logger = cast("Logger", found)
    if "_sinks" not in vars(logger):
        logger._sinks, logger._sink_count, logger._sinks_lock = {}, 0, threading.Lock()
    logger._cache = _LevelCache()
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        logger.addHandler(logging.NullHandler())
    return logger


logger: Logger = _find()


def _after_fork() -> None:
    """A thread of the parent may have held the lock."""
    logger._sinks_lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def configure_logging(
    level: str | int = "INFO",
    console: bool = True,
    logfile: str | os.PathLike[str] | None = None,
    *,
    json: bool = False,
    sample_debug_every: int | None = None,
) -> None:
    """Send the records of the logger ``dictdb`` to the console and to a file.

    What was added before, here or by ``logger.add``, is removed first. Handlers that the
    application gave to the logger itself, or to the root logger, stay.

    level: the least level, a name in any case or a number. At ``"DEBUG"`` there is a record of each
    statement, at ``"INFO"`` of tables and indexes made and dropped and of files.
    console: to the standard output. logfile: to this file, which is appended to.
    json: one JSON object a line. sample_debug_every: of the records of the level DEBUG only every
    n-th.

    Raises InvalidArgumentError, UnsupportedTypeError and OSError; then everything is as it was.
    """
    number = _level(level)
    check_bool("console", console)
    check_bool("json", json)
    every = sample_debug_every
    if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
        raise InvalidArgumentError(f"sample_debug_every must be an int from 1 on, not {every!r}")
    handlers: list[logging.Handler] = [_StdoutHandler()] if console else []
    if logfile is not None:
        handlers.append(_handler(logfile))
    logger.remove()
    for handler in handlers:
        handler.setLevel(number)
        handler.setFormatter(_JsonFormatter() if json else _TextFormatter())
        logger._attach(_Sink(handler, True, None if every is None else _Sampler(every)))
    if not handlers:
        logger.setLevel(number)
    logger.debug("logging is configured", op="CONFIGURE", level=logging.getLevelName(number))


# --- What the extension tells ---


def _length(result: Any) -> int:
    return len(result) if isinstance(result, list) else 1


def _count(result: Any) -> int:
    return len(result) if isinstance(result, list) else int(result)


_Told: TypeAlias = tuple[int, str, Callable[[Any], int] | None]
_STATEMENTS: dict[str, _Told] = {
    "SELECT": (logging.DEBUG, "read %d of table %r", _length),
    "AGGREGATE": (logging.DEBUG, "aggregated to %d of table %r", _length),
    "COUNT": (logging.DEBUG, "counted %d of table %r", _count),
    "INSERT": (logging.DEBUG, "inserted %d into table %r", _length),
    "UPSERT": (logging.DEBUG, "upserted %d into table %r", lambda _: 1),
    "UPDATE": (logging.DEBUG, "updated %d of table %r", _count),
    "DELETE": (logging.DEBUG, "deleted %d of table %r", _count),
    "CREATE_TABLE": (logging.INFO, "created table %r", None),
    "DROP_TABLE": (logging.INFO, "dropped table %r", None),
    "CREATE_INDEX": (logging.INFO, "created an index of table %r", None),
    "DROP_INDEX": (logging.INFO, "dropped an index of table %r", None),
    "SAVE": (logging.INFO, "saved to %s", None),
    "LOAD": (logging.INFO, "loaded %s", None),
    "OPEN": (logging.INFO, "opened %s", None),
    "CHECKPOINT": (logging.INFO, "checkpoint done", None),
    "SYNC": (logging.DEBUG, "synced", None),
    "CLOSE": (logging.INFO, "closed", None),
    "IMPORT": (logging.INFO, "imported %d into table %r", _count),
    "EXPORT": (logging.INFO, "exported %d of table %r", _count),
}
_FILES = {"SAVE", "LOAD", "OPEN", "IMPORT", "EXPORT"}
_DETAILS = {"CREATE_TABLE": "primary_key", "CREATE_INDEX": "field", "DROP_INDEX": "field"}
_busy = threading.local()


def _is_debug() -> bool:
    """Is the level DEBUG enabled, whatever else keeps records from being handled?"""
    manager = logger.manager
    return manager.disable < logging.DEBUG >= logger.getEffectiveLevel()


def _find_out() -> None:
    """Turn the extension's flag off unless DEBUG is enabled; a change of level meanwhile counts."""
    _core._log_statements(False)
    if _is_debug():
        _core._log_statements(True)


def _tell(op: str, table: str | None, detail: Any, result: Any) -> None:
    """Log a statement: what the extension calls, in the statement's thread and frame.

    detail: what the statement is about, or what it was asked to return.
    """
    level, message, counted = _STATEMENTS[op]
    if counted and isinstance(detail, str) and detail == "count":
        counted = _count
    if not logger.isEnabledFor(level):
        if level == logging.DEBUG:
            _find_out()
        return
    if getattr(_busy, "is_on", False):
        return
    _busy.is_on = True
    try:
        _emit(op, level, message, table, detail, counted(result) if counted else None)
    finally:
        _busy.is_on = False


def _emit(
    op: str, level: int, message: str, table: str | None, detail: Any, count: int | None
) -> None:
    context: dict[str, Any] = {"table": table} if table is not None else {}
    context["op"] = op
    args: tuple[Any, ...] = (
        (table,) if table is not None else (detail,) if detail is not None else ()
    )
    if count is not None:
        context["count"] = count
        args = (count, *args)
    if op in _FILES and detail is not None:
        context["path"] = str(detail)
    elif op in _DETAILS:
        name = _DETAILS[op]
        context[name] = _names(detail) if detail is not None else "id"
    logger.log(level, message, *args, stacklevel=3, **context)


def _names(detail: Any) -> Any:
    """The text of a field, or of several."""
    if isinstance(detail, _core.Field):
        return detail.field_name
    if isinstance(detail, (list, tuple)):
        return [_names(item) for item in detail]
    return detail if isinstance(detail, str) else repr(detail)


_core._log_function(_tell)
