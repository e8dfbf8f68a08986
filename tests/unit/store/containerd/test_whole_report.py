"""A whole report on hosts with containerd: everything adds up to the disk, and what could be freed is what would be."""

import re
import shutil
import subprocess
import time
from pathlib import Path

from rich.console import Console

from exporter.account.content import ContentTotal, Keeper
from exporter.account.inspect.find import find
from exporter.account.report import Report, StoreReport
from exporter.export.text.glance import print_report
from exporter.export.text.inspection import print_inspection
from exporter.measure.areas import Area
from exporter.sample.builder import StoreBuilder
from exporter.store.catalog import Source, Store
from exporter.survey import Survey
from tests.quiet import QUIET_PROC
from tests.store.containerd_roots import ContainerdRootBuilder, chain_ids, sha256
from tests.unit.export.text.screens import pipe
from tests.unit.store.containerd.hosts import CONTAINER, docker, kubernetes, roots, survey, write_container
from tests.unit.store.hosts import NO_CONFIG, HeldClock


def report(*, docker: Path | None = None, containerd: Path | None = None) -> Report:
    """All of a host, with everything measured."""
    known = roots(docker=docker, containerd=containerd)
    return Survey(known, clock=HeldClock(), daemon_config=NO_CONFIG, proc=QUIET_PROC).whole_report()


def du(path: Path | str) -> int:
    """Bytes on disk of a tree."""
    done = subprocess.run(["du", "-sx", "--block-size=1", path], check=True, capture_output=True, text=True)
    return int(done.stdout.split("\t")[0])


def areas(stores: tuple[StoreReport, ...]) -> int:
    return sum(sum(store.areas.values()) for store in stores)


def owned(stores: tuple[StoreReport, ...]) -> int:
    total = 0
    for store in stores:
        assert store.ownership is not None
        total += sum(store.ownership.allocated(store.directory_allocated).values())
    return total


def test_namespaces_share_a_directory(tmp_path: Path) -> None:
    """Each has its own snapshots; what has no row, and the directory's own blocks, count once: all owners of all stores
    are ``du`` of the snapshotter's directory, all areas ``du`` of the root."""
    builder = kubernetes(tmp_path)
    builder.pulled("default", "docker.io/library/tool:1", "tool", "x" * 100_000)
    builder.directory("4711", files={"file": b"x" * 70_000})
    builder.write()
    (builder.snapshotter / "snapshots/a file").write_bytes(b"x" * 9000)
    (tmp_path / "io.containerd.snapshotter.v1.native/snapshots").mkdir(parents=True)

    found = report(containerd=tmp_path).stores

    assert [store.store.name for store in found] == ["containerd/k8s.io", "containerd/default"]
    assert owned(found) == du(builder.snapshotter / "snapshots")
    assert areas(found) == du(tmp_path)
    assert found[0].areas[Area.CONTENT] == du(tmp_path / "io.containerd.content.v1.content")
    assert found[1].areas == dict.fromkeys(Area, 0) | {Area.LAYERS: owned(found[1:])}
    assert {name: upper.usage.size for name, upper in found[0].uppers.items()} == {
        "sandbox-id": 0,
        "container-id": 50_000,
    }


def test_both_stores_of_one_docker(tmp_path: Path) -> None:
    """A graph driver's and that of its own containerd lie in one root: all areas of both are ``du`` of it."""
    StoreBuilder(tmp_path / "docker", seed=1)
    docker(tmp_path / "docker")
    found = report(docker=tmp_path / "docker").stores
    assert {store.store.name for store in found} == {"overlay2", "containerd/moby"}
    assert areas(found) == du(tmp_path / "docker")
    for store in found:
        assert owned((store,)) == du(store.store.directory_root)


