"""The pages of a bolt database: taken from the file one by one, each checked before it is believed.

Layout, in the machine's own byte order (bbolt ``internal/common/{page,meta,bucket}.go``):

- page: id u64, flags u16, count u16, overflow u32 (further pages that belong to it), then elements, then their data;
- meta page (0 and 1), after the page's header: magic u32, version u32, page size u32, flags u32, root bucket's page u64
  and sequence u64, freelist u64, high-water mark u64, transaction id u64, FNV-1a-64 of all that;
- branch element: position u32 of the key (counted from the element), key size u32, child's page id u64;
- leaf element: flags u32 (1: the value is a bucket), position u32 of key and value, key size u32, value size u32.

The file may be damaged, or made with malice. Each offset, count and length is checked before it is used; a page that is
named twice ends the reading, and so no loop is followed; how much is read is limited.
"""

import os
import stat
import struct
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, NamedTuple

_MAGIC: Final = 0xED0CDAED
_VERSION: Final = 2
_PAGE_SIZES: Final = tuple(1 << power for power in range(9, 17))

_PAGE: Final = struct.Struct("=QHHI")
_META: Final = struct.Struct("=4I6Q")
_BRANCH_ELEMENT: Final = struct.Struct("=IIQ")
_LEAF_ELEMENT: Final = struct.Struct("=4I")
_LEAF_SIZE: Final = _LEAF_ELEMENT.size
_BRANCH: Final = 0x01
_LEAF: Final = 0x02
_IS_BUCKET: Final = 0x01

Element = tuple[bytes, bytes, bool]
"""Key, value, and whether the value is a bucket."""
Referrer = tuple[bytes, ...] | tuple[int, int]
"""What names a page: the path of the bucket whose root it is, or a branch page's number and the element's in it."""


class BoltError(Exception):
    """A database that cannot be read: damaged, unreadable, larger than the limits, or no database at all."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class BoltBusyError(BoltError):
    """The engine committed during every attempt to read. Nothing is wrong with the database: try again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a database is read at most: what bounds time and memory, whatever the file holds."""

    copy: int = 32 << 20
    """Bytes of a database up to which it may be copied whole, where the engine commits while pages are read singly."""
    total: int = 256 << 20
    """Bytes of pages that one reading may take, pages taken twice counted twice."""
    page: int = 16 << 20
    """Bytes of one page and what it overflows into, and thus of one key or value."""
    depth: int = 32
    """How deep buckets may be nested; containerd's leases, the deepest known, take 7."""
    attempts: int = 20
    """How often a reading is begun because the engine committed during the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Tells one state of one database from another. Equal identities: nothing was committed in between."""

    device: int
    inode: int
    txid: int
    """The last committed transaction's id."""
    modified_ns: int
    """When the file was last written to: tells a database from another one that was made later with the same inode."""


class Meta(NamedTuple):
    """A valid meta page."""

    page_size: int
    root: int
    """The page of the root bucket, whose elements are the top-level buckets."""
    pages: int
    """The high-water mark: every page in use has a lower number."""
    txid: int
    raw: bytes
    """Both meta pages as they were read, valid or not."""


class Page(NamedTuple):
    """A branch or leaf page."""

    number: int
    is_leaf: bool
    elements: int
    """How many it says that it has."""
    data: bytes
    """With its header, and the pages that it overflows into."""


