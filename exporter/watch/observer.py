"""The watch: one watchdog observer over a few directories, never below them.

Never recursive, and never over what containers write: one that appends to files in a loop would cost the watcher a core
and overflow the queue for all. Only entries that come, go or are renamed count, so that reading a directory, as every
scan does, wakes nobody.
"""

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Protocol

import structlog
from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD

from exporter.watch.hints import Hint

EVENTS: Final[list[type[FileSystemEvent]]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
]
"""Always passed on: without it the kernel is asked for opens and reads too."""

TEMPORARY = ".tmp-"
"""Engines write ``.tmp-<name><random>`` and rename it; the renaming is the hint."""

_ADVICE: Mapping[int, str] = {
    errno.ENOSPC: "raise the sysctl fs.inotify.max_user_watches",
    errno.EMFILE: "raise the sysctl fs.inotify.max_user_instances, or the limit of open files",
    errno.EACCES: "run as root, or with the capability CAP_DAC_READ_SEARCH",
    errno.EPERM: "run as root, or with the capability CAP_DAC_READ_SEARCH",
    errno.ELOOP: "name the directory that the symlink leads to as the engine's root",
}


class Counts(Protocol):
    """Where the watch's own figures go."""

    def watch_events(self, count: int = 1, /) -> None:
        """Count filesystem events received."""

    def watch_overflow(self) -> None:
        """Count an overflow of the kernel's event queue."""

    def watching(self, *, held: int, expected: int) -> None:
        """How many directories are watched, and how many should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A directory as it is now: the same path may be another directory tomorrow."""

    path: str
    """Resolved."""
    device: int
    inode: int


class _Handler(FileSystemEventHandler):
    """Turns the events of one directory into hints."""

    def __init__(self, directory: str, place: _Place, on_hint: Callable[[Hint], None], counts: Counts) -> None:
        self._hint = Hint(directory=directory)
        self._path = place.path
        self._on_hint = on_hint
        self._counts = counts
        self.gone = False
        """Whether the directory itself was deleted, and the watch with it: its inode number may be in use again."""

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._counts.watch_events(1)
        if event.src_path == self._path:
            self.gone = True
        names = [os.path.basename(os.fsdecode(path)) for path in (event.src_path, event.dest_path) if path]
        if not all(name.startswith(TEMPORARY) for name in names):
            self._on_hint(self._hint)


class _Reader(InotifyFD):
    """watchdog's reader of the kernel's queue, which also tells what watchdog tells no handler.

    An overflow and an unmount reach this method and no handler behind it: of an overflow watchdog writes a line to the
    log; of an unmount it says nothing, though the watches are dead. Overriding the one method that every event of the
    kernel passes is the smallest hold on watchdog's inside, and does not go by the wording of its log. Should an update
    take it away, the type checker says so, and so does a test with a real overflow.
    """

    def __init__(self, on_overflow: Callable[[], None], on_unmount: Callable[[], None]) -> None:
        super().__init__()
        self._on_overflow = on_overflow
        self._on_unmount = on_unmount

    def handle_event(self, event: InotifyEvent) -> None:
        super().handle_event(event)
        if event.is_queue_overflow:
            self._on_overflow()
        if event.mask & InotifyConstants.IN_UNMOUNT:
            self._on_unmount()


