"""What upper layers have grown by, and what was freed."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from exporter.account.growth import Growth

BYTES = st.integers(min_value=0, max_value=1 << 63)
FIGURES = st.lists(st.tuples(BYTES, st.booleans()), min_size=1)

Figure = tuple[int, bool]
"""Bytes, and whether they are all."""


def after(*allocated: int) -> Growth:
    return after_bounds(*((figure, True) for figure in allocated))


def after_bounds(*figures: Figure) -> Growth:
    (first, exact), *others = figures
    growth = Growth.first(first, exact=exact)
    for allocated, whole in others:
        growth = growth.measured(allocated, exact=whole)
    return growth


def counted(*figures: Figure) -> tuple[int, int]:
    growth = after_bounds(*figures)
    return growth.grown, growth.freed


def test_what_is_measured_for_the_first_time_has_not_grown() -> None:
    """It was there before the exporter."""
    assert after(4096) == Growth(allocated=4096, grown=0, freed=0)


def test_rises_and_falls_are_summed_apart() -> None:
    """A layer that is written and cleaned in turn grows, although it stays as large as it was."""
    assert after(10, 30, 10, 30, 10) == Growth(allocated=10, grown=40, freed=40)


@given(st.lists(BYTES, min_size=1))
def test_grown_less_freed_is_the_change_since_first_sight(figures: list[int]) -> None:
    """Whatever is measured, and in whatever order."""
    growth = after(*figures)
    assert growth.grown - growth.freed == figures[-1] - figures[0]


@given(FIGURES)
def test_counters_never_fall(figures: list[Figure]) -> None:
    """As Prometheus expects of a counter."""
    growths = [after_bounds(*figures[: count + 1]) for count in range(len(figures))]
    assert all(one.grown <= other.grown and one.freed <= other.freed for one, other in pairwise(growths))


def test_a_look_that_missed_much_is_no_fall_and_the_next_no_growth() -> None:
    """A container can keep a walk from most of its layer, and leave it alone the next time."""
    assert counted((1000, True), (10, False), (1000, True)) == (0, 0)
    assert counted((1000, True), (10, False), (500, False), (20, False), (1030, True)) == (490 + 20, 480)


def test_what_was_missed_at_first_sight_has_not_grown() -> None:
    """Growth counts from the first whole figure on."""
    assert counted((10, False), (1000, True), (1030, True)) == (30, 0)


def test_a_layer_of_which_something_is_never_read_grows_all_the_same() -> None:
    """A directory that no right helps to read is missing from every figure."""
    assert counted((100, False), (150, False), (120, False), (200, False)) == (50 + 80, 30)


def test_more_than_was_known_is_growth_even_if_it_is_not_all() -> None:
    """A tree that grows faster than it is walked."""
    assert counted((100, True), (5000, False), (9000, False)) == (8900, 0)


@given(FIGURES)
def test_whole_figures_tell_the_change_whatever_was_missed_between(figures: list[Figure]) -> None:
    """From the first of them to the last: what lower bounds seemed to tell is evened out."""
    whole = [position for position, (_, exact) in enumerate(figures) if exact]
    if whole:
        first, last = (after_bounds(*figures[: position + 1]) for position in (whole[0], whole[-1]))
        change = figures[whole[-1]][0] - figures[whole[0]][0]
        assert (last.grown - first.grown) - (last.freed - first.freed) == change


@given(FIGURES)
def test_there_is_never_less_than_a_lower_bound(figures: list[Figure]) -> None:
    """What is known of a layer is at least what was found last."""
    assert after_bounds(*figures).allocated >= figures[-1][0]
