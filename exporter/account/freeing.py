"""What frees what could be freed, on the engine that a store belongs to: as data, for ``report``.

A command is named only where it removes just what the figure is of, or where its remark says what else it takes.

Source: kubernetes-sigs/cri-tools ``cmd/crictl/image.go``; containerd ``cmd/ctr/commands/images/images.go``,
``containers/containers.go``, ``plugins/snapshots/overlay/overlay.go``; kubernetes.io, "Garbage Collection".
"""

import enum
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

from exporter.account.reclaim import Kind
from exporter.store.catalog import Layout, Store
from exporter.store.containerd.roots import DOCKERS, KUBERNETES


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one kind is freed."""

    command: str | None
    """What to run; a word in capitals is for the user to fill in. None where nothing can be run for it."""
    remark: str = ""
    """What else to know; empty where the command says it all."""


class Manager(enum.Enum):
    """Who removes what lies in a store."""

    DOCKER = enum.auto()
    """Docker, with a graph driver."""
    DOCKER_IN_CONTAINERD = enum.auto()
    KUBERNETES = enum.auto()
    NAMESPACE = enum.auto()
    """Whoever uses a namespace of containerd that is neither Docker's nor Kubernetes'."""
    NOBODY = enum.auto()
    """Docker has left the store behind: its commands reach only the one that it uses."""


_DOCKER = {
    Kind.DANGLING_IMAGES: Way(command="docker image prune"),
    Kind.UNUSED_IMAGES: Way(command="docker image prune --all"),
    Kind.EXITED_CONTAINERS: Way(command="docker container prune"),
    Kind.BUILD_CACHE: Way(command="docker builder prune --all"),
}
_CONTAINERD = {
    Kind.BUILD_CACHE: Way(
        command="buildctl prune --all", remark="if a BuildKit uses this namespace; else a pull under way holds it"
    ),
    Kind.ORPHANS: Way(command=None, remark="containerd deletes them itself, with the next snapshot that it removes"),
}

WAYS: Mapping[Manager, Mapping[Kind, Way]] = {
    Manager.DOCKER: _DOCKER | {Kind.ORPHANS: Way(command=None, remark="by hand, after inspect has told of each")},
    Manager.DOCKER_IN_CONTAINERD: _CONTAINERD | _DOCKER,
    Manager.KUBERNETES: _CONTAINERD
    | {
        Kind.DANGLING_IMAGES: Way(command="crictl rmi --prune", remark="takes all unused images, not only these"),
        Kind.UNUSED_IMAGES: Way(
            command="crictl rmi --prune",
            remark="the kubelet does it itself on a disk that is 85 % full, or as imageGCHighThresholdPercent says",
        ),
        Kind.EXITED_CONTAINERS: Way(
            command="kubectl delete pod NAME",
            remark="once the pod is done; until then the kubelet keeps the last run of each container",
        ),
    },
    Manager.NAMESPACE: _CONTAINERD
    | {
        Kind.DANGLING_IMAGES: Way(command="ctr --namespace {namespace} images rm NAME", remark="one by one"),
        Kind.UNUSED_IMAGES: Way(
            command="ctr --namespace {namespace} images prune --all", remark="since containerd 1.7"
        ),
        Kind.EXITED_CONTAINERS: Way(
            command="ctr --namespace {namespace} containers rm ID", remark="one by one; refuses those that run"
        ),
    },
    Manager.NOBODY: dict.fromkeys(Kind, Way(command=None, remark="no command, while Docker uses another store")),
}
"""Every kind for everybody; ``{namespace}`` stands for the store's."""

_BY_NAMESPACE = {DOCKERS: Manager.DOCKER_IN_CONTAINERD, KUBERNETES: Manager.KUBERNETES}


def manager_of(store: Store) -> Manager:
    """Who removes what lies in *store*."""
    if not store.active:
        return Manager.NOBODY
    if store.layout is Layout.GRAPHDRIVER:
        return Manager.DOCKER
    return _BY_NAMESPACE.get(store.namespace, Manager.NAMESPACE)


def way_of(store: Store, kind: Kind) -> Way:
    """How what is of *kind* in *store* is freed; the command may be pasted into a shell."""
    way = WAYS[manager_of(store)][kind]
    if way.command is None:
        return way
    return replace(way, command=way.command.format(namespace=shlex.quote(store.namespace)))
