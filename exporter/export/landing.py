"""The page at ``/``: what a person who opens the exporter's address sees first.

Names on it are chosen by whoever starts containers, so each is escaped, kept from turning the text around it, and the
page may load and run nothing, not even from its own server.
"""

import base64
import hashlib
import heapq
import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from exporter import __version__
from exporter.account.report import Report, StoreReport, Upper
from exporter.export.metrics.family import label
from exporter.store.entries import Container, short_id
from exporter.vitals import VitalsSnapshot

TOP = 5
"""Upper layers shown."""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
h1 small, .dim { opacity: .7; font-weight: normal; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; padding: 0; list-style: none; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #8884; text-align: left; vertical-align: top; }
:is(th, td):first-child { padding-left: 0; }
th { font-size: .85rem; font-weight: 600; white-space: nowrap; }
td { overflow-wrap: break-word; max-width: 24rem; }
time, .number { white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font-size: .9em; }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing may be loaded, run or framed; the page's one style sheet is known by its hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the page is made of."""

    report: Report | None
    """None before the first scan has ended."""
    vitals: VitalsSnapshot | None
    links: Mapping[str, str]
    """Paths of the other pages, by title."""
    flags: Mapping[str, str]
    version: str = __version__


def landing_page(page: Page) -> str:
    """The page as HTML."""
    links = "".join(f'<li><a href="{_text(path)}">{_text(title)}</a></li>' for title, path in page.links.items())
    report = page.report
    found = "<p>The first scan is under way.</p>" if report is None else _stores(report) + _uppers(report)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>layerstore-exporter</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>layerstore-exporter <small>{_text(page.version)}</small></h1>
<p class="dim">Where this host's disk goes, layer by layer, for Prometheus.</p>
<nav><ul>{links}</ul></nav>
</header>
<main>
{found}
{"" if page.vitals is None else _scans(page.vitals)}
{_flags(page.flags)}
</main>
</body>
</html>
"""


def _stores(report: Report) -> str:
    rows = [
        (
            _name(found.store.name),
            _name(found.store.engine),
            _name(found.store.driver),
            f"<code>{_name(found.store.root)}</code>",
            _state(found),
            _number(len(found.store.layers)),
            _number(len(found.store.images)),
            _number(len(found.store.containers)),
            _number(len(found.store.problems)),
        )
        for found in report.stores
    ]
    heads = ("Store", "Engine", "Driver", "Root", "State", "#Layers", "#Images", "#Containers", "#Problems")
    rest = f"<p>Problems that belong to no store: {len(report.problems)}.</p>" if report.problems else ""
    table = _table(heads, rows) if rows else "<p>No store was found.</p>"
    return f"<section><h2>Stores</h2>{table}{rest}<p>Last scanned {_time(report.catalog.taken_at)}.</p></section>"


def _state(found: StoreReport) -> str:
    state = "in use" if found.store.active else "left behind"
    return state if found.store.measurable else f"{state}, not measured"


def largest_uppers(report: Report, count: int = TOP) -> list[tuple[Container, Upper]]:
    """The containers whose upper layers take most of the disk, largest first."""
    measured = [
        (container, found.uppers[container_id])
        for found in report.stores
        for container_id, container in found.store.containers.items()
        if container_id in found.uppers
    ]
    return heapq.nsmallest(count, measured, key=lambda item: (-item[1].usage.allocated, item[0].container_id))


def _uppers(report: Report) -> str:
    rows = [
        (
            _name(container.name),
            f"<code>{_text(short_id(container.container_id))}</code>",
            _name(container.image_reference),
            "unknown" if container.state is None else container.state.value,
            _bytes(upper.usage.allocated),
            _bytes(upper.usage.size),
            _number(upper.usage.inodes),
            _time(upper.measured_at),
        )
        for container, upper in largest_uppers(report)
    ]
    heads = ("Container", "ID", "Image", "State", "#On disk", "#Size", "#Inodes", "Measured")
    table = _table(heads, rows) if rows else "<p>No container's upper layer has been measured.</p>"
    return f"<section><h2>Largest upper layers</h2>{table}</section>"


def _scans(vitals: VitalsSnapshot) -> str:
    rows = [
        (
            stage.value,
            ("succeeded" if run.success else "failed") if run.duration or run.last_success else "not yet run",
            _time(run.last_success) if run.last_success else "never",
            f'<td class="number">{run.duration:.3f} s</td>' if run.duration else '<td class="number">&ndash;</td>',
        )
        for stage, run in vitals.stages.items()
    ]
    return f"<section><h2>Scans</h2>{_table(('Stage', 'Last run', 'Last success', '#Took'), rows)}</section>"


def _flags(flags: Mapping[str, str]) -> str:
    rows = [(f"<code>{_text(name)}</code>", f"<code>{_name(value)}</code>") for name, value in flags.items()]
    return f"<section><h2>Flags</h2>{_table(('Flag', 'Value'), rows)}</section>" if rows else ""


def _table(heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; a head that begins with ``#`` is one of numbers. Cells are HTML, those of numbers with their tag."""
    head = "".join(
        f'<th scope="col" class="number">{name[1:]}</th>' if name[0] == "#" else f'<th scope="col">{name}</th>'
        for name in heads
    )
    body = "".join(
        "<tr>" + "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{content}</td>"


def _text(value: str) -> str:
    return html.escape(label(value))


def _name(value: str) -> str:
    """A name that somebody chose, kept from turning the direction of the text around it."""
    return f"<bdi>{_text(value)}</bdi>"


def _number(value: int) -> str:
    return f'<td class="number">{value:,}</td>'


def _bytes(value: int) -> str:
    return f'<td class="number"><data value="{value}">{byte_text(value)}</data></td>'


def byte_text(value: int) -> str:
    """Bytes as engines print them: powers of 1000, three digits."""
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} PB"


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M:%S} UTC</time>'
