"""Programs that a test needs beyond Python: without one a test is skipped, or fails where they were promised."""

import os
import shutil
from typing import NoReturn

import pytest

PROMISE = "LAYERSTORE_REQUIRE_ENGINES"
"""Set to ``1`` by whoever has installed the engines and tools: then a missing one is a failure, not a skip."""


def required(program: str) -> str:
    """The absolute path of ``program``, looked up on ``PATH`` unless it is a path already.

    Without it the calling test is skipped; under :data:`PROMISE` it fails.
    """
    path = shutil.which(program)
    if path is None:
        missing(f"{program} is not installed")
    return path


def required_root() -> None:
    """What only root may do: start an engine, read its store."""
    if os.geteuid() != 0:
        missing("only root may start an engine and read its store")


def missing(what: str) -> NoReturn:
    """Skip the calling test, or fail it where the promise was made."""
    if os.environ.get(PROMISE) == "1":
        pytest.fail(f"{what}, and {PROMISE}=1 promises it")
    pytest.skip(what)
