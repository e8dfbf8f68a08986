"""``repositories.json``: names, and which image each of them means."""

from pathlib import Path
from typing import Any

import pytest

from exporter.sample.builder import StoreBuilder
from exporter.store.entries import Reference
from exporter.store.records import Malformed
from exporter.store.repositories import parse_reference
from tests.unit.store.hosts import Host, rewrite, scan, survey

HEX = "a" * 64


def test_tags_and_digests(host: Host) -> None:
    """Each is one reference, by tag or by digest, never both."""
    assert scan(host.root).references == (
        Reference(repository="example.org/web", tag="1", digest="", image_id=host.web),
        Reference(repository="tool", tag="", digest=f"sha256:{'d' * 64}", image_id=host.tool),
        Reference(repository="tool", tag="latest", digest="", image_id=host.tool),
        Reference(repository="web", tag="1", digest="", image_id=host.web),
    )


def test_no_names_at_all(tmp_path: Path) -> None:
    """A new engine's file."""
    assert scan(StoreBuilder(tmp_path / "docker").root).references == ()


def test_a_port_is_no_tag() -> None:
    """The repository says where the name ends."""
    found = parse_reference("registry:5000/a/b", "registry:5000/a/b:1.0", f"sha256:{HEX}")
    assert (found.repository, found.tag) == ("registry:5000/a/b", "1.0")


@pytest.mark.parametrize(
    ("repository", "reference"),
    [
        ("a", "b:1"),
        ("a", "a"),
        ("a", "a:"),
        ("a", "ab:1"),
        ("", ":1"),
        ("a", "a@sha256:12"),
        ("a", "a@"),
        ("a", ""),
    ],
)
def test_an_entry_that_is_no_reference(repository: str, reference: str) -> None:
    """Under the wrong repository, without a tag, or with a digest that is none."""
    with pytest.raises(Malformed):
        parse_reference(repository, reference, f"sha256:{HEX}")


def test_a_bad_entry_hides_no_other(host: Host) -> None:
    """One problem for the file; all that is sound in it counts."""

    def change(document: Any) -> None:
        document["Repositories"]["web"]["web:2"] = "sha256:none"
        document["Repositories"]["web"]["web:3"] = 5
        document["Repositories"]["odd"] = ["x"]
        document["Repositories"]["web"]["tool:1"] = host.tool

    rewrite(host.records / "repositories.json", change)
    store = survey(host.root)
    assert len(store.references) == 4
    (problem,) = store.problems
    assert problem.reason.endswith("(and 3 more)")


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "new\nline", "\u202e\u05d0", "x" * 5000])
def test_odd_names_are_names(host: Host, name: str) -> None:
    """Only whoever prints them has to take care."""
    rewrite(
        host.records / "repositories.json",
        lambda document: document["Repositories"].update({name: {f"{name}:t": host.tool}}),
    )
    store = survey(host.root)
    assert name in {reference.repository for reference in store.references}
    assert store.problems == ()
