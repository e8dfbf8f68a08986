"""Writes a small bbolt database (go.etcd.io/bbolt, file format version 2): one leaf page, every bucket inline in it."""

import struct
from collections.abc import Mapping

_PAGE_SIZE = 4096
_MAGIC, _VERSION = 0xED0CDAED, 2
_LEAF, _META, _FREELIST = 0x02, 0x04, 0x10
_PAGE = struct.Struct("<QHHI")
_ELEMENT = struct.Struct("<IIII")
_META_FIELDS = struct.Struct("<IIIIQQQQQ")
_BUCKET = struct.Struct("<QQ")
_IS_BUCKET = 1


def database(buckets: Mapping[str, Mapping[str, str]]) -> bytes:
    """The file's content: top-level buckets, each with keys and values.

    Args:
        buckets: by name. All of them together must fit into one run of pages, which any few thousand do.
    """
    pairs = [(name.encode(), _inline_bucket(values), _IS_BUCKET) for name, values in buckets.items()]
    root = _leaf(3, pairs)
    run = -(-len(root) // _PAGE_SIZE)
    freelist = _PAGE.pack(2, _FREELIST, 0, 0)
    pages = [_meta_page(0, pages=3 + run), _meta_page(1, pages=3 + run), freelist, root]
    return b"".join(page + bytes(-len(page) % _PAGE_SIZE) for page in pages)


def _inline_bucket(values: Mapping[str, str]) -> bytes:
    """A bucket whose root page number is 0, with its page right behind."""
    return _BUCKET.pack(0, 0) + _leaf(0, [(key.encode(), value.encode(), 0) for key, value in values.items()])


def _leaf(page_id: int, pairs: list[tuple[bytes, bytes, int]]) -> bytes:
    pairs = sorted(pairs)
    elements, data = b"", b""
    for number, (key, value, flags) in enumerate(pairs):
        # Positions count from the element itself.
        position = (len(pairs) - number) * _ELEMENT.size + len(data)
        elements += _ELEMENT.pack(flags, position, len(key), len(value))
        data += key + value
    overflow = (_PAGE.size + len(elements) + len(data) - 1) // _PAGE_SIZE
    return _PAGE.pack(page_id, _LEAF, len(pairs), overflow) + elements + data


def _meta_page(transaction: int, *, pages: int) -> bytes:
    meta = _META_FIELDS.pack(_MAGIC, _VERSION, _PAGE_SIZE, 0, 3, 0, 2, pages, transaction)
    return _PAGE.pack(transaction, _META, 0, 0) + meta + _fnv1a(meta).to_bytes(8, "little")


def _fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value
