"""``layerdb/sha256``: what a layer's record says, and what may lie beside it."""

import hashlib

import pytest

from exporter.store.catalog import ProblemKind
from exporter.store.entries import CacheID, ChainID, DiffID
from exporter.store.layerdb import cache_id, chain_id, chain_ids
from exporter.store.records import Malformed
from tests.unit.store.hosts import Host, survey

HEX = "a" * 64


def test_what_a_layer_says(host: Host) -> None:
    """All of its files, without the white space around them."""
    for file in ("diff", "size", "cache-id", "parent"):
        path = host.layer(host.middle) / file
        path.write_text(f"\t{path.read_text()} \n")
    layer = survey(host.root).layers[host.middle]
    built = host.store.layers[host.middle]
    assert (layer.chain_id, layer.diff_id, layer.parent) == (host.middle, built.diff_id, host.base)
    assert (layer.cache_id, layer.size, layer.chain_id_recomputes) == (built.cache_id, 3000, True)


def test_chain_ids() -> None:
    """As the OCI image specification defines them."""
    one, two = DiffID(f"sha256:{'1' * 64}"), DiffID(f"sha256:{'2' * 64}")
    above = "sha256:" + hashlib.sha256(f"{one} {two}".encode()).hexdigest()
    assert chain_id(None, one) == ChainID(one)
    assert chain_id(ChainID(one), two) == above
    assert chain_ids([one, two]) == (ChainID(one), ChainID(above))
    assert chain_ids([]) == ()


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("9223372036854775807", (1 << 63) - 1), ("007", 7)])
def test_sizes(host: Host, text: str, size: int) -> None:
    """Decimal bytes."""
    (host.layer(host.other) / "size").write_text(text)
    assert survey(host.root).layers[host.other].size == size


@pytest.mark.parametrize("text", ["-1", "1.5", "1e3", "0x10", "1_000", "9" * 20, "1 2", "many"])
def test_what_is_no_size(host: Host, text: str) -> None:
    """The layer is there, its size is unknown: not 0."""
    (host.layer(host.other) / "size").write_text(text)
    store = survey(host.root)
    assert (store.layers[host.other].size, len(store.problems)) == (None, 1)


def test_a_layer_of_a_builder() -> None:
    """BuildKit names directories in its own way: 25 characters of base 36."""
    assert cache_id("x2d" * 8 + "1") == CacheID("x2d" * 8 + "1")


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "/etc", "a\nb", "a\x00b", "\x1b[2J", "x" * 256])
def test_what_is_no_directory_name(text: str) -> None:
    """A name that leads anywhere else than to an entry of the graph directory."""
    with pytest.raises(Malformed):
        cache_id(text)


@pytest.mark.parametrize("name", ["tmp", "ab" * 31, HEX + "0", HEX.upper(), "sha256:" + HEX, "\udcff", "a\nb"])
def test_a_strange_name_among_layers(host: Host, name: str) -> None:
    """It is told, and nothing below it is looked at."""
    (host.store.layerdb.layers / name).mkdir()
    (problem,) = survey(host.root).problems
    assert (problem.kind, problem.path) == (ProblemKind.MALFORMED_RECORD, f"{host.store.layerdb.layers}/{name}")


@pytest.mark.parametrize("name", [f"{HEX}-{HEX}-removing", ".tmp-layer1", "lost+found"])
def test_names_in_passing_are_none(host: Host, name: str) -> None:
    """What the engine is removing or writing, and what the filesystem keeps for it"""
    (host.store.layerdb.layers / name).mkdir()
    assert survey(host.root).problems == ()
