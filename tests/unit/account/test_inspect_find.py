"""What a text names: every kind of name, ID and path that a person may have at hand."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from exporter.account.inspect.find import containers_of, find
from exporter.account.inspect.views import Finding, MatchedBy
from exporter.store.entries import CacheID, ChainID, ContainerID, ImageID
from tests.unit.account.records import ROOT, Records, digest

MANIFEST = f"sha256:{digest('manifest')}"


@dataclass(frozen=True)
class Host:
    """A store with something of each kind."""

    records: Records
    base: ChainID
    top: ChainID
    image: ImageID
    container: ContainerID

    def find(self, needle: str) -> Finding:
        return find([self.records.report()], needle)

    def cache_id(self, chain_id: ChainID) -> CacheID:
        cache_id = self.records.layers[chain_id].cache_id
        assert cache_id is not None
        return cache_id

    @property
    def upper(self) -> CacheID:
        upper = self.records.mounts[self.container].mount_id
        assert upper is not None
        return upper


@pytest.fixture
def host() -> Host:
    records = Records()
    base = records.layer(1000)
    top = records.layer(20, parent=base)
    image = records.image(top, tags=["shop/api:2.4.0", "shop/api:latest"], digests=[f"shop/api@{MANIFEST}"])
    records.image(base, tags=["debian:12", "localhost:5000/tools/debian:12"])
    container = records.container(image, name="web", reference="shop/api")
    return Host(records=records, base=base, top=top, image=image, container=container)


def only(finding: Finding) -> tuple[str, str, MatchedBy]:
    """Kind, ID and way of the one match."""
    (match,) = finding.matches
    return match.kind, match.identity, match.matched_by


@pytest.mark.parametrize(
    "needle",
    [
        "shop/api:2.4.0",
        "shop/api:latest",
        "shop/api",
        "docker.io/shop/api:2.4.0",
        "index.docker.io/shop/api",
        f"shop/api@{MANIFEST}",
        f"shop/api:2.4.0@{MANIFEST}",
        f"shop/api@{MANIFEST[:20]}",
        " shop/api ",
    ],
)
def test_an_image_by_reference(host: Host, needle: str) -> None:
    """By tag, by digest, by repository alone (then ``latest``), with the default registry spelt out or not."""
    assert ("image", host.image, MatchedBy.IMAGE_REFERENCE) == only(host.find(needle))


def test_official_images_have_short_names(host: Host) -> None:
    """``docker.io/library/debian`` is ``debian``."""
    assert only(host.find("docker.io/library/debian:12")) == only(host.find("debian:12"))


def test_the_port_of_a_registry_is_no_tag(host: Host) -> None:
    """A repository on a registry with a port is told from a tag by the slash behind it."""
    assert only(host.find("localhost:5000/tools/debian")) == only(host.find("localhost:5000/tools/debian:12"))


def test_a_repository_without_latest_means_all_its_images(host: Host) -> None:
    """Where the engine's default tag is not there, every image of the repository is a candidate."""
    other = host.records.image(host.top, tags=["debian:13"])
    kinds = {(match.kind, match.identity) for match in host.find("debian").matches}
    assert {("image", other), ("image", host.find("debian:12").matches[0].identity)} == kinds


def test_an_image_that_only_a_name_points_at(host: Host) -> None:
    """A reference whose image is lost is found, and said to be lost."""
    del host.records.images[host.image]
    (match,) = host.find("shop/api:2.4.0").matches
    assert (match.identity, getattr(match.subject, "there", True)) == (host.image, False)


