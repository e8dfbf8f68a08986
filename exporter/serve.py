"""The service: the daemon's loop, the watch and the web server put together, and taken apart in order."""

import contextlib
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import structlog
from prometheus_client.core import Metric

from exporter import __version__
from exporter.account.report import Report
from exporter.clock import SystemClock
from exporter.confine.renounce import renounce_writing
from exporter.daemon import Daemon
from exporter.disk import Disk
from exporter.export.exposition import Exposition, process_families
from exporter.export.metrics.own import vitals_families
from exporter.export.metrics.report import families
from exporter.export.site import Site
from exporter.export.web import WebServer
from exporter.export.webconfig.policy import OPEN, Policy
from exporter.measure.memory import open_memory
from exporter.notify import Notifier
from exporter.pulse import PATIENCE, Pulse
from exporter.sample.demo import Writers, build_demo
from exporter.settings import DOCKER_ROOT, ServeSettings, shown
from exporter.store.detect import CONTAINERD, Root
from exporter.survey import RecordSurvey
from exporter.vitals import Vitals
from exporter.watch.hints import Hints
from exporter.watch.observer import Watch

FRESH = 0.1
"""Seconds for which the exporter's own figures serve again: reading them costs more than all else of a scrape."""

SAMPLE_BANNER = """\
layerstore-exporter: serving the SAMPLE store: made up, and growing by itself. No figure here is of this host.
"""


def serve(roots: Sequence[Root], chosen: ServeSettings, *, daemon_config: str, confined: bool = True) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. *confined* gives up for good, in this process, to write files other
    than the state file.

    Raises ListenError where an address cannot be listened on, and WebConfigError where the web configuration is no
    good.
    """
    if confined:
        _confine(chosen.state_path)
    clock = SystemClock()
    vitals = Vitals()
    exposition = Exposition(_own_families(vitals), fresh_for=FRESH)
    pulse = Pulse()
    site = Site(
        exposition,
        telemetry_path=chosen.telemetry_path,
        vitals=vitals,
        flags=shown(chosen, roots),
        silence=pulse.silence,
    )
    hints = Hints()
    watch = Watch(hints.put, vitals=vitals)
    notifier = Notifier()

    def publish(report: Report) -> None:
        exposition.publish(families(report, layer_limit=chosen.layer_limit, image_limit=chosen.image_limit))
        site.publish(report)
        notifier.ready(_status(report))

    def progressed() -> None:
        pulse.beat()
        notifier.alive()

    memory = open_memory(chosen.state_path)
    disk = Disk(
        memory, clock=clock, vitals=vitals, full_interval=chosen.pace.full_interval, volumes=chosen.measure_volumes
    )
    daemon = Daemon(
        records=RecordSurvey(roots, clock=clock, daemon_config=daemon_config),
        publish=publish,
        watch=watch,
        hints=hints,
        vitals=vitals,
        clock=clock,
        pace=chosen.pace,
        disk=disk,
        surge_threshold=chosen.growth_threshold,
        progressed=progressed,
        longest_rest=min(notifier.sign_interval, PATIENCE / 4),
    )
    _on_end(daemon.stop)
    with (
        _kept_policy(chosen.web_config, vitals, notifier, is_ready=lambda: exposition.published) as policy,
        WebServer(chosen.listen, site.handle, policy=policy, counts=vitals) as server,
    ):
        log = structlog.get_logger()
        log.info(
            "serving",
            version=__version__,
            roots=[root.path for root in roots],
            addresses=[f"{host}:{port}" for host, port in server.bound],
            path=chosen.telemetry_path,
            tls=policy().tls is not None,
            users=policy().users is not None,
        )
        alone = not any(root.engine == CONTAINERD and Path(root.path).exists() for root in roots)
        for root in roots:
            if root.followed and root.engine != CONTAINERD and alone and not Path(root.path).exists():
                log.warning(
                    "the engine's root does not exist yet: it is waited for",
                    root=root.path,
                    advice=f"if the engine keeps its data elsewhere, name that with {DOCKER_ROOT.flag}",
                )
        watch.start()
        try:
            daemon.run()
        finally:
            notifier.stopping()
            watch.stop()
            memory.close()
        log.info("stopped")
    return 0


def serve_sample(chosen: ServeSettings) -> int:
    """Serve the embedded sample store, which writers grow, until SIGTERM or SIGINT; the exit code."""
    sys.stderr.write(SAMPLE_BANNER)
    with tempfile.TemporaryDirectory(prefix="layerstore-sample-") as directory:
        root = Path(directory, "docker")
        writers = Writers(build_demo(root))
        writers.start()
        try:
            sample = [Root(path=str(root), engine="sample")]
            # The writers, who make the sample grow, are threads of this process.
            return serve(sample, chosen, daemon_config=f"{directory}/none", confined=False)
        finally:
            writers.stop()


@contextlib.contextmanager
def _kept_policy(
    path: str | None, vitals: Vitals, notifier: Notifier, *, is_ready: Callable[[], bool]
) -> Iterator[Callable[[], Policy]]:
    """The policy of the web configuration at *path*, kept up to date. SIGHUP reads it again.

    Raises WebConfigError where it cannot be used.
    """
    if path is None:
        # There is nothing to read again, and by default the signal would end the program.
        signal.signal(signal.SIGHUP, lambda _signal, _frame: None)
        yield lambda: OPEN
        return
    # What only it needs (YAML, bcrypt) takes memory and time to import.
    from exporter.export.webconfig.keeper import PolicyKeeper  # noqa: PLC0415 - only where it is needed, as said above

    def reloaded() -> None:
        if is_ready():
            notifier.ready()

    keeper = PolicyKeeper(path, told=vitals, reloading=notifier.reloading, reloaded=reloaded)
    signal.signal(signal.SIGHUP, lambda _signal, _frame: keeper.reload())
    keeper.start()
    try:
        yield keeper.policy
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        keeper.stop()


def _confine(state_path: str | None) -> None:
    """Before any thread is started: each gives up for itself, and for those that it starts."""
    outcome = renounce_writing(but_in=None if state_path is None else str(Path(state_path).parent))
    log = structlog.get_logger()
    refused = {name: why for name in ("landlock", "seccomp") if (why := getattr(outcome, name))}
    if refused:
        log.info("the kernel does not keep this process from all changes of files", **refused)
    else:
        log.debug("no file but the state file can be changed from now on")


def _own_families(vitals: Vitals) -> Callable[[], Iterable[Metric]]:
    process = process_families()
    return lambda: (*vitals_families(vitals.snapshot()), *process())


def _status(report: Report) -> str:
    if not report.stores:
        return "no store found yet"
    containers = sum(len(store.store.containers) for store in report.stores)
    layers = sum(len(store.store.layers) for store in report.stores)
    return f"{len(report.stores)} stores, {layers} layers, {containers} containers"


def _on_end(stop: Callable[[], None]) -> None:
    def end(_signal: int, _frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
