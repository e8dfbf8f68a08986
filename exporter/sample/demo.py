"""A believable small host for a demonstration, and writers that keep it busy."""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.sample.builder import StoreBuilder
from exporter.sample.leftovers import BuildCache, orphan
from exporter.sample.tree import File, Symlink, Whiteout
from exporter.store.entries import ChainID, ContainerID, ImageID, MountPoint

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """The host that was built, with its parts by name."""

    store: StoreBuilder
    images: Mapping[str, ImageID]
    containers: Mapping[str, ContainerID]


def build_demo(root: Path, *, seed: int = 0) -> Demo:
    """Build the host below ``root``: a shop behind nginx, a Kubernetes pod, and what people forget to clean up.

    It takes a few megabytes. It is complete without :class:`Writers`, and stands still.

    Args:
        root: a directory that is empty, or does not exist yet.
        seed: the same seed gives the same identities.

    Raises:
        FileExistsError: the directory is not empty.
    """
    store = StoreBuilder(root, seed=seed)
    layers = _layers(store)
    images = _images(store, layers)
    containers = _containers(store, images)
    cache = BuildCache(store)
    fetched = cache.add({"root/.cache/pip/http/wheel": 260_000})
    cache.add({"src/app/build.log": 40_000, "src/app/dist/app.tar": 120_000}, parent=fetched)
    orphan(store, _files("usr/lib/node_modules", number=12, size=18_000), parent=layers["debian"])
    return Demo(store=store, images=images, containers=containers)


def _files(directory: str, *, number: int, size: int) -> dict[str, File]:
    """Files of about this size, no two of the same."""
    return {f"{directory}/{index:03d}.dat": size + 37 * index for index in range(number)}


def _layers(store: StoreBuilder) -> dict[str, ChainID]:
    layers: dict[str, ChainID] = {}

    def add(name: str, files: Mapping[str, File], below: str | None = None) -> None:
        layers[name] = store.layer(files, parent=None if below is None else layers[below])

    debian: dict[str, File] = {
        "bin": Symlink(target="usr/bin"),
        "etc/debian_version": b"12.9\n",
        "usr/bin/bash": 300_000,
    }
    add("debian", debian | _files("usr/lib/x86_64-linux-gnu", number=24, size=22_000))
    add(
        "python",
        {"usr/local/bin/python3.12": 180_000} | _files("usr/local/lib/python3.12", number=30, size=9_000),
        "debian",
    )
    add("requirements", _files("usr/local/lib/python3.12/site-packages", number=40, size=6_000), "python")
    add("api 2.3", {"srv/api/main.py": b"print('2.3.0')\n", "srv/api/static/app.js": 70_000}, "requirements")
    add("api 2.4", {"srv/api/main.py": b"print('2.4.0')\n", "srv/api/static/app.js": 82_000}, "requirements")
    add("worker", {"srv/worker/main.py": b"print('worker')\n", "srv/worker/model.bin": 210_000}, "requirements")
    add("nginx", {"usr/sbin/nginx": 150_000} | _files("usr/share/nginx", number=8, size=4_000), "debian")
    add(
        "nginx defaults",
        {"etc/nginx/nginx.conf": b"worker_processes auto;\n", "etc/nginx/koi-utf": Whiteout()},
        "nginx",
    )
    add("alpine", {"bin/busybox": 110_000, "bin/sh": Symlink(target="busybox"), "etc/alpine-release": b"3.21.0\n"})
    add("redis", {"usr/local/bin/redis-server": 240_000}, "alpine")
    add("redis entrypoint", {"usr/local/bin/docker-entrypoint.sh": b"#!/bin/sh\nexec redis-server\n"}, "redis")
    add("site", _files("usr/share/nginx/html", number=10, size=7_000), "nginx defaults")
    return layers


