"""How the CPU that measuring may take is divided, and when which tree is measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.measure.budget import Cost, Purse, divide
from exporter.measure.schedule import PLANNED, Schedule, Tree, Turn, lane, longest, next_beat
from exporter.measure.tracker import Pass
from exporter.measure.usage import Usage
from exporter.measure.walk import Walked

BUDGET, INTERVAL, FULL_INTERVAL = 0.01, 15.0, 300.0

INODES = 10_000

CPU = st.floats(min_value=1e-5, max_value=3.0)
COSTS = st.lists(st.builds(lambda quick, more: Cost(quick=quick, full=quick + more), CPU, CPU), max_size=12)


def rhythms(*costs: Cost) -> list[tuple[float, float]]:
    division = divide(costs, budget=BUDGET, interval=INTERVAL, full_interval=FULL_INTERVAL)
    return [(rhythm.period, rhythm.full_period) for rhythm in map(division.rhythm, costs)]


def test_what_fits_the_budget_is_measured_every_interval() -> None:
    """100 trees of 10,000 files, which take 0.5 ms a quick pass and 20 ms a full one."""
    assert rhythms(*[Cost(quick=0.0005, full=0.02)] * 100) == [(INTERVAL, FULL_INTERVAL)] * 100


def test_a_dear_tree_does_not_slow_the_cheap_ones() -> None:
    """They get what they want; it gets what remains."""
    cheap, dear = Cost(quick=0.001, full=0.01), Cost(quick=1.0, full=50.0)
    assert rhythms(*[cheap] * 10, dear)[:10] == [(INTERVAL, FULL_INTERVAL)] * 10
    period, full_period = rhythms(*[cheap] * 10, dear)[10]
    assert period == pytest.approx(1.0 / (0.0075 - 10 * 0.001 / 15))
    assert full_period == pytest.approx(50.0 / (0.0025 - 10 * 0.01 / 300))


def test_full_passes_wait_where_quick_ones_need_the_budget() -> None:
    """An alert is due at once; what a full pass alone can see may wait."""
    (period, full_period), *_ = rhythms(*[Cost(quick=0.001, full=0.05)] * 100)
    assert period == INTERVAL
    assert full_period == pytest.approx(100 * 0.05 / (BUDGET - 100 * 0.001 / INTERVAL))


@given(COSTS)
def test_all_together_keep_within_the_budget(costs: list[Cost]) -> None:
    """Whatever trees there are; and none is measured oftener than it should be, and each is measured."""
    found = rhythms(*costs)
    spent = sum(
        cost.quick / period + cost.full / full_period for cost, (period, full_period) in zip(costs, found, strict=True)
    )
    assert spent <= BUDGET * 1.00001
    assert all(INTERVAL <= period < 1e7 and FULL_INTERVAL <= full_period < 1e9 for period, full_period in found)


@given(COSTS)
def test_dearer_trees_are_measured_no_oftener(costs: list[Cost]) -> None:
    """The order of costs is the order of periods."""
    ranked = sorted(zip(costs, rhythms(*costs), strict=True), key=lambda pair: pair[0].quick)
    assert all(one[1][0] <= other[1][0] for one, other in pairwise(ranked))


def test_a_purse_fills_up_to_its_limit() -> None:
    """Rest is not saved up for ever."""
    purse = Purse(budget=0.01, limit=0.15, balance=0.1, at=0.0)
    assert purse.spend(0.05, now=1000.0).balance == pytest.approx(0.10)


def test_a_purse_may_begin_with_more_than_its_limit() -> None:
    """What it begins with is spent once."""
    purse = Purse(budget=0.01, limit=0.15, balance=5.0, at=0.0).spend(1.0, now=100.0)
    assert purse.balance == pytest.approx(4.0)
    assert purse.spend(4.0, now=100.0).spend(0.0, now=1000.0).balance == pytest.approx(0.15)


def test_an_overdrawn_purse_says_how_long_to_wait() -> None:
    """Until the debt is paid, nothing is spent."""
    purse = Purse(budget=0.01, limit=0.1, balance=0.1, at=0.0).spend(0.3, now=0.0)
    assert [purse.wait(now=now) for now in (0.0, 15.0, 25.0)] == pytest.approx([20.0, 5.0, 0.0])


def tree(*, active: bool = True, stamp: float = 1.0) -> Tree:
    return Tree(path="/upper", active=active, stamp=stamp)


def outcome(*, full: bool, inodes: int = 1000, looked: int = 1000, refreshed: int = 0, full_only: bool = False) -> Pass:
    walked = Walked(
        usage=Usage(size=0, allocated=0, inodes=inodes), directories=10, links=0, vanished=0, unreadable=0, cut=False
    )
    return Pass(
        walked=walked,
        full=full,
        read_since=0.0,
        looked=looked,
        refreshed=refreshed,
        full_only=full_only,
        growers=(),
    )


def schedule() -> Schedule[str]:
    return Schedule(budget=BUDGET, interval=INTERVAL, full_interval=FULL_INTERVAL)


def measure(plan: Schedule[str], key: str, *, now: float, cpu: float = 0.001, full: bool = True) -> Turn[str]:
    turn = plan.begin(key, now=now)
    plan.done(turn, outcome(full=full), cpu=cpu)
    return turn


def test_a_new_tree_is_due_at_once_and_then_every_interval() -> None:
    """At the beats that all trees have in common, so that what is measured together is told together."""
    plan = schedule()
    plan.expect({"web": tree()}, now=100.0)
    assert plan.next() == (100.0, "web")
    measure(plan, "web", now=101.0)
    assert plan.next() == (105.0, "web")
    measure(plan, "web", now=105.0)
    assert plan.next() == (120.0, "web")
    measure(plan, "web", now=134.0)
    assert plan.next() == (135.0, "web")


@given(st.integers(0, 10**9), st.floats(0.001, 3600))
def test_beats_are_an_interval_apart(number: int, interval: float) -> None:
    """What is begun at one, or late, is followed by the next; however times are rounded none is met twice."""
    beat = next_beat(number * interval, interval)
    assert beat == pytest.approx((number + 1) * interval, rel=1e-12)
    assert next_beat(beat, interval) == pytest.approx((number + 2) * interval, rel=1e-12)
    assert next_beat((number + 0.9) * interval, interval) == beat


def test_a_dear_tree_has_a_beat_of_its_own() -> None:
    """From the beginning of one pass to that of the next, as long as the budget asks for, from the first pass on: the
    records need not be read again before."""
    plan = schedule()
    plan.expect({"web": tree()}, now=0.0)
    turn = plan.begin("web", now=1.0)
    plan.done(turn, outcome(full=True, full_only=True), cpu=1.0)
    due = plan.next()
    assert due is not None
    assert due[0] == pytest.approx(1.0 + 1.0 / (BUDGET * PLANNED))


def test_a_tree_that_becomes_dear_leaves_the_others_their_share() -> None:
    """As soon as it is known what it costs, and also where it was cheap for long: a container grew."""
    plan = schedule()
    plan.expect({"web": tree(), "db": tree()}, now=0.0)
    for key in ("web", "db"):
        plan.done(plan.begin(key, now=0.0), outcome(full=True, full_only=True), cpu=0.05)
    assert plan.next() == (INTERVAL, "web")
    plan.done(plan.begin("web", now=INTERVAL), outcome(full=True, full_only=True), cpu=5.0)
    measure(plan, "db", now=INTERVAL, cpu=0.05)
    assert plan.next() == (2 * INTERVAL, "db")
    measure(plan, "db", now=2 * INTERVAL, cpu=0.05)
    assert plan.next() == (3 * INTERVAL, "db")


def test_a_tree_that_is_gone_is_not_measured() -> None:
    """Nor does a pass that was under way bring it back."""
    plan = schedule()
    plan.expect({"web": tree()}, now=0.0)
    turn = plan.begin("web", now=0.0)
    plan.expect({}, now=1.0)
    plan.done(turn, outcome(full=True), cpu=0.1)
    assert plan.next() is None


def test_a_tree_under_way_is_not_begun_again() -> None:
    """Even if the trees are told anew, or something hints at it."""
    plan = schedule()
    plan.expect({"web": tree()}, now=0.0)
    plan.begin("web", now=0.0)
    plan.expect({"web": tree()}, now=1.0)
    plan.hint("web")
    assert plan.next() is None


def test_a_hint_brings_a_tree_forward_once() -> None:
    """A container that is restarted in a loop is measured twice as often, not more."""
    plan = schedule()
    plan.expect({"web": tree()}, now=0.0)
    measure(plan, "web", now=0.0)
    plan.hint("web")
    assert plan.next() == (0.0, "web")
    measure(plan, "web", now=1.0)
    plan.hint("web")
    assert plan.next() == (15.0, "web")
    measure(plan, "web", now=15.0)
    plan.hint("web")
    assert plan.next() == (15.0, "web")


def test_a_hint_for_an_unknown_tree_is_nothing() -> None:
    """The catalog that names it comes later."""
    plan = schedule()
    plan.hint("web")
    assert plan.next() is None


def test_a_stopped_tree_is_read_once_in_full_and_then_left_alone() -> None:
    """Until its storage directory changes: nothing else can write to it."""
    plan = schedule()
    plan.expect({"web": tree()}, now=0.0)
    assert not measure(plan, "web", now=0.0).full
    plan.expect({"web": tree(active=False)}, now=1.0)
    assert plan.next() == (15.0, "web")
    assert measure(plan, "web", now=15.0).full
    plan.expect({"web": tree(active=False)}, now=20.0)
    assert plan.next() is None
    plan.expect({"web": tree(active=False, stamp=2.0)}, now=40.0)
    assert plan.next() == (30.0, "web")
    measure(plan, "web", now=40.0)
    assert plan.next() is None


def test_a_tree_that_stops_while_it_is_measured_is_measured_again() -> None:
    """What was written between the look and the stop counts."""
    plan = schedule()
    plan.expect({"web": tree()}, now=0.0)
    turn = plan.begin("web", now=0.0)
    plan.expect({"web": tree(active=False)}, now=1.0)
    plan.done(turn, outcome(full=True), cpu=0.001)
    assert plan.next() == (15.0, "web")


def test_a_stopped_tree_that_changes_all_the_time_keeps_within_the_budget() -> None:
    """Copying into a stopped container again and again does not make it read again and again."""
    plan = schedule()
    plan.expect({"web": tree(active=False)}, now=0.0)
    measure(plan, "web", now=0.0, cpu=5.0)
    plan.expect({"web": tree(active=False, stamp=2.0)}, now=1.0)
    due = plan.next()
    assert due is not None
    assert due[0] >= 5.0 / BUDGET


def test_a_tree_that_cannot_be_measured_is_tried_every_interval() -> None:
    """It costs next to nothing, and no other waits for it."""
    plan = schedule()
    plan.expect({"web": tree()}, now=0.0)
    turn = plan.begin("web", now=0.0)
    plan.done(turn, None, cpu=0.0)
    assert plan.next() == (15.0, "web")


def test_a_tree_measured_by_walks_alone_is_measured_as_its_walk_costs() -> None:
    """There is no cheaper pass for it."""
    plan = schedule()
    plan.expect({"web": tree()}, now=0.0)
    turn = plan.begin("web", now=0.0)
    plan.done(turn, outcome(full=True, full_only=True), cpu=20.0)
    plan.expect({"web": tree()}, now=1.0)
    due = plan.next()
    assert due is not None
    assert due[0] >= 20.0 / BUDGET


def test_a_tree_that_has_to_be_read_in_full_again_and_again_pays_for_it() -> None:
    """A container that keeps every pass from its end takes no more than its share, until one is quick again."""
    plan = schedule()
    plan.expect({"web": tree()}, now=0.0)
    measure(plan, "web", now=0.0, cpu=2.0)
    measure(plan, "web", now=INTERVAL, cpu=2.0)
    due = plan.next()
    assert due is not None
    assert due[0] >= INTERVAL + 2.0 / BUDGET
    measure(plan, "web", now=due[0], cpu=0.01, full=False)
    assert plan.next() == (next_beat(due[0], INTERVAL), "web")


def test_shorter_passes_may_interrupt_longer_ones() -> None:
    """They are found by their lane; of what nothing is known may be short."""
    plan = schedule()
    plan.expect({"long": tree(), "short": tree()}, now=0.0)
    measure(plan, "long", now=0.0, cpu=5.0)
    measure(plan, "short", now=0.0, cpu=0.001)
    plan.expect({"long": tree(), "short": tree(), "new": tree()}, now=10.0)
    assert plan.next(below=lane(5.0)) == (10.0, "new")
    measure(plan, "new", now=10.0, cpu=5.0)
    assert plan.next(below=lane(5.0)) == (15.0, "short")
    assert plan.next(below=lane(0.001)) is None


def test_a_pass_that_is_given_up_is_as_due_as_before() -> None:
    """But as a longer one: it interrupts only what takes longer still."""
    plan = schedule()
    plan.expect({"new": tree()}, now=10.0)
    plan.give_up(plan.begin("new", now=20.0), cpu=0.07)
    assert plan.next(below=lane(0.21)) is None
    assert plan.next(below=lane(0.6)) == (10.0, "new")
    turn = plan.begin("new", now=20.0)
    assert longest(turn.expected) == pytest.approx(9 * 0.07)
    plan.give_up(turn, cpu=1.0)
    assert plan.next(below=lane(1e9)) is None
    assert plan.next(below=lane(inf)) == plan.next() == (10.0, "new")
    measure(plan, "new", now=30.0)
    assert plan.next(below=1) == (45.0, "new")


def test_a_first_pass_that_takes_long_gets_a_share() -> None:
    """Those that are known do not divide the whole budget among themselves meanwhile."""
    plan = schedule()
    plan.expect({"web": tree()}, now=0.0)
    measure(plan, "web", now=0.0, cpu=3.0)
    measure(plan, "web", now=1.0, cpu=0.03, full=False)
    plan.expect({"web": tree(), "new": tree()}, now=2.0)
    alone = plan.begin("web", now=15.0)
    plan.done(alone, None, cpu=0.0)
    plan.give_up(plan.begin("new", now=16.0), cpu=1.0)
    plan.expect({"web": tree(), "new": tree()}, now=30.0)
    assert plan.begin("web", now=30.0).full_period > 1.5 * alone.full_period


def test_a_hint_outlives_a_pass_that_was_given_up() -> None:
    """The tree was not measured yet."""
    plan = schedule()
    plan.expect({"web": tree()}, now=0.0)
    measure(plan, "web", now=0.0)
    plan.hint("web")
    plan.give_up(plan.begin("web", now=1.0), cpu=0.07)
    assert plan.next() == (0.0, "web")
    measure(plan, "web", now=2.0)
    assert plan.next() == (15.0, "web")


@given(st.floats(0.5, 20.0), st.floats(0.001, 0.02), st.floats(1.0, 10.0))
@settings(max_examples=30, deadline=None)
def test_a_tree_that_was_dear_at_first_is_read_as_often_as_it_can_be(full: float, quick: float, dearer: float) -> None:
    """The first pass finds nothing in memory and may cost many times what the later ones do: these are what counts."""
    plan, now, began = schedule(), 0.0, -INTERVAL
    plan.expect({"web": tree()}, now=now)
    turn = plan.begin("web", now=now)
    plan.done(turn, outcome(full=True, inodes=INODES, looked=INODES), cpu=dearer * full)
    periods = []
    for _ in range(1000):
        plan.expect({"web": tree()}, now=now)
        due = plan.next()
        assert due is not None
        began, now = now, max(now, due[0])
        turn = plan.begin("web", now=now)
        refreshed = int(INODES * min(1.0, (now - began) / turn.full_period))
        cpu = quick + full * refreshed / INODES
        plan.done(turn, outcome(full=False, inodes=INODES, looked=100 + refreshed, refreshed=refreshed), cpu=cpu)
        if turn.full_period < inf:
            periods.append(turn.full_period)
    known = Cost(quick=quick, full=full)
    wanted = divide([known], budget=BUDGET * PLANNED, interval=INTERVAL, full_interval=FULL_INTERVAL).rhythm(known)
    assert wanted.full_period * 0.9 <= periods[-1] <= wanted.full_period * 1.05


@dataclass
class Life:
    """A schedule run for a while on trees of known costs, with time that is made up."""

    costs: Mapping[str, Cost]
    spent: list[tuple[float, float]] = field(default_factory=list)
    """When, and how much CPU."""
    began: dict[str, list[float]] = field(default_factory=dict)

    def run(self, seconds: float) -> None:
        plan, now = schedule(), 0.0
        purse = Purse(budget=BUDGET, limit=BUDGET * INTERVAL, balance=0.0, at=now)
        scanned = -INTERVAL
        self.began = {key: [] for key in self.costs}
        while now < seconds:
            if now - scanned >= INTERVAL:
                plan.expect({key: tree() for key in self.costs}, now=now)
                scanned = now
            first = plan.next()
            assert first is not None
            wait = max(first[0] - now, purse.wait(now=now))
            if wait > 0:
                now += min(wait, INTERVAL) + 1e-6
                continue
            turn = plan.begin(first[1], now=now)
            self.began[turn.key].append(now)
            cpu, done = self.outcome(turn, now)
            self.spent.append((now, cpu))
            now += cpu
            purse = purse.spend(cpu, now=now)
            plan.done(turn, done, cpu=cpu)

    def outcome(self, turn: Turn[str], now: float) -> tuple[float, Pass]:
        cost, began = self.costs[turn.key], self.began[turn.key]
        if len(began) == 1:
            return cost.full, outcome(full=True, inodes=INODES, looked=INODES)
        part = min(1.0, (now - began[-2]) / turn.full_period)
        refreshed = int(INODES * part)
        return cost.quick + cost.full * part, outcome(
            full=False, inodes=INODES, looked=INODES // 100 + refreshed, refreshed=refreshed
        )

    def excess(self) -> float:
        """CPU seconds over the budget, in the window where they are most."""
        worst = total = lowest = 0.0
        for at, cpu in self.spent:
            lowest = min(lowest, total - BUDGET * at)
            total += cpu
            worst = max(worst, total - BUDGET * (at + cpu) - lowest)
        return worst


@settings(max_examples=20, deadline=None)
@given(COSTS.filter(bool))
def test_no_window_takes_more_than_the_budget_and_one_pass(costs: list[Cost]) -> None:
    """Beyond what the purse holds, which is what an interval is worth; and no tree is starved meanwhile."""
    life = Life({f"tree{number}": cost for number, cost in enumerate(costs)})
    longest = max(cost.quick + cost.full for cost in costs)
    round_trip = sum(cost.quick + cost.full for cost in costs) / BUDGET + INTERVAL
    life.run(4 * round_trip)
    assert life.excess() <= BUDGET * INTERVAL + longest + 1e-6
    for began in life.began.values():
        assert all(later - earlier <= 3 * round_trip for earlier, later in pairwise([*began, 4 * round_trip]))


def test_in_a_steady_state_cheap_trees_keep_their_interval() -> None:
    """100 containers of 10,000 files: quick passes on time, full ones as the budget allows."""
    life = Life({f"tree{number}": Cost(quick=0.001, full=0.05) for number in range(100)})
    life.run(3600)
    late = [pair for began in life.began.values() for pair in pairwise(began[5:])]
    assert max(later - earlier for earlier, later in late) <= INTERVAL * 1.5
    assert sum(cpu for at, cpu in life.spent) <= BUDGET * 3600 + BUDGET * INTERVAL + 0.1
