"""The stack with something to look at, for the README's pictures: ``python -m tests.stack.exhibit``.

A real Docker with containers that write in different ways, two sample stores as further hosts, the exporter on each,
a real Prometheus with the real rules; after a few minutes the dashboards are drawn from what it knows.
"""

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from grafana.pictures import draw
from tests.engine import images
from tests.engine.docker import Docker
from tests.stack.monitoring import exporter, prometheus
from tests.stack.test_full_stack import RULES

_SLOWLY = "while :; do dd if=/dev/zero bs=100k count=1 >> /var-log 2>/dev/null; echo request served; sleep 1; done"
_FAST = "while :; do dd if=/dev/zero bs=1M count=1 >> /queue 2>/dev/null; sleep 0.9; done"
_CHURN = "while :; do dd if=/dev/zero of=/cache bs=1M count=40 2>/dev/null; sleep 20; rm /cache; sleep 10; done"
_BURSTS = "n=0; while :; do n=$((n+1)); dd if=/dev/zero of=/report-$n bs=1M count=15 2>/dev/null; sleep 45; done"
_QUIET = "echo started > /state; sleep 100000"

CONTAINERS = {
    "shop-web-1": ("shop/web:5", _SLOWLY),
    "shop-worker-1": ("shop/worker:2.4", _FAST),
    "shop-cache-1": ("shop/cache:7", _CHURN),
    "reports-1": ("shop/worker:2.4", _BURSTS),
    "debugging": ("base:1", _QUIET),
}


def main() -> None:
    """Bring it up, let it run, draw, take it down."""
    parser = argparse.ArgumentParser(prog="python -m tests.stack.exhibit", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0, help="how long it runs before it is drawn")
    minutes: float = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="layerstore-exhibit-") as name, ExitStack() as stack:
        directory = Path(name)
        docker = stack.enter_context(Docker())
        _fill(docker)
        hosts = {
            "host-1": ("--path.docker-root", str(docker.data_root), "--scan.interval=2s"),
            "host-2": ("demo",),
            "host-3": ("demo",),
        }
        configuration = {
            "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {
                    "job_name": "layerstore",
                    "static_configs": [
                        {
                            "targets": [stack.enter_context(exporter(*flags, log=directory / f"{host}.log"))],
                            "labels": {"instance": host},
                        }
                        for host, flags in hosts.items()
                    ],
                }
            ],
        }
        rules = RULES.read_text("utf-8")
        monitor = stack.enter_context(prometheus(json.dumps(configuration), rules=rules, directory=directory))
        sys.stderr.write(f"Prometheus: {monitor.url}; drawing in {minutes:g} minutes\n")
        time.sleep(minutes * 60)
        draw(monitor.url, seconds=minutes * 60 - 30, host="host-1")


def _fill(docker: Docker) -> None:
    images.build(docker, images.BASE, tag="base:1")
    zeros = "dd if=/dev/zero bs=1M"
    images.build(docker, f"FROM base:1\nRUN {zeros} of=/srv/runtime count=60", tag="shop/runtime:3")
    images.build(docker, f"FROM shop/runtime:3\nRUN {zeros} of=/srv/site count=25", tag="shop/web:5")
    images.build(docker, f"FROM shop/runtime:3\nRUN {zeros} of=/srv/jobs count=40", tag="shop/worker:2.4")
    images.build(docker, f"FROM base:1\nRUN {zeros} of=/srv/redis count=30", tag="shop/cache:7", buildkit=True)
    images.build(docker, f"FROM base:1\nRUN {zeros} of=/srv/spare count=20")
    for name, (image, script) in CONTAINERS.items():
        docker.cli("run", "--detach", "--network=none", f"--name={name}", image, "sh", "-c", script)


if __name__ == "__main__":
    main()