class _Observer(BaseObserver):
    """watchdog's inotify observer, over a reader of ours."""

    def __init__(self, reader: InotifyFD) -> None:
        super().__init__(InotifyEmitter, inotify_fd=reader)
        self._reader = reader

    def on_thread_stop(self) -> None:
        super().on_thread_stop()
        self._reader.stop()
        self._reader.join(timeout=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Armed:
    place: _Place
    watch: ObservedWatch
    handler: _Handler


class Watch:
    """Watches the expected directories, as far as they are there and the kernel lets it.

    ``start``, ``expect`` and ``stop`` are for one thread. Hints come from others.
    """

    def __init__(self, on_hint: Callable[[Hint], None], *, vitals: Counts) -> None:
        """*on_hint* is called from the watch's own threads, once for each event: it must be quick and raise nothing."""
        self._on_hint = on_hint
        self._counts = vitals
        self._running = False
        self._observer: _Observer | None = None
        self._armed: dict[str, _Armed] = {}
        self._unmounted = False
        self._given_up: OSError | None = None
        """Why no more is tried: each attempt without threads would leave descriptors behind."""
        self._known_errors: frozenset[int] = frozenset()
        self._log = structlog.get_logger()

    def start(self) -> None:
        """Let watching begin; :meth:`expect` says what to watch."""
        self._running = True

    def stop(self) -> None:
        """End all watching, within a second or two."""
        self._running = False
        self._close()
        self._counts.watching(held=0, expected=0)

    def expect(self, directories: Iterable[str]) -> None:
        """Watch exactly *directories*, absolute paths, and give a hint for each that is watched from now on.

        To be called after each scan: what is missing is normal and tried again; what was replaced, or deleted and made
        again, is watched anew. A directory below none of the others is a root and may be reached through symlinks;
        below a root none is followed. What cannot be watched is logged once, and fewer watches are held than expected.
        """
        if not self._running:
            return
        places, errors = _located(directories)
        expected = len(places) + len(errors)
        self._drop_all_but(places)
        for place, directory in places.items():
            if place.path not in self._armed:
                try:
                    self._arm(place, directory)
                except FileNotFoundError:
                    expected -= 1
                except OSError as error:
                    errors[directory] = error
        self._counts.watching(held=len(self._armed), expected=expected)
        self._tell(errors)

    def _drop_all_but(self, places: Mapping[_Place, str]) -> None:
        unmounted, self._unmounted = self._unmounted, False
        for path, armed in list(self._armed.items()):
            if unmounted or armed.handler.gone or armed.place not in places:
                del self._armed[path]
                if self._observer is not None:
                    self._observer.unschedule(armed.watch)

    def _arm(self, place: _Place, directory: str) -> None:
        handler = _Handler(directory, place, self._on_hint, self._counts)
        try:
            observer = self._opened()
            watch = observer.schedule(handler, place.path, event_filter=EVENTS)
        except RuntimeError as error:  # no thread can be started
            self._close()
            self._given_up = OSError(errno.EAGAIN, str(error))
            raise self._given_up from error
        self._armed[place.path] = _Armed(place=place, watch=watch, handler=handler)
        # Between the scan that found the directory and this moment entries may have come unseen.
        self._on_hint(Hint(directory=directory))

    def _opened(self) -> _Observer:
        if self._given_up is not None:
            raise self._given_up
        if self._observer is None:
            reader = _Reader(self._overflowed, self._was_unmounted)
            reader.start()
            self._observer = _Observer(reader)
            self._observer.start()
        return self._observer

    def _close(self) -> None:
        observer, self._observer = self._observer, None
        self._armed.clear()
        if observer is not None:
            observer.stop()
            observer.join(timeout=1)

    def _overflowed(self) -> None:
        self._counts.watch_overflow()
        self._on_hint(Hint(directory=None))

    def _was_unmounted(self) -> None:
        self._unmounted = True
        self._on_hint(Hint(directory=None))

    def _tell(self, errors: Mapping[str, OSError]) -> None:
        """Log each kind of error when it first appears, and when all are gone; not with every scan."""
        kinds = {error.errno or 0: error for error in errors.values()}
        for number in kinds.keys() - self._known_errors:
            self._log.warning(
                "directories not watched: changes there wait for the next periodic scan",
                reason=kinds[number].strerror,
                advice=_ADVICE.get(number, ""),
                directories=sorted(directory for directory, error in errors.items() if error.errno == number),
            )
        if self._known_errors and not kinds:
            self._log.info("all directories watched again")
        self._known_errors = frozenset(kinds)


def _located(directories: Iterable[str]) -> tuple[dict[_Place, str], dict[str, OSError]]:
    """Where the *directories* are, and why some are nowhere to watch. Missing ones are in neither."""
    places: dict[_Place, str] = {}
    errors: dict[str, OSError] = {}
    wanted = dict.fromkeys(directories)
    for directory in wanted:
        above = (str(parent) for parent in PurePosixPath(directory).parents)
        root = next((path for path in reversed([directory, *above]) if path in wanted), directory)
        try:
            places.setdefault(_locate(directory, root), directory)
        except FileNotFoundError:
            continue
        except OSError as error:
            errors[directory] = error
    return places, errors


def _locate(directory: str, root: str) -> _Place:
    """Where *directory* is, looked up before it is watched: should it be replaced in between, that shows next time.

    Opened, because the kernel wants the same right for a watch, and watchdog takes its refusal for success.
    """
    path = os.path.normpath(os.path.join(os.path.realpath(root), os.path.relpath(directory, root)))
    if os.path.realpath(path) != path:
        raise OSError(errno.ELOOP, "a symlink below the root")
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return _Place(path=path, device=status.st_dev, inode=status.st_ino)
