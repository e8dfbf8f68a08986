"""From one store's records to what ``inspect`` tells of a container: pure, but for the files that it is handed."""

from collections.abc import Callable, Iterable, Iterator

from exporter.account.inspect.describe import directory_view, layer_view
from exporter.account.inspect.index import StoreIndex
from exporter.account.inspect.views import (
    ContainerFiles,
    ContainerView,
    DirectoryView,
    Entry,
    EntryKind,
    InitView,
    LogView,
    LowerStep,
    Supply,
    UpperView,
)
from exporter.store.catalog import Layout, Store
from exporter.store.entries import CacheID, Container, ContainerID

Look = Callable[[Store, ContainerID], ContainerFiles]
"""Looks at what lies on disk of a container, outside its upper layer."""


def unseen(_store: Store, _container: ContainerID) -> ContainerFiles:
    """A look that sees nothing: the records alone speak."""
    return ContainerFiles(own=None, init=None)


def container_view(index: StoreIndex, container: Container, look: Look) -> ContainerView:
    """A container, from its image down to what it wrote."""
    store, container_id = index.store, container.container_id
    files = look(store, container_id)
    record, mount_record = index.store.container_record(container_id), index.store.mount_record(container_id)
    mount = store.mounts.get(container_id)
    upper = None if mount is None or mount.mount_id is None else directory_view(index, mount.mount_id)
    init = None if mount is None or mount.init_id is None else directory_view(index, mount.init_id)
    measured = index.report.uppers.get(container_id)
    return ContainerView(
        record=record,
        mount_record=mount_record,
        container_id=container_id,
        name=container.name,
        state=container.state,
        removing=container.removing,
        pid=container.pid or None,
        created=container.created,
        image_reference=container.image_reference,
        image=None if container.image_id is None else index.image_name(container.image_id),
        image_there=container.image_id in store.images,
        workload=container.workload,
        upper=None
        if upper is None
        else UpperView(
            directory=upper,
            usage=None if measured is None else measured.usage,
            measured_at=None if measured is None else measured.measured_at,
            exact=None if measured is None else measured.exact,
            growers=() if measured is None else measured.growers,
        ),
        upper_limit=store.limit_of(container),
        init=None if init is None else InitView(directory=init, supplies=_supplies(files, record)),
        lower=() if upper is None else tuple(_lower_chain(index, upper, init)),
        merged=None if upper is None else _merged(store, container_id, upper),
        mounted=None if upper is None else upper.mounted,
        config=None if store.log_directory is None else f"{record}/config.v2.json",
        host_config=None if store.log_directory is None else f"{record}/hostconfig.json",
        log=LogView(
            driver=container.log_driver,
            allocated=index.report.logs.get(container_id),
            files=None
            if files.own is None
            else tuple(entry for entry in files.own if is_log(container_id, entry.path)),
        ),
        mount_points=container.mount_points,
        problems=index.problems_at([record, mount_record, *(view.path for view in (upper, init) if view is not None)]),
    )


def _merged(store: Store, container_id: ContainerID, upper: DirectoryView) -> str | None:
    """Where the container's root is mounted: in the storage directory; what a snapshotter has, Docker mounts below its
    own root, and others where their state is."""
    if store.layout is Layout.GRAPHDRIVER:
        return f"{upper.path}/merged"
    return None if store.log_directory is None else f"{store.root}/rootfs/{store.driver}/{container_id}"


def is_log(container_id: ContainerID, path: str) -> bool:
    """Whether a path below ``containers/<id>`` is one of the engine's log files, rotated ones too (moby
    ``daemon/logger``: json-file, local, and the cache of all others)."""
    logs = (f"{container_id}-json.log", "local-logs/container.log", "container-cached.log")
    return any(path == log or path.startswith(f"{log}.") for log in logs)


def _lower_chain(index: StoreIndex, upper: DirectoryView, init: DirectoryView | None) -> Iterator[LowerStep]:
    for short_name in upper.lower or ():
        target = index.store.directory_called(short_name)
        layers = () if target is None else index.layers_of_directory.get(target, ())
        yield LowerStep(
            short_name=short_name,
            directory=None if target is None else directory_view(index, target),
            init=init is not None and target == init.name,
            layer=layer_view(index, layers[0]) if layers else None,
        )


_MOUNTED_OVER = {"etc/hostname": "hostname", "etc/hosts": "hosts", "etc/resolv.conf": "resolv.conf"}
"""What lies empty in the init layer and is mounted from ``containers/<id>`` (moby ``container/container_unix.go``)."""


def _supplies(files: ContainerFiles, record: str) -> tuple[Supply, ...] | None:
    """What the init layer gives to the container; directories that only lead to something are left out."""
    if files.init is None:
        return None
    own = {entry.path: entry for entry in files.own or ()}

    def supply(entry: Entry) -> Supply:
        source = own.get(_MOUNTED_OVER.get(entry.path, ""))
        return Supply(
            path=f"/{entry.path}",
            kind=entry.kind,
            target=entry.target,
            source=None if source is None else f"{record}/{source.path}",
            source_size=None if source is None else source.size,
        )

    leading = {entry.path.rpartition("/")[0] for entry in files.init}
    kept = (entry for entry in files.init if entry.kind is not EntryKind.DIRECTORY or entry.path not in leading)
    return tuple(supply(entry) for entry in sorted(kept, key=lambda entry: entry.path))


def directories_of(view: ContainerView) -> Iterable[CacheID]:
    """The storage directories of a container's own."""
    return (part.directory.name for part in (view.upper, view.init) if part is not None)
