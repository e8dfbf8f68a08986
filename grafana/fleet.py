"""The dashboard *Fleet*: which host fills up first, which container anywhere grows fastest."""

from typing import Final

from grafana.frame import FLEET_UID, Page, Section
from grafana.palette import FREE_SHARE, GOOD, NONE_WANTED, ORPHANED, OWNERS, PLAIN, TIME_LEFT, WARNING, WRITTEN
from grafana.panels import FIRING, About, Column, Query, bars, lines, number, of, rows
from grafana.tables import ALERTS, CONTAINERS, HOSTS

_UPPER: Final = "layerstore_container_upper_allocated_bytes"
_FREE: Final = "store:layerstore_filesystem_avail_bytes:ratio"
_TO_FULL: Final = "instance:layerstore_filesystem_avail_bytes:min_seconds_to_full1h"
_UP: Final = of("up", 'job=~".*layerstore.*"')
_SAMPLES: Final = of("scrape_samples_scraped", 'job=~".*layerstore.*"')
_ILL: Final = of("ALERTS", 'alertname=~"Layerstore(ExporterDown|NoStore|Scan.+|Watch.+)"')
_MEASURING: Final = "not measured yet: the first pass over a whole store can take minutes"


def _overview() -> Section:
    return Section(
        title="At a glance",
        panels=[
            number(
                About(title="Hosts", description="Exporters that answer.", unit="short", width=4, height=4),
                Query(expr=f"sum({_UP})"),
            ),
            number(
                About(
                    title="Not answering",
                    description="Exporters that Prometheus knows and cannot scrape.",
                    unit="short",
                    width=4,
                    height=4,
                ),
                Query(expr=f"sum(1 - {_UP})"),
                steps=NONE_WANTED,
            ),
            number(
                About(
                    title="Hosts full within a day",
                    description="Hosts whose free space, at the pace of the last hour, is gone within 24 hours.",
                    unit="short",
                    width=4,
                    height=4,
                ),
                Query(expr=f"count({of(_TO_FULL)} < 24 * 3600) or vector(0)"),
                steps=[(None, GOOD), (1, WARNING)],
            ),
            number(
                About(
                    title="Written by containers",
                    description="Disk space of all upper (write) layers of all hosts, as du counts it.",
                    unit="bytes",
                    width=4,
                    height=4,
                    empty="no container on any host",
                ),
                Query(expr=f"sum({of(f'instance:{_UPPER}:sum')})"),
            ),
            number(
                About(
                    title="Shared",
                    description="Of the bytes in read-only layers, the share in layers that two or more images of a "
                    "host use: the mean of all hosts.",
                    unit="percentunit",
                    width=4,
                    height=4,
                    empty="no layer on any host",
                ),
                Query(expr=f"avg({of('instance:layerstore_layers_size_bytes:shared_ratio')})"),
            ),
            number(
                About(
                    title="Alerts firing",
                    description="Layerstore alerts that fire now on any host.",
                    unit="short",
                    width=4,
                    height=4,
                ),
                Query(
                    expr=f"count({FIRING}) or vector(0)",
                ),
                steps=NONE_WANTED,
            ),
        ],
    )


def _hosts() -> Section:
    owned = of("instance_owner:layerstore_directories_allocated_bytes:sum")
    orphans = of("instance_owner:layerstore_directories_allocated_bytes:sum", 'owner="orphan"')
    return Section(
        title="Hosts",
        panels=[
            rows(
                About(
                    title="Hosts by free space",
                    description="Each host's fullest store first. Full in is the soonest of its stores. Written is "
                    "what its containers' upper layers take. A click on a host shows it.",
                    unit="short",
                    width=24,
                    height=9,
                ),
                HOSTS.rows({"instance": 200}, sort="Free", ascending=True),
                Column(
                    title="Free",
                    expr=f"min by (instance) ({of(_FREE)})",
                    unit="percentunit",
                    width=100,
                    steps=FREE_SHARE,
                ),
                Column(
                    title="Full in",
                    expr=f"min by (instance) ({of(_TO_FULL)})",
                    unit="s",
                    width=120,
                    empty="not filling",
                    steps=TIME_LEFT,
                ),
                Column(
                    title="Written",
                    expr=HOSTS.each(of(f"instance:{_UPPER}:sum")),
                    unit="bytes",
                    width=200,
                    gauge=WRITTEN,
                    empty="no container",
                ),
                Column(
                    title="In 1 h",
                    expr=HOSTS.each(of(f"instance:{_UPPER}:sum_delta1h")),
                    unit="bytes",
                    width=110,
                ),
                Column(
                    title="Orphaned",
                    expr=HOSTS.each(orphans),
                    unit="bytes",
                    width=140,
                    empty="not known yet",
                    steps=ORPHANED,
                ),
                Column(
                    title="Damaged records",
                    expr=HOSTS.each(of("instance:layerstore_integrity_problems:sum")),
                    unit="short",
                    width=140,
                    steps=NONE_WANTED,
                ),
            ),
            lines(
                About(
                    title="Least free space",
                    description="Free share of the filesystem of the ten fullest stores.",
                    unit="percentunit",
                ),
                Query(expr=f"bottomk(10, {of(_FREE)})", legend="{{instance}} {{store}}"),
                most=1,
            ),
            lines(
                About(
                    title="Where the disk goes",
                    description="Disk space of the storage directories of all hosts by whose they are.",
                    unit="bytes",
                    empty=_MEASURING,
                ),
                Query(expr=f"sum by (owner) ({owned})", legend="{{owner}}"),
                stacked=True,
                colours=OWNERS,
            ),
        ],
    )


