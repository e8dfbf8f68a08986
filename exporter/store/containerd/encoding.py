"""How containerd writes numbers, times, texts and labels into its databases.

Source: Go ``encoding/binary`` (varint) and ``time`` (``MarshalBinary``); containerd ``core/metadata/boltutil``.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from exporter.store.bolt import Tree
from exporter.store.records import Malformed

T = TypeVar("T")

_LONGEST_VARINT: Final = 10
"""Bytes that 64 bits take."""
_TIME: Final = struct.Struct(">Bqi")
_YEAR_ONE: Final = -62_135_596_800
"""Unix seconds of 0001-01-01, from which Go counts."""
_OFFSET_SIZES: Final = {1: 2, 2: 3}
"""Bytes of the zone's offset, by the version of the encoding: minutes, and seconds besides."""


def unsigned(raw: bytes) -> int:
    """An unsigned varint: seven bits a byte, the lowest first, the eighth set on all but the last."""
    value = 0
    for place, byte in enumerate(raw[:_LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if place != len(raw) - 1 or value >= 1 << 64:
                break
            return value
    raise Malformed(f"0x{raw[:16].hex()} is not a varint of 64 bits")


def signed(raw: bytes) -> int:
    """A signed varint: the sign is the lowest bit (zig-zag)."""
    value = unsigned(raw)
    return value >> 1 ^ -(value & 1)


def moment(raw: bytes) -> float | None:
    """A time in Unix seconds; None for Go's zero time."""
    if len(raw) < _TIME.size or len(raw) != _TIME.size + _OFFSET_SIZES.get(raw[0], -1):
        raise Malformed(f"0x{raw[:16].hex()} is not a time")
    _, seconds, nanoseconds = _TIME.unpack_from(raw)
    unix = seconds + _YEAR_ONE + nanoseconds / 1e9
    return unix if unix > 0 else None


def text(raw: bytes) -> str:
    """A text, with U+FFFD for what is not UTF-8."""
    return raw.decode(errors="replace")


class Fields:
    """One record, or a part of it: what is odd in it is left out and remarked on."""

    __slots__ = ("_record", "_where", "remarks")

    def __init__(self, record: Tree, *, where: str = "", remarks: list[str] | None = None) -> None:
        self._record = record
        self._where = where
        self.remarks: list[str] = [] if remarks is None else remarks
        """Shared with the parts of the record."""

    def raw(self, key: str) -> bytes | None:
        """The value at *key*; None where there is none."""
        found = self._record.get(key.encode())
        return found if isinstance(found, bytes) and found else None

    def text(self, key: str) -> str:
        """The text at *key*; empty where there is none."""
        return text(self.raw(key) or b"")

    def count(self, key: str) -> int | None:
        """The number at *key*, a signed varint that cannot be less than 0."""
        return self._take(key, _count)

    def moment(self, key: str) -> float | None:
        """The time at *key*, in Unix seconds."""
        return self._take(key, moment)

    def _take(self, key: str, decode: Callable[[bytes], T | None]) -> T | None:
        raw = self.raw(key)
        if raw is None:
            return None
        try:
            return decode(raw)
        except Malformed as error:
            self.remarks.append(f"{self._where}{key}: {error}")
            return None

    def part(self, key: str) -> "Fields":
        """The part of the record at *key*; an empty one where there is none."""
        found = self._record.get(key.encode())
        record = {} if found is None or isinstance(found, bytes) else found
        return Fields(record, where=f"{self._where}{key}.", remarks=self.remarks)

    def names(self) -> Iterator[str]:
        """The keys of all that is in it, in their order."""
        return (text(key) for key in self._record)

    def texts(self, key: str) -> Mapping[str, str]:
        """The texts in the part at *key*, as labels are: chosen by whoever made the record."""
        found = self._record.get(key.encode())
        if found is None or isinstance(found, bytes):
            return {}
        return {text(name): text(value) for name, value in found.items() if isinstance(value, bytes)}


def _count(raw: bytes) -> int:
    value = signed(raw)
    if value < 0:
        raise Malformed(f"{value} is less than 0")
    return value
