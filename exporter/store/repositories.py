"""``image/<driver>/repositories.json``: which names point at which image.

``{"Repositories": {name: {"name:tag" | "name@sha256:…": "sha256:<image ID>"}}}``, with names as users write them
(``alpine``). Replaced atomically. Source: moby ``reference/store.go``.
"""

from collections.abc import Iterator

from exporter.store.documents import Document, parse
from exporter.store.entries import ImageID, Reference
from exporter.store.records import LARGE, Folder, Malformed, Reading, Scan, digest, quoted
from exporter.store.shelf import Shelf

NAME = "repositories.json"


class RepositoriesReader:
    """Reads ``repositories.json``."""

    def __init__(self) -> None:
        self._shelf: Shelf[tuple[Reference, ...]] = Shelf(exact=True)

    def read(self, folder: Folder | None, scan: Scan) -> tuple[Reference, ...]:
        """All references, in order; none where the engine has not written the file yet."""
        if folder is None:
            return ()
        values = self._shelf.read_all(
            folder,
            (name for name in scan.names(folder) if name == NAME),
            scan=scan,
            stamp=folder.stamp,
            read=lambda name: _read(folder, name),
        )
        return values.get(NAME, ())


def _read(folder: Folder, name: str) -> Reading[tuple[Reference, ...]]:
    document = parse(folder.read(name, LARGE))
    document.expect("Repositories")
    repositories = document.inner("Repositories")
    references: list[Reference] = []
    for repository in repositories:
        references += _references(repository, repositories.inner(repository))
    return Reading(value=tuple(sorted(references)), problems=document.remarks.problems(folder.path_of(name)))


def _references(repository: str, images: Document) -> Iterator[Reference]:
    for reference in images:
        odd = images.remarks.count
        image = images.text(reference)
        if images.remarks.count > odd:
            continue
        try:
            yield parse_reference(repository, reference, image)
        except Malformed as error:
            images.remark(str(error))


def parse_reference(repository: str, reference: str, image: str) -> Reference:
    """One entry of a repository; Malformed where it belongs to another repository or names no image ID."""
    image_id = ImageID(digest(image, f"the image of {quoted(reference)}"))
    rest = reference.removeprefix(repository)
    if rest != reference and rest.startswith("@"):
        manifest = digest(rest[1:], f"the digest of {quoted(reference)}")
        return Reference(repository=repository, tag="", digest=manifest, image_id=image_id)
    if rest != reference and rest.startswith(":") and len(rest) > 1:
        return Reference(repository=repository, tag=rest[1:], digest="", image_id=image_id)
    raise Malformed(f"{quoted(reference)} is no tag or digest of {quoted(repository)}")
