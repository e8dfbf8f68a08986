"""What the whole test suite shares."""

import pytest
from hypothesis import settings

# A deadline for each example measures what else the machine is doing.
settings.register_profile("layerstore", deadline=None)
settings.load_profile("layerstore")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--renew-golden", action="store_true", help="write the golden files anew instead of comparing with them"
    )
