"""The exporter's own figures: how its stages of work went, what measuring cost, what the watch saw.

The daemon, the walk and the watch fill them in from their own threads; a scrape takes a frozen snapshot.
"""

import enum
import errno
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol

import structlog


class Stage(enum.StrEnum):
    """A stage of the background work. Values are label values: part of the metrics contract."""

    CATALOG = "catalog"
    """Reading the engine's records."""
    UPPERS = "uppers"
    """Measuring the containers' upper layers and logs."""
    LAYERS = "layers"
    """Measuring the read-only layers, once each."""
    AREAS = "areas"
    """Measuring the rest of the engine's root."""


class Reason(enum.StrEnum):
    """Why something in a stage failed. Values are label values: part of the metrics contract."""

    PERMISSION = "permission"
    """The exporter lacks a right; a capability is missing, or a security module refuses."""
    VANISHED = "vanished"
    """Gone between being listed and being read: normal beside a working engine."""
    EXHAUSTED = "exhausted"
    """The exporter ran out of memory or file descriptors."""
    IO = "io"
    """The system refused for any other reason: a damaged disk, a filesystem that is not answering."""
    UNEXPECTED = "unexpected"
    """A mistake in the exporter itself."""


class Refusal(enum.StrEnum):
    """Why a client got no answer. Values are label values."""

    CREDENTIALS = "credentials"
    """No name, an unknown one, or a wrong password."""
    HANDSHAKE = "handshake"
    """TLS did not come about: an old version, no certificate or a bad one, or it took too long."""
    MALFORMED = "malformed"
    """What came was no request, or one too large."""
    TIMEOUT = "timeout"
    """A request did not come to its end."""
    OVERLOAD = "overload"
    """Others needed the place, or too many passwords waited to be checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebVitals:
    """How the web server is."""

    connections: int = 0
    """Open now."""
    refusals: Mapping[Refusal, int] = field(default_factory=lambda: dict.fromkeys(Refusal, 0))
    """Always every reason."""
    config_success: bool | None = None
    """Whether the web configuration could be used when it was last read; None where there is none."""
    config_last_success: float = 0.0
    """When it last could, Unix seconds."""


_REASONS: Mapping[int, Reason] = {
    errno.EACCES: Reason.PERMISSION,
    errno.EPERM: Reason.PERMISSION,
    errno.ENOENT: Reason.VANISHED,
    errno.ENOTDIR: Reason.VANISHED,
    errno.ESTALE: Reason.VANISHED,
    errno.EMFILE: Reason.EXHAUSTED,
    errno.ENFILE: Reason.EXHAUSTED,
    errno.ENOMEM: Reason.EXHAUSTED,
}


def reason_of(error: BaseException) -> Reason:
    """The reason that *error* stands for."""
    if isinstance(error, MemoryError):
        return Reason.EXHAUSTED
    if isinstance(error, OSError):
        return _REASONS.get(error.errno or 0, Reason.IO)
    return Reason.UNEXPECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class StageVitals:
    """How a stage's last run went; all 0 until the first has ended."""

    duration: float = 0.0
    """Seconds that the last run took, whether it succeeded or not."""
    success: bool = False
    last_success: float = 0.0
    """When a run last succeeded, Unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VitalsSnapshot:
    """The exporter's own figures at one moment. Counts go from the start of the process."""

    stages: Mapping[Stage, StageVitals] = field(default_factory=lambda: dict.fromkeys(Stage, StageVitals()))
    """Always every stage."""
    errors: Mapping[tuple[Stage, Reason], int] = field(
        default_factory=lambda: {(stage, reason): 0 for stage in Stage for reason in Reason}
    )
    """Always every stage with every reason."""
    walk_inodes: int = 0
    """Inodes that measuring looked at."""
    walk_cpu_seconds: float = 0.0
    """CPU that measuring took."""
    watch_events: int = 0
    watch_overflows: int = 0
    watches: int = 0
    """Directories watched now."""
    watches_expected: int = 0
    """Directories that should be watched now."""
    web: WebVitals = field(default_factory=WebVitals)


class Log(Protocol):
    """What is needed of a logger: structlog's, or a test's."""

    def info(self, event: str, **fields: object) -> object:
        """Log *event* as worth knowing."""

    def error(self, event: str, **fields: object) -> object:
        """Log *event* as an error."""


