"""The same values as JSON: identities whole, sizes in bytes, times in Unix seconds, null for what is not known.

The output is pure ASCII, so that no name in it can reach a terminal as an escape.
"""

import dataclasses
import json
from collections.abc import Mapping

from exporter.account.inspect.views import Finding, Match
from exporter.account.report import Report
from exporter.export.text.rows import glance


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
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _document(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)
