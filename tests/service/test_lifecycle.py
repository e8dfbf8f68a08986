"""What happens around the exporter while it runs, with real signals, mounts and files."""

import json
import signal
import subprocess
import time
from pathlib import Path

from exporter.sample.builder import StoreBuilder
from exporter.sample.large import build_tree
from tests.requirements import required, required_root
from tests.service.exporters import Exporter, running
from tests.service.figures import is_exact

SOON = "--scan.interval=200ms"


def build(root: Path, *, seed: int = 1) -> StoreBuilder:
    """A store of two layers, an image, and three containers."""
    store = StoreBuilder(root, seed=seed)
    base = store.layer({"bin/sh": 1000})
    image = store.image(store.layer({"lib/x": 5000}, parent=base), tags=["web:1"])
    for number in range(3):
        store.container(image, name=f"web-{seed}-{number}", files={"data": 8192 * (number + 1)})
    return store


def wait_until_exact(exporter: Exporter, store: StoreBuilder, root: Path) -> None:
    exporter.wait_until(lambda: is_exact(exporter.samples(), store, root))


def stores_shown(exporter: Exporter) -> int:
    return len(exporter.samples().get("layerstore_store_info", {}))


def test_started_before_its_engine(tmp_path: Path) -> None:
    """It serves, says what it waits for and that nothing is known, and picks the engine's root up when it appears."""
    root = tmp_path / "docker"
    (tmp_path / "daemon.json").write_text(json.dumps({"data-root": str(root)}))
    with running(tmp_path, None, SOON) as exporter:
        exporter.wait_until(exporter.is_ready)
        assert stores_shown(exporter) == 0
        assert exporter.samples()["layerstore_scan_success"][frozenset({("stage", "catalog")})] == 0
        assert exporter.logged("the engine's root does not exist yet: it is waited for")
        said = len(exporter.events())
        in_vain = frozenset({("stage", "catalog"), ("reason", "vanished")})
        exporter.wait_until(lambda: exporter.samples()["layerstore_scan_errors_total"][in_vain] > 5)
        # Not a line for each scan in vain.
        assert said == len(exporter.events())
        store = build(tmp_path / "made")
        store.root.rename(root)
        exporter.wait_until(lambda: stores_shown(exporter) == 1)
        assert exporter.end() == 0


def test_a_default_root_that_moves_is_followed(tmp_path: Path) -> None:
    """The engine was stopped, its data moved and ``data-root`` changed: no restart, and nothing old is shown."""
    old, new = tmp_path / "old", tmp_path / "new"
    config = tmp_path / "daemon.json"
    config.write_text(json.dumps({"data-root": str(old)}))
    wait_for = build(old)
    with running(tmp_path, None, SOON) as exporter:
        wait_until_exact(exporter, wait_for, old)
        moved = build(new, seed=2)
        config.write_text(json.dumps({"data-root": str(new)}))
        wait_until_exact(exporter, moved, new)


def test_sigterm_in_a_walk_ends_it_within_a_second(tmp_path: Path) -> None:
    """However many files are still to be looked at, and while clients are connected."""
    root = tmp_path / "docker"
    store = build(root)
    build_tree(Path(store.upper_path(next(iter(store.containers)))) / "many", files=200_000, directories=3000)
    with running(tmp_path, root, "--scan.cpu-budget=10%") as exporter:
        exporter.wait_until(lambda: exporter.samples()["layerstore_walk_cpu_seconds_total"][frozenset()] > 0.1)
        measured = exporter.samples().get("layerstore_container_upper_allocated_bytes", {})
        assert len(measured) < len(store.containers), "the walk is over"
        began = time.monotonic()
        assert exporter.end() == 0
        taken = time.monotonic() - began
    assert exporter.events()[-1]["event"] == "stopped"
    assert taken < 1.0


def test_sighup_without_a_web_configuration_changes_nothing(tmp_path: Path) -> None:
    """By default the signal would end the process."""
    root = tmp_path / "docker"
    store = build(root)
    with running(tmp_path, root) as exporter:
        exporter.process.send_signal(signal.SIGHUP)
        wait_until_exact(exporter, store, root)
        exporter.process.send_signal(signal.SIGHUP)
        assert exporter.end() == 0


def test_two_exporters_on_one_state_file(tmp_path: Path) -> None:
    """Both serve right figures; the second says that it remembers nothing, and why; the first loses nothing."""
    root = tmp_path / "docker"
    store = build(root)
    flag = f"--state.path={tmp_path}/state"
    with running(tmp_path, root, flag) as first:
        wait_until_exact(first, store, root)
        with running(tmp_path, root, flag) as second:
            wait_until_exact(second, store, root)
            (line,) = [line for line in second.events() if line["level"] == "warning"]
            assert line["event"] == "measurements are not remembered across restarts"
            assert "another exporter uses it" in str(line["advice"])
            assert second.end() == 0
        assert first.end() == 0
    with running(tmp_path, root, flag) as third:
        wait_until_exact(third, store, root)
        assert [line for line in third.events() if line["level"] != "info"] == []


def in_own_mounts(script: str) -> tuple[str, ...]:
    """What to put before a command so that it runs in a mount namespace of its own, after *script*."""
    required_root()
    shell = [required("sh"), "-c", f'set -e; {script}; exec "$@"', "sh"]
    return (required("unshare"), "--mount", "--propagation", "private", *shell)


def test_a_full_state_directory(tmp_path: Path) -> None:
    """All figures are right, and it says once what is wrong and what to do."""
    root, state = tmp_path / "docker", tmp_path / "state"
    state.mkdir()
    store = build(root)
    prefix = in_own_mounts(
        f"mount -t tmpfs -o size=256k none {state}; head -c 1m /dev/zero > {state}/ballast 2> /dev/null || true"
    )
    with running(tmp_path, root, SOON, f"--state.path={state}/measured", prefix=prefix) as exporter:
        wait_until_exact(exporter, store, root)
        told = [line for line in exporter.events() if "not remembered" in str(line["event"])]
        assert len(told) == 1
        assert "free some space" in str(told[0]["advice"])
        assert exporter.end() == 0


def test_a_root_that_is_unmounted_and_mounted_again(tmp_path: Path) -> None:
    """It does not hold the filesystem; while it is gone nothing of it is shown; when it is back, all is."""
    real, root = tmp_path / "real", tmp_path / "docker"
    root.mkdir()
    store = build(real)
    with running(tmp_path, root, SOON, prefix=in_own_mounts(f"mount --bind {real} {root}")) as exporter:

        def inside(*command: str) -> bool:
            prefix = (required("nsenter"), "--mount", "--target", str(exporter.process.pid))
            return subprocess.run([*prefix, *command], check=False, capture_output=True).returncode == 0

        wait_until_exact(exporter, store, real)
        # For the moment of a scan it has directories open, as any reader has.
        exporter.wait_until(lambda: inside("umount", str(root)))
        exporter.wait_until(lambda: stores_shown(exporter) == 0)
        assert exporter.logged("no layer store found") or exporter.logged("problem found")

        container = next(iter(store.containers))
        store.write(container, "more", 40_960)
        assert inside("mount", "--bind", str(real), str(root))
        wait_until_exact(exporter, store, real)
        watches = exporter.samples()
        assert watches["layerstore_watches"] == watches["layerstore_watches_expected"]
