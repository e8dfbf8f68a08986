"""The program's own log: one line for one event, on standard error, for machines (JSON) or for people (console).

Names, labels and paths that reach the log were chosen by whoever runs containers here. So no value can begin a new
line, move a cursor or break a parser: what is not printable is escaped, in both formats. Exceptions come without local
variables, which hold what configurations hold: secrets. And a line that cannot be written, because a disk is full or a
pipe closed, is lost without stopping the program.
"""

import logging
import math
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from exporter.store.catalog import Problem, ProblemKind

LEVELS = ("debug", "info", "warning", "error", "critical")
FORMATS = ("auto", "json", "console")

LONGEST = 4096
"""Characters of one value that are kept: the longest path that Linux knows. A label may have megabytes."""

_QUIET = {
    # Its debug lines repeat every event that the kernel sends: a log that writes as fast as containers come and go.
    "watchdog": logging.WARNING,
    # Its one error is a race with a watch that is being dropped, which is what we asked for.
    "watchdog.observers.inotify": logging.CRITICAL,
}


def configure(level: str = "info", log_format: str = "auto", *, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's log lines of at least *level* to *stream*, standard error by default.

    *log_format* is one of ``FORMATS``; ``auto`` is JSON unless *stream* is a terminal. May be called again.
    """
    if level not in LEVELS:
        raise ValueError(f"{level!r} is no log level: {', '.join(LEVELS)}")
    if log_format not in FORMATS:
        raise ValueError(f"{log_format!r} is no log format: {', '.join(FORMATS)}")
    out = sys.stderr if stream is None else stream
    sink, terminal = _Sink(out), _is_terminal(out)
    for_people = terminal if log_format == "auto" else log_format == "console"
    structlog.configure(
        processors=_for_console(colors=terminal and "NO_COLOR" not in os.environ) if for_people else _for_json(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: sink,
        # A cached logger would keep what was configured when it was first used; looking it up costs a microsecond.
        cache_logger_on_first_use=False,
    )
    _bridge_standard_library(logging.getLevelNamesMapping()[level.upper()])
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _first() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _for_console(*, colors: bool) -> list[Processor]:
    return [
        *_first(),
        structlog.processors.ExceptionRenderer(_plain_traceback),
        _showable,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
    ]


def _for_json() -> list[Processor]:
    without_locals = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [
        *_first(),
        structlog.processors.ExceptionRenderer(without_locals),
        _serialisable,
        structlog.processors.JSONRenderer(),
    ]


class _Sink:
    """The logger below all others: writes whole lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # Re-entrant, for a signal handler that logs while its thread is writing.
        self._lock = threading.RLock()

    def msg(self, line: str) -> None:
        """Write *line*. OSError: the disk is full or the pipe closed; ValueError: the stream is closed."""
        with self._lock, suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg


class _Bridge(logging.Handler):
    """Carries the standard library's log records (watchdog's, and Python's warnings) into the same chain."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.getMessage()
        except (TypeError, ValueError, KeyError):  # arguments that do not fit the message
            event = str(record.msg)
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        structlog.get_logger().log(level, event, logger=record.name, exc_info=record.exc_info)


def _bridge_standard_library(level: int) -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge())
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, least))
    logging.captureWarnings(True)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None, /) -> None:
    """Log what nobody caught: it ends a thread or the program, and must not break the log's format as well."""
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        structlog.get_logger().critical("uncaught exception", exc_info=(kind, error or kind(), trace))


def _serialisable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: _encodable(value) for key, value in event.items()}


def _encodable(value: object) -> object:
    """*value* as every JSON parser takes it.

    The renderer escapes control characters and all that is not ASCII. It lets pass lone surrogates (bytes of a file
    name that are no UTF-8), which strict parsers refuse, and NaN, which is no JSON.
    """
    match value:
        case str():
            return _cut(value) if value.isascii() else _cut(value).encode("utf-8", "backslashreplace").decode("utf-8")
        case bool() | int() | None:
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return {str(_encodable(str(key))): _encodable(part) for key, part in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_encodable(part) for part in value]
        case _:
            return _encodable(repr(value))


def _showable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # The renderer shows what is no string by repr, which escapes. Only a traceback has several lines.
    return {
        key: value if not isinstance(value, str) else value if key == "exception" else printable(str(value))
        for key, value in event.items()
    }


def _plain_traceback(exc_info: ExcInfo) -> str:
    """The traceback, indented: an exception's message may contain lines that look like the log's own."""
    text = "".join(traceback.format_exception(*exc_info)).rstrip("\n")
    return "\n".join("    " + printable(line) for line in text.split("\n"))


def printable(text: str) -> str:
    """*text* on one line, with escapes for what a terminal would not simply show: controls, direction overrides."""
    short = _cut(text)
    if short.isprintable():
        return short
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in short)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


Key = tuple[str, ProblemKind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What two scans see differently, in order of path."""

    appeared: tuple[Problem, ...]
    gone: tuple[Problem, ...]


def changes(previous: Mapping[Key, Problem], current: Mapping[Key, Problem]) -> Changes:
    """The problems that are new and those that are gone. One whose reason only reads otherwise now is neither."""
    return Changes(
        appeared=tuple(current[key] for key in sorted(current.keys() - previous.keys())),
        gone=tuple(previous[key] for key in sorted(previous.keys() - current.keys())),
    )


class Once:
    """Logs a problem when it appears and when it is gone, not with every scan that sees it."""

    def __init__(self, *, lines: int = 20) -> None:
        self._lines = lines
        self._known: dict[Key, Problem] = {}
        self._log = structlog.get_logger()

    def report(self, problems: Iterable[Problem]) -> None:
        """Log what changed since the last report: at most ``lines`` lines, and one more that counts the rest.

        What appeared comes first: about what is gone, nobody has to do anything.
        """
        current = {(problem.path, problem.kind): problem for problem in problems}
        difference = changes(self._known, current)
        self._known = current
        left = max(self._lines - len(difference.appeared), 0)
        for problem in difference.appeared[: self._lines]:
            self._log.warning("problem found", problem=problem.kind.value, path=problem.path, reason=problem.reason)
        for problem in difference.gone[:left]:
            self._log.info("problem gone", problem=problem.kind.value, path=problem.path)
        appeared = max(len(difference.appeared) - self._lines, 0)
        gone = max(len(difference.gone) - left, 0)
        if appeared or gone:
            self._log.warning("more problems changed", appeared=appeared, gone=gone)
