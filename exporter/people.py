"""The commands for people: they look once, print, and are done."""

import sys
from collections.abc import Sequence

from rich.console import Console

from exporter.account.inspect.files import look
from exporter.account.inspect.find import containers_of, find
from exporter.export.text.check import print_check
from exporter.export.text.documents import check_json, inspection_json, report_json
from exporter.export.text.glance import print_report
from exporter.export.text.inspection import print_inspection
from exporter.export.text.progress import progress_bar
from exporter.store.detect import Root
from exporter.survey import Survey


def report(
    roots: Sequence[Root], *, daemon_config: str, as_json: bool, top: int, volumes: bool, growth: float | None
) -> None:
    """Print the host at a glance, with local *volumes* if wanted, and what grew within *growth* seconds, if given."""
    survey = Survey(roots, daemon_config=daemon_config)
    with progress_bar(Console(stderr=True)) as progress:
        found = survey.whole_report(volumes=volumes, growth=growth, progress=progress)
    if as_json:
        sys.stdout.write(report_json(found) + "\n")
    else:
        print_report(found, Console(), top=top)


def inspect(roots: Sequence[Root], what: str, *, daemon_config: str, as_json: bool, growth: float | None) -> bool:
    """Print all that is known of *what*, and what grew within *growth* seconds, if given; whether there is such a
    thing.

    Only the containers that the answer is about are measured.
    """
    survey = Survey(roots, daemon_config=daemon_config)
    catalog = survey.catalog()
    unmeasured = survey.summary(catalog, only=frozenset())
    concerned = containers_of(find(unmeasured.stores, what))
    finding = find(survey.summary(catalog, only=concerned, growth=growth).stores, what, look=look)
    if as_json:
        sys.stdout.write(inspection_json(finding) + "\n")
    else:
        print_inspection(finding, Console())
    return bool(finding.matches)


def check(roots: Sequence[Root], *, daemon_config: str, as_json: bool) -> bool:
    """Print what is wrong with the engine's records; whether nothing is. Nothing is measured."""
    catalog = Survey(roots, daemon_config=daemon_config).catalog()
    if as_json:
        sys.stdout.write(check_json(catalog) + "\n")
    else:
        print_check(catalog, Console())
    return not catalog.problems and not any(store.problems for store in catalog.stores)
