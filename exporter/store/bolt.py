"""Reading a bolt database (go.etcd.io/bbolt) that a running engine keeps open and locked.

containerd, BuildKit and moby keep their records in such files. The engine holds an exclusive ``flock`` for as long as
it runs, and one that starts waits for anybody else's. So nothing here locks, nothing is mapped into memory, and nothing
is written: pages are read by ``pread``, and a reading counts only if the engine committed nothing meanwhile.

That is enough, because bolt is copy-on-write. Two meta pages take turns; the valid one with the higher transaction id
names the root of a B+tree. Transaction N + 1 writes only to pages that were free at N. Those of N may be overwritten
by N + 2, which begins after N + 1 has written its meta page. So if the highest id still is N after the last page was
read, then all pages read were those of N.

    parents = bolt.snapshot(path, lambda tx: {key: row.get(b"parent") for key, row in tx.buckets()})
"""

import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Final, Generic, TypeVar, Union

from exporter.store.boltfile import (
    BoltBusyError,
    Element,
    File,
    Identity,
    Limits,
    Meta,
    Page,
    Pages,
    opened,
)

T = TypeVar("T")

Tree = Mapping[bytes, Union[bytes, "Tree"]]
"""A bucket's contents: values, and what the buckets inside hold."""

_BUCKET_HEADER: Final = 16
"""Bytes of a bucket's value before an inline page: root page id u64, 0 where the page is inline, and sequence u64."""
_TREE_HEIGHT: Final = 64
"""No honest tree is higher: of two children to a page it would have 2⁶⁴ pages."""


def snapshot(path: str, reader: Callable[["Transaction"], T], *, limits: Limits | None = None) -> T:
    """What *reader* makes of one consistent state of the database at *path*.

    *reader* may be called several times, each time on a newer state. It must hand back values, not the transaction's
    own buckets or iterators, which end with it. What it raises is raised from here if the state that it saw was a
    consistent one.

    Raises:
        FileNotFoundError: there is no such file, or it was removed meanwhile.
        BoltBusyError: the engine committed during each of the attempts.
        BoltError: the database cannot be read.
    """
    limits = limits or Limits()
    for attempt in range(limits.attempts):
        with opened(path) as file:
            meta = file.meta()
            # Taking only the pages that are asked for costs least. Where the engine commits during that, copying all of
            # them first may be quicker, as nothing is parsed meanwhile, or slower, where little is asked for.
            transaction = Transaction(file, meta, limits, copy=attempt % 2 == 1)
            if transaction.copied:
                if file.is_at(meta):
                    return reader(transaction)
                continue
            try:
                result = reader(transaction)
            except Exception:
                if file.is_at(meta):
                    raise
                continue
            if file.is_at(meta):
                return result
    raise BoltBusyError(path, f"changed during each of {limits.attempts} readings")


def identity(path: str) -> Identity:
    """The identity of the database's present state, by its meta pages alone.

    Raises:
        FileNotFoundError: there is no such file.
        BoltError: neither meta page is valid, or they cannot be read.
    """
    with opened(path) as file:
        return file.identity(file.meta())


class Memory(Generic[T]):
    """What was last read of a database, kept until something is committed to it."""

    def __init__(self, reader: Callable[["Transaction"], T], *, limits: Limits | None = None) -> None:
        self._reader = reader
        self._limits = limits
        self._kept: tuple[str, Identity, T] | None = None

    def read(self, path: str) -> T:
        """What the reader made, now or before, of the present state of the database at *path*.

        Raises what :func:`snapshot` raises.
        """
        if self._kept is None or self._kept[:2] != (path, identity(path)):
            self._kept = None
            self._kept = snapshot(path, lambda tx: (path, tx.identity, self._reader(tx)), limits=self._limits)
        return self._kept[2]


