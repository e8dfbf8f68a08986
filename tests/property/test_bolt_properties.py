"""What holds for every bolt database, honest or not."""

import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.store import bolt
from exporter.store.boltfile import BoltBusyError, BoltError, Limits
from tests.store.bolt_files import (
    BRANCH,
    FREELIST,
    LEAF,
    META,
    Leaf,
    Tree,
    branch,
    bucket_at,
    database,
    encode,
    inline_bucket,
    leaf,
    load,
)

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Time is measured by the processor's clock, in :func:`stored`: the wall's tells how busy the machine is."""

PAGE_SIZES = st.sampled_from([1 << power for power in range(9, 17)])
KEYS = st.binary(min_size=1, max_size=12)
SHORT = st.binary(max_size=20)
LONG = st.integers(0, 3000).map(bytes)


def _rows(count: int) -> Tree:
    return {b"row %d" % number: b"." * (number % 40) for number in range(count)}


def _trees(values: st.SearchStrategy[bytes]) -> st.SearchStrategy[Tree]:
    """Top-level buckets: little ones that nest as they like, and long ones that take many pages."""
    little: st.SearchStrategy[Tree] = st.recursive(
        st.dictionaries(KEYS, values, max_size=6),
        lambda inner: st.dictionaries(KEYS, values | inner, max_size=4),
        max_leaves=6,
    )
    return st.dictionaries(KEYS, little | st.integers(0, 500).map(_rows), max_size=4)


TREES = _trees(SHORT | LONG)


@contextmanager
def stored(content: bytes) -> Iterator[str]:
    """The path of a database with this content, with which everything ends soon."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "any.db")
        path.write_bytes(content)
        before = time.process_time()
        yield str(path)
        assert time.process_time() - before < 2


def load_or_refuse(content: bytes, *, limits: Limits | None = None) -> Tree | None:
    """What a database with this content holds; None where it is refused as it should be."""
    with stored(content) as path:
        try:
            return load(path, limits=limits)
        except BoltBusyError:
            raise
        except BoltError as error:
            assert (path, True) == (error.path, bool(error.reason))
            return None


@UNHURRIED
@given(tree=TREES, page_size=PAGE_SIZES, txid=st.integers(1, 2**64 - 1))
def test_what_was_written_is_read(tree: Tree, page_size: int, txid: int) -> None:
    """Any tree, on pages of any size, is read as it was written."""
    with stored(encode(tree, page_size=page_size, txid=txid)) as path:
        assert tree == load(path)
        assert txid == bolt.identity(path).txid


@UNHURRIED
@given(tree=TREES, page_size=PAGE_SIZES, others=st.lists(KEYS, max_size=20))
def test_looking_up_equals_going_through(tree: Tree, page_size: int, others: list[bytes]) -> None:
    """``get`` and ``bucket`` find what ``items`` and ``buckets`` name, and nothing else."""

    def read(tx: bolt.Transaction) -> None:
        bucket = tx.bucket(b"b")
        assert bucket is not None
        assert dict(bucket.items()) == {key: value for key, value in tree.items() if isinstance(value, bytes)}
        assert {key: inner.contents() for key, inner in bucket.buckets()} == {
            key: value for key, value in tree.items() if not isinstance(value, bytes)
        }
        for key in {*tree, *others}:
            value = tree.get(key)
            assert (value if isinstance(value, bytes) else None) == bucket.get(key)
            assert isinstance(value, dict) == (bucket.bucket(key) is not None)

    with stored(encode({b"b": tree}, page_size=page_size)) as path:
        bolt.snapshot(path, read)


@UNHURRIED
@given(tree=TREES, page_size=PAGE_SIZES, data=st.data())
def test_a_truncated_file(tree: Tree, page_size: int, data: st.DataObject) -> None:
    """A file cut short anywhere is refused."""
    content = encode(tree, page_size=page_size)
    assert load_or_refuse(content[: data.draw(st.integers(0, len(content) - 1))]) is None


