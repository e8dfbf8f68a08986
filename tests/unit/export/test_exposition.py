"""What a scrape gets: formats, compression, and what is kept from scrape to scrape."""

import gzip
import io
import threading
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.samples import Sample

from exporter.export.exposition import Exposed, Exposition, negotiate, process_families

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


class Samples(list[Sample]):
    """Samples that remember which thread looked at them."""

    def __init__(self, *samples: Sample) -> None:
        super().__init__(samples)
        self.readers: list[str] = []

    def __iter__(self) -> Iterator[Sample]:
        self.readers.append(threading.current_thread().name)
        return super().__iter__()


def figure(name: str, value: float) -> Metric:
    return GaugeMetricFamily(name, "A figure.", value=value)


def watched(name: str) -> tuple[Metric, Samples]:
    """A family, and the record of who rendered it."""
    family = GaugeMetricFamily(name, "A figure.")
    samples = Samples(Sample(name, {}, 1.0))
    family.samples = samples
    return family, samples


def exposition_of(*families: Metric, own: tuple[Metric, ...] = ()) -> Exposition:
    exposition = Exposition(lambda: own)
    exposition.publish(families)
    return exposition


def text(exposed: Exposed) -> str:
    body = b"".join(exposed.body)
    return (gzip.decompress(body) if exposed.compressed else body).decode()


def sampled(exposition: Exposition, accept: str = "") -> list[str]:
    """The lines of a scrape that hold values."""
    return [line for line in text(exposition.expose(accept, compressed=False)).splitlines() if line[0] != "#"]


@pytest.mark.parametrize("accept", ["", PROMETHEUS_2, PROMETHEUS_3], ids=["none", "Prometheus 2", "Prometheus 3"])
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_the_report_comes_first_and_the_exporters_own_figures_last(accept: str, compressed: bool) -> None:
    """One text holds both; OpenMetrics ends with one ``# EOF``, the text format with none."""
    exposition = exposition_of(figure("report", 1), own=(figure("own", 2),))

    lines = text(exposition.expose(accept, compressed=compressed)).splitlines()

    families = ["# HELP report A figure.", "# TYPE report gauge", "report 1.0"]
    families += ["# HELP own A figure.", "# TYPE own gauge", "own 2.0"]
    assert families + ["# EOF"] * bool(accept) == lines


def test_a_compressed_answer_is_one_gzip_member() -> None:
    """A reader that stops after the first member (curl, browsers) misses nothing."""
    exposition = exposition_of(figure("report", 1), own=(figure("own", 2),))
    exposed = exposition.expose("", compressed=True)

    reader = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    first_member = reader.decompress(b"".join(exposed.body))

    assert (reader.eof, reader.unused_data) == (True, b"")
    assert text(exposition.expose("", compressed=False)).encode() == first_member


def test_large_reports_compress_to_what_they_were() -> None:
    """Continuing a kept compressor gives a stream that any reader takes, however much came before."""
    family = GaugeMetricFamily("report", "A figure.", labels=("n",))
    for number in range(20_000):
        family.add_metric((str(number * 7919),), number)
    exposition = exposition_of(family, own=(figure("own", 2),))

    whole = text(exposition.expose("", compressed=False))
    for _ in range(2):
        with gzip.open(io.BytesIO(b"".join(exposition.expose("", compressed=True).body))) as file:
            assert whole.encode() == file.read()


def test_own_figures_are_of_the_moment_of_the_scrape() -> None:
    """The report's text stays the same object from scrape to scrape, the own figures are new."""
    moments = iter(range(10))
    exposition = Exposition(lambda: [figure("own", next(moments))])
    exposition.publish([figure("report", 1)])

    one, other = (exposition.expose("", compressed=False) for _ in range(2))

    assert one.body[0] is other.body[0]
    assert (text(one).splitlines()[-1], text(other).splitlines()[-1]) == ("own 0.0", "own 1.0")


def test_scrapes_in_quick_succession_share_their_bytes() -> None:
    """Within the time that is given the own figures are not read again, unless the format or the report is another."""
    moments, at = iter(range(10)), [100.0]
    exposition = Exposition(lambda: [figure("own", next(moments))], fresh_for=0.1, monotonic=lambda: at[0])
    exposition.publish([figure("report", 1)])

    def last_line(accept: str = "") -> str:
        return text(exposition.expose(accept, compressed=False)).removesuffix("# EOF\n").splitlines()[-1]

    assert [last_line(), last_line(), last_line(OPENMETRICS)] == ["own 0.0", "own 0.0", "own 1.0"]
    at[0] += 0.05
    assert last_line() == "own 0.0"
    exposition.publish([figure("report", 2)])
    assert last_line() == "own 2.0"
    at[0] += 0.2
    assert last_line() == "own 3.0"


