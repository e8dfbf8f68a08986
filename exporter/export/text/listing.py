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
    below = [] if page.wide else [place for place in used if columns[place].role is Role.DETAIL]
    hidden = set() if page.wide else {place for place in used if columns[place].role in {Role.DETAIL, Role.EXTRA}}
    shown = [place for place in used if place not in hidden]
    table = Table(
        box=SIMPLE_HEAD if page.terminal else None,
        show_edge=False,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="bold",
    )
    for place in shown:
        figure = columns[place].role is Role.FIGURE
        heading = Text(columns[place].heading)
        table.add_column(heading, justify="right" if figure else "left", no_wrap=figure, overflow="fold")
    for row in rows:
        cells = [page.text(row[place]) for place in shown]
        details = [page.text((content, "dim")) for place in below if (content := _content(row[place]))]
        if details:
            cells[0].append("\n").append(Text(joint, "dim").join(details))
        table.add_row(*cells)
    return table


def _content(cell: Part) -> str:
    return cell if isinstance(cell, str) else cell[0]
