"""Consoles whose output is a string."""

import io
from collections.abc import Callable

from rich.console import Console

from exporter.account.report import Report, StoreReport
from exporter.store.catalog import Catalog, Problem
from tests.unit.account.records import MOMENT

Print = Callable[[Console], None]


def terminal(show: Print, *, width: int = 80, encoding: str = "utf-8") -> str:
    """What a terminal of this width gets, without its colours."""
    return _output(show, encoding=encoding, width=width, force_terminal=True, color_system=None)


def colours(show: Print, *, width: int = 80) -> str:
    """What a terminal with colours gets."""
    return _output(show, encoding="utf-8", width=width, force_terminal=True, color_system="truecolor")


def pipe(show: Print, *, encoding: str = "utf-8") -> str:
    """What a pipe or a file gets."""
    return _output(show, encoding=encoding, force_terminal=False, width=80)


def _output(show: Print, *, encoding: str, width: int, force_terminal: bool, color_system: str | None = "auto") -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="")
    show(
        Console(
            file=stream,
            width=width,
            force_terminal=force_terminal,
            color_system=color_system,  # type: ignore[arg-type]
            _environ={},
        )
    )
    stream.flush()
    return raw.getvalue().decode(encoding)


def report_of(*stores: StoreReport, problems: tuple[Problem, ...] = (), storeless: tuple[str, ...] = ()) -> Report:
    catalog = Catalog(
        taken_at=MOMENT, stores=tuple(report.store for report in stores), problems=problems, storeless=storeless
    )
    return Report(catalog=catalog, stores=stores, problems=problems)
