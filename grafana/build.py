"""The dashboards as files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.fleet import FLEET
from grafana.frame import assemble
from grafana.host import HOST

DASHBOARDS: Final = Path(__file__).parent / "dashboards"


def rendered() -> Mapping[Path, str]:
    """The text of each dashboard's file."""
    return {
        DASHBOARDS / f"{name}.json": json.dumps(_classic(assemble(page)), indent=2, sort_keys=True) + "\n"
        for name, page in (("host", HOST), ("fleet", FLEET))
    }


def _classic(built: Dashboard) -> Any:
    """The dashboard as plain values. The SDK cannot leave out where links and annotations are placed, and knows no
    other place than the newest Grafana's menu; where they always were is told by saying nothing."""
    plain = json.loads(json.dumps(built, cls=JSONEncoder))
    for placed in (*plain["links"], *plain["annotations"]["list"]):
        del placed["placement"]
    return plain


def write() -> None:
    """Write the files that Grafana loads."""
    DASHBOARDS.mkdir(exist_ok=True)
    for path, text in rendered().items():
        path.write_text(text, encoding="utf-8")
