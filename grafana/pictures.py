"""Pictures of the dashboards for the README, from real query results:

python -m grafana.pictures http://localhost:9090 --minutes 60

Panels stand where the dashboards have them, with their titles, units and colours; how they look is matplotlib's.
"""

import argparse
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from grafana.palette import GOOD
from grafana.queries import Answered, Series, answered

PICTURES: Final = Path(__file__).parent / "pictures"

SECTIONS: Final = {
    "host": ("At a glance", "Capacity", "What containers write", "Images and shared layers"),
    "fleet": ("At a glance", "Hosts", "Containers anywhere", "Stores and layers"),
}
"""What is shown of each dashboard."""

_INK, _FAINT, _PAPER, _PANEL = "#1F2430", "#7B8087", "#F4F5F5", "#FFFFFF"
_SERIES = ("#3274D9", "#FF9830", "#56A64B", "#A352CC", "#E02F44", "#5ECCC4", "#B58B00", "#8AB8FF", "#C15C17", "#8E8E8E")
_COLUMN, _LINE = 0.46, 0.34  # inches of a cell of the grid


def draw(url: str, *, seconds: float, host: str) -> None:
    """Draw both dashboards as the Prometheus at *url* has them over the last *seconds*: *Host* of the hosts whose label
    ``instance`` matches *host*, *Fleet* of all."""
    PICTURES.mkdir(exist_ok=True)
    for dashboard, sections in SECTIONS.items():
        chosen = host if dashboard == "host" else ".*"
        figure = _picture(list(answered(dashboard, sections, url=url, seconds=seconds, host=chosen)))
        _save(figure, PICTURES / f"{dashboard}.png")


def _picture(panels: Sequence[Answered]) -> Figure:
    mpl.rcParams.update({"font.size": 9, "font.family": "DejaVu Sans", "text.color": _INK, "text.parse_math": False})
    placed = list(_placed(panels))
    height = max(panel.place[1] + panel.place[3] for panel in placed)
    figure = Figure(figsize=(24 * _COLUMN, height * _LINE), facecolor=_PAPER)
    for panel in placed:
        left, top, width, tall = panel.place
        bottom = 1 - (top + tall) / height
        box = figure.add_axes((left / 24 + 0.002, bottom + 0.003, width / 24 - 0.004, tall / height - 0.006))
        box.set_facecolor(_PANEL)
        box.set(xticks=[], yticks=[])
        box.spines[:].set_color("#DCDEE0")
        _write(box, 0.012, 1 - 0.2 / (tall * _LINE), panel.title, weight="bold")
        _DRAWN[panel.kind](figure, box, panel)
    return figure


def _placed(panels: Sequence[Answered]) -> Iterator[Answered]:
    """The panels without the titles of sections between them, and no table higher than its lines need."""
    top = 0
    for _, beside in groupby(panels, key=lambda panel: panel.place[1]):
        line = list(beside)
        tall = max(_height(panel) for panel in line)
        for panel in line:
            left, _, width, _ = panel.place
            yield replace(panel, place=(left, top, width, tall))
        top += tall


def _height(panel: Answered) -> int:
    high = panel.place[3]
    if panel.kind != "table":
        return high
    lines = len(max(panel.answers, key=len))
    return min(high, math.ceil((0.7 + 0.235 * lines) / _LINE))


