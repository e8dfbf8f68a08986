"""A container as a tree: from its image down to what it wrote, and what else belongs to it."""

from collections.abc import Iterator

from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from exporter.account.inspect.views import ContainerView, InitView, LogView, LowerStep, Supply, UpperView
from exporter.export.text.layertree import Fact, add_problems, branch, called, directory_facts
from exporter.export.text.listing import Column, Role, listing
from exporter.export.text.page import Page, Part, amount, counted, moment, number
from exporter.store.entries import MountPoint

_LONGEST_STEP = 80
"""Characters of a build step that a terminal shows in the lower chain."""
_UNTOLD = "no record that is read here tells"
"""What is said of what only Docker's records would tell."""


def container_tree(page: Page, view: ContainerView) -> Tree:
    """A container with its upper layer, init layer, lower chain, log and mount points."""
    title = page.text(("container ", "dim"), (view.name or "(no name)", "bold"))
    tree = branch(page, title, _facts(page, view))
    tree.add(_upper(page, view))
    if view.init is not None:
        tree.add(_init(page, view, view.init))
    if view.lower:
        heading = page.text((f"lower chain of {counted(len(view.lower), 'layer')}, nearest first", "bold"))
        tree.add(Group(heading, _lower_chain(page, view)))
    tree.add(_log(page, view, view.log))
    tree.add(_mount_points(page, view))
    add_problems(page, tree, view.problems)
    return tree


def _facts(page: Page, view: ContainerView) -> Iterator[Fact]:
    yield "ID", page.text(page.whole(view.container_id))
    yield "state", page.text(*_state(view))
    yield "image", page.text(view.image_reference)
    if view.image is not None:
        yield "image ID", page.text(page.whole(view.image.image_id))
        if not view.image_there:
            yield "", page.text(("is not there any more", "yellow"))
        elif called(page, view.image) != view.image_reference and view.image.names:
            yield "", page.text("now called ", page.some(view.image.names))
    yield "created", page.text(moment(view.created))
    owner = _owner(view)
    if owner:
        yield "belongs to", page.text(owner)
    yield "merged", _merged(page, view)
    yield "records", page.path(view.record)
    if view.config is not None and view.host_config is not None:
        yield "config", page.text(_own(page, view, view.config))
        yield "host config", page.text(_own(page, view, view.host_config))
    yield "mount record", page.path(view.mount_record)


def _own(page: Page, view: ContainerView, path: str) -> str:
    """A path in the container's directory; on a terminal, which has told that directory, without it."""
    return path.removeprefix(f"{view.record}/") if page.terminal else path


def _state(view: ContainerView) -> Iterator[Part]:
    yield ("not known", "red") if view.state is None else view.state.value
    if view.pid is not None:
        yield f", process {view.pid}"
    if view.removing:
        yield ", being removed", "yellow"


def _owner(view: ContainerView) -> str:
    work = view.workload
    named = (
        ("Compose project", work.compose_project),
        ("service", work.compose_service),
        ("Kubernetes namespace", work.namespace),
        ("pod", work.pod),
        ("container", work.container),
    )
    return ", ".join(f"{what} {name}" for what, name in named if name)


def _merged(page: Page, view: ContainerView) -> Text:
    if view.upper is None:
        return page.text("no record tells")
    if not view.mounted:
        return page.text("not mounted")
    if view.merged is None:
        return page.text(("mounted", "green"))
    return page.path(view.merged).append_text(page.text((" (mounted)", "green")))


def _upper(page: Page, view: ContainerView) -> Tree:
    title = page.text(("upper layer", "bold"), ": what the container wrote")
    if view.upper is None:
        return branch(page, title, [("directory", page.text(("no record tells", "red")))])
    return branch(page, title, _upper_facts(page, view, view.upper))


