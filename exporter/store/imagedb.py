"""``image/<driver>/imagedb``: the images' configurations.

``content/sha256/<image ID>`` is the configuration, of which the ID is the SHA-256; ``metadata/sha256/<image
ID>/parent`` the image that a classic build or a commit started from. Both replaced atomically. Source: moby
``image/fs.go``.
"""

from exporter.store.entries import Image, ImageID
from exporter.store.imageconfig import checked_document, parse_configuration
from exporter.store.layerdb import chain_ids
from exporter.store.records import HEX64, LARGE, Folder, Malformed, Reading, Scan, Stamp, damaged_by, digest, read_line
from exporter.store.shelf import Shelf


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
    document = checked_document(content.read(name, LARGE), name, "another image's ID")
    # One that the engine refuses for that is shown all the same: its layers may be there.
    configuration = parse_configuration(document)
    parent = _read_parent(metadata, name)
    image = Image(
        image_id=ImageID("sha256:" + name),
        diff_ids=configuration.diff_ids,
        chain_ids=chain_ids(configuration.diff_ids),
        created=configuration.created,
        parent=parent.value,
        platform=configuration.platform,
        history=configuration.history,
    )
    return Reading(value=image, problems=document.remarks.problems(content.path_of(name)) + parent.problems)


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
