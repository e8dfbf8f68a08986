"""The manifests as kustomize and helm render them."""

import copy
import subprocess
from typing import Any

import pytest

from tests.requirements import required
from tests.unit.deploy.kubernetes import CHART, KUBERNETES, VERSIONS, Document, complaints, documents, only

pytestmark = pytest.mark.stack

OF_HELM = {"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"}
"""Labels by which helm knows its own."""


def said(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kustomized(directory: str = ".") -> list[Document]:
    return documents(said(required("kustomize"), "build", str(KUBERNETES / directory)))


def charted(*settings: str) -> list[Document]:
    """What the chart renders to as a release of its own name."""
    values = [f"--set={setting}" for setting in settings]
    place = ["--namespace=layerstore", f"--kube-version={VERSIONS[-1]}"]
    return documents(said(required("helm"), "template", "layerstore-exporter", str(CHART), *place, *values))


def by_kind(found: list[Document]) -> dict[str, Document]:
    kinds = {document["kind"]: document for document in found}
    assert len(kinds) == len(found)
    return kinds


def without_helms_labels(found: list[Document]) -> list[Document]:
    plain = copy.deepcopy(found)
    for document in plain:
        labels = document["metadata"]["labels"]
        document["metadata"]["labels"] = {name: value for name, value in labels.items() if name not in OF_HELM}
    return plain


def test_kustomize_and_helm_render_the_same() -> None:
    """Document by document and field by field, but for the labels by which helm knows its own."""
    from_chart = by_kind(without_helms_labels(charted("namespace.create=true")))
    assert by_kind(kustomized()) == from_chart


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "settings",
    [
        ["namespace.create=true"],
        ["webConfigSecret=layerstore-web", "podMonitor.endpoint.scheme=https", "seLinuxOptions.type=spc_t"],
        ["roots.docker=", "args={--scan.interval=30s}", "env[0].name=LAYERSTORE_LOG_LEVEL,env[0].value=debug"],
        ["podLabels.team=disk", "podAnnotations.note=x", "imagePullSecrets[0].name=registry", "image.tag=1"],
        ["podMonitor.labels.release=x", "prometheusRule.labels.release=x", "podMonitor.interval=30s"],
    ],
)
def test_what_values_change_is_accepted_by_the_api(settings: list[str], version: str) -> None:
    """Whatever is set, a cluster takes what is rendered."""
    rendered = charted(*settings)
    assert len(rendered) >= 5
    assert {document["kind"]: complaints(document, version) for document in rendered} == {
        document["kind"]: [] for document in rendered
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_what_kustomize_builds_is_accepted_by_the_api(version: str) -> None:
    """Documents that kustomize has changed are still sound."""
    assert [complaint for document in kustomized() for complaint in complaints(document, version)] == []


def test_the_operators_kinds_can_be_left_out() -> None:
    """A cluster without the Prometheus Operator takes the rest."""
    core = {"Namespace", "ServiceAccount", "DaemonSet", "NetworkPolicy"}
    assert set(by_kind(kustomized("base"))) == core
    off = charted("podMonitor.enabled=false", "prometheusRule.enabled=false", "namespace.create=true")
    assert set(by_kind(off)) == core


def test_a_root_that_is_not_wanted_is_not_mounted() -> None:
    """Neither volume, mount nor setting speaks of it."""
    assert "/var/lib/docker" not in str(only(charted("roots.docker="), "DaemonSet"))
    assert "/data/docker" in str(only(charted("roots.docker=/data/docker"), "DaemonSet"))


def test_probes_follow_the_web_configuration() -> None:
    """A kubelet can show neither password nor certificate: where they are asked for, the exporter asks itself."""
    pod: Any = only(charted("webConfigSecret=layerstore-web"), "DaemonSet")["spec"]["template"]["spec"]
    assert pod["containers"][0]["livenessProbe"]["exec"] == {"command": ["layerstore-exporter", "health"]}
    assert "httpGet" not in str(pod)


def test_helm_has_no_remark() -> None:
    """Nor a chart's linter."""
    assert "0 chart(s) failed" in said(required("helm"), "lint", "--strict", str(CHART))