def _containers() -> Section:
    growing = of(f"fleet:{_UPPER}:topk20_delta1h", 'instance=~"$instance"')
    largest = of(f"fleet:{_UPPER}:topk20", 'instance=~"$instance"')
    widths = {"name": 150, "instance": 150, "store": 100}
    return Section(
        title="Containers anywhere",
        panels=[
            rows(
                About(
                    title="Fastest-growing containers",
                    description="The containers whose upper layers gained most disk space within the last hour, of the "
                    "20 fastest in each cluster. A click on a name shows it.",
                    unit="short",
                    empty="no upper layer grew within the last hour",
                ),
                CONTAINERS.rows(widths, sort="In 1 h"),
                Column(
                    title="In 1 h",
                    expr=CONTAINERS.each(growing),
                    unit="bytes",
                    width=160,
                    gauge=WRITTEN,
                ),
            ),
            rows(
                About(
                    title="Largest containers",
                    description="The containers with the largest upper layers, of the 20 largest in each cluster. A "
                    "click on a name shows it.",
                    unit="short",
                    empty="no container on any host",
                ),
                CONTAINERS.rows(widths, sort="Allocated"),
                Column(
                    title="Allocated",
                    expr=CONTAINERS.each(largest),
                    unit="bytes",
                    width=160,
                    gauge=WRITTEN,
                ),
            ),
            lines(
                About(
                    title="Growth by host",
                    description="Disk space that all upper layers of a host together gained within 5 minutes, for the "
                    "ten hosts where they gained most. Below 0 they gave back.",
                    unit="bytes",
                    width=24,
                    height=7,
                    empty="no container on any host",
                ),
                Query(expr=f"topk(10, {of(f'instance:{_UPPER}:sum_delta5m')})", legend="{{instance}}"),
                least=None,
            ),
        ],
    )


def _stores() -> Section:
    return Section(
        title="Stores and layers",
        panels=[
            bars(
                About(
                    title="Layers on most hosts",
                    description="On how many hosts of a cluster the same layer lies, for the 20 layers that lie on "
                    "most: what a registry mirror or a common base image serves. Counted over all hosts, whichever are "
                    "chosen above.",
                    unit="short",
                    empty="no layer on any host",
                ),
                Query(expr=of("fleet:layerstore_layer_info:topk20_hosts"), legend="{{chain_id}}"),
                steps=PLAIN,
            ),
            bars(
                About(
                    title="Stores by engine",
                    description="How many stores of each engine and driver there are. One that is not active was left "
                    "behind by a switch of drivers, and still takes its space.",
                    unit="short",
                ),
                Query(
                    expr=f"count by (engine, driver, active) ({of('layerstore_store_info')})",
                    legend="{{engine}} {{driver}}, active: {{active}}",
                ),
                steps=PLAIN,
            ),
        ],
    )


def _coverage() -> Section:
    return Section(
        title="Exporters",
        panels=[
            rows(
                About(
                    title="Exporters that need a look",
                    description="Exporters that do not answer, find no store, fail at a stage of their work, tell old "
                    "figures or miss changes: their alerts, from when the condition holds. A click on a host shows it.",
                    unit="short",
                    width=24,
                    height=6,
                    empty="every exporter answers, and reads its host in time",
                ),
                ALERTS.rows(
                    {"instance": 200, "job": 200, "alertname": 250, "stage": 120, "alertstate": 120},
                    sort="Alert",
                    ascending=True,
                ),
                Column(title="", expr=ALERTS.each(_ILL), unit="short"),
            ),
            bars(
                About(
                    title="Exporters by version",
                    description="How many exporters run each version.",
                    unit="short",
                    width=8,
                    height=7,
                ),
                Query(
                    expr=f"count by (version) ({of('layerstore_exporter_build_info')})",
                    legend="{{version}}",
                ),
                steps=PLAIN,
            ),
            lines(
                About(
                    title="Stages that fail",
                    description="How many exporters fail at each stage of their work.",
                    unit="short",
                    width=8,
                    height=7,
                ),
                Query(expr=f"sum by (stage) (1 - {of('layerstore_scan_success')})", legend="{{stage}}"),
            ),
            lines(
                About(
                    title="Series",
                    description="Series that the exporters of each job serve: what they cost Prometheus.",
                    unit="short",
                    width=8,
                    height=7,
                ),
                Query(expr=f"sum by (job) ({_SAMPLES})", legend="{{job}}"),
            ),
        ],
    )


FLEET: Final = Page(
    uid=FLEET_UID,
    title="Layer storage: Fleet",
    description="Which host fills up first, which container anywhere grows fastest, and what hosts have in common.",
    sections=[_overview(), _hosts(), _containers(), _stores(), _coverage()],
)
