"""Put the alerting rules where Kubernetes wants them: ``python deploy/kubernetes/generate.py``, or ``make kubernetes``.

The rules are written once, in ``deploy/prometheus``. A PrometheusRule holds them as its spec; a chart can read no file
that lies outside of it. Both are generated, and a test says when they are out of date.
"""

from pathlib import Path

HERE = Path(__file__).parent
RULES = HERE.parent / "prometheus" / "layerstore.rules.yaml"
GENERATED = "# Generated from deploy/prometheus/layerstore.rules.yaml: make kubernetes\n"
HEADER = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: layerstore
  namespace: layerstore
  labels:
    app.kubernetes.io/name: layerstore-exporter
    app.kubernetes.io/instance: layerstore-exporter
spec:
"""


def files() -> dict[Path, str]:
    """What is generated: contents by path."""
    rules = RULES.read_text("utf-8")
    indented = "".join(f"  {line}" if line.strip() else line for line in rules.splitlines(keepends=True))
    return {
        HERE / "monitoring" / "prometheusrule.yaml": GENERATED + HEADER + indented,
        HERE / "chart" / "files" / "layerstore.rules.yaml": GENERATED + rules,
    }


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content, "utf-8")
