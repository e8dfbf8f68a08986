"""Output for people: tables and trees on a console, plain text in a pipe, and the same values as JSON."""

from exporter.export.text.check import print_check
from exporter.export.text.documents import check_json, inspection_json, report_json
from exporter.export.text.glance import print_report
from exporter.export.text.inspection import print_inspection
from exporter.export.text.progress import progress_bar

__all__ = [
    "check_json",
    "inspection_json",
    "print_check",
    "print_inspection",
    "print_report",
    "progress_bar",
    "report_json",
]
