"""``report``: the host at a glance as tables, largest first."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, RenderableType

from exporter.account.report import Report
from exporter.export.text.disk import disk_tables
from exporter.export.text.listing import Column, Role, listing
from exporter.export.text.page import AT_LEAST, NAMELESS, UNITS_NOTE, Page, Part, amount, counted, moment, number
from exporter.export.text.rows import ContainerRow, Glance, ImageRow, LayerRow, StoreRow, glance


def print_report(report: Report, console: Console, *, top: int = 10) -> None:
    """Print *report*: the stores, at most *top* rows of each table, the problems, and the totals."""
    page, rows = Page(console), glance(report)
    for part in (_stores, _disk, _uppers, _growth, _layers, _images, _problems):
        printed = [*part(page, rows, top)]
        if printed:
            page.print(*printed, page.text())
    page.print(*_totals(page, rows))


def _title(page: Page, title: str, shown: int, count: int, what: str) -> RenderableType:
    extent = f"{shown} of {counted(count, what)}" if shown < count else counted(count, what)
    return page.text((title, "bold"), (f"  {extent}", "dim"))


def _stores(page: Page, rows: Glance, _top: int) -> Iterator[RenderableType]:
    yield page.text(("Container layer storage", "bold"), f" at {moment(rows.taken_at)}")
    if not rows.stores:
        yield page.text(("No store was found: no engine has kept layers here.", "yellow"))
    else:
        yield page.pairs((row.store, page.text(*_store_facts(row))) for row in rows.stores)
    yield from page.storeless(rows.storeless)


def _store_facts(row: StoreRow) -> Iterator[Part]:
    yield f"{row.engine}, driver {row.driver}, root {row.root}, "
    yield "in use" if row.active else ("left behind by a switch of drivers", "yellow")
    if not row.measurable:
        yield ", this driver cannot be measured", "yellow"


def _disk(page: Page, rows: Glance, _top: int) -> Iterator[RenderableType]:
    measured = [row for row in rows.disk if row.allocated is not None or any(owned.allocated for owned in row.owners)]
    for place, row in enumerate(measured):
        if place:
            yield page.text()
        yield from disk_tables(page, row)


def _store_name(rows: Glance, store: str | None) -> str:
    """The name of a row's store, where there is more than one."""
    return store or "" if len(rows.stores) > 1 else ""


def _uppers(page: Page, rows: Glance, top: int) -> Iterator[RenderableType]:
    shown = rows.containers[:top]
    yield _title(page, "Largest upper layers: what containers wrote", len(shown), len(rows.containers), "container")
    columns = (
        Column("container", Role.NAME),
        Column("ID", Role.EXTRA),
        Column("image"),
        Column("state"),
        Column("store"),
        *(Column(figure, Role.FIGURE) for figure in ("size", "allocated", "inodes", "limit", "log")),
    )
    if shown:
        yield listing(page, columns, [(*_who(page, rows, row), *_upper_figures(row)) for row in shown])


def _growth(page: Page, rows: Glance, top: int) -> Iterator[RenderableType]:
    """What grew while the report waited; nothing where it did not."""
    growers = [(row, grower) for row in rows.containers for grower in row.growers]
    if not growers:
        return
    growers.sort(key=lambda found: -found[1].grown)
    shown = growers[:top]
    yield _title(page, "What grew between two measurements", len(shown), len(growers), "place")
    columns = (Column("container", Role.NAME), Column("file, or directory/"), Column("grew by", Role.FIGURE))
    yield listing(
        page,
        columns,
        [(row.name or page.short(row.container_id), grower.place, f"+{amount(grower.grown)}") for row, grower in shown],
    )


def _who(page: Page, rows: Glance, row: ContainerRow) -> tuple[str, ...]:
    state = "state not known" if row.state is None else row.state.value
    name = row.name or page.short(row.container_id)
    return name, page.short(row.container_id), _image_of(page, row), state, _store_name(rows, row.store)


def _image_of(page: Page, row: ContainerRow) -> str:
    """What the user asked for; where that is an ID, as long as IDs are here."""
    reference = row.image
    return page.short(reference) if row.image_id is not None and reference == row.image_id else reference


