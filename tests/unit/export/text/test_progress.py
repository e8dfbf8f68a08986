"""The progress bar: for terminals only, and gone when it is done."""

import pytest
from rich.console import Console

from exporter.export.text.progress import progress_bar
from tests.unit.export.text.screens import pipe, terminal


def measure(*names: str) -> "list[tuple[int, int, str]]":
    """What a survey tells: before each measurement how many are done, and at the end that all are."""
    return [(done, len(names), name) for done, name in enumerate([*names, ""])]


def show(console: Console, *names: str) -> None:
    with progress_bar(console) as tell:
        for done, total, name in measure(*names):
            tell(done, total, name)


def test_nothing_is_printed_where_there_is_no_terminal() -> None:
    """Standard error in a file stays as it is."""
    assert pipe(lambda console: show(console, "web")) == ""


def test_a_terminal_sees_how_far_it_is() -> None:
    """How many are done of how many."""
    assert "2/2" in terminal(lambda console: show(console, "web", "db"))


def test_nothing_to_measure() -> None:
    """A host without containers has a bar for no time."""
    assert "0/0" in terminal(show)


def test_the_bar_is_gone_afterwards() -> None:
    """Its line is erased and the cursor is shown again, so that what is printed next begins on a clean line."""
    output = terminal(lambda console: show(console, "web"))
    assert output.rindex("\x1b[?25h") > output.rindex("1/1")
    assert "\x1b[2K" in output[output.rindex("1/1") :]


def test_an_error_ends_the_bar() -> None:
    """Nothing is left behind where measuring is given up."""

    def interrupted(console: Console) -> None:
        with pytest.raises(KeyboardInterrupt), progress_bar(console) as tell:
            tell(0, 1, "web")
            raise KeyboardInterrupt

    assert "\x1b[?25h" in terminal(interrupted)


def test_names_on_the_bar_are_harmless() -> None:
    """Neither markup nor an escape of a container's name reaches the terminal."""

    def hostile(console: Console) -> None:
        with progress_bar(console) as tell:
            tell(0, 1, "[red]\x1b]0;owned\x07" + "x" * 500)

    output = terminal(hostile, width=200)
    assert "\x1b]0;" not in output
    assert "\x07" not in output
    assert "[red]" in output
    assert "x" * 41 not in output
