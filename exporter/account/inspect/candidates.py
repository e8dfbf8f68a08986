"""What a text can mean in one store: every image, container, layer or storage directory that it is the name of, or
that its name begins with. Pure."""

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass

from exporter.account.inspect.index import StoreIndex
from exporter.account.inspect.views import MatchedBy
from exporter.store.entries import Reference

SHORTEST_BEGINNING = 4
"""Characters of an ID that are enough to look for it: fewer would find something random for every word."""
_ALGORITHM = "sha256:"
_HEX = re.compile(r"[0-9a-f]{1,64}")


class Closeness(enum.IntEnum):
    """How well a candidate fits; only those that fit best are told."""

    EXACT = 0
    INDIRECT = 1
    """A whole ID that is not the thing's own: a layer's diff ID (on a base layer the chain ID too, and then that layer
    is meant), the digest of an image's manifest."""
    BEGINNING = 2


class Kind(enum.StrEnum):
    """What can be inspected."""

    IMAGE = "image"
    CONTAINER = "container"
    LAYER = "layer"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class Target:
    """An image, container, layer or storage directory of one store."""

    kind: Kind
    identity: str
    """Image ID, container ID, chain ID, or the directory's name."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A thing in a store that may be meant, and why."""

    closeness: Closeness
    matched_by: MatchedBy
    target: Target


def candidates(index: StoreIndex, needle: str) -> Iterator[Candidate]:
    """All that *needle* may mean in one store, the likeliest meaning of each thing first."""
    yield from _by_reference(index, needle)
    yield from _by_container_name(index, needle)
    yield from _by_digest(index, needle)
    yield from _by_directory(index, needle)


def _by_reference(index: StoreIndex, needle: str) -> Iterator[Candidate]:
    name, _, digest = familiar(needle).partition("@")
    repository, tag = split_tag(name)
    of_repository = [reference for reference in index.store.references if familiar(reference.repository) == repository]
    for reference in of_repository:
        target = Target(Kind.IMAGE, reference.image_id)
        if digest and reference.digest == digest:
            yield Candidate(Closeness.EXACT, MatchedBy.IMAGE_REFERENCE, target)
        elif len(digest) >= len(_ALGORITHM) + SHORTEST_BEGINNING and reference.digest.startswith(digest):
            yield Candidate(Closeness.BEGINNING, MatchedBy.IMAGE_REFERENCE, target)
    if not digest:
        for reference in _tagged(of_repository, tag):
            yield Candidate(Closeness.EXACT, MatchedBy.IMAGE_REFERENCE, Target(Kind.IMAGE, reference.image_id))


def _tagged(references: list[Reference], tag: str) -> list[Reference]:
    """The references with *tag*; without one those with the engine's default ``latest``, else all."""
    if tag:
        return [reference for reference in references if reference.tag == tag]
    return [reference for reference in references if reference.tag == "latest"] or references


def familiar(name: str) -> str:
    """An image's name as the engine keeps it: ``docker.io/library/alpine`` is ``alpine``."""
    for registry in ("docker.io/", "index.docker.io/"):
        name = name.removeprefix(registry)
    return name.removeprefix("library/")


def split_tag(name: str) -> tuple[str, str]:
    """Repository and tag; the port of a registry is no tag."""
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "")


def _by_container_name(index: StoreIndex, needle: str) -> Iterator[Candidate]:
    wanted = needle.removeprefix("/")
    for found in index.store.containers.values():
        if wanted and found.name == wanted:
            yield Candidate(Closeness.EXACT, MatchedBy.CONTAINER_NAME, Target(Kind.CONTAINER, found.container_id))


def _by_digest(index: StoreIndex, needle: str) -> Iterator[Candidate]:
    """What has an ID of 64 hex digits that is *needle* or begins with it."""
    digits = needle.removeprefix(_ALGORITHM)
    if not _HEX.fullmatch(digits) or len(digits) < SHORTEST_BEGINNING:
        return
    for identity, matched_by, target in _identities(index, containers=digits == needle):
        if identity.removeprefix(_ALGORITHM).startswith(digits):
            whole = Closeness.EXACT if identity == target.identity else Closeness.INDIRECT
            yield Candidate(whole if len(digits) == 64 else Closeness.BEGINNING, matched_by, target)


def _identities(index: StoreIndex, *, containers: bool) -> Iterator[tuple[str, MatchedBy, Target]]:
    """All IDs of 64 hex digits in a store; those of containers, which are written without an algorithm, if wanted."""
    store = index.store
    for image_id in store.images:
        yield image_id, MatchedBy.IMAGE_ID, Target(Kind.IMAGE, image_id)
    for image in store.images.values():
        for configuration in image.config_digests:
            yield configuration, MatchedBy.IMAGE_ID, Target(Kind.IMAGE, image.image_id)
    for container_id in store.containers if containers else ():
        yield container_id, MatchedBy.CONTAINER_ID, Target(Kind.CONTAINER, container_id)
    for chain_id in store.layers:
        yield chain_id, MatchedBy.CHAIN_ID, Target(Kind.LAYER, chain_id)
    for layer in store.layers.values():
        yield layer.diff_id, MatchedBy.DIFF_ID, Target(Kind.LAYER, layer.chain_id)
    for reference in store.references:
        if reference.digest:
            yield reference.digest, MatchedBy.MANIFEST_DIGEST, Target(Kind.IMAGE, reference.image_id)


def _by_directory(index: StoreIndex, needle: str) -> Iterator[Candidate]:
    short_name = needle.removeprefix("l/")
    for name in index.directories_called(short_name):
        yield Candidate(Closeness.EXACT, MatchedBy.SHORT_NAME, Target(Kind.DIRECTORY, name))
    for name in index.directories():
        if name == needle:
            yield Candidate(Closeness.EXACT, MatchedBy.CACHE_ID, Target(Kind.DIRECTORY, name))
        # An init layer's name begins with its container's upper layer's: it is meant only where it is written out.
        elif len(needle) >= SHORTEST_BEGINNING and name.startswith(needle) and ("-" in needle or "-" not in name):
            yield Candidate(Closeness.BEGINNING, MatchedBy.CACHE_ID, Target(Kind.DIRECTORY, name))
