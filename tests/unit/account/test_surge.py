"""Which growth is worth a line in the log."""

import tracemalloc
from collections.abc import Iterable

import pytest

from exporter.account.surge import Surge, Surges
from exporter.measure.growers import Grower

EACH = 13.5
"""Seconds from one look to the next, as at the default interval."""


def looked(surges: Surges[str], grown: int, *, at: float, key: str = "web") -> Surge | None:
    """What a look tells that takes no time."""
    return surges.measured(key, grown, began=at, at=at)


def told(surges: Surges[str], looks: Iterable[tuple[float, int]]) -> list[tuple[float, Surge]]:
    """What looks tell that took place at these times and found this growth in all, and when."""
    found = [(at, looked(surges, grown, at=at)) for at, grown in looks]
    return [(at, surge) for at, surge in found if surge is not None]


def test_growth_above_the_threshold_is_told() -> None:
    """More than the threshold within the window."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    assert looked(surges, 0, at=0) is None
    assert looked(surges, 101, at=15) == Surge(grown=101, seconds=15)


def test_what_is_measured_first_has_not_grown() -> None:
    """An exporter that starts on a large layer is not alarmed by it."""
    assert looked(Surges(threshold=100), 10_000, at=0) is None


def test_growth_up_to_the_threshold_is_not_told() -> None:
    """The threshold itself is still allowed."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    looked(surges, 0, at=0)
    assert looked(surges, 100, at=15) is None


def test_a_surge_is_told_of_once_a_window() -> None:
    """A container that writes on and on gives one line a minute, not one a measurement."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    assert [at for at, _ in told(surges, ((step * 15, step * 200) for step in range(10)))] == [15, 75, 135]


def test_slow_growth_never_adds_up_to_a_surge() -> None:
    """What is older than the window no longer counts."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    assert not told(surges, ((step * 15, step * 20) for step in range(50)))


def test_a_layer_that_is_measured_rarely_is_judged_by_its_rate() -> None:
    """Where the budget allows a pass every ten minutes only, ten minutes' growth is not taken for one minute's."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    looked(surges, 0, at=0, key="slow")
    looked(surges, 0, at=0, key="fast")
    assert looked(surges, 900, at=600, key="slow") is None
    assert looked(surges, 1200, at=600, key="fast") == Surge(grown=1200, seconds=600)


def test_a_burst_after_quiet_is_told() -> None:
    """It came within one interval: that the window does not end where looks do changes nothing."""
    for quiet in range(1, 12):
        surges: Surges[str] = Surges(threshold=100, window=60)
        looks = ((number * EACH, 110 if number > quiet else 0) for number in range(30))
        assert told(surges, looks) == [((quiet + 1) * EACH, Surge(grown=110, seconds=EACH))]


def test_growth_in_a_gap_just_shorter_than_the_window_is_told() -> None:
    """The gap before it, when nothing grew, does not make it slower."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    assert told(surges, [(0, 0), (59, 50), (118, 240)]) == [(118, Surge(grown=190, seconds=59))]


def test_a_burst_is_no_slower_for_a_long_time_without_a_look() -> None:
    """A layer that was not looked at for long grows from the look that ended that time."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    assert told(surges, [(0, 0), (600, 0), (620, 1000)]) == [(620, Surge(grown=1000, seconds=20))]
    surges = Surges(threshold=100, window=60)
    assert told(surges, [(0, 0), (600, 10), (620, 1000)]) == [(620, Surge(grown=990, seconds=20))]


def test_the_start_that_gives_the_most_is_told() -> None:
    """Growth over several looks, none of which found enough by itself, is told from where it began."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    looks = [(0, 0), (15, 1), (30, 1), (45, 61), (60, 101), (75, 121)]
    assert told(surges, looks) == [(60, Surge(grown=101, seconds=60))]
    surges = Surges(threshold=100, window=60)
    assert told(surges, [(0, 0), (15, 0), (30, 60), (45, 100), (60, 120)]) == [(60, Surge(grown=120, seconds=45))]


def test_what_could_not_grow_until_now_grows_from_now_on() -> None:
    """A job's container rests for a day, and is not looked at; then it writes for half a minute, and stops."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    looked(surges, 0, at=0)
    for rest in range(1, 6400):
        surges.rested("web", at=rest * EACH)
    assert looked(surges, 6000, at=6402 * EACH) == Surge(grown=6000, seconds=3 * EACH)


def test_a_look_that_took_long_found_what_came_since_it_began() -> None:
    """The first pass over a large tree takes minutes, within the budget: the next finds what grew meanwhile."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    assert surges.measured("slow", 0, began=0, at=600) is None
    assert surges.measured("fast", 0, began=0, at=600) is None
    assert surges.measured("slow", 900, began=613, at=615) is None
    assert surges.measured("fast", 1100, began=613, at=615) == Surge(grown=1100, seconds=615)


