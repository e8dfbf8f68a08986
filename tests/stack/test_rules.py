"""The rules that users load: checked and tested by Prometheus' own tool, and consistent with what lies beside them."""

import json
import re
import subprocess
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from exporter.cli import main
from exporter.sample.builder import StoreBuilder
from tests.requirements import required

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = PROMETHEUS / "layerstore.rules.yaml"
RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*.yaml"))
RUNBOOK = PROMETHEUS / "runbook.md"

pytestmark = pytest.mark.stack


def promtool(*arguments: str | Path) -> str:
    """What promtool says; it must succeed."""
    done = subprocess.run(
        [required("promtool"), *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts(text: str) -> Sequence[str]:
    return re.findall(r"^ +- alert: (\w+)$", text, re.MULTILINE)


def runbook_sections() -> Mapping[str, str]:
    return dict(re.findall(r"^## (Layerstore\w+)\n(.*?)(?=^## |\Z)", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL))


def test_the_rules_pass_every_check() -> None:
    """All linters of promtool find nothing."""
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_every_rule_does_what_its_tests_say() -> None:
    """The rule tests pass: what must fire fires with its full text, and what must not does not."""
    assert promtool("test", "rules", *RULE_TESTS).count("SUCCESS") == len(RULE_TESTS) > 0


def test_the_relabelling_of_the_pod_monitor_is_valid(tmp_path: Path) -> None:
    """What the PodMonitor has the operator write into Prometheus' configuration, Prometheus takes: a replacement of the
    instance by the node's name, and no label of the exporter's own pod in the way."""
    monitor = (PROMETHEUS / "scrape" / "podmonitor.yaml").read_text()
    endpoint = textwrap.dedent(monitor.partition("podMetricsEndpoints:\n")[2])
    (path, interval, timeout) = re.findall(r"^ +(?:path|interval|scrapeTimeout): (\S+)$", endpoint, re.MULTILINE)
    relabelings = re.sub(
        r"\b(source|target)(Labels?):",
        lambda key: f"{key[1]}_{key[2].lower()}:",
        endpoint.partition("relabelings:\n")[2],
    )
    job = {"job_name": "monitoring/layerstore", "metrics_path": path}
    job |= {"scrape_interval": interval, "scrape_timeout": timeout}
    lines = [
        "scrape_configs:",
        f"- {json.dumps(job)[1:-1]}".replace('", "', '"\n  "'),
        "  relabel_configs:",
        relabelings,
    ]
    (tmp_path / "prometheus.yaml").write_text("\n".join(lines))
    assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yaml")
    assert re.findall(r"target_label: (\w+)", relabelings) == ["instance"]


@pytest.mark.parametrize(
    ("name", "rules"), [("static", True), ("docker", True), ("sharded", True), ("federation", False)]
)
def test_the_scrape_examples_are_valid(name: str, rules: bool) -> None:
    """Each example is a whole configuration that Prometheus takes; each that judges hosts loads the rules."""
    said = promtool("check", "config", PROMETHEUS / "scrape" / f"{name}.yaml")
    assert (True, rules) == ("SUCCESS" in said, "rule files found" in said)


def test_nothing_that_rules_need_is_dropped() -> None:
    """What the example for large fleets drops is in no alert, and in no recorded figure that an alert uses."""
    dropped = re.findall(r"regex: (layerstore_layer_\S+)", (PROMETHEUS / "scrape" / "sharded.yaml").read_text())
    assert len(dropped) == 1
    using = [
        rule
        for rule in re.split(r"^ +- (?=record:|alert:)", RULES.read_text(), flags=re.MULTILINE)[1:]
        if any(re.fullmatch(dropped[0], metric) for metric in re.findall(r"\blayerstore_\w+", rule))
    ]
    assert ["record: fleet:layerstore_layer_info:topk20_hosts"] == [rule.splitlines()[0] for rule in using]


def test_every_alert_is_tested_both_ways() -> None:
    """For each alert there is a moment at which it must fire, and one at which it must not."""
    text = "".join(path.read_text() for path in RULE_TESTS)
    quiet = set(re.findall(r"alertname: (\w+), eval_time: \w+, exp_alerts: \[\]", text))
    firing = set(re.findall(r"- alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:\n +- exp_labels:", text))
    expected = set(alerts(RULES.read_text()))
    assert (expected, expected) == (firing, quiet)


def test_every_alert_has_its_place_in_the_runbook() -> None:
    """Each alert's runbook_url leads to a section of its own: what it means, how to confirm it, what to do."""
    rules = RULES.read_text()
    linked = re.findall(r"runbook_url: (\S+)", rules)
    assert [f"deploy/prometheus/runbook.md#{name.lower()}" for name in alerts(rules)] == linked
    sections = runbook_sections()
    assert set(alerts(rules)) == sections.keys()
    for section in sections.values():
        assert re.findall(r"^\*\*(\w+)\.\*\*", section, re.MULTILINE) == ["Means", "Confirm", "Do"]


def test_every_alert_is_confirmed_by_the_exporter_itself() -> None:
    """How to confirm an alert names one of the exporter's own commands, metrics or its log."""
    own = re.compile(r"`layerstore-exporter\s\w|layerstore_\w+|exporter's log|layerstore-exporter`|/-/healthy")
    told = {
        name: section.partition("**Confirm.**")[2].partition("**Do.**")[0]
        for name, section in runbook_sections().items()
    }
    assert [name for name, text in told.items() if not own.search(text)] == []


def test_the_commands_of_the_runbook_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the exporter's commands in the runbook does its work, said of a store that has what it names."""
    store = StoreBuilder(tmp_path)
    container = store.container(store.image(store.layer({"file": 1}), tags=["app:1"]), name="NAME")
    known = {"X": "NAME", "DIRECTORY": str(Path(store.upper_path(container)).parent), "10s": "1s", "1m": "1s"}
    commands = set(re.findall(r"`layerstore-exporter\s((?:report|inspect|check)[^`]*)`", RUNBOOK.read_text()))
    assert {command.split()[0] for command in commands} == {"report", "inspect", "check"}
    for command in sorted(commands):
        words = [known.get(word, word) for word in command.split()]
        assert (command, 0) == (command, main([*words, "--path.docker-root", str(tmp_path)], {}))
        assert capsys.readouterr().out


def test_the_metrics_of_the_runbook_exist() -> None:
    """Each metric in the runbook is one that the exporter serves, each recorded one is recorded."""
    text = RUNBOOK.read_text()
    golden = (PROMETHEUS.parents[1] / "tests/unit/golden/metrics.prom").read_text()
    served = set(re.findall(r"^# TYPE (\w+)", golden, re.MULTILINE))
    assert set(re.findall(r"(?<!:)\blayerstore_\w+\b(?!:)", text)) - served == set()
    recorded = set(re.findall(r"record: (\S+)", RULES.read_text()))
    assert set(re.findall(r"\w+:layerstore_\w+:\w+", text)) - recorded == set()


def test_every_alert_is_named_graded_and_explained_alike() -> None:
    """Alerts share their first word, have one of three severities, and say a sentence that ends with a full stop."""
    blocks = re.split(r"^ +- alert: ", RULES.read_text(), flags=re.MULTILINE)[1:]
    for block in blocks:
        assert re.match(r"Layerstore[A-Z]\w+\n", block)
        assert re.search(r"^ +severity: (critical|warning|info)$", block, re.MULTILINE)
        assert re.search(r"^ +summary: .+\.$", block, re.MULTILINE)
        assert re.search(r"^ +description: >-$", block, re.MULTILINE)


def test_no_threshold_is_hidden_in_an_alert() -> None:
    """An alert compares with a threshold of the first group, with 0, or with 1 where a value is 1 or absent."""
    thresholds, *groups = re.split(r"^ {2}- name: ", RULES.read_text(), flags=re.MULTILINE)[1:]
    defined = set(re.findall(r"record: (layerstore:\w+:threshold)", thresholds))
    used = set(re.findall(r"layerstore:\w+:threshold", "".join(groups)))
    assert defined == used
    compared = re.findall(r"(?:<|>|==|!=) *([\d.]+)", "".join(groups))
    assert set(compared) <= {"0", "1"}
