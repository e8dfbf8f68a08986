"""``check``: what is damaged in the engine's records, each kind with what it means and what to do."""

from collections import defaultdict
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.tree import Tree

from exporter.account.advice import ADVICE
from exporter.export.text.page import Page, counted, moment
from exporter.export.text.rows import ProblemRow, problem_rows
from exporter.store.catalog import Catalog


def print_check(catalog: Catalog, console: Console) -> None:
    """Print all problems of *catalog*, those of one kind together, or that there is none."""
    page, rows = Page(console), problem_rows(catalog)
    looked = ", ".join(store.name for store in catalog.stores)
    title = page.text(("Integrity of ", "bold"), looked or "no store", f" at {moment(catalog.taken_at)}")
    if not rows:
        found = page.text(("No problem found", "bold green"), f" in {_extent(catalog)}.")
    else:
        found = page.text((f"{counted(len(rows), 'problem')} found", "bold red"), f" in {_extent(catalog)}.")
    page.print(title, found, *page.storeless(catalog.storeless))
    kinds: dict[str, list[ProblemRow]] = defaultdict(list)
    for row in rows:
        kinds[row.kind].append(row)
    for kind in sorted(kinds):
        page.print(page.text(), *_kind(page, kinds[kind], several=len(catalog.stores) > 1))


def _extent(catalog: Catalog) -> str:
    counts = (
        counted(sum(len(store.layers) for store in catalog.stores), "layer"),
        counted(sum(len(store.images) for store in catalog.stores), "image"),
        counted(sum(len(store.containers) for store in catalog.stores), "container"),
        counted(sum(len(store.directories) for store in catalog.stores), "storage directory", "storage directories"),
    )
    return ", ".join(counts)


def _kind(page: Page, rows: list[ProblemRow], *, several: bool) -> Iterator[RenderableType]:
    advice = ADVICE[rows[0].kind]
    tree = Tree(page.text((rows[0].kind.value, "bold red"), (f"  {len(rows)}", "dim")), guide_style="dim")
    facts = (("means", page.text(advice.meaning)), ("to do", page.text(advice.next_step)))
    tree.add(page.pairs(facts))
    for row in rows:
        where = f" (store {row.store})" if several and row.store is not None else ""
        tree.add(page.path(row.path).append("\n").append_text(page.text((f"{row.reason}{where}", "dim"))))
    yield tree