@UNHURRIED
@given(tree=TREES, data=st.data())
def test_flipped_bits(tree: Tree, data: st.DataObject) -> None:
    """Flipped bits make a file refused, or change what it says; nothing else ever happens."""
    content = bytearray(encode(tree, page_size=512))
    for place in data.draw(st.lists(st.integers(0, len(content) * 8 - 1), min_size=1, max_size=8)):
        content[place // 8] ^= 1 << place % 8
    load_or_refuse(bytes(content))


@UNHURRIED
@given(tree=_trees(SHORT), data=st.data())
def test_a_page_in_the_place_of_another(tree: Tree, data: st.DataObject) -> None:
    """A page written to the wrong place, as by a bad disk, makes the file refused, or it was not in use."""
    content = bytearray(encode(tree, page_size=512))
    pages = st.integers(2, len(content) // 512 - 1)
    place, source = data.draw(pages) * 512, data.draw(pages) * 512
    content[place : place + 512] = content[source : source + 512]
    found = load_or_refuse(bytes(content))
    assert found is None or tree == found


NUMBERS = st.integers(0, 12)
LITTLE_KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b""])


@st.composite
def invented(draw: st.DrawFn) -> bytes:
    """Valid meta pages before a dozen pages that refer to each other, and to elsewhere, as malice likes."""
    elements: st.SearchStrategy[Leaf] = st.lists(
        st.tuples(LITTLE_KEYS, st.binary(max_size=40) | NUMBERS.map(bucket_at), st.booleans()), max_size=4
    )
    nested = st.lists(st.tuples(LITTLE_KEYS, elements.map(inline_bucket), st.booleans()), max_size=2)
    children = st.lists(st.tuples(LITTLE_KEYS, NUMBERS), max_size=4)
    ordered = draw(st.booleans())
    pages = {}
    for number in range(2, 12):
        told = number if draw(st.integers(0, 9)) else draw(NUMBERS)
        if draw(st.booleans()):
            branches = draw(children)
            pages[number] = branch(told, sorted(branches) if ordered else branches, page_size=512)
        else:
            leaves = draw(elements | nested)
            pages[number] = leaf(told, sorted(leaves) if ordered else leaves, page_size=512)
    content = bytearray(database(pages, root=draw(st.integers(2, 11)), page_size=512))
    for number in draw(st.lists(st.integers(2, 11), max_size=2)):
        kind = draw(st.sampled_from([0, BRANCH, LEAF, META, FREELIST, 3]))
        count, overflow = draw(st.integers(0, 65535)), draw(st.integers(0, 2) | st.integers(0, 2**32 - 1))
        struct.pack_into("=HHI", content, number * 512 + 8, kind, count, overflow)
    return bytes(content)


@UNHURRIED
@given(content=invented())
def test_invented_pages(content: bytes) -> None:
    """Pages that were made up are refused or read, and looking keys up in them does no more harm."""
    load_or_refuse(content)

    def look_up(tx: bolt.Transaction) -> None:
        for name in (b"a", b"b", b"c"):
            bucket = tx.bucket(name, b"a") or tx.bucket(name)
            if bucket is not None:
                bucket.get(b"b")

    with stored(content) as path:
        try:
            bolt.snapshot(path, look_up)
        except BoltError as error:
            assert error.reason


@UNHURRIED
@given(content=st.binary(max_size=6000), page_size=st.sampled_from([512, 1024]))
def test_any_bytes_behind_valid_meta_pages(content: bytes, page_size: int) -> None:
    """So are bytes that are no pages at all."""
    pages = {2 + place // page_size: content[place : place + page_size] for place in range(0, len(content), page_size)}
    padded = {number: data.ljust(page_size, b"\0") for number, data in pages.items()}
    load_or_refuse(database(padded, root=2, page_size=page_size))


@UNHURRIED
@given(content=st.binary(max_size=3000))
def test_any_bytes(content: bytes) -> None:
    """A file that is no database is refused."""
    assert load_or_refuse(content) is None
