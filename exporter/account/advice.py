"""What each problem means, and what can be done about it without losing anything: as data, for ``check``."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.store.catalog import ProblemKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to tell of one kind of problem."""

    meaning: str
    """What is wrong, and what no longer works."""
    next_step: str
    """What to do first; nothing in it deletes what cannot be had again."""


STORELESS = (
    "there is neither image/<driver> nor a containerd's namespace with images: the engine was never started on it or "
    "has none yet, or keeps them elsewhere; name that root with --path.docker-root or --path.containerd-root"
)
"""What it means that a root has no store."""

_RESTORE = "restore the file from a backup of the engine's root, with the engine stopped"

ADVICE: Mapping[ProblemKind, Advice] = {
    ProblemKind.UNREADABLE_RECORD: Advice(
        meaning="The record could not be read, so what it would tell is missing from every figure.",
        next_step="Run as root or with CAP_DAC_READ_SEARCH; for an input/output error, check disk and kernel log.",
    ),
    ProblemKind.MALFORMED_RECORD: Advice(
        meaning="The record does not say what such a record must say; the engine skips it, or fails on it at start.",
        next_step=f"Keep a copy, then {_RESTORE}; without one remove and pull or create again what it belongs to.",
    ),
    ProblemKind.MISSING_RECORD: Advice(
        meaning="A file, row or blob that the engine always has is not there, so what it would tell is not known.",
        next_step=f"Look whether it was moved or deleted by hand; {_RESTORE}. In containerd, remove the image and pull "
        "it again.",
    ),
    ProblemKind.CHAIN_ID_MISMATCH: Advice(
        meaning="The layer's parent or diff ID was changed: its files are not those that its images were made of.",
        next_step="Remove the images that use the layer, and pull them again; do not push them.",
    ),
    ProblemKind.MISSING_PARENT: Advice(
        meaning="The record of the layer below is gone; the engine drops the layer and the images on it at start.",
        next_step="Pull the images that use the layer again: what is missing comes back.",
    ),
    ProblemKind.PARENT_LOOP: Advice(
        meaning="The layer is its own ancestor; the engine cannot load it, and may hang on it.",
        next_step="Remove the images that use the layer, and pull them again.",
    ),
    ProblemKind.MISSING_CACHE_ID: Advice(
        meaning="The record does not say which storage directory holds the layer's files; the engine drops it.",
        next_step="Do not delete storage directories that seem to be nobody's. Pull the layer's images again.",
    ),
    ProblemKind.MISSING_DIFF_DIRECTORY: Advice(
        meaning="The layer's files are gone; what is built on it cannot be started.",
        next_step="For an image's layer, remove the image and pull it again; a container's upper layer is lost, "
        "so restore it from a backup, or remove the container.",
    ),
    ProblemKind.EMPTY_LINK: Advice(
        meaning="The directory's short name was lost, as by a power cut; what is built on it cannot start.",
        next_step="With the engine stopped, write the name of the symlink in l/ that leads to this directory into it.",
    ),
    ProblemKind.EMPTY_LOWER: Advice(
        meaning="The list of the layers below was lost, as by a power cut; it would be mounted without them.",
        next_step="For an image's layer, remove the image and pull it again; for a container, copy out what it wrote "
        "from the upper layer's diff, and create it anew.",
    ),
    ProblemKind.LOWER_DANGLING: Advice(
        meaning="A layer below is named by a short name that nothing has; what is built on it cannot be mounted.",
        next_step="With the engine stopped, make the missing symlinks in l/ anew from the link files of the "
        "directories below; else remove the image and pull it again.",
    ),
    ProblemKind.SHORT_LINK_DANGLING: Advice(
        meaning="A short name and the directory that it stands for do not find each other: mostly a storage directory "
        "was deleted by hand, or its symlink in l/.",
        next_step="Where the directory is there, make the symlink in l/ anew (l/<name> to ../<directory>/diff); "
        "where it is gone, the symlink that is left does no harm.",
    ),
    ProblemKind.SHORT_LINK_MISMATCH: Advice(
        meaning="The short name leads to another directory: containers would be mounted on foreign files.",
        next_step="Stop what uses it; with the engine stopped, make the symlink in l/ lead to this directory's diff.",
    ),
    ProblemKind.IMAGE_LAYER_MISSING: Advice(
        meaning="A layer of the image is gone; the engine forgets the image at its next start.",
        next_step="Pull or build the image again: what is missing comes back.",
    ),
    ProblemKind.REFERENCE_IMAGE_MISSING: Advice(
        meaning="A name points at an image whose configuration is gone.",
        next_step="Pull or build it again under that name, or remove the name with docker rmi.",
    ),
    ProblemKind.CONTAINER_IMAGE_MISSING: Advice(
        meaning="The container's image was lost, not removed; the container runs on, but cannot be committed.",
        next_step="Pull or build the image again, then create the container anew when it suits.",
    ),
    ProblemKind.CONTAINER_MOUNT_MISSING: Advice(
        meaning="Nothing tells where the container's upper layer is, so it cannot start; its files may exist.",
        next_step="Do not delete storage directories that seem to be nobody's. Restore the record from a backup, or "
        "find the upper layer by its contents and copy them out, before the container is removed.",
    ),
    ProblemKind.MOUNT_WITHOUT_CONTAINER: Advice(
        meaning="A writable layer that nobody uses is left over, mostly of a build that was cut off; it holds its disk "
        "and the layers below it, and the engine never removes it.",
        next_step="inspect its directory; if nothing in it is needed, delete, with the engine stopped, the directories "
        "that the record names, and the record. In containerd: ctr --namespace NAMESPACE snapshots rm KEY.",
    ),
    ProblemKind.STALE_WRITE_SET: Advice(
        meaning="A layer was being pulled or built when the engine died; its record was never finished.",
        next_step="It is small and does no harm; delete it with the engine stopped. Its storage directory is counted "
        "as an orphan.",
    ),
    ProblemKind.REMOVING_LEFT_OVER: Advice(
        meaning="A layer was being removed when the engine died, or could not be removed; its disk is not free.",
        next_step="Restart the engine in good order: it tries again when it is shut down. Its log tells why it failed. "
        "containerd tries again with the next snapshot that it removes.",
    ),
}
"""Every kind of problem."""
