"""JSON records: taken apart with every surprise named.

An engine's JSON can hold what a container's owner chose (names, labels, commands), so a document is never trusted
to have the shape that it should. What must be there is asked for and raises ``Malformed``; what may be there is
asked for and, where it has the wrong shape, is left out with a remark, so that one odd label does not hide a
container.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import TypeVar

from exporter.store.records import Malformed, quoted

T = TypeVar("T")

_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}


def _name(value: object) -> str:
    return _NAMES.get(type(value), "null")


class Document:
    """One JSON object of a record, and the remarks that taking it apart gave rise to (shared with the objects
    inside it)."""

    __slots__ = ("_fields", "_where", "remarks")

    def __init__(self, fields: dict[str, object], *, where: str = "", remarks: list[str] | None = None) -> None:
        self._fields = fields
        self._where = where
        self.remarks: list[str] = [] if remarks is None else remarks

    def __contains__(self, key: str) -> bool:
        return self._fields.get(key) is not None

    def _odd(self, key: str, wanted: str, found: object) -> None:
        self.remarks.append(f"{self._where}{key} is {_name(found)}, not {wanted}")

    def text(self, key: str) -> str:
        """The string at *key*; empty where there is none."""
        found = self._fields.get(key)
        if found is None:
            return ""
        if not isinstance(found, str):
            self._odd(key, "a string", found)
            return ""
        return found

    def flag(self, key: str) -> bool:
        """The boolean at *key*; False where there is none."""
        found = self._fields.get(key)
        if found is None or isinstance(found, bool):
            return bool(found)
        self._odd(key, "a boolean", found)
        return False

    def number(self, key: str) -> int:
        """The whole number at *key*; 0 where there is none."""
        found = self._fields.get(key)
        if found is None:
            return 0
        if isinstance(found, bool) or not isinstance(found, int):
            self._odd(key, "a whole number", found)
            return 0
        return found

    def time(self, key: str) -> float | None:
        """The RFC 3339 time at *key* in Unix seconds; None where there is none, or where it is Go's zero time."""
        text = self.text(key)
        if not text:
            return None
        try:
            seconds = datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError):
            self.remarks.append(f"{self._where}{key} is {quoted(text)}, not a time")
            return None
        return seconds if seconds > 0 else None

    def inner(self, key: str) -> "Document":
        """The object at *key*; an empty one where there is none."""
        found = self._fields.get(key)
        if found is not None and not isinstance(found, dict):
            self._odd(key, "an object", found)
            found = None
        return Document(found or {}, where=f"{self._where}{key}.", remarks=self.remarks)

    def inners(self, key: str) -> list["Document"]:
        """The objects in the list at *key*; what is no object among them is left out."""
        fields: list[dict[str, object]] = self._only(key, dict, "an object")
        return [Document(item, where=f"{self._where}{key}[].", remarks=self.remarks) for item in fields]

    def texts(self, key: str) -> list[str]:
        """The strings in the list at *key*; what is no string among them is left out."""
        return self._only(key, str, "a string")

    def __iter__(self) -> Iterator[str]:
        """The keys, in the record's order."""
        return iter(self._fields)

    def _only(self, key: str, kind: type[T], wanted: str) -> list[T]:
        found = self._fields.get(key)
        if found is None:
            return []
        if not isinstance(found, list):
            self._odd(key, "a list", found)
            return []
        for index, item in enumerate(found):
            if not isinstance(item, kind):
                self._odd(f"{key}[{index}]", wanted, item)
        return [item for item in found if isinstance(item, kind)]


def parse(raw: bytes) -> Document:
    """The JSON object that *raw* holds; Malformed where it holds none.

    Text that is not UTF-8 is read with U+FFFD in its place and remarked on: one bad byte in a label must not hide a
    container.
    """
    remarks: list[str] = []
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        text = raw.decode(errors="replace")
        remarks.append(f"not UTF-8 at byte {error.start}; shown with replacement characters")
    try:
        fields = json.loads(text)
        if _SURROGATE in text.lower() and (encodable := _encodable(fields)) != fields:
            fields = encodable
            remarks.append("it spells characters that do not exist; shown with replacement characters")
    except RecursionError as error:
        raise Malformed("JSON nested too deep") from error
    except ValueError as error:
        raise Malformed(f"not JSON: {error}" if raw.strip() else "empty") from error
    if not isinstance(fields, dict):
        raise Malformed(f"{_name(fields)}, not a JSON object")
    return Document(fields, remarks=remarks)


_SURROGATE = "\\ud"
"""How JSON begins to spell half of a character; half a pair is valid JSON that no encoding can write."""


def _encodable(value: object) -> object:
    """*value* with U+FFFD for every lone surrogate in its keys and strings."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value
