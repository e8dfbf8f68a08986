"""The whole way once, with nothing but real parts: a container writes, the exporter measures, Prometheus judges,
Alertmanager tells. And every expression that users load, evaluated where it is meant to work.

The rules are the ones that users load, but for their scale: what takes a minute in ``layerstore.rules.yaml`` takes a
second here, and what is a GiB there is a MiB.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exporter.sample.builder import StoreBuilder
from tests.engine import images
from tests.engine.docker import Docker
from tests.stack.monitoring import (
    Notification,
    Prometheus,
    Receiver,
    alertmanager,
    exporter,
    prometheus,
    wait_for,
)

pytestmark = [pytest.mark.engine, pytest.mark.stack]

REPOSITORY = Path(__file__).parents[2]
RULES = REPOSITORY / "deploy" / "prometheus" / "layerstore.rules.yaml"
DASHBOARDS = REPOSITORY / "grafana" / "dashboards"

SCRAPE_INTERVAL = 2.0
ALERT = "LayerstoreUpperGrowingFast"
FOR = 10.0
"""Seconds that the alert's condition has to hold: its ``for`` is 10 minutes."""

PROJECT = 'say "shop"\nand \\ go'
"""A Compose project as only a test would name it: quotes, a newline and a backslash in a label."""

WRITER = """
while [ ! -e /go ]; do sleep 0.1; done
while :; do dd if=/dev/zero bs=1M count=1 >> /written 2>/dev/null; echo written; sleep 0.2; done
"""

EMPTY: Mapping[str, str] = {
    "LayerstoreExporterDown warning": "all exporters answer",
    "LayerstoreIntegrityProblems warning": "all records are sound",
    "LayerstoreNoStore warning": "each host has a store",
    "LayerstoreOrphanedBytes warning": "the sample's orphan is smaller than the threshold",
    "LayerstoreReclaimableBytes info": "what could be freed is little beside the disk",
    "LayerstoreScanFailing warning": "no stage fails",
    "LayerstoreScanStale warning": "all figures are seconds old",
    "LayerstoreStrandedStore info": "no engine switched drivers",
    "LayerstoreUpperNearLimit warning": "the sample's limit is far above what is written",
    "LayerstoreUppersInexact warning": "every upper layer is seen whole",
    "LayerstoreWatchIncomplete info": "all directories are watched",
    "LayerstoreWatchOverflow info": "nothing overflowed",
    "host: Damaged records by kind A": "all records are sound",
    "fleet: Exporters that need a look A": "every exporter answers and reads its host",
}
"""Expressions that give nothing on these hosts, by place, and why. One that gives something must leave this list."""

_PACE = "a forecast: there is none where whatever else runs here frees more space than the writer takes"
_DISK = "the disk of the machine under the test may be nearly full or empty"

DEPENDS: Mapping[str, str] = {
    "LayerstoreContainerLogGrowingFast warning": "the sample's log grows at about the pace of the threshold",
    "LayerstoreFilesystemFilling critical": _DISK,
    "LayerstoreFilesystemFilling warning": _DISK,
    "LayerstoreFilesystemFull critical": _DISK,
    "LayerstoreInodesRunningOut warning": _DISK,
    "LayerstoreUpperFillingFilesystem critical": _DISK,
    "store:layerstore_filesystem_avail_bytes:seconds_to_full1h": _PACE,
    "store:layerstore_filesystem_avail_bytes:seconds_to_full6h": _PACE,
    "instance:layerstore_filesystem_avail_bytes:min_seconds_to_full1h": _PACE,
    "fleet:layerstore_filesystem_avail_bytes:min_seconds_to_full1h": _PACE,
    "host: Full in A": _PACE,
    "fleet: Hosts by free space B": _PACE,
    "store:layerstore_filesystem_files_free:ratio": "absent on filesystems that make inodes as they need them",
}
"""Expressions that may give something or nothing, because of the machine that the test runs on or of the moment, and
why."""


