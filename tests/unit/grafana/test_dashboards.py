"""The dashboards' files, as Grafana loads them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from exporter.account.owners import Owner
from grafana.build import rendered
from grafana.palette import OWNERS

FILES = list(rendered())

GRID_COLUMN = (1280 - 2 * 16) / 24
"""Pixels of one of 24 columns on a screen of 1280, without the margins of the page."""
PADDING = 24
"""Pixels that a panel's frame, its gap to the next and a scroll bar take of it."""
WIDTHS = ("custom.width", "custom.minWidth")


def dashboard(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def panels(path: Path) -> list[Any]:
    return [panel for panel in dashboard(path)["panels"] if panel["type"] != "row"]


def tables(path: Path) -> list[Any]:
    return [panel for panel in panels(path) if panel["type"] == "table"]


def columns(panel: Any) -> list[tuple[str, Any]]:
    """Each column's title, and what is set for it by name."""
    return [
        (override["matcher"]["options"], {property_["id"]: property_["value"] for property_ in override["properties"]})
        for override in panel["fieldConfig"]["overrides"]
    ]


def expressions(path: Path) -> Iterator[str]:
    for panel in panels(path):
        for target in panel["targets"]:
            yield target["expr"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestDashboard:
    """Holds of each dashboard."""

    def test_the_file_is_up_to_date(self, path: Path) -> None:
        """What is committed is what ``python -m grafana`` writes."""
        assert rendered()[path] == path.read_text(encoding="utf-8")

    def test_every_panel_explains_itself(self, path: Path) -> None:
        """A panel has a title, a description that is a sentence, a unit, words for when it is empty, and a query."""
        for panel in panels(path):
            defaults = panel["fieldConfig"]["defaults"]
            assert panel["title"] and defaults["unit"] and defaults["noValue"] and panel["targets"]
            assert panel["description"].endswith(".")

    def test_every_query_is_of_what_is_chosen(self, path: Path) -> None:
        """Each selector is limited to the chosen clusters, jobs and hosts; only what is recorded for a whole cluster
        knows no hosts. All go to the chosen data source."""
        for panel in panels(path):
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
        for expr in expressions(path):
            selectors = re.findall(r"([a-z_:0-9A-Z]+)\{([^{}]*)\}", expr)
            assert selectors
            for metric, matchers in selectors:
                variables = set(re.findall(r'\w+=~"\$(\w+)"', matchers)) - {"container"}
                assert {"cluster", "job"} <= variables <= {"cluster", "job", "instance"}
                assert "instance" in variables or metric.startswith("fleet:")

    def test_no_metric_escapes_the_choice(self, path: Path) -> None:
        """No metric stands without a selector."""
        for expr in expressions(path):
            assert re.findall(r"(?:layerstore_\w+|\w+:layerstore\w+:\w+)(?![\w:{])", expr) == []

    def test_rates_follow_the_scrape_interval(self, path: Path) -> None:
        """A rate is taken over ``$__rate_interval``, whatever the scrape interval is."""
        for expr in expressions(path):
            assert set(re.findall(r"\b(?:rate|increase)\([^\[]*\[([^\]]+)\]", expr)) <= {"$__rate_interval"}

    def test_variables(self, path: Path) -> None:
        """One data source; cluster, job and host, any number of each, at first all."""
        first, *others = dashboard(path)["templating"]["list"]
        assert (first["type"], first["query"]) == ("datasource", "prometheus")
        assert [variable["name"] for variable in others][:3] == ["cluster", "job", "instance"]
        for variable in others:
            assert (
                variable["multi"],
                variable["includeAll"],
                variable["allValue"],
                variable["current"]["value"],
            ) == (True, True, ".*", "$__all")

    def test_every_variable_is_used(self, path: Path) -> None:
        """What can be chosen changes what is shown: each variable is in a query, a title or another variable."""
        shown = dashboard(path)
        said = json.dumps([shown["panels"], [variable["query"] for variable in shown["templating"]["list"]]])
        names = [variable["name"] for variable in shown["templating"]["list"]]
        assert [name for name in names if f"${name}" not in said and f"${{{name}}}" not in said] == []

    def test_grafana_reads_back_what_was_written(self, path: Path) -> None:
        """The file is a classic dashboard, of the schema that Grafana 10 knows, and nothing in it is unknown to the
        typed model: read into that and written again, it is the same. Each panel has a number of its own."""
        written = dashboard(path)
        read = model.Dashboard.from_json(written)
        again = json.loads(json.dumps(read, cls=JSONEncoder))
        # The SDK cannot leave this out.
        for placed in (*again["links"], *again["annotations"]["list"]):
            assert placed.pop("placement") == "inControlsMenu"
        assert again == written
        assert written["schemaVersion"] == 39
        numbers = [panel["id"] for panel in written["panels"]]
        assert sorted(set(numbers)) == sorted(numbers)

    def test_a_table_can_be_read_on_a_small_screen(self, path: Path) -> None:
        """All columns of a table fit beside each other on a screen of 1280 pixels: the first takes what is left."""
        for panel in tables(path):
            widths = [value for _, column in columns(panel) for key, value in column.items() if key in WIDTHS]
            assert len(widths) == len(panel["transformations"][1]["options"]["renameByName"])
            assert (panel["title"], sum(widths) <= panel["gridPos"]["w"] * GRID_COLUMN - PADDING) == (
                panel["title"],
                True,
            )

    def test_an_empty_cell_does_not_speak_for_the_table(self, path: Path) -> None:
        """Grafana writes a panel's words for being empty into each empty cell too: every column has its own."""
        for panel in tables(path):
            for title, column in columns(panel):
                assert (panel["title"], title, True) == (panel["title"], title, bool(column["noValue"]))
                assert column["noValue"] != panel["fieldConfig"]["defaults"]["noValue"]

    def test_rows_of_a_table_are_of_one_thing(self, path: Path) -> None:
        """Each value of a table comes by the labels that tell its rows apart, and two targets that tell of the same
        thing give one row, not a sum: no value is added up over what a row is told by."""
        for panel in tables(path):
            options = panel["transformations"][1]["options"]
            known = {*options["renameByName"], *options["excludeByName"]}
            for target in panel["targets"]:
                grouped = re.match(r"(?:max|min) by \(([^)]+)\)", target["expr"])
                assert grouped is not None
                assert set(grouped[1].split(", ")) <= known

    def test_the_crosshair_is_shared(self, path: Path) -> None:
        """A moment that is pointed at in one graph is shown in all."""
        assert dashboard(path)["graphTooltip"] == 1

    def test_alerts_are_annotations(self, path: Path) -> None:
        """Alerts that fire are drawn into the graphs."""
        (annotation,) = dashboard(path)["annotations"]["list"]
        assert "ALERTS{" in annotation["expr"]
        assert annotation["enable"]

    def test_panels_fill_the_grid_without_overlap(self, path: Path) -> None:
        """No two panels share a cell of the 24 columns, and each line of panels is filled."""
        cells: set[tuple[int, int]] = set()
        for panel in dashboard(path)["panels"]:
            at = panel["gridPos"]
            own = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not own & cells
            cells |= own
        bottom = max(y for _, y in cells) + 1
        assert {(x, y) for x in range(24) for y in range(bottom)} == cells

    def test_an_owner_has_one_colour(self, path: Path) -> None:
        """Wherever bytes are shown by owner, each owner has its own colour, the same one."""
        shown = [panel for panel in panels(path) if "by (owner)" in panel["targets"][0]["expr"]]
        assert shown
        for panel in shown:
            overrides = panel["fieldConfig"]["overrides"]
            colours = {
                override["matcher"]["options"]: property_["value"]["fixedColor"]
                for override in overrides
                for property_ in override["properties"]
                if property_["id"] == "color"
            }
            assert colours == OWNERS


def test_the_dashboards_link_to_each_other() -> None:
    """Each offers the other, with what is chosen; a host and a container in a table lead to the host's."""
    for path in FILES:
        shown = dashboard(path)
        (link,) = shown["links"]
        assert ("dashboards", shown["tags"], True, True) == (
            link["type"],
            link["tags"],
            link["includeVars"],
            link["keepTime"],
        )
    uids = {dashboard(path)["uid"] for path in FILES}
    targets = set(re.findall(r'"/d/([\w-]+)\?', "".join(path.read_text(encoding="utf-8") for path in FILES)))
    assert targets == {"layerstore-host"} < uids


def test_every_owner_has_a_colour_of_its_own() -> None:
    """The palette knows every owner of the metrics, and no two are alike."""
    assert {owner.value for owner in Owner} == OWNERS.keys()
    assert len(set(OWNERS.values())) == len(OWNERS)