def _images(store: StoreBuilder, layers: Mapping[str, ChainID]) -> dict[str, ImageID]:
    images: dict[str, ImageID] = {}

    def add(name: str, top: str, created: str, *, tagged: bool = True, parent: str | None = None) -> None:
        repository = name.partition(":")[0]
        images[name] = store.image(
            layers[top],
            tags=[name] if tagged else [],
            # What was pulled has its manifest's digest; what was built here has none.
            digests=[] if repository.startswith("shop/") else [f"{repository}@{layers[top]}"],
            parent=None if parent is None else images[parent],
            created=created,
            labels={"org.opencontainers.image.title": repository},
        )

    add("debian:12-slim", "debian", "2026-01-13T00:00:00Z")
    add("python:3.12-slim", "python", "2026-01-14T05:11:00Z")
    add("nginx:1.27", "nginx defaults", "2026-01-20T18:40:00Z")
    add("redis:7.4-alpine", "redis entrypoint", "2026-01-08T21:02:00Z")
    add("shop/requirements", "requirements", "2026-02-02T09:30:00Z", tagged=False)
    add("shop/api:2.3.0", "api 2.3", "2026-01-26T10:12:00Z", tagged=False)
    add("shop/api:2.4.0", "api 2.4", "2026-02-02T09:31:00Z", parent="shop/requirements")
    add("shop/worker:2.4.0", "worker", "2026-02-02T09:33:00Z")
    add("shop/site:5", "site", "2026-02-03T12:00:00Z")
    return images


