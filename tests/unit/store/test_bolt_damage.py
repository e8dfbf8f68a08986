"""Bolt databases that are damaged, or made with malice: each is refused soon, by name, or read for what it holds."""

import os
import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.store import bolt
from exporter.store.boltfile import BoltError, Limits
from tests.store.bolt_files import (
    BRANCH,
    FREELIST,
    LEAF,
    META,
    PAGE_SIZE,
    Leaf,
    Tree,
    branch,
    bucket_at,
    database,
    encode,
    header,
    inline_bucket,
    leaf,
    leaf_body,
    load,
    meta,
    page,
)

TREE: Tree = {
    b"v1": {
        b"many": {b"key %04d" % number: b"%d" % number for number in range(400)},
        b"rows": {b"row %02d" % number: {b"id": b"%d" % number} for number in range(60)},
        b"long": bytes(9000),
    }
}
ROOT = 4


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    """Every test here ends soon: a second of the processor's time is a hundred times what honest databases take."""
    before = time.process_time()
    yield
    assert time.process_time() - before < 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "meta.db"


def refusal(path: Path, content: bytes, *, limits: Limits | None = None) -> str:
    """Why a database with this content is refused."""
    path.write_bytes(content)
    with pytest.raises(BoltError) as caught:
        load(str(path), limits=limits)
    assert caught.value.path == str(path)
    return caught.value.reason


def rooted(*elements: tuple[bytes, bytes, bool], **pages: bytes) -> bytes:
    """A database whose root page has these elements; further pages go by their numbers."""
    return database({ROOT: leaf(ROOT, elements), **{int(name[1:]): data for name, data in pages.items()}}, root=ROOT)


def holding(body: bytes, *, count: int, flags: int = LEAF) -> bytes:
    """A database whose only bucket has one page, with this body."""
    return rooted((b"bucket", bucket_at(5), True), _5=page(5, flags, body, count=count))


@pytest.mark.parametrize("page_size", [512, 4096])
def test_truncated_anywhere(path: Path, page_size: int) -> None:
    """A file that ends at any page, or in the middle of one, is refused."""
    content = encode(TREE, page_size=page_size)
    for end in range(0, len(content), page_size // 2):
        assert refusal(path, content[:end]).startswith(("truncated", "no valid meta page"))


def test_truncated_while_it_is_read(path: Path) -> None:
    """A file that somebody cuts short in the middle of a reading is refused."""
    path.write_bytes(encode(TREE))

    def cut(tx: bolt.Transaction) -> object:
        os.truncate(path, 2 * PAGE_SIZE)
        return dict(tx.buckets())

    with pytest.raises(BoltError, match="truncated before byte"):
        bolt.snapshot(str(path), cut)


@pytest.mark.parametrize("content", [b"", b"\0" * 79, b"{}", bytes(range(99)), b"\0" * 100_000], ids=len)
def test_no_database(path: Path, content: bytes) -> None:
    """An empty file, a short one, zeroes, or something else is no database."""
    assert refusal(path, content).startswith("no valid meta page: ")


def test_gigabytes_of_nothing(path: Path) -> None:
    """A huge sparse file is refused at once, whether or not its meta pages are valid."""
    with path.open("wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(BoltError, match="no valid meta page: no bolt database"):
        load(str(path))
    pages = (2 << 30) // PAGE_SIZE
    with path.open("r+b") as file:
        file.write(meta(0, txid=2, root=pages - 1, pages=pages))
    with pytest.raises(BoltError, match=f"page {pages - 1} says that it is page 0"):
        load(str(path))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"magic": 0xEDDA0CED}, "no valid meta page: no bolt database: it begins with 0xedda0ced"),
        ({"version": 3}, "no valid meta page: version 3 of the format, not 2"),
        ({"checksum": 1}, "no valid meta page: the checksum does not match"),
        ({"page_size": 0}, "pages of 0 bytes"),
        ({"page_size": 3}, "pages of 3 bytes"),
        ({"page_size": 256}, "pages of 256 bytes"),
        ({"page_size": 4095}, "pages of 4095 bytes"),
        ({"page_size": 131072}, "pages of 131072 bytes"),
        ({"page_size": 2**32 - 1}, "pages of 4294967295 bytes"),
        ({"root": 0}, "its root is page 0, of 5"),
        ({"root": 1}, "its root is page 1, of 5"),
        ({"root": 5}, "its root is page 5, of 5"),
        ({"root": 2**64 - 1}, "its root is page 18446744073709551615, of 5"),
        ({"root": 2, "pages": 2}, "its root is page 2, of 2"),
        ({"pages": 6}, "truncated: 20480 bytes, 6 pages of 4096 are in use"),
        ({"pages": 2**64 - 1}, "truncated: 20480 bytes, 18446744073709551615 pages of 4096 are in use"),
        ({"root": 2}, "page 2 is neither branch nor leaf, by its flags 0x10"),
        ({"page_size": 512, "pages": 40}, "page 4 says that it is page 0"),
    ],
)
def test_meta_pages_that_lie(path: Path, fields: dict[str, int], reason: str) -> None:
    """What a meta page says is checked, even where its checksum is right."""
    honest = bytearray(rooted())
    lie = meta(0, **{"txid": 99, "root": ROOT, "pages": 5, **fields})
    honest[PAGE_SIZE : PAGE_SIZE + 100] = bytes(100)
    honest[: len(lie)] = lie
    assert refusal(path, bytes(honest)) == reason