@pytest.mark.parametrize("length", [64, 12, 4])
@pytest.mark.parametrize("algorithm", ["sha256:", ""])
def test_ids_may_be_cut_short(host: Host, length: int, algorithm: str) -> None:
    """Four digits or more of an image ID, chain ID, diff ID or manifest digest, with or without its algorithm."""
    expected = {
        host.image: ("image", host.image, MatchedBy.IMAGE_ID),
        host.top: ("layer", host.top, MatchedBy.CHAIN_ID),
        host.records.layers[host.top].diff_id: ("layer", host.top, MatchedBy.DIFF_ID),
        MANIFEST: ("image", host.image, MatchedBy.MANIFEST_DIGEST),
    }
    found = {identity: only(host.find(algorithm + identity.removeprefix("sha256:")[:length])) for identity in expected}
    assert expected == found


@pytest.mark.parametrize("length", [64, 12, 4])
def test_container_ids_and_cache_ids_may_be_cut_short(host: Host, length: int) -> None:
    """Neither has an algorithm."""
    assert ("container", host.container, MatchedBy.CONTAINER_ID) == only(host.find(host.container[:length]))
    cache_id = host.cache_id(host.top)
    assert ("directory", cache_id, MatchedBy.CACHE_ID) == only(host.find(cache_id[:length]))
    assert not host.find(f"sha256:{host.container[:length]}")
    assert not host.find(f"sha256:{cache_id[:length]}")


def test_three_digits_are_no_id(host: Host) -> None:
    """So short a text would find something random."""
    assert not host.find(host.container[:3])


@pytest.mark.parametrize("needle", ["web", "/web"])
def test_a_container_by_name(host: Host, needle: str) -> None:
    """As people write it, or with the slash that the engine stores."""
    assert ("container", host.container, MatchedBy.CONTAINER_NAME) == only(host.find(needle))


def test_a_name_goes_before_the_beginning_of_an_id(host: Host) -> None:
    """A container called as another's ID begins is the one that is meant."""
    named = host.records.container(host.image, name=host.container[:6])
    assert ("container", named, MatchedBy.CONTAINER_NAME) == only(host.find(host.container[:6]))


def test_a_name_of_two_things_finds_both(host: Host) -> None:
    """A container called as a repository is: both are meant as well."""
    container = host.records.container(host.image, name="debian:12")
    finding = host.find("debian:12")
    assert {"image", "container"} == {match.kind for match in finding.matches}
    assert container in {match.identity for match in finding.matches}


def test_an_init_layer_is_meant_only_where_it_is_written_out(host: Host) -> None:
    """Its directory's name begins with the upper layer's, which would never be found alone otherwise."""
    assert ("directory", host.upper, MatchedBy.CACHE_ID) == only(host.find(host.upper[:12]))
    assert ("directory", f"{host.upper}-init", MatchedBy.CACHE_ID) == only(host.find(f"{host.upper}-init"))


@pytest.mark.parametrize("prefix", ["", "l/", "/var/lib/docker/overlay2/l/"])
def test_a_directory_by_short_name(host: Host, prefix: str) -> None:
    """As it stands in ``link``, in ``lower``, or as a path."""
    cache_id = host.cache_id(host.top)
    kind, identity, _ = only(host.find(f"{prefix}{host.records.directories[cache_id].link}"))
    assert ("directory", cache_id) == (kind, identity)


def test_a_short_name_that_only_a_record_knows(host: Host) -> None:
    """Without its symlink in ``l/`` the directory's own ``link`` still tells."""
    cache_id = host.cache_id(host.top)
    host.records.short_links.clear()
    assert ("directory", cache_id, MatchedBy.SHORT_NAME) == only(
        host.find(f"l/{host.records.directories[cache_id].link}")
    )


@pytest.mark.parametrize(
    "target", ["/etc", "/etc/diff", "l/etc/diff", "../../etc/diff", "../etc/work", "..//diff", "../../diff", ""]
)
def test_a_short_name_that_leads_out_of_the_store_leads_nowhere(host: Host, target: str) -> None:
    """A symlink in ``l/`` is not believed further than the graph directory."""
    host.records.short_links["HOSTILE"] = target
    assert not host.find("l/HOSTILE")


