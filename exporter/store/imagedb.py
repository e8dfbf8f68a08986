"""``image/<driver>/imagedb``: the images' configurations.

``content/sha256/<image ID>`` is the configuration, of which the ID is the SHA-256; ``metadata/sha256/<image
ID>/parent`` the image that a classic build or a commit started from. Both replaced atomically. Source: moby
``image/fs.go``; the configuration as in the OCI image specification.
"""

import hashlib

from exporter.store.catalog import DiffID, HistoryEntry, Image, ImageID
from exporter.store.documents import Document, parse
from exporter.store.layerdb import chain_ids
from exporter.store.records import (
    HEX64,
    LARGE,
    Folder,
    Malformed,
    Reading,
    Scan,
    Shelf,
    Stamp,
    damaged_by,
    digest,
    read_line,
)

MOST_STEPS, LONGEST_STEP = 1000, 1024
"""Steps of an image's history, and characters of each, that are kept. Whoever makes an image chooses them, the catalog
holds them as long as the image is there, and an engine makes no image of more than 127 layers."""


class ImageReader:
    """Reads ``imagedb``."""

    def __init__(self) -> None:
        # A hostile image may be costly to read and odd: it is not read again for that.
        self._shelf: Shelf[Image] = Shelf(exact=True)
        self.lost: frozenset[ImageID] = frozenset()
        """The images of the last reading whose metadata is there and whose content is not: the engine writes content
        first, and removes it last."""

    def read(self, content: Folder | None, metadata: Folder | None, scan: Scan) -> dict[ImageID, Image]:
        """All images, by ID. A directory is None where the engine has not made it yet."""
        noted = set() if metadata is None else set(filter(HEX64.fullmatch, scan.names(metadata)))
        self.lost = frozenset()
        if content is None:
            return {}

        def stamp(name: str) -> Stamp:
            return content.stamp(name) + _stamp(metadata, name)

        names = scan.identities(content, passing=_being_written)
        self.lost = frozenset(ImageID("sha256:" + name) for name in noted.difference(names))
        images = self._shelf.read_all(
            content,
            names,
            scan=scan,
            stamp=stamp,
            read=lambda name: _read_image(content, metadata, name),
        )
        return {image.image_id: image for image in images.values()}


def _being_written(name: str) -> bool:
    return name.startswith(".tmp-")


def _stamp(metadata: Folder | None, name: str) -> Stamp:
    try:
        return () if metadata is None else metadata.stamp(name)
    except OSError:
        return ()


def _read_image(content: Folder, metadata: Folder | None, name: str) -> Reading[Image]:
    raw = content.read(name, LARGE)
    document = parse(raw)
    if (computed := hashlib.sha256(raw).hexdigest()) != name:
        # The engine refuses such an image. Its layers may be there all the same, so it is shown.
        document.remark(f"its content has the SHA-256 {computed}, which is another image's ID")
    diff_ids = _diff_ids(document)
    parent = _read_parent(metadata, name)
    image = Image(
        image_id=ImageID("sha256:" + name),
        diff_ids=diff_ids,
        chain_ids=chain_ids(diff_ids),
        created=document.time("created"),
        parent=parent.value,
        platform="/".join(filter(None, (document.text("os"), document.text("architecture"), document.text("variant")))),
        history=tuple(_history(entry) for entry in document.inners("history")[:MOST_STEPS]),
    )
    return Reading(value=image, problems=document.remarks.problems(content.path_of(name)) + parent.problems)


def _diff_ids(document: Document) -> tuple[DiffID, ...]:
    """The layers, base first. With one of them unknown, none above it could be named, so there is no image then."""
    odd = document.remarks.count
    document.expect("rootfs")
    texts = document.inner("rootfs").texts("diff_ids")
    if document.remarks.count > odd:
        raise Malformed("its rootfs does not say which layers it has")
    return tuple(DiffID(digest(text, "a diff ID")) for text in texts)


def _read_parent(metadata: Folder | None, name: str) -> Reading[ImageID]:
    if metadata is None:
        return Reading(value=None)
    try:
        with metadata.inside(name) as known:
            return read_line(known, "parent", lambda text: ImageID(digest(text, "parent")))
    except FileNotFoundError:
        return Reading(value=None)
    except (Malformed, OSError) as error:
        return damaged_by(error, metadata.path_of(name))


def _history(entry: Document) -> HistoryEntry:
    return HistoryEntry(
        created=entry.time("created"),
        created_by=entry.text("created_by")[:LONGEST_STEP],
        comment=entry.text("comment")[:LONGEST_STEP],
        empty_layer=entry.flag("empty_layer"),
    )
