"""Reports built by hand, small enough to check every figure, or as large as a busy host's."""

import dataclasses
import hashlib

from exporter.account.owners import Owner, Ownership
from exporter.account.report import ImageUse, LayerTotal, LayerUse, Report, StoreReport, Upper
from exporter.measure.filesystem import Filesystem
from exporter.measure.usage import Usage
from exporter.store.catalog import Catalog, Problem, ProblemKind, Store
from exporter.store.entries import (
    CacheID,
    ChainID,
    Container,
    ContainerID,
    ContainerState,
    DiffID,
    Image,
    ImageID,
    Layer,
    Reference,
    Workload,
)
from exporter.vitals import Reason, Refusal, Stage, StageVitals, VitalsSnapshot, WebVitals

SCANNED = 1_760_000_000.0
"""When the scan behind every report here began."""


def hexes(digits: str) -> str:
    """64 hex digits that begin with *digits*."""
    return digits.ljust(64, "0")


def chain(digits: str) -> ChainID:
    return ChainID("sha256:" + hexes(digits))


def image_id(digits: str) -> ImageID:
    return ImageID("sha256:" + hexes(digits))


def container_id(digits: str) -> ContainerID:
    return ContainerID(hexes(digits))


def manifest(digits: str) -> str:
    return "sha256:" + hexes(digits)


def layer(digits: str, *, size: int | None, parent: ChainID | None = None, cache: str | None = None) -> Layer:
    return Layer(
        chain_id=chain(digits),
        diff_id=DiffID("sha256:" + hexes("d" + digits)),
        parent=parent,
        cache_id=None if cache is None else CacheID(cache),
        size=size,
        chain_id_recomputes=True,
    )


def image(digits: str, *, chains: tuple[ChainID, ...] = (), created: float | None = SCANNED - 86400) -> Image:
    return Image(
        image_id=image_id(digits),
        diff_ids=(),
        chain_ids=chains,
        created=created,
        parent=None,
        platform="linux/amd64",
        history=(),
    )


def container(
    digits: str,
    name: str,
    *,
    reference: str = "",
    of: ImageID | None = None,
    state: ContainerState | None = ContainerState.RUNNING,
    limit: int | None = None,
    workload: Workload | None = None,
) -> Container:
    return Container(
        container_id=container_id(digits),
        name=name,
        image_reference=reference,
        image_id=of,
        driver="overlay2",
        state=state,
        pid=0,
        created=SCANNED - 3600,
        removing=False,
        log_driver="json-file",
        upper_limit=limit,
        workload=workload or Workload(),
        mount_points=(),
    )


def tag(repository: str, name: str, of: ImageID) -> Reference:
    return Reference(repository=repository, tag=name, digest="", image_id=of)


def by_digest(repository: str, digits: str, of: ImageID) -> Reference:
    return Reference(repository=repository, tag="", digest=manifest(digits), image_id=of)


def store(
    *,
    name: str = "overlay2",
    root: str = "/var/lib/docker",
    driver: str = "overlay2",
    active: bool = True,
    layers: tuple[Layer, ...] = (),
    images: tuple[Image, ...] = (),
    references: tuple[Reference, ...] = (),
    containers: tuple[Container, ...] = (),
    problems: tuple[Problem, ...] = (),
) -> Store:
    return Store(
        name=name,
        engine="docker",
        driver=driver,
        root=root,
        active=active,
        measurable=True,
        directory_root=f"{root}/{driver}",
        layers={item.chain_id: item for item in layers},
        images={item.image_id: item for item in images},
        references=references,
        containers={item.container_id: item for item in containers},
        problems=problems,
    )


def store_report(
    subject: Store,
    *,
    layer_use: dict[ChainID, LayerUse] | None = None,
    image_use: dict[ImageID, ImageUse] | None = None,
    uppers: dict[ContainerID, Upper] | None = None,
    logs: dict[ContainerID, int] | None = None,
) -> StoreReport:
    """A report whose totals say nothing where the caller does not care for them."""
    return StoreReport(
        store=subject,
        layer_use=layer_use or {},
        image_use=image_use or {},
        image_states={"tagged": 0, "dangling": 0, "intermediate": 0},
        layer_usage=dict.fromkeys(("shared", "exclusive", "unreferenced"), LayerTotal(layers=0, size=0)),
        uppers=uppers or {},
        logs=logs or {},
    )