class StageRun:
    """One run of a stage, as a context manager: times it, and records how it ended.

    An ``Exception`` inside is counted by its reason and *swallowed*: the daemon's loop goes on to its next stage. It is
    logged where the stage did not fail for the same reason before, and so is the first success after a failure.
    Anything else (``KeyboardInterrupt``, ``SystemExit``) passes through and leaves no trace.
    """

    __slots__ = ("_stage", "_started", "_vitals", "succeeded")

    def __init__(self, vitals: "Vitals", stage: Stage) -> None:
        self._vitals = vitals
        self._stage = stage
        self._started = 0.0
        self.succeeded = False
        """Whether the block ran to its end; False while it runs."""

    def __enter__(self) -> "StageRun":
        self._started = self._vitals.timer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None and not isinstance(error, Exception):
            return False
        self.succeeded = error is None
        self._vitals.ended(self._stage, duration=self._vitals.timer() - self._started, error=error)
        return True


class Vitals:
    """Gathers the exporter's own figures. Every method may be called from any thread."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.perf_counter,
        log: Log | None = None,
    ) -> None:
        """*clock* gives Unix seconds, *timer* seconds that never go back."""
        self.timer = timer
        self._clock = clock
        self._log: Log = structlog.get_logger() if log is None else log
        self._lock = threading.Lock()
        empty = VitalsSnapshot()
        self._stages = dict(empty.stages)
        self._errors = dict(empty.errors)
        self._failing: dict[Stage, Reason] = {}
        self._walk_inodes = 0
        self._walk_cpu_seconds = 0.0
        self._watch_events = 0
        self._watch_overflows = 0
        self._watches = 0
        self._watches_expected = 0
        self._web = empty.web

    def stage(self, stage: Stage) -> StageRun:
        """Run a block as *stage*: ``with vitals.stage(Stage.CATALOG): ...``; what happens to an exception in it,
        ``StageRun`` says."""
        return StageRun(self, stage)

    def ended(self, stage: Stage, *, duration: float, error: BaseException | None) -> None:
        """Record the end of a run of *stage*; *error* is what ended it early."""
        with self._lock:
            last_success = self._clock() if error is None else self._stages[stage].last_success
            self._stages[stage] = StageVitals(duration=duration, success=error is None, last_success=last_success)
            was = self._failing.pop(stage, None)
            reason = None if error is None else reason_of(error)
            if reason is not None:
                self._failing[stage] = reason
        if error is None or reason is None:
            if was is not None:
                self._log.info("stage works again", stage=stage.value)
            return
        self.errors(stage, reason)
        if reason is not was:
            # The way to the fault helps only where the exporter is at fault; "permission denied" says all in one line.
            trace = error if reason is Reason.UNEXPECTED else None
            self._log.error("stage failed", stage=stage.value, reason=reason.value, error=str(error), exc_info=trace)

    def errors(self, stage: Stage, reason: Reason, count: int = 1) -> None:
        """Count failures that did not end *stage*: one tree of many that could not be read."""
        with self._lock:
            self._errors[stage, reason] += count

    def walked(self, *, inodes: int, cpu_seconds: float) -> None:
        """Add what measuring one tree cost."""
        with self._lock:
            self._walk_inodes += inodes
            self._walk_cpu_seconds += cpu_seconds

    def watch_events(self, count: int = 1) -> None:
        """Count filesystem events received."""
        with self._lock:
            self._watch_events += count

    def watch_overflow(self) -> None:
        """Count an overflow of the event queue."""
        with self._lock:
            self._watch_overflows += 1

    def watching(self, *, held: int, expected: int) -> None:
        """How many directories are watched now, and how many should be."""
        with self._lock:
            self._watches = held
            self._watches_expected = expected

    def web_connections(self, count: int, /) -> None:
        """How many connections the web server has now."""
        with self._lock:
            self._web = replace(self._web, connections=count)

    def web_refused(self, reason: Refusal, /) -> None:
        """Count a client that the web server refused."""
        with self._lock:
            refusals = {**self._web.refusals, reason: self._web.refusals[reason] + 1}
            self._web = replace(self._web, refusals=refusals)

    def web_config_read(self, *, success: bool) -> None:
        """The web configuration was read and taken over, or could not be."""
        with self._lock:
            last = self._clock() if success else self._web.config_last_success
            self._web = replace(self._web, config_success=success, config_last_success=last)

    def snapshot(self) -> VitalsSnapshot:
        """All figures, of one moment."""
        with self._lock:
            return VitalsSnapshot(
                stages=dict(self._stages),
                errors=dict(self._errors),
                walk_inodes=self._walk_inodes,
                walk_cpu_seconds=self._walk_cpu_seconds,
                watch_events=self._watch_events,
                watch_overflows=self._watch_overflows,
                watches=self._watches,
                watches_expected=self._watches_expected,
                web=self._web,
            )
