"""The log: one line an event, in two formats, whatever the values hold."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from exporter import logs
from exporter.store.catalog import Problem, ProblemKind

HOSTILE = [
    "two\nlines",
    'quote" and \\',
    "\x1b[2J\x1b[31mred",
    "\r2026-01-01T00:00:00Z [info] forged",
    "bytes \udcff\udcfe",
    "lone \ud800",
    "\u202edetrevni",
    "null\x00del\x7fnel\x85sep\u2028",
    "key=value level=error",
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class FullDisk(io.StringIO):
    def write(self, _text: str, /) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The process's logging as it was: configuring is global."""
    root, levels = logging.getLogger(), {}
    handlers, hooks = root.handlers[:], (sys.excepthook, threading.excepthook)
    for name in ("", "watchdog", "watchdog.observers.inotify"):
        levels[name] = logging.getLogger(name).level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    sys.excepthook, threading.excepthook = hooks
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configured(log_format: str, level: str = "info") -> io.StringIO:
    logging.getLogger().handlers.clear()  # pytest's own handlers raise where a record cannot be formatted
    stream = io.StringIO()
    logs.configure(level, log_format, stream=stream)
    return stream


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_is_one_object_a_line_with_time_level_and_event() -> None:
    """A line of the JSON log is one object: ISO time in UTC, level, event and the values given."""
    stream = configured("json")
    structlog.get_logger().info("scan done", stage="catalog", seconds=0.25, stores=["overlay2"])
    [record] = records(stream)
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "event": "scan done",
        "level": "info",
        "stage": "catalog",
        "seconds": 0.25,
        "stores": ["overlay2"],
    }


def test_auto_is_json_unless_a_terminal_reads_it() -> None:
    """``auto`` writes for people on a terminal, and for machines elsewhere."""
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        logs.configure("info", "auto", stream=stream)
        structlog.get_logger().info("hello")
    assert "hello" in terminal.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(terminal.getvalue())
    assert json.loads(pipe.getvalue())["event"] == "hello"


def test_the_console_has_no_colours_in_a_file() -> None:
    """Colours are for terminals: the console format in a file is plain text."""
    stream = configured("console")
    structlog.get_logger().warning("hello", name="web")
    assert "\x1b" not in stream.getvalue()
    assert "[warning" in stream.getvalue()
    assert "name=web" in stream.getvalue()


def test_what_is_less_severe_than_the_level_is_not_written() -> None:
    """The level is a floor, for structlog's loggers and the standard library's."""
    stream = configured("json", level="warning")
    structlog.get_logger().info("no")
    structlog.get_logger().warning("yes")
    logging.getLogger("some.library").info("no")
    logging.getLogger("some.library").error("also")
    assert [record["event"] for record in records(stream)] == ["yes", "also"]


@pytest.mark.parametrize(("level", "log_format"), [("loud", "json"), ("info", "xml")])
def test_an_unknown_level_or_format_is_refused(level: str, log_format: str) -> None:
    """A misspelt setting is an error at start, not a silent default."""
    with pytest.raises(ValueError, match="is no log"):
        logs.configure(level, log_format)


