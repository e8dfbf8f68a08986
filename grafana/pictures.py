"""Pictures of the dashboards for the README, from real query results:

python -m grafana.pictures http://localhost:9090 --minutes 60

Panels stand where the dashboards have them, with their titles, units and colours; how they look is matplotlib's.
"""

import argparse
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from grafana.cells import Cell, table_cells
from grafana.palette import GOOD
from grafana.queries import Answered, answered
from grafana.units import value_text

PICTURES: Final = Path(__file__).parent / "pictures"

SECTIONS: Final = {
    "host": (
        "At a glance",
        "Capacity",
        "What containers write",
        "Images and shared layers",
        "Logs, leftovers, damage",
    ),
    "fleet": ("At a glance", "Hosts", "Containers anywhere", "Stores and layers", "Exporters"),
}
"""What is shown of each dashboard."""

_INK, _FAINT, _PAPER, _PANEL = "#1F2430", "#7B8087", "#F4F5F5", "#FFFFFF"
_SERIES = ("#3274D9", "#FF9830", "#56A64B", "#A352CC", "#E02F44", "#5ECCC4", "#B58B00", "#8AB8FF", "#C15C17", "#8E8E8E")
_COLUMN, _LINE = 0.46, 0.34  # inches of a cell of the grid
_ROW = 0.235  # inches of a line of a table


