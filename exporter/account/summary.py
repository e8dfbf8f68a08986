"""From one store's records and measurements to its report: pure."""

from collections.abc import Mapping

from exporter.account.content import content_totals
from exporter.account.owners import Ownership
from exporter.account.report import StoreReport, Upper
from exporter.account.sharing import head_images, image_states, image_uses, layer_totals, layer_uses
from exporter.measure.figures import UNKNOWN, Figures
from exporter.store.catalog import Store
from exporter.store.entries import ContainerID


def store_report(
    store: Store,
    *,
    uppers: Mapping[ContainerID, Upper],
    logs: Mapping[ContainerID, int],
    ownership: Ownership | None = None,
    figures: Figures = UNKNOWN,
    reclaimable: Mapping[str, int] | None = None,
) -> StoreReport:
    """What follows from the records of *store* and what was measured in it."""
    heads = head_images(store)
    uses = layer_uses(store, heads)
    return StoreReport(
        store=store,
        layer_use=uses,
        image_use=image_uses(store, heads, uses),
        image_states=image_states(store),
        layer_usage=layer_totals(store, uses),
        content=content_totals(store),
        uppers=uppers,
        logs=logs,
        ownership=ownership,
        reclaimable=reclaimable or {},
        layer_allocated=figures.layer_allocated,
        directory_allocated=figures.directory_allocated,
        areas=figures.areas,
        volumes=figures.volumes,
        filesystem=figures.filesystem,
    )
