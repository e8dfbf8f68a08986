"""Which growth is worth a line in the log."""

from exporter.account.surge import Surge, Surges


def test_growth_above_the_threshold_is_told() -> None:
    """More than the threshold within the window."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    assert surges.measured("web", 0, at=0) is None
    assert surges.measured("web", 101, at=15) == Surge(grown=101, seconds=15)


def test_what_is_measured_first_has_not_grown() -> None:
    """An exporter that starts on a large layer is not alarmed by it."""
    assert Surges[str](threshold=100).measured("web", 10_000, at=0) is None


def test_growth_up_to_the_threshold_is_not_told() -> None:
    """The threshold itself is still allowed."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    surges.measured("web", 0, at=0)
    assert surges.measured("web", 100, at=15) is None


def test_a_surge_is_told_of_once_a_window() -> None:
    """A container that writes on and on gives one line a minute, not one a measurement."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    told = [surges.measured("web", step * 200, at=step * 15) is not None for step in range(10)]
    assert told == [False, True, False, False, False, True, False, False, False, True]


def test_slow_growth_never_adds_up_to_a_surge() -> None:
    """What is older than the window no longer counts."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    assert [surges.measured("web", step * 20, at=step * 15.0) for step in range(50)] == [None] * 50


def test_a_layer_that_is_measured_rarely_is_judged_by_its_rate() -> None:
    """Where the budget allows a pass every ten minutes only, ten minutes' growth is not taken for one minute's."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    surges.measured("slow", 0, at=0)
    surges.measured("fast", 0, at=0)
    assert surges.measured("slow", 900, at=600) is None
    assert surges.measured("fast", 1200, at=600) == Surge(grown=1200, seconds=600)


def test_a_threshold_of_zero_tells_nothing() -> None:
    """That is how the line is switched off."""
    surges: Surges[str] = Surges(threshold=0)
    surges.measured("web", 0, at=0)
    assert surges.measured("web", 1 << 50, at=15) is None


def test_what_is_gone_is_forgotten() -> None:
    """Memory goes by the containers that there are."""
    surges: Surges[str] = Surges(threshold=100, window=60)
    surges.measured("web", 0, at=0)
    surges.keep([])
    assert surges.measured("web", 1000, at=15) is None