def _upper_figures(row: ContainerRow) -> tuple[Part, ...]:
    limit = "" if row.upper_limit is None else amount(row.upper_limit)
    least = AT_LEAST if row.upper_exact is False else ""
    allocated = (least + amount(row.upper_allocated), "bold")
    figures = least + amount(row.upper_size), allocated, least + number(row.upper_inodes)
    return *figures, limit, amount(row.log_allocated)


def _layers(page: Page, rows: Glance, top: int) -> Iterator[RenderableType]:
    shown = rows.layers[:top]
    yield _title(page, "Largest layers, and who shares them", len(shown), len(rows.layers), "layer")
    columns = (
        Column("layer", Role.NAME),
        *(Column(figure, Role.FIGURE) for figure in ("size", "images", "containers")),
        Column("store"),
        Column("image names"),
    )
    if shown:
        yield listing(page, columns, [_layer_cells(page, rows, row) for row in shown])


def _layer_cells(page: Page, rows: Glance, row: LayerRow) -> tuple[Part, ...]:
    names = [_called(page, image.names) for image in row.images]
    shared = page.some(names) if names else ("in no image", "yellow")
    figures = ((amount(row.size), "bold"), number(len(row.images)), number(row.containers))
    return page.short(row.chain_id), *figures, _store_name(rows, row.store), shared


def _called(page: Page, names: Sequence[str]) -> str:
    """An image by one name: a tag if it has any."""
    return _digest_cut(page, names[0]) if names else NAMELESS


def _digest_cut(page: Page, name: str) -> str:
    repository, at, digest = name.partition("@")
    return f"{repository}@{page.short(digest)}" if at else name


def _images(page: Page, rows: Glance, top: int) -> Iterator[RenderableType]:
    heads = [row for row in rows.images if row.unique is not None]
    shown = heads[:top]
    yield _title(page, "Images, those with most bytes of their own first", len(shown), len(heads), "image")
    columns = (
        Column("image", Role.NAME),
        Column("ID"),
        Column("state"),
        Column("store"),
        *(Column(figure, Role.FIGURE) for figure in ("size", "unique", "shared", "containers")),
    )
    if shown:
        yield listing(page, columns, [_image_cells(page, rows, row) for row in shown])


def _image_cells(page: Page, rows: Glance, row: ImageRow) -> tuple[Part, ...]:
    tags = [name for name in row.names if "@" not in name]
    name = page.some([_digest_cut(page, name) for name in tags or row.names]) or NAMELESS
    who = (name, page.short(row.image_id), row.state, _store_name(rows, row.store))
    return *who, amount(row.size), (amount(row.unique), "bold"), amount(row.shared), number(row.containers)


def _problems(page: Page, rows: Glance, top: int) -> Iterator[RenderableType]:
    shown = rows.problems[:top]
    yield _title(page, "Problems with the engine's records", len(shown), len(rows.problems), "problem")
    if shown:
        yield listing(
            page,
            (Column("problem", Role.NAME), Column("store"), Column("record"), Column("reason")),
            [((row.kind.value, "red"), _store_name(rows, row.store), row.path, row.reason) for row in shown],
            joint="\n",
        )


def _totals(page: Page, rows: Glance) -> Iterator[RenderableType]:
    for row in rows.stores:
        yield page.text((f"Total of {row.store}: ", "bold"), "; ".join(_total(row)) + ".")
    yield page.text((UNITS_NOTE, "dim"))


def _total(row: StoreRow) -> Iterator[str]:
    layers = row.layers.values()
    stored = amount(sum(total.size for total in layers))
    yield f"{counted(sum(row.images.values()), 'image')}{_shares(row.images)}"
    yield f"{counted(sum(total.layers for total in layers), 'layer')} of {stored}, each counted once"
    containers = row.container_count
    yield f"{counted(containers, 'container')}{_shares(row.containers)}"
    if containers:
        measured = "" if row.uppers.measured == containers else f" ({row.uppers.measured} of {containers} measured)"
        size, allocated = amount(row.uppers.size), amount(row.uppers.allocated)
        yield f"upper layers{measured} {size} of size, {allocated} allocated"
        yield f"logs {amount(row.log_allocated)}"


def _shares(counts: Mapping[str, int]) -> str:
    """The states that there are, in brackets."""
    parts = [f"{number(count)} {state}" for state, count in counts.items() if count]
    return f" ({', '.join(parts)})" if parts else ""
