"""Make the schemas of this directory anew, from packages that hold those of the API.

``python bundle.py kubernetes DIRECTORY VERSION``: DIRECTORY is ``kubernetes-json-schema`` of the package
kubernetes-validate, VERSION one of Kubernetes that it has. ``python bundle.py operator``, where the package
cloudcoil-models-prometheus-operator is installed. Each kind that the manifests use comes with all that it refers to,
and without the descriptions, which are nine tenths of it. No field is allowed but those that are known.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KINDS = {
    "DaemonSet": "io.k8s.api.apps.v1.DaemonSet",
    "Namespace": "io.k8s.api.core.v1.Namespace",
    "NetworkPolicy": "io.k8s.api.networking.v1.NetworkPolicy",
    "ServiceAccount": "io.k8s.api.core.v1.ServiceAccount",
}
OPERATORS_KINDS = ("PodMonitor", "PrometheusRule")
HERE = Path(__file__).parent


def plain(schema: Any) -> Any:
    """Without descriptions and extensions, and with references within one document."""
    if isinstance(schema, list):
        return [plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{name_of(schema['$ref'])}"}
    kept = {key: value for key, value in schema.items() if not (key == "description" and isinstance(value, str))}
    return {key: plain(value) for key, value in kept.items() if not key.startswith("x-kubernetes")}


def name_of(reference: str) -> str:
    return reference.rpartition("/")[2]


def references(schema: Any) -> Iterator[str]:
    """The names that *schema* refers to."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield name_of(schema["$ref"])
        for part in schema.values():
            yield from references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from references(part)


def kubernetes(directory: str, version: str) -> dict[str, Any]:
    """The kinds of the API itself."""
    known = json.loads(Path(directory, f"v{version}-local-strict", "_definitions.json").read_text())["$defs"]
    wanted, taken = list(KINDS.values()), dict[str, Any]()
    while wanted:
        name = wanted.pop()
        if name not in taken:
            taken[name] = plain(known[name])
            wanted += references(known[name])
    return {"kinds": KINDS, "$defs": taken}


def operator() -> dict[str, Any]:
    """The kinds of the Prometheus Operator."""
    models = importlib.import_module("cloudcoil.models.prometheus_operator.v1")
    taken = dict[str, Any]()
    for kind in OPERATORS_KINDS:
        schema = getattr(models, kind).model_json_schema(by_alias=True)
        for name, part in {**schema.pop("$defs"), kind: schema}.items():
            taken[name] = closed(plain(part))
    return {"kinds": {kind: kind for kind in OPERATORS_KINDS}, "$defs": taken}


def closed(schema: Any) -> Any:
    """With no field but those that are named; and without patterns that only Go's regular expressions know."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: closed(part) for key, part in schema.items() if not (key == "pattern" and "(?i)" in str(part))}
    return {**kept, "additionalProperties": False} if kept.get("properties") else kept


def main() -> None:
    what, *arguments = sys.argv[1:]
    bundle = kubernetes(*arguments) if what == "kubernetes" else operator()
    name = f"kubernetes-{arguments[1]}" if what == "kubernetes" else "prometheus-operator"
    (HERE / f"{name}.json").write_text(json.dumps(bundle, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
