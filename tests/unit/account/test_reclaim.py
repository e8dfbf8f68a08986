"""What removing all of a kind frees: by who refers to what, not by whose it seems."""

from dataclasses import replace

import pytest

from exporter.account.owners import Owner, Ownership
from exporter.account.reclaim import Kind, Removable, reclaimable, removable
from exporter.store.catalog import Source
from exporter.store.entries import CacheID, ChainID, ContainerID, ContainerState, ImageID, MountPoint
from tests.unit.account.records import ROOT, Records, digest

RECORDS = f"{ROOT}/image/overlay2"
OVERLAY = f"{ROOT}/overlay2"


class Host(Records):
    """A store, and what of it can go."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[ChainID, str] = {}
        """What layers are called here."""

    def gone(self, kind: Kind, **changes: object) -> set[str]:
        """The storage directories that go, by what they are called here."""
        store = replace(self.store(), **changes)  # type: ignore[arg-type]
        return {self._called(name) for name in removable(store, None)[kind].directories}

    def _called(self, name: CacheID) -> str:
        for chain_id, layer in self.layers.items():
            if layer.cache_id == name:
                return self.names[chain_id]
        for mount in self.mounts.values():
            if name in {mount.mount_id, mount.init_id}:
                container = self.containers.get(ContainerID(mount.name))
                whose = mount.name if container is None else container.name
                return f"{whose} {'init' if name == mount.init_id else 'upper'}"
        return name

    def stack(self, *names: str, on: ChainID | None = None) -> ChainID:
        """Layers of these names, one on top of the other; the topmost."""
        for name in names:
            on = self.layer(1, parent=on, files=name)
            self.names[on] = name
        assert on is not None
        return on


@pytest.fixture
def host() -> Host:
    return Host()


def container(host: Host, image: ImageID | None, name: str, state: ContainerState | None) -> ContainerID:
    return host.container(image, name=name, state=state)


EXITED, RUNNING = ContainerState.EXITED, ContainerState.RUNNING


def test_nothing_to_remove(host: Host) -> None:
    """Of a store in use nothing goes; the figures are 0 and not absent."""
    image = host.image(host.stack("a"), tags=["a:1"])
    container(host, image, "web", RUNNING)
    ownership = Ownership(owners={})
    found = removable(host.store(), ownership)
    assert dict.fromkeys(Kind, Removable(directories=frozenset())) == found
    assert {kind.value: 0 for kind in Kind} == reclaimable(found, {}, {})


# Images


def test_layers_shared_only_by_unused_images_go(host: Host) -> None:
    """The engine's own figure leaves them out: they go with the last of the images that share them."""
    base = host.stack("base")
    shared = host.stack("shared", on=base)
    for name in ("one", "two"):
        host.image(host.stack(name, on=shared), tags=[f"{name}:1"])
    used = host.image(host.stack("used", on=base), tags=["used:1"])
    container(host, used, "web", EXITED)
    assert {"shared", "one", "two"} == host.gone(Kind.UNUSED_IMAGES)
    assert set() == host.gone(Kind.DANGLING_IMAGES)


def test_dangling_images(host: Host) -> None:
    """Without a tag and without children; a digest does not save one, a container does."""
    base = host.stack("base")
    host.image(base, tags=["base:1"])
    host.image(host.stack("dangling", on=base))
    host.image(host.stack("digest", on=base), digests=["x@sha256:" + "a" * 64])
    kept = host.image(host.stack("used", on=base))
    container(host, kept, "web", EXITED)
    assert {"dangling", "digest"} == host.gone(Kind.DANGLING_IMAGES)


def test_an_image_that_others_were_built_on(host: Host) -> None:
    """It goes after its last child, where nothing names it; one that has a name stays, and what it lies on."""
    below = host.image(host.stack("below"))
    parent = host.image(host.stack("parent", on=host.images[below].chain_ids[-1]), parent=below)
    top = host.images[parent].chain_ids[-1]
    host.image(host.stack("child", on=top), parent=parent)
    assert {"below", "parent", "child"} == host.gone(Kind.DANGLING_IMAGES)
    host.image(host.stack("tagged", on=top), parent=parent, tags=["tagged:1"])
    assert {"child"} == host.gone(Kind.DANGLING_IMAGES)
    assert {"below", "parent", "child", "tagged"} == host.gone(Kind.UNUSED_IMAGES)


