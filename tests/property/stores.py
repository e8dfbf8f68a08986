"""Arbitrary stores as values: forests of layers, images on them, containers on those, some of it damaged."""

from hypothesis import strategies as st

from exporter.measure.usage import Usage
from exporter.store.entries import ChainID, ContainerState, ImageID
from tests.unit.account.records import Records

SIZES = st.integers(min_value=0, max_value=1 << 50)
USAGES = st.builds(Usage, size=SIZES, allocated=SIZES, inodes=st.integers(min_value=1, max_value=1 << 40))


@st.composite
def records(draw: st.DrawFn, *, sound: bool = False) -> Records:
    """A store. Unless it is to be *sound*, sizes may be unknown and records may be lost."""
    made = Records()
    layers: list[ChainID] = []
    for number in range(draw(st.integers(min_value=0, max_value=12))):
        parent = draw(st.sampled_from([None, *layers]))
        # Few kinds of files, so that one diff ID is met on several parents.
        files = draw(st.sampled_from(["", "a", "b"])) or f"own {number}"
        layer = made.layer(draw(SIZES if sound else st.none() | SIZES), parent=parent, files=files)
        if layer not in layers:
            layers.append(layer)
    images: list[ImageID] = []
    for number in range(draw(st.integers(min_value=0, max_value=6))):
        image = made.image(
            draw(st.sampled_from([None, *layers])),
            tags=[f"image-{number}:{tag}" for tag in range(draw(st.integers(min_value=0, max_value=2)))],
            digests=[f"image-{number}@{image}" for image in images if draw(st.booleans())],
            parent=draw(st.sampled_from([None, *images])),
        )
        images.append(image)
    for number in range(draw(st.integers(min_value=0, max_value=5))):
        made.container(
            draw(st.sampled_from([None, *images])),
            name=f"container-{number}",
            state=draw(st.sampled_from([None, *ContainerState])),
            usage=draw(st.none() | USAGES),
            log=draw(st.none() | SIZES),
            mounted=sound or draw(st.booleans()),
        )
    if not sound:
        for lost in draw(st.sets(st.sampled_from(layers), max_size=3)) if layers else ():
            del made.layers[lost]
        for lost_image in draw(st.sets(st.sampled_from(images), max_size=2)) if images else ():
            del made.images[lost_image]
    return made
