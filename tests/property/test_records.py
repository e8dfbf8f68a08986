"""Whatever bytes a record holds: the reader gives a value or one problem, never an exception, and nothing that no
encoding could write."""

import copy
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.account.integrity import find_problems
from exporter.sample.builder import StoreBuilder
from exporter.store.catalog import Problem, ProblemKind, Store
from exporter.store.containers import ContainerReader, parse_byte_size
from exporter.store.documents import parse
from exporter.store.entries import (
    CacheID,
    ChainID,
    Container,
    ContainerID,
    ContainerState,
    DiffID,
    Directory,
    Image,
    ImageID,
    Layer,
    Mount,
    Reference,
    Workload,
)
from exporter.store.graphdir import DirectoryReader
from exporter.store.imagedb import ImageReader
from exporter.store.layerdb import LayerReader, MountReader, cache_id, chain_ids
from exporter.store.records import Folder, Malformed, Scan, digest, open_folder, quoted
from exporter.store.repositories import RepositoriesReader, parse_reference

LATER = time.time() + 600
HEX = "5" * 64

texts = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(
    [
        "",
        "/",
        "..",
        "\x00",
        "\n",
        '"',
        "\\",
        f"sha256:{HEX}",
        HEX,
        "overlay2",
        "0001-01-01T00:00:00Z",
        "10G",
        "name:tag",
    ]
)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.integers(min_value=1 << 62, max_value=1 << 200)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)

CONFIG: dict[str, Any] = {
    "ID": HEX,
    "Name": "/web-1",
    "Created": "2026-01-01T00:00:00Z",
    "Driver": "overlay2",
    "Image": f"sha256:{HEX}",
    "Config": {"Image": "web:1", "Labels": {"com.docker.compose.project": "p", "io.kubernetes.pod.name": "x"}},
    "State": {"Running": True, "Paused": False, "Restarting": False, "Dead": False, "Pid": 7, "StartedAt": "x"},
    "MountPoints": {"/data": {"Type": "volume", "Name": "data", "Source": "/x", "RW": True}},
}
HOST_CONFIG: dict[str, Any] = {"LogConfig": {"Type": "json-file"}, "StorageOpt": {"size": "10G"}}
IMAGE: dict[str, Any] = {
    "created": "2026-01-01T00:00:00Z",
    "os": "linux",
    "architecture": "amd64",
    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{HEX}"]},
    "history": [{"created_by": "RUN x", "empty_layer": True}],
}
REPOSITORIES: dict[str, Any] = {
    "Repositories": {"web": {"web:1": f"sha256:{HEX}", f"web@sha256:{HEX}": f"sha256:{HEX}"}}
}


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every value's container, and its key there."""
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    for key in keys:
        yield document, key
        if isinstance(document[key], dict | list):
            yield from _places(document[key])


@st.composite
def mutated(draw: st.DrawFn, document: dict[str, Any]) -> bytes:
    """A sound document with other values, keys and bytes in some places."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        holder, key = draw(st.sampled_from(list(_places(changed)) or [({"": None}, "")]))
        if isinstance(holder, dict) and draw(st.booleans()):
            holder[draw(texts)] = holder.pop(key)
        else:
            holder[key] = draw(values)
    raw = json.dumps(changed, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        return raw
    cut = draw(st.integers(0, len(raw)))
    return raw[:cut] + draw(st.binary(max_size=4)) + raw[cut + draw(st.integers(0, 4)) :]


lines = st.one_of(
    st.binary(max_size=200),
    texts.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.from_regex(rb"(sha256:)?[0-9a-f]{62,66}\s?", fullmatch=True),
    st.from_regex(rb"(l/[A-Z2-7]{26}:?){0,5}", fullmatch=True),
    st.from_regex(rb"-?[0-9]{1,25}", fullmatch=True),
)


def documents(sound: dict[str, Any]) -> st.SearchStrategy[bytes]:
    return st.one_of(mutated(sound), st.binary(max_size=300), values.map(lambda value: json.dumps(value).encode()))


@pytest.fixture(scope="module")
def here() -> Iterator[Path]:
    """A directory for one record, that every example overwrites."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def assert_writable(value: object) -> None:
    """Whatever was read can be written out again: as UTF-8, in one line where it is a reason."""
    repr(value).encode()
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            item.encode()
        elif isinstance(item, dict):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, tuple | list):
            stack += item
        else:
            stack += [getattr(item, name) for name in getattr(type(item), "__slots__", ())]