def test_a_docker_that_uses_the_hosts_containerd_has_two_roots(tmp_path: Path) -> None:
    """Its store's areas are what Docker has in its own root and, if nobody else speaks for it, all of containerd's."""
    builder = ContainerdRootBuilder(tmp_path / "containerd")
    target, chain = builder.pulled("moby", "docker.io/library/web:1", "web")
    builder.dockers_container(CONTAINER, parent=chain[-1])
    builder.write()
    (tmp_path / "docker/buildkit/containerd-overlayfs").mkdir(parents=True)
    write_container(tmp_path / "docker", CONTAINER, image=target)
    found = report(docker=tmp_path / "docker", containerd=builder.path).stores
    assert len(found) == 1
    assert areas(found) == du(tmp_path / "docker") + du(builder.path)


def pages(found: Report, *needles: str) -> str:
    """What ``report`` and ``inspect`` print of a host."""

    def show(console: Console) -> None:
        print_report(found, console)
        for needle in needles:
            finding = find(found.stores, needle)
            assert finding.matches
            print_inspection(finding, console)

    return pipe(show)


def test_a_kubernetes_node_is_told_nothing_of_docker(tmp_path: Path) -> None:
    """Neither what frees what could be freed nor anything else that is said of its containers is Docker's."""
    builder = kubernetes(tmp_path)
    builder.pulled("default", "docker.io/library/tool:1", "tool")
    builder.write()
    printed = pages(report(containerd=tmp_path), "shop/web-0/nginx", "shop/web-0/POD", "docker.io/library/tool:1")
    assert "crictl rmi --prune" in printed
    assert "ctr --namespace default images prune --all" in printed
    assert [] == re.findall(r"(?i)docker(?!\.io/).{,20}", printed)


def test_what_only_docker_writes_down_is_not_said_to_be_none(tmp_path: Path) -> None:
    """A pod may have a limit, logs and volumes all the same."""
    kubernetes(tmp_path)
    printed = pages(report(containerd=tmp_path), "shop/web-0/nginx")
    assert re.search("limit +no record that is read here tells", printed)
    assert "log: no record that is read here tells; a pod's is below /var/log/pods" in printed
    assert "mount points: no record that is read here tells" in printed
    assert re.search(r"allocated +\S+ of disk \(ctr's snapshots usage\)", printed)


def test_dockers_own_containerd_is_freed_by_docker(tmp_path: Path) -> None:
    """Its containers, too, are told of as Docker does."""
    docker(tmp_path)
    printed = pages(report(docker=tmp_path), CONTAINER)
    assert "docker image prune --all" in printed
    assert [] == re.findall("(?:crictl|ctr) .*", printed)
    assert re.search(r"allocated +\S+ of disk \(docker's SizeRw\)", printed)
    assert "mount points: none" in printed


def test_what_keeps_content(tmp_path: Path) -> None:
    """An image that needs it, else a lease, else nothing; what a graph driver has is in no content store."""
    builder = kubernetes(tmp_path / "containerd")
    builder.lease("k8s.io", "pull", blobs=(builder.content("k8s.io", b"of a pull under way"),))
    builder.content("k8s.io", b"nobody's")
    builder.write()
    StoreBuilder(tmp_path / "docker", seed=1)

    graph, node = report(docker=tmp_path / "docker", containerd=builder.path).stores

    everything = sum(path.stat().st_size for path in builder.blobs.iterdir())
    assert (node.content[Keeper.LEASE], node.content[Keeper.NONE]) == (
        ContentTotal(blobs=1, size=19),
        ContentTotal(blobs=1, size=8),
    )
    assert node.content[Keeper.IMAGE].size == everything - 19 - 8
    assert graph.content == {}


