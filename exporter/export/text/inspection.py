"""``inspect`` for people: what was found in full, or what could have been meant."""

from collections.abc import Iterator

from rich.console import Console, RenderableType

from exporter.account.inspect.views import (
    Claim,
    ContainerView,
    DirectoryMatch,
    Finding,
    ImageView,
    LayerMatch,
    Match,
    Owner,
)
from exporter.account.owners import Doubt
from exporter.export.text.containertree import container_tree
from exporter.export.text.layertree import add_problems, branch, directory_facts, image_tree, layer_tree
from exporter.export.text.listing import Column, Role, listing
from exporter.export.text.page import NAMELESS, UNITS_NOTE, Page, amount, counted, moment

MOST_CANDIDATES = 20
"""Candidates that a terminal shows where a text fits many."""

_OWNERS = {
    Owner.IMAGE_LAYER: "the read-only layer of images",
    Owner.UNREFERENCED_LAYER: "a read-only layer that no image, container or other mount is built on",
    Owner.CONTAINER_UPPER: "the upper layer of a container",
    Owner.CONTAINER_INIT: "the init layer of a container",
    Owner.OTHER_MOUNT: "a writable layer without a container: a builder's, an image mount's, or left over",
    Owner.BUILD_CACHE: "the result of a build step that the builder keeps",
    Owner.REMOVING: "a layer that is being removed, or could not be",
}
_DOUBTS = {
    Doubt.NEEDED: "No record names it, but a directory that a record names lies on it.",
    Doubt.MOUNTED: "No record names it, but it is mounted now.",
    Doubt.YOUNG: "No record names it yet: it was made within the last minute.",
    Doubt.WRITING: "No record names it yet: a layer's record is being written, probably this one's.",
    Doubt.STEP: "It belongs to no container, but a build step may be using it.",
    Doubt.RELEASED: "No record names it any more, or it has lost its short name: the engine is removing it.",
    Doubt.FOREIGN: "No record names it, and the engine gives no directory such a name: somebody else made it.",
    Doubt.UNREAD: "No record names it, but not everything that could name it was read, or is there.",
    Doubt.START_UNKNOWN: "No record names it; it may be new, for when the engine was started is not known.",
    Doubt.YOUNGER: "No record names it, but it was made since the engine was started, which may know of it.",
    Doubt.FIRST: "No record names it; it will count as an orphan when that is seen again.",
    Doubt.NONE: "No record names it, nothing uses it, and it is older than the running engine: it is nobody's.",
}


def print_inspection(finding: Finding, console: Console) -> None:
    """Print what *finding* says."""
    page = Page(console)
    identities = {(match.kind, match.identity) for match in finding.matches}
    if not identities:
        page.print(*_nothing(page, finding))
    elif len(identities) > 1:
        page.print(*_ambiguous(page, finding))
    else:
        # One and the same thing may lie in several stores.
        for match in finding.matches:
            page.print(page.text((f"store {match.store}, found by {match.matched_by.value}", "dim")))
            page.print(*_in_full(page, match))
        page.print(page.text((UNITS_NOTE, "dim")))


def _nothing(page: Page, finding: Finding) -> Iterator[RenderableType]:
    where = ", ".join(finding.stores) or "any store: none was found"
    yield page.text(("Nothing found", "bold red"), f" for '{finding.needle}' in {where}.")
    yield page.text(
        "Looked for an image reference, image ID or digest, a container name or ID, a chain ID or diff ID, a cache-id, "
        "a short name, or a path below the engine's root; of an ID four digits are enough."
    )
    if finding.near:
        yield page.text("Did you mean: ", (", ".join(finding.near), "bold"))


def _ambiguous(page: Page, finding: Finding) -> Iterator[RenderableType]:
    count = len(finding.matches)
    shown = finding.matches[:MOST_CANDIDATES] if page.terminal else finding.matches
    yield page.text((f"'{finding.needle}' fits {count:,}", "bold yellow"), "; inspect one of these by its ID:")
    columns = (Column("ID", Role.NAME), Column("kind"), Column("name"), Column("store"), Column("found by"))
    rows = [
        (page.whole(match.identity), match.kind, _name(match), match.store, match.matched_by.value) for match in shown
    ]
    yield listing(page, columns, rows)
    if len(shown) < count:
        yield page.text(f"and {count - len(shown):,} more.")


def _name(match: Match) -> str:
    match match.subject:
        case ImageView(names=names):
            return names[0] if names else NAMELESS
        case ContainerView(name=name):
            return name
        case LayerMatch(layer=layer):
            return "; ".join(layer.created_by)[:80]
        case DirectoryMatch(claims=claims):
            return ", ".join(claim.owner.value for claim in claims)


def _in_full(page: Page, match: Match) -> Iterator[RenderableType]:
    match match.subject:
        case ImageView() as image:
            yield image_tree(page, image)
        case ContainerView() as container:
            yield container_tree(page, container)
        case LayerMatch() as layer:
            yield layer_tree(page, layer)
        case DirectoryMatch() as directory:
            yield from _directory(page, directory)


def _directory(page: Page, match: DirectoryMatch) -> Iterator[RenderableType]:
    view = match.directory
    facts = list(directory_facts(page, view))
    if view.there:
        facts.append(("mounted", page.text("yes" if view.mounted else "no")))
        facts.append(("modified", page.text(moment(view.modified))))
    if match.owner is not None:
        facts.append(("counts as", page.text((match.owner.value, "bold"))))
    if match.allocated is not None:
        facts.append(("allocated", page.text((amount(match.allocated), "bold"), " of disk, all of it")))
    if match.needed_by:
        needed = page.some([page.short(name) for name in match.needed_by])
        facts.append(("needed by", page.text(f"{counted(len(match.needed_by), 'lower chain')}: {needed}")))
    tree = branch(page, page.text(("directory ", "dim"), (view.name, "bold")), facts)
    for claim in match.claims:
        tree.add(
            page.text((_OWNERS[claim.owner], "bold"), ", because of").append("\n").append_text(page.path(claim.record))
        )
    if not match.claims or match.doubt is not None:
        doubt = "No record names it." if match.doubt is None else _DOUBTS[match.doubt]
        tree.add(page.text((doubt, "yellow")))
    add_problems(page, tree, match.problems)
    yield tree
    for claim in match.claims:
        yield from _owner(page, claim)


def _owner(page: Page, claim: Claim) -> Iterator[RenderableType]:
    if claim.layer is not None:
        yield layer_tree(page, claim.layer)
    if claim.container is not None:
        yield container_tree(page, claim.container)
