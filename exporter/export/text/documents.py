"""The same values as JSON: identities whole, sizes in bytes, times in Unix seconds, null for what is not known.

The output is pure ASCII, so that no name in it can reach a terminal as an escape.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from exporter.account.advice import ADVICE
from exporter.account.inspect.views import Finding, Match
from exporter.account.report import Report
from exporter.export.text.rows import glance, problem_rows
from exporter.store.catalog import Catalog

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def report_json(report: Report) -> str:
    """All that is known of the host, not only the largest."""
    return _document(_plain(glance(report)))


def inspection_json(finding: Finding) -> str:
    """All that *finding* says: ``matches`` is empty where nothing was found."""
    return _document(
        {
            "needle": finding.needle,
            "stores": list(finding.stores),
            "matches": [_match(match) for match in finding.matches],
            "near": list(finding.near),
        }
    )


def check_json(catalog: Catalog) -> str:
    """What is wrong with the records, each problem with what it means and what to do; ``sound`` where nothing is."""
    rows = problem_rows(catalog)
    return _document(
        {
            "taken_at": catalog.taken_at,
            "stores": [store.name for store in catalog.stores],
            "storeless": list(catalog.storeless),
            "sound": not rows,
            "problems": [{**_fields(row), **_fields(ADVICE[row.kind])} for row in rows],
        }
    )


def _match(match: Match) -> dict[str, object]:
    return {
        "kind": match.kind,
        "id": match.identity,
        "store": match.store,
        "matched_by": match.matched_by.value,
        match.kind: _plain(match.subject),
    }


def _plain(value: object) -> object:
    """*value* as JSON knows it: a dataclass is an object of its fields."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _fields(value: "DataclassInstance") -> dict[str, object]:
    return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}


def _document(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)