def _upper_facts(page: Page, view: ContainerView, upper: UpperView) -> Iterator[Fact]:
    if upper.usage is None:
        yield "size", page.text("not measured")
    else:
        theirs = " (docker's SizeRw)" if view.is_dockers else " (ctr's snapshots usage)"
        # Of what is in containerd both tell what it takes on the disk.
        of_size, of_disk = ("", theirs) if upper.directory.numbered else (theirs, "")
        yield "size", page.text((amount(upper.usage.size), "bold"), of_size)
        yield "allocated", page.text((amount(upper.usage.allocated), "bold"), f" of disk{of_disk}")
        yield "inodes", page.text(number(upper.usage.inodes))
        yield "measured", page.text(moment(upper.measured_at))
        if not upper.exact:
            lacks = "something could not be read, was moved away, or grew faster than it was walked: there is more"
            yield "", page.text((lacks, "yellow"))
    for grower in upper.growers:
        yield "grew", page.text((f"+{amount(grower.grown)}", "bold"), f" {grower.place}")
    unlimited = "none is set" if view.is_dockers else _UNTOLD
    yield "limit", page.text(unlimited if view.upper_limit is None else amount(view.upper_limit))
    yield from directory_facts(page, upper.directory)


def _init(page: Page, view: ContainerView, init: InitView) -> Tree:
    title = page.text(("init layer", "bold"), ": what the engine lays below it")
    tree = branch(page, title, directory_facts(page, init.directory))
    if init.supplies is None:
        tree.add(page.text("its files were not looked at"))
    elif init.supplies:
        rows = [(supply.path, _supply(page, view, supply)) for supply in init.supplies]
        tree.add(Group(page.text("it supplies"), page.pairs(rows)))
    return tree


def _supply(page: Page, view: ContainerView, supply: Supply) -> Text:
    if supply.source is not None:
        return page.text(f"mounted over by {_own(page, view, supply.source)} ({amount(supply.source_size)})")
    target = f" to {supply.target}" if supply.target is not None else ""
    return page.text(f"{supply.kind.value}{target}")


def _lower_chain(page: Page, view: ContainerView) -> Table:
    columns = (
        Column("short name", Role.NAME),
        Column("layer", Role.NAME),
        Column("diff ID", Role.EXTRA),
        Column("cache-id", Role.EXTRA),
        Column("made by", Role.EXTRA),
        Column("size", Role.FIGURE),
    )
    return listing(page, columns, [_lower_cells(page, step) for step in view.lower])


def _lower_cells(page: Page, step: LowerStep) -> tuple[Part, ...]:
    numbered = step.directory is not None and step.directory.numbered
    name, layer = step.short_name if numbered else f"l/{step.short_name}", step.layer
    directory = ("leads nowhere", "red") if step.directory is None else page.short(step.directory.name)
    if layer is None:
        what: Part = "init layer" if step.init else ("no record names it", "yellow")
        if numbered and not step.init:
            what = "an init layer of a build's step"
        return name, what, "", directory, "", "" if step.init else amount(None)
    made_by = page.cut("; ".join(layer.created_by), _LONGEST_STEP)
    return name, page.short(layer.chain_id), page.short(layer.diff_id or ""), directory, made_by, amount(layer.size)


def _log(page: Page, view: ContainerView, log: LogView) -> Tree:
    if not view.is_dockers:
        where = "; a pod's is below /var/log/pods" if view.workload.pod else ""
        return branch(page, page.text(("log", "bold"), f": {_UNTOLD}{where}"), [])
    driver = log.driver or "driver not known"
    title = page.text(("log", "bold"), f": {driver}, {amount(log.allocated)} of disk")
    tree = branch(page, title, [])
    if log.files is None:
        tree.add(page.text("its files were not looked at"))
    for file in log.files or ():
        path = _own(page, view, f"{view.record}/{file.path}")
        tree.add(page.text((amount(file.allocated), "bold"), f"  {path}"))
    if log.files == ():
        tree.add(page.text("there is no log file on this host"))
    return tree


def _mount_points(page: Page, view: ContainerView) -> Tree:
    title = page.text(("mount points", "bold"), ": what is written there is not in the upper layer")
    rows = [(point.destination, _mount_point(page, point)) for point in view.mount_points]
    if rows:
        return branch(page, title, rows)
    return branch(page, page.text(("mount points", "bold"), ": none" if view.is_dockers else f": {_UNTOLD}"), [])


def _mount_point(page: Page, point: MountPoint) -> Text:
    name = f" {point.name}" if point.name else ""
    source = f" from {point.source}" if point.source else ""
    return page.text(f"{point.kind}{name}{source}{'' if point.writable else ', read only'}")