def scaled(rules: str) -> str:
    """The rules with minutes as seconds, and GiB as MiB."""
    seconds = {"m": 1, "h": 60}
    rules = re.sub(r"\[(\d+)([mh])\]", lambda window: f"[{int(window[1]) * seconds[window[2]]}s]", rules)
    rules = re.sub(
        r"\b(for|interval): (\d+)([mh])\b", lambda rule: f"{rule[1]}: {int(rule[2]) * seconds[rule[3]]}s", rules
    )
    return rules.replace("1024 ^ 3", "1024 ^ 2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What an expression gave."""

    expr: str
    series: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """All that happened."""

    started: float
    """When the container was told to write, by the monotonic clock."""
    labels: Mapping[str, str]
    """Those that the alert of the container must have."""
    fired: Notification
    removed: float
    """When the container was gone, by the monotonic clock."""
    resolved: Notification
    evaluated: Mapping[str, Evaluated]
    """By place: file and title of a panel and letter of its query, or name of a rule."""


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """What happens on three hosts: a real Docker with two exporters, each scraped twice; a sample store, which is
    another engine; and an engine without containers."""
    directory = tmp_path_factory.mktemp("stack")
    receiver = Receiver()
    with ExitStack() as stack:
        docker = stack.enter_context(Docker())
        container = _containers(docker)
        StoreBuilder(directory / "empty").layer({"file": 1000})
        hosts = {
            "docker": ("--path.docker-root", str(docker.data_root), "--scan.interval=1s", "--scan.cpu-budget=50%"),
            "beside": ("--path.docker-root", str(docker.data_root)),
            "empty": ("--path.docker-root", str(directory / "empty")),
            "sample": ("demo",),
        }
        addresses = {
            name: stack.enter_context(exporter(*arguments, log=directory / f"{name}.log"))
            for name, arguments in hosts.items()
        }
        manager = stack.enter_context(alertmanager(stack.enter_context(receiver.listening()), directory=directory))
        configuration = _configuration(addresses, manager)
        monitor = stack.enter_context(
            prometheus(configuration, rules=scaled(RULES.read_text("utf-8")), directory=directory)
        )
        known = f'layerstore_container_upper_allocated_bytes{{container_id="{container[:12]}"}}'
        # One more scrape than the first: growth is a difference of two.
        wait_for(lambda: len(monitor.query(f"count_over_time({known}[1m]) > 1")) == 4, "two scrapes", seconds=40)

        labels = {
            "alertname": ALERT,
            "severity": "warning",
            "job": "layerstore",
            "instance": addresses["docker"],
            "store": "overlay2",
            "container_id": container[:12],
            "name": "writer",
            "image": "shop:1",
            "compose_project": PROJECT,
            "compose_service": "worker",
        }
        started = time.monotonic()
        docker.cli("exec", "writer", "touch", "/go")
        fired = _notified(receiver, "firing", labels)
        evaluated = {**_rules(monitor), **_panels(monitor)}
        docker.cli("rm", "--force", "writer")
        removed = time.monotonic()
        resolved = _notified(receiver, "resolved", labels)
        yield Observed(
            started=started,
            labels=labels,
            fired=fired,
            removed=removed,
            resolved=resolved,
            evaluated=evaluated,
        )


def test_a_runaway_container_is_told_in_time(observed: Observed, capsys: pytest.CaptureFixture[str]) -> None:
    """The webhook hears of a container that writes without end within three scrape intervals, and what the alert
    waits, after it began; and it hears which container of which image on which host that is."""
    took = observed.fired.at - observed.started
    with capsys.disabled():
        print(f"\nthe alert arrived after {took:.1f} s, of which it waits {FOR:.0f} s")  # noqa: T201 - a figure to see
    assert took <= 3 * SCRAPE_INTERVAL + FOR
    assert observed.fired.labels == observed.labels
    assert "Container writer" in observed.fired.annotations["summary"]


def test_the_alert_ends_with_its_container(observed: Observed, capsys: pytest.CaptureFixture[str]) -> None:
    """The webhook hears that it is over once the container is removed: within three scrape intervals, and a second in
    which Alertmanager gathers."""
    took = observed.resolved.at - observed.removed
    with capsys.disabled():
        print(f"\nthe alert was resolved {took:.1f} s after the container's removal")  # noqa: T201 - a figure to see
    assert took <= 3 * SCRAPE_INTERVAL + 1
    assert observed.resolved.labels == observed.labels


def test_every_expression_works(observed: Observed) -> None:
    """Prometheus evaluates every expression of every panel and rule without an error, whatever labels hold, on two
    exporters of one host, on a host without containers and on another engine."""
    errors = {place: result.error for place, result in observed.evaluated.items() if result.error}
    assert errors == {}


def test_every_expression_gives_something(observed: Observed) -> None:
    """Each gives data, but for those that are listed with their reason; and each that is listed gives none."""
    gave = {place: result.series for place, result in observed.evaluated.items()}
    empty = {place for place, series in gave.items() if series == 0}
    listed = EMPTY.keys() | DEPENDS.keys()
    assert "\n".join(sorted(empty - listed)) == "", "these give nothing"
    assert "\n".join(sorted(EMPTY.keys() - empty)) == "", "these give something, or are not there"
    assert "\n".join(sorted(DEPENDS.keys() - gave.keys())) == "", "these are not there"


def _containers(docker: Docker) -> str:
    """Two images that share layers, a container that does nothing, and one that writes when it is told to; its ID."""
    images.build(docker, images.BASE, tag="base:1")
    images.build(docker, "FROM base:1\nRUN echo shop > /srv/shop", tag="shop:1")
    docker.cli("run", "--detach", "--network=none", "--name=idle", "base:1", "sleep", "1000")
    return docker.cli(
        "run",
        "--detach",
        "--network=none",
        "--name=writer",
        f"--label=com.docker.compose.project={PROJECT}",
        "--label=com.docker.compose.service=worker",
        "shop:1",
        "sh",
        "-c",
        WRITER,
    )


def _configuration(addresses: Mapping[str, str], manager: str) -> str:
    """Scrapes all; one exporter by two jobs, one twice by the same job with another label, as by a second team, and one
    as if it were of a cluster."""
    targets: list[Mapping[str, Any]] = [
        {"targets": [addresses["docker"], addresses["beside"], addresses["empty"]]},
        {"targets": [addresses["beside"]], "labels": {"team": 'the "second"'}},
        {"targets": [addresses["sample"]], "labels": {"cluster": "sample"}},
    ]
    other = {"job_name": "other-layerstore", "static_configs": [{"targets": [addresses["docker"]]}]}
    return configuration_of(targets, manager, other)


def configuration_of(targets: Sequence[Mapping[str, Any]], manager: str, *others: Mapping[str, Any]) -> str:
    """Scrapes *targets* as the job ``layerstore``, and other jobs; tells an Alertmanager."""
    configuration = {
        "global": {"scrape_interval": f"{SCRAPE_INTERVAL:g}s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [manager]}]}]},
        "scrape_configs": [{"job_name": "layerstore", "static_configs": targets}, *others],
    }
    # JSON is YAML.
    return json.dumps(configuration)


def _notified(receiver: Receiver, status: str, labels: Mapping[str, str]) -> Notification:
    identity = {name: labels[name] for name in ("alertname", "job", "instance", "container_id")}
    wait_for(lambda: receiver.first(status, identity) is not None, f"{status} {identity}", seconds=60)
    notification = receiver.first(status, identity)
    assert notification is not None
    return notification


def _rules(monitor: Prometheus) -> Mapping[str, Evaluated]:
    """Every rule's expression, and what Prometheus itself said when it evaluated it."""
    found: dict[str, Evaluated] = {}
    for rule in monitor.rules():
        extra = [value for name, value in sorted(rule.get("labels", {}).items()) if name in ("severity", "stage")]
        place = " ".join([rule["name"], *extra])
        assert place not in found
        found[place] = _evaluate(monitor, rule["query"], error=rule.get("lastError", ""))
    return found


def _panels(monitor: Prometheus) -> Mapping[str, Evaluated]:
    """Every panel's expressions, with everything chosen."""
    found: dict[str, Evaluated] = {}
    for path in sorted(DASHBOARDS.glob("*.json")):
        dashboard = json.loads(path.read_text("utf-8"))
        for target, title in _targets(dashboard["panels"]):
            place = f"{path.stem}: {title} {target['refId']}"
            assert place not in found
            found[place] = _evaluate(monitor, _substituted(target["expr"]))
        annotation = dashboard["annotations"]["list"][0]
        found[f"{path.stem}: annotation {annotation['name']}"] = _evaluate(monitor, _substituted(annotation["expr"]))
    return found


def _targets(panels: Sequence[Any]) -> Iterator[tuple[Any, str]]:
    for panel in panels:
        for target in panel.get("targets", ()):
            yield target, panel["title"]


def _substituted(expr: str) -> str:
    """As Grafana sends it where all is chosen, and time is scaled as the rules'."""
    expr = expr.replace("$__rate_interval", f"{4 * SCRAPE_INTERVAL:g}s").replace("[1h]", "[60s]")
    expr = re.sub(r'"\$(cluster|job|instance|container)"', '".*"', expr)
    assert "$" not in expr
    return expr


def _evaluate(monitor: Prometheus, expr: str, *, error: str = "") -> Evaluated:
    try:
        series = len(monitor.query(expr))
    except AssertionError as failure:
        return Evaluated(expr=expr, series=0, error=str(failure))
    return Evaluated(expr=expr, series=series, error=error)
