"""A table that fits: a column for everything where there is room, else a row's details in a line below its name."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from exporter.export.text.page import Page, Part


class Role(enum.Enum):
    """What a column is in its table."""

    NAME = enum.auto()
    """What the row is about: the first, and others that are always columns of their own."""
    DETAIL = enum.auto()
    """Goes below the name where there is little room."""
    EXTRA = enum.auto()
    """Is left out where there is little room."""
    FIGURE = enum.auto()
    """To the right, and never folded."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; one in which no row has anything is left out."""

    heading: str
    role: Role = Role.DETAIL


def listing(page: Page, columns: Sequence[Column], rows: Sequence[Sequence[Part]], *, joint: str = ", ") -> Table:
    """A table of *rows*, each with a cell for every column. *joint* stands between details below a name."""
    used = [place for place, _ in enumerate(columns) if any(_content(row[place]) for row in rows)]
    spread = _table(page, [columns[place] for place in used], [_cells(page, row, used, [], joint) for row in rows])
    if page.fits(spread):
        return spread
    shown = [place for place in used if columns[place].role in {Role.NAME, Role.FIGURE}]
    below = [place for place in used if columns[place].role is Role.DETAIL]
    return _table(page, [columns[place] for place in shown], [_cells(page, row, shown, below, joint) for row in rows])


def _cells(page: Page, row: Sequence[Part], shown: Sequence[int], below: Sequence[int], joint: str) -> list[Text]:
    cells = [page.text(row[place]) for place in shown]
    details = [page.text((content, "dim")) for place in below if (content := _content(row[place]))]
    if details:
        cells[0].append("\n").append(Text(joint, "dim").join(details))
    return cells


def _table(page: Page, columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> Table:
    table = Table(
        box=SIMPLE_HEAD if page.terminal else None,
        show_edge=False,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="bold",
    )
    for column in columns:
        figure = column.role is Role.FIGURE
        table.add_column(Text(column.heading), justify="right" if figure else "left", no_wrap=figure, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _content(cell: Part) -> str:
    return cell if isinstance(cell, str) else cell[0]
