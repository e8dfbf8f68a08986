"""What is said once of a host as a whole."""

from dataclasses import replace

from exporter.notices import notices
from exporter.store.catalog import Catalog, Source, Store
from tests.unit.account.records import Records

EVENT = "mounts cannot be seen"


def told(store: Store) -> list[tuple[str, str]]:
    return list(notices(Catalog(taken_at=0.0, stores=(store,))))


def test_nothing_to_say() -> None:
    """A store that is read whole is worth no word."""
    assert [] == told(Records().store())


def test_mounts_that_cannot_be_seen() -> None:
    """Without them no orphan is told, so a person is told why; not of a store that nothing mounts any more."""
    store = replace(Records().store(), unread=frozenset({Source.OVERLAYS}))
    assert [(EVENT, "overlay2")] == told(store)
    assert [] == told(replace(store, active=False))


def test_a_root_without_a_store() -> None:
    """A root in which no engine keeps images is named, beside others too."""
    catalog = Catalog(taken_at=0.0, stores=(Records().store(),), storeless=("/empty",))
    assert [("no layer store found", "/empty")] == list(notices(catalog))


def test_a_driver_that_cannot_be_measured() -> None:
    """It is named, too."""
    assert ("a driver cannot be measured", "overlay2") in told(replace(Records().store(), measurable=False))