class _Inks:
    """Colours of series that have none of their own: a name has the same one in every panel."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def of(self, panel: Answered, names: Sequence[str]) -> Mapping[str, str]:
        """The colour of each name in a panel: the one that the dashboard sets, or one that is still free."""
        fixed = {
            override["matcher"]["options"]: value["value"]["fixedColor"]
            for override in panel.model["fieldConfig"]["overrides"]
            for value in override["properties"]
            if value["id"] == "color"
        }
        for name in names:
            if name not in fixed:
                self._given.setdefault(name, _SERIES[len(self._given) % len(_SERIES)])
        return self._given | fixed


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
    inks = _Inks()
    for section, inside in groupby(placed, key=lambda panel: panel.section):
        first, *others = inside
        figure.text(0.004, 1 - (first.place[1] - 0.5) / height, section, size=11, weight="bold", va="center")
        for panel in (first, *others):
            left, top, width, tall = panel.place
            bottom = 1 - (top + tall) / height
            box = figure.add_axes((left / 24 + 0.002, bottom + 0.0015, width / 24 - 0.004, tall / height - 0.003))
            box.set_facecolor(_PANEL)
            box.set(xticks=[], yticks=[])
            box.spines[:].set_color("#DCDEE0")
            inches_wide, inches_high = width * _COLUMN, tall * _LINE
            _write(box, 0.09 / inches_wide, 1 - 0.2 / inches_high, panel.title, weight="bold")
            _DRAWN[panel.kind](figure, box, panel, inks)
    return figure


def _placed(panels: Sequence[Answered]) -> Iterator[Answered]:
    """The panels, a line of the grid free above each section, and no table higher than its lines need."""
    top, section = 0, ""
    for _, beside in groupby(panels, key=lambda panel: panel.place[1]):
        line = list(beside)
        if line[0].section != section:
            section = line[0].section
            top += 1
        tall = max(_height(panel) for panel in line)
        for panel in line:
            left, _, width, _ = panel.place
            yield replace(panel, place=(left, top, width, tall))
        top += tall


def _height(panel: Answered) -> int:
    high = panel.place[3]
    if panel.kind != "table":
        return high
    lines = max(len(table_cells(panel)), 2)
    return min(high, math.ceil((0.5 + _ROW * lines) / _LINE))


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


def _stat(_figure: Figure, box: Axes, panel: Answered, _inks: _Inks) -> None:
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


def _timeseries(figure: Figure, box: Axes, panel: Answered, inks: _Inks) -> None:
    shown = [series for answer in panel.answers for series in answer]
    if not shown:
        return _say_empty(box, panel)
    axes = _within(figure, box, left=0.75, bottom=0.3, right=0.15, top=0.8)
    shown.sort(key=lambda series: -series.points[-1][1])
    colours = inks.of(panel, [series.name for series in shown])
    times = sorted({at for series in shown for at, _ in series.points})
    stacked = _defaults(panel)["custom"].get("stacking", {}).get("mode") == "normal"
    if stacked:
        levels = [0.0] * len(times)
        for series in shown:
            values = dict(series.points)
            upper = [level + values.get(at, 0.0) for level, at in zip(levels, times, strict=True)]
            # What was nothing all the time cannot be seen, and needs no place in the legend.
            name = series.name if any(values.values()) else "_"
            axes.fill_between(times, levels, upper, color=colours[series.name], alpha=0.85, lw=0, label=name)
            levels = upper
    else:
        for series in shown:
            axes.plot(*zip(*series.points, strict=True), color=colours[series.name], lw=1.5, label=series.name)
    _scale(axes, panel, times)
    _explain(box, axes, panel)
    return None


def _scale(axes: Axes, panel: Answered, times: Sequence[float]) -> None:
    """The ends of both axes, and what is written at them."""
    defaults = _defaults(panel)
    unit = defaults["unit"]
    low, high = axes.get_ylim()
    nothing = max(high, -low) < 0.1 and unit not in ("percentunit", "s")
    axes.set_ylim(bottom=defaults.get("min", min(low, 0)), top=defaults.get("max", 1 if nothing else None))
    axes.set_xlim(times[0], times[-1])
    axes.grid(axis="y", color="#E7E9EB", lw=0.8)
    if nothing:
        axes.set_yticks([0])
    elif unit in ("bytes", "binBps"):
        axes.yaxis.set_major_locator(mpl.ticker.MultipleLocator(_binary_step(*axes.get_ylim())))
    axes.yaxis.set_major_formatter(lambda value, _: value_text(value, unit))
    axes.xaxis.set_major_locator(mpl.ticker.MultipleLocator(_time_step(times[-1] - times[0], panel.place[2] // 2)))
    axes.xaxis.set_major_formatter(lambda at, _: datetime.fromtimestamp(at, UTC).strftime("%H:%M"))


def _explain(box: Axes, axes: Axes, panel: Answered) -> None:
    """The legend, below the title: the first eight series."""
    seen = dict(
        list({name: handle for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)}.items())[:8]
    )
    box.legend(
        list(seen.values()),
        [name if len(name) <= 26 else f"{name[:25]}…" for name in seen],
        loc="upper left",
        bbox_to_anchor=(0, 1 - 0.3 / (panel.place[3] * _LINE)),
        ncols=max(min(len(seen), panel.place[2] // 3), 1),
        frameon=False,
        fontsize=7.5,
        handlelength=1,
        columnspacing=1,
        labelspacing=0.2,
    )


def _bargauge(figure: Figure, box: Axes, panel: Answered, inks: _Inks) -> None:
    shown = sorted((series for answer in panel.answers for series in answer), key=lambda one: one.points[-1][1])[-12:]
    if not shown:
        return _say_empty(box, panel)
    names = [series.name for series in shown]
    axes = _within(figure, box, left=0.3 + 0.075 * max(map(len, names)), bottom=0.15, right=0.8, top=0.45)
    values = [series.points[-1][1] for series in shown]
    colours = inks.of(panel, names)
    for step in _defaults(panel).get("thresholds", {}).get("steps", [])[:1]:
        colours = dict.fromkeys(colours, step["color"])
    axes.barh(range(len(shown)), values, color=[colours[series.name] for series in shown], height=0.7)
    axes.set_yticks(range(len(shown)), names, color=_INK)
    axes.set_xticks([])
    axes.set_ylim(min(len(shown) - 4.5, -0.5), len(shown) - 0.5)
    axes.set_xlim(0, max(values) * 1.02 or 1)
    for line, value in enumerate(values):
        axes.text(value, line, f" {value_text(value, _defaults(panel)['unit'])}", va="center", size=8)
    return None


def _table(_figure: Figure, box: Axes, panel: Answered, _inks: _Inks) -> None:
    lines = table_cells(panel)
    if len(lines) == 1:
        return _say_empty(box, panel)
    height, width = panel.place[3] * _LINE, panel.place[2] * _COLUMN
    room = int((height - 0.62) / _ROW)
    longest = [max(line[column].length for line in lines[: room + 1]) for column in range(len(lines[0]))]
    for row, line in enumerate(lines[: room + 1]):
        left = 0.09 / width
        for cell, length in zip(line, longest, strict=True):
            wide = length / sum(longest) * (1 - 0.18 / width)
            _draw_cell(box, cell, (left, 1 - (0.48 + _ROW * row) / height, wide, _ROW / height))
            left += wide
    return None


def _draw_cell(box: Axes, cell: Cell, at: tuple[float, float, float, float]) -> None:
    """A cell of a table; *at* are its left, middle, width and height as shares of the panel."""
    left, middle, wide, high = at
    if cell.share is not None:
        bar = (left + 0.1 * wide, middle - 0.36 * high), max(cell.share, 0.0) * 0.5 * wide, 0.72 * high
        box.add_patch(Rectangle(*bar, transform=box.transAxes, color=cell.colour, alpha=0.8, lw=0))
    colour = cell.colour if cell.share is None else _INK
    place = left + wide - 0.012 if cell.number else left
    _write(box, place, middle, cell.text, ha="right" if cell.number else "left", size=8, color=colour or _INK)


def _time_step(seconds: float, most: int) -> float:
    """A round time that divides *seconds* into *most* parts at most, none shorter than a minute."""
    steps = (60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
    return next((step for step in steps if seconds / step <= most), steps[-1])


def _binary_step(low: float, high: float) -> float:
    """A power of 2 that divides an axis into three to six parts."""
    return float(2 ** math.ceil(math.log2(max(high - low, 1) / 6)))


def _save(figure: Figure, path: Path) -> None:
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=140)
    # Few colours are enough for what is drawn here, and a fraction of the bytes.
    Image.open(raw).convert("RGB").quantize(256).save(path, optimize=True)


_DRAWN: Final[Mapping[str, Callable[[Figure, Axes, Answered, _Inks], None]]] = {
    "stat": _stat,
    "timeseries": _timeseries,
    "bargauge": _bargauge,
    "table": _table,
}


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
