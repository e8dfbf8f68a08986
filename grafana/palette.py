"""Colours: one for each owner, area and usage, the same wherever it is shown. Kin has a kindred colour: what images
hold is blue, what containers write orange, what builds leave purple, what nobody needs red."""

from collections.abc import Mapping, Sequence
from typing import Final

OWNERS: Final[Mapping[str, str]] = {
    "image_layer": "#3274D9",
    "container_upper": "#FF9830",
    "container_init": "#FFE0B0",
    "build_cache": "#A352CC",
    "unreferenced_layer": "#8AB8FF",
    "leaked_mount": "#F2739E",
    "removing": "#806EB7",
    "in_flight": "#73BF69",
    "suspect": "#FADE2A",
    "orphan": "#C4162A",
    "internal": "#8E8E8E",
}
"""By the label ``owner`` of ``layerstore_directories*``."""

AREAS: Final[Mapping[str, str]] = {
    "layers": "#3274D9",
    "content": "#1F4E99",
    "containers": "#FF9830",
    "volumes": "#37872D",
    "build": "#A352CC",
    "metadata": "#C9C9C9",
    "other": "#8E8E8E",
}
"""By the label ``area`` of ``layerstore_area_allocated_bytes``."""

USAGES: Final[Mapping[str, str]] = {"shared": "#3274D9", "exclusive": "#5ECCC4", "unreferenced": "#8AB8FF"}
"""By the label ``usage`` of ``layerstore_layers*``."""

RECLAIMABLE: Final[Mapping[str, str]] = {
    "dangling_images": "#8AB8FF",
    "unused_images": "#3274D9",
    "exited_containers": "#FF9830",
    "build_cache": "#A352CC",
    "orphans": "#C4162A",
}
"""By the label ``by`` of ``layerstore_reclaimable_bytes``."""

WRITTEN: Final = OWNERS["container_upper"]
"""Of bars that show what containers wrote."""
STORED: Final = OWNERS["image_layer"]
"""Of bars that show what images hold."""
GOOD: Final = "#56A64B"
WARNING: Final = "#FF9830"
BAD: Final = "#E02F44"

Steps = Sequence[tuple[float | None, str]]
"""Colours from a value on, the first from None."""

PLAIN: Final[Steps] = [(None, "#3274D9")]
"""Of bars that are told apart by their names alone."""
NONE_WANTED: Final[Steps] = [(None, GOOD), (1, BAD)]
"""Of what there should be none of."""
FREE_SHARE: Final[Steps] = [(None, BAD), (0.1, WARNING), (0.25, GOOD)]
"""Of the share of a filesystem that is free."""
TIME_LEFT: Final[Steps] = [(None, BAD), (4 * 3600, WARNING), (24 * 3600, GOOD)]
"""Of the seconds until a filesystem is full."""
ORPHANED: Final[Steps] = [(None, GOOD), (1024**2, WARNING), (1024**3, BAD)]
"""Of the bytes of orphans: a few are no matter."""
