"""``find``: what a text names, in all stores. Pure, but for the look at a found container's files that is passed in."""

import difflib
from collections.abc import Iterable, Iterator, Sequence

from exporter.account.inspect.candidates import Candidate, Closeness, Kind, Target, candidates, split_tag
from exporter.account.inspect.containers import Look, container_view, unseen
from exporter.account.inspect.describe import directory_view, image_view, layer_match
from exporter.account.inspect.index import StoreIndex, reference_name
from exporter.account.inspect.paths import owning_stores, targets_at
from exporter.account.inspect.views import (
    Claim,
    ContainerView,
    DirectoryMatch,
    Finding,
    ImageView,
    LayerMatch,
    Match,
    MatchedBy,
    Owner,
)
from exporter.account.report import StoreReport
from exporter.store.catalog import Store
from exporter.store.entries import CacheID, ChainID, ContainerID, ImageID

_SUGGESTIONS = 5
_LONGEST = 300
"""Characters of a name that are compared; names are an attacker's to choose, and comparing takes the product of the
lengths."""


def find(reports: Sequence[StoreReport], needle: str, *, look: Look = unseen) -> Finding:
    """What *needle* names: an image by reference, ID or manifest digest, a container by name or ID, a layer by chain ID
    or diff ID, a storage directory by cache-id, short name or any path in it.

    IDs may be cut short to four characters or more. What fits whole is found alone; what is left is all that fits as
    well as any, so that more than one match means that the text is ambiguous (or that several stores have the thing).
    *look* is asked about the files of containers that are found.
    """
    indexes = [StoreIndex(report) for report in reports]
    wanted = needle.strip()
    found = [(index, candidate) for index in indexes for candidate in _candidates(indexes, index, wanted)]
    best = min((candidate.closeness for _, candidate in found), default=Closeness.EXACT)
    chosen: dict[tuple[str, Target], tuple[StoreIndex, Candidate]] = {}
    for index, candidate in found:
        if candidate.closeness is best:
            chosen.setdefault((index.store.name, candidate.target), (index, candidate))
    matches = tuple(
        Match(store=index.store.name, matched_by=candidate.matched_by, subject=_describe(index, candidate.target, look))
        for index, candidate in chosen.values()
    )
    return Finding(
        needle=needle,
        stores=tuple(index.store.name for index in indexes),
        matches=matches,
        near=tuple(_near(indexes, wanted)) if wanted and not matches else (),
    )


def _candidates(indexes: Sequence[StoreIndex], index: StoreIndex, wanted: str) -> Iterator[Candidate]:
    yield from candidates(index, wanted)
    if "/" in wanted and index in owning_stores(indexes, wanted):
        for target in targets_at(index, wanted):
            yield Candidate(Closeness.EXACT, MatchedBy.PATH, target)


def _describe(index: StoreIndex, target: Target, look: Look) -> ImageView | ContainerView | LayerMatch | DirectoryMatch:
    match target.kind:
        case Kind.IMAGE:
            return image_view(index, ImageID(target.identity))
        case Kind.CONTAINER:
            return container_view(index, index.store.containers[ContainerID(target.identity)], look)
        case Kind.LAYER:
            return layer_match(index, ChainID(target.identity))
        case Kind.DIRECTORY:
            return directory_match(index, CacheID(target.identity), look)


def directory_match(index: StoreIndex, name: CacheID, look: Look) -> DirectoryMatch:
    """A storage directory, and whose it is."""
    view, ownership = directory_view(index, name), index.report.ownership
    claims = (*_layer_claims(index, name), *_mount_claims(index, name, look), *_other_claims(index.store, name))
    return DirectoryMatch(
        directory=view,
        claims=claims,
        owner=None if ownership is None else ownership.owners.get(name),
        doubt=None if ownership is None else ownership.doubts.get(name),
        allocated=index.report.directory_allocated.get(name),
        needed_by=index.needed_by(name),
        problems=index.problems_at([view.path, *(claim.record for claim in claims)]),
    )


def _layer_claims(index: StoreIndex, name: CacheID) -> Iterator[Claim]:
    for chain_id in index.layers_of_directory.get(name, ()):
        yield Claim(
            owner=index.layer_owner(chain_id),
            record=f"{index.store.layer_record(chain_id)}/cache-id",
            mount=None,
            layer=layer_match(index, chain_id),
            container=None,
        )


def _mount_claims(index: StoreIndex, name: CacheID, look: Look) -> Iterator[Claim]:
    for mount_name in index.mounts_of_directory.get(name, ()):
        mount = index.store.mounts[mount_name]
        container = index.store.containers.get(ContainerID(mount_name))
        is_upper = mount.mount_id == name
        owner = Owner.CONTAINER_UPPER if is_upper else Owner.CONTAINER_INIT
        yield Claim(
            owner=Owner.OTHER_MOUNT if container is None else owner,
            record=f"{index.store.mount_record(mount_name)}/{'mount-id' if is_upper else 'init-id'}",
            mount=mount_name,
            layer=None,
            container=None if container is None else container_view(index, container, look),
        )


def _other_claims(store: Store, name: CacheID) -> Iterator[Claim]:
    if name in store.cache_directories:
        yield Claim(owner=Owner.BUILD_CACHE, record=store.cache_record, mount=None, layer=None, container=None)
    for removal in store.removals:
        if removal.cache_id == name:
            record = f"{removal.record}/cache-id"
            yield Claim(owner=Owner.REMOVING, record=record, mount=None, layer=None, container=None)


def containers_of(finding: Finding) -> frozenset[tuple[str, ContainerID]]:
    """The containers that a finding tells of in full, each with its store: those whose upper layer is worth measuring
    before it is asked for again."""
    return frozenset((match.store, view.container_id) for match in finding.matches for view in _container_views(match))


def _container_views(match: Match) -> Iterator[ContainerView]:
    match match.subject:
        case ContainerView() as view:
            yield view
        case DirectoryMatch(claims=claims):
            yield from (claim.container for claim in claims if claim.container is not None)


def _near(indexes: Iterable[StoreIndex], wanted: str) -> Iterator[str]:
    """Names that contain *wanted*, then names that are spelt much like it; at most a few."""
    names: dict[str, str] = {}
    for index in indexes:
        # A tag that was left out, or is another one, must not hide a repository that is spelt alike.
        for reference in sorted(index.store.references, key=lambda reference: not reference.tag):
            if reference.tag or reference.repository[:_LONGEST] not in names:
                name = reference_name(reference)[:_LONGEST]
                names |= {name: name, reference.repository[:_LONGEST]: name}
        names |= {container.name[:_LONGEST]: container.name[:_LONGEST] for container in index.store.containers.values()}
    plain = wanted[:_LONGEST].lower()
    containing = sorted((name for name in names if plain in name.lower()), key=len)
    alike = difflib.get_close_matches(plain, names, n=_SUGGESTIONS)
    alike += difflib.get_close_matches(split_tag(plain)[0], names, n=_SUGGESTIONS)
    suggestions = (names[name] for name in (*containing, *alike) if name)
    yield from list(dict.fromkeys(suggestions))[:_SUGGESTIONS]
