"""``layerstore_container*``: who fills the disk by writing into a container."""

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import Metric

from exporter.account.report import StoreReport
from exporter.export.metrics.family import Gauge, Total, short_ids
from exporter.store.entries import Container, ContainerState, short_id


def container_families(stores: Iterable[StoreReport]) -> tuple[Metric, ...]:
    """The containers of all stores."""
    info = Gauge(
        "layerstore_container_info",
        "Who a container is, always 1: image is what the user asked for, image_id the image it was made from, "
        "compose_* and namespace, pod, container are its labels; join on container_id; from the last background scan.",
        "store",
        "container_id",
        "full_id",
        "name",
        "image",
        "image_id",
        "state",
        "compose_project",
        "compose_service",
        "namespace",
        "pod",
        "container",
    )
    sizes = _Sizes()
    states = Gauge(
        "layerstore_containers",
        "Containers by state; one whose record does not tell its state is in none; from the last background scan.",
        "store",
        "state",
    )
    untracked = Gauge(
        "layerstore_uppers_untracked",
        "Upper layers with more directories than are remembered (--uppers.max-directories, and half as many again of "
        "all together): each measurement reads all of them; from the last background scan.",
        "store",
    )
    inexact = Gauge(
        "layerstore_uppers_inexact",
        "Upper layers whose figures are a lower bound: something in them could not be read, was moved out of the way, "
        "or grew faster than it could be walked; from the last background scan.",
        "store",
    )
    # One series a store: one a container would be a seventh more of what a busy host serves, for a question of detail.
    read = Gauge(
        "layerstore_uppers_read_timestamp_seconds",
        "Since when every file in every measured upper (write) layer has been looked at, in Unix seconds: bytes "
        "written in place to a file long untouched may be missing from after then; absent until all were read; from "
        "the last background scan.",
        "store",
    )
    for report in stores:
        store = report.store
        read.add((store.name,), _read_since(report))
        untracked.add((store.name,), sum(not upper.tracked for upper in report.uppers.values()))
        inexact.add((store.name,), sum(not upper.exact for upper in report.uppers.values()))
        ids = short_ids(store.containers)
        image_ids = short_ids(store.images)
        counts = Counter(container.state for container in store.containers.values())
        for state in ContainerState:
            states.add((store.name, state.value), counts[state])
        for container in store.containers.values():
            identity = (store.name, ids[container.container_id])
            image = container.image_id
            info.add((*identity, *_who(container, "" if image is None else image_ids.get(image, short_id(image)))), 1)
            sizes.add((*identity, container.name), container, report)
    return (info, *sizes.families, states, untracked, inexact, read)


def _read_since(report: StoreReport) -> float | None:
    """Since when every file of all upper layers has been looked at; None where that is not known of each."""
    known = [upper.read_since for upper in report.uppers.values() if upper.read_since is not None]
    return min(known) if known and len(known) == len(report.uppers) else None


def _who(container: Container, image: str) -> tuple[str, ...]:
    """A container's labels from ``full_id`` on; *image* is the label ``image_id``."""
    workload = container.workload
    return (
        container.container_id,
        container.name,
        container.image_reference,
        image,
        "" if container.state is None else container.state.value,
        workload.compose_project,
        workload.compose_service,
        workload.namespace,
        workload.pod,
        workload.container,
    )


class _Sizes:
    """What a container wrote."""

    def __init__(self) -> None:
        identity = ("store", "container_id", "name")
        self.size = Gauge(
            "layerstore_container_upper_size_bytes",
            "Size of the container's upper (write) layer, in apparent bytes: the engine's SizeRw; absent until "
            "measured; from the last background scan.",
            *identity,
        )
        self.allocated = Gauge(
            "layerstore_container_upper_allocated_bytes",
            "Disk space that the container's upper (write) layer takes, in bytes as du counts them; absent until "
            "measured; from the last background scan.",
            *identity,
        )
        self.inodes = Gauge(
            "layerstore_container_upper_inodes",
            "Inodes in the container's upper (write) layer, its top directory included; absent until measured; from "
            "the last background scan.",
            *identity,
        )
        self.grown = Total(
            "layerstore_container_upper_grown_bytes_total",
            "Bytes on disk that the container's upper (write) layer grew by since the exporter first measured it: the "
            "sum of all rises between two measurements; from the last background scan.",
            *identity,
        )
        self.freed = Total(
            "layerstore_container_upper_freed_bytes_total",
            "Bytes on disk that the container's upper (write) layer gave back since the exporter first measured it: "
            "the sum of all falls between two measurements; from the last background scan.",
            *identity,
        )
        self.measured = Gauge(
            "layerstore_container_upper_measured_timestamp_seconds",
            "When the last measurement of the container's upper (write) layer began, in Unix seconds; absent before "
            "it; from the last background scan.",
            *identity,
        )
        self.limit = Gauge(
            "layerstore_container_upper_limit_bytes",
            "Bytes that the engine lets the container's upper (write) layer hold; absent where no limit is set; from "
            "the last background scan.",
            *identity,
        )
        self.log = Gauge(
            "layerstore_container_log_allocated_bytes",
            "Disk space that the container's log files on this host take, rotated ones included, in bytes as du counts "
            "them; absent where they cannot be read; from the last background scan.",
            *identity,
        )

    @property
    def families(self) -> tuple[Metric, ...]:
        return (
            self.size,
            self.allocated,
            self.inodes,
            self.grown,
            self.freed,
            self.measured,
            self.limit,
            self.log,
        )

    def add(self, identity: tuple[str, str, str], container: Container, report: StoreReport) -> None:
        upper = report.uppers.get(container.container_id)
        if upper is not None:
            self.size.add(identity, upper.usage.size)
            self.allocated.add(identity, upper.usage.allocated)
            self.inodes.add(identity, upper.usage.inodes)
            self.measured.add(identity, upper.measured_at)
            if upper.growth is not None:
                self.grown.add(identity, upper.growth.grown)
                self.freed.add(identity, upper.growth.freed)
        self.limit.add(identity, report.store.limit_of(container))
        self.log.add(identity, report.logs.get(container.container_id))