def test_meta_pages_that_disagree(path: Path) -> None:
    """A second meta page that tells another page size than its place does not count."""
    content = bytearray(encode(TREE, txid=7, page_size=4096))
    lie = meta(1, txid=99, root=ROOT, pages=5, page_size=8192)
    content[4096 : 4096 + len(lie)] = lie
    path.write_bytes(content)
    assert bolt.identity(str(path)).txid == 6
    assert load(str(path)) == TREE


@pytest.mark.parametrize("number", [1, 9, 2**63, 2**64 - 1])
def test_a_bucket_outside_of_the_file(path: Path, number: int) -> None:
    """A bucket whose page cannot be one is refused."""
    reason = refusal(path, rooted((b"bucket", bucket_at(number), True)))
    assert reason == f"pages {number} to {number} do not lie within the 5 in use"


@pytest.mark.parametrize("flags", [0, META, FREELIST, LEAF | BRANCH, 0xFFFF])
def test_pages_of_another_kind(path: Path, flags: int) -> None:
    """A tree has branches and leaves, and nothing else."""
    assert "neither branch nor leaf" in refusal(path, holding(b"", count=0, flags=flags))


def test_a_page_of_another_number(path: Path) -> None:
    """A page tells its own number; one that was not written where it belongs is noticed."""
    assert refusal(path, rooted((b"b", bucket_at(5), True), _5=leaf(6, []))) == "page 5 says that it is page 6"


def test_a_page_that_refers_to_itself(path: Path) -> None:
    """A branch below itself is refused, not followed."""
    content = rooted((b"b", bucket_at(5), True), _5=branch(5, [(b"k", 5)]))
    assert refusal(path, content) == "page 5 is named twice"


def test_two_pages_that_refer_to_each_other(path: Path) -> None:
    """So is a longer loop."""
    content = rooted((b"b", bucket_at(5), True), _5=branch(5, [(b"k", 6)]), _6=branch(6, [(b"k", 5)]))
    assert refusal(path, content) == "page 5 is named twice"


def test_a_loop_while_one_key_is_looked_for(path: Path) -> None:
    """Looking for one key follows no loop either."""
    path.write_bytes(rooted((b"b", bucket_at(5), True), _5=branch(5, [(b"k", 6)]), _6=branch(6, [(b"k", 5)])))

    def read(tx: bolt.Transaction) -> object:
        bucket = tx.bucket(b"b")
        return bucket and bucket.get(b"k")

    with pytest.raises(BoltError, match="page 5 is named twice"):
        bolt.snapshot(str(path), read)


def test_two_branches_that_share_a_page(path: Path) -> None:
    """A leaf that two branches, or two elements of one, refer to is refused."""
    shared = leaf(7, [(b"x", b"", False)])
    twice = rooted((b"b", bucket_at(5), True), _5=branch(5, [(b"k", 7), (b"l", 7)]), _7=shared)
    assert refusal(path, twice) == "page 7 is named twice"