def test_an_image_whose_container_was_forced_off_it(host: Host) -> None:
    """A container whose image is gone keeps its layers; they go with it."""
    top = host.stack("lost")
    image = host.image(top, tags=["lost:1"])
    container(host, image, "web", EXITED)
    del host.images[image]
    host.references.clear()
    assert set() == host.gone(Kind.UNUSED_IMAGES)
    assert {"lost", "web upper", "web init"} == host.gone(Kind.EXITED_CONTAINERS)


def test_two_images_of_the_same_layers(host: Host) -> None:
    """As long as one stays, all stay."""
    top = host.stack("a", "b")
    host.image(top, tags=["one:1"])
    host.image(top)
    assert set() == host.gone(Kind.DANGLING_IMAGES)
    assert {"a", "b"} == host.gone(Kind.UNUSED_IMAGES)


def test_what_nobody_uses_already_stays(host: Host) -> None:
    """The engine removes a layer only when somebody lets go of it: not what lies around, nor what that lies on."""
    base = host.stack("base")
    host.image(base, tags=["base:1"])
    host.stack("unreferenced", on=base)
    assert set() == host.gone(Kind.UNUSED_IMAGES)


def test_layers_that_the_cache_uses(host: Host) -> None:
    """They stay with the images gone, and go with the cache where no image has them."""
    base = host.stack("base")
    top = host.stack("step", on=base)
    host.image(host.stack("above", on=top), tags=["a:1"])
    assert {"above"} == host.gone(Kind.UNUSED_IMAGES, cache_layers=frozenset({top}))
    assert set() == host.gone(Kind.BUILD_CACHE, cache_layers=frozenset({top}))
    host.images.clear()
    above = next(chain_id for chain_id, name in host.names.items() if name == "above")
    del host.layers[above]
    assert {"step", "base"} == host.gone(Kind.BUILD_CACHE, cache_layers=frozenset({top}))


def test_the_caches_own_directories(host: Host) -> None:
    """They go with the cache, but for those that are layers of images as well."""
    top = host.stack("a")
    host.image(top, tags=["a:1"])
    own = CacheID("own")
    host.directory(own)
    names = frozenset({own, CacheID(str(host.layers[top].cache_id)), CacheID("not there")})
    assert {"own"} == host.gone(Kind.BUILD_CACHE, cache_directories=names, cache_layers=frozenset({top}))


# Containers


@pytest.mark.parametrize("state", list(ContainerState))
def test_which_containers_go(host: Host, state: ContainerState) -> None:
    """All that are not running, paused or restarting."""
    container(host, host.image(host.stack("a"), tags=["a:1"]), "web", state)
    goes = state in {ContainerState.CREATED, ContainerState.EXITED, ContainerState.DEAD}
    assert ({"web upper", "web init"} if goes else set()) == host.gone(Kind.EXITED_CONTAINERS)


def test_a_container_of_unknown_state(host: Host) -> None:
    """Whether it would go nobody knows, so there is no figure of containers; the others are there."""
    container(host, host.image(host.stack("a"), tags=["a:1"]), "web", None)
    assert {Kind.DANGLING_IMAGES, Kind.UNUSED_IMAGES, Kind.BUILD_CACHE} == removable(host.store(), None).keys()


def test_an_image_that_is_mounted_into_a_container(host: Host) -> None:
    """What the container wrote into it goes with the container."""
    image = host.image(host.stack("a"), tags=["a:1"])
    point = MountPoint(destination="/mnt", kind="image", name="", source=str(image), writable=True)
    web = host.container(image, name="web", state=EXITED, mount_points=[point])
    name = digest(f"{web}-src={image}-dst=/mnt")
    host.mount(name, host.images[image].chain_ids[-1])
    assert {"web upper", "web init", f"{name} upper", f"{name} init"} == host.gone(Kind.EXITED_CONTAINERS)


