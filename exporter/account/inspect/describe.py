"""From one store's records to what ``inspect`` tells of an image, a layer or a storage directory: pure."""

from collections.abc import Iterable

from exporter.account.inspect.index import StoreIndex, made_by
from exporter.account.inspect.views import DirectoryView, ImageView, LayerMatch, LayerView
from exporter.account.sharing import chain
from exporter.store.catalog import Layout, Source, Store
from exporter.store.entries import CacheID, ChainID, DiffID, Directory, Image, ImageID


def directory_view(index: StoreIndex, name: CacheID) -> DirectoryView:
    """A storage directory, on disk or only in a record."""
    store, directory = index.store, index.store.directories.get(name)
    link = None if directory is None else directory.link
    return DirectoryView(
        name=name,
        path=f"{store.directory_root}/{name}",
        there=directory is not None,
        diff_path=store.diff_path(name),
        short_name=link,
        short_name_leads_here=index.store.directory_called(link) == name if link else None,
        lower=None if directory is None else directory.lower,
        committed=None if directory is None else directory.committed,
        mounted=None if directory is None else _is_mounted(store, directory),
        modified=None if directory is None else directory.modified,
    )


def _is_mounted(store: Store, directory: Directory) -> bool:
    """Whether an overlay mount uses it. A graph driver's has ``merged`` then, which an engine that was killed leaves
    behind; it alone tells where mounts cannot be seen, and in a sample, where nothing is mounted."""
    is_overlaid = directory.name in store.overlaid
    if store.layout is Layout.SNAPSHOTTER:
        return is_overlaid
    return directory.has_merged and (is_overlaid or store.engine == "sample" or Source.OVERLAYS in store.unread)


def layer_view(index: StoreIndex, chain_id: ChainID, *, of: Image | None = None) -> LayerView:
    """A layer. As a layer *of* an image it tells that image's own step and diff ID, and is told of even where its
    record is lost; otherwise it tells the steps of all images."""
    layer = index.store.layers.get(chain_id)
    own = None if of is None else _place(of, chain_id)
    steps = index.steps_of_layer.get(chain_id, ()) if own is None else tuple(step for step in (own[1],) if step)
    diff_id = None if own is None else own[0]
    if layer is not None:
        diff_id = layer.diff_id or diff_id
    return LayerView(
        record=index.store.layer_record(chain_id),
        there=layer is not None,
        chain_id=chain_id,
        diff_id=diff_id,
        parent=None if layer is None else layer.parent,
        chain_id_recomputes=None if layer is None else layer.chain_id_recomputes,
        size=None if layer is None else layer.size,
        directory=None if layer is None or layer.cache_id is None else directory_view(index, layer.cache_id),
        created_by=steps,
        images=index.images_sharing(chain_id),
        containers=index.containers_on(chain_id),
    )


def _place(image: Image, chain_id: ChainID) -> tuple[DiffID, str | None]:
    place = image.chain_ids.index(chain_id)
    return image.diff_ids[place], made_by(image)[place]


def layer_match(index: StoreIndex, chain_id: ChainID) -> LayerMatch:
    """A layer, and its place among the others."""
    layers = index.store.layers
    view = layer_view(index, chain_id)
    below = [lower for lower in chain(layers, chain_id) if lower != chain_id]
    return LayerMatch(
        layer=view,
        below=tuple(layer_view(index, lower) for lower in below),
        above=tuple(sorted(other.chain_id for other in layers.values() if other.parent == chain_id)),
        same_files=tuple(
            sorted(
                other.chain_id
                for other in layers.values()
                if other.diff_id == view.diff_id and other.chain_id != chain_id
            )
        ),
        problems=index.problems_at(layer_paths([view])),
    )


def layer_paths(layers: Iterable[LayerView]) -> Iterable[str]:
    """The records and directories of layers."""
    for layer in layers:
        yield layer.record
        if layer.directory is not None:
            yield layer.directory.path


def image_view(index: StoreIndex, image_id: ImageID) -> ImageView:
    """An image with all its layers; one that only a name points at has none."""
    image = index.store.images.get(image_id)
    layers = () if image is None else tuple(layer_view(index, chain_id, of=image) for chain_id in image.chain_ids)
    use = index.report.image_use.get(image_id)
    record = index.store.image_record(image_id)
    return ImageView(
        record=record,
        there=image is not None,
        image_id=image_id,
        names=index.names.get(image_id, ()),
        state=None if image is None else index.image_state(image_id),
        created=None if image is None else image.created,
        platform="" if image is None else image.platform,
        parent=None if image is None else image.parent,
        size=None if image is None else sum(layer.size or 0 for layer in layers),
        unique=None if use is None else use.unique,
        shared=None if use is None else use.shared,
        layers_of_unknown_size=sum(layer.size is None for layer in layers),
        containers=index.containers_from(image_id),
        layers=layers,
        problems=index.problems_at([record, *layer_paths(layers)]),
    )
