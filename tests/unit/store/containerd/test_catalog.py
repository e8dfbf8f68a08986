"""What containerd's records say, as the catalog has it."""

import time
from pathlib import Path

import pytest

from exporter.account.reclaim import Kind, removable
from exporter.account.sharing import container_chain, head_images, image_states, image_uses, layer_uses
from exporter.store.entries import CacheID, ContainerID, ContainerState, ImageID, Workload
from tests.store.containerd_roots import ACTIVE, SIZE, chain_ids, sha256
from tests.unit.store.containerd.hosts import CONTAINER, docker, kubernetes, scan, scanner, store_of, write_container
from tests.unit.store.hosts import LATER


def test_layers_are_committed_snapshots(tmp_path: Path) -> None:
    """By chain ID, with the directory, the size and the parent that the snapshotter records, and the diff ID that the
    images tell; they are shared as the images share them."""
    kubernetes(tmp_path)

    store = store_of(scan(containerd=tmp_path), "containerd/k8s.io")

    base, web, tool = sha256(b"base"), chain_ids([sha256(b"base"), sha256(b"web")]), [sha256(b"base"), sha256(b"tool")]
    assert set(store.layers) == {sha256(b"pause"), *web, *chain_ids(tool)}
    layer = store.layers[web[1]]  # type: ignore[index]
    assert (layer.parent, layer.diff_id, layer.size, layer.chain_id_recomputes) == (base, sha256(b"web"), SIZE, True)
    assert Path(store.diff_path(layer.cache_id or layer.chain_id), "file").read_bytes() == b"web"  # type: ignore[arg-type]
    uses = layer_uses(store, head_images(store))
    assert {chain: use.images for chain, use in uses.items()}[base] == 2  # type: ignore[index]
    assert store.problems == ()


def test_images_and_their_names(tmp_path: Path) -> None:
    """An image goes by what its name stands for; the name that Kubernetes' plug-in gives to each of them is none, and
    its size is that of its layers."""
    builder = kubernetes(tmp_path)
    target, chain = builder.manifest("k8s.io", "base", "web")
    builder.image("k8s.io", "sha256:" + "a" * 64, target)
    builder.image("k8s.io", f"docker.io/library/web@{target}", target)
    builder.image("k8s.io", "no tag", target)
    builder.write()

    store = store_of(scan(containerd=tmp_path), "containerd/k8s.io")

    image = store.images[ImageID(target)]
    assert list(image.chain_ids) == chain
    assert (image.platform, image.created, [step.created_by for step in image.history]) == (
        "linux/amd64",
        1_714_979_289.0,
        ["COPY base", "COPY web"],
    )
    names = {(found.repository, found.tag, found.digest) for found in store.references if found.image_id == target}
    assert names == {
        ("docker.io/library/web", "1", ""),
        ("docker.io/library/web", "", target),
        ("no tag", "", target),
    }
    heads = head_images(store)
    use = image_uses(store, heads, layer_uses(store, heads))[ImageID(target)]
    assert (use.size, use.unique, use.shared) == (2 * SIZE, SIZE, SIZE)
    assert image_states(store) == {"tagged": 3, "dangling": 0, "intermediate": 0}


def test_an_image_that_is_pinned_frees_nothing(tmp_path: Path) -> None:
    """The kubelet keeps it, whether anything uses it or not; its neighbour that nothing uses goes, with all that only
    that one needs."""
    builder = kubernetes(tmp_path)
    target, _ = builder.manifest("k8s.io", "agent")
    builder.image("k8s.io", "docker.io/library/agent:1", target, texts={"io.cri-containerd.pinned": "pinned"})
    builder.write()

    store = store_of(scan(containerd=tmp_path), "containerd/k8s.io")

    assert [image.image_id for image in store.images.values() if image.pinned] == [target]
    tool = next(found.image_id for found in store.references if found.repository == "docker.io/library/tool")
    records = removable(store, None)[Kind.UNUSED_IMAGES].records
    assert store.image_record(tool) in records
    assert store.image_record(ImageID(target)) not in records


def test_a_pod(tmp_path: Path) -> None:
    """Pod, namespace and container come from labels, the state from the plug-in; the sandbox is marked as such, and its
    state is not known while its root is not seen to be mounted."""
    kubernetes(tmp_path)

    store = store_of(scan(containerd=tmp_path), "containerd/k8s.io")

    container, sandbox = store.containers[ContainerID("container-id")], store.containers[ContainerID("sandbox-id")]
    assert container.workload == Workload(namespace="shop", pod="web-0", container="nginx")
    assert sandbox.workload == Workload(namespace="shop", pod="web-0", container="POD")
    assert (container.name, sandbox.name) == ("shop/web-0/nginx", "shop/web-0/POD")
    assert (container.state, sandbox.state) == (ContainerState.RUNNING, None)
    assert container.image_reference == "docker.io/library/web:1"
    assert container.image_id in store.images
    upper = store.upper_of(container.container_id)
    assert upper is not None
    assert Path(store.diff_path(upper), "data").stat().st_size == 50_000
    assert container_chain(store, container.container_id, None) == tuple(
        reversed(chain_ids([sha256(b"base"), sha256(b"web")]))
    )


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({}, ContainerState.CREATED),
        ({"StartedAt": 2}, ContainerState.RUNNING),
        ({"StartedAt": 2, "FinishedAt": 3}, ContainerState.EXITED),
    ],
)
def test_the_state_that_kubernetes_plug_in_writes(tmp_path: Path, told: dict[str, int], state: ContainerState) -> None:
    """Created until it was started, exited once it has finished."""
    kubernetes(tmp_path).status("container-id", **told)
    store = store_of(scan(containerd=tmp_path), "containerd/k8s.io")
    assert store.containers[ContainerID("container-id")].state is state