def test_the_records_that_go(host: Host) -> None:
    """With a directory its short name, with a layer, image, mount or container its record."""
    image = host.image(host.stack("a"), tags=["a:1"])
    web = container(host, host.image(host.stack("b"), tags=["b:1"]), "web", EXITED)
    found = removable(host.store(), None)

    def short_name(directory: CacheID | None) -> str:
        return f"{OVERLAY}/l/{host.directories[CacheID(str(directory))].link}"

    (chain_id,) = host.images[image].chain_ids
    assert {
        f"{RECORDS}/imagedb/content/sha256/{image.removeprefix('sha256:')}",
        f"{RECORDS}/imagedb/metadata/sha256/{image.removeprefix('sha256:')}",
        f"{RECORDS}/layerdb/sha256/{chain_id.removeprefix('sha256:')}",
        short_name(host.layers[chain_id].cache_id),
    } == found[Kind.UNUSED_IMAGES].records
    assert {
        f"{RECORDS}/layerdb/mounts/{web}",
        f"{ROOT}/containers/{web}",
        short_name(host.mounts[web].mount_id),
        short_name(host.mounts[web].init_id),
    } == found[Kind.EXITED_CONTAINERS].records


def test_a_short_name_that_leads_elsewhere_stays(host: Host) -> None:
    """A damaged ``link`` does not take another directory's short name away."""
    image = host.image(host.stack("a"), tags=["a:1"])
    directory = CacheID(str(host.layers[host.images[image].chain_ids[-1]].cache_id))
    host.short_links[str(host.directories[directory].link)] = "../other/diff"
    assert not [path for path in removable(host.store(), None)[Kind.UNUSED_IMAGES].records if "/l/" in path]


# What is not known


@pytest.mark.parametrize("source", [*Source], ids=str)
def test_a_source_that_was_not_read(host: Host, source: Source) -> None:
    """Without all who refer to layers nothing can be told; whether something is mounted does not matter."""
    host.image(host.stack("a"), tags=["a:1"])
    found = removable(replace(host.store(), unread=frozenset({source})), None)
    assert bool(found) == (source is Source.OVERLAYS)


def test_a_driver_that_cannot_be_measured(host: Host) -> None:
    """Its directories are not known, so nothing is told of them."""
    assert {} == removable(replace(host.store(), measurable=False), None)


def test_a_layer_that_is_missing(host: Host) -> None:
    """An engine that lacks a layer drops the images on it: nobody can tell what it would remove."""
    top = host.stack("a", "b")
    host.image(top, tags=["a:1"])
    del host.layers[top]
    assert {} == removable(host.store(), None)


@pytest.mark.parametrize("untold", [frozenset(), frozenset({Owner.ORPHAN})])
def test_orphans(host: Host, untold: frozenset[Owner]) -> None:
    """They are those of the ownership, with their short names; where it cannot tell, there is no figure."""
    name = CacheID(digest("orphan"))
    host.directory(name)
    found = removable(host.store(), Ownership(owners={name: Owner.ORPHAN}, untold=untold))
    expected = Removable(
        directories=frozenset({name}), records=frozenset({f"{OVERLAY}/l/{host.directories[name].link}"})
    )
    assert (None if untold else expected) == found.get(Kind.ORPHANS)


def test_what_was_not_measured_has_no_figure() -> None:
    """A kind of which one directory or record is not measured is absent; the others are sums."""
    found = {
        Kind.ORPHANS: Removable(directories=frozenset({CacheID("a"), CacheID("b")}), records=frozenset({"/r"})),
        Kind.BUILD_CACHE: Removable(directories=frozenset({CacheID("c")})),
        Kind.UNUSED_IMAGES: Removable(directories=frozenset(), records=frozenset({"/s"})),
    }
    directories = {CacheID("a"): 1, CacheID("b"): 2}
    assert {"orphans": 7} == reclaimable(found, directories, {"/r": 4})
    assert {"build_cache": 8, "unused_images": 5} == reclaimable(found, {CacheID("c"): 8}, {"/s": 5})