def test_two_buckets_that_share_a_page(path: Path) -> None:
    """Two buckets with one root are refused, and so is a bucket that contains itself or its parent."""
    two = rooted((b"a", bucket_at(5), True), (b"b", bucket_at(5), True), _5=leaf(5, []))
    itself = rooted((b"a", bucket_at(5), True), _5=leaf(5, [(b"a", bucket_at(5), True)]))
    parent = rooted((b"a", bucket_at(ROOT), True))
    assert [refusal(path, content) for content in (two, itself)] == ["page 5 is named twice"] * 2
    assert refusal(path, parent) == "page 4 is named twice"


def test_a_tall_tree(path: Path) -> None:
    """A tree of single branches is not followed for ever, by traversal or by search."""
    chain = {f"_{number}": branch(number, [(b"k", number + 1)]) for number in range(5, 999)}
    content = rooted((b"b", bucket_at(5), True), **chain, _999=leaf(999, []))
    assert refusal(path, content) == "a tree is higher than 64 pages"
    with pytest.raises(BoltError, match="a tree is higher than 64 pages"):
        bolt.snapshot(str(path), lambda tx: tx.bucket(b"b", b"k"))


def test_deep_buckets(path: Path) -> None:
    """Buckets within buckets end at a depth, long before Python's own does."""
    deep = {f"_{number}": leaf(number, [(b"b", bucket_at(number + 1), True)]) for number in range(5, 999)}
    content = rooted((b"b", bucket_at(5), True), **deep, _999=leaf(999, []))
    assert refusal(path, content) == "buckets are nested deeper than 32"
    tree: Tree = {}
    for _ in range(32):
        tree = {b"b": tree}
    path.write_bytes(encode(tree))
    assert load(str(path)) == tree


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31])
def test_short_buckets(path: Path, size: int) -> None:
    """A bucket's value too short for its own header, or its page's, is refused."""
    reason = refusal(path, rooted((b"b", bytes(size), True)))
    assert reason == (f"a bucket of {size} bytes" if size < 16 else f"an inline page of {size - 16} bytes")


def test_inline_pages_that_lie(path: Path) -> None:
    """An inline page is held to the same rules: a leaf, within its bucket's value."""
    assert "no leaf" in refusal(path, rooted((b"b", bucket_at(0) + header(0, BRANCH, 0), True)))
    assert "cannot hold 9 elements" in refusal(path, rooted((b"b", bucket_at(0) + header(0, LEAF, 9), True)))
    cut = inline_bucket([(b"key", b"value", False)])[:-1]
    assert refusal(path, rooted((b"b", cut, True))) == "an element of an inline page reaches beyond its end"


def test_buckets_within_inline_pages_end(path: Path) -> None:
    """Inline buckets within inline buckets, which bolt never writes, are read as far as buckets may be nested."""
    value = inline_bucket([(b"k", b"v", False)])
    for _ in range(40):
        value = inline_bucket([(b"b", value, True)])
    assert refusal(path, rooted((b"b", value, True))) == "buckets are nested deeper than 32"


@pytest.mark.parametrize(("flags", "size"), [(LEAF, 16), (BRANCH, 16)])
def test_huge_counts(path: Path, flags: int, size: int) -> None:
    """A page cannot have more elements than fit on it."""
    most = (PAGE_SIZE - 16) // size
    assert "cannot hold" in refusal(path, holding(b"", count=most + 1, flags=flags))
    assert "cannot hold" in refusal(path, holding(b"", count=65535, flags=flags))


def test_an_empty_branch(path: Path) -> None:
    """A branch has at least one page below it."""
    assert refusal(path, holding(b"", count=0, flags=BRANCH)) == "branch page 5 is empty"


@pytest.mark.parametrize(
    ("position", "key_size", "value_size", "reason"),
    [
        (16, 1, 2**32 - 1, "reaches beyond its end"),
        (16, 2**32 - 1, 1, "reaches beyond its end"),
        (2**32 - 1, 1, 1, "out of order"),
        (0, 1, 1, "overlap"),
        (15, 1, 1, "overlap"),
        (16, 0, 1, "out of order"),
        (4079, 1, 1, "reaches beyond its end"),
    ],
)
def test_leaf_elements_that_lie(path: Path, position: int, key_size: int, value_size: int, reason: str) -> None:
    """A key and a value lie on their page, behind the table of elements, and no key is empty."""
    body = struct.pack("=4I", 0, position, key_size, value_size) + b"x" * 64
    assert reason in refusal(path, holding(body, count=1))


