"""When reports are published: soon where something is new on the host, seldom where figures were only renewed."""

from itertools import pairwise

from exporter.rhythm import LATEST, QUIET, REPEATED, SHARE, START, News, Rhythm
from tests.unit.daemons import Time

INTERVAL = 15.0


def publish(news: News, clock: Time, cpu: float) -> float:
    """Publish when that is due; when it was."""
    clock.at = max(clock.at, news.due)
    news.begin()
    news.took(cpu)
    return clock.at


def test_without_news_nothing_is_published() -> None:
    """However long it is quiet."""
    assert News(Time(), interval=INTERVAL).due == float("inf")


def test_news_are_gathered_for_a_moment() -> None:
    """Until a quarter of a second after the last, and for a second after the first at most."""
    clock = Time()
    news = News(clock, interval=INTERVAL, start=0.0)
    first = clock.at
    news.come(urgent=True)
    assert news.due == first + QUIET
    for _ in range(9):
        clock.sleep(0.2)
        news.come(urgent=True)
    assert news.due == first + LATEST


def test_what_is_new_waits_for_little() -> None:
    """Publishing may take a fiftieth of one core while new things come without end."""
    clock = Time()
    news = News(clock, interval=INTERVAL, start=0.0)
    moments = []
    for _ in range(5):
        news.come(urgent=True)
        moments.append(publish(news, clock, 0.05))
    assert [later - earlier for earlier, later in pairwise(moments)] == [0.05 / SHARE] * 4


def test_renewed_figures_wait_for_longer() -> None:
    """They may take less; and one new thing among them is told as soon as any."""
    clock = Time()
    news = News(clock, interval=INTERVAL, start=0.0)
    news.come(urgent=False)
    published = publish(news, clock, 0.02)
    news.come(urgent=False)
    assert news.due == published + 0.02 / REPEATED
    news.come(urgent=True)
    assert news.due == published + 0.02 / SHARE
    published = publish(news, clock, 0.02)
    news.come(urgent=False)
    assert news.due == published + 0.02 / REPEATED


def test_no_interval_passes_without_a_report() -> None:
    """However dear publishing is."""
    clock = Time()
    news = News(clock, interval=INTERVAL, start=0.0)
    news.come(urgent=False)
    published = publish(news, clock, 0.2)
    clock.sleep(INTERVAL - LATEST)
    news.come(urgent=False)
    assert news.due <= published + INTERVAL


def test_work_that_took_nothing_may_be_done_at_once() -> None:
    """And what took something when its share allows, or when it has rested for long enough."""
    clock = Time()
    rhythm = Rhythm(clock, 0.01, longest=5.0)
    rhythm.took(0.0)
    assert rhythm.due(clock.at) == clock.at
    rhythm.took(0.01)
    assert rhythm.due(clock.at) == clock.at + 1.0
    rhythm.took(1.0)
    assert rhythm.due(clock.at) == clock.at + 5.0


def test_at_the_start_nothing_rests() -> None:
    """After a restart each report tells more than the last; so until a second of CPU is spent, none waits long."""
    clock = Time()
    news = News(clock, interval=INTERVAL)
    moments = []
    for _ in range(6):
        news.come(urgent=False)
        moments.append(publish(news, clock, START / 4))
    assert [later - earlier for earlier, later in pairwise(moments)] == [QUIET] * 4 + [INTERVAL - 2 * LATEST]
