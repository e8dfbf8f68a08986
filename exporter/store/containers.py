"""``containers/<id>``: who a container is, what it runs, how it logs.

``config.v2.json`` and ``hostconfig.json``, each replaced atomically; ``hostconfig.json`` is written first when a
container is made. The configuration holds the environment, so passwords: only what the catalog needs is taken from
it, and nothing is logged. Source: moby ``container/container.go``, ``container/state.go``.
"""

import re
import stat

from exporter.store.catalog import (
    Container,
    ContainerID,
    ContainerState,
    ImageID,
    MountPoint,
    Problem,
    ProblemKind,
    Workload,
)
from exporter.store.documents import Document, parse
from exporter.store.records import (
    DIGEST,
    HEX64,
    LARGE,
    Folder,
    Malformed,
    Reading,
    Scan,
    Shelf,
    Stamp,
    damaged,
    quoted,
    stamp_of,
)

CONFIG, HOST_CONFIG = "config.v2.json", "hostconfig.json"


class ContainerReader:
    """Reads ``containers``."""

    def __init__(self) -> None:
        self._shelf: Shelf[Container] = Shelf()

    def read(self, folder: Folder | None, scan: Scan) -> dict[ContainerID, Container]:
        """All containers, by ID. One whose configuration cannot be read is there without a name or state: it
        still uses disk."""

        if folder is None:
            return {}

        def stamp(name: str) -> Stamp | None:
            status = folder.status(name)
            return stamp_of(status) if stat.S_ISDIR(status.st_mode) and HEX64.fullmatch(name) else None

        containers = self._shelf.read_all(
            folder, folder.names(), scan=scan, stamp=stamp, read=lambda name: _read_container(folder, name)
        )
        return {container.container_id: container for container in containers.values()}


def _read_container(folder: Folder, name: str) -> Reading[Container]:
    config = _document(folder, f"{name}/{CONFIG}")
    host = _document(folder, f"{name}/{HOST_CONFIG}")
    if config.value is None and not config.problems:
        # hostconfig.json comes first: this container is being made. If it stays so, the engine lost it in a crash; then
        # the mount that it left behind tells, and no name could be had from here.
        return Reading(value=None)
    container = _container(ContainerID(name), config.value or Document({}), host.value or Document({}))
    remarks = tuple(
        Problem(kind=ProblemKind.MALFORMED_RECORD, path=folder.path_of(f"{name}/{record}"), reason=remark)
        for record, reading in ((CONFIG, config), (HOST_CONFIG, host))
        if reading.value is not None
        for remark in reading.value.remarks
    )
    return Reading(value=container, problems=config.problems + host.problems + remarks)


def _document(folder: Folder, name: str) -> Reading[Document]:
    try:
        raw = folder.read_optional(name, LARGE)
        return Reading(value=None if raw is None else parse(raw))
    except Malformed as error:
        return damaged(ProblemKind.MALFORMED_RECORD, folder.path_of(name), str(error))
    except OSError as error:
        return damaged(ProblemKind.UNREADABLE_RECORD, folder.path_of(name), error.strerror or type(error).__name__)


def _container(container_id: ContainerID, config: Document, host: Document) -> Container:
    state, inner, labels = config.inner("State"), config.inner("Config"), config.inner("Config").inner("Labels")
    image = config.text("Image")
    return Container(
        container_id=container_id,
        name=config.text("Name").removeprefix("/"),
        image_reference=inner.text("Image"),
        image_id=ImageID(image) if DIGEST.fullmatch(image) else None,
        driver=config.text("Driver"),
        state=parse_state(state) if "State" in config else None,
        pid=state.number("Pid"),
        created=config.time("Created"),
        removing=state.flag("Dead") or state.flag("RemovalInProgress"),
        log_driver=host.inner("LogConfig").text("Type"),
        upper_limit=_upper_limit(host),
        workload=parse_workload(labels),
        mount_points=_mount_points(config.inner("MountPoints")),
    )


def parse_state(state: Document) -> ContainerState:
    """The engine's own order of precedence: running in its three forms, then dead, created, and what is left has
    exited."""
    if state.flag("Running"):
        if state.flag("Paused"):
            return ContainerState.PAUSED
        return ContainerState.RESTARTING if state.flag("Restarting") else ContainerState.RUNNING
    if state.flag("Dead") or state.flag("RemovalInProgress"):
        return ContainerState.DEAD
    return ContainerState.EXITED if state.time("StartedAt") is not None else ContainerState.CREATED


def parse_workload(labels: Document) -> Workload:
    """Who the container belongs to: the labels of Compose and of the kubelet's Docker shims."""
    return Workload(
        compose_project=labels.text("com.docker.compose.project"),
        compose_service=labels.text("com.docker.compose.service"),
        namespace=labels.text("io.kubernetes.pod.namespace"),
        pod=labels.text("io.kubernetes.pod.name"),
        container=labels.text("io.kubernetes.container.name"),
    )


def _mount_points(points: Document) -> tuple[MountPoint, ...]:
    found = []
    for destination in points:
        point = points.inner(destination)
        found.append(
            MountPoint(
                destination=destination,
                kind=point.text("Type"),
                name=point.text("Name"),
                source=point.text("Source"),
                writable=point.flag("RW"),
            )
        )
    return tuple(found)


_SIZE = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?\s?([kmgtp]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def parse_byte_size(text: str) -> int:
    """Bytes of ``10G``, ``1.5gb``, ``4096``: powers of 1024 whatever the suffix (go-units ``RAMInBytes``, as the
    engine)."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise Malformed(f"size {quoted(text)} is no number of bytes")
    whole, fraction, unit = match.groups()
    return int(float(f"{whole}.{fraction or 0}") * _UNITS[unit.lower()])


def _upper_limit(host: Document) -> int | None:
    text = host.inner("StorageOpt").text("size")
    try:
        return parse_byte_size(text) if text else None
    except Malformed as error:
        host.remarks.append(f"StorageOpt.{error}")
        return None
