"""The exporter itself: what it is, how its stages go, what it costs."""

import platform
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from exporter import __version__
from exporter.export.metrics.family import Gauge, counter, gauge
from exporter.vitals import VitalsSnapshot, WebVitals


def vitals_families(
    snapshot: VitalsSnapshot, *, version: str = __version__, python: str = platform.python_version()
) -> Iterator[Metric]:
    """The exporter's own figures, of the moment of *snapshot*."""
    build = Gauge(
        "layerstore_exporter_build_info",
        "The version of this exporter, and of the Python that runs it, always 1.",
        "version",
        "python",
    )
    build.add((version, python), 1)
    yield build
    yield from _stages(snapshot)
    yield _errors(snapshot)
    yield counter(
        "layerstore_walk_inodes_total",
        "Inodes looked at to measure directory trees: what measuring costs the disk.",
        snapshot.walk_inodes,
    )
    yield counter(
        "layerstore_walk_cpu_seconds_total",
        "CPU that measuring directory trees took, in seconds.",
        snapshot.walk_cpu_seconds,
    )
    yield counter(
        "layerstore_watch_events_total",
        "Filesystem events received from the directories watched.",
        snapshot.watch_events,
    )
    yield counter(
        "layerstore_watch_overflows_total",
        "Times that the queue of filesystem events overflowed; each forces a scan of the whole catalog.",
        snapshot.watch_overflows,
    )
    yield gauge("layerstore_watches", "Directories watched for changes.", snapshot.watches)
    yield gauge(
        "layerstore_watches_expected",
        "Directories that should be watched for changes; more than are watched means that changes are found only by "
        "periodic scans.",
        snapshot.watches_expected,
    )
    yield from _web(snapshot.web)


def _web(web: WebVitals) -> Iterator[Metric]:
    yield gauge("layerstore_web_connections", "Connections that the web server has open.", web.connections)
    refusals = CounterMetricFamily(
        "layerstore_web_refusals_total",
        "Clients that the web server refused: credentials is a missing or wrong name or password, handshake is TLS "
        "that did not come about, malformed no request, timeout a request without an end, overload a place given up.",
        labels=("reason",),
    )
    for reason, count in web.refusals.items():
        refusals.add_metric((reason.value,), count)
    yield refusals
    if web.config_success is None:
        return
    yield gauge(
        "layerstore_web_config_last_reload_successful",
        "1 where the web configuration could be used when it was last read, 0 where the one before stays in force.",
        int(web.config_success),
    )
    yield gauge(
        "layerstore_web_config_last_reload_success_timestamp_seconds",
        "When the web configuration was last read and taken over, in Unix seconds.",
        web.config_last_success,
    )


def _stages(snapshot: VitalsSnapshot) -> tuple[Metric, ...]:
    duration = Gauge(
        "layerstore_scan_duration_seconds",
        "How long the stage's last run took, in seconds; 0 until the first has ended.",
        "stage",
    )
    success = Gauge(
        "layerstore_scan_success",
        "1 where the stage's last run succeeded, 0 where it failed or none has ended yet.",
        "stage",
    )
    last_success = Gauge(
        "layerstore_scan_last_success_timestamp_seconds",
        "When a run of the stage last succeeded, in Unix seconds; 0 until the first has.",
        "stage",
    )
    for stage, vitals in snapshot.stages.items():
        duration.add((stage.value,), vitals.duration)
        success.add((stage.value,), int(vitals.success))
        last_success.add((stage.value,), vitals.last_success)
    return (duration, success, last_success)


def _errors(snapshot: VitalsSnapshot) -> Metric:
    errors = CounterMetricFamily(
        "layerstore_scan_errors_total",
        "Errors of the background scans, by stage and reason; vanished is normal beside a working engine.",
        labels=("stage", "reason"),
    )
    for (stage, reason), count in snapshot.errors.items():
        errors.add_metric((stage.value, reason.value), count)
    return errors
