"""What watching costs those who watch: series of a host, and a real Prometheus that judges a hundred."""

import json
import re
import shutil
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from exporter.sample.demo import build_demo
from exporter.sample.large import build_large
from tests.bench.figures import Figure
from tests.bench.service import Service, service
from tests.bench.simulated import INTERVAL, PAST, Fleet
from tests.stack.monitoring import Prometheus, fetch, prometheus

HOSTS = 100
CYCLES = 3
"""Evaluations of the rarest rules that are watched: they come once a minute."""
RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "layerstore.rules.yaml"


def figures(directory: Path) -> list[Figure]:
    """Series of a host of 300 images and 200 containers; what Prometheus does with a hundred hosts like the sample
    store, and with a hundred like that one."""
    large = _page(directory / "docker")
    limited = _page(directory / "limited", storage_opt_size="10G")
    build_demo(directory / "sample")
    with service(directory / "sample") as running:
        sample = _settled(running, 0)
    return [
        _series("series of a host", large, "300 images, 200 containers, default limits"),
        _series("series of a host, every container with a limit", limited, "the same, --storage-opt size= for all"),
        *_rules("sample stores", sample, directory / "small", limit=1.0),
        *_rules("hosts of 200 containers", large, directory / "large", limit=None),
    ]


def _page(root: Path, *, storage_opt_size: str | None = None) -> str:
    """What the exporter says of a large host once all of it is measured."""
    build_large(root, layers=1000, images=300, containers=200, seed=1, storage_opt_size=storage_opt_size)
    with service(root) as running:
        return _settled(running, 200)


def _settled(running: Service, containers: int) -> str:
    """What the exporter says once layers, areas and that many containers at least are measured."""
    layers = min(100, _count(running.scrape(), "layerstore_layer_info"))
    while True:
        page = running.scrape()
        measured = (
            _count(page, "layerstore_layer_allocated_bytes"),
            _count(page, "layerstore_container_upper_size_bytes"),
        )
        if "\nlayerstore_area_" in page and measured[0] >= layers and measured[1] >= containers:
            return page
        time.sleep(1)


def _count(page: str, metric: str) -> int:
    return len(re.findall(rf"^{metric}\{{", page, re.MULTILINE))


def _series(what: str, page: str, reference: str) -> Figure:
    count = len([line for line in page.splitlines() if line and not line.startswith("#")])
    return Figure(what=what, value=count, unit="", limit=3000, reference=reference)


def _rules(what: str, page: str, directory: Path, *, limit: float | None) -> list[Figure]:
    """How long all rules take for a hundred hosts that each say *page*, and what Prometheus needs for them."""
    if shutil.which("prometheus") is None:
        sys.stderr.write("Prometheus is not installed: rules are not measured\n")
        return []
    directory.mkdir()
    fleet = Fleet(page, hosts=HOSTS)
    with fleet.served() as address:
        configuration = _configuration(fleet, address)
        # Blocks of 12 hours: a Prometheus takes samples from half a block ago on.
        flags = ("--storage.tsdb.min-block-duration=12h", "--storage.tsdb.max-block-duration=12h")
        with prometheus(configuration, *flags, rules=RULES.read_text("utf-8"), directory=directory) as monitor:
            _until_known(monitor)
            taken = _evaluations(monitor)
            own = _own(monitor)
    often, seldom = (
        {name: seconds for (name, interval), seconds in taken.items() if (interval == INTERVAL) is wanted}
        for wanted in (True, False)
    )
    dearest = max(taken, key=taken.__getitem__)
    head, memory = own["prometheus_tsdb_head_series"], own["process_resident_memory_bytes"]
    return [
        Figure(
            what=f"rules of {HOSTS} {what}, one cycle of all",
            value=sum(taken.values()),
            unit="s",
            limit=limit,
            reference=f"every {INTERVAL} s {sum(often.values()):.2f} s, each minute {sum(seldom.values()):.2f} s; "
            f"dearest group {dearest[0]} {taken[dearest]:.2f} s; median of {CYCLES}",
        ),
        Figure(
            what=f"Prometheus' memory for {HOSTS} {what}",
            value=memory / 1e6,
            unit="MB",
            reference=f"{head:,.0f} series, {memory / head / 1000:.1f} kB each; the samples that rules look back at",
        ),
    ]


def _configuration(fleet: Fleet, address: str) -> str:
    """Each host is a target: the server's address, with the host's own path and name."""
    targets = [
        {"targets": [address], "labels": {"__metrics_path__": path, "instance": f"host-{number}"}}
        for number, path in enumerate(fleet.hosts)
    ]
    return json.dumps(
        {
            "global": {
                "scrape_interval": f"{INTERVAL}s",
                "scrape_timeout": f"{INTERVAL}s",
                "evaluation_interval": f"{INTERVAL}s",
            },
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "layerstore", "static_configs": targets}],
        }
    )


def _until_known(monitor: Prometheus) -> None:
    """Until Prometheus has the past of every host."""
    metric = "layerstore_filesystem_avail_bytes"
    wanted = int(PAST[metric]) // INTERVAL
    deadline = time.monotonic() + 300
    while len(monitor.query(f"count_over_time({metric}[6h]) >= {wanted}")) < HOSTS:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Prometheus does not know the past of {HOSTS} hosts within 300 s")
        time.sleep(5)


def _evaluations(monitor: Prometheus) -> Mapping[tuple[str, float], float]:
    """The median seconds that each group, by name and interval, takes from now on."""
    before = {group["name"]: group["lastEvaluation"] for group in monitor.groups()}
    taken: dict[tuple[str, float], dict[str, float]] = {}
    while len(taken) < len(before) or min(len(times) for times in taken.values()) < CYCLES:
        for group in monitor.groups():
            if group["lastEvaluation"] != before[group["name"]]:
                times = taken.setdefault((group["name"], group["interval"]), {})
                times[group["lastEvaluation"]] = group["evaluationTime"]
        time.sleep(2)
    return {group: statistics.median(times.values()) for group, times in taken.items()}


def _own(monitor: Prometheus) -> Mapping[str, float]:
    """What Prometheus says of itself, for what has no labels."""
    text = fetch(f"{monitor.url}/metrics").decode()
    return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)}
