"""Containers out of containerd's own records: those of Kubernetes, and of ``ctr``.

Docker's are told by Docker's records alone (``exporter/store/containers.py``). containerd does not write down in which
state a container is. Kubernetes' plug-in does, in ``io.containerd.grpc.v1.cri/containers/<id>/status``; of others, and
of pods' sandboxes, it is known that they run while their root is mounted, and nothing else.

Source: containerd ``internal/cri/store/container/status.go``, ``internal/cri/labels``.
"""

from collections.abc import Callable, Iterable, Mapping

from exporter.store.containerd.metadata import ContainerRecord, Namespace
from exporter.store.documents import Document, parse
from exporter.store.entries import Container, ContainerID, ContainerState, ImageID, Workload
from exporter.store.records import SMALL, Folder, Reading, Scan
from exporter.store.shelf import Shelf

SANDBOX = "POD"
"""What a pod's sandbox is called among its containers, as the kubelet always called it."""
_POD, _NAMESPACE = "io.kubernetes.pod.name", "io.kubernetes.pod.namespace"
_CONTAINER, _KIND = "io.kubernetes.container.name", "io.cri-containerd.kind"


class StatusReader:
    """Reads the statuses that Kubernetes' plug-in writes; replaced atomically."""

    def __init__(self) -> None:
        self._shelf: Shelf[ContainerState] = Shelf(exact=True)

    def read(self, folder: Folder | None, scan: Scan) -> Mapping[str, ContainerState]:
        """The states that are known, by container."""
        if folder is None:
            return {}

        def read(name: str) -> Reading[ContainerState]:
            document = parse(folder.read(f"{name}/status", SMALL))
            return Reading(value=_state(document), problems=document.remarks.problems(folder.path_of(f"{name}/status")))

        return self._shelf.read_all(
            folder, scan.names(folder), scan=scan, stamp=lambda name: folder.stamp(f"{name}/status"), read=read
        )


def _state(status: Document) -> ContainerState:
    if status.number("FinishedAt"):
        return ContainerState.EXITED
    return ContainerState.RUNNING if status.number("StartedAt") else ContainerState.CREATED


def upper_keys(namespace: Namespace, snapshotter: str) -> Mapping[str, str]:
    """The keys of the containers' upper layers in a snapshotter, by container. Docker's records name none: there it is
    the container's ID."""
    return {
        record.container_id: record.snapshot_key
        for record in namespace.containers.values()
        if record.snapshot_key and record.snapshotter == snapshotter
    }


def read_containers(
    namespace: Namespace,
    keys: Iterable[str],
    snapshotter: str,
    statuses: Mapping[str, ContainerState],
    is_mounted: Callable[[str], bool],
) -> Mapping[ContainerID, Container]:
    """The containers in *keys*; *is_mounted* tells whether a container's root is mounted now."""

    def container(record: ContainerRecord) -> Container:
        image = namespace.images.get(record.image)
        workload = workload_of(record, namespace)
        return Container(
            container_id=ContainerID(record.container_id),
            name=_name(record.container_id, workload),
            image_reference=record.image,
            image_id=None if image is None else ImageID(image.digest),
            driver=snapshotter,
            state=statuses.get(record.container_id)
            or (ContainerState.RUNNING if is_mounted(record.container_id) else None),
            pid=0,
            created=record.created,
            removing=False,
            log_driver="",
            upper_limit=None,
            workload=workload,
            mount_points=(),
        )

    found = (container(namespace.containers[name]) for name in keys)
    return {made.container_id: made for made in found}


def workload_of(record: ContainerRecord, namespace: Namespace) -> Workload:
    """Whose a container is, by its own labels, else by those of the sandbox that it runs in."""
    labels = record.labels
    sandbox = namespace.sandboxes.get(record.sandbox_id)
    pod = labels if _POD in labels or sandbox is None else sandbox.labels
    return Workload(
        namespace=pod.get(_NAMESPACE, ""),
        pod=pod.get(_POD, ""),
        container=SANDBOX if labels.get(_KIND) == "sandbox" else labels.get(_CONTAINER, ""),
    )


def _name(container_id: str, workload: Workload) -> str:
    """A name for people: containerd knows containers by their IDs alone."""
    if not workload.pod:
        return container_id
    return "/".join(filter(None, (workload.namespace, workload.pod, workload.container)))