class TestReclaimable:
    """What removing all of a kind would free: directories and content, by true references."""

    def figures(self, root: Path) -> dict[str, int]:
        (found,) = report(docker=root).stores
        return dict(found.reclaimable)

    def files(self, builder: ContainerdRootBuilder, numbers: list[int], digests: list[str]) -> int:
        """Bytes on disk of these directories and this content."""
        directories = sum(du(builder.snapshotter / f"snapshots/{number}") for number in numbers)
        return directories + sum(du(builder.blobs / digest.removeprefix("sha256:")) for digest in digests)

    def test_an_image_that_nobody_uses(self, tmp_path: Path) -> None:
        """Its own layer goes, with its content; what it shares stays, and what another namespace has too."""
        builder = docker(tmp_path)
        before = set(builder.space("moby").blobs)
        target, _ = builder.pulled("moby", "docker.io/library/other:1", "base", "other")
        elsewhere = builder.content("another", b"shared")
        builder.content("moby", b"shared")
        builder.space("moby").blobs[target.encode()] = {
            **builder.space("moby").blobs[target.encode()],
            b"labels": {
                b"containerd.io/gc.ref.content.9": elsewhere.encode(),
                **{
                    f"containerd.io/gc.ref.content.{place}".encode(): digest
                    for place, digest in enumerate(builder.space("moby").blobs)
                    if digest not in before and digest not in (target.encode(), elsewhere.encode())
                },
            },
        }
        builder.write()
        own = [digest.decode() for digest in builder.space("moby").blobs if digest not in before]
        own.remove(elsewhere)
        assert self.figures(tmp_path)["unused_images"] == self.files(builder, [5], own)
        assert self.figures(tmp_path)["dangling_images"] == 0

    def test_a_classic_builds_stages_go_with_its_layers(self, tmp_path: Path) -> None:
        """An init layer that lies between two of them is nobody's then."""
        builder = docker(tmp_path)
        base = chain_ids([sha256(b"base"), sha256(b"web")])[-1]
        stage = builder.snapshot("moby", "f" * 64 + "-init", parent=base, files={"x": b"x" * 10_000})
        key = sha256(f"{base} {sha256(b'step')}".encode())
        layer = builder.snapshot("moby", key, parent="f" * 64 + "-init")
        configuration = builder.content(
            "moby",
            b'{"rootfs": {"diff_ids": ["%s", "%s", "%s"]}}'
            % tuple(sha256(part).encode() for part in (b"base", b"web", b"step")),
            unpacked={"overlayfs": key},
        )
        target = builder.content("moby", b"{}", needs=(configuration,))
        builder.image("moby", f"moby-dangling@{target}", target)
        builder.write()
        figures = self.figures(tmp_path)
        assert figures["dangling_images"] == self.files(builder, [stage, layer], [configuration, target])

    def test_a_container_that_ended(self, tmp_path: Path) -> None:
        """Upper and init layer, and Docker's own directory of it."""
        builder = docker(tmp_path)
        record = tmp_path / "containers" / CONTAINER
        assert self.figures(tmp_path)["exited_containers"] == 0
        shutil.rmtree(record)
        write_container(tmp_path, CONTAINER, image="sha256:" + "1" * 64, state={"StartedAt": "2024-05-06T07:08:10Z"})
        assert self.figures(tmp_path)["exited_containers"] == self.files(builder, [3, 4], []) + du(record)


def test_inspect_finds_its_way(tmp_path: Path) -> None:
    """An image by its whole name and by the digest of its configuration, a container by its pod, a directory by its
    path."""
    builder = kubernetes(tmp_path)
    found = report(containerd=tmp_path)
    store: Store = found.stores[0].store
    image = next(image for image in store.images.values() if len(image.chain_ids) == 2)

    def kinds(needle: str) -> list[tuple[str, str]]:
        return [(match.kind, match.identity) for match in find(found.stores, needle).matches]

    assert kinds("docker.io/library/web:1")[0][0] == "image"
    assert kinds(image.config_digests[0]) == [("image", image.image_id)]
    assert kinds("shop/web-0/nginx") == [("container", "container-id")]
    assert kinds(f"{builder.snapshotter}/snapshots/6/fs/data") == [("directory", "6")]
    assert kinds("no such thing") == []


def test_nothing_is_orphaned_while_mounts_are_not_seen(tmp_path: Path) -> None:
    """A store whose mounts are hidden gives no orphan figure."""
    builder = kubernetes(tmp_path)
    builder.directory("4711")
    builder.age(10 * 365 * 86_400)
    (store,) = survey(containerd=tmp_path).catalog().stores
    assert Source.OVERLAYS not in store.unread
    assert time.time() > (store.engine_started or 0)
