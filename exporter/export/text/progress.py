"""A progress bar for whoever waits while upper layers are measured."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from exporter.export.text.page import harmless

_LONGEST_NAME = 40


@contextmanager
def progress_bar(console: Console) -> Iterator[Callable[[int, int, str], None]]:
    """What to call with the number of measurements done, the number of all, and what is measured now.

    The bar stands on *console* (standard error) while the context lasts, and is gone after it; where that is no
    terminal nothing is printed.
    """
    if not console.is_terminal:
        yield lambda _done, _total, _name: None
        return
    columns = (
        TextColumn("measuring"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        # What a container is called is never markup.
        TextColumn("{task.fields[what]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, what="")

        def tell(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, what=harmless(name, console.encoding)[:_LONGEST_NAME])

        yield tell
