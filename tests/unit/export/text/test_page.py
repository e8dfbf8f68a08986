"""Harmless text, amounts, moments, and pages as wide as they need to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from exporter.export.text.page import Page, amount, harmless, moment
from tests.unit.export.text.screens import pipe, terminal


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (64_100, "64.1kB"),
        (999_499, "999kB"),
        (999_500, "1MB"),
        (1_234_567, "1.23MB"),
        (1_000_000_000, "1GB"),
        (5_368_709_120, "5.37GB"),
        (1 << 60, "1.15EB"),
        (10**22, "10000EB"),
        (None, "?"),
    ],
)
def test_amounts_are_printed_as_docker_prints_them(size: int | None, expected: str) -> None:
    """Three digits and a decimal unit, so that figures can be set beside those of ``docker ps --size``."""
    assert expected == amount(size)


@given(st.integers(min_value=0, max_value=10**21))
def test_an_amount_is_near_the_truth(size: int) -> None:
    """What is printed is within half a percent of what is so, and no longer than six characters."""
    text = amount(size)
    unit = text.lstrip("0123456789.")
    value = float(text.removesuffix(unit)) * 1000 ** ("B", "kB", "MB", "GB", "TB", "PB", "EB").index(unit)
    assert abs(value - size) <= 0.005 * size
    assert len(text) <= 6


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, "1970-01-01T00:00:00Z"), (1_767_225_600.9, "2026-01-01T00:00:00Z"), (None, "?"), (1e30, "?")],
)
def test_moments_are_utc(seconds: float | None, expected: str) -> None:
    """To the second; what no calendar holds is not known."""
    assert expected == moment(seconds)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shop/api:2.4.0", "shop/api:2.4.0"),
        ("Überweisung 支付", "Überweisung 支付"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x9b31m", r"\x9b31m"),
        ("gnp\u202egpj.exe", r"gnp\u202egpj.exe"),
        ("\ud800", r"\ud800"),
        ("\u2028", r"\u2028"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_text_is_made_harmless(text: str, expected: str) -> None:
    """Characters that steer a terminal or turn the direction of text are shown as escapes; all others stay."""
    assert expected == harmless(text)


def test_what_an_encoding_cannot_write_is_shown_as_an_escape() -> None:
    """A terminal without UTF-8 still tells names apart."""
    assert harmless("支付 \x1b é", "latin-1") == r"\u652f\u4ed8 \x1b é"


@given(st.text(), st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252"]))
def test_harmless_text_can_be_printed_anywhere(text: str, encoding: str) -> None:
    """It is printable, one line, and fits the encoding."""
    result = harmless(text, encoding)
    assert result.isprintable()
    assert result == result.encode(encoding).decode(encoding)


def test_text_is_never_markup() -> None:
    """Nor emoji code, nor a style: a container may be called as it likes."""
    name = "[red]x[/red][link=https://example.org]y :bomb: [/nothing]"
    assert name in pipe(lambda console: Page(console).print(Page(console).text(name)))


def test_a_terminal_keeps_ids_on_lines_of_their_own() -> None:
    """A path that does not fit is broken before and after its ID, so that the ID can be copied."""
    identity = "ab" * 32
    path = f"/var/lib/docker/overlay2/{identity}/merged"
    lines = terminal(lambda console: Page(console).print(Page(console).path(path))).split()
    assert lines == ["/var/lib/docker/overlay2/", f"{identity}/", "merged"]


@pytest.mark.parametrize("path", ["", "/", "/a/b", "//a//", "relative/" + "x" * 70])
def test_a_pipe_gets_paths_in_one_piece(path: str) -> None:
    """Whatever their length, and with nothing lost."""
    assert pipe(lambda console: Page(console).print(Page(console).path(path))) == f"{path}\n"
    assert Page(Console(width=20, force_terminal=True)).path(path).plain.replace("\n", "") == path


def test_a_pipe_gets_every_name_and_a_terminal_some() -> None:
    """On a terminal as many as can be read, and how many more there are."""
    names = ["a", "b", "c", "d", "e"]
    assert Page(Console(force_terminal=True)).some(names) == "a, b, c and 2 more"
    assert Page(Console(force_terminal=False)).some(names) == "a, b, c, d, e"
