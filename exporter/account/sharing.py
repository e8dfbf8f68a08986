"""Who shares what: pure functions from the records to counts and bytes.

Sharing is counted among *head images*, those with a reference or without children, as ``docker system df`` does:
the intermediates of a classic build do not make the image built on them "shared" with itself.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from exporter.account.report import ImageUse, LayerTotal, LayerUse
from exporter.store.catalog import Layout, Store
from exporter.store.entries import ChainID, Image, ImageID, Layer

IMAGE_STATES = ("tagged", "dangling", "intermediate")
LAYER_USAGES = ("shared", "exclusive", "unreferenced")


def tagged_images(store: Store) -> frozenset[ImageID]:
    """The images that a tag points at; a reference by digest alone does not count, as for ``docker image prune``. In
    containerd every name keeps an image, and one without any has none."""
    every = store.layout is Layout.SNAPSHOTTER
    return frozenset(reference.image_id for reference in store.references if every or reference.tag)


def parents_of_images(store: Store) -> frozenset[ImageID]:
    """The images that another image was built on."""
    return frozenset(image.parent for image in store.images.values() if image.parent is not None)


def head_images(store: Store) -> tuple[Image, ...]:
    """The images with a reference or without children."""
    referenced = {reference.image_id for reference in store.references}
    parents = parents_of_images(store)
    return tuple(
        image for image in store.images.values() if image.image_id in referenced or image.image_id not in parents
    )


def image_states(store: Store) -> Mapping[str, int]:
    """How many images are tagged; dangling (no tag, no children: what prune removes); intermediate (the rest)."""
    tagged, parents = tagged_images(store), parents_of_images(store)

    def state(image_id: ImageID) -> str:
        if image_id in tagged:
            return "tagged"
        return "intermediate" if image_id in parents else "dangling"

    counts = Counter(state(image_id) for image_id in store.images)
    return {name: counts[name] for name in IMAGE_STATES}


def chain(layers: Mapping[ChainID, Layer], top: ChainID | None) -> Iterator[ChainID]:
    """The layers from *top* down to the base, as far as records tell. Ends also where parents make a loop."""
    seen: set[ChainID] = set()
    while top is not None and top in layers and top not in seen:
        seen.add(top)
        yield top
        top = layers[top].parent


def container_chain(store: Store, container_id: str, image_id: ImageID | None) -> tuple[ChainID, ...]:
    """The read-only layers of a container, topmost first: from its mount's record, else from its image."""
    mount = store.mounts.get(container_id)
    if mount is not None and mount.parent is not None:
        return tuple(chain(store.layers, mount.parent))
    image = None if image_id is None else store.images.get(image_id)
    return () if image is None else tuple(reversed(image.chain_ids))


def layer_uses(store: Store, heads: tuple[Image, ...]) -> Mapping[ChainID, LayerUse]:
    """For every layer, how many head images and how many containers have it in their chain."""
    # An image may list one layer twice only as two positions of its chain, which have two chain IDs.
    images = Counter(chain_id for image in heads for chain_id in image.chain_ids)
    tops: Counter[tuple[ChainID, ...]] = Counter(
        container_chain(store, container.container_id, container.image_id) for container in store.containers.values()
    )
    containers: Counter[ChainID] = Counter()
    for chain_ids, count in tops.items():
        for chain_id in chain_ids:
            containers[chain_id] += count
    return {chain_id: LayerUse(images=images[chain_id], containers=containers[chain_id]) for chain_id in store.layers}


def image_uses(store: Store, heads: tuple[Image, ...], uses: Mapping[ChainID, LayerUse]) -> Mapping[ImageID, ImageUse]:
    """For every head image its size, and how much of it no other head image uses. A layer of unknown size counts
    0 bytes."""
    containers = Counter(container.image_id for container in store.containers.values())
    sizes = {chain_id: layer.size or 0 for chain_id, layer in store.layers.items()}
    exclusive = {chain_id for chain_id, use in uses.items() if use.images == 1}

    def use(image: Image) -> ImageUse:
        size = sum(sizes.get(chain_id, 0) for chain_id in image.chain_ids)
        unique = sum(sizes.get(chain_id, 0) for chain_id in image.chain_ids if chain_id in exclusive)
        return ImageUse(size=size, unique=unique, shared=size - unique, containers=containers[image.image_id])

    return {image.image_id: use(image) for image in heads}


def layer_totals(store: Store, uses: Mapping[ChainID, LayerUse]) -> Mapping[str, LayerTotal]:
    """How many layers, of how many bytes, are in two or more head images, in one, in none."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for chain_id, use in uses.items():
        usage = LAYER_USAGES[max(0, 2 - use.images)]
        counts[usage] += 1
        sizes[usage] += store.layers[chain_id].size or 0
    return {usage: LayerTotal(layers=counts[usage], size=sizes[usage]) for usage in LAYER_USAGES}
