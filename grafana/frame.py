"""What both dashboards have in common: variables, links, annotations, and how they are put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from grafana.panels import FIRING, SOURCE, Panel, of

TAG: Final = "layerstore"
HOST_UID: Final = "layerstore-host"
FLEET_UID: Final = "layerstore-fleet"

_CHOSEN: Final = "${datasource:queryparam}&${cluster:queryparam}&${job:queryparam}&${__url_time_range}"

TO_HOST: Final = f"/d/{HOST_UID}?{_CHOSEN}&var-instance=${{__data.fields.instance:percentencode}}"
"""From a table with a column ``instance`` to that host."""
TO_CONTAINER: Final = f"{TO_HOST}&var-container=${{__data.fields.name:percentencode}}"
"""From a table with columns ``instance`` and ``name`` to that container on its host."""

_EVERYTHING: Final = ".*"
"""Chosen at first. It also matches what has no such label: a Prometheus without clusters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A row of a dashboard."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One dashboard."""

    uid: str
    title: str
    description: str
    sections: Sequence[Section]
    containers: bool = False
    """Whether one or more containers can be chosen."""


def assemble(page: Page) -> model.Dashboard:
    """The dashboard as Grafana's classic model."""
    made = dashboard.Dashboard(page.title).uid(page.uid).description(page.description).tags([TAG])
    made.tooltip(model.DashboardCursorSync.CROSSHAIR).time("now-6h", "now").refresh("30s").timezone("browser")
    made.variables(_variables(containers=page.containers)).links([_link()]).annotations([_alerts()])
    for section in page.sections:
        made.with_row(dashboard.Row(section.title))
        for panel in section.panels:
            made.with_panel(panel)
    built = made.build()
    # The version of the classic model that Grafana 10 knows; later ones carry it forward themselves.
    built.schema_version = 39
    for identity, placed in enumerate(built.panels or (), start=1):
        placed.id_val = identity
    return built


def _variables(*, containers: bool) -> list[Builder[model.VariableModel]]:
    build_info = "layerstore_exporter_build_info"
    variables: list[Builder[model.VariableModel]] = [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _chooser("cluster", "Cluster", build_info),
        _chooser("job", "Job", f'{build_info}{{cluster=~"$cluster"}}'),
        _chooser("instance", "Host", f'{build_info}{{cluster=~"$cluster",job=~"$job"}}'),
    ]
    if containers:
        variables.append(_chooser("container", "Container", of("layerstore_container_info"), label="name"))
    return variables


def _chooser(name: str, title: str, series: str, *, label: str = "") -> dashboard.QueryVariable:
    query = f"label_values({series}, {label or name})"
    everything = model.VariableOption(text="All", value="$__all", selected=True)
    return (
        dashboard.QueryVariable(name)
        .label(title)
        .datasource(SOURCE)
        .query({"query": query, "refId": f"{name}-values"})
        .definition(query)
        .multi(True)
        .include_all(True)
        .all_value(_EVERYTHING)
        .current(everything)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def _link() -> dashboard.DashboardLink:
    """To every dashboard with our tag, which is to the other one, with what is chosen here."""
    link = dashboard.DashboardLink("Layer storage").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.include_vars(True).keep_time(True).as_dropdown(False).icon("dashboard")


def _alerts() -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("red")
        .expr(FIRING)
        .step("60s")
        .title_format("{{alertname}}")
        .text_format("{{instance}} {{name}} {{stage}}")
        .tag_keys("severity,instance,name")
    )
