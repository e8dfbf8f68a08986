"""``image/<driver>/imagedb``: the images' configurations.

``content/sha256/<image ID>`` is the configuration, of which the ID is the SHA-256; ``metadata/sha256/<image
ID>/parent`` the image that a classic build or a commit started from. Both replaced atomically. Source: moby
``image/fs.go``; the configuration as in the OCI image specification.
"""

from exporter.store.catalog import DiffID, HistoryEntry, Image, ImageID, Problem, ProblemKind
from exporter.store.documents import Document, parse
from exporter.store.layerdb import chain_ids
from exporter.store.records import (
    LARGE,
    Folder,
    Malformed,
    Reading,
    Scan,
    Shelf,
    Stamp,
    digest,
    hex64,
    read_line,
    stamp_of,
)


class ImageReader:
    """Reads ``imagedb``."""

    def __init__(self) -> None:
        self._shelf: Shelf[Image] = Shelf()

    def read(self, content: Folder | None, metadata: Folder | None, scan: Scan) -> dict[ImageID, Image]:
        """All images, by ID. A directory is None where the engine has not made it yet."""
        if content is None:
            return {}

        def stamp(name: str) -> Stamp | None:
            return None if name.startswith(".tmp-") else stamp_of(content.status(name)) + _stamp(metadata, name)

        images = self._shelf.read_all(
            content, content.names(), scan=scan, stamp=stamp, read=lambda name: _read_image(content, metadata, name)
        )
        return {image.image_id: image for image in images.values()}


def _stamp(metadata: Folder | None, name: str) -> Stamp:
    try:
        return () if metadata is None else stamp_of(metadata.status(name))
    except FileNotFoundError:
        return ()


def _read_image(content: Folder, metadata: Folder | None, name: str) -> Reading[Image]:
    image_id = ImageID("sha256:" + hex64(name, "the image's file name"))
    document = parse(content.read(name, LARGE))
    rootfs = document.inner("rootfs")
    if "rootfs" not in document:
        raise Malformed("there is no rootfs, so its layers are unknown")
    diff_ids = tuple(DiffID(digest(text, "a diff ID")) for text in rootfs.texts("diff_ids"))
    parent: Reading[ImageID] = Reading(value=None)
    if metadata is not None:
        parent = read_line(metadata, f"{name}/parent", lambda text: ImageID(digest(text, "parent")))
    image = Image(
        image_id=image_id,
        diff_ids=diff_ids,
        chain_ids=chain_ids(diff_ids),
        created=document.time("created"),
        parent=parent.value,
        platform="/".join(filter(None, (document.text("os"), document.text("architecture"), document.text("variant")))),
        history=tuple(_history(entry) for entry in document.inners("history")),
    )
    remarks = tuple(
        Problem(kind=ProblemKind.MALFORMED_RECORD, path=content.path_of(name), reason=remark)
        for remark in document.remarks
    )
    return Reading(value=image, problems=remarks + parent.problems)


def _history(entry: Document) -> HistoryEntry:
    return HistoryEntry(
        created=entry.time("created"),
        created_by=entry.text("created_by"),
        comment=entry.text("comment"),
        empty_layer=entry.flag("empty_layer"),
    )
