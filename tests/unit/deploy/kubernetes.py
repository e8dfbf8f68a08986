"""Kubernetes' documents, and what a cluster would say of them."""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

REPOSITORY = Path(__file__).parents[3]
KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
CHART = KUBERNETES / "chart"
VERSIONS = ("1.25.0", "1.37.0")
"""The oldest version of Kubernetes that the manifests are for, and a recent one."""

Document = dict[str, Any]


def documents(text: str) -> list[Document]:
    """The documents of a YAML stream."""
    return [document for document in yaml.safe_load_all(text) if document is not None]


def written(*directories: str) -> list[Document]:
    """What the files of these directories hold, but for kustomize's own."""
    paths = [path for directory in directories for path in sorted((KUBERNETES / directory).glob("*.yaml"))]
    return [
        document
        for path in paths
        if path.name != "kustomization.yaml"
        for document in documents(path.read_text("utf-8"))
    ]


def only(found: Iterable[Document], kind: str) -> Document:
    """The one document of that kind."""
    (document,) = [document for document in found if document["kind"] == kind]
    return document


def complaints(document: Document, version: str) -> list[str]:
    """What the API of that version would refuse in *document*: paths and reasons."""
    validator = _validators(version).get(document["kind"])
    if validator is None:
        return [f"no schema of {document['kind']}"]
    return sorted(
        f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
        for found in validator.iter_errors(document)
        for error in _leaves(found)
    )


def _leaves(error: ValidationError) -> Iterator[ValidationError]:
    """What stands behind an error: where several schemas would do, why each does not."""
    if not error.context:
        yield error
    for part in error.context or ():
        yield from _leaves(part)


@cache
def _validators(version: str) -> dict[str, Draft202012Validator]:
    validators = {}
    for name in (f"kubernetes-{version}", "prometheus-operator"):
        bundle = json.loads((Path(__file__).parent / "schemas" / f"{name}.json").read_text("utf-8"))
        for kind, definition in bundle["kinds"].items():
            schema = {"$ref": f"#/$defs/{definition}", "$defs": bundle["$defs"]}
            validators[kind] = Draft202012Validator(schema)
    return validators
