"""What upper layers have grown by, and what was freed."""

from collections.abc import Mapping
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from exporter.account.growth import Growth, measured, only

BYTES = st.integers(min_value=0, max_value=1 << 63)


def after(*allocated: int) -> Growth:
    growths: Mapping[str, Growth] = {}
    for figure in allocated:
        growths = measured(growths, "web", figure)
    return growths["web"]


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


@given(st.lists(BYTES, min_size=1))
def test_counters_never_fall(figures: list[int]) -> None:
    """As Prometheus expects of a counter."""
    growths = [after(*figures[: count + 1]) for count in range(len(figures))]
    assert all(one.grown <= other.grown and one.freed <= other.freed for one, other in pairwise(growths))


def test_a_container_that_is_gone_is_forgotten() -> None:
    """One that comes back under the same ID begins anew."""
    growths = measured(measured({}, "web", 10), "db", 10)
    growths = only(measured(growths, "web", 30), ["db"])
    assert growths == {"db": Growth(allocated=10)}
    assert measured(growths, "web", 50)["web"] == Growth(allocated=50)


def test_a_container_that_is_restarted_goes_on() -> None:
    """Its upper layer stays, and so do its counters."""
    growths = only(measured(measured({}, "web", 10), "web", 30), ["web"])
    assert measured(growths, "web", 35)["web"] == Growth(allocated=35, grown=25, freed=0)
