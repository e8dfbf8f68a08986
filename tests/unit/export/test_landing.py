"""The page at ``/``: what a person sees, and what no name can make of it."""

import base64
import hashlib
import html
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.account.report import Report
from exporter.export.landing import CONTENT_SECURITY_POLICY, Page, byte_text, landing_page, largest_uppers
from exporter.store.entries import Workload
from exporter.vitals import VitalsSnapshot
from tests.unit.export.reports import (
    busy_report,
    container,
    container_id,
    golden_report,
    golden_vitals,
    report,
    store,
    store_report,
    upper,
)

LINKS = {"Metrics": "/metrics"}
VOID = {"meta"}


class Outline(HTMLParser):
    """A page's elements, text and style, and whether every element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.styles: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self._open.pop()

    def handle_data(self, data: str) -> None:
        (self.styles if self._open[-1:] == ["style"] else self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def shape(self) -> list[tuple[str, list[str]]]:
        """The elements, with the names of their attributes."""
        return [(tag, sorted(attributes)) for tag, attributes in self.elements]


def page_of(found: Report | None, vitals: VitalsSnapshot | None = None, **flags: str) -> str:
    return landing_page(Page(report=found, vitals=vitals, links=LINKS, flags=flags, version="1.2.3"))


def test_a_person_sees_what_matters() -> None:
    """Version, links, stores with their state, when they were scanned, the largest upper layers, stages, flags."""
    outline = Outline(page_of(golden_report(), golden_vitals(), interval="15s"))

    for expected in (
        "layerstore-exporter 1.2.3",
        "overlay2 docker overlay2 /var/lib/docker in use 4 3 3 3",
        "aufs docker aufs /var/lib/docker left behind 0 0 0 0",
        "Problems that belong to no store: 1.",
        "Last scanned 2025-10-09 08:53:20 UTC .",
        "web-1 c0ffee000000 shop/web:1.2 running 4.1 MB 123 kB 42 2025-10-09 08:52:50 UTC",
        "catalog succeeded 2025-10-09 08:53:20 UTC 0.125 s",
        "uppers failed 2025-10-09 08:52:20 UTC 2.500 s",
        "layers not yet run never \u2013",
        "interval 15s",
    ):
        assert expected in outline.text
    assert ("a", {"href": "/metrics"}) in outline.elements


def test_before_the_first_scan_the_page_says_so() -> None:
    """No report is no empty table."""
    outline = Outline(page_of(None))

    assert "The first scan is under way." in outline.text
    assert "Stores" not in outline.text


def test_a_host_without_stores_or_containers_is_told_so() -> None:
    """Nothing found is said, not left blank."""
    assert "No store was found." in Outline(page_of(report())).text
    unmeasurable = replace(store(driver="btrfs"), measurable=False)
    outline = Outline(page_of(report(store_report(unmeasurable))))
    assert "in use, not measured" in outline.text
    assert "No container's upper layer has been measured." in outline.text


def test_the_largest_upper_layers_come_first() -> None:
    """By what they take of the disk, whatever store they are in; of equal ones the lower ID, so that they stay put."""
    boxes = {"a": 10, "b": 30, "c": 20, "d": 20}
    stores = [
        store_report(
            store(name=name, containers=tuple(container(digits, digits) for digits in part)),
            uppers={container_id(digits): upper(size=0, allocated=boxes[digits], inodes=1) for digits in part},
        )
        for name, part in (("one", "ad"), ("two", "bc"))
    ]

    assert [found.name for found, _ in largest_uppers(report(*stores), 3)] == ["b", "c", "d"]
    assert len(largest_uppers(busy_report())) == 5


def test_the_style_is_the_one_that_the_policy_allows() -> None:
    """A browser applies the page's style sheet because its hash is in the policy; and there is no other."""
    [style] = Outline(page_of(golden_report())).styles
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert not any("style" in attributes for _, attributes in Outline(page_of(golden_report())).elements)


@given(
    st.text(st.one_of(st.characters(), st.sampled_from("<>&\"'/`= \u202e\u2066")), max_size=300)
    | st.sampled_from(
        ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</bdi></td></table>", "<!--", "]]>"]
    )
)
def test_no_name_becomes_part_of_the_page(name: str) -> None:
    """Whatever a name is, the page has the same elements and attributes as with an innocent one, and shows it as text
    kept apart from what is around it."""

    def page(text: str) -> str:
        box = container("c", text, reference=text, workload=Workload(compose_project=text))
        subject = store(name=text, root=text, driver=text, containers=(box,))
        measured = {box.container_id: upper(size=1, allocated=2, inodes=3)}
        return page_of(report(store_report(subject, uppers=measured)), flag=text)

    hostile = page(name)

    assert Outline(page("innocent")).shape == Outline(hostile).shape
    hostile.encode()


def test_names_are_kept_from_turning_the_text_around_them() -> None:
    """A name with a right-to-left override stays in its own ``bdi``."""
    box = container("c", "\u202efdp.exe")
    subject = report(
        store_report(store(containers=(box,)), uppers={box.container_id: upper(size=1, allocated=2, inodes=3)})
    )

    assert "<bdi>\u202efdp.exe</bdi>" in html.unescape(page_of(subject))


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ("0 B", 0),
        ("999 B", 999),
        ("1 kB", 1000),
        ("4.1 kB", 4096),
        ("999 kB", 999_400),
        ("1 MB", 999_999),
        ("1.23 GB", 1_234_567_890),
        ("18.4 PB", 18_400_000_000_000_000),
    ],
)
def test_bytes_are_shown_as_engines_show_them(expected: str, value: int) -> None:
    """Powers of 1000 and three digits, as ``docker system df``; the page's source has the exact value."""
    assert expected == byte_text(value)
