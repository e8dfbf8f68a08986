"""JSON records: taken apart with every surprise named.

An engine's JSON can hold what a container's owner chose (names, labels, commands), so a document is never trusted
to have the shape that it should. What must be there is asked for and raises ``Malformed``; what may be there is
asked for and, where it has the wrong shape, is left out with a remark, so that one odd label does not hide a
container.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import TypeVar

from exporter.store.catalog import Problem, ProblemKind
from exporter.store.records import Malformed, quoted

T = TypeVar("T")

MOST_VALUES = 200_000
"""Values that a record may hold. A few bytes of JSON become a hundred in memory: 8 MiB of ``[],`` would take 200 MB and
a second in which nothing else runs."""
MOST_REMARKS = 100
"""Different oddities of one record that are counted; only the first is told."""
LONGEST_TEXT = 4096
"""Characters of a text that are kept: the longest path Linux knows. A label may have megabytes, and a label's text
becomes a label value."""

_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}


def _name(value: object) -> str:
    return _NAMES.get(type(value), "null")


class Remarks:
    """What is odd in one record: however much it is, one problem."""

    __slots__ = ("_told", "count")

    def __init__(self) -> None:
        self._told: dict[str, None] = {}
        self.count = 0
        """How often something was odd; what is looked at twice counts twice."""

    def add(self, remark: str) -> None:
        """Note one more oddity."""
        self.count += 1
        if len(self._told) < MOST_REMARKS:
            self._told[remark] = None

    def problems(self, path: str) -> tuple[Problem, ...]:
        """One problem of the record at *path*; none where nothing was odd."""
        if not self._told:
            return ()
        first, more = next(iter(self._told)), len(self._told) - 1
        at_least = "at least " if more + 1 == MOST_REMARKS else ""
        reason = f"{first} (and {at_least}{more} more)" if more else first
        return (Problem(kind=ProblemKind.MALFORMED_RECORD, path=path, reason=reason),)


class Document:
    """One JSON object of a record, and the remarks that taking it apart gave rise to (shared with the objects
    inside it)."""

    __slots__ = ("_fields", "_where", "remarks")

    def __init__(self, fields: dict[str, object], *, where: str = "", remarks: Remarks | None = None) -> None:
        self._fields = fields
        self._where = where
        self.remarks = Remarks() if remarks is None else remarks

    def __contains__(self, key: str) -> bool:
        return self._fields.get(key) is not None

    def __iter__(self) -> Iterator[str]:
        """The keys, in the record's order."""
        return iter(self._fields)

    def remark(self, text: str) -> None:
        """Note that something here is odd."""
        self.remarks.add(self._where + text)

    def expect(self, *keys: str) -> None:
        """Remark on each of *keys* that is not there, though every such record has it."""
        for key in keys:
            if key not in self:
                self.remark(f"{key} is not there")

    def _odd(self, key: str, wanted: str, found: object) -> None:
        self.remark(f"{_shown(key)} is {_name(found)}, not {wanted}")

    def text(self, key: str) -> str:
        """The string at *key*, cut where it is longer than any honest one; empty where there is none."""
        found = self._fields.get(key)
        if found is None:
            return ""
        if not isinstance(found, str):
            self._odd(key, "a string", found)
            return ""
        return found if len(found) <= LONGEST_TEXT else found[: LONGEST_TEXT - 3] + "..."

    def flag(self, key: str) -> bool:
        """The boolean at *key*; False where there is none."""
        found = self._fields.get(key)
        if found is None or isinstance(found, bool):
            return bool(found)
        self._odd(key, "a boolean", found)
        return False

    def number(self, key: str) -> int:
        """The whole number at *key*; 0 where there is none. One that has no place in 64 bits is none: the engine could
        not have written it."""
        found = self._fields.get(key)
        if found is None:
            return 0
        if isinstance(found, bool) or not isinstance(found, int) or not -(1 << 63) <= found < 1 << 63:
            self._odd(key, "a whole number of 64 bits", found)
            return 0
        return found

    def time(self, key: str) -> float | None:
        """The RFC 3339 time at *key* in Unix seconds; None where there is none, or where it is Go's zero time."""
        text = self.text(key)
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.remark(f"{_shown(key)} is {quoted(text)}, not a time")
            return None
        seconds = moment.timestamp()
        return seconds if seconds > 0 else None

    def inner(self, key: str) -> "Document":
        """The object at *key*; an empty one where there is none."""
        found = self._fields.get(key)
        if found is not None and not isinstance(found, dict):
            self._odd(key, "an object", found)
            found = None
        return Document(found or {}, where=f"{self._where}{_shown(key)}.", remarks=self.remarks)

    def inners(self, key: str) -> list["Document"]:
        """The objects in the list at *key*; what is no object among them is left out."""
        fields: list[dict[str, object]] = self._only(key, dict, "an object")
        return [Document(item, where=f"{self._where}{_shown(key)}[].", remarks=self.remarks) for item in fields]

    def texts(self, key: str) -> list[str]:
        """The strings in the list at *key*; what is no string among them is left out."""
        return self._only(key, str, "a string")

    def _only(self, key: str, kind: type[T], wanted: str) -> list[T]:
        found = self._fields.get(key)
        if found is None:
            return []
        if not isinstance(found, list):
            self._odd(key, "a list", found)
            return []
        for index, item in enumerate(found):
            if not isinstance(item, kind):
                self.remark(f"{_shown(key)}[{index}] is {_name(item)}, not {wanted}")
        return [item for item in found if isinstance(item, kind)]


_PLAIN = re.compile(r"\w{1,80}", re.ASCII)


def _shown(key: str) -> str:
    """A key for a remark: whoever starts a container chooses some of them."""
    return key if _PLAIN.fullmatch(key) else quoted(key)


def parse(raw: bytes) -> Document:
    """The JSON object that *raw* holds; Malformed where it holds none.

    Text that is not UTF-8 is read with U+FFFD in its place and remarked on: one bad byte in a label must not hide a
    container.
    """
    # Commas and brackets inside of strings count too: no honest record comes near.
    if sum(map(raw.count, (b",", b"{", b"["))) > MOST_VALUES:
        raise Malformed(f"more than {MOST_VALUES} values")
    remarks = Remarks()
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        text = raw.decode(errors="replace")
        remarks.add(f"not UTF-8 at byte {error.start}; shown with replacement characters")
    try:
        fields = json.loads(text)
        if _spells_surrogates(raw) and (encodable := _encodable(fields)) != fields:
            fields = encodable
            remarks.add("it spells characters that do not exist; shown with replacement characters")
    except RecursionError as error:
        raise Malformed("JSON nested too deep") from error
    except ValueError as error:
        raise Malformed(f"not JSON: {error}" if raw.strip() else "empty") from error
    if not isinstance(fields, dict):
        raise Malformed(f"{_name(fields)}, not a JSON object")
    return Document(fields, remarks=remarks)


def _spells_surrogates(raw: bytes) -> bool:
    """Whether JSON may spell half of a character; half a pair is valid JSON that no encoding can write."""
    return b"\\ud" in raw or b"\\uD" in raw


def _encodable(value: object) -> object:
    """*value* with U+FFFD for every lone surrogate in its keys and strings."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value
