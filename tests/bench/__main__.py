"""``python -m tests.bench [GROUP ...]``: run the groups (all by default) and print one table."""

import sys
import tempfile
from pathlib import Path

from tests.bench import containerd, monitoring, owners, records, restart, uppers, walk, web
from tests.bench.figures import table

GROUPS = {
    "records": records.figures,
    "containerd": containerd.figures,
    "walk": walk.figures,
    "uppers": uppers.figures,
    "restart": restart.figures,
    "owners": owners.figures,
    "monitoring": monitoring.figures,
    "web": web.figures,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        sys.stderr.write(f"no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}\n")
        return 2
    found = []
    for name in names or GROUPS:
        with tempfile.TemporaryDirectory(prefix="layerstore-bench-") as directory:
            sys.stderr.write(f"measuring {name} ...\n")
            found += GROUPS[name](Path(directory))
    sys.stdout.write(table(found) + "\n")
    return 0


raise SystemExit(main(sys.argv[1:]))
