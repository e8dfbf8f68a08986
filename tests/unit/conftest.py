"""What tests of several rooms need."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that users without privileges can come by; those of pytest are closed to them."""
    above = Path(tempfile.mkdtemp())
    try:
        yield above
    finally:
        shutil.rmtree(above)
