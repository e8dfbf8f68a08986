"""The content store's configurations of images: ``io.containerd.content.v1.content/blobs/sha256/<hex>``.

Content never changes: it goes by its digest. So each is read once, for as long as an image needs it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from exporter.store.catalog import ProblemKind
from exporter.store.documents import parse
from exporter.store.imageconfig import Configuration, checked_document, parse_configuration
from exporter.store.records import HEX64, LARGE, NO_FILE, Folder, Malformed, Reading, Scan, damaged, damaged_by

Read = Callable[[Folder | None, str, Scan], Configuration | None]
"""Gives the configuration with a digest out of the directory of blobs; None, and a problem, where it cannot be had."""


class ConfigurationReader:
    """Reads configurations of images, each once."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Reading[Configuration]]] = {}

    @contextmanager
    def reading(self, store: str) -> Iterator[Read]:
        """Read those of one store; what is not asked for is forgotten."""
        known, asked = self._known.pop(store, {}), dict[str, Reading[Configuration]]()

        def read(blobs: Folder | None, digest: str, scan: Scan) -> Configuration | None:
            reading = asked.get(digest)
            if reading is None:
                reading = known.get(digest)
                if reading is None or reading.value is None:
                    reading = _read(blobs, digest)
                asked[digest] = reading
                scan.problems += reading.problems
            return reading.value

        yield read
        self._known[store] = asked


def configurations_named(blobs: Folder | None, digest: str, *, levels: int = 2) -> Iterator[str]:
    """The digests of the configurations that the manifest with this digest names, or those of the index that are here;
    none where it cannot be read, or is something else."""
    name = digest.removeprefix("sha256:")
    if blobs is None or HEX64.fullmatch(name) is None:
        return
    try:
        document = parse(blobs.read(name, LARGE))
    except (Malformed, OSError):
        return
    if named := document.inner("config").text("digest"):
        yield named
    for manifest in document.inners("manifests") if levels > 1 else ():
        yield from configurations_named(blobs, manifest.text("digest"), levels=levels - 1)


def _read(blobs: Folder | None, digest: str) -> Reading[Configuration]:
    name = digest.removeprefix("sha256:")
    if blobs is None:
        return Reading(value=None)
    if "/" in name or name in {"", ".", ".."}:
        return damaged(ProblemKind.MALFORMED_RECORD, blobs.path, f"{name[:80]!a} is no digest")
    path = blobs.path_of(name)
    try:
        document = checked_document(blobs.read(name, LARGE), name, "another blob's digest")
        return Reading(value=parse_configuration(document), problems=document.remarks.problems(path))
    except FileNotFoundError:
        return damaged(ProblemKind.MISSING_RECORD, path, NO_FILE)
    except (Malformed, OSError) as error:
        return damaged_by(error, path)
