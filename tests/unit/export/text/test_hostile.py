"""Names, labels, commands and records are an attacker's to choose: none of it steers whoever reads the output."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from exporter.account.inspect.find import find
from exporter.account.inspect.views import ContainerFiles, Entry, EntryKind
from exporter.export.text.documents import inspection_json, report_json
from exporter.export.text.glance import print_report
from exporter.export.text.inspection import print_inspection
from exporter.measure.usage import Usage
from exporter.store.catalog import Problem, ProblemKind, Store
from exporter.store.entries import CacheID, ContainerID, HistoryEntry, MountPoint, Reference, Workload
from tests.unit.account.records import Records
from tests.unit.export.text.screens import pipe, report_of, terminal

PIECES = ["\x1b[2J", "\x9b1m", "\x07", "\r", "\n", "\t", "[red]", "[/]", "\\[", ":bomb:", "\u202e", "\u2028", "\ud800"]
HOSTILE = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), min_size=1, max_size=6).map("".join)


def hostile_host(text: str) -> Records:
    """A store in which everything that can be *text* is."""
    records = Records()
    entry = HistoryEntry(created=None, created_by=text, comment=text, empty_layer=False)
    layer = records.layer(1)
    image = records.image(layer, history=[entry])
    records.references.append(Reference(repository=text, tag=text, digest="", image_id=image))
    container = records.container(
        image,
        name=text,
        reference=text,
        usage=Usage(size=1, allocated=1, inodes=1),
        workload=Workload(compose_project=text, compose_service=text, namespace=text, pod=text, container=text),
        mount_points=[MountPoint(destination=text, kind=text, name=text, source=text, writable=True)],
    )
    records.containers[container] = replace(records.containers[container], log_driver=text)
    records.images[image] = replace(records.images[image], platform=text)
    upper = records.mounts[container].mount_id
    records.change_directory(upper, link=text, lower=(text, text))
    records.directory(CacheID(text))
    records.short_links[text] = f"../{text}/diff"
    record = f"/var/lib/docker/containers/{container}"
    records.problems.append(Problem(kind=ProblemKind.EMPTY_LINK, path=f"{record}/{text}", reason=text))
    return records


def look_of(text: str) -> ContainerFiles:
    link = Entry(path=text, kind=EntryKind.SYMLINK, size=1, allocated=0, target=text)
    log = Entry(path=f"container-cached.log.{text}", kind=EntryKind.FILE, size=1, allocated=0)
    return ContainerFiles(own=(link, log), init=(link,))


def outputs(text: str, console: Console) -> None:
    """Everything that there is to print of such a host."""
    records = hostile_host(text)

    def look(_store: Store, _container: ContainerID) -> ContainerFiles:
        return look_of(text)

    report = report_of(records.report())
    print_report(report, console)
    for needle in (*records.containers, *records.images, *records.layers, *records.directories, text, f"{text}?"):
        print_inspection(find(report.stores, needle, look=look), console)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(HOSTILE, st.sampled_from(["utf-8", "ascii", "latin-1"]))
@example("".join(PIECES), "utf-8")
@example("".join(PIECES), "ascii")
def test_a_pipe_gets_printable_lines(text: str, encoding: str) -> None:
    """No control character but the line's end, whatever a name is, and nothing that the encoding cannot write."""
    output = pipe(lambda console: outputs(text, console), encoding=encoding)
    assert all(line.isprintable() for line in output.split("\n"))


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(HOSTILE)
@example("".join(PIECES))
def test_a_terminal_gets_printable_lines(text: str) -> None:
    """Without colours no escape at all: there is none of our own, so any would be an attacker's."""
    output = terminal(lambda console: outputs(text, console))
    assert all(line.isprintable() for line in output.split("\n"))


@settings(max_examples=15, deadline=None)
@given(HOSTILE)
def test_json_stays_ascii(text: str) -> None:
    """All else is escaped."""
    records = hostile_host(text)
    report = report_of(records.report())
    assert report_json(report).isascii()
    assert inspection_json(find(report.stores, text)).isascii()


@pytest.mark.parametrize("width", [80, 160])
def test_overlong_names_stay_in_their_columns(width: int) -> None:
    """A name of thousands of characters is folded, and does not push figures off the screen."""
    output = terminal(lambda console: outputs("n" * 5000, console), width=width)
    assert max(map(len, output.splitlines())) <= width


def test_a_name_cannot_forge_a_row() -> None:
    """A line break in a name is shown, not made."""
    records = Records()
    records.container(None, name="web\nroot  0B", usage=Usage(size=5, allocated=5, inodes=1))
    output = pipe(lambda console: print_report(report_of(records.report()), console))
    assert [line[:13] for line in output.splitlines() if "root  0B" in line] == [r"web\nroot  0B"]
