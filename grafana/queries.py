"""The panels of the committed dashboards, with what a Prometheus answers to their queries."""

import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana.build import DASHBOARDS

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series of an answer."""

    name: str
    """As its legend says."""
    labels: Labels
    points: Sequence[tuple[float, float]]
    """Unix seconds and value: one point where the panel asks for now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A panel and what there is to see in it."""

    kind: str
    """``timeseries``, ``stat``, ``bargauge`` or ``table``."""
    title: str
    section: str
    """The title of the row that it stands in."""
    place: tuple[int, int, int, int]
    """Left, top, width and height in the grid of 24 columns."""
    model: Any
    """The panel as committed."""
    answers: Sequence[Sequence[Series]]
    """Of each of its queries."""


def answered(dashboard: str, sections: Sequence[str], *, url: str, seconds: float, host: str) -> Iterator[Answered]:
    """The panels of these *sections* of a dashboard, over the last *seconds*, from the Prometheus at *url*; of the
    hosts whose label ``instance`` matches *host*."""
    section = ""
    for panel in json.loads((DASHBOARDS / f"{dashboard}.json").read_text("utf-8"))["panels"]:
        if panel["type"] == "row":
            section = panel["title"]
        elif section in sections:
            at = panel["gridPos"]
            yield Answered(
                kind=panel["type"],
                title=panel["title"],
                section=section,
                place=(at["x"], at["y"], at["w"], at["h"]),
                model=panel,
                answers=[_ask(url, target, seconds, host) for target in panel["targets"]],
            )


def _ask(url: str, target: Any, seconds: float, host: str) -> Sequence[Series]:
    now = time.time()
    expr = target["expr"].replace("$__rate_interval", "30s").replace('"$instance"', f'"{host}"')
    expr = re.sub(r'"\$\w+"', '".*"', expr)
    if target["instant"]:
        result = _get(f"{url}/api/v1/query", query=expr, time=f"{now}")
        return [_series(target, found["metric"], [found["value"]]) for found in result]
    step = max(seconds / 300, 1)
    result = _get(f"{url}/api/v1/query_range", query=expr, start=f"{now - seconds}", end=f"{now}", step=f"{step}")
    return [_series(target, found["metric"], found["values"]) for found in result]


def _series(target: Any, labels: Labels, values: Sequence[tuple[float, str]]) -> Series:
    legend = target.get("legendFormat", "")
    name = re.sub(r"\{\{(\w+)\}\}", lambda label: labels.get(label[1], ""), legend)
    return Series(name=name, labels=labels, points=[(at, float(value)) for at, value in values])


def _get(address: str, **parameters: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{address}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
        return json.load(answer)["data"]["result"]
