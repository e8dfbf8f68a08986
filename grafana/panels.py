"""Panels in the words of these dashboards, on top of the Grafana Foundation SDK.

Every panel has a title, a description that says what is counted, a unit, and words for the case that there is nothing
to show; none can be made without them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.palette import Steps

SOURCE: Final = common_model.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""What the variable ``datasource`` chooses."""

_HOST: Final = 'cluster=~"$cluster",job=~"$job",instance=~"$instance"'
_FLEET: Final = 'cluster=~"$cluster",job=~"$job"'

Panel = timeseries.Panel | stat.Panel | bargauge.Panel | table.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel, bargauge.Panel, table.Panel)


def of(metric: str, *matchers: str) -> str:
    """A selector of *metric* on the chosen hosts; what is recorded for the whole fleet has no host to choose."""
    chosen = _FLEET if metric.startswith("fleet") else _HOST
    return f"{metric}{{{','.join((chosen, *matchers))}}}"


FIRING: Final = of("ALERTS", 'alertname=~"Layerstore.+"', 'alertstate="firing"')
"""The alerts of our rules that fire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a panel says of itself."""

    title: str
    description: str
    """What is counted, and what it is good for."""
    unit: str
    """Grafana's name of the unit."""
    width: int = 12
    """Of 24 columns."""
    height: int = 8
    empty: str = "no data yet: is an exporter chosen above?"
    """What stands there where there is nothing to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One PromQL expression."""

    expr: str
    legend: str = ""
    """Grafana's template of a series' name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of values in a table: *expr* gives a value for each row. Without a title it is not shown, and only
    says which rows there are."""

    title: str
    expr: str
    unit: str
    width: int = 85
    """Pixels."""
    gauge: str = ""
    """The colour of a bar that is drawn for the value too, in the column by which a table is read; empty for no bar."""
    empty: str = "–"
    """What stands in a row that has no value here. Without it Grafana writes there what it says of a whole panel that
    is empty."""
    steps: Steps = ()
    """Colours of the text from a value on, as in :func:`number`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One column of labels in a table."""

    title: str
    width: int
    """Pixels; of the first column at least, which takes what the others leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What the rows of a table are."""

    labels: Mapping[str, Label]
    """The labels they are told by, in order."""
    hidden: Sequence[str] = ()
    """Labels that tell rows apart and are not shown."""
    links: Mapping[str, str] = field(default_factory=dict)
    """A URL for a label's cells, with Grafana's variables."""
    sort: str
    """The title of the column that orders them, largest first unless *ascending*."""
    ascending: bool = False


def lines(
    about: About,
    *queries: Query,
    stacked: bool = False,
    colours: Mapping[str, str] | None = None,
    least: float | None = 0,
    most: float | None = None,
) -> timeseries.Panel:
    """Values over time. *colours* go by series name; *least* and *most* are the ends of the axis, None as needed but
    with 0 on it."""
    panel = _about(timeseries.Panel(), about).targets([_range(query, number) for number, query in enumerate(queries)])
    panel.line_width(1).fill_opacity(70 if stacked else 8).show_points(common_model.VisibilityMode.NEVER)
    panel.color_scheme(_colour(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_model.LegendDisplayMode.TABLE)
        .placement(common_model.LegendPlacement.RIGHT if about.width > 8 else common_model.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull"])
        .sort_by("Last *")
        .sort_desc(True)
    )
    panel.tooltip(
        common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI).sort(common_model.SortOrder.DESCENDING)
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL).group("A"))
    if least is None:
        panel.axis_soft_min(0)
    else:
        panel.min(least)
    if most is not None:
        panel.max(most)
    return _coloured(panel, colours or {})


def number(about: About, query: Query, *, steps: Steps = ()) -> stat.Panel:
    """One large number, without a colour where there are no *steps*."""
    panel = _about(stat.Panel(), about).targets([_instant(query, 0)])
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.graph_mode(common_model.BigValueGraphMode.NONE)
    panel.color_mode(common_model.BigValueColorMode.VALUE if steps else common_model.BigValueColorMode.NONE)
    return _stepped(panel, steps)