class File:
    """An open database file."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def read(self, offset: int, size: int) -> bytes:
        """*size* bytes from *offset*; BoltError where the file is shorter or cannot be read."""
        data = self._read_up_to(offset, size)
        if len(data) < size:
            raise BoltError(self.path, f"truncated before byte {offset + size}")
        return data

    def _read_up_to(self, offset: int, size: int) -> bytes:
        try:
            return os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise BoltError(self.path, _reason(error)) from error

    def close(self) -> None:
        """Close it: whatever still refers to it reads nothing more, also when the descriptor's number is given anew."""
        os.close(self._descriptor)
        self._descriptor = -1

    def check_regular(self) -> None:
        """BoltError where it is a directory, a fifo, a device."""
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise BoltError(self.path, "not a regular file")

    def meta(self) -> Meta:
        """The meta page of the transaction that was committed last."""
        raw = {0: self._raw_meta(0)}
        first = _parse_meta(raw[0])
        # Where the first page is not valid, as while it is being written, nothing says where the second one is.
        places = _PAGE_SIZES if isinstance(first, str) else (first.page_size,)
        raw.update((place, self._raw_meta(place)) for place in places)
        second = [_parse_meta(raw[place], place) for place in places]
        metas = [meta for meta in (first, *second) if not isinstance(meta, str)]
        if not metas:
            raise BoltError(self.path, f"no valid meta page: {first}")
        newest = max(metas, key=lambda meta: meta.txid)
        self._check(newest)
        return newest._replace(raw=raw[0] + raw[newest.page_size])

    def _raw_meta(self, place: int) -> bytes:
        return self._read_up_to(place, _PAGE.size + _META.size)

    def _check(self, meta: Meta) -> None:
        if meta.page_size not in _PAGE_SIZES:
            raise BoltError(self.path, f"pages of {meta.page_size} bytes")
        if not 2 <= meta.root < meta.pages:
            raise BoltError(self.path, f"its root is page {meta.root}, of {meta.pages}")
        length = os.fstat(self._descriptor).st_size
        if meta.pages * meta.page_size > length:
            raise BoltError(self.path, f"truncated: {length} bytes, {meta.pages} pages of {meta.page_size} are in use")

    def identity(self, meta: Meta) -> Identity:
        """The identity of the state that *meta* describes."""
        status = os.fstat(self._descriptor)
        return Identity(device=status.st_dev, inode=status.st_ino, txid=meta.txid, modified_ns=status.st_mtime_ns)

    def is_at(self, meta: Meta) -> bool:
        """Whether *meta* is still the last committed state, and the file still the one at its path."""
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BoltError(self.path, _reason(error)) from error
        # Compared as bytes, and not by the ids that they tell: a page that is just being written tells nothing, and may
        # hide a commit.
        raw = self._raw_meta(0) + self._raw_meta(meta.page_size)
        return raw == meta.raw and os.path.samestat(os.fstat(self._descriptor), there)