def read(home: Path, ask: Callable[[Folder, Scan], object]) -> list[Problem]:
    """The problems of what a reader finds in *home*, which must be few, printable, and of this place."""
    scan = Scan(now=LATER, turn=1)
    with open_folder(str(home)) as folder:
        found = ask(folder, scan)
    assert_writable(found)
    for problem in scan.problems:
        assert problem.path.startswith(str(home))
        assert problem.reason.isprintable()
        assert 0 < len(problem.reason) < 500
    paths = [problem.path for problem in scan.problems]
    assert len(set(paths)) == len(paths)
    return scan.problems


def put(home: Path, record: str, files: dict[str, bytes]) -> None:
    directory = home / record
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)


@given(config=documents(CONFIG), host=documents(HOST_CONFIG))
@settings(max_examples=200)
def test_containers(here: Path, config: bytes, host: bytes) -> None:
    """Two files, so at most two problems; the container is there whatever they hold."""
    put(here / "containers", HEX, {"config.v2.json": config, "hostconfig.json": host})

    def ask(folder: Folder, scan: Scan) -> object:
        found = ContainerReader().read(folder, scan)
        assert list(found) == [ContainerID(HEX)]
        return found

    assert len(read(here / "containers", ask)) <= 2


@given(content=documents(IMAGE), parent=lines)
@settings(max_examples=200)
def test_images(here: Path, content: bytes, parent: bytes) -> None:
    """An image, or a problem; a parent, or a problem. What is not its own ID's content is a problem always."""
    name = hashlib.sha256(content).hexdigest()
    put(here / "images" / name, "content", {name: content})
    put(here / "images" / name / "metadata", name, {"parent": parent})
    with open_folder(str(here / "images" / name / "metadata")) as metadata:
        problems = read(
            here / "images" / name, lambda folder, scan: ImageReader().read(folder.inside("content"), metadata, scan)
        )
    assert len(problems) <= 2


@given(content=documents(REPOSITORIES))
@settings(max_examples=200)
def test_repositories(here: Path, content: bytes) -> None:
    """Any file gives the references that are sound in it and at most one problem."""
    put(here, "repositories", {"repositories.json": content})
    assert len(read(here / "repositories", lambda folder, scan: RepositoriesReader().read(folder, scan))) <= 1


@given(files=st.dictionaries(st.sampled_from(["diff", "size", "cache-id", "parent"]), lines))
@settings(max_examples=200)
def test_layers(here: Path, files: dict[str, bytes]) -> None:
    """With any files present: a layer, or a problem that says why there is none."""
    with tempfile.TemporaryDirectory(dir=here) as home:
        put(Path(home), HEX, files)
        found: dict[ChainID, Layer] = {}
        problems = read(Path(home), lambda folder, scan: found.update(LayerReader().read(folder, scan)))
    assert bool(found) != any(problem.path.endswith(("/diff", "/parent")) for problem in problems)
    for layer in found.values():
        assert layer.chain_id_recomputes == (
            (chain_ids([layer.diff_id])[0] if layer.parent is None else _above(layer.parent, layer.diff_id))
            == layer.chain_id
        )


def _above(parent: str, diff_id: str) -> str:
    return "sha256:" + hashlib.sha256(f"{parent} {diff_id}".encode()).hexdigest()


@given(files=st.dictionaries(st.sampled_from(["mount-id", "init-id", "parent"]), lines))
@settings(max_examples=150)
def test_mounts(here: Path, files: dict[str, bytes]) -> None:
    """With any files present there is a mount: what is damaged in it is not known, and a problem."""
    with tempfile.TemporaryDirectory(dir=here) as home:
        put(Path(home), "name", files)
        found: dict[str, Mount] = {}
        problems = read(Path(home), lambda folder, scan: found.update(MountReader().read(folder, scan)))
    assert list(found) == ["name"]
    known = (found["name"].mount_id, found["name"].init_id, found["name"].parent)
    assert len(problems) <= known.count(None)


