"""Every record that the engine writes, and what its damage is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exporter.store.catalog import ProblemKind, Store
from exporter.store.records import LARGE, SMALL
from tests.unit.store.hosts import Host, survey, without_problems

Kind = ProblemKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One file that the engine writes."""

    path: Callable[[Host], Path]
    limit: int
    takes: Callable[[Host], set[tuple[str, str]]]
    """What of the catalog may be missing or different when it is damaged: (mapping, key)."""
    missing: ProblemKind | None = Kind.MISSING_RECORD
    """What its absence is; None where the engine itself leaves it out."""
    empty: ProblemKind = Kind.MALFORMED_RECORD
    malformed: ProblemKind = Kind.MALFORMED_RECORD
    truncated: ProblemKind | None = Kind.MALFORMED_RECORD
    """What the first part of it is; None where that is as good as the whole."""
    told_of: Callable[[Host], Path] | None = None
    """The record that a contradiction is told of, where it is not this one or its directory."""


def _layer(file: str, **more: Any) -> Record:
    return Record(
        path=lambda host: host.layer(host.middle) / file,
        limit=SMALL,
        takes=lambda host: {("layers", host.middle)},
        **more,
    )


def _mount(file: str, **more: Any) -> Record:
    return Record(
        path=lambda host: host.mount(host.running) / file,
        limit=SMALL,
        takes=lambda host: {("mounts", host.running)},
        **more,
    )


def _directory(name: str, path: Callable[[Host], Path], file: str, **more: Any) -> dict[str, Record]:
    return {
        f"{name}/{file}": Record(
            path=lambda host: path(host) / file,
            limit=SMALL,
            takes=lambda host: {("directories", path(host).name)},
            **more,
        )
    }


def _images(host: Host) -> set[tuple[str, str]]:
    return {("images", host.web)}


def _container(host: Host) -> set[tuple[str, str]]:
    return {("containers", host.running)}


LINK = {"missing": Kind.EMPTY_LINK, "empty": Kind.EMPTY_LINK, "truncated": Kind.SHORT_LINK_DANGLING}
LOWER = {"missing": Kind.EMPTY_LOWER, "empty": Kind.EMPTY_LOWER, "truncated": Kind.LOWER_DANGLING}

RECORDS: dict[str, Record] = {
    "layer/diff": _layer("diff"),
    "layer/size": _layer("size", truncated=None),
    "layer/cache-id": _layer(
        "cache-id",
        missing=Kind.MISSING_CACHE_ID,
        empty=Kind.MISSING_CACHE_ID,
        malformed=Kind.MISSING_CACHE_ID,
        truncated=Kind.MISSING_DIFF_DIRECTORY,
    ),
    "layer/parent": _layer("parent", missing=Kind.CHAIN_ID_MISMATCH),
    "mount/mount-id": _mount(
        "mount-id",
        missing=Kind.CONTAINER_MOUNT_MISSING,
        empty=Kind.CONTAINER_MOUNT_MISSING,
        truncated=Kind.MISSING_DIFF_DIRECTORY,
    ),
    # A mount without an init layer or without a parent is what builders and containers from scratch have.
    "mount/init-id": _mount("init-id", missing=None, truncated=Kind.MISSING_DIFF_DIRECTORY),
    "mount/parent": _mount("parent", missing=None),
    **_directory("layer's directory", lambda host: host.directory(host.middle), "link", **LINK),
    **_directory("layer's directory", lambda host: host.directory(host.middle), "lower", **LOWER),
    **_directory("upper", lambda host: host.upper(host.running), "link", **LINK),
    **_directory("upper", lambda host: host.upper(host.running), "lower", **LOWER),
    "image": Record(
        path=lambda host: host.content(host.web),
        limit=LARGE,
        takes=_images,
        missing=Kind.REFERENCE_IMAGE_MISSING,
        told_of=lambda host: host.records / "repositories.json",
    ),
    "image's parent": Record(
        path=lambda host: host.metadata(host.web) / "parent", limit=SMALL, takes=_images, missing=None
    ),
    "repositories.json": Record(
        path=lambda host: host.records / "repositories.json", limit=LARGE, takes=lambda _host: {("references", "")}
    ),
    "config.v2.json": Record(
        path=lambda host: host.container(host.running) / "config.v2.json", limit=LARGE, takes=_container
    ),
    "hostconfig.json": Record(
        path=lambda host: host.container(host.running) / "hostconfig.json", limit=LARGE, takes=_container
    ),
}

every_record = pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())


def differences(before: Store, after: Store) -> set[tuple[str, str]]:
    """What two catalogs of a store disagree on: (mapping, key)."""
    found: set[tuple[str, str]] = set()
    old, new = without_problems(before), without_problems(after)
    for name, was in old.items():
        now = new[name]
        if isinstance(was, dict) and isinstance(now, dict):
            found |= {
                (name, key) for key in was.keys() | now.keys() if _timeless(was.get(key)) != _timeless(now.get(key))
            }
        elif was != now:
            found.add((name, ""))
    return found


def _timeless(value: object) -> object:
    """*value* without the time when its directory changed, which damaging a record changes."""
    fields = getattr(type(value), "__slots__", ())
    return {name: getattr(value, name) for name in fields if name != "modified"} if fields else value


def assert_one_problem(host: Host, before: Store, record: Record, kind: ProblemKind, *, reason: str = "") -> None:
    """Both a scan and a survey go on; the survey tells one problem of the record; all other records are as before."""
    path = record.path(host)
    after = survey(host.root)
    assert [(kind, True)] == [(problem.kind, reason in problem.reason) for problem in after.problems]
    told_of = record.told_of(host) if kind == Kind.REFERENCE_IMAGE_MISSING and record.told_of else None
    assert after.problems[0].path in ({str(told_of)} if told_of else {str(path), str(path.parent)})
    assert set() == differences(before, after) - record.takes(host)