def test_context_variables_are_in_every_line() -> None:
    """What is bound for the length of a scan is in the lines written meanwhile; a value given by hand wins."""
    stream = configured("json")
    with structlog.contextvars.bound_contextvars(scan=7, store="overlay2"):
        structlog.get_logger().info("one", store="other")
    structlog.get_logger().info("two")
    one, two = records(stream)
    assert (one["scan"], one["store"]) == (7, "other")
    assert "scan" not in two


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_is_one_line_of_valid_json(value: str) -> None:
    """In JSON a value comes back as it was; only what no UTF-8 can carry comes back escaped."""
    stream = configured("json")
    structlog.get_logger().info("container", name=value, nested={value: [value]})
    logging.getLogger("watchdog").warning("event %s", value)
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert all(" " <= char <= "\x7f" for char in text.replace("\n", ""))
    expected = value.encode("utf-8", "backslashreplace").decode("utf-8")
    ours, theirs = records(stream)
    assert ours["name"] == expected
    assert ours["nested"] == {expected: [expected]}
    assert theirs["event"] == f"event {expected}"
    for record in (ours, theirs):
        json.dumps(record, ensure_ascii=False).encode("utf-8")  # what a strict parser refuses, this cannot encode


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_is_one_printable_line_on_the_console(value: str) -> None:
    """On the console nothing but printable characters is written, so no value can start a line or move the cursor."""
    stream = configured("console")
    structlog.get_logger().info("container", name=value, nested={value: [value]})
    logging.getLogger("watchdog").warning("event %s", value)
    lines = stream.getvalue().removesuffix("\n").split("\n")
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_a_value_cannot_forge_a_second_field_on_the_console() -> None:
    """A value with blanks or ``=`` is quoted."""
    stream = configured("console")
    structlog.get_logger().info("container", name="web level=error")
    assert "name='web level=error'" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_value_of_megabytes_is_cut(log_format: str) -> None:
    """A label may be as long as a file; a log line is not."""
    stream = configured(log_format)
    structlog.get_logger().info("container", name="x" * 5_000_000)
    assert len(stream.getvalue()) < logs.LONGEST + 200


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"\xff", {1, 2}, ProblemKind.EMPTY_LINK])
def test_any_value_can_be_logged_as_json(value: object) -> None:
    """What JSON does not know is written as text: a log call never raises."""
    stream = configured("json")
    structlog.get_logger().info("odd", value=value)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads(stream.getvalue(), parse_constant=refuse)["event"] == "odd"


def fails(message: str) -> None:
    password = "hunter" + "2"
    raise ValueError(message + " " * len(password))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_exception_comes_without_local_variables(log_format: str) -> None:
    """A traceback names functions and lines, and no values: locals hold what configurations hold."""
    stream = configured(log_format)
    try:
        fails("broken")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "broken" in stream.getvalue()
    assert "fails" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_an_exception_is_part_of_its_json_object() -> None:
    """In JSON a traceback is data, on the same line."""
    stream = configured("json")
    try:
        fails("a\nb\x1b[2J")
    except ValueError:
        structlog.get_logger().exception("failed")
    [record] = records(stream)
    assert record["exception"][0]["exc_type"] == "ValueError"
    assert record["exception"][0]["frames"][-1]["name"] == "fails"
    assert stream.getvalue().count("\n") == 1


def test_an_exception_cannot_forge_a_line_on_the_console() -> None:
    """Every line of a traceback is indented, also those that the exception's message makes."""
    stream = configured("console")
    try:
        fails("x\n2026-01-01T00:00:00Z [info     ] forged\x1b[2J")
    except ValueError:
        structlog.get_logger().exception("failed")
    first, *rest = stream.getvalue().removesuffix("\n").split("\n")
    assert "failed" in first
    assert "    2026-01-01T00:00:00Z [info     ] forged\\x1b[2J" in [line.rstrip() for line in rest]
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_the_standard_librarys_records_go_the_same_way() -> None:
    """watchdog's lines look like ours, and name their logger."""
    stream = configured("json")
    with structlog.contextvars.bound_contextvars(scan=7):
        logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed")
    [record] = records(stream)
    del record["timestamp"]
    assert record == {
        "event": "Inotify queue overflowed",
        "level": "warning",
        "logger": "watchdog.observers.inotify_c",
        "scan": 7,
    }


def test_a_record_whose_arguments_do_not_fit_is_still_written() -> None:
    """A library's slip in a log call costs the arguments, not the line and not the thread."""
    stream = configured("json")
    logging.getLogger("some.library").error("%d of %d", *["one"])
    assert [record["event"] for record in records(stream)] == ["%d of %d"]


def test_watchdog_is_quiet_even_at_debug() -> None:
    """watchdog's debug lines repeat every event of the kernel; debug is for this program's own."""
    stream = configured("json", level="debug")
    logging.getLogger("watchdog.observers.inotify_move_event_grouper").debug("in-event")
    structlog.get_logger().debug("ours")
    assert [record["event"] for record in records(stream)] == ["ours"]


def test_warnings_are_log_lines() -> None:
    """A Python warning is written as a line of the log, not as bare text between them."""
    stream = configured("json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old\nway", UserWarning, stacklevel=1)
    [record] = records(stream)
    assert record["logger"] == "py.warnings"
    assert "old\nway" in record["event"]