def _write(box: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Text in a panel, at shares of its width and height."""
    box.text(x, y, text, transform=box.transAxes, **{"va": "center", **style})


def _within(figure: Figure, box: Axes, *, left: float, bottom: float, right: float, top: float) -> Axes:
    """Axes inside a panel; margins in inches."""
    inches_wide, inches_high = figure.get_size_inches()
    at = box.get_position()
    axes = figure.add_axes(
        (
            at.x0 + left / inches_wide,
            at.y0 + bottom / inches_high,
            at.width - (left + right) / inches_wide,
            at.height - (bottom + top) / inches_high,
        )
    )
    axes.set_facecolor("none")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=_FAINT, labelsize=8)
    return axes


def _defaults(panel: Answered) -> Any:
    return panel.model["fieldConfig"]["defaults"]


def _say_empty(box: Axes, panel: Answered) -> None:
    _write(box, 0.5, 0.45, _defaults(panel)["noValue"], ha="center", color=_FAINT)


def _stat(_figure: Figure, box: Axes, panel: Answered) -> None:
    found = [series.points[-1][1] for answer in panel.answers for series in answer]
    text = value_text(found[0], _defaults(panel)["unit"]) if found else _defaults(panel)["noValue"]
    colour = _INK
    steps = _defaults(panel).get("thresholds", {}).get("steps", [])
    for step in steps:
        if not found:
            colour = GOOD
        elif step["value"] is None or found[0] >= step["value"]:
            colour = step["color"]
    _write(box, 0.5, 0.38, text, ha="center", size=17 if found else 10, weight="bold", color=colour)


def _timeseries(figure: Figure, box: Axes, panel: Answered) -> None:
    shown = [series for answer in panel.answers for series in answer]
    if not shown:
        return _say_empty(box, panel)
    axes = _within(figure, box, left=0.75, bottom=0.3, right=0.15, top=0.75)
    unit = _defaults(panel)["unit"]
    shown.sort(key=lambda series: -series.points[-1][1])
    colours = _colours(panel, [series.name for series in shown])
    times = sorted({at for series in shown for at, _ in series.points})
    if _defaults(panel)["custom"].get("stacking", {}).get("mode") == "normal":
        levels = [0.0] * len(times)
        for series in shown:
            values = dict(series.points)
            upper = [level + values.get(at, 0.0) for level, at in zip(levels, times, strict=True)]
            axes.fill_between(times, levels, upper, color=colours[series.name], alpha=0.85, lw=0, label=series.name)
            levels = upper
    else:
        for series in shown:
            axes.plot(*zip(*series.points, strict=True), color=colours[series.name], lw=1.5, label=series.name)
    if "min" in _defaults(panel):
        axes.set_ylim(bottom=_defaults(panel)["min"], top=_defaults(panel).get("max"))
    axes.set_xlim(times[0], times[-1])
    axes.grid(axis="y", color="#E7E9EB", lw=0.8)
    if unit in ("bytes", "binBps"):
        axes.yaxis.set_major_locator(mpl.ticker.MultipleLocator(_binary_step(*axes.get_ylim())))
    axes.yaxis.set_major_formatter(lambda value, _: value_text(value, unit))
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(panel.place[2] // 3))
    axes.xaxis.set_major_formatter(lambda at, _: datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S"))
    handles, names = axes.get_legend_handles_labels()
    seen = dict(zip(names, handles, strict=True))
    box.legend(
        list(seen.values())[:8],
        [name if len(name) <= 26 else f"{name[:25]}…" for name in list(seen)[:8]],
        loc="upper left",
        bbox_to_anchor=(0, 1 - 0.3 / (box.get_position().height * figure.get_size_inches()[1])),
        ncols=min(len(seen), 4 if panel.place[2] > 8 else 3),
        frameon=False,
        fontsize=7.5,
        handlelength=1,
        columnspacing=1,
        labelspacing=0.2,
    )
    return None


def _bargauge(figure: Figure, box: Axes, panel: Answered) -> None:
    shown = sorted((series for answer in panel.answers for series in answer), key=lambda one: one.points[-1][1])[-12:]
    if not shown:
        return _say_empty(box, panel)
    axes = _within(figure, box, left=2.3, bottom=0.15, right=0.8, top=0.4)
    values = [series.points[-1][1] for series in shown]
    colours = _colours(panel, [series.name for series in shown])
    for step in _defaults(panel).get("thresholds", {}).get("steps", [])[:1]:
        colours = dict.fromkeys(colours, step["color"])
    axes.barh(range(len(shown)), values, color=[colours[series.name] for series in shown], height=0.7)
    axes.set_yticks(range(len(shown)), [series.name for series in shown], color=_INK)
    axes.set_xticks([])
    axes.set_xlim(0, max(values) * 1.02 or 1)
    for line, value in enumerate(values):
        axes.text(value, line, f" {value_text(value, _defaults(panel)['unit'])}", va="center", size=8)
    return None


def _table(_figure: Figure, box: Axes, panel: Answered) -> None:
    organize = panel.model["transformations"][1]["options"]
    titles = {
        old: organize["renameByName"][old]
        for old in sorted(organize["indexByName"], key=organize["indexByName"].__getitem__)
    }
    units = {
        override["matcher"]["options"]: value["value"]
        for override in panel.model["fieldConfig"]["overrides"]
        for value in override["properties"]
        if value["id"] == "unit"
    }
    lines = _merged(panel.answers, [old for old in titles if not old.startswith("Value")])
    if not lines:
        return _say_empty(box, panel)
    order = panel.model["options"]["sortBy"][0]
    key = next(old for old, title in titles.items() if title == order["displayName"])
    lines.sort(key=lambda line: float(line.get(key, "nan")), reverse=order["desc"])
    room = int((panel.place[3] * _LINE - 0.62) / 0.235)
    valued = [old.startswith("Value") for old in titles]
    cells = [
        [
            _cell(line.get(old, ""), units.get(title, "") if number else "")
            for (old, title), number in zip(titles.items(), valued, strict=True)
        ]
        for line in lines[:room]
    ]
    _text_table(box, (list(titles.values()), *cells), numbers=valued, height=panel.place[3] * _LINE)
    return None


def _text_table(box: Axes, lines: Sequence[Sequence[str]], *, numbers: Sequence[bool], height: float) -> None:
    """Lines of text in columns, those of numbers to the right, the first line being titles; *height* in inches."""
    widths = [max(len(line[column]) for line in lines) + 2 for column in range(len(numbers))]
    for row, line in enumerate(lines):
        left = 0.012
        for text, width, number in zip(line, widths, numbers, strict=True):
            wide = width / sum(widths) * 0.976
            _write(
                box,
                left + wide - 0.01 if number else left,
                1 - (0.48 + 0.235 * row) / height,
                text,
                ha="right" if number else "left",
                size=8,
                color=_INK if row else _FAINT,
            )
            left += wide


def _merged(answers: Sequence[Sequence[Series]], labels: Sequence[str]) -> list[dict[str, str]]:
    """Lines of a table: values of series whose common labels are alike stand in one."""
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    carried = [set(series.labels) for answer in answers for series in answer]
    common = [label for label in labels if all(label in own for own in carried)]
    for number, answer in enumerate(answers):
        name = f"Value #{chr(ord('A') + number)}" if len(answers) > 1 else "Value"
        for series in answer:
            line = lines.setdefault(tuple(series.labels[label] for label in common), {})
            line.update({label: series.labels[label] for label in labels if label in series.labels})
            line[name] = str(series.points[-1][1])
    return list(lines.values())


def _cell(text: str, unit: str) -> str:
    return value_text(float(text), unit) if unit and text else text[:28]


def _colours(panel: Answered, names: Sequence[str]) -> dict[str, str]:
    fixed = {
        override["matcher"]["options"]: value["value"]["fixedColor"]
        for override in panel.model["fieldConfig"]["overrides"]
        for value in override["properties"]
        if value["id"] == "color"
    }
    free = [name for name in dict.fromkeys(names) if name not in fixed]
    return fixed | {name: _SERIES[place % len(_SERIES)] for place, name in enumerate(free)}


def value_text(value: float, unit: str) -> str:
    """A value as Grafana shows it: three digits and the unit."""
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    if unit == "s":
        for seconds, name in ((86400, " days"), (3600, " h"), (60, " min")):
            if value >= seconds:
                return f"{value / seconds:.3g}{name}"
        return f"{value:.3g} s"
    if unit in ("bytes", "binBps"):
        return _binary(value) + ("/s" if unit == "binBps" else "")
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"


def _binary_step(low: float, high: float) -> float:
    """A power of 2 that divides an axis into three to six parts."""
    return float(2 ** math.ceil(math.log2(max(high - low, 1) / 6)))


def _binary(value: float) -> str:
    for prefix in ("", "Ki", "Mi", "Gi"):
        if abs(value) < 1000:
            return f"{value:.3g} {prefix}B"
        value /= 1024
    return f"{value:.3g} TiB"


def _save(figure: Figure, path: Path) -> None:
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=140)
    # Few colours are enough for what is drawn here, and a fraction of the bytes.
    Image.open(raw).convert("RGB").quantize(96).save(path, optimize=True)


_DRAWN = {"stat": _stat, "timeseries": _timeseries, "bargauge": _bargauge, "table": _table}


def main() -> None:
    """Draw as told on the command line."""
    parser = argparse.ArgumentParser(prog="python -m grafana.pictures", description=__doc__)
    parser.add_argument("url", help="the address of a Prometheus that scrapes exporters and has the rules loaded")
    parser.add_argument("--minutes", type=float, default=60.0, help="how far back the graphs go")
    parser.add_argument("--host", default=".*", help="of which hosts to draw Host: a regular expression")
    chosen = parser.parse_args()
    draw(chosen.url, seconds=chosen.minutes * 60, host=chosen.host)


if __name__ == "__main__":
    main()