@given(files=st.dictionaries(st.sampled_from(["link", "lower", "committed"]), lines))
@settings(max_examples=150)
def test_directories(here: Path, files: dict[str, bytes]) -> None:
    """With any files present there is a directory, and no name in it leads anywhere by itself."""
    with tempfile.TemporaryDirectory(dir=here) as home:
        put(Path(home), "name", files)
        found: dict[CacheID, Directory] = {}
        problems = read(Path(home), lambda folder, scan: found.update(DirectoryReader().read(folder, scan)))
    assert list(found) == ["name"]
    assert found[CacheID("name")].committed == ("committed" in files)
    assert len(problems) <= 2


@given(raw=st.binary(max_size=400) | values.map(lambda value: json.dumps(value).encode()) | mutated(CONFIG))
def test_documents(raw: bytes) -> None:
    """Any bytes are an object or Malformed; whatever is asked of an object it answers."""
    try:
        document = parse(raw)
    except Malformed as error:
        assert str(error).isprintable()
        return
    for key in [*document, "missing"]:
        for answer in (document.text(key), document.flag(key), document.number(key), document.time(key)):
            assert_writable(answer)
        assert_writable(document.texts(key))
        assert all(isinstance(inner.text("x"), str) for inner in [document.inner(key), *document.inners(key)])
    assert len(document.remarks.problems("/x")) <= 1


@given(repository=texts, reference=texts, image=texts)
def test_references(repository: str, reference: str, image: str) -> None:
    """An entry is a reference that spells itself again, or Malformed."""
    try:
        found = parse_reference(repository, reference, image)
    except Malformed:
        return
    assert reference == found.repository + (f":{found.tag}" if found.tag else f"@{found.digest}")


@given(repository=st.text(min_size=1), tag=st.text(min_size=1))
def test_every_tag_is_read_back(repository: str, tag: str) -> None:
    """Whatever the names: a tag of a repository is what follows its colon."""
    found = parse_reference(repository, f"{repository}:{tag}", f"sha256:{HEX}")
    assert found == Reference(repository=repository, tag=tag, digest="", image_id=ImageID(f"sha256:{HEX}"))


@given(texts | st.from_regex(r"[0-9]{1,20}(\.[0-9]{1,10})? ?[kmgtpKMGTP]?[iI]?[bB]?"))
def test_byte_sizes(text: str) -> None:
    """Any text is a number of bytes, 0 or more, or Malformed."""
    try:
        assert parse_byte_size(text) >= 0
    except Malformed as error:
        assert quoted(text) in str(error)


@given(texts)
def test_identities(text: str) -> None:
    """A digest is what it is; a directory's name leads nowhere else."""
    try:
        assert digest(text, "it") == f"sha256:{text[7:]}"
    except Malformed as error:
        assert str(error).isprintable()
    try:
        assert os.path.basename(cache_id(text)) == text not in {"", ".", ".."}
    except Malformed as error:
        assert str(error).isprintable()


chain_names = st.sampled_from([ChainID(f"sha256:{digit * 64}") for digit in "0123456"])
directory_names = st.sampled_from([CacheID(digit * 64) for digit in "012345"])
shorts = st.sampled_from(list("ABCDEFG"))
images = st.sampled_from([ImageID(f"sha256:{digit * 64}") for digit in "0123"])
containers = st.sampled_from([ContainerID(digit * 64) for digit in "012"])

layer_values = st.builds(
    Layer,
    chain_id=chain_names,
    diff_id=chain_names.map(DiffID),
    parent=st.none() | chain_names,
    cache_id=st.none() | directory_names,
    size=st.none() | st.integers(0, 9),
    chain_id_recomputes=st.booleans(),
)
directory_values = st.builds(
    Directory,
    name=directory_names,
    link=st.none() | st.just("") | shorts,
    lower=st.none() | st.lists(shorts, max_size=3).map(tuple),
    committed=st.booleans(),
    has_diff=st.booleans(),
    has_work=st.booleans(),
    has_merged=st.booleans(),
    modified=st.just(0.0),
)
container_values = st.builds(
    Container,
    container_id=containers,
    name=texts,
    image_reference=texts,
    image_id=st.none() | images,
    driver=st.just("overlay2"),
    state=st.none() | st.sampled_from(ContainerState),
    pid=st.integers(),
    created=st.none(),
    removing=st.booleans(),
    log_driver=texts,
    upper_limit=st.none(),
    workload=st.just(Workload()),
    mount_points=st.just(()),
)
mount_values = st.builds(
    Mount,
    name=containers.map(str),
    mount_id=st.none() | directory_names,
    init_id=st.none() | directory_names,
    parent=st.none() | chain_names,
    modified=st.just(0.0),
)
image_values = st.builds(
    Image,
    image_id=images,
    diff_ids=st.just(()),
    chain_ids=st.lists(chain_names, max_size=4).map(tuple),
    created=st.none(),
    parent=st.none() | images,
    platform=st.just(""),
    history=st.just(()),
)


