"""The file's YAML: what is taken, and what is refused without repeating it."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.export.webconfig.document import LARGEST, load_document, read_file
from exporter.export.webconfig.errors import WebConfigError
from tests.unit.export.webconfig.files import web_file

SECRET = "hunter2"  # noqa: S105 - what no message may repeat


def test_a_mapping_is_read(tmp_path: Path) -> None:
    """Keys are text as written, whatever YAML would make of them; comments and quotes are YAML's."""
    path = web_file(tmp_path, "a:\n  no: yes\n  1: [x, 'y']  # why\n  <<: z\n")
    assert load_document(path) == {"a": {"no": True, "1": ["x", "y"], "<<": "z"}}


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "null\n"])
def test_nothing_is_an_empty_mapping(tmp_path: Path, text: str) -> None:
    """An empty file asks for nothing."""
    assert load_document(web_file(tmp_path, text)) == {}


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ("line 2, column 1: the key a is there twice", f"a: {SECRET}\na: {SECRET}\n"),
        ("line 3, column 3: the key b is there twice", f"a:\n  b: {SECRET}\n  b: {SECRET}\n"),
        ("line 2, column 4: aliases are not used here", f"a: &{SECRET} x\nb: *{SECRET}\n"),
        ("line 1, column 4: aliases are not used here", f"a: *{SECRET}"),
        ("line 1, column 4: that is no YAML", f"a: %{SECRET}"),
        ("line 2, column 1: that is no YAML", f"a: '{SECRET}\n"),
        ("line 1, column 4: that is no YAML", f"a: !!python/object/apply:os.system [{SECRET}]"),
        ("line 1, column 4: that is no YAML", f"a: !{SECRET} b"),
        ("line 1, column 3: a key must be plain text", f"? [{SECRET}]\n: b\n"),
        ("no mapping", f"- {SECRET}\n"),
        ("no mapping", SECRET),
        ("that is no YAML", f"a: {SECRET}\x00"),
        ("that is no YAML", "a: 2020-13-77\n"),
        ("nested too deep", "[" * 1_100),
    ],
)
def test_what_is_refused(tmp_path: Path, told: str, text: str) -> None:
    """The message names the file and the place, and never repeats what stands there."""
    path = web_file(tmp_path, text)
    with pytest.raises(WebConfigError) as caught:
        load_document(path)
    assert told in str(caught.value)
    assert str(caught.value).startswith(path)
    assert SECRET not in str(caught.value)


@given(st.binary(max_size=300))
def test_no_bytes_break_it(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever the file holds is read or refused."""
    path = tmp_path_factory.mktemp("web") / "web.yml"
    path.write_bytes(content)
    try:
        document = load_document(str(path))
    except WebConfigError:
        return
    assert all(isinstance(key, str) for key in document)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A fifo that nobody writes to does not hold it up; a file too large is not read; no descriptor is left open."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "huge").write_bytes(b"")
    os.truncate(tmp_path / "huge", LARGEST + 1)
    before = len(os.listdir("/proc/self/fd"))
    for name, told in (
        ("fifo", "is no file"),
        (".", "is no file"),
        ("none", "No such file"),
        ("huge", "larger than 1 MiB"),
    ):
        with pytest.raises(WebConfigError, match=f"key: {tmp_path / name}.*{told}"):
            read_file(str(tmp_path / name), what="key")
    assert before == len(os.listdir("/proc/self/fd"))