def test_dockers_containers_are_dockers_to_tell(tmp_path: Path) -> None:
    """containerd's own record of them is empty: name, state and labels are in Docker's, the upper layer goes by the
    container's ID, the init layer lies below it."""
    docker(tmp_path)

    store = store_of(scan(docker=tmp_path), "containerd/moby")

    container = store.containers[ContainerID(CONTAINER)]
    assert (container.name, container.state, container.workload.compose_project) == (
        "web",
        ContainerState.RUNNING,
        "shop",
    )
    assert container.image_id in store.images
    mount = store.mounts[CONTAINER]
    assert (mount.mount_id, mount.init_id) == ("4", "3")
    assert mount.parent == chain_ids([sha256(b"base"), sha256(b"web")])[-1]
    assert [found.repository for found in store.references if found.tag] == ["web"]
    assert (store.active, store.root, store.problems) == (True, str(tmp_path), ())
    assert store.log_directory == f"{tmp_path}/containers"


def test_a_classic_build_leaves_init_layers_between_layers(tmp_path: Path) -> None:
    """A layer's parent is the next layer below, whatever lies between; what lies between is a stage."""
    builder = docker(tmp_path)
    base = sha256(b"base")
    between = builder.snapshot("moby", "f" * 64 + "-init", parent=base)
    key = chain_ids([base, sha256(b"step")])[1]
    builder.snapshot("moby", key, parent="f" * 64 + "-init")
    builder.write()

    store = store_of(scan(docker=tmp_path), "containerd/moby")

    assert store.layers[key].parent == base  # type: ignore[index]
    assert store.stages == {str(between)}


def test_an_image_that_is_not_unpacked_has_no_layers(tmp_path: Path) -> None:
    """Only its content is here: no layer of it is missed."""
    builder = kubernetes(tmp_path)
    target, _ = builder.manifest("k8s.io", "other", architecture="arm64", unpack=False)
    builder.image("k8s.io", "docker.io/library/other:1", target)
    builder.write()
    store = store_of(scan(containerd=tmp_path), "containerd/k8s.io")
    assert store.images[ImageID(target)].chain_ids == ()
    assert store.problems == ()


def test_an_image_that_is_unpacked_though_no_label_says_so(tmp_path: Path) -> None:
    """Its topmost snapshot is there, as after a ``docker load`` of what was just removed: it has its layers."""
    builder = kubernetes(tmp_path)
    target, _ = builder.manifest("k8s.io", "base", "web", architecture="arm64", unpack=False)
    builder.image("k8s.io", "docker.io/library/loaded:1", target)
    builder.write()
    store = store_of(scan(containerd=tmp_path), "containerd/k8s.io")
    assert list(store.images[ImageID(target)].chain_ids) == chain_ids([sha256(b"base"), sha256(b"web")])


def test_an_image_of_two_platforms_has_the_layers_of_both(tmp_path: Path) -> None:
    """One name, one image; each platform has a topmost layer."""
    builder = kubernetes(tmp_path)
    first, amd = builder.manifest("k8s.io", "base", "amd")
    second, arm = builder.manifest("k8s.io", "base for arm", "arm", architecture="arm64")
    index = builder.content("k8s.io", b"{}", needs=(first, second))
    builder.image("k8s.io", "docker.io/library/both:1", index)
    builder.write()

    store = store_of(scan(containerd=tmp_path), "containerd/k8s.io")

    image = store.images[ImageID(index)]
    assert list(image.chain_ids) == [*amd, *arm]
    assert list(image.tops) == [amd[-1], arm[-1]]
    assert [step.created_by for step in image.history] == ["COPY base", "COPY amd", "COPY base for arm", "COPY arm"]


def test_when_a_directory_was_last_mounted_to_be_written_to(tmp_path: Path) -> None:
    """It is told of those that may be written to, and of no others: a layer is not, though it once was."""
    builder = docker(tmp_path)
    number, layer = builder.snapshot("moby", "build", kind=ACTIVE), builder.snapshot("moby", "layer")
    (builder.snapshotter / f"snapshots/{layer}/work").mkdir()
    builder.write()
    builder.age(1_000)
    again = scanner(docker=tmp_path)
    before = again.scan(time.time() + LATER).stores[0].directories

    builder.mount(number, files={})
    after = again.scan(time.time() + LATER).stores[0].directories

    name = CacheID(str(number))
    work = builder.snapshotter / f"snapshots/{number}/work"
    assert work.stat().st_mtime == after[name].mounted
    assert before[name].mounted == before[name].modified == after[name].modified
    assert {other: directory for other, directory in after.items() if other != name} == {
        other: directory for other, directory in before.items() if other != name
    }
    assert {other for other, directory in after.items() if directory.mounted is not None} == {
        name,
        again.scan(time.time() + LATER).stores[0].upper_of(ContainerID(CONTAINER)),
    }
    assert after[CacheID(str(layer))].has_work


def test_nothing_is_read_anew_while_nothing_changes(tmp_path: Path) -> None:
    """The very same stores come back, until something is committed; a container that Docker alone records counts
    too."""
    builder = docker(tmp_path)
    again = scanner(docker=tmp_path)
    first = again.scan(time.time() + LATER).stores

    assert [one is other for one, other in zip(first, again.scan(time.time() + LATER).stores, strict=True)] == [True]
    write_container(tmp_path, "d" * 64, image="sha256:" + "1" * 64, state={"StartedAt": ""})
    assert ContainerID("d" * 64) in again.scan(time.time() + LATER).stores[0].containers
    builder.snapshot("moby", "e" * 64, kind=ACTIVE)
    builder.write()
    assert "e" * 64 in again.scan(time.time() + LATER).stores[0].mounts