@pytest.mark.parametrize(
    ("position", "key_size", "reason"),
    [
        (16, 2**32 - 1, "reaches beyond its end"),
        (2**32 - 1, 1, "out of order"),
        (0, 1, "overlap"),
        (16, 0, "out of order"),
    ],
)
def test_branch_elements_that_lie(path: Path, position: int, key_size: int, reason: str) -> None:
    """So does the key of a branch."""
    body = struct.pack("=IIQ", position, key_size, 6) + b"x" * 64
    assert reason in refusal(path, holding(body, count=1, flags=BRANCH))


@pytest.mark.parametrize("keys", [b"ba", b"aa"])
def test_keys_out_of_order(path: Path, keys: bytes) -> None:
    """Keys ascend, on a leaf, on a branch, and from one leaf to the next: or a search would miss some of them."""
    first, second = keys[:1], keys[1:]
    elements: Leaf = [(first, b"", False), (second, b"", False)]
    on_a_leaf = holding(leaf_body(elements), count=2)
    on_a_branch = rooted(
        (b"b", bucket_at(5), True),
        _5=branch(5, [(first, 6), (second, 7)]),
        _6=leaf(6, []),
        _7=leaf(7, []),
    )
    over_leaves = rooted(
        (b"b", bucket_at(5), True),
        _5=branch(5, [(b"a", 6), (b"b", 7)]),
        _6=leaf(6, elements[:1]),
        _7=leaf(7, elements[1:]),
    )
    reasons = [refusal(path, content) for content in (on_a_leaf, on_a_branch, over_leaves)]
    assert reasons == [f"keys of page {number} are out of order" for number in (5, 5, 7)]


def test_many_elements_that_name_the_same_megabytes(path: Path) -> None:
    """Elements may not share their data: a page of 16 MiB could otherwise be handed out a million times."""
    count, size = 60_000, 8 << 20
    table = b"".join(struct.pack("=4I", 0, (count - place) * 16, 4, size) for place in range(count))
    content = holding(table + bytes(size), count=count)
    tracemalloc.start()
    try:
        assert "overlap" in refusal(path, content)
        assert tracemalloc.get_traced_memory()[1] < 3 * size
    finally:
        tracemalloc.stop()


def test_overflow_beyond_the_file(path: Path) -> None:
    """A page cannot overflow beyond the pages in use."""
    content = bytearray(holding(b"", count=0))
    struct.pack_into("=I", content, 5 * PAGE_SIZE + 12, 1)
    assert refusal(path, bytes(content)) == "pages 5 to 6 do not lie within the 6 in use"
    struct.pack_into("=I", content, 5 * PAGE_SIZE + 12, 2**32 - 1)
    assert refusal(path, bytes(content)) == "page 5 has 17592186044416 bytes; at most 16777216 are read"


def test_a_page_longer_than_the_limit(path: Path) -> None:
    """How long one page, and with it one value, may be is a limit that can be set."""
    content = encode({b"b": {b"k": bytes(20_000)}})
    limits = Limits(page=16 << 10)
    assert refusal(path, content, limits=limits) == "page 4 has 20480 bytes; at most 16384 are read"
    assert load(str(path)) == {b"b": {b"k": bytes(20_000)}}


def test_more_pages_than_the_limit(path: Path) -> None:
    """How much one reading may take is a limit, over all buckets, and counts what is read again."""
    path.write_bytes(encode(TREE))

    def read(tx: bolt.Transaction) -> int:
        bucket = tx.bucket(b"v1", b"many")
        assert bucket is not None
        return sum(len(list(bucket.items())) for _ in range(9))

    assert bolt.snapshot(str(path), read) == 9 * 400
    with pytest.raises(BoltError, match="more than 100000 bytes of pages"):
        bolt.snapshot(str(path), read, limits=Limits(total=100_000))
