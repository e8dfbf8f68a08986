"""Output for people: tables and trees on a console, plain text in a pipe, and the same values as JSON."""

from exporter.export.text.documents import inspection_json, report_json
from exporter.export.text.glance import print_report
from exporter.export.text.inspection import print_inspection
from exporter.export.text.progress import progress_bar

__all__ = ["inspection_json", "print_inspection", "print_report", "progress_bar", "report_json"]