def test_an_uncaught_exception_of_a_thread_is_one_line() -> None:
    """What ends a thread is logged in the log's format."""
    stream = configured("json")
    thread = threading.Thread(target=fails, args=("a\nb",))
    thread.start()
    thread.join()
    [record] = records(stream)
    assert (record["level"], record["event"]) == ("critical", "uncaught exception")
    assert record["exception"][0]["exc_value"].startswith("a\nb")


def test_an_interrupt_is_no_failure() -> None:
    """Ctrl-C at a command leaves no traceback."""
    stream = configured("json")
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert stream.getvalue() == ""


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [FullDisk, closed])
def test_a_line_that_cannot_be_written_is_lost_and_no_more(stream: Callable[[], io.StringIO]) -> None:
    """The disk that this program watches may be the one its log lies on: logging to a full one raises nothing."""
    logs.configure("info", "auto", stream=stream())
    structlog.get_logger().info("lost")
    logging.getLogger("some.library").error("lost too")


def test_configuring_again_replaces_the_first_configuration() -> None:
    """Two calls do not write each line twice; loggers made before follow the second."""
    first = configured("json")
    logger = structlog.get_logger()
    logger.info("one")
    second = configured("json")
    logger.info("two")
    logging.getLogger("some.library").error("three")
    assert [record["event"] for record in records(first)] == ["one"]
    assert [record["event"] for record in records(second)] == ["two", "three"]


def test_threads_do_not_mix_their_lines() -> None:
    """Lines written by many threads at once are whole."""
    stream = configured("json")

    def write() -> None:
        for number in range(50):
            structlog.get_logger().info("line", text="x" * 100, number=number)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records(stream)) == 400


def problem(path: str, reason: str = "empty") -> Problem:
    return Problem(path=path, kind=ProblemKind.EMPTY_LINK, reason=reason)


def keyed(*problems: Problem) -> dict[logs.Key, Problem]:
    return {(problem.path, problem.kind): problem for problem in problems}


def test_changes_are_what_appeared_and_what_is_gone() -> None:
    """Of two scans' problems, those that both saw are no change, also when the reason reads otherwise now."""
    before = keyed(problem("/a"), problem("/b", "3 bytes"))
    after = keyed(problem("/b", "4 bytes"), problem("/d"), problem("/c"))
    expected = logs.Changes(appeared=(problem("/c"), problem("/d")), gone=(problem("/a"),))
    assert expected == logs.changes(before, after)


def test_a_problem_is_logged_once_and_once_when_it_is_gone() -> None:
    """Scans that see the same say nothing."""
    stream = configured("json")
    once = logs.Once()
    for seen in ([problem("/a")], [problem("/a")], [problem("/a")], [], []):
        once.report(seen)
    found, gone = records(stream)
    assert {key: found[key] for key in ("event", "level", "problem", "path", "reason")} == {
        "event": "problem found",
        "level": "warning",
        "problem": "empty_link",
        "path": "/a",
        "reason": "empty",
    }
    assert (gone["event"], gone["level"], gone["path"]) == ("problem gone", "info", "/a")


def test_a_thousand_problems_are_twenty_lines_and_a_count() -> None:
    """A damaged disk does not flood the log."""
    stream = configured("json")
    once = logs.Once(lines=20)
    once.report([problem(f"/gone/{number}") for number in range(5)])
    stream.truncate(0)
    stream.seek(0)
    once.report([problem(f"/new/{number:04}") for number in range(1000)])
    *lines, last = records(stream)
    assert [line["path"] for line in lines] == [f"/new/{number:04}" for number in range(20)]
    assert {key: last[key] for key in ("event", "appeared", "gone")} == {
        "event": "more problems changed",
        "appeared": 980,
        "gone": 5,
    }


def test_what_is_gone_uses_the_lines_that_are_left() -> None:
    """Appearances come first; what is gone fills up to the limit, and the rest is counted."""
    stream = configured("json")
    once = logs.Once(lines=3)
    once.report([problem("/a"), problem("/b")])
    stream.truncate(0)
    stream.seek(0)
    once.report([problem("/c"), problem("/d")])
    assert [(record["event"], record.get("path", record.get("gone"))) for record in records(stream)] == [
        ("problem found", "/c"),
        ("problem found", "/d"),
        ("problem gone", "/a"),
        ("more problems changed", 1),
    ]
