"""The manifests as files: what a cluster's API would say of them, and what they promise."""

import copy
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import __version__
from exporter.settings import LISTEN
from tests.unit.deploy.kubernetes import CHART, KUBERNETES, REPOSITORY, VERSIONS, Document, complaints, only, written


@pytest.fixture
def manifests() -> list[Document]:
    return written("base", "monitoring")


@pytest.fixture
def pod(manifests: list[Document]) -> Document:
    """What a pod of the exporter is made of."""
    spec: Document = only(manifests, "DaemonSet")["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_accepts_every_document(manifests: list[Document], version: str) -> None:
    """All of them, by the API of the oldest version and of a recent one."""
    assert {document["kind"]: complaints(document, version) for document in manifests} == {
        kind: []
        for kind in ("DaemonSet", "Namespace", "NetworkPolicy", "PodMonitor", "PrometheusRule", "ServiceAccount")
    }


def first_container(daemonset: Document) -> Any:
    return daemonset["spec"]["template"]["spec"]["containers"][0]


MISTAKES: dict[str, tuple[str, Callable[[Document], object], str]] = {
    "a field that there is not": ("DaemonSet", lambda made: made["spec"].update(replicas=2), "replicas"),
    "a field in the wrong place": ("DaemonSet", lambda made: first_container(made).update(hostPID=True), "hostPID"),
    "a field misspelt": (
        "DaemonSet",
        lambda made: first_container(made)["securityContext"].update(readonlyRootFilesystem=True),
        "readonlyRootFilesystem",
    ),
    "no selector": ("DaemonSet", lambda made: made["spec"].pop("selector"), "'selector' is a required property"),
    "a container without a name": ("DaemonSet", lambda made: first_container(made).pop("name"), "'name' is a required"),
    "a number as text": (
        "DaemonSet",
        lambda made: first_container(made)["ports"][0].update(containerPort="10412"),
        "'10412' is not of type",
    ),
    "text as a number": ("DaemonSet", lambda made: first_container(made)["env"][0].update(value=1), "1 is not of type"),
    "one for a list": ("NetworkPolicy", lambda made: made["spec"].update(policyTypes="Egress"), "'Egress' is not of"),
    "a group of another API": ("ServiceAccount", lambda made: made.update(apiVersion="apps/v1"), "apps/v1"),
    "a time without a unit": (
        "PodMonitor",
        lambda made: made["spec"]["podMetricsEndpoints"][0].update(interval="15"),
        "'15'",
    ),
    "a rule without an expression": (
        "PrometheusRule",
        lambda made: made["spec"]["groups"][0]["rules"][0].pop("expr"),
        "'expr' is a required property",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_mistake_is_refused(manifests: list[Document], mistake: str, version: str) -> None:
    """The schemas do refuse what a cluster would: each mistake, where it is."""
    kind, make, said = MISTAKES[mistake]
    document = copy.deepcopy(only(manifests, kind))
    make(document)
    found = complaints(document, version)
    assert found != []
    assert said in " ".join(found)


def test_the_rules_are_those_of_prometheus() -> None:
    """They are written once; what is generated of them is up to date, and the same when read."""
    made: dict[Path, str] = runpy.run_path(str(KUBERNETES / "generate.py"))["files"]()
    assert {path: path.read_text("utf-8") for path in made} == made, "make kubernetes"
    rules = yaml.safe_load((REPOSITORY / "deploy/prometheus/layerstore.rules.yaml").read_text("utf-8"))
    assert rules == only(written("monitoring"), "PrometheusRule")["spec"]
    assert rules == yaml.safe_load((CHART / "files/layerstore.rules.yaml").read_text("utf-8"))


def test_engines_roots_are_mounted_so_that_nobody_is_hindered(pod: Document) -> None:
    """Every directory of the node: read-only, under its own path, and unmounted here when it is unmounted there."""
    directories = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
    mounts = {mount["name"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert directories == {"docker": "/var/lib/docker", "containerd": "/var/lib/containerd"}
    for name, path in directories.items():
        assert mounts[name] == {
            "name": name,
            "mountPath": path,
            "readOnly": True,
            "mountPropagation": "HostToContainer",
        }


def test_a_pod_has_one_capability_and_nothing_else(pod: Document) -> None:
    """No token, no privilege, none of the node's namespaces, a filter, and a root filesystem that stays as it is."""
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]},
    }
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert {"hostNetwork", "hostPID", "hostIPC"} & pod.keys() == set()


def test_no_packet_goes_out(manifests: list[Document]) -> None:
    """The policy speaks of both directions, and allows none out."""
    spec = only(manifests, "NetworkPolicy")["spec"]
    assert (spec["policyTypes"], spec["egress"]) == (["Ingress", "Egress"], [])


def test_all_that_selects_finds_the_pods(manifests: list[Document]) -> None:
    """DaemonSet, NetworkPolicy and PodMonitor ask for labels that the pods have, and for a port by its name."""
    template = only(manifests, "DaemonSet")["spec"]["template"]
    labels, (port,) = template["metadata"]["labels"], template["spec"]["containers"][0]["ports"]
    monitor = only(manifests, "PodMonitor")["spec"]
    for selector in (
        only(manifests, "DaemonSet")["spec"]["selector"],
        only(manifests, "NetworkPolicy")["spec"]["podSelector"],
        monitor["selector"],
    ):
        assert selector["matchLabels"].items() <= labels.items()
        assert selector["matchLabels"] != {}
    assert (port["name"], f":{port['containerPort']}") == (monitor["podMetricsEndpoints"][0]["port"], LISTEN.default)


def test_the_monitor_is_the_one_that_prometheus_documents() -> None:
    """How pods are scraped is said in two places, and it is the same."""
    example = yaml.safe_load((REPOSITORY / "deploy/prometheus/scrape/podmonitor.yaml").read_text("utf-8"))
    monitor = only(written("monitoring"), "PodMonitor")
    assert example["spec"]["podMetricsEndpoints"] == monitor["spec"]["podMetricsEndpoints"]


def test_versions_are_the_exporters() -> None:
    """The image that is asked for is of this version, in kustomize and in the chart."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    images = yaml.safe_load((KUBERNETES / "base/kustomization.yaml").read_text("utf-8"))["images"]
    assert {chart["version"], chart["appVersion"], *(image["newTag"] for image in images)} == {__version__}


def test_values_are_all_used() -> None:
    """No value of the chart is there for nothing."""
    templates = "".join(path.read_text("utf-8") for path in (CHART / "templates").iterdir())
    used = set(re.findall(r"\.Values\.(\w+)", templates))
    assert used == set(yaml.safe_load((CHART / "values.yaml").read_text("utf-8")))