def report(*stores: StoreReport, problems: tuple[Problem, ...] = ()) -> Report:
    catalog = Catalog(taken_at=SCANNED, stores=tuple(item.store for item in stores), problems=problems)
    return Report(catalog=catalog, stores=stores, problems=problems)


def upper(*, size: int, allocated: int, inodes: int, age: float = 30.0) -> Upper:
    return Upper(
        usage=Usage(size=size, allocated=allocated, inodes=inodes), measured_at=SCANNED - age, read_since=SCANNED - 100
    )


def golden_report() -> Report:
    """A host after a switch of storage drivers: a store in use, and one left behind.

    In use: two images on a common base, one of them named three times; a dangling image; containers in three states.
    """
    base = layer("ba5e", size=5_000_000, cache="0b5e")
    web = layer("3eb", size=2_000_000, parent=base.chain_id, cache="03eb")
    data = layer("da7a", size=700, parent=base.chain_id, cache="0da7a")
    lost = layer("1057", size=None)
    site, database, dangling = image_id("517e"), image_id("dba5e"), image_id("da9")
    shop = Workload(compose_project="shop", compose_service="web")
    pod = Workload(namespace="prod", pod="db-0", container="postgres")
    used = StoreReport(
        store=store(
            layers=(base, web, data, lost),
            images=(
                image("517e", chains=(base.chain_id, web.chain_id)),
                image("dba5e", chains=(base.chain_id, data.chain_id), created=None),
                image("da9", chains=(data.chain_id,)),
            ),
            references=(
                tag("shop/web", "1.2", site),
                tag("shop/web", "latest", site),
                by_digest("shop/web", "aaaa", site),
                by_digest("shop/web", "bbbb", site),
                by_digest("mirror.example/web", "cccc", site),
                tag("postgres", "16", database),
            ),
            containers=(
                container("c0ffee", "web-1", reference="shop/web:1.2", of=site, limit=10 << 30, workload=shop),
                container("c0de", 'db "quoted"\n\\', reference="postgres:16", of=database, state=None, workload=pod),
                container("cafe", "job", reference="sha256:da9", of=dangling, state=ContainerState.EXITED),
            ),
            problems=(
                Problem(path="/var/lib/docker/1", kind=ProblemKind.MISSING_RECORD, reason="there is no such file"),
                Problem(path="/var/lib/docker/2", kind=ProblemKind.EMPTY_LINK, reason="it holds no short name"),
                Problem(path="/var/lib/docker/3", kind=ProblemKind.EMPTY_LINK, reason="it holds no short name"),
            ),
        ),
        layer_use={
            base.chain_id: LayerUse(images=2, containers=2),
            web.chain_id: LayerUse(images=1, containers=1),
            data.chain_id: LayerUse(images=2, containers=2),
            lost.chain_id: LayerUse(images=0, containers=0),
        },
        image_use={
            site: ImageUse(size=7_000_000, unique=2_000_000, shared=5_000_000, containers=1),
            database: ImageUse(size=5_000_700, unique=0, shared=5_000_700, containers=1),
            dangling: ImageUse(size=700, unique=0, shared=700, containers=1),
        },
        image_states={"tagged": 2, "dangling": 1, "intermediate": 0},
        layer_usage={
            "shared": LayerTotal(layers=2, size=5_000_700),
            "exclusive": LayerTotal(layers=1, size=2_000_000),
            "unreferenced": LayerTotal(layers=1, size=0),
        },
        uppers={
            container_id("c0ffee"): upper(size=123_456, allocated=4_096_000, inodes=42),
            container_id("cafe"): upper(size=0, allocated=4_096, inodes=1, age=600),
        },
        logs={container_id("c0ffee"): 8_192, container_id("cafe"): 0},
        directory_allocated={CacheID("0b5e"): 5_242_880, CacheID("03eb"): 2_097_152, CacheID("unknown"): 4_096},
        # The build cache's directory is not measured yet, and which mounts are leaked cannot be told.
        ownership=Ownership(
            owners={
                CacheID("0b5e"): Owner.IMAGE_LAYER,
                CacheID("03eb"): Owner.IMAGE_LAYER,
                CacheID("0da7a"): Owner.BUILD_CACHE,
                CacheID("unknown"): Owner.ORPHAN,
            },
            untold=frozenset({Owner.LEAKED_MOUNT}),
        ),
        reclaimable={"dangling_images": 0, "unused_images": 2_101_248, "exited_containers": 45_056, "orphans": 4_096},
        layer_allocated={base.chain_id: 5_238_784, web.chain_id: 2_093_056},
        areas={
            "layers": 11_440_128,
            "containers": 24_576,
            "volumes": 1_073_741_824,
            "build": 0,
            "metadata": 315_392,
            "other": 8_192,
        },
        volumes={"db-data": 1_073_725_440, 'odd "name"\n\\': 4_096},
        filesystem=Filesystem(size=64 << 30, available=10 << 30, files=4_194_304, files_free=4_000_000),
    )
    left_behind = dataclasses.replace(
        store_report(store(name="aufs", driver="aufs", active=False)),
        filesystem=Filesystem(size=64 << 30, available=10 << 30, files=None, files_free=None),
    )
    unreadable = Problem(path="/srv/docker", kind=ProblemKind.UNREADABLE_RECORD, reason="Permission denied")
    return report(used, left_behind, problems=(unreadable,))


