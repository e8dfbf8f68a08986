"""What a person should know about a host as a whole, said once."""

from collections.abc import Mapping

import structlog

from exporter.account.advice import STORELESS
from exporter.store.catalog import Catalog, Source


class Notices:
    """Tells once what a person should know about a host as a whole."""

    def __init__(self) -> None:
        self._told: frozenset[tuple[str, str]] = frozenset()
        self._log = structlog.get_logger()

    def tell(self, catalog: Catalog) -> None:
        """Log what is to be said of *catalog* and was not said of the one before."""
        now = notices(catalog)
        for event, subject in sorted(now.keys() - self._told):
            self._log.warning(event, subject=subject, advice=now[event, subject])
        self._told = frozenset(now)


def notices(catalog: Catalog) -> Mapping[tuple[str, str], str]:
    """Event and subject of what a person should know, with what to do about it."""
    found = {
        ("a driver cannot be measured", store.name): (
            f"the records of {store.driver} are read, its directories are not measured; overlay2 is measured whole"
        )
        for store in catalog.stores
        if not store.measurable
    }
    found |= {
        ("mounts cannot be seen", store.name): (
            "no orphans are told, for what is mounted must not count as one: in a container, mount the engine's root "
            "with the propagation rslave (HostToContainer), or share the host's process namespace"
        )
        for store in catalog.stores
        if store.measurable and store.active and Source.OVERLAYS in store.unread
    }
    return found | {("no layer store found", root): STORELESS for root in catalog.storeless}
