"""The exporter's own figures, as its stages and threads fill them in."""

import errno
import threading

import pytest

from exporter.vitals import Reason, Stage, StageVitals, Vitals, VitalsSnapshot, reason_of


class Clock:
    """Moves only when told to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    def error(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


def test_every_stage_and_reason_is_there_from_the_start() -> None:
    """A new process shows every stage, and every stage's every reason, at 0."""
    snapshot = Vitals().snapshot()

    assert dict.fromkeys(Stage, StageVitals(duration=0.0, success=False, last_success=0.0)) == snapshot.stages
    assert {(stage, reason): 0 for stage in Stage for reason in Reason} == snapshot.errors


def test_a_run_that_ends_well_is_timed_and_dated() -> None:
    """A stage's duration is its last run's, and its date the end of that run."""
    wall, timer = Clock(1000.0), Clock(5.0)
    vitals = Vitals(clock=wall, timer=timer)

    with vitals.stage(Stage.LAYERS) as run:
        timer.now, wall.now = 7.5, 1002.5

    assert run.succeeded
    assert StageVitals(duration=2.5, success=True, last_success=1002.5) == vitals.snapshot().stages[Stage.LAYERS]


def test_a_run_that_fails_is_counted_and_logged_and_swallowed() -> None:
    """The loop goes on after a failed stage; the date of the last success stays."""
    wall, timer, log = Clock(1000.0), Clock(0.0), Log()
    vitals = Vitals(clock=wall, timer=timer, log=log)
    with vitals.stage(Stage.UPPERS):
        pass
    wall.now = 2000.0

    with vitals.stage(Stage.UPPERS) as run:
        timer.now = 3.0
        raise OSError(errno.EIO, "Input/output error", "/var/lib/docker/overlay2")

    snapshot = vitals.snapshot()
    assert not run.succeeded
    assert StageVitals(duration=3.0, success=False, last_success=1000.0) == snapshot.stages[Stage.UPPERS]
    assert {key: count for key, count in snapshot.errors.items() if count} == {(Stage.UPPERS, Reason.IO): 1}
    expected = {
        "stage": "uppers",
        "reason": "io",
        "error": "[Errno 5] Input/output error: '/var/lib/docker/overlay2'",
        "exc_info": None,
    }
    assert [("stage failed", expected)] == log.lines


def test_the_log_tells_changes_only() -> None:
    """A stage that keeps failing for one reason is logged once, then when the reason changes, and when it works again;
    each failure counts."""
    log = Log()
    vitals = Vitals(log=log)

    for error in (errno.EIO, errno.EIO, errno.EACCES, None, None, errno.EIO):
        with vitals.stage(Stage.AREAS):
            if error is not None:
                raise OSError(error, "refused")

    expected = [
        ("stage failed", "io"),
        ("stage failed", "permission"),
        ("stage works again", None),
        ("stage failed", "io"),
    ]
    assert expected == [(event, fields.get("reason")) for event, fields in log.lines]
    errors = vitals.snapshot().errors
    assert (errors[Stage.AREAS, Reason.IO], errors[Stage.AREAS, Reason.PERMISSION]) == (3, 1)


def test_a_mistake_of_the_exporter_is_logged_with_its_trace() -> None:
    """What no reason explains goes to the log with the way to it."""
    log, mistake = Log(), KeyError("chain")
    vitals = Vitals(log=log)

    with vitals.stage(Stage.CATALOG):
        raise mistake

    [(_, fields)] = log.lines
    assert mistake is fields["exc_info"]
    assert vitals.snapshot().errors[Stage.CATALOG, Reason.UNEXPECTED] == 1


def test_an_order_to_stop_passes_through() -> None:
    """``KeyboardInterrupt`` and ``SystemExit`` are no failures of a stage: they end the loop and count nowhere."""
    log = Log()
    vitals = Vitals(log=log)

    with pytest.raises(SystemExit), vitals.stage(Stage.CATALOG):
        raise SystemExit

    assert VitalsSnapshot() == vitals.snapshot()
    assert log.lines == []


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        (Reason.PERMISSION, PermissionError(errno.EACCES, "Permission denied")),
        (Reason.PERMISSION, OSError(errno.EPERM, "Operation not permitted")),
        (Reason.VANISHED, FileNotFoundError(errno.ENOENT, "No such file or directory")),
        (Reason.VANISHED, OSError(errno.ESTALE, "Stale file handle")),
        (Reason.EXHAUSTED, OSError(errno.EMFILE, "Too many open files")),
        (Reason.EXHAUSTED, MemoryError()),
        (Reason.IO, OSError(errno.EUCLEAN, "Structure needs cleaning")),
        (Reason.IO, OSError("an error without a number")),
        (Reason.UNEXPECTED, ValueError("a mistake")),
    ],
)
def test_errors_have_reasons(expected: Reason, error: Exception) -> None:
    """A reason tells whose turn it is: a missing right, a busy engine, a bad disk, or this exporter's authors."""
    assert expected == reason_of(error)


def test_figures_add_up() -> None:
    """Counts of errors, walks and events add to what was there; watches are as last told."""
    vitals = Vitals()

    vitals.errors(Stage.LAYERS, Reason.VANISHED)
    vitals.errors(Stage.LAYERS, Reason.VANISHED, 4)
    vitals.walked(inodes=10, cpu_seconds=0.25)
    vitals.walked(inodes=5, cpu_seconds=0.5)
    vitals.watch_events()
    vitals.watch_events(7)
    vitals.watch_overflow()
    vitals.watching(held=3, expected=6)
    vitals.watching(held=6, expected=6)

    empty = VitalsSnapshot()
    expected = VitalsSnapshot(
        errors={**empty.errors, (Stage.LAYERS, Reason.VANISHED): 5},
        walk_inodes=15,
        walk_cpu_seconds=0.75,
        watch_events=8,
        watch_overflows=1,
        watches=6,
        watches_expected=6,
    )
    assert expected == vitals.snapshot()


def test_threads_lose_no_count() -> None:
    """Figures filled in from several threads at once are exact."""
    vitals = Vitals()

    def work() -> None:
        for _ in range(2000):
            vitals.walked(inodes=1, cpu_seconds=1.0)
            vitals.errors(Stage.UPPERS, Reason.VANISHED)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    snapshot = vitals.snapshot()
    assert (snapshot.walk_inodes, snapshot.walk_cpu_seconds) == (8000, 8000.0)
    assert snapshot.errors[Stage.UPPERS, Reason.VANISHED] == 8000


def test_a_snapshot_stays_as_it_was() -> None:
    """What happens after a snapshot does not change it."""
    vitals = Vitals()
    before = vitals.snapshot()

    with vitals.stage(Stage.CATALOG):
        vitals.errors(Stage.CATALOG, Reason.VANISHED)

    assert VitalsSnapshot() == before
