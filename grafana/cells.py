"""Tables as Grafana makes them from answers: merged, ordered, each cell with its text and colour."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana.queries import Answered, Labels, Series
from grafana.units import value_text

_FAINT = "#7B8087"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a table."""

    text: str
    number: bool = False
    """Whether it stands to the right."""
    colour: str | None = None
    """Of its text, or of its bar."""
    share: float | None = None
    """The length of its bar, of the longest in its column; None for no bar."""

    @property
    def length(self) -> int:
        """The characters of room that it needs."""
        return len(self.text) + (12 if self.share is not None else 2)


def table_cells(panel: Answered) -> Sequence[Sequence[Cell]]:
    """The lines of a table, the first being its titles."""
    organize = panel.model["transformations"][1]["options"]
    names = sorted(organize["indexByName"], key=organize["indexByName"].__getitem__)
    titles = [organize["renameByName"][name] for name in names]
    settings = {
        override["matcher"]["options"]: {value["id"]: value["value"] for value in override["properties"]}
        for override in panel.model["fieldConfig"]["overrides"]
    }
    lines = _ordered(panel, _merged(panel.answers), dict(zip(titles, names, strict=True)))
    head = [Cell(text=title, number=_valued(name), colour=_FAINT) for name, title in zip(names, titles, strict=True)]
    columns = [
        [_cell(line.get(name, ""), name, settings[title], _largest(lines, name)) for line in lines]
        for name, title in zip(names, titles, strict=True)
    ]
    return [head, *zip(*columns, strict=True)]


def _valued(name: str) -> bool:
    return name.startswith("Value")


def _largest(lines: Sequence[Mapping[str, str]], name: str) -> float:
    return max((float(line[name]) for line in lines if _valued(name) and name in line), default=0.0)


def _ordered(panel: Answered, lines: Sequence[Labels], names: Mapping[str, str]) -> Sequence[Labels]:
    (order,) = panel.model["options"]["sortBy"]
    name = names[order["displayName"]]
    if not _valued(name):
        return sorted(lines, key=lambda line: line.get(name, ""), reverse=order["desc"])
    sign = -1 if order["desc"] else 1
    return sorted(lines, key=lambda line: sign * float(line[name]) if name in line else math.inf)


def _merged(answers: Sequence[Sequence[Series]]) -> Sequence[dict[str, str]]:
    """Values of series that say nothing different of each other stand in one line, or in each that they belong to."""
    lines: list[dict[str, str]] = []
    for number, answer in enumerate(answers):
        value = f"Value #{chr(ord('A') + number)}" if len(answers) > 1 else "Value"
        for series in answer:
            own = [
                line
                for line in lines
                if value not in line and all(line.get(label, said) == said for label, said in series.labels.items())
            ]
            if not own:
                own = [{}]
                lines += own
            for line in own:
                line.update(series.labels)
                line[value] = str(series.points[-1][1])
    return lines


def _cell(text: str, name: str, settings: Mapping[str, Any], largest: float) -> Cell:
    if not text:
        return Cell(text=settings["noValue"], number=_valued(name), colour=_FAINT)
    if not _valued(name):
        return Cell(text=text if len(text) <= 28 else f"{text[:27]}…")
    value = float(text)
    kind = settings.get("custom.cellOptions", {}).get("type")
    if kind == "gauge":
        colour, share = settings["color"]["fixedColor"], value / largest if largest > 0 else 0.0
        return Cell(text=value_text(value, settings["unit"]), number=True, colour=colour, share=share)
    colour = None
    for step in settings.get("thresholds", {}).get("steps", ()):
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return Cell(text=value_text(value, settings["unit"]), number=True, colour=colour)