@contextmanager
def opened(path: str) -> Iterator[File]:
    """The database at *path*: opened for reading only, without following a link and without waiting for anything."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        file = File(path, os.open(path, flags))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BoltError(path, _reason(error)) from error
    try:
        file.check_regular()
        yield file
    finally:
        file.close()


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _parse_meta(raw: bytes, place: int = 0) -> Meta | str:
    """The meta page that *raw*, read at *place*, begins; or the reason why it is none."""
    if len(raw) < _PAGE.size + _META.size:
        return "the file is empty" if not raw else "the file is too short"
    magic, version, page_size, _, root, _, _, pages, txid, checksum = _META.unpack_from(raw, _PAGE.size)
    if magic != _MAGIC:
        return f"no bolt database: it begins with {magic:#010x}"
    if version != _VERSION:
        return f"version {version} of the format, not {_VERSION}"
    if checksum != _fnv1a(raw[_PAGE.size : _PAGE.size + _META.size - 8]):
        return "the checksum does not match"
    if place not in {0, page_size}:
        return f"the second page lies at byte {place}, and pages have {page_size} bytes"
    return Meta(page_size, root, pages, txid, raw)


def _fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


class Pages:
    """The pages of one state of a database."""

    def __init__(self, file: File, meta: Meta, limits: Limits, *, copy: bool) -> None:
        self.limits = limits
        self._file = file
        self._meta = meta
        self._left = limits.total
        self._referrers: dict[int, Referrer] = {}
        length = meta.page_size * meta.pages
        self.copied = copy and length <= limits.copy
        """Whether all of them were copied, here and now."""
        self._copy = file.read(0, length) if self.copied else b""

    def damage(self, reason: str) -> BoltError:
        """An error about this database."""
        return BoltError(self._file.path, reason)

    def page(self, number: int, referrer: Referrer) -> Page:
        """The branch or leaf page *number*, which nothing but *referrer* may name."""
        # A page of an honest database is named once. Whoever holds it to that, finds every loop, and trees that share
        # pages, without following any.
        if self._referrers.setdefault(number, referrer) != referrer:
            raise self.damage(f"page {number} is named twice")
        size = self._meta.page_size
        data = self._run(number, 1)
        told, flags, count, overflow = _PAGE.unpack_from(data)
        if told != number:
            raise self.damage(f"page {number} says that it is page {told}")
        if flags not in {_BRANCH, _LEAF}:
            raise self.damage(f"page {number} is neither branch nor leaf, by its flags {flags:#x}")
        if overflow:
            if (overflow + 1) * size > self.limits.page:
                raise self.damage(
                    f"page {number} has {(overflow + 1) * size} bytes; at most {self.limits.page} are read"
                )
            data = self._run(number, overflow + 1)
        return Page(number, flags == _LEAF, count, data)

    def _run(self, number: int, count: int) -> bytes:
        size = self._meta.page_size
        if number < 2 or number + count > self._meta.pages:
            raise self.damage(f"pages {number} to {number + count - 1} do not lie within the {self._meta.pages} in use")
        self._left -= count * size
        if self._left < 0:
            raise self.damage(f"more than {self.limits.total} bytes of pages")
        if self.copied:
            return self._copy[number * size : (number + count) * size]
        return self._file.read(number * size, count * size)

    def inline(self, data: bytes) -> list[Element]:
        """The elements of a page that lies in a bucket's value."""
        if len(data) < _PAGE.size:
            raise self.damage(f"an inline page of {len(data)} bytes")
        _, flags, count, _ = _PAGE.unpack_from(data)
        if flags != _LEAF:
            raise self.damage(f"an inline page is no leaf, by its flags {flags:#x}")
        return self._values("an inline page", data, count, b"")

    def leaf(self, page: Page, last: bytes = b"") -> list[Element]:
        """The elements of a leaf page, whose keys all come after *last*."""
        return self._values(f"page {page.number}", page.data, page.elements, last)

    def _values(self, what: str, data: bytes, count: int, last: bytes) -> list[Element]:
        elements: list[Element] = []
        place, end = _PAGE.size, _PAGE.size + count * _LEAF_SIZE
        if end > len(data):
            raise self.damage(f"{what} cannot hold {count} elements")
        for flags, position, key_size, value_size in _LEAF_ELEMENT.iter_unpack(data[place:end]):
            start = place + position
            # Data lies in the order of the elements: or else all of them could name the same megabytes.
            if start < end:
                raise self.damage(f"elements of {what} overlap")
            middle = start + key_size
            end = middle + value_size
            key = data[start:middle]
            if key <= last:
                raise self.damage(f"keys of {what} are out of order")
            elements.append((key, data[middle:end], flags & _IS_BUCKET == _IS_BUCKET))
            last = key
            place += _LEAF_SIZE
        if end > len(data):
            raise self.damage(f"an element of {what} reaches beyond its end")
        return elements

    def children(self, page: Page) -> Iterator[Page]:
        """The pages below a branch page, each taken when it is asked for."""
        for place, (_, number) in enumerate(self._branch(page)):
            yield self.page(number, (page.number, place))

    def child(self, page: Page, key: bytes) -> Page:
        """The page below a branch page that leads to *key*."""
        elements = self._branch(page)
        place = max(0, bisect_right(elements, key, key=itemgetter(0)) - 1)
        return self.page(elements[place][1], (page.number, place))

    def _branch(self, page: Page) -> list[tuple[bytes, int]]:
        elements: list[tuple[bytes, int]] = []
        data, last = page.data, b""
        place, end = _PAGE.size, _PAGE.size + page.elements * _BRANCH_ELEMENT.size
        if end > len(data):
            raise self.damage(f"page {page.number} cannot hold {page.elements} elements")
        for position, key_size, number in _BRANCH_ELEMENT.iter_unpack(data[place:end]):
            start = place + position
            if start < end:
                raise self.damage(f"elements of page {page.number} overlap")
            end = start + key_size
            key = data[start:end]
            if key <= last:
                raise self.damage(f"keys of page {page.number} are out of order")
            elements.append((key, number))
            last = key
            place += _BRANCH_ELEMENT.size
        if end > len(data):
            raise self.damage(f"an element of page {page.number} reaches beyond its end")
        if not elements:
            raise self.damage(f"branch page {page.number} is empty")
        return elements
