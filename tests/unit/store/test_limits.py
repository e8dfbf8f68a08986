"""How much a container may write: its own limit, else the engine's."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.store.containers import engine_limit, parse_byte_size
from exporter.store.records import Malformed
from tests.unit.store.hosts import LATER, Host, rewrite, scan, scanner, survey


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("10G", 10 << 30),
        ("1.5gb", 3 << 29),
        ("4096", 4096),
        ("10000000000000", 10_000_000_000_000),
        ("20 MB", 20 << 20),
        ("1TiB", 1 << 40),
        ("512k", 512 << 10),
        ("2p", 2 << 50),
        ("0", 0),
        ("", None),
    ],
)
def test_limits(host: Host, text: str, limit: int | None) -> None:
    """As the engine reads them: powers of 1024; 0 says that there is none, and nothing leaves it to the engine."""
    rewrite(host.container(host.running) / "hostconfig.json", lambda config: config.update(StorageOpt={"size": text}))
    assert scan(host.root).containers[host.running].upper_limit == limit


@pytest.mark.parametrize("text", ["ten", "-5G", "10 apples", "1e3", "G", "9" * 19, "1.2.3", "\u0661G", "10\u212a"])
def test_what_is_no_limit(host: Host, text: str) -> None:
    """No limit is known, and one problem says why."""
    with pytest.raises(Malformed):
        parse_byte_size(text)
    rewrite(host.container(host.running) / "hostconfig.json", lambda config: config.update(StorageOpt={"size": text}))
    store = survey(host.root)
    assert (store.containers[host.running].upper_limit, len(store.problems)) == (None, 1)


@pytest.mark.parametrize(
    ("own", "engine", "limit"),
    [(None, None, None), ("", 5, 5), (None, 5, 5), ("10G", 5, 10 << 30), ("10G", None, 10 << 30), ("0", 5, None)],
)
def test_the_limit_that_holds(host: Host, own: str | None, engine: int | None, limit: int | None) -> None:
    """A container's own word beats the engine's, also where it says that there is none."""
    storage = None if own is None else {"size": own}
    rewrite(host.container(host.running) / "hostconfig.json", lambda config: config.update(StorageOpt=storage))
    store = replace(scan(host.root), engine_limit=engine)
    assert store.limit_of(store.containers[host.running]) == limit


@pytest.mark.parametrize(
    ("driver", "options", "limit"),
    [
        ("overlay2", ["overlay2.size=10G"], 10 << 30),
        ("overlay2", ["overlay2.override_kernel_check=true", "Overlay2.Size=1k", "overlay2.size=2k"], 2048),
        ("overlay2", ["overlay2.size=0"], None),
        ("overlay2", ["dm.basesize=10G", "overlay2.size", "size=3G"], None),
        ("overlay2", ["overlay2.size=ten"], None),
        ("fuse-overlayfs", ["overlay2.size=10G"], None),
        ("overlay2", [], None),
    ],
)
def test_the_limit_that_an_engine_sets(driver: str, options: list[str], limit: int | None) -> None:
    """Of its own driver's options the last one holds; what it would not understand sets none."""
    assert engine_limit(driver, options) == limit


@pytest.mark.parametrize(
    "config",
    [
        {"storage-opts": ["overlay2.size=10G"]},
        {"storage-opts": [7, "overlay2.size=10G"], "storage-driver": "overlay2"},
    ],
)
def test_the_engines_configuration_sets_a_limit(host: Host, tmp_path: Path, config: dict[str, object]) -> None:
    """``storage-opts`` of ``daemon.json``; nothing follows from what it holds besides."""
    daemon_config = tmp_path / "daemon.json"
    daemon_config.write_text(json.dumps(config))
    (store,) = scanner(host.root, daemon_config=str(daemon_config)).scan(time.time() + LATER).stores
    assert store.engine_limit == 10 << 30
    daemon_config.write_text(json.dumps({"storage-opts": "overlay2.size=10G"}))
    (store,) = scanner(host.root, daemon_config=str(daemon_config)).scan(time.time() + LATER).stores
    assert store.engine_limit is None
