"""Writes bolt databases, page by page: honest ones from a tree of values, and damaged ones from chosen pages.

Layout as bbolt writes it (``internal/common``, ``node.go``, ``bucket.go``), written here independently of the reader.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from exporter.store import bolt
from exporter.store.boltfile import Limits

T = TypeVar("T")

Tree = bolt.Tree
"""A bucket: values, and buckets inside."""
Leaf = Sequence[tuple[bytes, bytes, bool]]
"""Keys, values, and whether the value is a bucket."""

MAGIC = 0xED0CDAED
BRANCH, LEAF, META, FREELIST = 1, 2, 4, 16
PAGE_SIZE = 4096
FIRST_PAGE = 4
"""After two meta pages, the freelist, and one that bolt makes for an empty root and soon leaves."""


def fnv1a(data: bytes) -> int:
    """FNV-1a, 64 bits, as its authors give it."""
    value = 14695981039346656037
    for byte in data:
        value = ((value ^ byte) * 1099511628211) % 2**64
    return value


def padded(data: bytes, page_size: int) -> bytes:
    return data + bytes(-len(data) % page_size)


def header(number: int, flags: int, count: int, overflow: int = 0) -> bytes:
    return struct.pack("=QHHI", number, flags, count, overflow)


def meta(
    slot: int,
    *,
    txid: int,
    root: int,
    pages: int,
    page_size: int = PAGE_SIZE,
    magic: int = MAGIC,
    version: int = 2,
    checksum: int | None = None,
) -> bytes:
    """A meta page, checksummed whatever it says."""
    fields = struct.pack("=4I5Q", magic, version, page_size, 0, root, 0, 2, pages, txid)
    body = fields + struct.pack("=Q", fnv1a(fields) if checksum is None else checksum)
    return header(slot, META, 0) + body


def page(number: int, flags: int, body: bytes, *, count: int, page_size: int = PAGE_SIZE) -> bytes:
    """A page, with as many further ones as its body needs."""
    overflow = (16 + len(body) - 1) // page_size
    return padded(header(number, flags, count, overflow) + body, page_size)


def leaf_body(elements: Leaf) -> bytes:
    table, data = b"", b""
    for place, (key, value, is_bucket) in enumerate(elements):
        position = (len(elements) - place) * 16 + len(data)
        table += struct.pack("=4I", is_bucket, position, len(key), len(value))
        data += key + value
    return table + data


def branch_body(children: Sequence[tuple[bytes, int]]) -> bytes:
    table, data = b"", b""
    for place, (key, number) in enumerate(children):
        table += struct.pack("=IIQ", (len(children) - place) * 16 + len(data), len(key), number)
        data += key
    return table + data


def leaf(number: int, elements: Leaf, *, page_size: int = PAGE_SIZE) -> bytes:
    return page(number, LEAF, leaf_body(elements), count=len(elements), page_size=page_size)


def branch(number: int, children: Sequence[tuple[bytes, int]], *, page_size: int = PAGE_SIZE) -> bytes:
    return page(number, BRANCH, branch_body(children), count=len(children), page_size=page_size)


def bucket_at(root: int) -> bytes:
    """The value of a bucket whose pages lie elsewhere."""
    return struct.pack("=QQ", root, 0)


def inline_bucket(elements: Leaf) -> bytes:
    """The value of a bucket that holds its only page."""
    return bucket_at(0) + header(0, LEAF, len(elements)) + leaf_body(elements)


def database(pages: Mapping[int, bytes], *, root: int, txid: int = 7, page_size: int = PAGE_SIZE) -> bytes:
    """A database of these pages: *txid* is its last transaction, and that before has the same root."""
    count = max((number + len(data) // page_size for number, data in pages.items()), default=FIRST_PAGE)
    metas = {
        slot: meta(slot, txid=committed, root=root, pages=count, page_size=page_size)
        for committed in (txid - 1, txid)
        for slot in (committed % 2,)
    }
    content = bytearray(count * page_size)
    for number, data in {**metas, 2: header(2, FREELIST, 0), **pages}.items():
        content[number * page_size : number * page_size + len(data)] = data
    return bytes(content)


def encode(tree: Tree, *, txid: int = 7, page_size: int = PAGE_SIZE, first_page: int = FIRST_PAGE) -> bytes:
    """An honest database that holds *tree*."""
    writer = _Writer(page_size, first_page)
    root = writer.write(tree)
    return database(writer.pages, root=root, txid=txid, page_size=page_size)


class _Writer:
    def __init__(self, page_size: int, first_page: int) -> None:
        self.pages: dict[int, bytes] = {}
        self._page_size = page_size
        self._next = first_page

    def write(self, tree: Tree) -> int:
        """The number of the root page of a bucket that holds *tree*."""
        elements = [(key, *self._value(tree[key])) for key in sorted(tree)]
        groups = self._groups(elements, lambda element: 16 + len(element[0]) + len(element[1]), at_least=1)
        level = [
            (group[0][0] if group else b"", self._add(LEAF, leaf_body(group), count=len(group))) for group in groups
        ]
        while len(level) > 1:
            parts = self._groups(level, lambda child: 16 + len(child[0]), at_least=2)
            level = [(part[0][0], self._add(BRANCH, branch_body(part), count=len(part))) for part in parts]
        return level[0][1]

    def _value(self, value: bytes | Tree) -> tuple[bytes, bool]:
        if isinstance(value, bytes):
            return value, False
        elements = [(key, inner, False) for key, inner in sorted(value.items()) if isinstance(inner, bytes)]
        inline = inline_bucket(elements)
        if len(elements) == len(value) and len(inline) <= self._page_size // 4:
            return inline, True
        return bucket_at(self.write(value)), True

    def _groups(self, items: list[T], size: Callable[[T], int], *, at_least: int) -> list[list[T]]:
        """*items* as they share pages, at least one group."""
        groups: list[list[T]] = [[]]
        room = self._page_size - 16
        for item in items:
            if size(item) > room and len(groups[-1]) >= at_least:
                groups.append([])
                room = self._page_size - 16
            groups[-1].append(item)
            room -= size(item)
        return groups

    def _add(self, flags: int, body: bytes, *, count: int) -> int:
        number = self._next
        self.pages[number] = page(number, flags, body, count=count, page_size=self._page_size)
        self._next += len(self.pages[number]) // self._page_size
        return number


def load(path: str, *, limits: Limits | None = None) -> Tree:
    """All that a database holds, as the reader sees it."""
    return bolt.snapshot(path, lambda tx: {name: bucket.contents() for name, bucket in tx.buckets()}, limits=limits)
