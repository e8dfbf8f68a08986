"""The whole exporter beside a real engine: from what the engine does to what Prometheus scrapes."""

import time
from collections import Counter

from tests.engine.agreement import agree, chain_ids, survey_of, told_by_engine
from tests.engine.conftest import Tell
from tests.engine.docker import Docker
from tests.engine.images import BASE, build
from tests.engine.processes import run
from tests.engine.scraped import expected_of_scrape, populate, short, told_by_scrape
from tests.engine.serving import Scrape, exporting
from tests.requirements import required


def test_a_scrape(own_docker: Docker, tell: Tell) -> None:
    """What Prometheus scrapes is what the engine says, and promtool has no remark on how it is written."""
    populate(own_docker)
    tell(agree(own_docker, survey_of(own_docker)))
    facts = told_by_engine(own_docker)

    with exporting(own_docker.data_root) as exporter:
        scrape = exporter.scrape()

    figures = expected_of_scrape(facts)
    assert figures == told_by_scrape(scrape)
    tell(Counter(scraped_figures=sum(len(values) for values in figures.values())))
    assert {
        (key, container.name, container.image, short(container.image_id), container.state)
        for key, container in facts.containers.items()
    } == {
        (labels["full_id"], labels["name"], labels["image"], labels["image_id"], labels["state"])
        for labels in scrape.labels("layerstore_container_info")
    }
    layers = {(labels["full_id"], labels["diff_id"]) for labels in scrape.labels("layerstore_layer_info")}
    assert layers == {
        pair for image in facts.images.values() for pair in zip(chain_ids(image.diff_ids), image.diff_ids, strict=True)
    }
    run(required("promtool"), "check", "metrics", stdin=scrape.text.encode())


def test_hints_bring_the_scan_forward(own_docker: Docker, tell: Tell) -> None:
    """A new container is on ``/metrics`` within seconds, though the next scan is an hour away; so is its removal."""
    build(own_docker, BASE, tag="base")
    with exporting(own_docker.data_root, "--scan.interval=1h") as exporter:
        waits = []
        for name in ("first", "second", "third"):
            container_id = short(
                own_docker.cli("run", "--detach", "--network=none", f"--name={name}", "base", "sleep", "9")
            )

            def known(scrape: Scrape, wanted: str = container_id) -> bool:
                return wanted in scrape.by("container_id", "layerstore_container_upper_size_bytes")

            def gone(scrape: Scrape, unwanted: str = container_id) -> bool:
                return unwanted not in scrape.text

            scrape, waited = exporter.scrape_until(known, seconds=20)
            assert known(scrape)
            waits.append(waited)
            own_docker.cli("rm", "--force", name)
            scrape, waited = exporter.scrape_until(gone, seconds=20)
            assert gone(scrape)
            waits.append(waited)
    tell(Counter({"ms at most from a change to the scrape": int(1000 * max(waits))}))
    # Half a second after the last hint or two after the first, and the scan itself, on a machine that is busy.
    assert max(waits) < 6


def test_a_container_that_writes(own_docker: Docker) -> None:
    """The upper layer's size follows what a container writes, scan by scan, though no record changes."""
    build(own_docker, BASE, tag="base")
    container_id = short(own_docker.cli("run", "--detach", "--network=none", "--name=writer", "base", "sleep", "86400"))
    with exporting(own_docker.data_root, "--scan.interval=200ms") as exporter:
        for written in (100_000, 250_000, 30_000):
            own_docker.cli("exec", "writer", "sh", "-c", f"head -c {written} /dev/urandom > /file")

            def follows(scrape: Scrape, size: int = written) -> bool:
                return scrape.by("container_id", "layerstore_container_upper_size_bytes")[container_id] == size

            scrape, _ = exporter.scrape_until(follows, seconds=10)
            assert written == scrape.by("container_id", "layerstore_container_upper_size_bytes")[container_id]


def test_the_end(docker: Docker) -> None:
    """Told to end, the exporter does so within a second, and calls it a success."""
    with exporting(docker.data_root) as exporter:
        started = time.monotonic()
        exit_code = exporter.daemon.end()
        took = time.monotonic() - started

    assert exit_code == 0
    assert took < 1
