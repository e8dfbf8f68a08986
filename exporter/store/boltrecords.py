"""Records in bolt databases: what is wrong with one hides neither the others nor itself, and nothing is read twice."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from exporter.store import bolt
from exporter.store.boltfile import BoltBusyError, BoltError, Limits
from exporter.store.catalog import Problem, ProblemKind
from exporter.store.records import Malformed, quoted

T = TypeVar("T")
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed(Generic[Record]):
    """A record, and what is wrong with those of its values that were left out."""

    record: Record
    remarks: tuple[str, ...] = ()


class Faults:
    """What is wrong in one database."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.complete = True
        """Whether no record as a whole was left out."""

    def parsed(
        self, buckets: Iterable[tuple[bytes, bolt.Bucket]], parse: Callable[[str, bolt.Bucket], Parsed[Record]]
    ) -> dict[str, Record]:
        """The records that *parse* makes of *buckets*, by name: those that are not Malformed."""
        records: dict[str, Record] = {}
        for raw_name, bucket in buckets:
            try:
                name = raw_name.decode()
                parsed = parse(name, bucket)
            except UnicodeDecodeError:
                self.lost(f"{_shown(raw_name)}: its name is not UTF-8")
                continue
            except Malformed as error:
                self.lost(f"{_shown(raw_name)}: {error}")
                continue
            records[name] = parsed.record
            if parsed.remarks:
                self.reasons.extend(f"{_shown(raw_name)}: {remark}" for remark in parsed.remarks)
        return records

    def lost(self, reason: str) -> None:
        """Note that a record was left out."""
        self.reasons.append(reason)
        self.complete = False


def _shown(name: bytes) -> str:
    return quoted(name.decode(errors="backslashreplace"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents(Generic[T]):
    """What a database holds, as far as it could be read."""

    value: T
    complete: bool = True
    """Whether the database was read, and every record in it. If not, what is not in it may exist all the same."""
    problems: tuple[Problem, ...] = ()
    found: bool = True
    """Whether there is a database at all."""

    @property
    def is_busy(self) -> bool:
        """Whether nothing is wrong with it, and yet it was not read: the engine committed to it all the time."""
        return not self.complete and not self.problems


class Records(Generic[T]):
    """Reads a kind of database, each time anew only if something was committed to it since the last.

    Args:
        parse: Makes the value of one state of the database, noting faults.
        empty: The value of a database that is not there, or that could not be read.
    """

    def __init__(
        self, parse: Callable[[bolt.Transaction, Faults], T], *, empty: T, limits: Limits | None = None
    ) -> None:
        self._parse = parse
        self._empty = empty
        self._memory = bolt.Memory(self._read, limits=limits)

    def _read(self, tx: bolt.Transaction) -> tuple[T, Faults]:
        faults = Faults()
        return self._parse(tx, faults), faults

    def read(self, path: str) -> Contents[T]:
        """What the database at *path* holds; nothing is wrong where there is none.

        One to which the engine committed all the time is not read, and yet no problem.
        """
        try:
            value, faults = self._memory.read(path)
        except FileNotFoundError:
            return Contents(value=self._empty, found=False)
        except BoltBusyError:
            return Contents(value=self._empty, complete=False)
        except BoltError as error:
            unreadable = isinstance(error.__cause__, OSError)
            kind = ProblemKind.UNREADABLE_RECORD if unreadable else ProblemKind.MALFORMED_RECORD
            problem = Problem(path=path, kind=kind, reason=error.reason)
            return Contents(value=self._empty, complete=False, problems=(problem,))
        problems = (Problem(path=path, kind=ProblemKind.MALFORMED_RECORD, reason=reason) for reason in faults.reasons)
        return Contents(value=value, complete=faults.complete, problems=tuple(problems))
