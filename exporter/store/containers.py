"""``containers/<id>``: who a container is, what it runs, how it logs.

``config.v2.json`` and ``hostconfig.json``, each replaced atomically; ``hostconfig.json`` is written first when a
container is made. The configuration holds the environment, so passwords: only what the catalog needs is taken from
it, and nothing is logged. Source: moby ``container/container.go``, ``container/state.go``.
"""

import os
import re
from collections.abc import Iterable

from exporter.store.catalog import ProblemKind
from exporter.store.documents import Document, parse
from exporter.store.entries import Container, ContainerID, ContainerState, ImageID, MountPoint, Workload
from exporter.store.records import (
    FILLED_IN,
    LARGE,
    Folder,
    Malformed,
    Reading,
    Scan,
    damaged_by,
    digest,
    quoted,
    required,
)
from exporter.store.shelf import Shelf

CONFIG, HOST_CONFIG = "config.v2.json", "hostconfig.json"


class ContainerReader:
    """Reads ``containers``."""

    def __init__(self) -> None:
        self._shelf: Shelf[Container | ContainerID] = Shelf()
        self.nameless: frozenset[ContainerID] = frozenset()
        """The containers of the last reading that have a host configuration and, for a while already, no configuration:
        the engine is removing them, or lost it."""

    def read(self, folder: Folder | None, scan: Scan) -> dict[ContainerID, Container]:
        """All containers, by ID. One whose configuration cannot be read is there without a name or state: it
        still uses disk."""
        if folder is None:
            self.nameless = frozenset()
            return {}
        found = self._shelf.read_all(
            folder,
            scan.identities(folder, passing=_never),
            scan=scan,
            stamp=folder.stamp,
            read=lambda name: _read_container(folder, name, scan.now),
        )
        self.nameless = frozenset(ContainerID(name) for name, made in found.items() if isinstance(made, str))
        return {made.container_id: made for made in found.values() if not isinstance(made, str)}


def _never(_name: str) -> bool:
    return False


def _read_container(folder: Folder, name: str, now: float) -> Reading[Container | ContainerID]:
    container_id = ContainerID(name)
    try:
        with folder.inside(name) as record:
            return _read_files(container_id, record, now)
    except FileNotFoundError:
        raise
    except (Malformed, OSError) as error:
        lost: Reading[Container] = damaged_by(error, folder.path_of(name))
        return Reading(value=_container(container_id, Document({}), Document({})), problems=lost.problems)


def _read_files(container_id: ContainerID, record: Folder, now: float) -> Reading[Container | ContainerID]:
    config, host = _document(record, CONFIG), _document(record, HOST_CONFIG)
    if config.value is None and not config.problems:
        if not record.exists(HOST_CONFIG):
            return Reading(value=None)
        # hostconfig.json comes first: its directory changed last when config.v2.json should have come.
        lost = _rests(record, now)
        return Reading(value=container_id if lost else None, complete=lost)
    container = _container(container_id, config.value or Document({}), host.value or Document({}))
    is_lacking = config.value is not None and host.value is None and not container.removing
    # Whenever the engine writes the one it writes the other, so it is lost only where nothing was written for a while;
    # before, the directory may be going, under a configuration that does not say so.
    is_lost = is_lacking and _rests(record, now)
    if is_lost:
        host = required(host, ProblemKind.MISSING_RECORD, record.path_of(HOST_CONFIG))
    problems = [*config.problems, *host.problems]
    for file, document in ((CONFIG, config.value), (HOST_CONFIG, host.value)):
        if document is not None:
            problems += document.remarks.problems(record.path_of(file))
    return Reading(value=container, problems=tuple(problems), complete=is_lost or not is_lacking)


def _rests(record: Folder, now: float) -> bool:
    """Whether no file of the record was made, replaced or removed for so long that the engine is done with it."""
    return now - os.fstat(record.descriptor).st_mtime >= FILLED_IN


def _document(record: Folder, name: str) -> Reading[Document]:
    try:
        raw = record.read_optional(name, LARGE)
        return Reading(value=None if raw is None else parse(raw))
    except (Malformed, OSError) as error:
        return damaged_by(error, record.path_of(name))


def _container(container_id: ContainerID, config: Document, host: Document) -> Container:
    config.expect("Driver", "State")
    state, inner = config.inner("State"), config.inner("Config")
    return Container(
        container_id=container_id,
        name=config.text("Name").removeprefix("/"),
        image_reference=inner.text("Image"),
        image_id=_image_id(config),
        driver=config.text("Driver"),
        state=_known_state(state) if "State" in config else None,
        pid=state.number("Pid"),
        created=config.time("Created"),
        removing=state.flag("Dead") or state.flag("RemovalInProgress"),
        log_driver=host.inner("LogConfig").text("Type"),
        upper_limit=_upper_limit(host),
        workload=parse_workload(inner.inner("Labels")),
        mount_points=_mount_points(config.inner("MountPoints")),
    )


def _image_id(config: Document) -> ImageID | None:
    try:
        # Empty in a builder's first container on nothing (FROM scratch).
        return ImageID(digest(config.text("Image"), "Image")) if config.text("Image") else None
    except Malformed as error:
        config.remark(str(error))
        return None


def _known_state(state: Document) -> ContainerState | None:
    """The state; None where one of the flags that tell it is no flag."""
    odd = state.remarks.count
    known = parse_state(state)
    return known if state.remarks.count == odd else None


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


def engine_limit(driver: str, options: Iterable[str]) -> int | None:
    """Bytes that an engine with these storage options (``overlay2.size=10G``) lets each upper layer of *driver* hold;
    None where they set no limit.

    With one that it does not understand it would not start. Source: moby ``daemon/graphdriver/overlay2/overlay.go``.
    """
    sizes = [
        value for key, _, value in (option.partition("=") for option in options) if key.lower() == f"{driver}.size"
    ]
    try:
        return parse_byte_size(sizes[-1]) or None if sizes else None
    except Malformed:
        return None


_SIZE = re.compile(r"(\d{1,18})(?:\.(\d{1,9}))? ?([kmgtp]?)i?b?", re.IGNORECASE | re.ASCII)
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
        host.remark(f"StorageOpt.{error}")
        return None