class Transaction:
    """One state of a database: its top-level buckets."""

    __slots__ = ("_root", "copied", "identity")

    def __init__(self, file: File, meta: Meta, limits: Limits, *, copy: bool = False) -> None:
        pages = Pages(file, meta, limits, copy=copy)
        self.copied = pages.copied
        """Whether all pages were copied before any was looked at."""
        self.identity = file.identity(meta)
        self._root = Bucket(pages, (), meta.root)

    @property
    def txid(self) -> int:
        """The id of the transaction that was committed last."""
        return self.identity.txid

    def bucket(self, *names: bytes) -> "Bucket | None":
        """The bucket down this path, as ``bucket(b"v1", b"snapshots")``; None where there is none."""
        return self._root.bucket(*names)

    def buckets(self) -> Iterator[tuple[bytes, "Bucket"]]:
        """The top-level buckets with their names, in the order of the names."""
        return self._root.buckets()


class Bucket:
    """Values by key and buckets by name, in one order. Valid as long as its transaction."""

    __slots__ = ("_inline", "_pages", "_path", "_root")

    def __init__(self, pages: Pages, path: tuple[bytes, ...], root: int, inline: bytes = b"") -> None:
        self._pages = pages
        self._path = path
        self._root = root
        self._inline = inline

    def get(self, key: bytes) -> bytes | None:
        """The value at *key*; None where there is none, or a bucket."""
        found = self._find(key)
        return None if found is None or found[2] else found[1]

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """The values with their keys, in the order of the keys."""
        for leaf in self._leaves():
            yield from [(key, value) for key, value, is_bucket in leaf if not is_bucket]

    def contents(self) -> "Tree":
        """All that it holds, as far down as there are buckets."""
        found: dict[bytes, bytes | Tree] = {}
        for leaf in self._leaves():
            for key, value, is_bucket in leaf:
                found[key] = self._open(key, value).contents() if is_bucket else value
        return found

    def bucket(self, *names: bytes) -> "Bucket | None":
        """The bucket down this path; None where there is none."""
        bucket = self
        for name in names:
            found = bucket._find(name)
            if found is None or not found[2]:
                return None
            bucket = bucket._open(name, found[1])
        return bucket

    def buckets(self) -> Iterator[tuple[bytes, "Bucket"]]:
        """The buckets inside with their names, in the order of the names."""
        for leaf in self._leaves():
            for key, value, is_bucket in leaf:
                if is_bucket:
                    yield key, self._open(key, value)

    def _open(self, name: bytes, value: bytes) -> "Bucket":
        if len(self._path) >= self._pages.limits.depth:
            raise self._pages.damage(f"buckets are nested deeper than {self._pages.limits.depth}")
        if len(value) < _BUCKET_HEADER:
            raise self._pages.damage(f"a bucket of {len(value)} bytes")
        root = int.from_bytes(value[:8], sys.byteorder)
        return Bucket(self._pages, (*self._path, name), root, b"" if root else value[_BUCKET_HEADER:])

    def _leaves(self) -> Iterable[list[Element]]:
        return self._tree() if self._root else (self._pages.inline(self._inline),)

    def _tree(self) -> Iterator[list[Element]]:
        last = b""
        pending: list[Iterator[Page]] = [iter((self._pages.page(self._root, self._path),))]
        while pending:
            page = next(pending[-1], None)
            if page is None:
                pending.pop()
            elif page.is_leaf:
                elements = self._pages.leaf(page, last)
                last = elements[-1][0] if elements else last
                yield elements
            else:
                self._check_height(len(pending))
                pending.append(self._pages.children(page))

    def _find(self, key: bytes) -> Element | None:
        if not self._root:
            return _search(self._pages.inline(self._inline), key)
        page = self._pages.page(self._root, self._path)
        height = 1
        while not page.is_leaf:
            self._check_height(height)
            page = self._pages.child(page, key)
            height += 1
        return _search(self._pages.leaf(page), key)

    def _check_height(self, height: int) -> None:
        if height > _TREE_HEIGHT:
            raise self._pages.damage(f"a tree is higher than {_TREE_HEIGHT} pages")


def _search(elements: list[Element], key: bytes) -> Element | None:
    place = bisect_left(elements, key, key=itemgetter(0))
    return elements[place] if place < len(elements) and elements[place][0] == key else None
