"""What the daemon takes down of each pass over an upper layer."""

from structlog.testing import capture_logs

from exporter.account.growth import Growth
from exporter.measure.tracker import Pass
from exporter.measure.usage import Usage
from exporter.measure.walk import Walked
from exporter.store.entries import ContainerID
from exporter.uppers import Key, UpperBook
from tests.unit.daemons import INTERVAL, Time

WEB: Key = ("overlay2", ContainerID("a" * 64))
GIB = 1 << 30


def outcome(allocated: int, *, cut: bool = False, unreadable: int = 0) -> Pass:
    walked = Walked(
        usage=Usage(size=allocated, allocated=allocated, inodes=10),
        directories=1,
        links=0,
        vanished=0,
        unreadable=unreadable,
        cut=cut,
    )
    return Pass(walked=walked, full=False, read_since=0.0, looked=10, refreshed=0, full_only=False, growers=())


def grown(*passes: Pass) -> tuple[Growth | None, list[bool], int]:
    """The growth in the end, of which figures it was said that they are all, and how many lines told of a surge."""
    clock, exact = Time(), []
    book = UpperBook(clock=clock, surge_threshold=100)
    with capture_logs() as logs:
        for done in passes:
            clock.sleep(INTERVAL)
            book.measured(WEB, done, began=clock.monotonic())
            exact.append(book.known(WEB[0])[WEB[1]].exact)
    return book.known(WEB[0])[WEB[1]].growth, exact, len(logs)


def test_a_layer_that_was_not_seen_whole_for_a_while_has_not_grown() -> None:
    """Neither in the counters nor in the log: else a container could raise an alarm by moving directories about."""
    passes = outcome(50 * GIB), outcome(GIB, cut=True), outcome(2 * GIB, unreadable=1), outcome(50 * GIB)
    growth, exact, _ = grown(*passes[:2], passes[3])
    assert growth == Growth(allocated=50 * GIB)
    assert exact == [True, False, True]
    growth, exact, _ = grown(*passes)
    assert growth is not None
    assert growth.grown - growth.freed == 0
    assert exact == [True, False, False, True]


def test_a_layer_that_was_cut_at_first_sight_makes_no_line() -> None:
    """What was there before the exporter is no surge."""
    assert grown(outcome(GIB, cut=True), outcome(50 * GIB))[2] == 0


def test_a_layer_that_grows_makes_a_line() -> None:
    """Whether it was seen whole or not."""
    assert grown(outcome(GIB), outcome(2 * GIB))[2] == 1
    assert grown(outcome(GIB), outcome(2 * GIB, cut=True))[2] == 1
