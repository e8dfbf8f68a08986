"""The rules that users load: checked and tested by Prometheus' own tool, and consistent with what lies beside them."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.requirements import required

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = PROMETHEUS / "layerstore.rules.yaml"
RULE_TESTS = PROMETHEUS / "layerstore.test.yaml"

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


def test_the_rules_pass_every_check() -> None:
    """All linters of promtool find nothing."""
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_every_rule_does_what_its_tests_say() -> None:
    """The rule tests pass: what must fire fires with its full text, and what must not does not."""
    assert "SUCCESS" in promtool("test", "rules", RULE_TESTS)


@pytest.mark.parametrize("name", ["static", "docker"])
def test_the_scrape_examples_are_valid(name: str) -> None:
    """Each example is a whole configuration that Prometheus takes, and loads the rules."""
    assert "rule files found" in promtool("check", "config", PROMETHEUS / "scrape" / f"{name}.yaml")


def test_every_alert_is_tested_both_ways() -> None:
    """For each alert there is a moment at which it must fire, and one at which it must not."""
    text = RULE_TESTS.read_text()
    quiet = set(re.findall(r"alertname: (\w+), eval_time: \w+, exp_alerts: \[\]", text))
    firing = set(re.findall(r"- alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:\n +- exp_labels:", text))
    expected = set(alerts(RULES.read_text()))
    assert (expected, expected) == (firing, quiet)


def test_every_alert_has_its_place_in_the_runbook() -> None:
    """Each alert's runbook_url leads to a section of its own: what it means, how to confirm it, what to do."""
    rules, runbook = RULES.read_text(), (PROMETHEUS / "runbook.md").read_text()
    linked = re.findall(r"runbook_url: (\S+)", rules)
    assert [f"deploy/prometheus/runbook.md#{name.lower()}" for name in alerts(rules)] == linked
    sections = dict(re.findall(r"^## (Layerstore\w+)\n(.*?)(?=^## |\Z)", runbook, re.MULTILINE | re.DOTALL))
    assert set(alerts(rules)) == sections.keys()
    for section in sections.values():
        assert re.findall(r"^\*\*(\w+)\.\*\*", section, re.MULTILINE) == ["Means", "Confirm", "Do"]


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
