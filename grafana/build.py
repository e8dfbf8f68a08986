"""The dashboards as files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.fleet import FLEET
from grafana.frame import assemble
from grafana.host import HOST

DASHBOARDS: Final = Path(__file__).parent / "dashboards"


def rendered() -> Mapping[Path, str]:
    """The text of each dashboard's file."""
    return {
        DASHBOARDS / f"{name}.json": json.dumps(assemble(page), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for name, page in (("host", HOST), ("fleet", FLEET))
    }


def write() -> None:
    """Write the files that Grafana loads."""
    DASHBOARDS.mkdir(exist_ok=True)
    for path, text in rendered().items():
        path.write_text(text, encoding="utf-8")
