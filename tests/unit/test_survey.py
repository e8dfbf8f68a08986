"""What seems wrong is looked at twice: only what both looks agree on is told."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.clock import Clock, SystemClock
from exporter.store.catalog import Catalog, Problem, ProblemKind, Source
from exporter.store.detect import Root
from exporter.survey import SETTLE, RecordSurvey, Survey
from tests.quiet import QUIET_PROC
from tests.store.bolt_files import encode
from tests.unit.store.hosts import NO_CONFIG, HeldClock, Host, build_host, problems_of


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return build_host(tmp_path / "docker")


def survey_of(host: Host, clock: Clock) -> RecordSurvey:
    return RecordSurvey([Root(path=str(host.root))], clock=clock, daemon_config=NO_CONFIG, proc=QUIET_PROC)


def kinds(catalog: Catalog) -> list[ProblemKind]:
    return [problem.kind for problem in problems_of(catalog)]


def test_a_sound_store_is_looked_at_once(host: Host) -> None:
    """Nobody waits where nothing seems wrong."""
    clock = HeldClock()
    assert kinds(survey_of(host, clock).catalog()) == []
    assert clock.slept == []


def test_what_both_looks_see_is_told(host: Host) -> None:
    """The second look comes a quarter of a second after the first."""
    (host.layer(host.other) / "size").unlink()
    clock = HeldClock()
    assert kinds(survey_of(host, clock).catalog()) == [ProblemKind.MISSING_RECORD]
    assert clock.slept == [SETTLE]


def test_a_survey_that_is_ended_midway_ends_and_harms_nothing(host: Host) -> None:
    """After each record there is a chance to end it; the next survey finds what it would have found."""
    records = survey_of(host, HeldClock())
    expected = records.catalog()
    calls = 0

    class Ended(BaseException):
        pass

    def end() -> None:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise Ended

    (host.layer(host.other) / "cache-id").touch()
    with pytest.raises(Ended):
        records.catalog(check=end)
    assert calls == 6
    assert expected.stores[0].layers == records.catalog().stores[0].layers


MENDABLE: dict[str, tuple[Callable[[Host], Path], str | None]] = {
    "a contradiction": (lambda host: host.layer(host.middle), None),
    "a missing record": (lambda host: host.layer(host.middle) / "diff", None),
    "a record overwritten in place": (lambda host: host.layer(host.middle) / "diff", "rubbish"),
    "an empty record": (lambda host: host.directory(host.middle) / "link", ""),
    "JSON cut short": (lambda host: host.container(host.running) / "config.v2.json", "{"),
    "a missing directory": (lambda host: host.directory(host.middle), None),
}


@pytest.mark.parametrize(("path", "content"), MENDABLE.values(), ids=MENDABLE.keys())
def test_what_is_well_by_the_second_look_is_no_problem(
    host: Host, path: Callable[[Host], Path], content: str | None
) -> None:
    """Whatever it was: the second look reads the disk, not what the first one remembered, and the catalog is whole."""
    there, away = path(host), host.root / "away"
    sound = survey_of(host, HeldClock()).catalog()

    def damage() -> None:
        if content is None:
            there.rename(away)
        else:
            shutil.copy2(there, away)
            there.write_text(content)

    def mend() -> None:
        if content is None:
            away.rename(there)
        else:
            there.write_text(away.read_text())

    damage()
    clock = HeldClock(meanwhile=mend)
    catalog = survey_of(host, clock).catalog()
    assert clock.slept == [SETTLE]
    assert kinds(catalog) == []
    assert catalog.stores[0].layers == sound.stores[0].layers
    assert catalog.stores[0].containers == sound.stores[0].containers
    assert catalog.stores[0].directories.keys() == sound.stores[0].directories.keys()


def test_a_database_that_is_just_being_made(host: Host) -> None:
    """bolt makes a file empty and then writes its first pages. One that stays empty lost what was in it; either way it
    is not known what it would name."""
    database = host.root / "buildkit" / "snapshots.db"
    database.parent.mkdir(exist_ok=True)
    database.write_bytes(b"")

    made = survey_of(host, HeldClock(meanwhile=lambda: database.write_bytes(encode({})))).catalog()

    assert (kinds(made), made.stores[0].unread) == ([], frozenset())
    database.write_bytes(b"")
    lost = survey_of(host, HeldClock()).catalog()
    assert [(str(database), ProblemKind.MALFORMED_RECORD)] == [
        (problem.path, problem.kind) for problem in problems_of(lost)
    ]
    assert frozenset({Source.CACHE}) == lost.stores[0].unread


def test_what_begins_between_the_looks_waits_for_the_next_survey(host: Host) -> None:
    """One look is not enough, not even for what comes while another problem is looked at again."""
    (host.layer(host.other) / "size").unlink()
    clock = HeldClock(meanwhile=lambda: (host.layer(host.base) / "size").unlink(missing_ok=True))
    survey = survey_of(host, clock)
    assert [problem.path for problem in problems_of(survey.catalog())] == [f"{host.layer(host.other)}/size"]
    assert len(kinds(survey.catalog())) == 2


def test_what_moves_is_being_worked_on(host: Host) -> None:
    """An image whose layers go one after the other is not damaged in the same way twice: it is being removed."""
    shutil.rmtree(host.layer(host.top))
    clock = HeldClock(meanwhile=lambda: shutil.rmtree(host.layer(host.middle)))
    assert kinds(survey_of(host, clock).catalog()) == []


def test_one_image_that_is_missed_does_not_vouch_for_another(host: Host) -> None:
    """Both problems are of one file and one kind. Only the one that was confirmed counts."""
    host.content(host.web).unlink()
    clock = HeldClock()
    survey = survey_of(host, clock)
    survey.catalog()
    away = host.content(host.tool).with_name(".tmp-away")
    host.content(host.tool).rename(away)
    clock.meanwhile = lambda: away.rename(host.content(host.tool))
    assert [host.web in problem.reason for problem in problems_of(survey.catalog())] == [True]


def test_what_was_confirmed_counts_at_once(host: Host) -> None:
    """A damage that stays is not waited for again with every survey."""
    (host.layer(host.other) / "size").unlink()
    clock = HeldClock()
    survey = survey_of(host, clock)
    told = [problems_of(survey.catalog()) for _ in range(3)]
    assert told[0] == told[1] == told[2] != []
    assert clock.slept == [SETTLE]


def test_what_is_mended_is_gone_and_has_to_be_confirmed_anew(host: Host) -> None:
    """A problem that comes back is as new as the first time."""
    size = host.layer(host.other) / "size"
    sound = size.read_text()
    clock = HeldClock()
    survey = survey_of(host, clock)
    size.unlink()
    assert kinds(survey.catalog()) == [ProblemKind.MISSING_RECORD]
    size.write_text(sound)
    assert kinds(survey.catalog()) == []
    size.unlink()
    assert kinds(survey.catalog()) == [ProblemKind.MISSING_RECORD]
    assert clock.slept == [SETTLE, SETTLE]


def test_problems_are_in_order(host: Host) -> None:
    """By path, so that two reports of one state are the same."""
    for chain in (host.top, host.base, host.other):
        (host.layer(chain) / "size").write_text("x")
    (host.container(host.exited) / "hostconfig.json").write_text("x")
    found = survey_of(host, HeldClock()).catalog().stores[0].problems
    assert list(found) == sorted(found)
    assert len(found) == 4


def test_a_root_that_goes_is_a_problem_of_no_store(host: Host) -> None:
    """Nothing is reported from memory; why it is gone is told, and when it is back all is well."""
    survey = survey_of(host, HeldClock())
    survey.catalog()
    host.root.rename(host.root.with_name("away"))
    gone = survey.catalog()
    assert (gone.stores, [problem.path for problem in gone.problems]) == ((), [str(host.root)])
    assert [str(error.filename) for error in survey.lost] == [str(host.root)]
    host.root.with_name("away").rename(host.root)
    back = survey.catalog()
    assert (len(back.stores), back.problems, survey.lost) == (1, (), ())


def test_the_catalog_tells_when_it_was_taken(host: Host) -> None:
    """The time of the look that it shows, which is the second where there were two."""
    clock = HeldClock()
    began = clock.time
    assert survey_of(host, clock).catalog().taken_at == began
    (host.layer(host.other) / "size").unlink()
    assert survey_of(host, clock).catalog().taken_at == began + SETTLE


def test_the_places_of_the_stores_are_known(host: Host) -> None:
    """The directories whose entries mean something are those that are there to be watched."""
    survey = survey_of(host, HeldClock())
    survey.catalog()
    directories = [Path(path) for place in survey.locations for path in place.record_directories]
    assert len(directories) == 6
    assert all(directory.is_dir() for directory in directories)


def test_with_the_machines_own_clock(host: Host) -> None:
    """The second look takes its quarter of a second, and no more."""
    config = host.container(host.running) / "config.v2.json"
    config.write_text(json.dumps({}))
    began = time.monotonic()
    (problem,) = problems_of(survey_of(host, SystemClock()).catalog())
    assert time.monotonic() - began >= SETTLE
    assert problem == Problem(
        kind=ProblemKind.MALFORMED_RECORD, path=str(config), reason="Driver is not there (and 1 more)"
    )


def test_a_survey_of_growth_tells_which_file_grew(host: Host) -> None:
    """Two measurements with time between: what came in that time is named, and what was there before is not."""
    upper = host.store.upper_path(host.running)
    (upper / "old").write_bytes(b"x" * 50_000)
    clock = HeldClock(ahead=0.0)

    def write() -> None:
        (upper / "log").mkdir(exist_ok=True)
        (upper / "log" / "new").write_bytes(bytes(2 << 20))

    clock.meanwhile = write
    survey = Survey([Root(path=str(host.root))], clock=clock, daemon_config=NO_CONFIG)
    (store,) = survey.summary(survey.catalog(), growth=10.0).stores
    files = [(grower.path, grower.grown) for grower in store.uppers[host.running].growers if not grower.is_directory]
    assert files == [("log/new", 2 << 20)]
