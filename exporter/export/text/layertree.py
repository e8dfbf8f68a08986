"""Images, layers and storage directories as branches of a tree."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from exporter.account.inspect.views import DirectoryView, ImageName, ImageView, LayerMatch, LayerView
from exporter.export.text.page import NAMELESS, Page, Part, amount, counted, moment
from exporter.store.catalog import Problem

Fact = tuple[str, Text]
"""A label, and what is so called."""
_LONGEST_STEP = 200
"""Characters of a build step that a terminal shows."""


def branch(page: Page, title: Text, facts: Iterable[Fact]) -> Tree:
    """A branch: its title, and the facts below it."""
    rows = list(facts)
    return Tree(Group(title, page.pairs(rows)) if rows else title, guide_style="dim")


def called(page: Page, image: ImageName) -> str:
    """An image by one name, or by its ID where it has none."""
    return image.names[0] if image.names else page.short(image.image_id)


def add_problems(page: Page, tree: Tree, problems: Sequence[Problem]) -> None:
    """A branch with what is wrong, where anything is."""
    if problems:
        found = branch(page, page.text((counted(len(problems), "problem"), "bold red")), [])
        for problem in problems:
            found.add(
                page.text((problem.kind.value, "red"), ": ", problem.reason)
                .append("\n")
                .append(page.path(problem.path))
            )
        tree.add(found)


def image_tree(page: Page, view: ImageView) -> Tree:
    """An image, its names and costs, and its layers, base first."""
    title = page.text(("image ", "dim"), (view.names[0] if view.names else NAMELESS, "bold"))
    tree = branch(page, title, _image_facts(page, view))
    for place, layer in enumerate(view.layers, start=1):
        others = [image for image in layer.images if image.image_id != view.image_id]
        tree.add(_layer_branch(page, layer, f"layer {place} of {len(view.layers)}", others, "no other image"))
    add_problems(page, tree, view.problems)
    return tree


def _image_facts(page: Page, view: ImageView) -> Iterator[Fact]:
    yield "ID", page.text(page.whole(view.image_id))
    if view.names[1:]:
        yield "also", page.text(", ".join(view.names[1:]))
    if not view.there:
        yield "record", page.path(view.record).append_text(page.text((" is not there: the image is lost", "red")))
        return
    yield "state", page.text(view.state or "")
    yield "size", page.text(*_image_size(view))
    yield "containers", page.text(_containers(page, [container.name for container in view.containers]))
    yield "created", page.text(moment(view.created), f", {view.platform}" if view.platform else "")
    if view.parent is not None:
        yield "built on", page.text(page.whole(view.parent))
    yield "record", page.path(view.record)


def _image_size(view: ImageView) -> Iterator[Part]:
    yield amount(view.size), "bold"
    if view.unique is not None:
        yield f" = {amount(view.unique)} unique + {amount(view.shared)} shared with other images"
    else:
        yield ", all of it in the images built on this one"
    if view.layers_of_unknown_size:
        yield f"; without {counted(view.layers_of_unknown_size, 'layer')} of unknown size", "red"


def _containers(page: Page, names: Sequence[str]) -> str:
    return f"{len(names):,}: {page.some(names)}" if names else "none"


def layer_tree(page: Page, match: LayerMatch) -> Tree:
    """A layer, the layers that it lies on, and what is wrong with it."""
    tree = _layer_branch(page, match.layer, "layer", match.layer.images, "no image")
    if match.same_files:
        others = page.some([page.short(other) for other in match.same_files])
        tree.add(page.text("the same files on another parent, stored once more: ", others))
    if match.above:
        above = page.some([page.short(other) for other in match.above])
        tree.add(page.text(f"{counted(len(match.above), 'layer')} on top of it: ", above))
    if match.below:
        total = sum(layer.size or 0 for layer in (match.layer, *match.below))
        stack = tree.add(page.text(f"{counted(len(match.below), 'layer')} below it, with them {amount(total)}"))
        for layer in match.below:
            stack.add(page.text((amount(layer.size), "bold"), f"  {page.short(layer.chain_id)}  {_step(page, layer)}"))
    add_problems(page, tree, match.problems)
    return tree


def _layer_branch(page: Page, view: LayerView, what: str, sharers: Sequence[ImageName], nobody: str) -> Tree:
    title = page.text((f"{what} ", "dim"), (f" {amount(view.size)}  ", "bold"), _step(page, view))
    return branch(page, title, _layer_facts(page, view, sharers, nobody))


def _step(page: Page, view: LayerView) -> str:
    return page.cut("; ".join(view.created_by), _LONGEST_STEP)


def _layer_facts(page: Page, view: LayerView, sharers: Sequence[ImageName], nobody: str) -> Iterator[Fact]:
    yield "chain ID", page.text(page.whole(view.chain_id))
    if not view.there:
        yield "record", page.path(view.record).append_text(page.text((" is not there: the layer is lost", "red")))
        return
    recomputes = ("yes, from its parent and diff ID", "green")
    yield "recomputes", page.text(recomputes if view.chain_id_recomputes else ("NO: its record is damaged", "bold red"))
    base = view.diff_id is not None and str(view.diff_id) == view.chain_id
    yield "diff ID", page.text("the same, as on any base layer" if base else page.whole(view.diff_id or ""))
    if view.directory is None:
        yield "directory", page.text(("no record tells", "red"))
    else:
        yield from directory_facts(page, view.directory)
    yield "shared", page.text(f"with {_images(page, sharers)}" if sharers else f"with {nobody}")
    yield "containers", page.text(_containers(page, [container.name for container in view.containers]))


def _images(page: Page, images: Sequence[ImageName]) -> str:
    return f"{counted(len(images), 'image')}: {page.some([called(page, image) for image in images])}"


def directory_facts(page: Page, view: DirectoryView) -> Iterator[Fact]:
    """Where a storage directory is, and its short name."""
    path = page.path(view.path)
    yield "directory", path if view.there else path.append_text(page.text((" is not there", "red")))
    if view.there and not view.numbered:
        yield "short name", page.text(*_short_name(view))


def _short_name(view: DirectoryView) -> Iterator[Part]:
    if not view.short_name:
        yield ("there is no record of one" if view.short_name is None else "its record is empty"), "red"
        return
    yield f"l/{view.short_name}"
    if not view.short_name_leads_here:
        yield ", which does not lead back here", "red"