def test_what_was_told_is_not_told_again() -> None:
    """One burst is one line, though it still lies within the window when that has passed."""
    for each in (1, EACH, 25, 59):
        surges: Surges[str] = Surges(threshold=100, window=60)
        looks = ((number * each, 0 if number < 3 else 1000) for number in range(200))
        assert len(told(surges, looks)) == 1


def test_a_layer_looked_at_very_often_is_judged_as_any_other() -> None:
    """Steady growth above the threshold is told, steady growth below is not, ten looks a second or one."""
    for each in (0.1, 0.9, 1.0, 7.0):
        above: Surges[str] = Surges(threshold=100_000, window=60)
        below: Surges[str] = Surges(threshold=100_000, window=60)
        numbers = range(1, int(300 / each))
        assert told(above, ((number * each, int(number * each * 2000)) for number in numbers))
        assert not told(below, ((number * each, int(number * each * 1600)) for number in numbers))


@pytest.mark.parametrize("grows", [0, 1])
def test_what_is_remembered_of_a_layer_is_bounded(grows: int) -> None:
    """However often it is looked at, and however long."""
    surges: Surges[str] = Surges(threshold=1_000_000, window=60)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(10_000):
            looked(surges, number * grows, at=number / 100)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 65_536


def grower(path: str, grown: int) -> Grower:
    return Grower(grown=grown, path=path, is_directory=False)


def named(looks: Iterable[tuple[float, dict[str, int]]]) -> list[tuple[str, int]]:
    """Whom the one surge names, by what each look found to have grown."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    total, found = 0, list[Surge]()
    for at, growth in looks:
        total += sum(growth.values())
        growers = [grower(path, grown) for path, grown in growth.items()]
        surge = surges.measured("web", total, began=at, at=at, growers=growers)
        found += [] if surge is None else [surge]
    (surge,) = found
    return [(one.path, one.grown) for one in surge.growers]


def test_who_grew_over_several_looks_is_named() -> None:
    """Not only who made the measure full: what each file grew by is summed from where the surge began."""
    looks = [(0, {}), (15, {"a": 40}), (30, {"b": 10, "a": 35}), (45, {"c": 30})]
    assert named(looks) == [("a", 75), ("c", 30), ("b", 10)]


def test_who_grew_before_is_not_named() -> None:
    """Neither what was told, nor what the surge does not count."""
    slow = [(number * EACH, {"slow": 1}) for number in range(100)]
    assert named([*slow, (1350, {"burst": 200})]) == [("burst", 200), ("slow", 3)]
    assert named([(0, {}), (600, {"before": 90}), (1200, {}), (1215, {"burst": 200})]) == [("burst", 200)]


def test_who_is_named_after_a_burst_that_was_told_is_who_grew_since() -> None:
    """A second line a minute later has the growth of that minute."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    told = []
    for number in range(6):
        growers = [grower("first", 200)] if number == 1 else [grower("then", 150)]
        told.append(surges.measured("web", 200 * number, began=number * 15, at=number * 15, growers=growers))
    assert [one.growers for one in told if one is not None] == [(grower("first", 200),), (grower("then", 600),)]


@pytest.mark.parametrize("names", [1, 1_000_000])
def test_what_is_remembered_of_who_grew_is_bounded(names: int) -> None:
    """However many files a container makes, however long their names are, and however often it is looked at."""
    surges: Surges[str] = Surges(threshold=1 << 40, window=60)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1_000):
            growers = [grower(f"{(number * 10 + each) % names:04000}", number + each) for each in range(10)]
            surges.measured("web", number, began=number / 10, at=number / 10, growers=growers)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 262_144


def test_what_is_remembered_of_files_that_come_and_go_is_bounded() -> None:
    """A layer that always loses as much as it gains has growers at every look, and grows no more."""
    surges: Surges[str] = Surges(threshold=1000, window=60)
    looked(surges, 0, at=0)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1, 4_000):
            surges.measured("web", 1, began=number * EACH, at=number * EACH, growers=[grower("scratch", 500)])
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 65_536


def test_a_threshold_of_zero_tells_nothing() -> None:
    """That is how the line is switched off."""
    surges: Surges[str] = Surges(threshold=0)
    looked(surges, 0, at=0)
    assert looked(surges, 1 << 50, at=15) is None


def test_what_is_gone_is_forgotten() -> None:
    """Memory goes by the containers that there are."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    looked(surges, 0, at=0)
    surges.keep([])
    assert looked(surges, 1000, at=15) is None