@pytest.mark.parametrize(
    "path",
    [
        "/var/lib/docker/overlay2/{upper}",
        "/var/lib/docker/overlay2/{upper}/",
        "/var/lib/docker/overlay2/{upper}/diff/var/log/app.log",
        "/var/lib/docker/overlay2/{upper}/merged/../diff//tmp",
        "/host/docker/overlay2/{upper}/diff",
        "overlay2/{upper}/diff",
    ],
)
def test_a_directory_by_any_path_in_it(host: Host, path: str) -> None:
    """What ``du`` printed, also as it is seen through another mount of the same root."""
    assert ("directory", host.upper, MatchedBy.PATH) == only(host.find(path.format(upper=host.upper)))


def test_the_outermost_directory_owns_a_path(host: Host) -> None:
    """A container may make directories called as another's: what is below its upper layer is its own."""
    victim = host.cache_id(host.base)
    path = f"{ROOT}/overlay2/{host.upper}/diff/overlay2/{victim}/diff"
    assert ("directory", host.upper, MatchedBy.PATH) == only(host.find(path))


def test_records_by_path(host: Host) -> None:
    """A path as a problem tells it leads to what the record is about."""
    hex_of = {name: identity.removeprefix("sha256:") for name, identity in (("top", host.top), ("image", host.image))}
    expected = {
        f"{ROOT}/containers/{host.container}/hostconfig.json": ("container", host.container),
        f"{ROOT}/image/overlay2/layerdb/sha256/{hex_of['top']}/diff": ("layer", host.top),
        f"{ROOT}/image/overlay2/layerdb/mounts/{host.container}/mount-id": ("container", host.container),
        f"{ROOT}/image/overlay2/imagedb/content/sha256/{hex_of['image']}": ("image", host.image),
        f"{ROOT}/image/overlay2/imagedb/metadata/sha256/{hex_of['image']}/parent": ("image", host.image),
    }
    assert expected == {path: only(host.find(path))[:2] for path in expected}


def test_the_record_of_a_mount_without_a_container(host: Host) -> None:
    """A builder's writable layer is its two directories."""
    upper = host.records.mount("builder", host.top)
    found = {match.identity for match in host.find(f"{ROOT}/image/overlay2/layerdb/mounts/builder").matches}
    assert {upper, f"{upper}-init"} == found


@pytest.mark.parametrize(
    "path",
    [
        ROOT,
        f"{ROOT}/overlay2",
        f"{ROOT}/overlay2/l",
        f"{ROOT}/overlay2/nothing/diff",
        f"{ROOT}/volumes/data",
        "/",
        "//",
        "/etc/passwd",
    ],
)
def test_paths_that_are_nobodys(host: Host, path: str) -> None:
    """A path that belongs to no layer, image or container finds nothing."""
    assert not host.find(path)


def test_a_directory_that_only_a_record_names(host: Host) -> None:
    """A layer's directory that is lost is found by the cache-id in the layer's record."""
    cache_id = host.cache_id(host.top)
    del host.records.directories[cache_id]
    assert ("directory", cache_id, MatchedBy.CACHE_ID) == only(host.find(cache_id[:12]))


def test_a_base_layers_chain_id_is_meant_before_others_diff_id(host: Host) -> None:
    """On a base layer both are one digest; of the layers with its files on another parent it tells."""
    twin = host.records.layer(1000, parent=host.top, files="0")
    assert str(host.records.layers[twin].diff_id) == host.base
    assert ("layer", host.base, MatchedBy.CHAIN_ID) == only(host.find(host.base))


def test_a_diff_id_of_several_layers_finds_all(host: Host) -> None:
    """The same files on two parents are two layers."""
    one = host.records.layer(7, parent=host.base, files="same")
    two = host.records.layer(7, parent=host.top, files="same")
    found = {match.identity for match in host.find(host.records.layers[one].diff_id).matches}
    assert {one, two} == found