@st.composite
def stores(draw: st.DrawFn) -> Store:
    """Any records at all, sound or not, that an engine would never have left together."""
    targets = st.builds("../{}/diff".format, directory_names) | texts
    return Store(
        name="overlay2",
        engine="docker",
        driver="overlay2",
        root="/r",
        active=True,
        measurable=True,
        directory_root="/r/overlay2",
        layers={layer.chain_id: layer for layer in draw(st.lists(layer_values, max_size=7))},
        images={image.image_id: image for image in draw(st.lists(image_values, max_size=4))},
        references=tuple(
            Reference(repository="r", tag="t", digest="", image_id=image)
            for image in draw(st.lists(images, max_size=3))
        ),
        containers={made.container_id: made for made in draw(st.lists(container_values, max_size=3))},
        mounts={mount.name: mount for mount in draw(st.lists(mount_values, max_size=3))},
        directories={made.name: made for made in draw(st.lists(directory_values, max_size=6))},
        short_links=draw(st.dictionaries(shorts, targets, max_size=7)),
    )


@given(stores())
@settings(max_examples=300)
def test_contradictions(store: Store) -> None:
    """Whatever contradicts what, the check ends, and tells nothing twice; told already, it tells nothing new."""
    problems = find_problems(store, now=2e9)
    assert len(set(problems)) == len(problems)
    assert_writable(problems)
    for problem in problems:
        assert problem.path.startswith("/r/")
        assert problem.reason.isprintable()
    everything = Problem(kind=ProblemKind.UNREADABLE_RECORD, path="/r", reason="x")
    told = Store(
        **{name: getattr(store, name) for name in Store.__slots__ if name != "problems"}, problems=(everything,)
    )
    own = {ProblemKind.CHAIN_ID_MISMATCH, ProblemKind.PARENT_LOOP}
    assert {problem.kind for problem in find_problems(told, now=2e9)} <= own


@given(stores())
@settings(max_examples=150)
def test_every_loop_is_found(store: Store) -> None:
    """A layer is in a loop where following the parents comes back to it; of each loop at least one layer is told."""
    loops = set()
    for start in store.layers:
        at, steps = store.layers[start].parent, 0
        while at is not None and at in store.layers and at != start and steps <= len(store.layers):
            at, steps = store.layers[at].parent, steps + 1
        if at == start:
            loops.add(start)
    told = {problem.path for problem in find_problems(store, now=2e9) if problem.kind is ProblemKind.PARENT_LOOP}
    paths = {f"/r/image/overlay2/layerdb/sha256/{chain.removeprefix('sha256:')}" for chain in loops}
    assert told <= paths
    assert bool(told) == bool(paths)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6, unique=True))
@settings(max_examples=20)
def test_a_stack_of_layers_recomputes(sizes: list[int]) -> None:
    """Chain IDs recompute from diff IDs, whatever the stack: invariant 4."""
    with tempfile.TemporaryDirectory() as above:
        store = StoreBuilder(Path(above, "docker"))
        top = None
        for size in sizes:
            top = store.layer({f"file-{size}": size}, parent=top)
        image = store.image(top, tags=["a"])
        with open_folder(f"{store.layerdb.layers}") as folder:
            found = LayerReader().read(folder, Scan(now=LATER, turn=1))
        with open_folder(f"{store.imagedb.content}") as content:
            chain = ImageReader().read(content, None, Scan(now=LATER, turn=1))[image].chain_ids
    assert set(chain) == set(found)
    assert all(layer.chain_id_recomputes for layer in found.values())
    assert [found[below].size for below in chain] == sizes
