"""A damaged record, from the disk to the scrape: one line in the log, one problem, and all else as it was."""

import shutil
from pathlib import Path

import structlog
from prometheus_client.parser import text_string_to_metric_families

from exporter.export.exposition import Exposition
from exporter.export.metrics.report import families
from tests.unit import daemons
from tests.unit.daemons import WHOLE_ROUND
from tests.unit.store.damage import Record, every_record
from tests.unit.store.hosts import build_host

ROUNDS = 4
MAY_GO = ("layerstore_directories", "layerstore_reclaimable", "layerstore_image_info", "layerstore_container_info")
"""Figures that are only told where all is known that they follow from, and what names somebody."""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(daemon: daemons.Host) -> Samples:
    """Every series of the last report, as a scraper reads it."""
    exposition = Exposition(list)
    exposition.publish(families(daemon.reports[-1], layer_limit=100, image_limit=100))
    text = b"".join(exposition.expose("", compressed=False).body).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "filesystem" not in sample.name
    }


def of(samples: Samples, *identities: str) -> Samples:
    """The series with one of these identities in a label, without the moments of measurements."""
    return {
        key: 0 if "upper" in key[0] and "timestamp" in key[0] else value
        for key, value in samples.items()
        if any(identity in dict(key[1]).values() for identity in identities)
    }


@every_record
def test_a_damaged_record(tmp_path: Path, record: Record) -> None:
    """However often it is read: it is told once, counted once, and what has nothing to do with it is not touched."""
    damaged = build_host(tmp_path / "docker")
    shutil.rmtree(damaged.mount(damaged.builder))  # nobody's, so a problem of its own
    daemon = daemons.Host(tmp_path / "daemon")
    daemon.root = damaged.root
    daemon.run(*WHOLE_ROUND)
    before = scrape(daemon)

    record.path(damaged).write_bytes(b"\xff\xfe rubbish")
    with structlog.testing.capture_logs() as lines:
        daemon.run(*WHOLE_ROUND * ROUNDS)
    after = scrape(daemon)

    told = [(line["path"], line["problem"]) for line in lines if line["event"] == "problem found"]
    assert [(str(record.path(damaged)), record.malformed.value)] == told
    problems = {
        dict(labels)["problem"]: value
        for (name, labels), value in after.items()
        if name == "layerstore_integrity_problems" and value
    }
    assert {record.malformed.value: 1.0} == problems
    untouched = [identity.removeprefix("sha256:")[:12] for identity in (damaged.tool, damaged.other, damaged.exited)]
    if record.path(damaged).name != "repositories.json":
        assert of(before, *untouched) == of(after, *untouched) != {}
    gone = before.keys() - after.keys() - of(before, *map(identity_of, record.takes(damaged))).keys()
    assert {key for key in gone if not key[0].startswith(MAY_GO)} == set()


def identity_of(taken: tuple[str, str]) -> str:
    """The label of a layer, image or container that a damaged record may take along."""
    return taken[1].removeprefix("sha256:")[:12]