def test_an_ambiguous_beginning_finds_all_that_it_fits(host: Host) -> None:
    """As many things as begin so, of any kind."""
    for twin in (ContainerID("beef" + digit * 60) for digit in "12"):
        host.records.containers[twin] = replace(host.records.containers[host.container], container_id=twin)
    host.records.directory(CacheID("beef" + "3" * 60))
    found = {(match.kind, match.identity[:5]) for match in host.find("beef").matches}
    assert {("container", "beef1"), ("container", "beef2"), ("directory", "beef3")} == found
    assert only(host.find("beef1")) == ("container", "beef1" + "1" * 59, MatchedBy.CONTAINER_ID)


def test_the_same_thing_in_two_stores_is_found_in_both(host: Host) -> None:
    """Two roots may hold one image: every store's is told."""
    other = Records(root="/srv/docker", name="/srv/docker/overlay2")
    other.image(other.layer(20, parent=other.layer(1000)), tags=["shop/api:2.4.0"])
    finding = find([host.records.report(), other.report()], "shop/api:2.4.0")
    assert [("overlay2", host.image), ("/srv/docker/overlay2", host.image)] == [
        (match.store, match.identity) for match in finding.matches
    ]
    assert finding.stores == ("overlay2", "/srv/docker/overlay2")


def test_a_path_belongs_to_the_innermost_root(host: Host) -> None:
    """Below the sub-root of a userns-remap it is not the outer root's, though both hold a layer of that name."""
    inner = Records(root=f"{ROOT}/100000.100000", name="100000.100000/overlay2")
    inner.layer(1000)
    path = f"{ROOT}/100000.100000/overlay2/{host.cache_id(host.base)}/diff"
    finding = find([host.records.report(), inner.report()], path)
    assert [match.store for match in finding.matches] == ["100000.100000/overlay2"]


def test_a_miss_suggests_names_that_contain_it(host: Host) -> None:
    """What a person typed is part of what they meant."""
    assert host.find("pi").near == ("shop/api:latest", "shop/api:2.4.0")


@pytest.mark.parametrize(
    ("typed", "meant"), [("wbe", "web"), ("shop/apj", "shop/api:2.4.0"), ("shop/api:2.4.1", "shop/api:2.4.0")]
)
def test_a_miss_suggests_names_spelt_alike(host: Host, typed: str, meant: str) -> None:
    """Letters swapped, a letter wrong, another tag."""
    assert meant in host.find(typed).near


@pytest.mark.parametrize(
    "needle", ["", " ", "@", ":", "l/", "sha256:", "\x1b[2J", "a" * 100_000, "\ud800", "repo@", "-"]
)
def test_nonsense_finds_nothing(host: Host, needle: str) -> None:
    """Nor does it break anything."""
    finding = host.find(needle)
    assert (finding.needle, finding.matches) == (needle, ())


def test_a_hit_suggests_nothing(host: Host) -> None:
    """Names much like it are told only where nothing was found."""
    assert host.find("web").near == ()


def test_no_store_at_all() -> None:
    """A root on which no engine kept anything."""
    assert Finding(needle="web", stores=(), matches=()) == find([], "web")


def test_the_containers_to_measure(host: Host) -> None:
    """A finding names the containers that it tells of in full: found themselves, or by a directory of theirs."""
    expected = frozenset({("overlay2", host.container)})
    needles = ("web", host.upper, f"{host.upper}-init", "shop/api", host.base)
    assert [expected, expected, expected, frozenset(), frozenset()] == [
        containers_of(host.find(needle)) for needle in needles
    ]


@pytest.fixture(autouse=True)
def no_accidents(host: Host) -> Iterator[None]:
    """The four digits that the tests above cut IDs to are unlike: otherwise a match would rightly be ambiguous."""
    records = host.records
    identities = [*records.layers, *records.images, *records.containers, MANIFEST, *records.directories]
    identities += [layer.diff_id for layer in records.layers.values() if layer.parent is not None]
    shorts = [identity.removeprefix("sha256:")[:4] for identity in identities if not identity.endswith("-init")]
    assert len(set(shorts)) == len(shorts)
    yield
