"""What all output for people has in common: harmless text, amounts, moments, and a page as wide as it needs to be.

Names, labels and commands are an attacker's to choose. Nothing of theirs is ever markup, and no character that is not
printable reaches a terminal: not the escapes that rewrite its screen, not those that turn the direction of text.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from exporter.account.advice import STORELESS
from exporter.store.entries import short_id

UNKNOWN = "?"
"""What stands for a figure that nobody knows."""
AT_LEAST = "≥ "
"""Stands before a figure that is a lower bound."""
NAMELESS = "<none>"
"""What engines print where an image has no name."""
UNITS_NOTE = "Sizes are decimal (1kB = 1000B); ? is not known; --json has bytes."
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_WIDEST = 1 << 20
_ID_LENGTH = 64
"""Characters of a path's part that is an ID."""
_GUIDES = 4
"""Columns that a tree's guides take before a table."""
_LABELS = 20
"""Columns that guides and labels take at most before a path."""
_WIDE = 120
"""Columns in which a table may fold names rather than put details below them."""


def harmless(text: str, encoding: str = "utf-8") -> str:
    """*text* with an escape (``\\x1b``, ``\\u202e``, ``\\n``) for every character that is not printable or that
    *encoding* cannot write."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def amount(size: int | None) -> str:
    """Bytes with three digits and a decimal unit, as ``docker ps --size`` prints them: ``64.1kB``."""
    if size is None:
        return UNKNOWN
    value = float(size)
    for unit in _UNITS:
        # What rounds to 1000 belongs to the next unit.
        if value < 999.5 or unit == _UNITS[-1]:
            return f"{value:.3g}{unit}" if value < 999.5 else f"{value:.0f}{unit}"
        value /= 1000
    raise AssertionError("the last unit takes every value")


def number(count: int | None) -> str:
    """A count, its thousands apart."""
    return UNKNOWN if count is None else f"{count:,}"


def moment(seconds: float | None) -> str:
    """A time in UTC, to the second."""
    if seconds is None:
        return UNKNOWN
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return UNKNOWN


def counted(count: int, singular: str, plural: str = "") -> str:
    """``1 image``, ``2 images``."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


Part = str | tuple[str, str]
"""A piece of text, or a piece of text and its style."""


class Page:
    """A console to print on.

    On a terminal there are colours, short IDs, and lines folded at its edge; elsewhere everything is whole, one line a
    row.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self.terminal = console.is_terminal

    def text(self, *parts: Part) -> Text:
        """Text of *parts*, each with its style where it is a pair; made harmless."""
        line = Text(overflow="fold")
        for part in parts:
            content, style = (part, "") if isinstance(part, str) else part
            line.append(harmless(content, self._console.encoding), style)
        return line

    def short(self, identity: str) -> str:
        """An ID: 12 digits on a terminal, as engines print it; the whole elsewhere."""
        if not self.terminal:
            return identity
        # An init layer's directory is called as its upper layer's, but for the end.
        return short_id(identity) + ("-init" if identity.endswith("-init") else "")

    def whole(self, identity: str) -> str:
        """An ID in full; on a terminal, where a line is short, without its algorithm."""
        return identity.removeprefix("sha256:") if self.terminal else identity

    def cut(self, text: str, longest: int) -> str:
        """*text*; on a terminal no more than so many characters of it."""
        return text if not self.terminal or len(text) <= longest else text[: longest - 3] + "..."

    def path(self, path: str) -> Text:
        """A path; on a narrow terminal with an ID in it on a line of its own, so that it stays whole."""
        if not self.terminal or _LABELS + len(path) <= self._console.width:
            return self.text(path)
        lines = [""]
        for part in re.findall("[^/]+/?|/", path):
            if len(part) >= _ID_LENGTH or len(lines[-1]) >= _ID_LENGTH:
                lines.append("")
            lines[-1] += part
        return Text("\n").join(self.text(line) for line in lines if line)

    def some(self, names: Sequence[str], most: int = 3) -> str:
        """Names in a row; on a terminal a few of them and how many more there are."""
        kept = names[:most] if self.terminal else names
        rest = len(names) - len(kept)
        return ", ".join(kept) + (f" and {rest:,} more" if rest else "")

    def fits(self, table: Table) -> bool:
        """Whether a table can be shown as it is: nothing in it must be folded, or the page is wide enough for that."""
        if not self.terminal or self._console.width >= _WIDE:
            return True
        room = self._console.options.update(width=_WIDEST)
        return Measurement.get(self._console, room, table).maximum + _GUIDES <= self._console.width

    def storeless(self, roots: Iterable[str]) -> Iterator[Text]:
        """A sentence for each root that has no store."""
        for root in roots:
            yield self.text(("No store is below ", "yellow"), root, f": {STORELESS}.")

    def pairs(self, rows: Iterable[tuple[str, Text]]) -> Table:
        """Facts, each with its label before it."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(overflow="fold")
        grid.add_column(overflow="fold")
        for label, value in rows:
            grid.add_row(self.text((label, "dim")), value)
        return grid

    def print(self, *renderables: RenderableType) -> None:
        """Print below what is there."""
        for renderable in renderables:
            self._console.print(
                renderable if self.terminal else Whole(renderable), crop=False, highlight=False, markup=False
            )


class Whole:
    """A renderable as wide as it likes to be, without trailing blanks: nothing of it is folded or cut off."""

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.update(width=_WIDEST)
        width = max(1, Measurement.get(console, room, self._renderable).maximum)
        lines = console.render_lines(self._renderable, options.update(width=width), style=Style.null(), pad=False)
        for line in lines:
            yield Segment("".join(segment.text for segment in line if not segment.control).rstrip())
            yield Segment.line()
