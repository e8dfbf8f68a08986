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
from exporter.export.text.containertree import container_tree
from exporter.export.text.layertree import add_problems, branch, directory_facts, image_tree, layer_tree
from exporter.export.text.listing import Column, Role, listing
from exporter.export.text.page import NAMELESS, UNITS_NOTE, Page, counted, moment

MOST_CANDIDATES = 20
"""Candidates that a terminal shows where a text fits many."""

_OWNERS = {
    Owner.IMAGE_LAYER: "the read-only layer of images",
    Owner.UNREFERENCED_LAYER: "a read-only layer that no image, container or other mount is built on",
    Owner.CONTAINER_UPPER: "the upper layer of a container",
    Owner.CONTAINER_INIT: "the init layer of a container",
    Owner.OTHER_MOUNT: "a writable layer without a container: a builder's, an image mount's, or left over",
}
_UNCLAIMED = "No record of layers or mounts names it: build cache, something being made, or an orphan."


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
    if match.needed_by:
        needed = page.some([page.short(name) for name in match.needed_by])
        facts.append(("needed by", page.text(f"{counted(len(match.needed_by), 'lower chain')}: {needed}")))
    tree = branch(page, page.text(("directory ", "dim"), (view.name, "bold")), facts)
    for claim in match.claims:
        tree.add(
            page.text((_OWNERS[claim.owner], "bold"), ", because of").append("\n").append_text(page.path(claim.record))
        )
    if not match.claims:
        tree.add(page.text((_UNCLAIMED, "yellow")))
    add_problems(page, tree, match.problems)
    yield tree
    for claim in match.claims:
        yield from _owner(page, claim)


def _owner(page: Page, claim: Claim) -> Iterator[RenderableType]:
    if claim.layer is not None:
        yield layer_tree(page, claim.layer)
    if claim.container is not None:
        yield container_tree(page, claim.container)
