"""``inspect``: what one name, ID or path stands for, and the whole way from repository to image to each layer."""

from exporter.account.inspect.files import look
from exporter.account.inspect.find import containers_of, find
from exporter.account.inspect.views import (
    ContainerView,
    DirectoryMatch,
    DirectoryView,
    Finding,
    ImageView,
    LayerMatch,
    LayerView,
    Match,
    MatchedBy,
    Owner,
)

__all__ = [
    "ContainerView",
    "DirectoryMatch",
    "DirectoryView",
    "Finding",
    "ImageView",
    "LayerMatch",
    "LayerView",
    "Match",
    "MatchedBy",
    "Owner",
    "containers_of",
    "find",
    "look",
]