def _containers(store: StoreBuilder, images: Mapping[str, ImageID]) -> dict[str, ContainerID]:
    def compose(service: str) -> dict[str, str]:
        return {"com.docker.compose.project": "shop", "com.docker.compose.service": service}

    data = MountPoint(destination="/data", kind="volume", name="shop_cache", source="", writable=True)
    store.volume("shop_cache", {"dump.rdb": 90_000})
    pod = {
        "io.kubernetes.pod.namespace": "shop-staging",
        "io.kubernetes.pod.name": "api-7c9d8b6f5d-x2x7k",
        "io.kubernetes.pod.uid": "4b1f2c9e-0d7a-4a55-9a63-2f1f6d1f1c11",
        "io.kubernetes.container.name": "api",
    }
    return {
        "shop-api-1": store.container(
            images["shop/api:2.4.0"],
            name="shop-api-1",
            labels=compose("api"),
            files={"srv/api/__pycache__/main.pyc": 4_000, "tmp/sessions.db": 60_000},
            log_bytes=180_000,
            log_options={"max-size": "1m", "max-file": "4"},
        ),
        "shop-worker-1": store.container(
            images["shop/worker:2.4.0"],
            name="shop-worker-1",
            labels=compose("worker"),
            files={"var/tmp/export.csv": 2_600_000} | _files("var/tmp/parts", number=6, size=30_000),
            log_bytes=40_000,
            storage_opt_size="256m",
        ),
        "shop-cache-1": store.container(
            images["redis:7.4-alpine"],
            name="shop-cache-1",
            labels=compose("cache"),
            mount_points=[data],
            log_bytes=6_000,
            log_driver="local",
        ),
        "shop-web-1": store.container(
            images["shop/site:5"],
            name="shop-web-1",
            labels=compose("web"),
            files=_files("var/cache/nginx", number=20, size=600),
            log_bytes=25_000,
        ),
        "k8s_api": store.container(
            images["shop/api:2.4.0"],
            name="k8s_api_api-7c9d8b6f5d-x2x7k_shop-staging_4b1f2c9e-0d7a-4a55-9a63-2f1f6d1f1c11_0",
            labels=pod,
            files={"tmp/upload": 15_000},
            log_bytes=9_000,
        ),
        "shop-migrate-1": store.container(
            images["shop/api:2.4.0"],
            name="shop-migrate-1",
            labels=compose("migrate"),
            state="exited",
            files={"srv/api/migration.log": 12_000},
            log_bytes=3_000,
        ),
        "debugging": store.container(
            images["shop/api:2.3.0"],
            name="debugging",
            state="exited",
            exit_code=137,
            files={"root/core.1": 700_000, "srv/api/main.py": Whiteout()},
        ),
        "paused-load-test": store.container(images["python:3.12-slim"], name="paused-load-test", state="paused"),
        "never-started": store.container(images["nginx:1.27"], name="never-started", state="created"),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Growth:
    """One file that grows in one container, and starts over at its share of the disk that the writers may take."""

    container: str
    path: str
    rate: int
    """Bytes a second."""
    share: float


_GROWTHS = (
    _Growth(container="shop-worker-1", path="var/tmp/spill.bin", rate=700_000, share=0.5),
    _Growth(container="shop-api-1", path="tmp/uploads.tar", rate=90_000, share=0.15),
    _Growth(container="k8s_api", path="tmp/trace.json", rate=25_000, share=0.05),
)
_LOG_RATE = 30_000
_SMALL_FILES_A_SECOND = 4
_SMALL_FILE = 600
_JOB_EVERY = 40.0
"""Seconds between the steps of a job's life: created, ended, removed."""
_LONGEST_STEP = 10.0
"""A machine that slept did not write meanwhile."""


class Writers:
    """What the demo's containers do: a thread that lets files, logs, containers and tags come and go.

    It takes at most ``limit`` bytes of disk besides the demo's own: each file starts over when it reaches its share.
    """

    def __init__(
        self,
        demo: Demo,
        *,
        limit: int = 256 << 20,
        interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare; nothing is written before :meth:`start` or :meth:`step`.

        Args:
            demo: the host to keep busy; nothing else may change it meanwhile.
            limit: bytes of disk.
            interval: seconds between two steps.
            clock: seconds that only go forward.
            rng: how uneven the writing is.
        """
        self._demo = demo
        self._limit = limit
        self._interval = interval
        self._clock = clock
        self._rng = rng or random.Random(0)  # noqa: S311 - no secrets
        self._last = clock()
        self._next_job = self._last + _JOB_EVERY
        self._job: ContainerID | None = None
        self._jobs = 0
        self._sizes = dict.fromkeys(_GROWTHS, 0)
        self._small_files = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sample-writers", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """End within a second, whatever is being written."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def step(self) -> None:
        """Write what the time since the last step is worth."""
        now = self._clock()
        elapsed = min(now - self._last, _LONGEST_STEP)
        self._last = now
        for growth in _GROWTHS:
            self._grow(growth, elapsed)
        self._log(elapsed)
        self._cache_small_files(elapsed)
        if now >= self._next_job:
            self._next_job = now + _JOB_EVERY
            self._advance_job()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                self.step()
            except OSError as error:
                _LOG.warning("the demo's writers stopped: %s", error)
                return

    def _grow(self, growth: _Growth, elapsed: float) -> None:
        size = int(growth.rate * elapsed * self._rng.uniform(0.2, 1.8))
        size = min(size, int(growth.share * self._limit))
        total = self._sizes[growth] + size
        fits = total <= growth.share * self._limit
        container = self._demo.containers[growth.container]
        self._demo.store.write(container, growth.path, size, append=fits)
        self._sizes[growth] = total if fits else size

    def _log(self, elapsed: float) -> None:
        container = self._demo.containers["shop-api-1"]
        store = self._demo.store
        store.append_log(container, min(int(_LOG_RATE * elapsed), self._limit // 64))
        path = store.log_path(container)
        if path is not None and path.stat().st_size >= min(1_000_000, self._limit // 64):
            store.rotate_log(container, keep=3)

    def _cache_small_files(self, elapsed: float) -> None:
        """Many files of a few bytes: little size, much disk, and inodes."""
        container = self._demo.containers["shop-web-1"]
        most = self._limit // 10 // 4096
        for _ in range(int(_SMALL_FILES_A_SECOND * elapsed)):
            path = f"var/cache/nginx/{self._small_files % most:05x}"
            self._demo.store.write(container, path, _SMALL_FILE)
            self._small_files += 1

    def _advance_job(self) -> None:
        """A job comes, ends, and goes; while it is there, an image has one more tag."""
        store, images = self._demo.store, self._demo.images
        if self._job is None:
            self._jobs += 1
            size = min(1_500_000, self._limit // 64)
            name = f"shop-report-{self._jobs}"
            self._job = store.container(images["shop/worker:2.4.0"], name=name, files={"tmp/report.pdf": size})
            store.tag(images["shop/api:2.3.0"], "shop/api:rollback")
        elif store.containers[self._job].mounted:
            store.set_state(self._job, "exited")
        else:
            store.remove_container(self._job)
            store.untag("shop/api:rollback")
            self._job = None