def golden_vitals() -> VitalsSnapshot:
    """An exporter that fails at measuring upper layers, and has not come to the other trees yet."""
    empty = VitalsSnapshot()
    return VitalsSnapshot(
        stages=dict(empty.stages)
        | {
            Stage.CATALOG: StageVitals(duration=0.125, success=True, last_success=SCANNED),
            Stage.UPPERS: StageVitals(duration=2.5, success=False, last_success=SCANNED - 60),
        },
        errors=dict(empty.errors) | {(Stage.UPPERS, Reason.IO): 3, (Stage.CATALOG, Reason.VANISHED): 12},
        walk_inodes=1_234_567,
        walk_cpu_seconds=3.5,
        watch_events=99,
        watch_overflows=1,
        watches=6,
        watches_expected=7,
        web=WebVitals(
            connections=3,
            refusals={**empty.web.refusals, Refusal.CREDENTIALS: 5},
            config_success=False,
            config_last_success=SCANNED - 3600,
        ),
    )


def busy_report(*, layers: int = 1000, images: int = 300, containers: int = 500) -> Report:
    """A busy host: nothing in it is telling but its size."""

    def digits(kind: str, number: int) -> str:
        return hashlib.sha256(f"{kind} {number}".encode()).hexdigest()

    stack = tuple(layer(digits("layer", n), size=n * 1000, cache=digits("cache", n)) for n in range(layers))
    pictures = tuple(image(digits("image", n), chains=(stack[n % layers].chain_id,)) for n in range(images))
    boxes = tuple(
        container(
            digits("container", n),
            f"service-{n}",
            reference=f"registry.example/team/service-{n % images}:1.0",
            of=pictures[n % images].image_id,
            workload=Workload(compose_project="team", compose_service=f"service-{n}"),
        )
        for n in range(containers)
    )
    return report(
        store_report(
            store(
                layers=stack,
                images=pictures,
                references=tuple(
                    reference
                    for n, item in enumerate(pictures)
                    for reference in (
                        tag(f"registry.example/team/service-{n}", "1.0", item.image_id),
                        by_digest(f"registry.example/team/service-{n}", digits("manifest", n), item.image_id),
                    )
                ),
                containers=boxes,
            ),
            layer_use={item.chain_id: LayerUse(images=1, containers=2) for item in stack},
            image_use={
                item.image_id: ImageUse(size=n * 1000, unique=n * 100, shared=n * 900, containers=2)
                for n, item in enumerate(pictures)
            },
            uppers={
                item.container_id: upper(size=n * 4096, allocated=n * 8192, inodes=n) for n, item in enumerate(boxes)
            },
            logs={item.container_id: n * 4096 for n, item in enumerate(boxes)},
        )
    )