def test_a_new_report_replaces_the_old_one_whole() -> None:
    """Nothing is reported from memory of what no longer exists, in no format, compressed or not."""
    exposition = exposition_of(figure("old", 1))
    for accept in ("", OPENMETRICS):
        for compressed in (False, True):
            exposition.expose(accept, compressed=compressed)

    exposition.publish([figure("new", 2)])

    for accept in ("", OPENMETRICS):
        for compressed in (False, True):
            lines = text(exposition.expose(accept, compressed=compressed)).splitlines()
            assert [line for line in lines if line[0] != "#"] == ["new 2.0"]


def test_what_scrapers_ask_for_is_rendered_before_they_ask() -> None:
    """The first scrape has a report rendered; the next report is rendered by whoever publishes it, once."""
    first, first_samples = watched("first")
    second, second_samples = watched("second")
    exposition = exposition_of(first)
    assert first_samples.readers == []

    def scrape() -> None:
        exposition.expose("", compressed=True)

    def publish() -> None:
        exposition.publish([second])

    for name, work in (("scrape", scrape), ("scrape", scrape), ("publish", publish), ("scrape", scrape)):
        thread = threading.Thread(target=work, name=name)
        thread.start()
        thread.join()

    assert first_samples.readers == ["scrape"]
    assert second_samples.readers == ["publish"]


def test_before_the_first_report_there_are_only_own_figures() -> None:
    """A scrape at the start is answered, and says nothing about the host."""
    exposition = Exposition(lambda: [figure("own", 1)])

    assert not exposition.published
    assert sampled(exposition) == ["own 1.0"]
    exposition.publish([])
    assert exposition.published


@pytest.mark.parametrize(
    ("expected", "accept"),
    [
        (PLAIN, ""),
        (PLAIN, "*/*"),
        (PLAIN, "text/html,application/xhtml+xml,*/*;q=0.8"),
        (PLAIN, "text/plain;version=0.0.4"),
        ("text/plain; version=1.0.0; charset=utf-8; escaping=underscores", "text/plain;version=1.0.0"),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores", PROMETHEUS_2),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8", PROMETHEUS_3),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", "application/openmetrics-text"),
        (PLAIN, "application/openmetrics-text;version=0.0.1"),
        (PLAIN, "application/openmetrics-text;version=9.0.0"),
        (PLAIN, 'application/openmetrics-text;version="1.0.0"'),
        (PLAIN, "application/openmetrics-text;version=new"),
        (PLAIN, "text/plain;version=1.x"),
        (PLAIN, ";;,,;=;version=,"),
    ],
)
def test_the_format_is_what_the_client_asks_for(expected: str, accept: str) -> None:
    """OpenMetrics only for clients that ask for a version of it that is written here; plain text for all else."""
    assert expected == negotiate(accept)[1]


@given(st.text(st.sampled_from("applicationopenmetrics-text/plain;version=1.0,9q*escaping dots-utf8"), max_size=80))
def test_no_accept_header_breaks_a_scrape(accept: str) -> None:
    """Whatever a client sends, it gets one of the formats, ended as that format ends."""
    form, content_type = negotiate(accept)

    assert content_type.startswith(("text/plain; version=", "application/openmetrics-text; version="))
    assert content_type.startswith("application/") == form.is_openmetrics


def test_names_with_dots_are_escaped_for_who_asks() -> None:
    """Of the escaping schemes only ``dots`` changes names like ours."""
    exposition = exposition_of(figure("a_b", 1))

    shown = {
        scheme: sampled(exposition, f"text/plain;version=1.0.0;escaping={scheme}")
        for scheme in ("allow-utf-8", "underscores", "values", "dots")
    }

    same = ["a_b 1.0"]
    assert {"allow-utf-8": same, "underscores": same, "values": same, "dots": ["a__b 1.0"]} == shown


def test_the_process_and_python_are_described() -> None:
    """The client library's own figures are there, and registered nowhere, so that two expositions can stand side by
    side."""
    exposition = Exposition(process_families())

    names = {line.split("{")[0].split(" ")[0] for line in sampled(exposition)}

    expected = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "python_info"}
    assert expected <= names
    assert set() == names & {line.split("{")[0].split(" ")[0] for line in sampled(exposition_of(figure("a", 1)))}


def test_scrapes_and_reports_at_once_never_mix() -> None:
    """While reports follow each other, every scrape in every format is of one report only, compressed or not."""
    exposition = exposition_of(figure("report", 0), figure("again", 0))
    stop, mixed = threading.Event(), []

    def scrape(accept: str, compressed: bool) -> None:
        while not stop.is_set():
            lines = text(exposition.expose(accept, compressed=compressed)).splitlines()
            found = {line.split(" ")[1] for line in lines if line[0] != "#"}
            if len(found) != 1:
                mixed.append(lines)

    threads = [
        threading.Thread(target=scrape, args=(accept, compressed))
        for accept in ("", OPENMETRICS)
        for compressed in (False, True)
    ]
    for thread in threads:
        thread.start()
    for number in range(300):
        exposition.publish([figure("report", number), figure("again", number)])
    stop.set()
    for thread in threads:
        thread.join()

    assert mixed == []