def bars(
    about: About,
    query: Query,
    *,
    colours: Mapping[str, str] | None = None,
    steps: Steps = (),
) -> bargauge.Panel:
    """A bar for each series, as of now."""
    panel = _about(bargauge.Panel(), about).targets([_instant(query, 0)]).min(0)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.orientation(common_model.VizOrientation.HORIZONTAL).display_mode(common_model.BarGaugeDisplayMode.BASIC)
    if not steps:
        panel.color_scheme(_colour(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    return _coloured(_stepped(panel, steps), colours or {})


def rows(about: About, of_what: Rows, *columns: Column) -> table.Panel:
    """A table as of now. Values of one row are those whose labels are alike."""
    queries = [Query(expr=column.expr) for column in columns]
    panel = _about(table.Panel(), about)
    panel.targets([_instant(query, number).format(PromQueryFormat.TABLE) for number, query in enumerate(queries)])
    values = [f"Value #{_ref(number)}" if len(columns) > 1 else "Value" for number in range(len(columns))]
    titles = {name: label.title for name, label in of_what.labels.items()}
    titles |= {value: column.title for value, column in zip(values, columns, strict=True) if column.title}
    untitled = [value for value, column in zip(values, columns, strict=True) if not column.title]
    panel.transformations(
        [
            model.DataTransformerConfig(id_val="merge", options={}),
            model.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": dict.fromkeys(("Time", *of_what.hidden, *untitled), True),
                    "indexByName": {name: place for place, name in enumerate(titles)},
                    "renameByName": titles,
                },
            ),
        ]
    )
    for place, (name, label) in enumerate(of_what.labels.items()):
        panel.override_by_name(label.title, _named(label, wide=place == 0, link=of_what.links.get(name)))
    for column in columns:
        if column.title:
            panel.override_by_name(column.title, _cells(column))
    panel.sort_by([common.TableSortByFieldState().display_name(of_what.sort).desc(not of_what.ascending)])
    return panel.cell_height(common_model.TableCellHeight.SM).filterable(True)


def _about(panel: P, about: About) -> P:
    panel.title(about.title).description(about.description).unit(about.unit).no_value(about.empty)
    return panel.datasource(SOURCE).height(about.height).span(about.width)


def _ref(number: int) -> str:
    return chr(ord("A") + number)


def _range(query: Query, number: int) -> prometheus.Dataquery:
    return _query(query, number).range()


def _instant(query: Query, number: int) -> prometheus.Dataquery:
    return _query(query, number).instant()


def _query(query: Query, number: int) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(_ref(number)).datasource(SOURCE)
    return target.legend_format(query.legend) if query.legend else target


def _thresholds(steps: Steps) -> list[model.Threshold]:
    return [model.Threshold(value=value, color=colour) for value, colour in steps]


def _cells(column: Column) -> list[model.DynamicConfigValue]:
    cells = [_value("unit", column.unit), _value("custom.width", column.width), _value("noValue", column.empty)]
    if column.gauge:
        cells.append(_value("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}))
        cells.append(_value("color", {"mode": "fixed", "fixedColor": column.gauge}))
        cells.append(_value("min", 0))
    if column.steps:
        thresholds = model.ThresholdsConfig(mode=model.ThresholdsMode.ABSOLUTE, steps=_thresholds(column.steps))
        cells.append(_value("thresholds", thresholds))
        cells.append(_value("color", {"mode": "thresholds"}))
        cells.append(_value("custom.cellOptions", {"type": "color-text"}))
    return cells


def _named(label: Label, *, wide: bool, link: str | None) -> list[model.DynamicConfigValue]:
    cells = [_value("custom.minWidth" if wide else "custom.width", label.width), _value("noValue", "–")]
    if link is not None:
        cells.append(_value("links", [{"title": "Look closer", "url": link}]))
    return cells


def _value(name: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val=name, value=value)


def _colour(mode: model.FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)


def _coloured(panel: P, colours: Mapping[str, str]) -> P:
    for name, colour in colours.items():
        panel.override_by_name(name, [_value("color", {"mode": "fixed", "fixedColor": colour})])
    return panel


def _stepped(panel: P, steps: Steps) -> P:
    if steps:
        panel.thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(_thresholds(steps)))
        panel.color_scheme(_colour(model.FieldColorModeId.THRESHOLDS))
    return panel
